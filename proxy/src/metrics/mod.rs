//! What the proxy counts. Handles are resolved when the process starts, so that counting an event
//! is one atomic addition and never a look-up by label.
//!
//! Every counter exists with value 0 from the start: `rate()` and an alert on it work from the
//! first event on. Names, labels and help stand in [`table`].

pub mod cluster;
mod histogram;
pub mod labels;
mod listener;
mod process;
mod register;
pub mod table;
mod upstream;

use std::collections::BTreeSet;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::{Encoder, IntCounter, IntGauge, IntGaugeVec, Registry, TextEncoder};

pub use cluster::ClusterMetrics;
use histogram::Histogram;
use labels::{AnswerPath, Lookup, Origin, Reload, TimedOperation};
pub use labels::{
    BindDecision, BindResult, CloseReason, ConnectFailure, Operation, Removal, RequestResult, UpstreamResult,
};
use listener::ListenerFamilies;
pub use listener::ListenerMetrics;
use process::ProcessMetrics;
use register::Registrar;
use upstream::UpstreamFamilies;
pub use upstream::UpstreamMetrics;

/// The commit that the program was built from; the build sets `BINDPROXY_REVISION`.
pub const REVISION: &str = match option_env!("BINDPROXY_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// The metrics of the failed-bind cache.
#[derive(Clone, Debug)]
pub struct CacheMetrics {
    /// Remembered failures.
    pub entries: IntGauge,
    /// `cache.maxEntries`.
    pub capacity: IntGauge,
    /// Failures that this process learned.
    pub inserted: IntCounter,
    /// Failures that another member of the cluster told of.
    pub inserted_by_cluster: IntCounter,
    removals: Vec<IntCounter>,
}

impl CacheMetrics {
    /// Counts `count` entries that were forgotten.
    pub fn removed(&self, reason: Removal, count: u64) {
        self.removals[reason as usize].inc_by(count);
    }
}

/// The queue for upstream connections.
#[derive(Clone, Debug)]
pub struct PoolQueueMetrics {
    /// Sessions that wait.
    pub waiting: IntGauge,
    /// Sessions that waited in vain.
    pub timeouts: IntCounter,
}

/// Everything that the proxy counts. One for each process; shared by reference.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    binds: Vec<Vec<IntCounter>>,
    prevented: IntCounter,
    lockouts_seen: IntCounter,
    lookups: Vec<IntCounter>,
    requests: Vec<Vec<IntCounter>>,
    bind_from_cache: Histogram,
    forwarded: Vec<Histogram>,
    listeners: ListenerFamilies,
    connections_limit: IntGauge,
    upstreams: UpstreamFamilies,
    upstream_names: Mutex<BTreeSet<String>>,
    cache: CacheMetrics,
    cluster: ClusterMetrics,
    queue: PoolQueueMetrics,
    unexpected: IntCounter,
    config_info: IntGaugeVec,
    config_last_success: IntGauge,
    config_last_reload_successful: IntGauge,
    reloads: Vec<IntCounter>,
    certificates: IntGaugeVec,
    draining: IntGauge,
    panics: IntCounter,
    process: ProcessMetrics,
    /// Held while series are replaced and while they are rendered, so that no scrape sees neither
    /// the old configuration's hash nor the new one's.
    replacing: Mutex<()>,
}

impl Metrics {
    /// All series of these listeners and upstreams, at 0.
    #[must_use]
    pub fn new(listeners: &[String], upstreams: &[String]) -> Self {
        let registry = Registry::new();
        let registrar = Registrar(&registry);
        let counter = |family| registrar.counters(family).with_label_values::<&str>(&[]);
        let gauge = |family| registrar.gauges(family).with_label_values::<&str>(&[]);
        let each = |family, labels: &[&str]| -> Vec<IntCounter> {
            let counters = registrar.counters(family);
            labels.iter().map(|label| counters.with_label_values(&[label])).collect()
        };

        registrar.gauges(&table::BUILD_INFO).with_label_values(&[env!("CARGO_PKG_VERSION"), REVISION]).set(1);
        let binds = registrar.counters(&table::BINDS);
        let of_decision = |decision: &&str| -> Vec<IntCounter> {
            BindResult::LABELS.iter().map(|result| binds.with_label_values(&[decision, result])).collect()
        };
        let requests = registrar.counters(&table::REQUESTS);
        let of_operation = |operation: &Operation| -> Vec<IntCounter> {
            let results = RequestResult::ALL.iter().map(|result| result.counted(*operation).label());
            results.map(|result| requests.with_label_values(&[operation.label(), result])).collect()
        };
        let durations = registrar.histograms(&table::REQUEST_DURATION);
        let forwarded = |op: &&str| durations.with_label_values(&[op, AnswerPath::Upstream.label()]);

        let insertions = registrar.counters(&table::CACHE_INSERTIONS);

        let metrics = Self {
            binds: BindDecision::LABELS.iter().map(of_decision).collect(),
            prevented: counter(&table::LOCKOUT_ATTEMPTS_PREVENTED),
            lockouts_seen: counter(&table::UPSTREAM_LOCKOUTS_SEEN),
            lookups: each(&table::CACHE_LOOKUPS, Lookup::LABELS),
            requests: Operation::ALL.iter().map(of_operation).collect(),
            bind_from_cache: durations.with_label_values(&[TimedOperation::Bind.label(), AnswerPath::Cache.label()]),
            forwarded: TimedOperation::LABELS.iter().map(forwarded).collect(),
            listeners: ListenerFamilies::new(&registrar),
            connections_limit: gauge(&table::CONNECTIONS_LIMIT),
            upstreams: UpstreamFamilies::new(&registrar),
            upstream_names: Mutex::default(),
            cache: CacheMetrics {
                entries: gauge(&table::CACHE_ENTRIES),
                capacity: gauge(&table::CACHE_CAPACITY),
                inserted: insertions.with_label_values(&[Origin::Local.label()]),
                inserted_by_cluster: insertions.with_label_values(&[Origin::Cluster.label()]),
                removals: each(&table::CACHE_REMOVALS, Removal::LABELS),
            },
            cluster: ClusterMetrics::new(&registrar),
            queue: PoolQueueMetrics {
                waiting: gauge(&table::QUEUE_WAITING),
                timeouts: counter(&table::QUEUE_TIMEOUTS),
            },
            unexpected: counter(&table::UPSTREAM_UNEXPECTED),
            config_info: registrar.gauges(&table::CONFIG_INFO),
            config_last_success: gauge(&table::CONFIG_LAST_SUCCESS),
            config_last_reload_successful: gauge(&table::CONFIG_LAST_RELOAD_SUCCESSFUL),
            reloads: each(&table::CONFIG_RELOADS, Reload::LABELS),
            certificates: registrar.gauges(&table::CERTIFICATE_NOT_AFTER),
            draining: gauge(&table::DRAINING),
            panics: counter(&table::PANICS),
            process: ProcessMetrics::new(&registrar),
            replacing: Mutex::default(),
            registry: registry.clone(),
        };
        for listener in listeners {
            let _ = metrics.listener(listener);
        }
        for upstream in upstreams {
            let _ = metrics.upstream(upstream);
        }
        metrics
    }

    /// Counts a bind that was answered.
    #[inline]
    pub fn bind(&self, decision: BindDecision, result: BindResult) {
        self.binds[decision as usize][result as usize].inc();
    }

    /// How many binds were decided and answered so.
    #[must_use]
    pub fn bind_count(&self, decision: BindDecision, result: BindResult) -> u64 {
        self.binds[decision as usize][result as usize].get()
    }

    /// Counts a failed bind that the directory did not get to count.
    #[inline]
    pub fn lockout_attempt_prevented(&self) {
        self.prevented.inc();
    }

    /// How many failed binds the directory did not get to count.
    #[must_use]
    pub fn lockout_attempts_prevented(&self) -> u64 {
        self.prevented.get()
    }

    /// Counts an answer that shows a locked account.
    pub fn upstream_lockout_seen(&self) {
        self.lockouts_seen.inc();
    }

    /// Counts a look-up among the remembered failures.
    #[inline]
    pub fn cache_lookup(&self, hit: bool) {
        self.lookups[if hit { Lookup::Hit } else { Lookup::Miss } as usize].inc();
    }

    /// Counts a client's request that was answered, or (unbind, abandon) received. Binds are counted
    /// by [`Metrics::bind`] and appear among the requests by themselves.
    #[inline]
    pub fn request(&self, operation: Operation, result: RequestResult) {
        self.requests[operation as usize][result as usize].inc();
    }

    /// Counts `count` forwarded requests of the same kind that got the same result after the same time.
    pub fn forwarded(&self, operation: Operation, result: RequestResult, taken: Duration, count: u64) {
        self.requests[operation as usize][result as usize].inc_by(count);
        self.forwarded[TimedOperation::from(operation) as usize].observe_alike(taken, count);
    }

    /// Enters the time that a bind took which was answered from memory.
    #[inline]
    pub fn request_cached(&self, taken: Duration) {
        self.bind_from_cache.observe(taken);
    }

    /// Enters the time from a client's request to the answer of a directory.
    #[inline]
    pub fn request_forwarded(&self, operation: Operation, taken: Duration) {
        self.forwarded[TimedOperation::from(operation) as usize].observe(taken);
    }

    /// The handles of a listener; take them once, when it opens.
    #[must_use]
    pub fn listener(&self, name: &str) -> ListenerMetrics {
        self.listeners.of(name)
    }

    /// Says how many client connections may be open at once.
    pub fn connections_limit(&self, limit: u32) {
        self.connections_limit.set(i64::from(limit));
    }

    /// The handles of an upstream; take them once, when it is configured. A new name gets its
    /// series now.
    #[must_use]
    pub fn upstream(&self, name: &str) -> UpstreamMetrics {
        let mut names = self.upstream_names.lock();
        names.insert(name.to_owned());
        self.upstreams.of(name, names.iter().map(String::as_str), &self.unexpected)
    }

    /// Drops the series of upstreams that a reload removed. Handles that are still held keep
    /// working but are not rendered.
    pub fn retain_upstreams(&self, kept: &[String]) {
        let _rendering = self.replacing.lock();
        let mut names = self.upstream_names.lock();
        let before = names.clone();
        names.retain(|name| kept.contains(name));
        for gone in before.difference(&names) {
            self.upstreams.forget(gone, before.iter().map(String::as_str));
        }
    }

    /// Counts that `to` was used because `from` failed.
    pub fn failover(&self, from: &str, to: &str) {
        self.upstreams.failover(from, to).inc();
    }

    /// The handles of the cache.
    #[must_use]
    pub fn cache(&self) -> CacheMetrics {
        self.cache.clone()
    }

    /// The handles of the cluster.
    #[must_use]
    pub fn cluster(&self) -> &ClusterMetrics {
        &self.cluster
    }

    /// The handles of the queue for upstream connections.
    #[must_use]
    pub fn pool_queue(&self) -> PoolQueueMetrics {
        self.queue.clone()
    }

    /// Says which configuration serves from now on, and since when (seconds since 1970).
    pub fn set_config(&self, hash: &str, loaded_at: i64) {
        let _rendering = self.replacing.lock();
        self.config_info.reset();
        self.config_info.with_label_values(&[hash]).set(1);
        self.config_last_success.set(loaded_at);
        self.config_last_reload_successful.set(1);
    }

    /// Counts a reload. One that was refused shows until [`Metrics::set_config`] says that another serves.
    pub fn reload(&self, ok: bool) {
        self.config_last_reload_successful.set(i64::from(ok));
        self.reloads[if ok { Reload::Success } else { Reload::Error } as usize].inc();
    }

    /// Says when the certificate of a role ends, in seconds since 1970.
    pub fn certificate_not_after(&self, role: &str, unix: i64) {
        self.certificates.with_label_values(&[role]).set(unix);
    }

    /// Forgets a role whose certificate is no longer used.
    pub fn certificate_gone(&self, role: &str) {
        let _ = self.certificates.remove_label_values(&[role]);
    }

    /// Says whether the proxy is shutting down.
    pub fn draining(&self, draining: bool) {
        self.draining.set(i64::from(draining));
    }

    /// Counts a bug that ended a session.
    pub fn panic(&self) {
        self.panics.inc();
    }

    /// Brings `requests_total{op="bind"}` up to the sum over all decisions, so that a bind need not
    /// count twice where it is answered.
    fn count_binds_as_requests(&self) {
        let Some(requests) = self.requests.get(Operation::Bind as usize) else { return };
        for (result, counter) in requests.iter().enumerate() {
            let answered: u64 = self.binds.iter().map(|decision| decision[result].get()).sum();
            counter.inc_by(answered.saturating_sub(counter.get()));
        }
    }

    /// All of it in the Prometheus text format 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        self.process.refresh();
        let families = {
            let _replacing = self.replacing.lock();
            self.count_binds_as_requests();
            self.registry.gather()
        };
        let mut text = Vec::with_capacity(64 * 1024);
        if let Err(fault) = TextEncoder::new().encode(&families, &mut text) {
            tracing::error!(%fault, "the metrics could not be rendered");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

#[cfg(test)]
mod tests;
