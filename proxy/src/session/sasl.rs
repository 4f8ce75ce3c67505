//! SASL binds: forwarded step by step, pinned to one connection until the exchange ends, never
//! cached (RFC 4513 section 5.2).

use super::ask::Unanswered;
use super::bind_plan::{BindPlan, PassThrough};
use super::exchange::Request;
use super::state::Identity;
use super::{Flow, Session};
use crate::bind::Verdict;
use crate::codec::code;
use crate::codec::frame::Peek;
use crate::metrics::{BindDecision, BindResult};

impl Session {
    /// Forwards one step of a SASL exchange, pinned to one connection until it ends.
    pub(super) async fn pass_sasl(&mut self, request: Request, peek: Peek, layered: bool) -> Flow {
        self.identity = Identity::Anonymous;
        let answer = match self.send_bind(&request, &peek).await {
            Ok(answer) => answer,
            Err(Unanswered { code, text }) => {
                self.sasl_in_progress = false;
                self.answer_unavailable(&peek, code, text);
                return Flow::Continue;
            }
        };
        let result = answer.verdict.as_ref().map(Verdict::code);
        self.sasl_in_progress = result == Some(code::SASL_BIND_IN_PROGRESS);
        let success = result == Some(code::SUCCESS);
        if let Some(connection) = &mut self.attached {
            connection.reusable &= !success && !self.sasl_in_progress;
        }
        let outcome = if success { BindResult::Success } else { BindResult::Other };
        self.count_bind(BindDecision::Sasl, outcome);
        self.backlog.extend_from_slice(&answer.message);
        if success {
            self.identity = Identity::Sasl;
            if layered {
                return self.splice().await;
            }
        }
        self.release_if_anonymous();
        Flow::Continue
    }

    /// Any bind but the next SASL step ends a SASL exchange, and with it the pinning.
    pub(super) fn keep_pinned_only_for_sasl(&mut self, plan: &BindPlan) {
        let continues = matches!(plan, BindPlan::PassThrough(PassThrough::SaslLayered | PassThrough::SaslPlain));
        if self.sasl_in_progress && !continues {
            self.sasl_in_progress = false;
            if let Some(connection) = &mut self.attached {
                connection.anonymous = false;
            }
        }
    }
}
