//! Leases in the hands of sessions, which may panic or vanish.

use std::sync::Arc;

use crate::bind::{Conclusion, Lease, Outcome, Release, Settled};
use crate::cluster::handle::Report;
use crate::codec::code;
use crate::core::{Shared, Waiter};
use crate::effects::perform;

/// A lease that is settled whatever happens to the session that holds it.
///
/// Dropped without a verdict (a panic, a closed runtime), it counts as a transport fault, so the
/// next waiter is let go and nobody waits for ever, here or at the member that owns the name.
pub struct HeldLease {
    shared: Arc<Shared>,
    lease: Option<Lease>,
    /// The owner of the name waits for what comes of it.
    report: Option<Report>,
}

impl HeldLease {
    /// Holds `lease`.
    #[must_use]
    pub fn new(shared: Arc<Shared>, lease: Lease) -> Self {
        Self { shared, lease: Some(lease), report: None }
    }

    /// The attempt's lease; none once it is settled.
    #[must_use]
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// From now on the owner of the name is told what comes of the attempt.
    pub fn report_to_owner(&mut self, report: Report) {
        self.report = Some(report);
    }

    /// Settles the lease: learns from the outcome and answers or releases whoever waits.
    pub fn settle(mut self, outcome: Outcome) {
        let conclusion = self.report.is_some().then(|| conclusion(&outcome));
        if let Some(lease) = self.lease.take() {
            // Here first: what is learned is told before the owner lets others go.
            settle(&self.shared, lease, outcome);
        }
        if let (Some(report), Some(conclusion)) = (self.report.take(), conclusion) {
            report.conclude(conclusion);
        }
    }

    /// Another member made the attempt: lets go those who wait for it here, and at the owner.
    pub fn conclude(mut self, conclusion: Conclusion) {
        if let Some(lease) = self.lease.take() {
            let now = self.shared.cluster_clock.now();
            let settled = self.shared.guard.conclude(lease, conclusion.clone(), now);
            follow(&self.shared, settled);
        }
        if let Some(report) = self.report.take() {
            report.conclude(conclusion);
        }
    }
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            settle(&self.shared, lease, Outcome::Fault);
        }
        // A report that is dropped says "fault" by itself.
    }
}

fn conclusion(outcome: &Outcome) -> Conclusion {
    match outcome {
        Outcome::Verdict(verdict) if verdict.code() == code::SUCCESS => Conclusion::Success,
        Outcome::Verdict(verdict) => Conclusion::Verdict(Arc::new(verdict.clone())),
        Outcome::Fault => Conclusion::Fault,
    }
}

fn settle(shared: &Arc<Shared>, lease: Lease, outcome: Outcome) {
    let settled = shared.guard.settle(lease, outcome, shared.cluster_clock.now());
    follow(shared, settled);
}

fn follow(shared: &Arc<Shared>, settled: Settled<Waiter>) {
    let Settled { class: _, released, effects } = settled;
    perform(shared, effects);
    let_go(shared, released);
}

/// Tells whoever waited that it is his turn, or what the answer is.
pub fn let_go(shared: &Arc<Shared>, released: Vec<(Waiter, Release)>) {
    let mut undelivered = Vec::new();
    for (waiter, release) in released {
        match waiter {
            Waiter::Session(session) => undelivered.extend(session.send(release).err()),
            Waiter::Peer(peer) => match shared.cluster.get() {
                Some(cluster) => cluster.released(peer, release),
                None => undelivered.push(release),
            },
        }
    }
    // A waiter that has given up cannot take its turn: the turn passes on as after a fault.
    for release in undelivered {
        match release {
            Release::Answer(_) => {}
            Release::Forward(lease) => settle(shared, lease, Outcome::Fault),
        }
    }
}
