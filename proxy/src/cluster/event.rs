//! What happens to a node, and what it wants done: the whole surface between the pure node and its shell.

use std::sync::Arc;

use crate::bind::{Conclusion, Credential, Effect as BindEffect, Release, Verdict};
use crate::clock::Tick;

use super::message::{AskId, Hello, KeyIds, Message, NodeId};

/// One connection, for as long as it lasts. A node sends what it has to say on those that it dialled, and
/// answers on those that others dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// This node.
    Dialled,
    /// The other one.
    Accepted,
}

/// Another member's attempt, parked in this node's guard as the owner of the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerWaiter {
    /// Who asks.
    pub node: NodeId,
    /// Its attempt.
    pub ask: AskId,
}

/// Whatever waits in the guard for a verdict: a session of this process, or another member.
pub trait Waiting: From<PeerWaiter> {
    /// The other member, or back what is none.
    ///
    /// # Errors
    /// The waiter itself when it is a session of this process.
    fn into_peer(self) -> Result<PeerWaiter, Self>
    where
        Self: Sized;
}

/// What happens.
#[derive(Debug)]
pub enum Event {
    /// A connection is up: certificates were checked, both sides have said hello and agreed.
    Linked {
        /// The connection.
        link: LinkId,
        /// Who opened it.
        direction: Direction,
        /// Who is at the other end.
        hello: Hello,
    },
    /// A message came.
    Received {
        /// Where.
        link: LinkId,
        /// Which.
        message: Message,
    },
    /// A connection is gone.
    Unlinked {
        /// Which.
        link: LinkId,
    },
    /// Something that was to be sent had no room in the connection's queue, and the queue is empty again.
    Drained {
        /// Which connection.
        link: LinkId,
    },
    /// How many other members there should be, as far as discovery knows; 0 is a node alone.
    Discovered {
        /// Addresses that are not this node's own.
        others: usize,
    },
    /// This node's guard learned or forgot something.
    Learned(Vec<BindEffect>),
    /// More was learned than could be told: compare with everybody.
    Overran,
    /// A session wants to ask the directory, and another member owns the name.
    Ask {
        /// Chosen by the shell, once.
        ask: AskId,
        /// The attempt.
        credential: Credential,
    },
    /// The session waits no longer: the owner did not answer in time, or the client gave up.
    Withdrawn {
        /// Which attempt.
        ask: AskId,
        /// Whether the owner let the deadline pass.
        timed_out: bool,
    },
    /// What came of an attempt that was granted by another member.
    Concluded {
        /// Which attempt.
        ask: AskId,
        /// What came of it.
        conclusion: Conclusion,
    },
    /// This node's guard lets a waiter go that is another member.
    Released {
        /// Who waited.
        waiter: PeerWaiter,
        /// What becomes of it.
        release: Release,
    },
    /// Ask every member (the admin API's business).
    Gather {
        /// Chosen by the shell, once; the replies carry it.
        number: u64,
        /// What is asked; `None` only asks whether all that was told so far has been taken in.
        query: Option<Vec<u8>>,
    },
    /// The answer to a member's query.
    Answered {
        /// Where the query came.
        link: LinkId,
        /// Its number.
        number: u64,
        /// The answer.
        body: Vec<u8>,
    },
    /// The hashing keys were replaced.
    Rotated(KeyIds),
    /// Half a second has passed, or so.
    Ticked,
    /// This node is about to go: hand over, say goodbye.
    Leave,
}

/// What a session may do with an attempt that it asked the owner about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Ask the directory; report by [`Event::Concluded`].
    Granted,
    /// Ask the directory; no report.
    Free,
    /// Keep waiting: up to the request timeout now.
    Waiting,
    /// Answer with this.
    Verdict(Arc<Verdict>),
    /// The owner is gone, or cannot tell.
    NoOwner,
}

/// What the node wants done.
#[derive(Debug)]
pub enum Effect<W> {
    /// Send this; to several where the same goes to several, so that it is encoded once.
    Send {
        /// Where.
        links: Vec<LinkId>,
        /// What.
        message: Message,
        /// Whether a queue that is full may drop it, because comparing makes up for it.
        repairable: bool,
    },
    /// Close a connection, for this reason.
    Close {
        /// Which.
        link: LinkId,
        /// Why, for the log.
        why: &'static str,
    },
    /// Tell a session about its attempt.
    Permit {
        /// Which attempt.
        ask: AskId,
        /// What it may do.
        permission: Permission,
    },
    /// Let waiters of this process go.
    Release(Vec<(W, Release)>),
    /// What merging changed, for metrics and the log; never to be told to peers again.
    Merged(Vec<BindEffect>),
    /// A member asks on behalf of its admin API; answer by [`Event::Answered`].
    Answer {
        /// Where to.
        link: LinkId,
        /// Its number.
        number: u64,
        /// What is asked.
        query: Vec<u8>,
    },
    /// A member's answer to [`Event::Gather`]; `None` when only taking in was asked about.
    Gathered {
        /// Which.
        number: u64,
        /// By node name.
        from: String,
        /// What it says.
        body: Option<Vec<u8>>,
    },
    /// Set the cluster clock to this, from the next event on. Backwards only while the node joins and
    /// knows nothing.
    SetClock(Tick),
    /// This node has joined: listeners may open.
    Joined {
        /// False when the bound passed first.
        complete: bool,
    },
    /// Who owns names has changed: look at `Node::owners`.
    OwnersChanged,
    /// How members stand has changed: look at `Node::members`.
    MembersChanged,
    /// Everything has been handed over and taken in; the process may end.
    Left,
    /// Something worth counting.
    Count(Count),
}

/// What the node counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// A fact that came by push was new: how long after it began to be told, in milliseconds.
    Propagated {
        /// Milliseconds of cluster time between sending and taking in.
        milliseconds: u64,
    },
    /// A fact from beyond the future's bound was refused.
    RefusedFuture,
    /// Facts under a key that this node does not have.
    RefusedKey,
    /// A comparison found differences.
    SyncDiffered,
    /// A comparison found none.
    SyncSame,
    /// This node's clock was raised by more than the bound and its failures dropped.
    ClockJumped,
    /// An attempt went on without its owner.
    Unleased,
}
