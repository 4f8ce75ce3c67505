//! The cluster: what one member learns, all know, and one wrong password is asked about once.
//!
//! [`node`] decides everything and is pure: events in, effects out ([`event`]), with the present time as an
//! argument. What members say is [`message`], and in which octets, [`wire`]; who they are, [`members`]; who
//! grants leases, [`owners`].
//!
//! Around it is a thread of its own ([`mesh`]) with an event loop that does what the node wants (`perform`): it finds members ([`discovery`], by
//! [`dial_plan`]), accepts them (`accept`), greets them (`greeting`, by [`hello`]) and serves their
//! connections (`link`, with a bounded `outbox` each). The rest of the process reaches it by [`handle`]
//! and shares its time ([`clock`]); [`start`] puts it together.

mod accept;
pub mod clock;
pub mod dial_plan;
pub mod discovery;
pub mod event;
mod greeting;
pub mod handle;
pub mod hello;
mod link;
pub mod members;
pub mod mesh;
pub mod message;
pub mod node;
mod outbox;
pub mod owners;
mod perform;
mod report;
pub mod start;
pub mod waiter;
pub mod wire;
