//! Every metric: name, kind, labels with their values, and what it says. `docs/metrics.md` is made
//! from this table. No label ever holds a user, a DN, an address or anything made from a password.

use super::labels::{
    AnswerPath, BindDecision, BindResult, CloseReason, ClusterRejection, Completeness, ConnectFailure, LeaseResult,
    Lookup, MessageDirection, MessageKind, Operation, Origin, PeerState, PoolState, Reload, Removal, RequestResult,
    SyncResult, TimedOperation, UpstreamResult,
};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows; a restart begins at 0.
    Counter,
    /// A present value.
    Gauge,
    /// Counts per upper bound, in seconds.
    Histogram(&'static [f64]),
}

/// Where a label's values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// These and no others.
    Closed(&'static [&'static str]),
    /// Whatever this describes; bounded by the configuration.
    Open(&'static str),
}

/// One label of a metric.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// The label's name.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The metric's name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [Label],
    /// What it says, in one sentence.
    pub help: &'static str,
}

const fn closed(name: &'static str, values: &'static [&'static str]) -> Label {
    Label { name, values: Values::Closed(values) }
}

const fn open(name: &'static str, values: &'static str) -> Label {
    Label { name, values: Values::Open(values) }
}

const LISTENER: Label = open("listener", "`listeners[].name`");
const UPSTREAM: Label = open("upstream", "`upstreams[].name`");
const TIMED_OP: Label = closed("op", TimedOperation::LABELS);

/// From an answer out of memory (tens of microseconds) to a directory at its deadline.
const REQUEST_SECONDS: &[f64] = &[1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 1e-3, 5e-3, 2.5e-2, 0.1, 0.5, 2.0, 10.0];
/// A directory answers in a fraction of a millisecond at best.
const UPSTREAM_SECONDS: &[f64] = &[2.5e-4, 1e-3, 2.5e-3, 1e-2, 5e-2, 0.25, 1.0, 2.5, 10.0];
/// From one network to a repair by comparison.
const PROPAGATION_SECONDS: &[f64] = &[1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.5, 2.0, 10.0];

macro_rules! families {
    ($($constant:ident = $kind:expr, $name:literal, [$($label:expr),*], $help:literal;)+) => {
        $(pub(super) const $constant: Family = Family { name: $name, kind: $kind, labels: &[$($label),*], help: $help };)+

        /// Every metric, in the order of the documentation.
        pub const FAMILIES: &[&Family] = &[$(&$constant),+];
    };
}

families! {
    BUILD_INFO = Kind::Gauge, "bindproxy_build_info",
        [open("version", "the release"), open("revision", "the commit it was built from, or `unknown`")],
        "Always 1; the labels say what is running.";

    BINDS = Kind::Counter, "bindproxy_binds_total",
        [closed("decision", BindDecision::LABELS), closed("result", BindResult::LABELS)],
        "Binds that were answered, by how they were decided and what the client was told.";
    LOCKOUT_ATTEMPTS_PREVENTED = Kind::Counter, "bindproxy_lockout_attempts_prevented_total", [],
        "Failed binds that the directory did not get to count.";
    UPSTREAM_LOCKOUTS_SEEN = Kind::Counter, "bindproxy_upstream_lockouts_seen_total", [],
        "Binds that the directory answered with a sign that the account is locked.";

    REQUESTS = Kind::Counter, "bindproxy_requests_total",
        [closed("op", Operation::LABELS), closed("result", RequestResult::LABELS)],
        "Requests of clients that were answered (unbind and abandon: that were received).";
    REQUEST_DURATION = Kind::Histogram(REQUEST_SECONDS), "bindproxy_request_duration_seconds",
        [TIMED_OP, closed("path", AnswerPath::LABELS)],
        "Time from a client's request to its answer, by who made the answer.";

    CONNECTIONS_ACTIVE = Kind::Gauge, "bindproxy_connections_active", [LISTENER],
        "Client connections that are open.";
    CONNECTIONS_ACCEPTED = Kind::Counter, "bindproxy_connections_accepted_total", [LISTENER],
        "Client connections that were accepted.";
    CONNECTIONS_CLOSED = Kind::Counter, "bindproxy_connections_closed_total",
        [LISTENER, closed("reason", CloseReason::LABELS)],
        "Client connections that ended, by why.";
    CONNECTIONS_LIMIT = Kind::Gauge, "bindproxy_connections_limit", [],
        "The bound on client connections of all listeners together (`limits.maxConnections`).";

    CACHE_LOOKUPS = Kind::Counter, "bindproxy_cache_lookups_total", [closed("result", Lookup::LABELS)],
        "Binds that were looked up among the remembered failures.";
    CACHE_ENTRIES = Kind::Gauge, "bindproxy_cache_entries", [],
        "Remembered failures.";
    CACHE_CAPACITY = Kind::Gauge, "bindproxy_cache_capacity_entries", [],
        "The bound on remembered failures (`cache.maxEntries`).";
    CACHE_INSERTIONS = Kind::Counter, "bindproxy_cache_insertions_total", [closed("origin", Origin::LABELS)],
        "Failures that were remembered, by where they came from.";
    CACHE_REMOVALS = Kind::Counter, "bindproxy_cache_removals_total", [closed("reason", Removal::LABELS)],
        "Remembered failures that were forgotten, by why.";

    UPSTREAM_UP = Kind::Gauge, "bindproxy_upstream_up", [UPSTREAM],
        "1 while the directory server is used, 0 while it is taken for down.";
    UPSTREAM_CONNECTIONS = Kind::Gauge, "bindproxy_upstream_connections",
        [UPSTREAM, closed("state", PoolState::LABELS)],
        "Open connections to the directory server.";
    UPSTREAM_REQUESTS = Kind::Counter, "bindproxy_upstream_requests_total",
        [UPSTREAM, closed("op", Operation::LABELS), closed("result", UpstreamResult::LABELS)],
        "Requests that were sent to the directory server, by what became of them.";
    UPSTREAM_REQUEST_DURATION = Kind::Histogram(UPSTREAM_SECONDS), "bindproxy_upstream_request_duration_seconds",
        [UPSTREAM, TIMED_OP],
        "Time from a request sent to the directory server to its answer.";
    UPSTREAM_CONNECT_FAILURES = Kind::Counter, "bindproxy_upstream_connect_failures_total",
        [UPSTREAM, closed("reason", ConnectFailure::LABELS)],
        "Connections to the directory server that did not come about, by why.";
    UPSTREAM_FAILOVERS = Kind::Counter, "bindproxy_upstream_failovers_total",
        [open("from", "`upstreams[].name`"), open("to", "`upstreams[].name`")],
        "Times that another directory server was used in place of the one that failed.";
    UPSTREAM_UNEXPECTED = Kind::Counter, "bindproxy_upstream_unexpected_responses_total", [],
        "Messages of directory servers that answer nothing that was asked.";
    QUEUE_WAITING = Kind::Gauge, "bindproxy_upstream_queue_waiting", [],
        "Sessions that wait for an upstream connection because all are in use.";
    QUEUE_TIMEOUTS = Kind::Counter, "bindproxy_upstream_queue_timeouts_total", [],
        "Sessions that waited in vain for an upstream connection and were told busy (51).";

    CLUSTER_PEERS = Kind::Gauge, "bindproxy_cluster_peers", [closed("state", PeerState::LABELS)],
        "Other members of the cluster: alive with connections in both directions, suspect while one is missing, left after a goodbye.";
    CLUSTER_DISCOVERED = Kind::Gauge, "bindproxy_cluster_discovered_peers", [],
        "Addresses of other members that discovery knows.";
    CLUSTER_OVER_BOUND = Kind::Gauge, "bindproxy_cluster_discovery_ignored_addresses", [],
        "Addresses of the last answer that are over the bound of 256 and left out.";
    CLUSTER_LINKS = Kind::Gauge, "bindproxy_cluster_links", [closed("direction", MessageDirection::LABELS)],
        "Connections with other members that are up, by who opened them (`out`: this process).";
    CLUSTER_JOINED = Kind::Gauge, "bindproxy_cluster_joined", [closed("complete", Completeness::LABELS)],
        "1 once this process has joined; `complete` is `false` when the time for joining passed first.";
    CLUSTER_MESSAGES = Kind::Counter, "bindproxy_cluster_messages_total",
        [closed("direction", MessageDirection::LABELS), closed("kind", MessageKind::LABELS)],
        "Messages between members.";
    CLUSTER_BYTES = Kind::Counter, "bindproxy_cluster_bytes_total", [closed("direction", MessageDirection::LABELS)],
        "Octets of the messages between members, before encryption.";
    CLUSTER_REJECTED = Kind::Counter, "bindproxy_cluster_rejected_total",
        [closed("reason", ClusterRejection::LABELS)],
        "Connections and facts that were refused, by why.";
    CLUSTER_PROPAGATION = Kind::Histogram(PROPAGATION_SECONDS), "bindproxy_cluster_propagation_seconds", [],
        "Time from a fact told by another member to its being usable here.";
    CLUSTER_DROPPED = Kind::Counter, "bindproxy_cluster_dropped_total", [],
        "What could not be told because a queue was full; a comparison repairs it.";
    CLUSTER_SYNCS = Kind::Counter, "bindproxy_cluster_syncs_total", [closed("result", SyncResult::LABELS)],
        "Comparisons with other members.";
    CLUSTER_LEASES = Kind::Counter, "bindproxy_cluster_leases_total", [closed("result", LeaseResult::LABELS)],
        "Attempts whose name another member owns, by what became of them.";
    CLUSTER_CLOCK_JUMPS = Kind::Counter, "bindproxy_cluster_clock_jumps_total", [],
        "Times that this member's cluster time was raised by more than the bound and its failures were dropped.";
    CLUSTER_ACCEPT_FAULTS = Kind::Counter, "bindproxy_cluster_accept_faults_total", [],
        "Faults of accepting connections of members, such as no file descriptor left.";

    CONFIG_INFO = Kind::Gauge, "bindproxy_config_info", [open("hash", "hash of the effective configuration")],
        "Always 1; the label is the hash of the configuration that serves.";
    CONFIG_RELOADS = Kind::Counter, "bindproxy_config_reloads_total", [closed("result", Reload::LABELS)],
        "Reloads of the configuration.";
    CONFIG_LAST_SUCCESS = Kind::Gauge, "bindproxy_config_last_success_timestamp_seconds", [],
        "When the configuration that serves was loaded, in seconds since 1970.";
    CONFIG_LAST_RELOAD_SUCCESSFUL = Kind::Gauge, "bindproxy_config_last_reload_successful", [],
        "0 while the files hold a configuration that was refused, so that an older one serves.";
    CERTIFICATE_NOT_AFTER = Kind::Gauge, "bindproxy_certificate_not_after_timestamp_seconds",
        [open("role", "what the certificate is for")],
        "When a certificate ends, in seconds since 1970.";
    DRAINING = Kind::Gauge, "bindproxy_draining", [],
        "1 while the proxy shuts down.";
    PANICS = Kind::Counter, "bindproxy_panics_total", [],
        "Bugs that ended one session; the process went on.";

    PROCESS_CPU = Kind::Counter, "process_cpu_seconds_total", [],
        "CPU time, user and system, in seconds.";
    PROCESS_RSS = Kind::Gauge, "process_resident_memory_bytes", [],
        "Resident memory.";
    PROCESS_VIRTUAL = Kind::Gauge, "process_virtual_memory_bytes", [],
        "Virtual memory.";
    PROCESS_THREADS = Kind::Gauge, "process_threads", [],
        "Threads.";
    PROCESS_OPEN_FDS = Kind::Gauge, "process_open_fds", [],
        "Open file descriptors.";
    PROCESS_MAX_FDS = Kind::Gauge, "process_max_fds", [],
        "The limit on open file descriptors.";
    PROCESS_START_TIME = Kind::Gauge, "process_start_time_seconds", [],
        "When the process started, in seconds since 1970.";
}
