//! Taking the client's requests off its octets: answer, forward, or leave to a step.

use super::bind_plan::BindPlan;
use super::state::{Identity, OnSuccess, Outstanding};
use super::{Session, Step};
use crate::clock::{Precise, Tick};
use crate::codec::extended::{self, ExtendedRequest};
use crate::codec::frame::{self, Peek};
use crate::codec::{bind_request, build, element, modify, oid, op};
use crate::metrics::{BindDecision, CloseReason, Operation, RequestResult, UpstreamResult};

/// What was taken.
#[derive(Debug)]
pub(super) struct Taken {
    /// Octets that are done with.
    pub(super) octets: usize,
    /// What the request behind them needs, if taking stopped at one.
    pub(super) step: Option<Step>,
    /// Whether a bind was among them, so that the buffer holds a password.
    pub(super) saw_bind: bool,
}

/// When a pass began: one reading of the clock, to decide by and to measure from.
#[derive(Clone, Copy)]
struct Moment {
    began: Precise,
    now: Tick,
}

/// What became of one request.
enum Handled {
    /// It is done with.
    Done,
    /// It stays where it is, and this is needed first.
    Needs(Step),
    /// It is done with, and nothing behind it is looked at.
    Ends(Step),
}

impl Session {
    /// Takes as many whole requests off `octets` as can be taken without waiting. Answers of the
    /// proxy's own go to `to_client`, requests for the directory to `to_upstream`.
    pub(super) fn take_requests(&mut self, octets: &[u8], to_client: &mut Vec<u8>, to_upstream: &mut Vec<u8>) -> Taken {
        let began = self.core.shared.clock.precise();
        let now = self.core.shared.clock.tick_of(began);
        self.handle.touch(now);
        let (limit, max_pipelined) =
            self.core.with_settings(|settings| (settings.max_message_bytes, settings.max_pipelined));
        let mut at = 0;
        let mut saw_bind = false;
        while self.operations.len() < max_pipelined {
            let rest = &octets[at..];
            let peek = match frame::peek(rest, limit) {
                Ok(None) => break,
                Ok(Some(peek)) if rest.len() < peek.total => break,
                Ok(Some(peek)) => peek,
                Err(error) => return Taken { octets: at, step: Some(Step::Malformed(error.to_string())), saw_bind },
            };
            saw_bind |= peek.op == op::BIND_REQUEST;
            match self.take_request(&rest[..peek.total], &peek, Moment { began, now }, to_client, to_upstream) {
                Handled::Done => at += peek.total,
                Handled::Needs(step) => return Taken { octets: at, step: Some(step), saw_bind },
                Handled::Ends(step) => return Taken { octets: at + peek.total, step: Some(step), saw_bind },
            }
        }
        Taken { octets: at, step: None, saw_bind }
    }

    fn take_request(
        &mut self,
        request: &[u8],
        peek: &Peek,
        Moment { began, now }: Moment,
        to_client: &mut Vec<u8>,
        to_upstream: &mut Vec<u8>,
    ) -> Handled {
        if peek.message_id == 0 {
            // RFC 4511 section 4.1.1.1: zero is for unsolicited notifications.
            return Handled::Ends(Step::Malformed("a request with message ID 0".to_owned()));
        }
        match peek.op {
            op::BIND_REQUEST => self.take_bind(request, peek, Moment { began, now }, to_client),
            op::UNBIND_REQUEST | op::UNBIND_REQUEST_CONSTRUCTED => {
                self.core.shared.metrics.request(Operation::Unbind, RequestResult::Success);
                Handled::Ends(Step::Closed(CloseReason::Client))
            }
            op::ABANDON_REQUEST => {
                self.core.shared.metrics.request(Operation::Abandon, RequestResult::Success);
                self.take_abandon(request, peek, to_upstream);
                Handled::Done
            }
            op::EXTENDED_REQUEST => self.take_extended(request, peek, now, to_upstream),
            op::MODIFY_REQUEST => {
                // A request that cannot be read is the directory's to refuse.
                let changed = modify::credential_change(request, peek).ok().flatten();
                let on_success = changed.map_or(OnSuccess::Nothing, |entry| OnSuccess::CredentialChanged(entry.into()));
                self.forward(request, peek, on_success, now, to_upstream)
            }
            op::SEARCH_REQUEST | op::ADD_REQUEST | op::DELETE_REQUEST | op::MODIFY_DN_REQUEST | op::COMPARE_REQUEST => {
                self.forward(request, peek, OnSuccess::Nothing, now, to_upstream)
            }
            other => Handled::Ends(Step::Malformed(format!("unknown operation {other:#04x}"))),
        }
    }

    fn take_bind(
        &mut self,
        request: &[u8],
        peek: &Peek,
        Moment { began, now }: Moment,
        to_client: &mut Vec<u8>,
    ) -> Handled {
        if !self.operations.is_empty() {
            // They finish, or are abandoned, before the bind is looked at (RFC 4511 section 4.2.1).
            return Handled::Needs(Step::Bind(BindPlan::AfterOutstanding));
        }
        let bind = bind_request::parse(request, peek).ok();
        match (self.plan_bind(bind.as_ref(), now), bind) {
            (BindPlan::Answer { verdict, wants_password_policy, name }, Some(bind))
                if self.core.with_settings(|settings| settings.answer_delay.is_zero()) =>
            {
                self.become_anonymous();
                verdict.write_response(to_client, peek.message_id, wants_password_policy);
                self.record_suppressed(name, bind.name, BindDecision::CacheRejected, now);
                self.core.shared.metrics.request_cached(began.elapsed());
                Handled::Done
            }
            (plan, _) => Handled::Needs(Step::Bind(plan)),
        }
    }

    fn take_abandon(&mut self, request: &[u8], peek: &Peek, to_upstream: &mut Vec<u8>) {
        let mut body = &request[peek.op_offset..];
        let target = element::take(&mut body).ok().and_then(|abandon| element::integer(abandon.body).ok());
        let Some(target) = target.and_then(|target| u32::try_from(target).ok()) else { return };
        // An abandon of a bind, or of something that was answered, changes nothing (RFC 4511
        // section 4.11), and there is no answer to it.
        if self.operations.abandon(target)
            && let Some(connection) = &mut self.attached
        {
            connection.reusable = false;
            to_upstream.extend_from_slice(request);
        }
    }

    fn take_extended(&mut self, request: &[u8], peek: &Peek, now: Tick, to_upstream: &mut Vec<u8>) -> Handled {
        let Ok(ExtendedRequest { oid: name, value }) = extended::parse_request(request, peek) else {
            return self.forward_tainting(request, peek, now, to_upstream);
        };
        match name {
            oid::START_TLS => Handled::Needs(Step::StartTls),
            oid::PASSWORD_MODIFY => {
                let user = extended::password_modify_user(value).map(Box::from);
                let user = user.or_else(|| match &self.identity {
                    Identity::Bound(name) => Some(name.clone()),
                    Identity::Anonymous | Identity::Sasl => None,
                });
                let on_success = user.map_or(OnSuccess::Nothing, OnSuccess::CredentialChanged);
                self.forward(request, peek, on_success, now, to_upstream)
            }
            oid::WHO_AM_I | oid::CANCEL => self.forward(request, peek, OnSuccess::Nothing, now, to_upstream),
            // Some extended operations change the connection for good (AD's fast bind), so no
            // other session may inherit it.
            _ => self.forward_tainting(request, peek, now, to_upstream),
        }
    }

    fn forward_tainting(&mut self, request: &[u8], peek: &Peek, now: Tick, to_upstream: &mut Vec<u8>) -> Handled {
        let handled = self.forward(request, peek, OnSuccess::Nothing, now, to_upstream);
        if let Some(connection) = &mut self.attached {
            connection.reusable = false;
        }
        handled
    }

    fn forward(
        &mut self,
        request: &[u8],
        peek: &Peek,
        on_success: OnSuccess,
        now: Tick,
        to_upstream: &mut Vec<u8>,
    ) -> Handled {
        if self.attached.is_none() {
            return Handled::Needs(Step::Attach);
        }
        self.operations.start(Outstanding { message_id: peek.message_id, request: peek.op, on_success, since: now });
        to_upstream.extend_from_slice(request);
        Handled::Done
    }

    /// Answers extended operations that the directory did not answer in time, and abandons them.
    pub(super) fn expire_extended(&mut self) {
        let now = self.core.now();
        let timeout = self.core.with_settings(|settings| settings.request_timeout);
        let deadline =
            Tick(now.0.saturating_sub(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)).saturating_add(1));
        for operation in self.operations.take_overdue_extended(deadline) {
            let answer = build::fault_response(
                operation.message_id,
                operation.request,
                crate::codec::code::UNAVAILABLE,
                "the directory did not answer in time",
            );
            self.backlog.extend_from_slice(&answer.unwrap_or_default());
            if let Some(connection) = &mut self.attached {
                connection.reusable = false;
                connection.backlog.extend_from_slice(&build::abandon(ABANDON_MESSAGE_ID, operation.message_id));
                connection.target.metrics.request(Operation::Extended, UpstreamResult::Timeout);
                self.core.shared.metrics.request(Operation::Extended, RequestResult::Error);
            }
        }
    }
}

/// The message ID of abandons that the proxy sends of its own; they get no answer.
pub(super) const ABANDON_MESSAGE_ID: u32 = i32::MAX as u32;
