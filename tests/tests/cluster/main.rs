//! Several proxies as one cluster, in network namespaces of their own, in front of one real OpenLDAP:
//! what slapd counted is what is believed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

mod bad_input;
mod faults;
mod forged;
mod laboratory;
mod one_sided;
mod partition;
mod rolling;
mod rotation;
mod scale;
mod secrecy;
mod sharing;
mod stage;
mod storm;
