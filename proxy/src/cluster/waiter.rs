//! Who may be parked in this process's guard.

use tokio::sync::oneshot;

use crate::bind::Release;

use super::event::{PeerWaiter, Waiting};

/// How whoever waits for a verdict is told that it is his turn, or what the answer is.
#[derive(Debug)]
pub enum Waiter {
    /// A session of this process.
    Session(oneshot::Sender<Release>),
    /// An attempt at another member, which this process owns the name of.
    Peer(PeerWaiter),
}

impl From<PeerWaiter> for Waiter {
    fn from(peer: PeerWaiter) -> Self {
        Self::Peer(peer)
    }
}

impl Waiting for Waiter {
    fn into_peer(self) -> Result<PeerWaiter, Self> {
        match self {
            Self::Session(_) => Err(self),
            Self::Peer(peer) => Ok(peer),
        }
    }
}
