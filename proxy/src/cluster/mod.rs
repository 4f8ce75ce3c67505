//! The cluster: what one member learns, all know, and one wrong password is asked about once.
//!
//! [`node`] decides everything and is pure: events in, effects out ([`event`]), with the present time as an
//! argument. What members say is [`message`], and in which octets, [`wire`]; who they are, [`members`]; who
//! grants leases, [`owners`].

pub mod event;
pub mod members;
pub mod message;
pub mod node;
pub mod owners;
pub mod wire;
