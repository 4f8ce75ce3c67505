//! bindproxy in front of a Samba Active Directory domain controller.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

mod not_poisoned;
mod session_identity;
mod stale_password;
mod transparent;
