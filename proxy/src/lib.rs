//! bindproxy: an LDAP proxy that answers repeated failed binds itself, so that a stale password
//! cannot lock its owner's account.
//!
//! A bind goes through the modules in this order:
//!
//! ```text
//! client → listener  accept, admit, PROXY header, TLS
//!        → codec     frame, peek, limits
//!        → session   RFC 4511 and RFC 4513 state of one client
//!        → bind      decide: answer from the cache, wait on a lease, or forward
//!        → upstream  choose, lend a connection, send
//!        → bind      learn the verdict
//!        → session   answer
//! ```
//!
//! [`server`] wires them together and is the only place that does. Everything that decides is
//! pure: [`codec`], [`bind`], [`config`], [`upstream::select`], [`session::state`].

pub mod admin;
pub mod api;
pub mod bind;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod codec;
pub mod config;
pub mod core;
pub mod demo;
pub mod descriptors;
pub mod directory;
pub mod drain;
pub mod effects;
pub mod held_lease;
pub mod listener;
pub mod logging;
pub mod metrics;
pub mod probe;
pub mod reload;
pub mod run;
pub mod server;
pub mod session;
pub mod settings;
pub mod status;
pub mod termination_log;
pub mod tls;
pub mod transport;
pub mod upstream;
