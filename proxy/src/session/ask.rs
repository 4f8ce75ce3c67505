//! Asking the directory about one bind: send it, once; learn the verdict; answer.

use super::attach::code_of;
use super::exchange::Request;
use super::state::Identity;
use super::{Flow, Session};
use crate::bind::{Outcome, PolicyError, Verdict};
use crate::codec::bind_request::{self, Authentication};
use crate::codec::frame::Peek;
use crate::codec::{code, edit, oid, op};
use crate::held_lease::HeldLease;
use crate::logging::LoggedName;
use crate::metrics::{BindDecision, BindResult, Operation, UpstreamResult};
use crate::transport::Liveness;
use crate::upstream::connection::ExchangeError;
use crate::upstream::pool::{CheckoutError, Need};

/// Active Directory's sub-code for a locked account.
const AD_LOCKED: &[u8] = b"data 775";

/// What the directory answered to a bind.
pub(super) struct Answer {
    pub(super) message: Vec<u8>,
    /// `None` when it is no LDAPResult that can be read.
    pub(super) verdict: Option<Verdict>,
}

/// Why a bind has no answer of the directory's.
pub(super) struct Unanswered {
    pub(super) code: u32,
    pub(super) text: &'static str,
}

impl Session {
    /// Forwards the bind, learns the verdict, and answers.
    pub(super) async fn ask_directory(&mut self, request: Request, peek: Peek, lease: Option<HeldLease>) -> Flow {
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

    /// Writes the bind to a directory, once, and waits for its answer.
    pub(super) async fn send_bind(&mut self, request: &Request, peek: &Peek) -> Result<Answer, Unanswered> {
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
                    CheckoutError::Busy => "all connections to the directory are in use",
                    CheckoutError::Unavailable => "no directory server can be reached",
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
    pub(super) fn release_if_anonymous(&mut self) {
        if self.identity == Identity::Anonymous && !self.sasl_in_progress {
            self.detach();
        }
    }
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
