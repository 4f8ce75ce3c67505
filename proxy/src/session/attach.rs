//! The upstream connection of a session: had when the first operation needs one, given back when
//! nothing of the session is left on it, lost when the directory drops it.

use super::state::Identity;
use super::{Flow, Session};
use crate::codec::{build, code, frame};
use crate::metrics::{CloseReason, Operation, UpstreamResult};
use crate::upstream::pool::{CheckoutError, Need};

impl Session {
    /// Attaches a connection for the request at the start of `unread`, or answers that request.
    pub(super) async fn attach_for_request(&mut self) -> Flow {
        let core = self.core.clone();
        match core.pool.checkout(&core, Need::Anonymous).await {
            Ok(connection) => {
                self.attached = Some(connection);
                self.operations.forget_abandoned();
            }
            Err(error) => self.answer_first_request(error),
        }
        Flow::Continue
    }

    /// Gives the upstream connection back, or closes it when the next session could notice this one.
    pub(super) fn detach(&mut self) {
        let Some(mut connection) = self.attached.take() else { return };
        if !self.operations.is_empty() || self.operations.abandoned_any() || self.sasl_in_progress {
            connection.reusable = false;
        }
        self.operations.forget_abandoned();
        self.core.pool.give_back(&self.core, connection);
    }

    /// The directory is gone: what it did not answer is answered 52. A session that was bound
    /// cannot go on, because its identity cannot be had again without the password.
    pub(super) fn lose_upstream(&mut self, detail: &str) -> Flow {
        if let Some(connection) = self.attached.take() {
            tracing::debug!(upstream = %connection.target.name, detail, "upstream connection lost");
            for operation in self.operations.take_all() {
                let kind = Operation::from_tag(operation.request);
                connection.target.metrics.request(kind, UpstreamResult::ConnectionLost);
                let answer = build::fault_response(
                    operation.message_id,
                    operation.request,
                    code::UNAVAILABLE,
                    "the connection to the directory was lost",
                );
                // A message that was being streamed is cut short; nothing after it would be read.
                if connection.streaming == 0 {
                    self.backlog.extend_from_slice(&answer.unwrap_or_default());
                }
            }
            if connection.streaming > 0 {
                return Flow::End(CloseReason::UpstreamLost);
            }
        }
        self.operations.forget_abandoned();
        if self.identity != Identity::Anonymous || self.sasl_in_progress {
            return Flow::Dismiss(
                CloseReason::UpstreamLost,
                code::UNAVAILABLE,
                "the connection to the directory was lost; bind again",
            );
        }
        Flow::Continue
    }

    /// Answers the request at the start of `unread` with the reason why there is no connection.
    fn answer_first_request(&mut self, error: CheckoutError) {
        let limit = self.core.with_settings(|settings| settings.max_message_bytes);
        let Ok(Some(peek)) = frame::peek(&self.unread, limit) else { return };
        let answer = build::fault_response(peek.message_id, peek.op, code_of(error), &error.to_string());
        self.backlog.extend_from_slice(&answer.unwrap_or_default());
        self.unread.drain(..peek.total.min(self.unread.len()));
    }
}

/// The result code that tells a client why there is no connection.
pub(super) fn code_of(error: CheckoutError) -> u32 {
    match error {
        CheckoutError::Busy => code::BUSY,
        CheckoutError::Unavailable => code::UNAVAILABLE,
    }
}
