//! Several proxies in one process that are one: real sockets, real TLS, an embedded directory.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]
#![allow(clippy::disallowed_methods, reason = "the members run in real time, over real connections")]

mod admin;
mod impostors;
mod members;
mod mute;
mod world;
