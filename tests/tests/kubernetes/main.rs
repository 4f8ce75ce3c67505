//! What needs an API server or a whole cluster, that of `KUBECONFIG`. README.md says how a test is written.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking with a message")]

mod api_server_down;
mod crd_rules;
mod drained_node;
mod lossy_network;
mod namespace;
mod operator_away;
mod operator_footprint;
mod partition;
mod password_fixed;
mod quick_start;
mod scale;
mod soak;
mod storm;
