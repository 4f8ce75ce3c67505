//! bindproxy in front of OpenLDAP.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

mod not_poisoned;
mod outage;
mod password_changes;
mod session_identity;
mod stale_password;
mod transparent;
