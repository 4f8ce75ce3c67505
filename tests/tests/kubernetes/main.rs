//! What needs an API server or a whole cluster, that of `KUBECONFIG`. README.md says how a test is written.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking with a message")]

mod alerts;
mod all_upstreams_down;
mod api_server_down;
mod bad_configuration;
mod bad_image;
mod crd_rules;
mod deletion;
mod drained_node;
mod examples;
mod foreign_owner;
mod from_outside;
mod graceful_delete;
mod helm_release;
mod hot_reload;
mod killed_mid_bind;
mod lossy_network;
mod manual_changes;
mod namespace;
mod no_churn;
mod one_upstream_down;
mod operator_away;
mod operator_footprint;
mod others_kinds;
mod partition;
mod password_fixed;
mod pod_commands;
mod promise;
mod proxy_protocol;
mod quick_start;
mod readme;
mod rolling_update;
mod rotation;
mod scale;
mod scale_to_zero;
mod sidecar;
mod soak;
mod spread;
mod storm;
mod undecodable;
mod watch_namespaces;
