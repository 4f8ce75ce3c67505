//! The rules of the failed-bind store, through its public face.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

mod bounds;
mod leases;
mod lives;
mod merging;
mod model;
mod names;
mod peers;
mod purges;
mod rotation;
mod threads;
mod world;
