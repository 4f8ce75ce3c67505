//! The metrics of one listener, resolved once for every connection to use.

use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::labels::CloseReason;
use super::register::Registrar;
use super::table;

/// Handles to the series of one listener; cheap to clone.
#[derive(Clone, Debug)]
pub struct ListenerMetrics {
    /// Open client connections.
    pub active: IntGauge,
    /// Accepted client connections.
    pub accepted: IntCounter,
    closed: Arc<[IntCounter]>,
}

impl ListenerMetrics {
    /// Counts a connection that ended. The caller also lowers `active`.
    pub fn closed(&self, reason: CloseReason) {
        self.closed[reason as usize].inc();
    }

    /// How many connections ended for this reason.
    #[must_use]
    pub fn closed_count(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize].get()
    }
}

#[derive(Debug)]
pub(super) struct ListenerFamilies {
    active: IntGaugeVec,
    accepted: IntCounterVec,
    closed: IntCounterVec,
}

impl ListenerFamilies {
    pub(super) fn new(registrar: &Registrar<'_>) -> Self {
        Self {
            active: registrar.gauges(&table::CONNECTIONS_ACTIVE),
            accepted: registrar.counters(&table::CONNECTIONS_ACCEPTED),
            closed: registrar.counters(&table::CONNECTIONS_CLOSED),
        }
    }

    pub(super) fn of(&self, listener: &str) -> ListenerMetrics {
        let closed = CloseReason::LABELS.iter().map(|reason| self.closed.with_label_values(&[listener, reason]));
        ListenerMetrics {
            active: self.active.with_label_values(&[listener]),
            accepted: self.accepted.with_label_values(&[listener]),
            closed: closed.collect(),
        }
    }
}
