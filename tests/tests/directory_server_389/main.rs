//! bindproxy in front of 389 Directory Server.

mod not_poisoned;
mod stale_password;
mod transparent;
