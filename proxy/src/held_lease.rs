//! Leases in the hands of sessions, which may panic or vanish.

use std::sync::Arc;

use crate::bind::{Lease, Outcome, Release, Settled};
use crate::core::Shared;
use crate::effects::perform;

/// A lease that is settled whatever happens to the session that holds it.
///
/// Dropped without a verdict (a panic, a closed runtime), it counts as a transport fault, so the
/// next waiter is let go and nobody waits for ever.
pub struct HeldLease {
    shared: Arc<Shared>,
    lease: Option<Lease>,
}

impl HeldLease {
    /// Holds `lease`.
    #[must_use]
    pub fn new(shared: Arc<Shared>, lease: Lease) -> Self {
        Self { shared, lease: Some(lease) }
    }

    /// Settles the lease: learns from the outcome and answers or releases whoever waits.
    pub fn settle(mut self, outcome: Outcome) {
        if let Some(lease) = self.lease.take() {
            settle(&self.shared, lease, outcome);
        }
    }
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            settle(&self.shared, lease, Outcome::Fault);
        }
    }
}

fn settle(shared: &Arc<Shared>, lease: Lease, outcome: Outcome) {
    let Settled { class: _, released, effects } = shared.guard.settle(lease, outcome, shared.clock.now());
    perform(shared, &effects);
    let mut undelivered = Vec::new();
    for (waiter, release) in released {
        if let Err(release) = waiter.send(release) {
            undelivered.push(release);
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
