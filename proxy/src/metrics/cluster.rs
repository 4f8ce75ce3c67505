//! The metrics of the cluster. They exist, at 0, in a process that is in none.

use std::time::Duration;

use prometheus::{IntCounter, IntGauge};

use super::histogram::Histogram;
pub use super::labels::{
    ClusterRejection, Completeness, LeaseResult, MessageDirection, MessageKind, PeerState, SyncResult,
};
use super::register::Registrar;
use super::table;

/// Handles to the series of the cluster.
#[derive(Clone, Debug)]
pub struct ClusterMetrics {
    /// Addresses of other members that discovery knows.
    pub discovered: IntGauge,
    /// Addresses over the bound that were left out.
    pub ignored: IntGauge,
    /// What could not be told because a queue was full.
    pub dropped: IntCounter,
    /// Times that the failures were dropped because cluster time had to be raised too far.
    pub clock_jumps: IntCounter,
    /// Faults of accepting.
    pub accept_faults: IntCounter,
    peers: Vec<IntGauge>,
    links: Vec<IntGauge>,
    joined: Vec<IntGauge>,
    messages: Vec<Vec<IntCounter>>,
    bytes: Vec<IntCounter>,
    rejected: Vec<IntCounter>,
    propagation: Histogram,
    syncs: Vec<IntCounter>,
    leases: Vec<IntCounter>,
}

impl ClusterMetrics {
    pub(super) fn new(registrar: &Registrar<'_>) -> Self {
        let gauge = |family| registrar.gauges(family).with_label_values::<&str>(&[]);
        let counter = |family| registrar.counters(family).with_label_values::<&str>(&[]);
        let gauges = |family, labels: &[&str]| -> Vec<IntGauge> {
            let gauges = registrar.gauges(family);
            labels.iter().map(|label| gauges.with_label_values(&[label])).collect()
        };
        let counters = |family, labels: &[&str]| -> Vec<IntCounter> {
            let counters = registrar.counters(family);
            labels.iter().map(|label| counters.with_label_values(&[label])).collect()
        };
        let messages = registrar.counters(&table::CLUSTER_MESSAGES);
        let of_direction = |direction: &&str| -> Vec<IntCounter> {
            MessageKind::LABELS.iter().map(|kind| messages.with_label_values(&[direction, kind])).collect()
        };
        Self {
            discovered: gauge(&table::CLUSTER_DISCOVERED),
            ignored: gauge(&table::CLUSTER_OVER_BOUND),
            dropped: counter(&table::CLUSTER_DROPPED),
            clock_jumps: counter(&table::CLUSTER_CLOCK_JUMPS),
            accept_faults: counter(&table::CLUSTER_ACCEPT_FAULTS),
            peers: gauges(&table::CLUSTER_PEERS, PeerState::LABELS),
            links: gauges(&table::CLUSTER_LINKS, MessageDirection::LABELS),
            joined: gauges(&table::CLUSTER_JOINED, Completeness::LABELS),
            messages: MessageDirection::LABELS.iter().map(of_direction).collect(),
            bytes: counters(&table::CLUSTER_BYTES, MessageDirection::LABELS),
            rejected: counters(&table::CLUSTER_REJECTED, ClusterRejection::LABELS),
            propagation: registrar.histograms(&table::CLUSTER_PROPAGATION).with_label_values(&[]),
            syncs: counters(&table::CLUSTER_SYNCS, SyncResult::LABELS),
            leases: counters(&table::CLUSTER_LEASES, LeaseResult::LABELS),
        }
    }

    /// Says how many other members stand so.
    pub fn set_peers(&self, state: PeerState, count: usize) {
        self.peers[state as usize].set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Connections that are up, by who opened them.
    #[must_use]
    pub fn links(&self, opened: MessageDirection) -> &IntGauge {
        &self.links[opened as usize]
    }

    /// Says that this process has joined.
    pub fn set_joined(&self, complete: bool) {
        let which = if complete { Completeness::True } else { Completeness::False };
        for (index, gauge) in self.joined.iter().enumerate() {
            gauge.set(i64::from(index == which as usize));
        }
    }

    /// Counts `octets` of messages of one kind.
    pub fn message(&self, direction: MessageDirection, kind: MessageKind, octets: usize) {
        self.messages[direction as usize][kind as usize].inc();
        self.bytes[direction as usize].inc_by(octets as u64);
    }

    /// Counts something that was refused.
    pub fn rejected(&self, reason: ClusterRejection) {
        self.rejected[reason as usize].inc();
    }

    /// How much was refused for this reason.
    #[must_use]
    pub fn rejected_count(&self, reason: ClusterRejection) -> u64 {
        self.rejected[reason as usize].get()
    }

    /// Enters how long a fact was on its way.
    pub fn propagated(&self, taken: Duration) {
        self.propagation.observe(taken);
    }

    /// Counts a comparison.
    pub fn synced(&self, result: SyncResult) {
        self.syncs[result as usize].inc();
    }

    /// Counts what became of an attempt whose name another member owns.
    pub fn lease(&self, result: LeaseResult) {
        self.leases[result as usize].inc();
    }

    /// How many attempts ended so.
    #[must_use]
    pub fn lease_count(&self, result: LeaseResult) -> u64 {
        self.leases[result as usize].get()
    }
}
