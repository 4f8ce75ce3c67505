//! Which entry makes room for a new one, so that random names or passwords cannot push out those
//! that answer somebody.

use std::cmp::Reverse;

use crate::clock::Tick;

use super::entries::{Coarse, Entries, Entry, Failure, PEERS};

/// Most entries of one name: devices and applications of one person, with room.
pub(super) const MAX_PER_NAME: usize = 16;
/// Slots that the clock hand looks at to find the worst one.
const PROBES: u32 = 16;
/// Slots that it looks at for an entry of a source that is over its quota: such a source holds an
/// eighth of the slots, so missing all of its entries has a chance of one in five thousand.
const SOURCE_PROBES: u32 = 64;
/// A source that holds more than this share of a full shard pays with its own entries.
const SOURCE_SHARE: usize = 8;
/// How dispensable an entry is: a point for being dormant, one for never having answered anybody;
/// among equals the one that was used longest ago. A dormant entry that answered somebody a moment
/// ago still remembers how often its password failed, so it is worth as much as an untried one.
type Rank = (u8, Reverse<Coarse>);

/// What a peer told, before it is let in.
#[derive(Clone, Copy)]
struct Newcomer {
    live: bool,
    used: Coarse,
}

impl Newcomer {
    fn of(failure: &Failure<'_>, now: Tick) -> Self {
        Self { live: failure.expires > now, used: Coarse::of(failure.since) }
    }

    /// It has answered nobody here, but it may somewhere else: so a living one has to be the later
    /// one, and a dormant one can only take the place of another.
    fn may_replace(self, (points, Reverse(used)): Rank) -> bool {
        let own = if self.live { 1 } else { 2 };
        points > own || (used < self.used && (points == own || self.live))
    }
}

impl Entries {
    /// Makes room for one more entry of this name, this source and this shard. What a peer told is
    /// let in only in place of what is worth less, or else members with full stores would fill each
    /// other for ever.
    pub(super) fn make_room(&mut self, failure: &Failure<'_>, now: Tick) -> bool {
        let newcomer = (failure.source == PEERS).then(|| Newcomer::of(failure, now));
        if self.chain(&failure.name).count() >= MAX_PER_NAME {
            // Entries that earn hits stay, however many passwords somebody tries for the name.
            let worst = self
                .chain(&failure.name)
                .filter_map(|slot| self.rank_in_name(slot).map(|rank| (rank, slot)))
                .max_by_key(|&(rank, _)| rank);
            if let Some((rank, slot)) = worst {
                if newcomer.is_some_and(|newcomer| !newcomer.may_replace(rank)) {
                    return false;
                }
                self.free(slot);
                self.evicted += 1;
            }
        }
        if self.slab.len() < self.quota {
            return true;
        }
        let held = self.per_source.get(failure.source).copied().unwrap_or(0) as usize;
        let over = newcomer.is_none() && held > self.quota / SOURCE_SHARE;
        if over && self.evict_own(failure.source) {
            return true;
        }
        let Some((rank, slot)) = self.find_worst(now) else { return true };
        if newcomer.is_some_and(|newcomer| !newcomer.may_replace(rank)) {
            return false;
        }
        self.free(slot);
        self.evicted += 1;
        true
    }

    /// Among the entries of one name it does not matter who is dormant.
    fn rank_in_name(&self, slot: u32) -> Option<Rank> {
        self.slab.get(slot).map(|entry| (u8::from(entry.hits == 0), Reverse(entry.used)))
    }

    /// Evicts an entry of `source` that never answered, if the hand finds one.
    fn evict_own(&mut self, source: usize) -> bool {
        for _ in 0..SOURCE_PROBES.min(self.slab.slots()) {
            let slot = self.advance();
            let own = |entry: &Entry| entry.hits == 0 && usize::from(entry.source) == source;
            if self.slab.get(slot).is_some_and(own) {
                self.free(slot);
                self.evicted += 1;
                return true;
            }
        }
        false
    }

    /// Evicts the most dispensable of the entries that the hand passes.
    pub(super) fn evict_worst(&mut self, now: Tick) {
        if let Some((_, slot)) = self.find_worst(now) {
            self.free(slot);
            self.evicted += 1;
        }
    }

    /// The most dispensable of the entries that the hand passes.
    fn find_worst(&mut self, now: Tick) -> Option<(Rank, u32)> {
        let mut worst: Option<(Rank, u32)> = None;
        let mut probes = 0;
        // Free slots do not count as looked at, but one round is enough for all.
        for _ in 0..self.slab.slots() {
            let slot = self.advance();
            let Some(entry) = self.slab.get(slot) else { continue };
            let points = u8::from(entry.expires <= now) + u8::from(entry.hits == 0);
            let rank: Rank = (points, Reverse(entry.used));
            if worst.is_none_or(|(other, _)| rank > other) {
                worst = Some((rank, slot));
            }
            probes += 1;
            if probes == PROBES {
                break;
            }
        }
        worst
    }

    fn advance(&mut self) -> u32 {
        if self.hand >= self.slab.slots() {
            self.hand = 0;
        }
        let slot = self.hand;
        self.hand += 1;
        slot
    }
}
