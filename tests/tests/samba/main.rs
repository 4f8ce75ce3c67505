//! bindproxy in front of a Samba Active Directory domain controller.

mod not_poisoned;
mod session_identity;
mod stale_password;
mod transparent;
