//! What the operator exports: metric, its own labels, and their values where they are a closed list.

pub(crate) const METRICS: &[(&str, &[(&str, &[&str])])] = &[
    ("bindproxy_operator_build_info", &[("version", &[]), ("revision", &[])]),
    ("bindproxy_operator_reconciles_total", &[("result", &["success", "error"])]),
    ("bindproxy_operator_reconcile_duration_seconds_bucket", &[("le", &[])]),
    ("bindproxy_operator_reconcile_duration_seconds_sum", &[]),
    ("bindproxy_operator_reconcile_duration_seconds_count", &[]),
    ("bindproxy_operator_reconcile_errors_total", &[("reason", &[])]),
    ("bindproxy_operator_queue_depth", &[]),
    ("bindproxy_operator_leader", &[]),
    ("bindproxy_operator_apply_conflicts_total", &[("kind", &[])]),
    ("bindproxy_operator_watch_restarts_total", &[("kind", &[])]),
    ("bindproxy_operator_resources", &[("ready", &["true", "false"])]),
    ("bindproxy_operator_rejected_resources", &[]),
    ("bindproxy_operator_last_reconcile_timestamp_seconds", &[]),
];
