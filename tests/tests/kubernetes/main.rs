//! What needs an API server or a whole cluster, that of `KUBECONFIG`. README.md says how a test is written.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking with a message")]

mod bad_configuration;
mod crd_rules;
mod deletion;
mod examples;
mod foreign_owner;
mod hot_reload;
mod manual_changes;
mod namespace;
mod no_churn;
mod password_fixed;
mod quick_start;
mod rotation;
mod scale;
mod storm;
mod undecodable;
mod watch_namespaces;
