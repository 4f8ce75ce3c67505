//! What needs an API server or a whole cluster, that of `KUBECONFIG`. README.md says how a test is written.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking with a message")]

mod all_upstreams_down;
mod bad_image;
mod crd_rules;
mod graceful_delete;
mod killed_mid_bind;
mod namespace;
mod one_upstream_down;
mod password_fixed;
mod promise;
mod proxy_protocol;
mod quick_start;
mod rolling_update;
mod scale;
mod scale_to_zero;
mod storm;
