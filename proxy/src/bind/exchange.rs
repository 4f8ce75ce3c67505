//! What the guard tells peers and hears from them.
//!
//! Nothing here holds a shard's lock for more than a slice of it.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Tick;

use super::effect::{Effect, PurgeCause};
use super::entries::Entry;
use super::fact::{Fact, FailureFact, NameFacts};
use super::flight::{Conclusion, Lease};
use super::guard::{Guard, Settled};
use super::key::{Credential, Digest, NameKey};
use super::life::Past;
use super::tree::{self, Selection, Tree};
use super::verdict::Verdict;

/// Slots looked at by one hold of a shard's lock: some ten microseconds.
const SLICE: u32 = 512;
/// How long a password that was right is taken for right without asking anybody.
const A_MOMENT: Duration = Duration::from_secs(1);

/// What merging a fact did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Whether anything is known now that was not before.
    pub changed: bool,
    /// Failures that came or went by it, for metrics and the log.
    pub effects: Vec<Effect>,
    /// What is known here that forgives or supersedes it: whoever told it does not know.
    pub newer: Option<Fact>,
}

/// A part of everything that a guard knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Export {
    /// Failures, dormant ones too, and what is known of names.
    pub facts: Vec<Fact>,
    /// Where to go on; `None` at the end.
    pub next: Option<u64>,
}

/// Something that a guard holds, for as long as its lock is held.
enum Held<'a> {
    Failure(&'a Entry),
    Name(&'a NameFacts),
}

impl<W> Guard<W> {
    /// Learns what another member knows. The same fact a second time changes nothing, and the order
    /// of facts does not matter. Those who wait for an attempt of this member go on waiting.
    pub fn merge(&self, fact: &Fact, now: Tick) -> Merged {
        let lives = self.policy.load().lives();
        match fact {
            Fact::Failure(fact) => {
                // A verdict that cannot be kept here is no fault of the peer's.
                let Ok(verdict) = self.verdicts.lock().intern(&fact.verdict) else { return Merged::default() };
                let fact = FailureFact { verdict, ..*fact };
                self.shard(&fact.name).merge_failure(&fact, &lives, now)
            }
            Fact::Name(facts) => self.shard(&facts.name).merge_name(facts, &lives),
            Fact::FlushedAll(until) => {
                let known = self.flushed_all();
                if known >= *until {
                    let newer = (known > *until).then_some(Fact::FlushedAll(known));
                    return Merged { newer, ..Merged::default() };
                }
                let removed = self.shards.iter().map(|shard| shard.lock().purge_all(*until)).sum();
                let (cause, life) = (PurgeCause::Flush, lives.max_ttl);
                let effects = vec![Effect::Purged { name: None, except: None, cause, removed, life }];
                Merged { changed: true, effects, newer: None }
            }
        }
    }

    /// All that is known of a name besides its failures, for peers.
    #[must_use]
    pub fn name_facts(&self, name: &NameKey) -> Option<NameFacts> {
        self.shard(name).memory.tell(name)
    }

    /// What is known of a failed bind; `None` for one that is too old to count.
    #[must_use]
    pub fn failure(&self, name: &NameKey, digest: &Digest, now: Tick) -> Option<FailureFact> {
        let max_ttl = self.policy.load().max_ttl;
        self.shard(name).entries.fact(name, digest, max_ttl, now)
    }

    /// When everything was flushed last.
    #[must_use]
    pub fn flushed_all(&self) -> Past {
        self.shards.first().map_or(Past::NEVER, |shard| shard.lock().memory.flushed_all())
    }

    /// Lets go those who wait for an attempt that another member made. What is to be learned of it
    /// comes by [`Self::merge`].
    pub fn conclude(&self, lease: Lease, conclusion: Conclusion, now: Tick) -> Settled<W> {
        let mut shard = self.shard(&lease.credential.name);
        let released = match conclusion {
            Conclusion::Verdict(verdict) => shard.release(&lease, &verdict),
            Conclusion::Success => shard.release_to_bind(&lease, now),
            Conclusion::Fault => {
                drop(shard);
                self.fault(&lease, now)
            }
        };
        Settled { class: None, released, effects: Vec::new() }
    }

    /// What an attempt that waited for another member before it was sent is to be answered with now: its
    /// failure may have been heard of meanwhile.
    #[must_use]
    pub fn heard_of(&self, credential: &Credential, now: Tick) -> Option<Arc<Verdict>> {
        let Credential { name, digest, previous } = *credential;
        let heard = |(name, digest)| self.shard(&name).entries.peek(&name, &digest, now);
        heard((name, digest)).or_else(|| previous.and_then(heard))
    }

    /// Whether this is the last good password of its name, and was right within the last second.
    ///
    /// Such an attempt needs nobody's leave but this process's: an account that logs in all the time would wait for
    /// itself. Of a password that was right longer ago nobody knows whether it still is, and every member that
    /// remembers it would try it once.
    #[must_use]
    pub fn was_right_a_moment_ago(&self, credential: &Credential, now: Tick) -> bool {
        let Credential { name, digest, previous } = *credential;
        let was = |(name, digest)| self.shard(&name).memory.was_right_within(&name, &digest, A_MOMENT, now);
        was((name, digest)) || previous.is_some_and(was)
    }

    /// At most `limit` facts (but one at least) from a cursor on; 0 is the start. What comes meanwhile may be missed: it is
    /// for the caller to hear of it in another way.
    #[must_use]
    pub fn export(&self, cursor: u64, limit: usize, now: Tick) -> Export {
        let max_ttl = self.policy.load().max_ttl;
        let mut facts = Vec::with_capacity(limit.min(1 << 16));
        let flushed = self.flushed_all();
        if cursor == 0 && flushed != Past::NEVER {
            facts.push(Fact::FlushedAll(flushed));
        }
        let mut place = Place::of_cursor(cursor);
        while let Some(shard) = self.shards.get(place.shard) {
            if facts.len() >= limit && place.cursor() > cursor {
                return Export { facts, next: Some(place.cursor()) };
            }
            let shard = shard.lock();
            let room = u32::try_from(limit.saturating_sub(facts.len())).unwrap_or(SLICE).clamp(1, SLICE);
            let end = place.slot.saturating_add(room);
            let slots = if place.names { shard.memory.slots() } else { shard.entries.slab.slots() };
            for slot in place.slot..end.min(slots) {
                if place.names {
                    facts.extend(shard.memory.at(slot).map(|known| Fact::Name(known.facts)));
                } else {
                    let entry = shard.entries.slab.get(slot).filter(|entry| now < entry.expires.after(max_ttl));
                    facts.extend(entry.map(|entry| Fact::Failure(entry.fact())));
                }
            }
            place = if end < slots { Place { slot: end, ..place } } else { place.next_table() };
        }
        Export { facts, next: None }
    }

    /// The sums of all that began up to `cut` and does not end soon.
    #[must_use]
    pub fn tree(&self, cut: Tick, now: Tick) -> Tree {
        let mut tree = Tree::new();
        self.each_selected(cut, now, |leaf, fingerprint, _| tree.add(leaf, fingerprint));
        if let Some(flushed) = self.flushed_until(cut) {
            tree.add(tree::FLUSH_LEAF, tree::of_flush(flushed));
        }
        tree
    }

    /// Everything that [`Self::tree`] sums on these leaves, with its fingerprint.
    #[must_use]
    pub fn on_leaves(&self, leaves: &[u16], cut: Tick, now: Tick) -> Vec<(u16, u64, Fact)> {
        let mut wanted = vec![false; 1 << 16];
        leaves.iter().for_each(|&leaf| wanted[usize::from(leaf)] = true);
        let mut found = Vec::new();
        if let Some(flushed) = self.flushed_until(cut).filter(|_| wanted[usize::from(tree::FLUSH_LEAF)]) {
            found.push((tree::FLUSH_LEAF, tree::of_flush(flushed), Fact::FlushedAll(flushed)));
        }
        self.each_selected(cut, now, |leaf, fingerprint, held| {
            if wanted[usize::from(leaf)] {
                let fact = match held {
                    Held::Failure(entry) => Fact::Failure(entry.fact()),
                    Held::Name(facts) => Fact::Name(*facts),
                };
                found.push((leaf, fingerprint, fact));
            }
        });
        found
    }

    /// The cluster clock was set to `now` from far away, so nothing says any more when what is
    /// stored began: failures are dropped, and purges count as made now. Last good passwords stay.
    /// Returns how many failures lived.
    pub fn leap(&self, now: Tick) -> usize {
        self.shards.iter().map(|shard| shard.lock().leap(now)).sum()
    }

    fn flushed_until(&self, cut: Tick) -> Option<Past> {
        Some(self.flushed_all()).filter(|flushed| flushed.tick().is_some_and(|tick| tick <= cut))
    }

    fn each_selected(&self, cut: Tick, now: Tick, mut each: impl FnMut(u16, u64, Held<'_>)) {
        let selection = Selection { cut, now, max_ttl: self.policy.load().max_ttl };
        let mut place = Place::of_cursor(0);
        while let Some(shard) = self.shards.get(place.shard) {
            let shard = shard.lock();
            let end = place.slot.saturating_add(SLICE);
            let slots = if place.names { shard.memory.slots() } else { shard.entries.slab.slots() };
            for slot in place.slot..end.min(slots) {
                if place.names {
                    if let Some(known) = shard.memory.at(slot).filter(|known| selection.has_name(&known.facts)) {
                        let facts = &known.facts;
                        each(tree::leaf_of(&facts.name), tree::of_name(facts), Held::Name(facts));
                    }
                } else if let Some(entry) = shard.entries.slab.get(slot)
                    && selection.has_failure(entry.stamp(), entry.expires)
                {
                    let fingerprint = tree::of_failure(entry.name(), entry.digest(), entry.stamp());
                    each(tree::leaf_of(entry.name()), fingerprint, Held::Failure(entry));
                }
            }
            place = if end < slots { Place { slot: end, ..place } } else { place.next_table() };
        }
    }
}

/// A slot of one of a shard's two tables: its failures, then its names.
#[derive(Clone, Copy)]
struct Place {
    shard: usize,
    names: bool,
    slot: u32,
}

impl Place {
    fn of_cursor(cursor: u64) -> Self {
        Self { shard: (cursor >> 33) as usize, names: cursor >> 32 & 1 == 1, slot: cursor as u32 }
    }

    fn cursor(self) -> u64 {
        (self.shard as u64) << 33 | u64::from(self.names) << 32 | u64::from(self.slot)
    }

    fn next_table(self) -> Self {
        Self { shard: self.shard + usize::from(self.names), names: !self.names, slot: 0 }
    }
}
