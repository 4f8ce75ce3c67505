//! One bind from plan to answer: wait, ask the directory, learn, answer.
//!
//! The order is the promise: the session is anonymous before anything is answered, a bind is
//! written to a directory at most once, and its verdict is learned even if the client has gone.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rand::RngExt;
use tokio::sync::oneshot;

use super::attach::code_of;
use super::bind_plan::{BindPlan, PassThrough, Refusal};
use super::requests::ABANDON_MESSAGE_ID;
use super::state::Identity;
use super::{Flow, Session};
use crate::bind::{Outcome, PolicyError, Release, Verdict};
use crate::codec::bind_request::{self, Authentication};
use crate::codec::frame::{self, Peek};
use crate::codec::{build, code, edit, oid, op};
use crate::core::HeldLease;
use crate::logging::LoggedName;
use crate::metrics::{BindDecision, BindResult, CloseReason, Operation, UpstreamResult};
use crate::transport::Liveness;
use crate::upstream::connection::ExchangeError;
use crate::upstream::pool::Need;

/// How long operations that are outstanding when a bind arrives may finish before they are
/// abandoned (RFC 4511 section 4.2.1 allows either).
const OUTSTANDING_GRACE: Duration = Duration::from_secs(1);

/// Active Directory's sub-code for a locked account.
const AD_LOCKED: &[u8] = b"data 775";

/// A bind whose octets are wiped when it is done with.
type Request = zeroize::Zeroizing<Vec<u8>>;

/// What the directory answered to a bind.
struct Answer {
    message: Vec<u8>,
    /// `None` when it is no LDAPResult that can be read.
    verdict: Option<Verdict>,
}

impl Session {
    /// Serves the bind at the start of `unread`.
    pub(super) async fn exchange_bind(&mut self, plan: BindPlan) -> Flow {
        let limit = self.core.with_settings(|settings| settings.max_message_bytes);
        let Ok(Some(peek)) = frame::peek(&self.unread, limit) else { return Flow::Continue };
        if self.unread.len() < peek.total {
            return Flow::Continue;
        }
        let rest = self.unread.split_off(peek.total);
        let request = Request::new(std::mem::replace(&mut self.unread, rest));
        let plan = match plan {
            BindPlan::AfterOutstanding => {
                if let Some(end) = self.finish_outstanding().await {
                    return end;
                }
                self.plan_bind(bind_request::parse(&request, &peek).ok().as_ref(), self.core.now())
            }
            decided => decided,
        };
        self.keep_pinned_only_for_sasl(&plan);
        match plan {
            BindPlan::AfterOutstanding => Flow::Continue,
            BindPlan::Answer { verdict, wants_password_policy, name: _ } => {
                self.answer_locally(&request, &peek, &verdict, wants_password_policy, BindDecision::CacheRejected)
                    .await;
                Flow::Continue
            }
            BindPlan::Wait(turn) => self.wait_for_verdict(request, peek, turn).await,
            BindPlan::Lead(lease) => self.ask_directory(request, peek, Some(lease)).await,
            BindPlan::PassThrough(PassThrough::SaslLayered) => self.pass_sasl(request, peek, true).await,
            BindPlan::PassThrough(PassThrough::SaslPlain) => self.pass_sasl(request, peek, false).await,
            BindPlan::PassThrough(PassThrough::NoPassword | PassThrough::Unusual) => {
                self.ask_directory(request, peek, None).await
            }
            BindPlan::Refuse(refusal) => {
                self.refuse(&peek, refusal);
                Flow::Continue
            }
        }
    }

    /// Answers from a verdict that is already known, after the configured delay.
    async fn answer_locally(
        &mut self,
        request: &[u8],
        peek: &Peek,
        verdict: &Arc<Verdict>,
        wants_password_policy: bool,
        decision: BindDecision,
    ) {
        self.become_anonymous();
        let delay = self.core.with_settings(|settings| settings.answer_delay);
        if !delay.is_zero() {
            // A quarter either way, so that the delay itself does not tell a replay from a verdict.
            let jitter = rand::rng().random_range(0.75..1.25);
            tokio::time::sleep(delay.mul_f64(jitter)).await;
        }
        verdict.write_response(&mut self.backlog, peek.message_id, wants_password_policy);
        if let Ok(bind) = bind_request::parse(request, peek) {
            let key = self.core.shared.guard.name_key(bind.name);
            self.record_suppressed(key, bind.name, decision, self.core.now());
        }
    }

    /// Waits for the verdict of an identical bind that is on its way, or for the turn to ask.
    async fn wait_for_verdict(&mut self, request: Request, peek: Peek, turn: oneshot::Receiver<Release>) -> Flow {
        self.become_anonymous();
        let limit = self.core.with_settings(|settings| settings.request_timeout);
        match tokio::time::timeout(limit, turn).await {
            Ok(Ok(Release::Answer(verdict))) => {
                let wants = bind_request::parse(&request, &peek)
                    .is_ok_and(|bind| bind.controls.find(oid::PASSWORD_POLICY).is_some());
                if verdict.code() == code::INVALID_CREDENTIALS {
                    self.answer_locally(&request, &peek, &verdict, wants, BindDecision::Coalesced).await;
                } else {
                    verdict.write_response(&mut self.backlog, peek.message_id, wants);
                    self.count_bind(BindDecision::Coalesced, BindResult::Other);
                }
                Flow::Continue
            }
            Ok(Ok(Release::Forward(lease))) => {
                let lease = HeldLease::new(self.core.shared.clone(), lease);
                self.ask_directory(request, peek, Some(lease)).await
            }
            Ok(Err(_)) | Err(_) => {
                self.answer_unavailable(&peek, code::UNAVAILABLE, "the directory did not answer in time");
                Flow::Continue
            }
        }
    }

    /// Forwards the bind, learns the verdict, and answers.
    async fn ask_directory(&mut self, request: Request, peek: Peek, lease: Option<HeldLease>) -> Flow {
        self.identity = Identity::Anonymous;
        let asked = self.send_bind(&request, &peek).await;
        let answer = match asked {
            Ok(answer) => answer,
            Err(Unanswered { code, text }) => {
                // The lease is let go by its drop, as after any transport fault.
                drop(lease);
                self.answer_unavailable(&peek, code, text);
                return Flow::Continue;
            }
        };
        self.enter_identity(&request, &peek, &answer);
        self.record_bind(&request, &peek, &answer);
        self.log_answer(&request, &peek, &answer);
        if let Some(lease) = lease {
            lease.settle(answer.verdict.map_or(Outcome::Fault, Outcome::Verdict));
        }
        self.backlog.extend_from_slice(&answer.message);
        self.release_if_anonymous();
        Flow::Continue
    }

    /// Forwards one step of a SASL exchange, pinned to one connection until it ends.
    async fn pass_sasl(&mut self, request: Request, peek: Peek, layered: bool) -> Flow {
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

    /// Writes the bind to a directory, once, and waits for its answer.
    async fn send_bind(&mut self, request: &Request, peek: &Peek) -> Result<Answer, Unanswered> {
        let core = self.core.clone();
        // A server may have closed the connection a moment ago: look before the write, because
        // there is no second one.
        if self.attached.as_ref().is_some_and(|connection| connection.transport.liveness() != Liveness::Quiet) {
            if self.sasl_in_progress {
                self.attached = None;
                return Err(Unanswered { code: code::UNAVAILABLE, text: "the connection to the directory was lost" });
            }
            self.attached = None;
        }
        if self.attached.is_none() {
            self.attached = Some(core.pool.checkout(&core, Need::Bind).await.map_err(|error| Unanswered {
                code: code_of(error),
                text: match error {
                    crate::upstream::pool::CheckoutError::Busy => "all connections to the directory are in use",
                    crate::upstream::pool::CheckoutError::Unavailable => "no directory server can be reached",
                },
            })?);
            self.operations.forget_abandoned();
        }
        let Some(connection) = &mut self.attached else {
            return Err(Unanswered { code: code::UNAVAILABLE, text: "no directory server can be reached" });
        };
        // Whoever it was before, from here on it is whoever the answer says.
        connection.anonymous = false;
        if bind_request::parse(request, peek).is_ok_and(|bind| bind.version != 3) {
            // 389 DS keeps the version with the connection, and refuses the controls of the next
            // session's bind after one of version 2.
            connection.reusable = false;
        }
        let (adds, timeout) = core
            .with_settings(|settings| (settings.adds_password_policy(&connection.target), settings.request_timeout));
        let extended = if adds { with_password_policy(request, peek) } else { None };
        let added = extended.is_some();
        let started = core.shared.clock.precise();
        let octets: &[u8] = extended.as_ref().unwrap_or(request);
        let exchanged = connection.exchange(octets, peek.message_id, timeout).await;
        let metrics = &connection.target.metrics;
        match exchanged {
            Ok((message, answer_peek)) => {
                let taken = started.elapsed();
                metrics.duration(Operation::Bind, taken);
                core.shared.metrics.request_forwarded(Operation::Bind, taken);
                let verdict = Verdict::from_response(&message, &answer_peek).ok();
                metrics.request(Operation::Bind, upstream_result(verdict.as_ref()));
                if answer_peek.op != op::BIND_RESPONSE {
                    // Samba answers an unknown critical control with an ExtendedResponse: who the
                    // connection is now cannot be told.
                    connection.reusable = false;
                }
                let stripped =
                    if added { edit::strip_password_policy_response(&message, &answer_peek).ok() } else { None };
                Ok(Answer { message: stripped.unwrap_or(message), verdict })
            }
            Err(error) => {
                metrics.request(
                    Operation::Bind,
                    if matches!(error, ExchangeError::Timeout(_)) {
                        UpstreamResult::Timeout
                    } else {
                        UpstreamResult::ConnectionLost
                    },
                );
                tracing::debug!(upstream = %connection.target.name, %error, "a bind got no answer; it is not repeated");
                let text = match error {
                    ExchangeError::Timeout(_) => "the directory did not answer in time",
                    ExchangeError::Lost(_) | ExchangeError::Disconnected | ExchangeError::Garbage(_) => {
                        "the connection to the directory was lost"
                    }
                };
                self.attached = None;
                Err(Unanswered { code: code::UNAVAILABLE, text })
            }
        }
    }

    /// Who the session and its connection are after the directory's answer.
    ///
    /// A failed bind makes a session anonymous (RFC 4511 section 4.2.1), but its connection not
    /// always: Samba goes on as whoever was bound before, and OpenLDAP 2.5 as the user whose expired
    /// password it has just refused. Only a successful anonymous bind ends an identity for certain.
    fn enter_identity(&mut self, request: &[u8], peek: &Peek, answer: &Answer) {
        let success = answer.verdict.as_ref().is_some_and(|verdict| verdict.code() == code::SUCCESS);
        let bind = bind_request::parse(request, peek).ok();
        let claimed = bind
            .as_ref()
            .is_none_or(|bind| !bind.name.is_empty() && !matches!(bind.authentication, Authentication::Simple([])));
        if let Some(connection) = &mut self.attached {
            connection.anonymous = success && !claimed;
        }
        self.identity = match bind {
            Some(bind) if success && claimed => Identity::Bound(bind.name.into()),
            None if success => Identity::Sasl,
            Some(_) | None => Identity::Anonymous,
        };
    }

    fn record_bind(&self, request: &[u8], peek: &Peek, answer: &Answer) {
        let anonymous = bind_request::parse(request, peek)
            .is_ok_and(|bind| matches!(bind.authentication, Authentication::Simple([])));
        let decision = if anonymous { BindDecision::Anonymous } else { BindDecision::Upstream };
        let verdict = answer.verdict.as_ref();
        let result = verdict.map_or(BindResult::Other, |verdict| BindResult::from_code(verdict.code()));
        if answer.verdict.as_ref().is_some_and(shows_lock) {
            self.core.shared.metrics.upstream_lockout_seen();
        }
        self.count_bind(decision, result);
    }

    /// Tells the log who was answered what; the name redacted unless the configuration says otherwise.
    fn log_answer(&self, request: &[u8], peek: &Peek, answer: &Answer) {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let Ok(bind) = bind_request::parse(request, peek) else { return };
        let key = self.core.shared.guard.name_key(bind.name);
        let redact = self.core.with_settings(|settings| settings.config.logging.redact_names);
        tracing::debug!(
            name = %LoggedName::new(bind.name, key.short(), redact),
            source = %self.source,
            listener = %self.listener.name,
            upstream = self.attached.as_ref().map(|connection| &*connection.target.name),
            result = answer.verdict.as_ref().map(Verdict::code),
            "bind answered by the directory"
        );
    }

    /// An anonymous session holds no connection after a bind: the one that the bind was sent on may
    /// still be somebody, and is made anonymous before it is lent for anything but a bind.
    fn release_if_anonymous(&mut self) {
        if self.identity == Identity::Anonymous && !self.sasl_in_progress {
            self.detach();
        }
    }

    /// Any bind but the next SASL step ends a SASL exchange, and with it the pinning.
    fn keep_pinned_only_for_sasl(&mut self, plan: &BindPlan) {
        let continues = matches!(plan, BindPlan::PassThrough(PassThrough::SaslLayered | PassThrough::SaslPlain));
        if self.sasl_in_progress && !continues {
            self.sasl_in_progress = false;
            if let Some(connection) = &mut self.attached {
                connection.anonymous = false;
            }
        }
    }

    fn answer_unavailable(&mut self, peek: &Peek, code: u32, text: &str) {
        self.become_anonymous();
        self.backlog.extend_from_slice(&build::bind_response(peek.message_id, code, text));
        self.count_bind(BindDecision::Unavailable, BindResult::Error);
    }

    fn refuse(&mut self, peek: &Peek, refusal: Refusal) {
        self.become_anonymous();
        let (code, text) = match refusal {
            Refusal::Unauthenticated => {
                (code::UNWILLING_TO_PERFORM, "unauthenticated bind (name without password) is not allowed")
            }
            Refusal::External => (
                code::AUTH_METHOD_NOT_SUPPORTED,
                "SASL EXTERNAL is not possible through this proxy: it would lend the proxy's own identity",
            ),
        };
        self.backlog.extend_from_slice(&build::bind_response(peek.message_id, code, text));
        self.count_bind(BindDecision::LocalRefusal, BindResult::Other);
    }

    /// Lets outstanding operations finish for a while, then abandons the rest. `Some` ends or
    /// changes the session.
    async fn finish_outstanding(&mut self) -> Option<Flow> {
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
            Ok(Some(super::Step::UpstreamLost(detail))) => match self.lose_upstream(&detail) {
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

/// Why a bind has no answer of the directory's.
struct Unanswered {
    code: u32,
    text: &'static str,
}

/// The bind with the password policy control, unless it has one or is not simple. LDAPv2 has no
/// controls: slapd refuses a bind of version 2 that carries one.
fn with_password_policy(request: &[u8], peek: &Peek) -> Option<Request> {
    let bind = bind_request::parse(request, peek).ok()?;
    let simple = matches!(bind.authentication, Authentication::Simple(password) if !password.is_empty());
    if !simple || bind.version != 3 || bind.controls.find(oid::PASSWORD_POLICY).is_some() {
        return None;
    }
    edit::add_password_policy_request(request, peek).ok().map(Request::new)
}

/// Whether an answer says that the account is locked, in any of the ways in which directories do.
fn shows_lock(verdict: &Verdict) -> bool {
    verdict.password_policy_error() == Some(PolicyError::AccountLocked)
        || verdict.code() == code::CONSTRAINT_VIOLATION
        || verdict.diagnostic().windows(AD_LOCKED.len()).any(|window| window == AD_LOCKED)
}

fn upstream_result(verdict: Option<&Verdict>) -> UpstreamResult {
    verdict.map_or(UpstreamResult::Other, |verdict| UpstreamResult::from_code(verdict.code()))
}
