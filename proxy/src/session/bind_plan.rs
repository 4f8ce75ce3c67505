//! What is to become of one bind, decided without waiting.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Session;
use super::state::Identity;
use crate::bind::{Decision, NameKey, Release, Verdict};
use crate::clock::Tick;
use crate::codec::bind_request::{Authentication, BindRequest};
use crate::codec::oid;
use crate::core::Waiter;
use crate::held_lease::HeldLease;
use crate::metrics::{BindDecision, BindResult};

/// What is to become of a bind.
pub enum BindPlan {
    /// Operations are outstanding; decide when they are not.
    AfterOutstanding,
    /// The same name presented the same wrong password before.
    Answer {
        /// What the directory said then.
        verdict: Arc<Verdict>,
        /// Whether this request asked for the password policy's part of the answer.
        wants_password_policy: bool,
        /// Whose password it was.
        name: NameKey,
    },
    /// An identical bind is on its way: wait for its verdict.
    Wait(oneshot::Receiver<Release>),
    /// Forward, and settle the lease with the verdict.
    Lead(Box<HeldLease>),
    /// Forward; the cache has nothing to do with it.
    PassThrough(PassThrough),
    /// Answer without asking anybody.
    Refuse(Refusal),
}

/// Why the cache has nothing to do with a bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassThrough {
    /// No password: anonymous or unauthenticated (RFC 4513 sections 5.1.1 and 5.1.2).
    NoPassword,
    /// SASL, with a mechanism that may put a security layer under the session.
    SaslLayered,
    /// SASL, with a mechanism that cannot.
    SaslPlain,
    /// A choice, version, control or encoding that the proxy does not reason about.
    Unusual,
}

/// Why a bind is refused without asking anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A name without a password, and the configuration forbids that.
    Unauthenticated,
    /// SASL EXTERNAL would lend the proxy's own identity to the client.
    External,
}

impl std::fmt::Debug for BindPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AfterOutstanding => f.write_str("AfterOutstanding"),
            Self::Answer { .. } => f.write_str("Answer"),
            Self::Wait(_) => f.write_str("Wait"),
            Self::Lead(_) => f.write_str("Lead"),
            Self::PassThrough(kind) => write!(f, "PassThrough({kind:?})"),
            Self::Refuse(refusal) => write!(f, "Refuse({refusal:?})"),
        }
    }
}

/// SASL mechanisms that cannot install a security layer (RFC 4616, RFC 4422 appendix A, RFC 4505,
/// RFC 5802, RFC 2195): the session stays LDAP after them.
const LAYERLESS_MECHANISMS: [&[u8]; 5] = [b"PLAIN", b"EXTERNAL", b"ANONYMOUS", b"CRAM-MD5", b"LOGIN"];
const LAYERLESS_PREFIX: &[u8] = b"SCRAM-";

impl Session {
    /// Decides what is to become of a bind; `None` is one that cannot be read. `now` is of this process's clock.
    pub(super) fn plan_bind(&self, bind: Option<&BindRequest<'_>>, now: Tick) -> BindPlan {
        let Some(&BindRequest { version, name, authentication, controls }) = bind else {
            return BindPlan::PassThrough(PassThrough::Unusual);
        };
        let password = match authentication {
            Authentication::Simple([]) if name.is_empty() => return BindPlan::PassThrough(PassThrough::NoPassword),
            Authentication::Simple([]) => {
                let reject = self.core.with_settings(|settings| settings.config.cache.reject_unauthenticated);
                return if reject {
                    BindPlan::Refuse(Refusal::Unauthenticated)
                } else {
                    BindPlan::PassThrough(PassThrough::NoPassword)
                };
            }
            Authentication::Simple(password) => password,
            Authentication::Sasl { mechanism } => return self.plan_sasl(mechanism),
            Authentication::Other(_) => return BindPlan::PassThrough(PassThrough::Unusual),
        };
        // PHP binds with version 2 unless told otherwise; anything else is unusual.
        let usual_version = matches!(version, 2 | 3);
        let policy_control = controls.find(oid::PASSWORD_POLICY);
        let usual_controls = controls.iter().all(|control| !control.critical)
            && policy_control.is_none_or(|control| control.value.is_none());
        if name.is_empty() || !usual_version || !usual_controls {
            return BindPlan::PassThrough(PassThrough::Unusual);
        }
        let shared = &self.core.shared;
        let credential = shared.guard.credential_with(&mut self.core.name_memo.borrow_mut(), name, password);
        let mut waiting = None;
        let decision = shared.guard.decide(&credential, self.source, shared.cluster_clock.of(now), || {
            let (waiter, receiver) = oneshot::channel();
            waiting = Some(receiver);
            Waiter::Session(waiter)
        });
        shared.metrics.cache_lookup(matches!(decision, Decision::Answer(_)));
        match decision {
            Decision::Answer(verdict) => {
                BindPlan::Answer { verdict, wants_password_policy: policy_control.is_some(), name: credential.name }
            }
            Decision::Wait => waiting.map_or(BindPlan::PassThrough(PassThrough::Unusual), BindPlan::Wait),
            Decision::Lead(lease) => BindPlan::Lead(Box::new(HeldLease::new(shared.clone(), lease))),
        }
    }

    fn plan_sasl(&self, mechanism: &[u8]) -> BindPlan {
        // The identity of an EXTERNAL bind is that of the connection below it, which here is the
        // proxy's: forwarding it would make every client the proxy (on ldapi, even root). It is
        // sound only where the proxy's connections have no identity; then the directory refuses.
        if mechanism.eq_ignore_ascii_case(b"EXTERNAL") && !self.core.with_settings(|settings| settings.forward_external)
        {
            return BindPlan::Refuse(Refusal::External);
        }
        let layerless = LAYERLESS_MECHANISMS.iter().any(|known| known.eq_ignore_ascii_case(mechanism))
            || mechanism
                .get(..LAYERLESS_PREFIX.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(LAYERLESS_PREFIX));
        BindPlan::PassThrough(if layerless { PassThrough::SaslPlain } else { PassThrough::SaslLayered })
    }

    /// A bind, however answered, makes the session anonymous first (RFC 4513 section 4). A
    /// connection that still carries the old identity is given back before anything is answered.
    pub(super) fn become_anonymous(&mut self) {
        self.identity = Identity::Anonymous;
        self.sasl_in_progress = false;
        if self.attached.as_ref().is_some_and(|connection| !connection.anonymous) {
            self.detach();
        }
    }

    /// Counts a bind that was answered; the metrics show it among the requests too.
    pub(super) fn count_bind(&self, decision: BindDecision, result: BindResult) {
        self.core.shared.metrics.bind(decision, result);
    }

    /// Counts a bind that was answered from the cache, which the directory would have counted as
    /// another failure. `now` is of this process's clock.
    pub(super) fn record_suppressed(&self, key: NameKey, name: &[u8], decision: BindDecision, now: Tick) {
        let shared = &self.core.shared;
        self.count_bind(decision, BindResult::InvalidCredentials);
        shared.metrics.lockout_attempt_prevented();
        if let Some(offenders) = shared.offenders.get(self.core.id) {
            offenders.lock().record(key, name, self.source, &self.listener.name, shared.cluster_clock.of(now));
        }
    }
}
