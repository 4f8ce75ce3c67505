//! Thousands of seeded runs, of one pod and of a cluster, against a model directory that locks accounts.
//!
//! `BINDPROXY_SIMULATION_SEED=N` replays one run; `BINDPROXY_SIMULATION_SEEDS=N` runs that many.

#![allow(clippy::expect_used, reason = "a test says by panicking what went wrong")]

mod cluster;
mod pod;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("the variable is a number"))
}
