//! What the operator exports: metric, its own labels, and their values where they are a closed list.

/// A label and its values; none: any.
type Label = (&'static str, &'static [&'static str]);

pub(crate) const METRICS: &[(&str, &[Label])] = &[
    ("bindproxy_operator_build_info", &[("version", &[])]),
    ("bindproxy_operator_reconciles_total", &[("result", &["success", "refused", "error"])]),
    ("bindproxy_operator_reconcile_duration_seconds_bucket", &[("le", &[])]),
    ("bindproxy_operator_reconcile_duration_seconds_sum", &[]),
    ("bindproxy_operator_reconcile_duration_seconds_count", &[]),
    (
        "bindproxy_operator_reconcile_errors_total",
        &[("reason", &["discover", "dereference", "build", "apply", "status"])],
    ),
    ("bindproxy_operator_queue_depth", &[]),
    ("bindproxy_operator_leader", &[]),
    ("bindproxy_operator_apply_conflicts_total", &[("kind", &[])]),
    ("bindproxy_operator_watch_restarts_total", &[("kind", &[])]),
    ("bindproxy_operator_resources", &[("ready", &["true", "false", "stopped"])]),
    ("bindproxy_operator_rejected_resources", &[]),
    ("bindproxy_operator_last_reconcile_timestamp_seconds", &[]),
];
