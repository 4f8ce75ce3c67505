//! The end of a session: a last word where one is due, and nothing left behind.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::{Flow, Session};
use crate::codec::{build, code};
use crate::metrics::CloseReason;

/// How long a client may take to read the last words.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

impl Session {
    /// What came is not LDAP: say so and close (RFC 4511 section 5.3).
    pub(super) fn refuse_malformed(&mut self, detail: &str) -> Flow {
        tracing::debug!(listener = %self.listener.name, detail, "malformed request");
        Flow::Dismiss(CloseReason::ProtocolError, code::PROTOCOL_ERROR, "the message could not be understood")
    }

    /// Closes the session.
    pub(super) async fn close(mut self: Box<Self>, reason: CloseReason, notice: Option<(u32, &'static str)>) {
        if let Some((code, text)) = notice {
            self.backlog.extend_from_slice(&build::notice_of_disconnection(code, text));
        }
        // Operations that are outstanding would answer into the next session's ears.
        self.detach();
        // Whoever said unbind or has gone is not listening any more.
        let nothing_to_say = reason == CloseReason::Client && self.backlog.is_empty() && !self.unflushed;
        if !nothing_to_say {
            let _ = tokio::time::timeout(FAREWELL_TIMEOUT, self.farewell(notice.is_some())).await;
        }
        self.listener.metrics.closed(reason);
    }

    async fn farewell(&mut self, has_last_word: bool) -> Result<(), ()> {
        poll_fn(|cx| self.poll_flush_client(cx)).await?;
        self.client.shutdown().await.map_err(|_| ())?;
        if has_last_word {
            // Closing with octets unread would reset the connection and take the notice with it.
            let mut drained = [0_u8; 1024];
            while let Ok(1..) = poll_fn(|cx| self.client.poll_receive(cx, &mut drained)).await {}
        }
        Ok(())
    }
}

/// How a fault while reading from the client counts.
pub(super) fn reason_of(error: &io::Error) -> CloseReason {
    match error.kind() {
        // rustls reports what a TLS peer did wrong as invalid data.
        io::ErrorKind::InvalidData => CloseReason::TlsError,
        _ => CloseReason::Client,
    }
}
