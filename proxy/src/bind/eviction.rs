//! Which entry makes room for a new one, so that random names or passwords cannot push out those
//! that answer somebody.

use std::cmp::Reverse;

use crate::clock::Tick;

use super::entries::{Coarse, Entries, Entry, Failure};

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

impl Entries {
    /// Makes room for one more entry of this name, this source and this shard.
    pub(super) fn make_room(&mut self, failure: &Failure<'_>, now: Tick) {
        if self.chain(&failure.name).count() >= MAX_PER_NAME {
            // Entries that earn hits stay, however many passwords somebody tries for the name.
            let worst =
                self.chain(&failure.name).max_by_key(|&slot| self.worth(slot).map(|(hit, used)| (!hit, Reverse(used))));
            if let Some(slot) = worst {
                self.free(slot);
                self.evicted += 1;
            }
        }
        if self.slab.len() < self.quota {
            return;
        }
        let held = self.per_source.get(failure.source).copied().unwrap_or(0) as usize;
        if held > self.quota / SOURCE_SHARE && self.evict_own(failure.source) {
            return;
        }
        self.evict_worst(now);
    }

    /// Whether the slot's entry ever answered, and when it was used last.
    fn worth(&self, slot: u32) -> Option<(bool, Coarse)> {
        self.slab.get(slot).map(|entry| (entry.hits > 0, entry.used))
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
        if let Some((_, slot)) = worst {
            self.free(slot);
            self.evicted += 1;
        }
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
