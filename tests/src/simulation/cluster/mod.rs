//! Up to six nodes, one thread, one seed: what a cluster promises, in a network that breaks.
//!
//! Every node is the real [`bindproxy::cluster::node::Node`] with a real guard. Around them virtual time runs
//! in microseconds: clocks an hour apart that drift, connections with latencies that stall, break and
//! overflow, partitions of one direction or both, processes that crash, hang, leave, join and are
//! replaced, hashing keys that roll, one model directory that locks accounts, and clients that present the same
//! old password at several nodes in one instant.
//!
//! `model` believes what the cluster must believe, from what sessions and administrators see, and checks:
//! * I1: nothing that a node must know to be wrong reaches the directory; while everybody sees everybody, one
//!   attempt at a time over all nodes, and none in the life of a failure.
//! * I2: no refusal beyond the life of the failure that it rests on, none that rests on an attempt from before
//!   a change, a flush or a success of which the node must know.
//! * I3: nothing is refused that the directory did not refuse.
//! * Nobody waits for ever, no lease is lost; after everything has healed all nodes hold the same, and see
//!   exactly those who live.
//!
//! What a node *must* know is what was known to one that it was in touch with, undisturbed, for as long as
//! anything may be on its way; after a disturbance, once a comparison had the time to repair it.

mod model;
mod network;
mod plan;
mod process;
mod sessions;
mod troubles;
mod world;

use super::Violation;

/// A fault that is built into the simulation on purpose, so that a test sees the checks fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A receiver starts every failure's life anew.
    LivesStartAnew,
    /// What forgives is never told.
    PardonsAreLost,
    /// Sessions never ask the owner.
    NobodyAsks,
    /// Owners never hear what came of an attempt.
    ConclusionsAreLost,
    /// Facts are dropped, nobody notices, and nobody compares.
    FactsAreLost,
    /// The end of a connection is noticed by nobody.
    EndsAreUnnoticed,
    /// A lease is dropped instead of given back, now and then.
    LeasesAreForgotten,
    /// The store's answer is given to another password, now and then.
    StrangersAreRefused,
}

/// What runs did, so that a test can tell runs that exercised nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Runs.
    pub seeds: u64,
    /// Steps of the virtual world.
    pub events: u64,
    /// Messages between nodes.
    pub messages: u64,
    /// Binds that clients presented.
    pub presented: u64,
    /// Binds that were answered from a store.
    pub cached: u64,
    /// Those of them whose attempt another node had made.
    pub cached_elsewhere: u64,
    /// Binds that waited for an identical attempt of the same node.
    pub waited: u64,
    /// Binds that were told by the owner to wait, or what the answer is.
    pub waited_elsewhere: u64,
    /// Attempts that another member granted.
    pub granted: u64,
    /// Attempts whose owner did not answer in time.
    pub unleased: u64,
    /// Attempts that reached the directory.
    pub received: u64,
    /// Attempts that ended without an answer.
    pub faults: u64,
    /// Accounts that were locked.
    pub locks: u64,
    /// Right passwords that were refused from a store, all within the bounds.
    pub right_refused: u64,
    /// Flushes that others acknowledged.
    pub acknowledged: u64,
    /// Comparisons that found a difference.
    pub repaired: u64,
    /// Clocks that were raised so far that failures had to go.
    pub jumped: u64,
    /// Failures and passwords about which all nodes agreed in the end.
    pub agreed: u64,
}

impl Report {
    /// The sums of two reports.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            seeds: self.seeds + other.seeds,
            events: self.events + other.events,
            messages: self.messages + other.messages,
            presented: self.presented + other.presented,
            cached: self.cached + other.cached,
            cached_elsewhere: self.cached_elsewhere + other.cached_elsewhere,
            waited: self.waited + other.waited,
            waited_elsewhere: self.waited_elsewhere + other.waited_elsewhere,
            granted: self.granted + other.granted,
            unleased: self.unleased + other.unleased,
            received: self.received + other.received,
            faults: self.faults + other.faults,
            locks: self.locks + other.locks,
            right_refused: self.right_refused + other.right_refused,
            acknowledged: self.acknowledged + other.acknowledged,
            repaired: self.repaired + other.repaired,
            jumped: self.jumped + other.jumped,
            agreed: self.agreed + other.agreed,
        }
    }
}

/// Runs one seed, with a fault built in or without.
///
/// # Errors
/// The first [`Violation`], with the events before it.
pub fn run(seed: u64, fault: Option<Fault>) -> Result<Report, Violation> {
    match world::World::new(seed, fault, false).run() {
        Ok(report) => Ok(report),
        // The same run again, this time writing down what happens.
        Err(_) => world::World::new(seed, fault, true).run(),
    }
}
