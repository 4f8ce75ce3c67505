//! Operations that are outstanding when a bind arrives finish first, or are abandoned.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::requests::ABANDON_MESSAGE_ID;
use super::{Flow, Session, Step};
use crate::codec::build;
use crate::metrics::CloseReason;

/// How long they may take before they are abandoned (RFC 4511 section 4.2.1 allows either).
const OUTSTANDING_GRACE: Duration = Duration::from_secs(1);

impl Session {
    /// Lets outstanding operations finish for a while, then abandons the rest. `Some` ends or
    /// changes the session.
    pub(super) async fn finish_outstanding(&mut self) -> Option<Flow> {
        let finishing = poll_fn(|cx| {
            let core = self.core.clone();
            let mut scratch = core.scratch.borrow_mut();
            loop {
                if self.operations.is_empty() {
                    return Poll::Ready(None);
                }
                match self.poll_answers_only(cx, &mut scratch) {
                    Poll::Ready(None) => {}
                    other => return other,
                }
            }
        });
        match tokio::time::timeout(OUTSTANDING_GRACE, finishing).await {
            Ok(None) => {}
            Ok(Some(Step::UpstreamLost(detail))) => match self.lose_upstream(&detail) {
                // The bind that waits gives a session that was bound a new identity.
                Flow::Continue | Flow::Dismiss(..) => self.attached = None,
                end @ Flow::End(_) => return Some(end),
            },
            Ok(Some(_)) => return Some(Flow::End(CloseReason::Client)),
            Err(_) => {
                for message_id in self.operations.abandon_all() {
                    if let Some(connection) = &mut self.attached {
                        connection.reusable = false;
                        connection.backlog.extend_from_slice(&build::abandon(ABANDON_MESSAGE_ID, message_id));
                    }
                }
                let flushed = poll_fn(|cx| self.poll_flush_upstream(cx));
                if !matches!(tokio::time::timeout(OUTSTANDING_GRACE, flushed).await, Ok(Ok(()))) {
                    self.attached = None;
                }
            }
        }
        None
    }
}
