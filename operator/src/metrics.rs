//! Every metric of the operator. All of them exist from the start, with 0.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Encoder as _, Gauge, Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::reconcile::outcome::ErrorReason;

/// The kinds that are applied, as labels.
pub const KINDS: [&str; 11] = [
    "Certificate",
    "ConfigMap",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "PodMonitor",
    "PrometheusRule",
    "Secret",
    "Service",
    "ServiceAccount",
    "ServiceMonitor",
    "StatefulSet",
];

/// The kinds that are watched, as labels.
pub const WATCHED_KINDS: [&str; 8] = [
    "BindProxy",
    "ConfigMap",
    "NetworkPolicy",
    "Pod",
    "PodDisruptionBudget",
    "Service",
    "ServiceAccount",
    "StatefulSet",
];

/// How long a look at one BindProxy takes: mostly a few requests, at worst the timeouts of its pods.
const BUCKETS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

/// The operator's metrics.
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    duration: Histogram,
    errors: IntCounterVec,
    queue_depth: IntGauge,
    leader: IntGauge,
    conflicts: IntCounterVec,
    watch_restarts: IntCounterVec,
    resources: IntGaugeVec,
    rejected: IntGauge,
    last_reconcile: Gauge,
}

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// Never: the names are distinct and valid, which a test shows.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let build_info =
            counted_gauge(&registry, "bindproxy_operator_build_info", "1, with the release as a label.", &["version"])?;
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let metrics = Self {
            reconciles: counter(
                &registry,
                "bindproxy_operator_reconciles_total",
                "Looks at a BindProxy, by how they ended: success, refused (its condition Accepted says why) or error.",
                "result",
            )?,
            duration: add(
                &registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "bindproxy_operator_reconcile_duration_seconds",
                        "Time of a look at a BindProxy.",
                    )
                    .buckets(BUCKETS.to_vec()),
                )?,
            )?,
            errors: counter(
                &registry,
                "bindproxy_operator_reconcile_errors_total",
                "Looks at a BindProxy that ended with an error, by the step that failed. Each is tried again.",
                "reason",
            )?,
            queue_depth: gauge(
                &registry,
                "bindproxy_operator_queue_depth",
                "BindProxies that are being looked at now.",
            )?,
            leader: gauge(&registry, "bindproxy_operator_leader", "1 while this operator is the one that works.")?,
            conflicts: counter(
                &registry,
                "bindproxy_operator_apply_conflicts_total",
                "Objects that could not be applied because somebody else changed them at the same time.",
                "kind",
            )?,
            watch_restarts: counter(
                &registry,
                "bindproxy_operator_watch_restarts_total",
                "Watches that failed and were started again.",
                "kind",
            )?,
            resources: counted_gauge(
                &registry,
                "bindproxy_operator_resources",
                "BindProxies, by their condition Ready; stopped: not ready because they are paused or scaled to 0.",
                &["ready"],
            )?,
            rejected: gauge(
                &registry,
                "bindproxy_operator_rejected_resources",
                "BindProxies that are stored in a form that this operator cannot read.",
            )?,
            last_reconcile: add(
                &registry,
                Gauge::with_opts(Opts::new(
                    "bindproxy_operator_last_reconcile_timestamp_seconds",
                    "When a look at a BindProxy ended last, in Unix time; 0 = never.",
                ))?,
            )?,
            registry,
        };
        for result in ["success", "refused", "error"] {
            metrics.reconciles.with_label_values(&[result]);
        }
        for reason in ErrorReason::ALL {
            metrics.errors.with_label_values(&[reason.as_str()]);
        }
        for kind in KINDS {
            metrics.conflicts.with_label_values(&[kind]);
        }
        for kind in WATCHED_KINDS {
            metrics.watch_restarts.with_label_values(&[kind]);
        }
        for ready in ["true", "false", "stopped"] {
            metrics.resources.with_label_values(&[ready]);
        }
        Ok(metrics)
    }

    /// A look began.
    pub fn began(&self) {
        self.queue_depth.inc();
    }

    /// A look ended at `unix_now` seconds: well (`Ok(true)`), with a refusal (`Ok(false)`) or with an error.
    pub fn ended(&self, how: Result<bool, ErrorReason>, took: Duration, unix_now: f64) {
        self.queue_depth.dec();
        self.duration.observe(took.as_secs_f64());
        self.last_reconcile.set(unix_now);
        let result = match how {
            Ok(true) => "success",
            Ok(false) => "refused",
            Err(reason) => {
                self.errors.with_label_values(&[reason.as_str()]).inc();
                "error"
            }
        };
        self.reconciles.with_label_values(&[result]).inc();
    }

    /// Whether this operator works.
    pub fn set_leader(&self, leader: bool) {
        self.leader.set(i64::from(leader));
    }

    /// An apply met somebody else's change.
    pub fn apply_conflict(&self, kind: &str) {
        self.conflicts.with_label_values(&[kind]).inc();
    }

    /// A watch failed.
    pub fn watch_restarted(&self, kind: &str) {
        self.watch_restarts.with_label_values(&[kind]).inc();
    }

    /// How many BindProxies there are: ready, not ready, not ready on purpose, and such as cannot be read.
    pub fn set_resources(&self, ready: usize, not_ready: usize, stopped: usize, rejected: usize) {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.resources.with_label_values(&["true"]).set(count(ready));
        self.resources.with_label_values(&["false"]).set(count(not_ready));
        self.resources.with_label_values(&["stopped"]).set(count(stopped));
        self.rejected.set(count(rejected));
    }

    /// All of them, in the text format of Prometheus.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        // Writing to memory cannot fail.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn counter(registry: &Registry, name: &str, help: &str, label: &str) -> Result<IntCounterVec, prometheus::Error> {
    add(registry, IntCounterVec::new(Opts::new(name, help), &[label])?)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    add(registry, IntGauge::with_opts(Opts::new(name, help))?)
}

fn counted_gauge(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntGaugeVec, prometheus::Error> {
    add(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_exists_from_the_start() {
        let text = Metrics::new().unwrap().text();
        for line in [
            "bindproxy_operator_reconciles_total{result=\"error\"} 0",
            "bindproxy_operator_reconcile_errors_total{reason=\"apply\"} 0",
            "bindproxy_operator_apply_conflicts_total{kind=\"StatefulSet\"} 0",
            "bindproxy_operator_watch_restarts_total{kind=\"BindProxy\"} 0",
            "bindproxy_operator_resources{ready=\"true\"} 0",
            "bindproxy_operator_rejected_resources 0",
            "bindproxy_operator_leader 0",
            "bindproxy_operator_queue_depth 0",
            "bindproxy_operator_last_reconcile_timestamp_seconds 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
