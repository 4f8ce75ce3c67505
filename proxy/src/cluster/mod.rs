//! The cluster: what one member learns, all know, and one wrong password is asked about once.
//!
//! `node` decides everything and is pure: events in, effects out, with the present time as an
//! argument. What members say is [`message`], and in which octets, [`wire`].

pub mod event;
pub mod message;
pub mod wire;
