//! Attempts that are on their way to a directory, and who waits for the same answer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashTable;

use crate::clock::Tick;

use super::key::{Credential, Digest, NameKey};
use super::source::Source;
use super::verdict::Verdict;

/// A flight older than this has lost its lease by a bug. It is dropped with its waiters rather
/// than let it park its credential for ever; no request timeout comes near it.
const LOST_AFTER: Duration = Duration::from_secs(3600);

/// The right to send one attempt upstream.
///
/// Give it back by [`super::Guard::settle`] on every path, also when the client is gone (its
/// verdict still counts) and when nothing was sent at all ([`super::Outcome::Fault`]): those who
/// wait for the same answer wait for this value.
#[must_use = "identical attempts wait until the lease is settled"]
#[derive(Debug)]
pub struct Lease {
    pub(super) credential: Credential,
    pub(super) source: Source,
    pub(super) sent_at: Tick,
    /// The flight whose waiters get this lease's verdict; none when it is for one client alone.
    pub(super) flight: Option<u64>,
}

impl Lease {
    /// Whose attempt it is.
    #[must_use]
    pub fn name(&self) -> NameKey {
        self.credential.name
    }

    /// The attempt's credential.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Who presents it.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    /// When it was granted; the attempt counts as sent from then on.
    #[must_use]
    pub fn sent_at(&self) -> Tick {
        self.sent_at
    }

    /// Whether identical attempts may wait for this one's verdict.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.flight.is_some()
    }
}

/// What becomes of a waiter.
#[derive(Debug)]
pub enum Release {
    /// Answer the client with this.
    Answer(Arc<Verdict>),
    /// Forward the client's own bind under this lease. When the client is gone by now, settle the
    /// lease as a fault, which lets the next waiter go.
    Forward(Lease),
}

/// What came of an attempt, for those who wait for it at another member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// The directory refused it, in these words.
    Verdict(Arc<Verdict>),
    /// The password is right: each who waits binds for itself.
    Success,
    /// No answer is known, or it was never sent: the next one's turn.
    Fault,
}

/// One attempt in flight.
#[derive(Debug)]
pub(super) struct Flight<W> {
    id: u64,
    name: NameKey,
    digest: Digest,
    sent_at: Tick,
    /// A purge came after it was sent, so its verdict may be outdated: nobody may join any more.
    closed: bool,
    pub(super) waiters: VecDeque<(W, Source)>,
}

/// The attempts in flight of one shard.
#[derive(Debug)]
pub(super) struct Flights<W> {
    table: HashTable<Flight<W>>,
    next_id: u64,
    lost: u64,
}

impl<W> Flights<W> {
    pub(super) fn new() -> Self {
        Self { table: HashTable::new(), next_id: 0, lost: 0 }
    }

    /// The flight that an identical attempt may wait for.
    pub(super) fn open(&mut self, digest: &Digest) -> Option<&mut Flight<W>> {
        self.table.find_mut(digest.table_hash(), |flight| flight.digest == *digest && !flight.closed)
    }

    /// A lease for a new flight.
    pub(super) fn lead(&mut self, credential: Credential, source: Source, now: Tick) -> Lease {
        let id = self.next_id;
        self.next_id += 1;
        let Credential { name, digest, previous: _ } = credential;
        self.put(Flight { id, name, digest, sent_at: now, closed: false, waiters: VecDeque::new() });
        Lease { credential, source, sent_at: now, flight: Some(id) }
    }

    /// Ends the flight of `lease`. `None` for a lease without one, and for one that was lost.
    pub(super) fn land(&mut self, lease: &Lease) -> Option<Flight<W>> {
        let id = lease.flight?;
        let digest = lease.credential.digest;
        let found = self.table.find_entry(digest.table_hash(), |flight| flight.digest == digest && flight.id == id);
        found.ok().map(|entry| entry.remove().0)
    }

    /// After a fault of `lease`: the next waiter takes over, or all join an identical flight that
    /// was opened meanwhile.
    pub(super) fn hand_over(&mut self, lease: &Lease, mut flight: Flight<W>, now: Tick) -> Option<(W, Lease)> {
        if let Some(open) = self.open(&lease.credential.digest) {
            open.waiters.append(&mut flight.waiters);
            return None;
        }
        let (waiter, source) = flight.waiters.pop_front()?;
        let lease = Lease { credential: lease.credential, source, sent_at: now, flight: Some(flight.id) };
        flight.sent_at = now;
        flight.closed = false;
        self.put(flight);
        Some((waiter, lease))
    }

    /// Nobody may join any more the flights of `name` (of all names) of which `outdated` says so by
    /// their digest and when they were sent.
    pub(super) fn close(&mut self, name: Option<&NameKey>, outdated: impl Fn(&Digest, Tick) -> bool) {
        for flight in self.table.iter_mut() {
            if name.is_none_or(|name| flight.name == *name) && outdated(&flight.digest, flight.sent_at) {
                flight.closed = true;
            }
        }
    }

    /// The clock was set from far away: what is under way is no older for that.
    pub(super) fn restamp(&mut self, now: Tick) {
        for flight in self.table.iter_mut() {
            flight.sent_at = now;
        }
    }

    pub(super) fn drop_lost(&mut self, now: Tick) {
        let before = self.table.len();
        self.table.retain(|flight| now.since(flight.sent_at) < LOST_AFTER);
        self.lost += (before - self.table.len()) as u64;
    }

    pub(super) fn in_flight(&self, name: &NameKey) -> usize {
        self.table.iter().filter(|flight| flight.name == *name).count()
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn waiting(&self) -> usize {
        self.table.iter().map(|flight| flight.waiters.len()).sum()
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    fn put(&mut self, flight: Flight<W>) {
        self.table.insert_unique(flight.digest.table_hash(), flight, |flight| flight.digest.table_hash());
    }
}
