//! bindproxy: an LDAP proxy that answers repeated failed binds itself.

pub mod admin;
pub mod bind;
pub mod cli;
pub mod clock;
pub mod codec;
pub mod config;
pub mod logging;
pub mod metrics;
pub mod status;
pub mod tls;
