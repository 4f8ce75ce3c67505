//! One bind from plan to answer: answer it here, wait for another one's verdict, or ask ([`super::ask`]).
//!
//! The order is the promise: the session is anonymous before anything is answered, a bind is
//! written to a directory at most once, and its verdict is learned even if the client has gone.

use std::sync::Arc;

use rand::RngExt;
use tokio::sync::oneshot;

use super::bind_plan::{BindPlan, PassThrough, Refusal};
use super::{Flow, Session};
use crate::bind::{Conclusion, Release, Verdict};
use crate::cluster::handle::Turn;
use crate::codec::bind_request;
use crate::codec::frame::{self, Peek};
use crate::codec::{build, code, oid};
use crate::held_lease::HeldLease;
use crate::metrics::{BindDecision, BindResult};

/// A bind whose octets are wiped when it is done with.
pub(super) type Request = zeroize::Zeroizing<Vec<u8>>;

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
            BindPlan::Lead(lease) => self.lead(request, peek, *lease).await,
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
                self.answer_coalesced(&request, &peek, &verdict).await;
                Flow::Continue
            }
            Ok(Ok(Release::Forward(lease))) => {
                let lease = HeldLease::new(self.core.shared.clone(), lease);
                self.lead(request, peek, lease).await
            }
            Ok(Err(_)) | Err(_) => {
                self.answer_unavailable(&peek, code::UNAVAILABLE, "the directory did not answer in time");
                Flow::Continue
            }
        }
    }

    /// Forwards the bind under `lease`, when the member that owns the name (mostly this process
    /// itself) has no better answer.
    async fn lead(&mut self, request: Request, peek: Peek, mut lease: HeldLease) -> Flow {
        let shared = self.core.shared.clone();
        if let (Some(cluster), Some(held)) = (shared.cluster.get(), lease.lease())
            && cluster.must_ask(&shared.guard, held.credential(), shared.cluster_clock.now())
        {
            let credential = *held.credential();
            let limit = self.core.with_settings(|settings| settings.request_timeout);
            // An owner that makes it wait is about to answer: nothing of the old identity may linger.
            self.become_anonymous();
            match cluster.ask(&credential, limit).await {
                Turn::Go(report) => {
                    if let Some(report) = report {
                        lease.report_to_owner(report);
                    }
                    // While it asked, what it asks about may have become known.
                    if let Some(verdict) = shared.guard.heard_of(&credential, shared.cluster_clock.now()) {
                        lease.conclude(Conclusion::Verdict(verdict.clone()));
                        self.answer_coalesced(&request, &peek, &verdict).await;
                        return Flow::Continue;
                    }
                }
                Turn::Answer(verdict) => {
                    lease.conclude(Conclusion::Verdict(verdict.clone()));
                    self.answer_coalesced(&request, &peek, &verdict).await;
                    return Flow::Continue;
                }
                Turn::Busy => {
                    drop(lease);
                    let text = "no other proxy of the cluster could say whether this password is being tried";
                    self.answer_unavailable(&peek, code::BUSY, text);
                    return Flow::Continue;
                }
                Turn::TimedOut => {
                    drop(lease);
                    self.answer_unavailable(&peek, code::UNAVAILABLE, "the directory did not answer in time");
                    return Flow::Continue;
                }
            }
        }
        self.ask_directory(request, peek, Some(lease)).await
    }

    /// Answers with what an identical bind, here or at another member, was answered with.
    async fn answer_coalesced(&mut self, request: &[u8], peek: &Peek, verdict: &Arc<Verdict>) {
        let wants =
            bind_request::parse(request, peek).is_ok_and(|bind| bind.controls.find(oid::PASSWORD_POLICY).is_some());
        if verdict.code() == code::INVALID_CREDENTIALS {
            self.answer_locally(request, peek, verdict, wants, BindDecision::Coalesced).await;
        } else {
            verdict.write_response(&mut self.backlog, peek.message_id, wants);
            self.count_bind(BindDecision::Coalesced, BindResult::Other);
        }
    }

    pub(super) fn answer_unavailable(&mut self, peek: &Peek, code: u32, text: &str) {
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
}
