//! The raw stream after a SASL bind with a mechanism that may have installed a security layer:
//! what follows is not LDAP any more, so it is only carried (RFC 4513 section 5.2.1.5).

use tokio::io::AsyncWriteExt;

use super::{Flow, Session};
use crate::metrics::CloseReason;

impl Session {
    /// Carries octets both ways until one side closes. The connection is never lent again.
    pub(super) async fn splice(&mut self) -> Flow {
        let Some(mut connection) = self.attached.take() else { return Flow::End(CloseReason::UpstreamLost) };
        let carried = async {
            self.client.write_all(&std::mem::take(&mut self.backlog)).await?;
            connection.transport.write_all(&std::mem::take(&mut self.unread)).await?;
            self.client.write_all(&std::mem::take(&mut connection.unread)).await?;
            self.client.flush().await?;
            connection.transport.flush().await?;
            tokio::io::copy_bidirectional(&mut self.client, &mut connection.transport).await
        };
        match carried.await {
            Ok(_) => Flow::End(CloseReason::Client),
            Err(error) => {
                tracing::debug!(%error, "spliced connection ended");
                Flow::End(CloseReason::Client)
            }
        }
    }
}
