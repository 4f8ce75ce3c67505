//! StartTLS from a client (RFC 4511 section 4.14): only with nothing outstanding, never twice.

use super::{Flow, Session};
use crate::codec::{build, code, frame, oid};
use crate::config::ListenerTls;
use crate::metrics::CloseReason;
use crate::transport::Transport;

impl Session {
    /// Serves the StartTLS request at the start of `unread`.
    pub(super) async fn start_tls(&mut self) -> Flow {
        let limit = self.core.with_settings(|settings| settings.max_message_bytes);
        let Ok(Some(peek)) = frame::peek(&self.unread, limit) else { return Flow::Continue };
        self.unread.drain(..peek.total.min(self.unread.len()));
        let server_tls = self.core.with_settings(|settings| settings.server_tls.clone());
        let offered = self.listener.tls == ListenerTls::StartTLS;
        let refusal = if self.client.is_tls() {
            Some((code::OPERATIONS_ERROR, "TLS already started"))
        } else if !offered || server_tls.is_none() {
            Some((code::PROTOCOL_ERROR, "StartTLS is not offered here"))
        } else if !self.operations.is_empty() || self.sasl_in_progress {
            Some((code::OPERATIONS_ERROR, "StartTLS with operations outstanding"))
        } else {
            None
        };
        if let Some((code, text)) = refusal {
            let answer = build::extended_response(peek.message_id, code, text, Some(oid::START_TLS));
            self.backlog.extend_from_slice(&answer);
            return Flow::Continue;
        }
        if !self.unread.is_empty() {
            // Clear text behind the request would be taken for encrypted requests (the STARTTLS
            // injection of CVE-2011-0411 and its kin).
            return Flow::Dismiss(
                CloseReason::ProtocolError,
                code::PROTOCOL_ERROR,
                "requests pipelined after StartTLS",
            );
        }
        let answer = build::extended_response(peek.message_id, code::SUCCESS, "", Some(oid::START_TLS));
        self.backlog.extend_from_slice(&answer);
        let deadline = self.core.with_settings(|settings| settings.config.limits.handshake_timeout_seconds.duration());
        match tokio::time::timeout(deadline, self.handshake(server_tls)).await {
            Ok(Ok(())) => Flow::Continue,
            Ok(Err(reason)) => Flow::End(reason),
            Err(_) => Flow::End(CloseReason::HandshakeTimeout),
        }
    }

    async fn handshake(&mut self, config: Option<std::sync::Arc<rustls::ServerConfig>>) -> Result<(), CloseReason> {
        std::future::poll_fn(|cx| self.poll_flush_client(cx)).await.map_err(|()| CloseReason::Client)?;
        let (Transport::Tcp(stream), Some(config)) = (std::mem::replace(&mut self.client, Transport::Taken), config)
        else {
            return Err(CloseReason::TlsError);
        };
        let stream = tokio_rustls::TlsAcceptor::from(config).accept(stream).await.map_err(|error| {
            tracing::debug!(listener = %self.listener.name, %error, "TLS handshake failed");
            CloseReason::TlsError
        })?;
        self.client = Transport::ServerTls(Box::new(stream));
        Ok(())
    }
}
