//! Who may be parked in a process's guard.

use tokio::sync::oneshot;

use crate::bind::Release;

use super::event::{PeerWaiter, Waiting};

/// How whoever waits for a verdict is told that it is his turn, or what the answer is. `S` is how a session of
/// this process is found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiter<S = oneshot::Sender<Release>> {
    /// A session of this process.
    Session(S),
    /// An attempt at another member, which this process owns the name of.
    Peer(PeerWaiter),
}

impl<S> From<PeerWaiter> for Waiter<S> {
    fn from(peer: PeerWaiter) -> Self {
        Self::Peer(peer)
    }
}

impl<S> Waiting for Waiter<S> {
    fn into_peer(self) -> Result<PeerWaiter, Self> {
        match self {
            Self::Session(_) => Err(self),
            Self::Peer(peer) => Ok(peer),
        }
    }
}
