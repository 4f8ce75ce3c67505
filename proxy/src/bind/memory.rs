//! What is remembered of a name besides its failed binds: the last good password, as a digest,
//! and when something happened that makes older verdicts worthless.

use std::time::Duration;

use hashbrown::HashTable;

use crate::clock::Tick;

use super::key::{Digest, NameKey};
use super::life::Past;
use super::slab::Slab;

/// Slots that the clock hand looks at to find the name that was heard of longest ago.
const PROBES: u32 = 16;

#[derive(Clone, Copy, Debug)]
struct Success {
    digest: Digest,
    at: Past,
}

#[derive(Debug)]
struct Known {
    name: NameKey,
    /// The last two digests that succeeded, the later one first.
    successes: [Success; 2],
    /// When the name's entries were purged last.
    purged: Past,
    /// When a failure of the last good digest ended the lives of the name's other entries.
    others_purged: Past,
    /// Whether the later success is still the last good digest: it did not fail since.
    last_good: bool,
}

impl Known {
    /// The last tick at which anything happened.
    fn touched(&self) -> Past {
        self.purged.max(self.others_purged).max(self.successes[0].at)
    }
}

/// The memory of one shard.
#[derive(Debug)]
pub(super) struct Memory {
    slab: Slab<Known>,
    by_name: HashTable<u32>,
    quota: usize,
    hand: u32,
    broom: u32,
    /// Verdicts of attempts that were sent up to here are worthless, whatever the name: a flush of
    /// everything, or the facts of a name that had to make room.
    horizon: Past,
}

impl Memory {
    pub(super) fn new(quota: usize) -> Self {
        Self { slab: Slab::new(), by_name: HashTable::new(), quota, hand: 0, broom: 0, horizon: Past::NEVER }
    }

    pub(super) fn set_quota(&mut self, quota: usize) {
        self.quota = quota;
    }

    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether the verdict of an attempt that was sent at `sent` is outdated by a purge, or by a
    /// success of the same password.
    pub(super) fn is_late(&self, name: &NameKey, digest: &Digest, sent: Tick) -> bool {
        self.is_purged(name, sent)
            || self.get(name).is_some_and(|known| {
                known.successes.iter().any(|success| success.digest == *digest && success.at.covers(sent))
            })
    }

    /// Whether a purge came after an attempt that was sent at `sent`.
    pub(super) fn is_purged(&self, name: &NameKey, sent: Tick) -> bool {
        self.horizon.covers(sent) || self.get(name).is_some_and(|known| known.purged.covers(sent))
    }

    /// Remembers the success of an attempt.
    pub(super) fn succeeded(&mut self, name: &NameKey, digest: Digest, now: Tick) {
        let Some(known) = self.get_or_insert(name) else { return };
        let [latest, earlier] = known.successes;
        if latest.digest != digest {
            known.successes[1] = latest;
        } else {
            known.successes[1] = earlier;
        }
        known.successes[0] = Success { digest, at: Past::at(now) };
        known.last_good = true;
    }

    /// Whether this is the last good digest of the name.
    pub(super) fn is_last_good(&self, name: &NameKey, digest: &Digest) -> bool {
        self.get(name).is_some_and(|known| known.last_good && known.successes[0].digest == *digest)
    }

    /// The last good digest is one no longer. When it succeeded stays known.
    pub(super) fn forget_last_good(&mut self, name: &NameKey) {
        if let Some(known) = self.get_mut(name) {
            known.last_good = false;
        }
    }

    /// When the last good digest of the name succeeded last, if one is known.
    pub(super) fn last_good_at(&self, name: &NameKey) -> Option<Tick> {
        let known = self.get(name)?;
        if known.last_good { known.successes[0].at.tick() } else { None }
    }

    /// Remembers a purge of the name.
    pub(super) fn purged(&mut self, name: &NameKey, now: Tick) {
        match self.get_or_insert(name) {
            Some(known) => known.purged = Past::at(now),
            None => self.horizon = self.horizon.max(Past::at(now)),
        }
    }

    /// Remembers a purge of everything. Last good digests stay: they are not failures.
    pub(super) fn purged_all(&mut self, now: Tick) {
        self.horizon = self.horizon.max(Past::at(now));
    }

    /// Whether the name's other entries may be purged because its last good digest failed: once
    /// in `ttl`.
    pub(super) fn may_purge_others(&self, name: &NameKey, ttl: Duration, now: Tick) -> bool {
        self.get(name).is_none_or(|known| !known.others_purged.within(ttl, now))
    }

    /// Remembers that they were.
    pub(super) fn others_purged(&mut self, name: &NameKey, now: Tick) {
        self.purged(name, now);
        if let Some(known) = self.get_mut(name) {
            known.others_purged = Past::at(now);
        }
    }

    /// Looks at the next `slots` slots and frees those whose facts are all older than `max_ttl`,
    /// and those for which a lowered quota leaves no room.
    pub(super) fn sweep(&mut self, slots: usize, max_ttl: Duration, now: Tick) {
        for _ in 0..slots.min(self.slab.slots() as usize) {
            if self.broom >= self.slab.slots() {
                self.broom = 0;
            }
            let slot = self.broom;
            self.broom += 1;
            let Some(known) = self.slab.get(slot) else { continue };
            if !known.last_good && !known.touched().within(max_ttl, now) {
                self.free(slot);
            } else if self.slab.len() > self.quota {
                self.evict();
            }
        }
    }

    fn slot(&self, name: &NameKey) -> Option<u32> {
        let is_of = |&slot: &u32| self.slab.get(slot).is_some_and(|known| known.name == *name);
        self.by_name.find(name.table_hash(), is_of).copied()
    }

    fn get(&self, name: &NameKey) -> Option<&Known> {
        self.slab.get(self.slot(name)?)
    }

    fn get_mut(&mut self, name: &NameKey) -> Option<&mut Known> {
        let slot = self.slot(name)?;
        self.slab.get_mut(slot)
    }

    /// `None` only when nothing may be remembered at all.
    fn get_or_insert(&mut self, name: &NameKey) -> Option<&mut Known> {
        if let Some(slot) = self.slot(name) {
            return self.slab.get_mut(slot);
        }
        if self.quota == 0 {
            return None;
        }
        if self.slab.len() >= self.quota {
            self.evict();
        }
        let never = Success { digest: Digest([0; 16]), at: Past::NEVER };
        let slot = self.slab.insert(Known {
            name: *name,
            successes: [never; 2],
            purged: Past::NEVER,
            others_purged: Past::NEVER,
            last_good: false,
        });
        let Self { slab, by_name, .. } = self;
        by_name
            .insert_unique(name.table_hash(), slot, |&slot| slab.get(slot).map_or(0, |known| known.name.table_hash()));
        slab.get_mut(slot)
    }

    /// Forgets the one of the next names that was heard of longest ago. What its facts forbade
    /// stays forbidden: verdicts as old as they are worthless for every name from now on.
    fn evict(&mut self) {
        let mut oldest: Option<(Past, u32)> = None;
        let mut probes = 0;
        for _ in 0..self.slab.slots() {
            if self.hand >= self.slab.slots() {
                self.hand = 0;
            }
            let slot = self.hand;
            self.hand += 1;
            let Some(known) = self.slab.get(slot) else { continue };
            if oldest.is_none_or(|(at, _)| known.touched() < at) {
                oldest = Some((known.touched(), slot));
            }
            probes += 1;
            if probes == PROBES {
                break;
            }
        }
        if let Some((at, slot)) = oldest {
            self.horizon = self.horizon.max(at);
            self.free(slot);
        }
    }

    fn free(&mut self, slot: u32) {
        let Some(known) = self.slab.remove(slot) else { return };
        if let Ok(entry) = self.by_name.find_entry(known.name.table_hash(), |&other| other == slot) {
            entry.remove();
        }
    }
}
