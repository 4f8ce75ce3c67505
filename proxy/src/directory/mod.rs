//! A small LDAP directory inside this process: what `bindproxy demo` shows the effect on, and what
//! the tests put behind the proxy.
//!
//! It is no directory to keep data in. It knows a handful of entries, counts failed binds and locks
//! accounts the way slapd's ppolicy overlay does ([`lockout`]), and keeps a [`log`] of every bind
//! that it received, which is the oracle for "how often did the directory see this password".
//! Told to by a [`script`], it misbehaves: hangs, resets, answers garbage, late, twice or in
//! another order.
//!
//! What is answered is pure ([`answer`]: entries, policy and `now` in, messages out); [`server`]
//! and `connection` are the sockets around it. It runs on whatever tokio runtime starts it.

pub mod answer;
mod bind;
pub mod change;
mod connection;
pub mod entry;
pub mod filter;
pub mod lockout;
pub mod log;
pub mod message;
pub mod running;
pub mod script;
mod search;
pub mod server;
mod stream;
pub mod verdict;

pub use answer::Directory;
pub use entry::{AccountState, Entry};
pub use lockout::Policy;
pub use log::{BindRecord, PasswordKind};
pub use running::{Announcement, RunningDirectory};
pub use script::{Behaviour, Match, OnAccept, Script};
pub use server::{Options, StartError};
pub use verdict::Flavour;
