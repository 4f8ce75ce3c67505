//! What is remembered of a name besides its failed binds: the last good password, as a digest,
//! and when something happened that makes older verdicts worthless.

use std::time::Duration;

use hashbrown::HashTable;

use crate::clock::Tick;

use super::fact::{NameFacts, Success};
use super::join::Cover;
use super::key::{Digest, NameKey};
use super::life::Past;
use super::slab::Slab;

/// A failure that something forgives may have been asked about just before and recorded a request's timeout
/// later, and lives for at most `maxTTL` from then on. As long, and for some time to tell it, what forgives it
/// must be remembered.
pub(super) const REMEMBERED_LONGER: Duration = Duration::from_secs(60);
/// Slots that the clock hand looks at to find the name that was heard of longest ago.
const PROBES: u32 = 16;

#[derive(Debug)]
pub(super) struct Known {
    pub(super) facts: NameFacts,
    /// When the later success of the facts was seen again without telling anybody.
    refreshed: Past,
}

impl Known {
    /// The last tick at which anything happened.
    fn touched(&self) -> Past {
        self.facts.touched().max(self.refreshed)
    }

    /// What may be told from now on: with what was kept back.
    fn unfold(&mut self) -> &mut NameFacts {
        let latest = &mut self.facts.successes[0];
        latest.at = latest.at.max(std::mem::take(&mut self.refreshed));
        &mut self.facts
    }

    fn last_good(&self) -> Option<Success> {
        let [latest, _] = self.facts.successes;
        let at = latest.at.max(self.refreshed);
        (at > self.facts.last_good_ended).then_some(Success { digest: latest.digest, at })
    }

    fn cover(&self, digest: &Digest, sent: Tick) -> Cover {
        match self.facts.cover(digest, sent) {
            Cover::Open | Cover::Ended(_)
                if self.refreshed.covers(sent) && self.facts.successes[0].digest == *digest =>
            {
                Cover::Right
            }
            cover => cover,
        }
    }
}

/// What joining what a peer knows of a name came to.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) before: NameFacts,
    pub(super) after: NameFacts,
}

/// The memory of one shard.
#[derive(Debug)]
pub(super) struct Memory {
    slab: Slab<Known>,
    by_name: HashTable<u32>,
    quota: usize,
    hand: u32,
    broom: u32,
    /// When everything was flushed: a fact, as peers have it too.
    flushed_all: Past,
    /// Verdicts of attempts that were sent up to here are worthless here, whatever the name: facts
    /// of a name had to make room.
    horizon: Past,
}

impl Memory {
    pub(super) fn new(quota: usize) -> Self {
        Self {
            slab: Slab::new(),
            by_name: HashTable::new(),
            quota,
            hand: 0,
            broom: 0,
            flushed_all: Past::NEVER,
            horizon: Past::NEVER,
        }
    }

    pub(super) fn set_quota(&mut self, quota: usize) {
        self.quota = quota;
    }

    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) fn slots(&self) -> u32 {
        self.slab.slots()
    }

    pub(super) fn at(&self, slot: u32) -> Option<&Known> {
        self.slab.get(slot)
    }

    /// Whether the verdict of an attempt that was sent at `sent` is outdated by a purge, or by a
    /// success of the same password.
    pub(super) fn is_late(&self, name: &NameKey, digest: &Digest, sent: Tick) -> bool {
        self.is_beyond(sent) || self.cover(name, digest, sent) != Cover::Open
    }

    /// Whether a purge came after an attempt that was sent at `sent`.
    pub(super) fn is_purged(&self, name: &NameKey, digest: &Digest, sent: Tick) -> bool {
        self.is_beyond(sent) || matches!(self.cover(name, digest, sent), Cover::Purged | Cover::Ended(_))
    }

    /// Whether a flush, or what was forgotten of names, outdates an attempt that was sent at `sent`.
    pub(super) fn is_beyond(&self, sent: Tick) -> bool {
        self.flushed_all.max(self.horizon).covers(sent)
    }

    /// What becomes of a failure by what is known of its name.
    pub(super) fn cover(&self, name: &NameKey, digest: &Digest, sent: Tick) -> Cover {
        self.get(name).map_or(Cover::Open, |known| known.cover(digest, sent))
    }

    /// Remembers that a password was right at `now`. Whether peers must hear of it: not of the last
    /// good one again and again, unless `forgives` something.
    pub(super) fn succeeded(
        &mut self,
        name: &NameKey,
        digest: Digest,
        forgives: bool,
        ttl: Duration,
        now: Tick,
    ) -> bool {
        let flushed_all = self.flushed_all;
        let Some(known) = self.get_or_insert(name) else { return false };
        let [latest, earlier] = known.facts.successes;
        let at = Past::at(now);
        if !forgives {
            let is_last_good = known.last_good().is_some_and(|good| good.digest == digest);
            if is_last_good && latest.at.within(ttl, now) {
                known.refreshed = known.refreshed.max(at);
                return false;
            }
            let third = latest.digest != digest && earlier.digest != digest;
            if third && earlier.at.within(ttl, now) && earlier.at > known.facts.purged.max(flushed_all) {
                // More than two right passwords in use at once. To make room for the third is to
                // purge the name of what is older than the first, and that each time.
                return false;
            }
        }
        known.unfold().join_success(Success { digest, at });
        true
    }

    /// Whether this is the last good digest of the name.
    pub(super) fn is_last_good(&self, name: &NameKey, digest: &Digest) -> bool {
        self.get(name).and_then(Known::last_good).is_some_and(|good| good.digest == *digest)
    }

    /// Whether this is the last good digest of the name, and was right within `time` before `now`.
    pub(super) fn was_right_within(&self, name: &NameKey, digest: &Digest, time: Duration, now: Tick) -> bool {
        let last_good = self.get(name).and_then(Known::last_good);
        last_good.is_some_and(|good| good.digest == *digest && good.at.within(time, now))
    }

    /// The last good digest is one no longer, as an attempt showed that was sent at `sent`.
    pub(super) fn last_good_failed(&mut self, name: &NameKey, sent: Tick) {
        if let Some(known) = self.get_mut(name) {
            let facts = known.unfold();
            facts.last_good_ended = facts.last_good_ended.max(Past::before(sent));
        }
    }

    /// When the last good digest of the name succeeded last, if one is known.
    pub(super) fn last_good_at(&self, name: &NameKey) -> Option<Tick> {
        self.get(name)?.last_good()?.at.tick()
    }

    /// Remembers a purge of the name; whether its last good password is one no longer, too.
    pub(super) fn purged(&mut self, name: &NameKey, at: Past, password_changed: bool) {
        let Some(known) = self.get_or_insert(name) else {
            self.horizon = self.horizon.max(at);
            return;
        };
        let facts = known.unfold();
        facts.purged = facts.purged.max(at);
        if password_changed {
            facts.last_good_ended = facts.last_good_ended.max(at);
        }
    }

    /// Remembers a purge of everything. Last good digests stay: they are not failures.
    pub(super) fn purged_all(&mut self, at: Past) {
        self.flushed_all = self.flushed_all.max(at);
    }

    pub(super) fn flushed_all(&self) -> Past {
        self.flushed_all
    }

    /// Whether the name's other entries may be purged because its last good digest failed: once
    /// in `ttl`.
    pub(super) fn may_purge_others(&self, name: &NameKey, ttl: Duration, now: Tick) -> bool {
        self.get(name).is_none_or(|known| !known.facts.others_purged.within(ttl, now))
    }

    /// Remembers that they were.
    pub(super) fn others_purged(&mut self, name: &NameKey, except: Digest, at: Past) {
        match self.get_or_insert(name) {
            Some(known) => known.unfold().join_others(at, except),
            None => self.horizon = self.horizon.max(at),
        }
    }

    /// All that is known of the name, to be told: what was kept back is told from now on, too.
    pub(super) fn tell(&mut self, name: &NameKey) -> Option<NameFacts> {
        self.get_mut(name).map(|known| *known.unfold())
    }

    /// Joins what a peer knows. `None` when there is no room to remember it.
    pub(super) fn join(&mut self, facts: &NameFacts) -> Option<Joined> {
        if self.slot(&facts.name).is_none() && !self.make_room_for(facts.touched()) {
            self.horizon = self.horizon.max(facts.touched());
            return None;
        }
        let known = self.get_or_insert(&facts.name)?;
        let before = known.facts;
        let mut after = before;
        after.join(facts);
        if after.successes[0].digest != before.successes[0].digest {
            // What was kept back is of a password that is not the later one any more.
            after = *known.unfold();
            after.join(facts);
        }
        known.facts = after;
        Some(Joined { before, after })
    }

    /// All purges count as made at `now`.
    pub(super) fn restamp(&mut self, now: Tick) {
        let raise = |past: &mut Past| {
            if *past != Past::NEVER {
                *past = Past::at(now).max(*past);
            }
        };
        for slot in 0..self.slab.slots() {
            if let Some(known) = self.slab.get_mut(slot) {
                raise(&mut known.facts.purged);
                raise(&mut known.facts.others_purged);
            }
        }
        raise(&mut self.flushed_all);
    }

    /// Looks at the next `slots` slots and frees those whose facts are all older than any failure that they forgive,
    /// and those for which a lowered quota leaves no room.
    pub(super) fn sweep(&mut self, slots: usize, max_ttl: Duration, now: Tick) {
        for _ in 0..slots.min(self.slab.slots() as usize) {
            if self.broom >= self.slab.slots() {
                self.broom = 0;
            }
            let slot = self.broom;
            self.broom += 1;
            let Some(known) = self.slab.get(slot) else { continue };
            if known.last_good().is_none() && !known.touched().within(max_ttl + REMEMBERED_LONGER, now) {
                self.free(slot);
            } else if self.slab.len() > self.quota {
                self.evict();
            }
        }
    }

    fn slot(&self, name: &NameKey) -> Option<u32> {
        let is_of = |&slot: &u32| self.slab.get(slot).is_some_and(|known| known.facts.name == *name);
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
        let slot = self.slab.insert(Known { facts: NameFacts::nothing(*name), refreshed: Past::NEVER });
        let Self { slab, by_name, .. } = self;
        by_name.insert_unique(name.table_hash(), slot, |&slot| {
            slab.get(slot).map_or(0, |known| known.facts.name.table_hash())
        });
        slab.get_mut(slot)
    }

    /// Forgets the one of the next names that was heard of longest ago. What its facts forbade
    /// stays forbidden: verdicts as old as they are worthless for every name from now on.
    fn evict(&mut self) {
        if let Some((at, slot)) = self.oldest() {
            self.horizon = self.horizon.max(at);
            self.free(slot);
        }
    }

    /// Makes room for facts of then about one more name, unless all that it finds are later ones.
    fn make_room_for(&mut self, touched: Past) -> bool {
        if self.slab.len() < self.quota {
            return true;
        }
        match self.oldest() {
            Some((at, slot)) if at < touched => {
                self.horizon = self.horizon.max(at);
                self.free(slot);
                true
            }
            Some(_) | None => false,
        }
    }

    /// The one of the next names that was heard of longest ago.
    fn oldest(&mut self) -> Option<(Past, u32)> {
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
        oldest
    }

    fn free(&mut self, slot: u32) {
        let Some(known) = self.slab.remove(slot) else { return };
        if let Ok(entry) = self.by_name.find_entry(known.facts.name.table_hash(), |&other| other == slot) {
            entry.remove();
        }
    }
}
