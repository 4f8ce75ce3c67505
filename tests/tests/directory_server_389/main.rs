//! bindproxy in front of 389 Directory Server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

mod not_poisoned;
mod stale_password;
mod transparent;
