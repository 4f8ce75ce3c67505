//! What needs an API server or a whole cluster, that of `KUBECONFIG`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking with a message")]

mod crd_rules;
mod kubectl;
