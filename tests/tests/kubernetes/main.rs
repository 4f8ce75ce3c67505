//! What needs an API server or a whole cluster, that of `KUBECONFIG`. README.md says how a test is written.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking with a message")]

mod alerts;
mod crd_rules;
mod helm_release;
mod namespace;
mod password_fixed;
mod pod_commands;
mod quick_start;
mod scale;
mod sidecar;
mod storm;
