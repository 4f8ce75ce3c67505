//! What members say to each other. How it is written in octets stands in `wire`.

use std::sync::Arc;

use crate::bind::{Conclusion, Digest, Fact, NameKey, Verdict};
use crate::clock::Tick;

/// The protocol of this build, and the oldest that it still speaks.
pub const PROTOCOL: u16 = 1;
/// The oldest protocol that is still spoken: the one before, once there is one.
pub const OLDEST_PROTOCOL: u16 = 1;

/// One run of one member: chosen at random at every start, so a restarted pod is somebody new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// Tells hashing keys apart without giving them away ([`crate::bind::Keys`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u64);

/// The hashing keys that a member works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyIds {
    /// The one for new entries.
    pub current: KeyId,
    /// The one before the last rotation, while it is still accepted.
    pub previous: Option<KeyId>,
}

impl KeyIds {
    /// Whether entries under `key` are of use.
    #[must_use]
    pub fn accepts(&self, key: KeyId) -> bool {
        self.current == key || self.previous == Some(key)
    }
}

/// How far a member is: a run goes from one to the next, never back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It still gathers what the others know; it serves no clients yet.
    Joining,
    /// It serves.
    Joined,
    /// It is about to go.
    Leaving,
}

/// Who a member is: the first message of either side of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The oldest protocol that it speaks.
    pub oldest: u16,
    /// The newest.
    pub newest: u16,
    /// Optional parts of the protocol that it knows, a bit each; what both know is used.
    pub features: u64,
    /// `cluster.name`: members of other clusters are refused.
    pub cluster: String,
    /// Its run.
    pub node: NodeId,
    /// `cluster.nodeName`, at most 255 octets.
    pub name: String,
    /// Its hashing keys.
    pub keys: KeyIds,
    /// Its cluster time.
    pub now: Tick,
    /// How far it is.
    pub standing: Standing,
    /// Failed binds that it holds.
    pub entries: u32,
    /// Where it listens, at the address that it dials from: whoever it greets can dial it back.
    pub port: u16,
}

/// Why a connection is refused. Sent instead of a `Hello`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `cluster.name` differs.
    OtherCluster,
    /// No protocol in common.
    Protocol,
    /// It is the node itself, reached by one of its own addresses.
    Myself,
    /// More members than are allowed for.
    TooMany,
    /// A reason that a later version knows.
    Other(u16),
}

/// Names an attempt that a member asked a lease for; chosen by the asker, once for each of its runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// What the owner of a name says to one who asks for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// Go on, and tell me what came of it.
    Granted,
    /// Go on; nobody waits for what comes of it.
    Free,
    /// An identical attempt is on its way; you will hear its verdict, or that it is your turn.
    Waiting,
    /// This is the answer; do not ask the directory.
    Verdict(Arc<Verdict>),
    /// I cannot tell: the attempt is hashed with a key that I do not have, or I hold too many leases.
    Unable,
}

/// Sums over a part of what a member holds, to find what two members do not share.
/// The tree has a root, 256 branches and 256 leaves on each; a sum of 0 is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums(pub Vec<(u8, u64)>);

/// Names one comparison; chosen by the side that began it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SyncId(pub u32);

/// One leaf of the tree, with a fingerprint of everything on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Branch times 256 plus leaf.
    pub index: u16,
    /// In ascending order.
    pub fingerprints: Vec<u64>,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Who I am.
    Hello(Hello),
    /// I will not talk to you.
    Refused(Refusal),
    /// Facts, hashed with the sender's keys. Pushed when they happen, and as the answer to `Want` and `Leaves`.
    Facts {
        /// The sender's cluster time: what has passed since does not lengthen a life.
        sent: Tick,
        /// At most what fits a frame.
        facts: Vec<Fact>,
    },
    /// Give me everything from here on; 0 is the start.
    SnapshotRequest {
        /// From the last part.
        cursor: u64,
    },
    /// A part of everything: the answer to a request.
    SnapshotPart {
        /// As in `Facts`.
        sent: Tick,
        /// As in `Facts`.
        facts: Vec<Fact>,
        /// Where to go on; `None` when this was the last.
        next: Option<u64>,
    },
    /// Do we hold the same? The sum of all that began up to `cut` and does not end soon.
    Compare {
        /// This comparison.
        sync: SyncId,
        /// What began later is left out.
        cut: Tick,
        /// The root.
        root: u64,
    },
    /// We do.
    Same {
        /// Which comparison.
        sync: SyncId,
    },
    /// We do not: these are my branches.
    Branches {
        /// Which comparison.
        sync: SyncId,
        /// The branches' sums.
        sums: Sums,
    },
    /// Show me the leaves of these branches.
    Descend {
        /// Which comparison.
        sync: SyncId,
        /// As in `Compare`.
        cut: Tick,
        /// Which.
        branches: Vec<u8>,
    },
    /// The leaves of one branch.
    LeafSums {
        /// Which comparison.
        sync: SyncId,
        /// The branch.
        branch: u8,
        /// Its leaves' sums.
        sums: Sums,
        /// Whether this was the last branch asked for.
        last: bool,
    },
    /// This is what I hold on leaves where we differ: send me what I lack, and tell me what you lack.
    Leaves {
        /// Which comparison.
        sync: SyncId,
        /// As in `Compare`.
        cut: Tick,
        /// The leaves.
        leaves: Vec<Leaf>,
    },
    /// I lack these; the answer to `Leaves`, after the facts.
    Want {
        /// Which comparison.
        sync: SyncId,
        /// Of which leaves, with the fingerprints that are wanted.
        leaves: Vec<Leaf>,
    },
    /// May I ask the directory about this attempt?
    Ask {
        /// This attempt.
        ask: AskId,
        /// The key of name and digest.
        key: KeyId,
        /// Whose.
        name: NameKey,
        /// Of which password.
        digest: Digest,
    },
    /// The owner's answer; after `Waiting` another one follows.
    Answer {
        /// Which attempt.
        ask: AskId,
        /// What it says.
        answer: LeaseAnswer,
    },
    /// What came of a granted attempt.
    Concluded {
        /// Which attempt.
        ask: AskId,
        /// What came of it.
        conclusion: Conclusion,
    },
    /// I wait no longer, and if you granted it, I did not ask.
    Withdraw {
        /// Which attempt.
        ask: AskId,
    },
    /// Tell me when everything that I sent before this has been taken in.
    Barrier {
        /// Chosen by the sender.
        number: u64,
    },
    /// It has.
    Passed {
        /// Which.
        number: u64,
    },
    /// Answer this on behalf of the admin API.
    Query {
        /// Chosen by the sender.
        number: u64,
        /// What is asked, as JSON; never with a name in clear.
        body: Vec<u8>,
    },
    /// The answer.
    Reply {
        /// To which query.
        number: u64,
        /// As JSON; never with a name in clear.
        body: Vec<u8>,
    },
    /// Are you there? What time is it?
    Ping {
        /// The sender's cluster time.
        now: Tick,
        /// Chosen by the sender; the pong repeats it.
        number: u64,
    },
    /// I am.
    Pong {
        /// The sender's cluster time.
        now: Tick,
        /// From the ping.
        number: u64,
        /// Failed binds that it holds.
        entries: u32,
    },
    /// My standing, or my keys, have changed.
    Update {
        /// How far it is.
        standing: Standing,
        /// Its hashing keys.
        keys: KeyIds,
    },
    /// A kind that this version does not know and that may be skipped.
    Unknown(u8),
}
