//! One pod, one thread, one seed: the bind decision against a model directory that locks accounts.
//!
//! A virtual clock runs days of phones that present old passwords, people who type, changes and
//! unlocks at the directory and through the proxy, outages, lost and slow answers and clients that
//! hang up. After every step the promises are checked against what the directory itself saw:
//! I1 (a wrong password reaches it once in the life of its entry), I2 (a right password is not
//! refused beyond the stated bound, and at once not after a change that passed through) and I3
//! (nobody is told 49 who the directory did not tell so; what is cached is answered while it is
//! down). The same seed replays the same run.

pub mod cluster;
mod directory;
mod oracle;
mod pod;

use std::fmt;

/// What a run did, so that a test can tell a run that exercised nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Binds that clients presented.
    pub presented: u64,
    /// Binds that were answered from the store.
    pub cached: u64,
    /// Binds that waited for an identical attempt.
    pub waited: u64,
    /// Binds that reached the directory.
    pub received: u64,
    /// Accounts that were locked.
    pub locks: u64,
    /// Attempts that ended without an answer.
    pub faults: u64,
    /// Right passwords that were refused from the store, all within the bound.
    pub right_refused: u64,
    /// Purges of other entries because the last good password failed.
    pub others_purged: u64,
    /// Verdicts that came too late to be recorded.
    pub late: u64,
}

impl Report {
    /// The sums of two reports.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            presented: self.presented + other.presented,
            cached: self.cached + other.cached,
            waited: self.waited + other.waited,
            received: self.received + other.received,
            locks: self.locks + other.locks,
            faults: self.faults + other.faults,
            right_refused: self.right_refused + other.right_refused,
            others_purged: self.others_purged + other.others_purged,
            late: self.late + other.late,
        }
    }
}

/// A promise that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The seed that replays it.
    pub seed: u64,
    /// Virtual milliseconds since the start.
    pub at: u64,
    /// What happened.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, at, what } = self;
        write!(
            f,
            "seed {seed}, at {at} ms: {what} (replay: BINDPROXY_SIMULATION_SEED={seed} cargo test --test simulation)"
        )
    }
}

impl std::error::Error for Violation {}

/// Runs one seed.
///
/// # Errors
/// The first [`Violation`].
pub fn run(seed: u64) -> Result<Report, Violation> {
    pod::Simulation::new(seed).run()
}
