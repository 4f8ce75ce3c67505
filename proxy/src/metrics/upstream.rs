//! The metrics of one upstream, resolved once for every connection to use.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::histogram::{Histogram, HistogramFamily};
use super::labels::{ConnectFailure, Operation, PoolState, TimedOperation, UpstreamResult};
use super::register::Registrar;
use super::table;

/// Handles to the series of one upstream; cheap to clone.
#[derive(Clone, Debug)]
pub struct UpstreamMetrics {
    /// 1 while it is used.
    pub up: IntGauge,
    /// Connections in the pool.
    pub idle: IntGauge,
    /// Connections attached to a session.
    pub busy: IntGauge,
    /// Messages that answer nothing that was asked; one counter for all upstreams.
    pub unexpected: IntCounter,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct Counters {
    /// By operation, then by result; results that share a series share a counter.
    requests: Vec<Vec<IntCounter>>,
    durations: Vec<Histogram>,
    connect_failures: Vec<IntCounter>,
}

impl UpstreamMetrics {
    /// Counts a request that was sent, once it is known what became of it.
    pub fn request(&self, operation: Operation, result: UpstreamResult) {
        self.counters.requests[operation as usize][result as usize].inc();
    }

    /// How often this became of such a request.
    #[must_use]
    pub fn request_count(&self, operation: Operation, result: UpstreamResult) -> u64 {
        self.counters.requests[operation as usize][result as usize].get()
    }

    /// Enters the time from a request to its (last) answer.
    pub fn duration(&self, operation: Operation, taken: Duration) {
        self.counters.durations[TimedOperation::from(operation) as usize].observe(taken);
    }

    /// Counts `count` requests of the same kind that got the same result after the same time.
    pub fn answered(&self, operation: Operation, result: UpstreamResult, taken: Duration, count: u64) {
        self.counters.requests[operation as usize][result as usize].inc_by(count);
        self.counters.durations[TimedOperation::from(operation) as usize].observe_alike(taken, count);
    }

    /// Counts a connection that did not come about.
    pub fn connect_failure(&self, reason: ConnectFailure) {
        self.counters.connect_failures[reason as usize].inc();
    }
}

#[derive(Debug)]
pub(super) struct UpstreamFamilies {
    up: IntGaugeVec,
    connections: IntGaugeVec,
    requests: IntCounterVec,
    durations: HistogramFamily,
    connect_failures: IntCounterVec,
    failovers: IntCounterVec,
}

impl UpstreamFamilies {
    pub(super) fn new(registrar: &Registrar<'_>) -> Self {
        Self {
            up: registrar.gauges(&table::UPSTREAM_UP),
            connections: registrar.gauges(&table::UPSTREAM_CONNECTIONS),
            requests: registrar.counters(&table::UPSTREAM_REQUESTS),
            durations: registrar.histograms(&table::UPSTREAM_REQUEST_DURATION),
            connect_failures: registrar.counters(&table::UPSTREAM_CONNECT_FAILURES),
            failovers: registrar.counters(&table::UPSTREAM_FAILOVERS),
        }
    }

    /// The handles of an upstream, and its failover counters to and from each of `others`.
    pub(super) fn of<'a>(
        &self,
        upstream: &str,
        others: impl Iterator<Item = &'a str>,
        unexpected: &IntCounter,
    ) -> UpstreamMetrics {
        for other in others.filter(|other| *other != upstream) {
            let _ = self.failover(upstream, other);
            let _ = self.failover(other, upstream);
        }
        let request = |operation: &Operation, result: &UpstreamResult| {
            let counted = result.counted(*operation);
            self.requests.with_label_values(&[upstream, operation.label(), counted.label()])
        };
        let requests = Operation::ALL
            .iter()
            .map(|operation| UpstreamResult::ALL.iter().map(|result| request(operation, result)).collect())
            .collect();
        let durations = TimedOperation::LABELS.iter().map(|op| self.durations.with_label_values(&[upstream, op]));
        let failures =
            ConnectFailure::LABELS.iter().map(|why| self.connect_failures.with_label_values(&[upstream, why]));
        UpstreamMetrics {
            up: self.up.with_label_values(&[upstream]),
            idle: self.connections.with_label_values(&[upstream, PoolState::Idle.label()]),
            busy: self.connections.with_label_values(&[upstream, PoolState::Busy.label()]),
            unexpected: unexpected.clone(),
            counters: Arc::new(Counters {
                requests,
                durations: durations.collect(),
                connect_failures: failures.collect(),
            }),
        }
    }

    pub(super) fn failover(&self, from: &str, to: &str) -> IntCounter {
        self.failovers.with_label_values(&[from, to])
    }

    /// Drops the series of an upstream that is no longer configured: a gauge that stays at its last
    /// value would keep an alert alive for ever.
    pub(super) fn forget<'a>(&self, upstream: &str, others: impl Iterator<Item = &'a str>) {
        // An absent series is what is wanted, so "not found" is no failure here.
        let _ = self.up.remove_label_values(&[upstream]);
        for state in PoolState::LABELS {
            let _ = self.connections.remove_label_values(&[upstream, state]);
        }
        for operation in Operation::LABELS {
            for result in UpstreamResult::LABELS {
                let _ = self.requests.remove_label_values(&[upstream, operation, result]);
            }
        }
        for op in TimedOperation::LABELS {
            self.durations.remove_label_values(&[upstream, op]);
        }
        for reason in ConnectFailure::LABELS {
            let _ = self.connect_failures.remove_label_values(&[upstream, reason]);
        }
        for other in others {
            let _ = self.failovers.remove_label_values(&[upstream, other]);
            let _ = self.failovers.remove_label_values(&[other, upstream]);
        }
    }
}
