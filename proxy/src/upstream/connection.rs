//! One connection to a directory, and whether another session may use it next.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use thiserror::Error;
use tokio::io::AsyncWriteExt;

use super::permits::Permit;
use super::target::Target;
use crate::clock::Tick;
use crate::codec::frame::{self, FrameError, Peek};
use crate::codec::{build, op};
use crate::transport::Transport;

/// The longest answer that is read whole (to a bind or an extended operation); entries are
/// streamed and have no limit here.
pub const MAX_WHOLE_ANSWER_BYTES: usize = 1 << 20;
/// The message ID of the proxy's own requests; nothing else is outstanding when they are sent.
const OWN_MESSAGE_ID: u32 = 1;
const READ_CHUNK_BYTES: usize = 4096;

/// Why an exchange with a directory ended without an answer. The connection is of no use after it.
#[derive(Debug, Error)]
pub enum ExchangeError {
    /// The directory closed, or the network did.
    #[error("connection lost: {0}")]
    Lost(#[from] io::Error),
    /// No answer within the time allowed.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// The directory said goodbye (RFC 4511 section 4.4.1).
    #[error("the directory sent a notice of disconnection")]
    Disconnected,
    /// What came is not LDAP.
    #[error("not an LDAP answer: {0}")]
    Garbage(#[from] FrameError),
}

/// A connection to one upstream. It lives on the core whose reactor it is registered with.
pub struct UpstreamConnection {
    /// The stream.
    pub transport: Transport,
    /// Whose it is.
    pub target: Arc<Target>,
    /// Octets that came and were not passed on yet: at most the start of a message.
    pub unread: Vec<u8>,
    /// Octets for the directory that its socket did not take yet.
    pub backlog: Vec<u8>,
    /// Octets of the message being streamed that are still to come.
    pub streaming: usize,
    /// Whether the directory takes whoever speaks here for anonymous.
    pub anonymous: bool,
    /// Whether its state is known well enough to lend it again.
    pub reusable: bool,
    idle_since: Tick,
    lent: bool,
    _permit: Permit,
}

impl UpstreamConnection {
    /// A fresh connection: anonymous (RFC 4513 section 4) and lent.
    #[must_use]
    pub fn new(transport: Transport, target: Arc<Target>, permit: Permit) -> Self {
        target.metrics.busy.inc();
        Self {
            transport,
            target,
            unread: Vec::new(),
            backlog: Vec::new(),
            streaming: 0,
            anonymous: true,
            reusable: true,
            idle_since: Tick::default(),
            lent: true,
            _permit: permit,
        }
    }

    /// Whether nothing of the last session is left on it.
    #[must_use]
    pub fn is_reusable(&self) -> bool {
        self.reusable && self.streaming == 0 && self.unread.is_empty() && self.backlog.is_empty()
    }

    /// Puts it to rest.
    pub(crate) fn rest(&mut self, now: Tick) {
        if self.lent {
            self.target.metrics.busy.dec();
            self.target.metrics.idle.inc();
        }
        self.lent = false;
        self.idle_since = now;
    }

    /// Takes it from rest.
    pub(crate) fn lend(&mut self) {
        if !self.lent {
            self.target.metrics.idle.dec();
            self.target.metrics.busy.inc();
        }
        self.lent = true;
    }

    /// How long it has been at rest.
    #[must_use]
    pub fn idle_for(&self, now: Tick) -> Duration {
        now.since(self.idle_since)
    }

    /// Reads more octets behind those that are unread; `Ready(Ok(0))` is the end of the stream.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let start = self.unread.len();
        self.unread.resize(start + READ_CHUNK_BYTES, 0);
        let result = self.transport.poll_receive(cx, &mut self.unread[start..]);
        let kept = match &result {
            Poll::Ready(Ok(received)) => *received,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        self.unread.truncate(start + kept);
        result
    }

    /// The next whole message from the directory.
    ///
    /// # Errors
    /// [`ExchangeError::Lost`] and [`ExchangeError::Garbage`].
    pub async fn next_message(&mut self) -> Result<(Vec<u8>, Peek), ExchangeError> {
        loop {
            if let Some(peek) = frame::peek(&self.unread, MAX_WHOLE_ANSWER_BYTES)?
                && self.unread.len() >= peek.total
            {
                let rest = self.unread.split_off(peek.total);
                return Ok((std::mem::replace(&mut self.unread, rest), peek));
            }
            if poll_fn(|cx| self.poll_fill(cx)).await? == 0 {
                return Err(ExchangeError::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Sends `request` and waits for the message that answers `message_id`.
    ///
    /// Messages with other IDs are late answers to abandoned operations and are dropped.
    ///
    /// # Errors
    /// [`ExchangeError`]. The request may have been carried out.
    pub async fn exchange(
        &mut self,
        request: &[u8],
        message_id: u32,
        limit: Duration,
    ) -> Result<(Vec<u8>, Peek), ExchangeError> {
        let exchange = async {
            self.transport.write_all(request).await?;
            self.transport.flush().await?;
            loop {
                let (message, peek) = self.next_message().await?;
                if peek.message_id == message_id {
                    return Ok((message, peek));
                }
                if peek.message_id == 0 {
                    return Err(ExchangeError::Disconnected);
                }
                self.target.metrics.unexpected.inc();
                self.reusable = false;
            }
        };
        let answered = tokio::time::timeout(limit, exchange).await;
        answered.unwrap_or(Err(ExchangeError::Timeout(limit)))
    }

    /// Makes the directory forget who spoke last, by an anonymous bind.
    ///
    /// Whatever the result, the session is anonymous after it (RFC 4513 section 4).
    ///
    /// # Errors
    /// [`ExchangeError`].
    pub async fn reset_identity(&mut self, limit: Duration) -> Result<(), ExchangeError> {
        let request = build::anonymous_bind(OWN_MESSAGE_ID);
        let (_, peek) = self.exchange(&request, OWN_MESSAGE_ID, limit).await?;
        if peek.op != op::BIND_RESPONSE {
            return Err(ExchangeError::Disconnected);
        }
        self.anonymous = true;
        Ok(())
    }
}

impl Drop for UpstreamConnection {
    fn drop(&mut self) {
        if self.lent {
            self.target.metrics.busy.dec();
        } else {
            self.target.metrics.idle.dec();
        }
    }
}
