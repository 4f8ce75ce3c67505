//! The directory servers: choosing one, connecting, and lending connections to sessions.
//!
//! [`select`] orders the targets, [`pool`] lends a connection or makes one ([`connect`],
//! [`resolve`]), [`health`] watches which targets are up. A [`connection`] belongs to the core
//! whose reactor it is registered with; what cores share about a target is in [`target`].

pub mod checker;
pub mod connect;
pub mod connection;
pub mod fault;
pub mod health;
pub mod idle_limit;
pub mod permits;
pub mod pool;
pub mod resolve;
pub mod select;
pub mod target;
