//! The Helm charts: what they render with either Helm, what they refuse, and which rights they give.
//!
//! Only `api_server` needs a cluster; the others need the two Helms, which `make e2e` builds.
//! Generated files (snapshots, tables of values) are compared; [`helm::REFRESH`] writes them anew.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking with a message")]

mod api_server;
mod generated;
mod helm;
mod monitoring;
mod readme;
mod refusals;
mod rights;
mod sidecar;
mod snapshots;
mod workload;
