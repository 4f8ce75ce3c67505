//! The custom resource: its rules, evaluated here, and the files that are made of it. The same cases go
//! to a real API server in the suite `kubernetes` of the crate `bindproxy-tests`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking with a message")]

mod cases;
mod generated;
mod rules;
mod schema;
