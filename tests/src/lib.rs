//! Harness for the end-to-end suites: real directories, the real `bindproxy` binary and a client
//! that can send any octets.
//!
//! Every server runs under a temporary directory on free ports, is started once for each test
//! binary, and is ended by the [`reaper`] when that binary ends, however it ends. The oracle of a
//! suite is what the directory itself counted ([`counter`]).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "the harness fails a test by panicking with a message"
)]

pub mod ber;
pub mod certificates;
pub mod conversation;
pub mod counter;
pub mod directory_server_389;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod lab;
pub mod ldap;
pub mod packages;
pub mod pod_targets;
pub mod ports;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod reaper;
pub mod request;
pub mod samba;
pub mod scrape;
pub mod scratch;
pub mod simulation;
pub mod slapd;
pub mod stale_device;
pub mod wait;
