//! bindproxy in front of OpenLDAP.

mod not_poisoned;
mod password_changes;
mod session_identity;
mod stale_password;
mod transparent;
