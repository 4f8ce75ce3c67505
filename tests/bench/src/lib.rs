//! What `make bench` is made of: a load generator, two limit servers, and a driver that runs them
//! against bindproxy and its peers.
//!
//! # Layout
//! - [`wire`]: the few LDAP messages that are sent and the little that is read of the answers.
//! - [`tls`], [`process`], [`listen`]: TLS without verification, CPU and memory of processes, and
//!   accepting on several cores.
//! - [`canned`]: answers binds and searches with fixed octets. How fast an answer from a cache can
//!   be, and a directory that costs nothing when the proxy alone is the work.
//! - [`forward`]: copies octets both ways. How cheap forwarding can be.
//! - [`load`]: the load generator.
//! - [`driver`]: starts the systems, runs the rounds, prints the table.
//!
//! It shares no code with the proxy, so that a fault there cannot hide itself in the measurement.
#![allow(clippy::disallowed_methods, reason = "measuring is reading the clock; nothing here is replayed from a seed")]

pub mod canned;
pub mod driver;
pub mod forward;
pub mod listen;
pub mod load;
pub mod process;
pub mod tls;
pub mod wire;
