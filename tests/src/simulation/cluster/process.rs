//! One run of a process: its guard, its node, its clock, and what its sessions are waiting for.

use std::collections::BTreeMap;

use bindproxy::bind::{Guard, HashKey, Keys, Lease, Origin, Policy, VerdictRules};
use bindproxy::clock::Tick;
use bindproxy::cluster::event::{Direction, Event as NodeEvent, LinkId};
use bindproxy::cluster::message::{AskId, Hello, KeyId, KeyIds, Message, NodeId};
use bindproxy::cluster::node::{Node, NodeSettings};
use bindproxy::config::Verdicts;
use bindproxy::settings::CLOCKS_APART;
use std::time::Duration;

use super::super::directory::Check;
use super::super::oracle::{Lives, Pair};
use super::model::{FactId, Run};
use super::plan::{Deed, Micros};

/// Whoever is parked in a guard: a session by its number, or another member.
pub(super) type Waiter = bindproxy::cluster::waiter::Waiter<u64>;

/// Something that a process takes in, late if it hangs.
#[derive(Debug)]
pub(super) enum Input {
    /// Half a second has passed.
    Beat,
    /// Something for the node's thread.
    Node(NodeEvent),
    /// The node's thread has nothing more to take in.
    Flush,
    Linked {
        link: LinkId,
        direction: Direction,
        hello: Hello,
    },
    Message {
        link: LinkId,
        message: Box<Message>,
    },
    Closed {
        link: LinkId,
    },
    /// The queue of a connection in which something found no room is empty.
    Drained {
        link: LinkId,
    },
    /// A client binds.
    Present {
        session: u64,
        pair: Pair,
    },
    /// The directory's answer, or the end of waiting for it.
    Answer {
        attempt: u64,
        check: Option<Check>,
    },
    /// The owner has not answered in time.
    Deadline {
        ask: AskId,
    },
    /// There was no owner to be asked, but there may be one now.
    LookAgain {
        ask: AskId,
    },
    /// A session waits too long for others.
    Impatient {
        session: u64,
    },
    /// A client hangs up.
    Gone {
        session: u64,
    },
    /// A password change passed through.
    Changed {
        name: usize,
    },
    /// An administrator's wish.
    Wish {
        name: usize,
        deed: Deed,
    },
    Rotate,
    /// Discovery looks who is there.
    Resolve,
    Dial {
        slot: usize,
    },
    Sweep,
    Leave,
    /// It has been leaving for long enough.
    Overdue,
}

/// What is to be read on a machine's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    set_at: Micros,
    set_to: u64,
    drift: i64,
}

impl Clock {
    pub(super) fn new(now: Micros, wall: Micros, drift: i64) -> Self {
        Self { set_at: now, set_to: wall, drift }
    }

    pub(super) fn tick(&self, now: Micros) -> Tick {
        let passed = i64::try_from(now - self.set_at).unwrap_or(i64::MAX);
        let passed = passed + passed / 1000 * self.drift / 1000;
        Tick(self.set_to.saturating_add_signed(passed) / 1000)
    }

    pub(super) fn set(&mut self, now: Micros, tick: Tick) {
        *self = Self { set_at: now, set_to: tick.0 * 1000, drift: self.drift };
    }
}

/// Where a session's bind is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// In this process's guard.
    Parked,
    /// With the owner.
    Asking(AskId),
    /// On its way to the directory.
    Upstream,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) pair: Pair,
    pub(super) since: Micros,
    pub(super) phase: Phase,
    /// Since when it has its process's lease.
    pub(super) leads: Micros,
    pub(super) gone: bool,
}

/// An attempt that the owner is asked about.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) session: u64,
    pub(super) lease: Lease,
    pub(super) since: Micros,
    /// Whether the owner said that another one is on its way.
    pub(super) told_to_wait: bool,
}

/// An attempt on its way to the directory.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) session: u64,
    pub(super) lease: Lease,
    /// Granted by another member under this number.
    pub(super) granted: Option<AskId>,
}

/// How a process stands with the process of another slot that it wants to dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dial {
    Trying,
    Up(LinkId),
}

#[derive(Debug)]
pub(super) struct Process {
    pub(super) run: Run,
    pub(super) node: Node,
    pub(super) guard: Guard<Waiter>,
    pub(super) clock: Clock,
    pub(super) stage: u8,
    pub(super) started: Micros,
    pub(super) joined: bool,
    pub(super) leaving: bool,
    pub(super) hung: bool,
    /// What came while it hung.
    pub(super) late: Vec<Input>,
    pub(super) flush_due: bool,
    /// What was handed to the node's thread last arrives then; it takes in one after the other.
    pub(super) thread: Micros,
    pub(super) sessions: BTreeMap<u64, Session>,
    pub(super) asking: BTreeMap<AskId, Asking>,
    pub(super) upstream: BTreeMap<u64, Upstream>,
    pub(super) dials: BTreeMap<usize, Dial>,
    pub(super) failed_dials: u32,
    /// When something was heard on a connection last.
    pub(super) heard: BTreeMap<LinkId, Micros>,
    /// Flushes that others are to acknowledge.
    pub(super) gathers: BTreeMap<u64, Vec<FactId>>,
}

/// Everything that makes a process.
pub(super) struct Start {
    pub(super) slot: usize,
    pub(super) run: Run,
    pub(super) node: u64,
    pub(super) stage: u8,
    pub(super) clock: Clock,
    pub(super) lives: Lives,
    pub(super) now: Micros,
    pub(super) lease_life: Duration,
}

impl Process {
    pub(super) fn new(start: Start) -> Self {
        let Start { slot, run, node, stage, clock, lives, now, lease_life } = start;
        let guard = Guard::new(2048, policy(lives, stage));
        guard.set_origin(Origin::new(node));
        let settings = NodeSettings {
            cluster: "simulation".to_owned(),
            node: NodeId(node),
            name: name_of(slot),
            port: 7946,
            keys: key_ids(stage),
            lease_life,
        };
        Self {
            run,
            node: Node::new(settings),
            guard,
            clock,
            stage,
            started: now,
            joined: false,
            leaving: false,
            hung: false,
            late: Vec::new(),
            flush_due: false,
            thread: now,
            sessions: BTreeMap::new(),
            asking: BTreeMap::new(),
            upstream: BTreeMap::new(),
            dials: BTreeMap::new(),
            failed_dials: 0,
            heard: BTreeMap::new(),
            gathers: BTreeMap::new(),
        }
    }

    /// Whether clients may come.
    pub(super) fn serves(&self) -> bool {
        self.joined && !self.leaving
    }
}

/// `cluster.nodeName` of a slot.
pub(super) fn name_of(slot: usize) -> String {
    format!("node-{slot}")
}

/// A name in one of two spellings.
pub(super) fn spelling(name: usize, plain: bool) -> String {
    if plain { format!("uid=user{name},dc=example") } else { format!("UID=User{name}, DC=Example") }
}

/// The hashing keys before a rotation and after it.
pub(super) fn key_ids(stage: u8) -> KeyIds {
    match stage {
        0 => KeyIds { current: KeyId(1), previous: None },
        _ => KeyIds { current: KeyId(2), previous: Some(KeyId(1)) },
    }
}

pub(super) fn policy(lives: Lives, stage: u8) -> Policy {
    let key = |octet| HashKey::from_bytes([octet; 32]);
    let keys = match stage {
        0 => Keys::new(&key(1), None, true),
        _ => Keys::new(&key(2), Some(&key(1)), true),
    };
    Policy {
        ttl: lives.ttl,
        max_ttl: lives.max_ttl,
        first_ttl: lives.first_ttl,
        forgiveness: CLOCKS_APART,
        rules: VerdictRules::new(&Verdicts::default()),
        keys,
    }
}
