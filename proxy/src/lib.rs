//! bindproxy: an LDAP proxy that answers repeated failed binds itself.

pub mod bind;
pub mod clock;
pub mod codec;
pub mod config;
pub mod demo;
pub mod directory;
