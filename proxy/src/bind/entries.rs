//! The failed binds of one shard: which (name, password) was refused with which answer, until when.
//!
//! A name's entries are chained in a slab and one index leads from the name to the chain, so an
//! entry costs 80 octets and its share of the index, and a lookup touches two places in memory.
//! An expired entry stays dormant for `maxTTLSeconds`, because the next failure of its digest
//! must know how often it failed before.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as IndexEntry;

use crate::clock::Tick;

use super::explain::EntryExplanation;
use super::fact::{FailureFact, Stamp};
use super::join::Cover;
use super::key::{Digest, NameKey};
use super::life::Past;
use super::slab::Slab;
use super::verdict::Verdict;

/// Sources are counted by buckets, so that counting them takes 4 KB for each shard.
pub(super) const SOURCE_BUCKETS: usize = 1024;
/// The bucket of what peers told: they are many sources, each within its quota at the member where
/// it came, so that no quota is kept here.
pub(super) const PEERS: usize = SOURCE_BUCKETS;

/// No next entry.
const END: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Entry {
    name: NameKey,
    digest: Digest,
    verdict: Arc<Verdict>,
    stamp: Stamp,
    pub(super) expires: Tick,
    recorded: Coarse,
    /// When it last answered somebody, or was recorded if it never did.
    pub(super) used: Coarse,
    pub(super) hits: u32,
    /// The next entry of the same name.
    next: u32,
    /// The bucket of the source that presented it first.
    pub(super) source: u16,
    level: u8,
    /// Whether it is counted in [`Entries::live`]; the sweep and purges end it.
    live: bool,
}

const _: () = assert!(size_of::<Option<Entry>>() == 80);

impl Entry {
    /// As peers are told.
    pub(super) fn fact(&self) -> FailureFact {
        FailureFact {
            name: self.name,
            digest: self.digest,
            stamp: self.stamp,
            expires: self.expires,
            level: self.level,
            verdict: Arc::clone(&self.verdict),
        }
    }

    pub(super) fn name(&self) -> &NameKey {
        &self.name
    }

    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }
}

/// A tick in units of 256 ms: enough to order hits and to print ages, for 34 years of cluster time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Coarse(u32);

impl Coarse {
    pub(super) fn of(tick: Tick) -> Self {
        Self(u32::try_from(tick.0 >> 8).unwrap_or(u32::MAX))
    }

    fn since(self, now: Tick) -> Duration {
        Duration::from_millis(now.0.saturating_sub(u64::from(self.0) << 8))
    }
}

/// A failure to record.
pub(super) struct Failure<'a> {
    pub(super) name: NameKey,
    pub(super) digest: Digest,
    pub(super) verdict: &'a Arc<Verdict>,
    pub(super) stamp: Stamp,
    /// When it was learned: now, or when the attempt began if a peer learned it.
    pub(super) since: Tick,
    pub(super) expires: Tick,
    pub(super) level: u8,
    /// The bucket of the source that presented it.
    pub(super) source: usize,
}

/// What is stored about a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) level: u8,
    pub(super) live: bool,
    pub(super) stamp: Stamp,
}

/// What was forgiven: failures that lived.
#[derive(Debug, Default)]
pub(super) struct Forgiven {
    pub(super) purged: usize,
    pub(super) ended: usize,
    pub(super) right: Vec<Digest>,
}

/// The store of one shard.
#[derive(Debug)]
pub(super) struct Entries {
    pub(super) slab: Slab<Entry>,
    by_name: HashTable<u32>,
    pub(super) quota: usize,
    /// Where the next eviction looks.
    pub(super) hand: u32,
    /// Where the next sweep goes on.
    broom: u32,
    live: usize,
    pub(super) per_source: Vec<u32>,
    pub(super) evicted: u64,
    expired: u64,
}

impl Entries {
    pub(super) fn new(quota: usize) -> Self {
        Self {
            slab: Slab::new(),
            by_name: HashTable::new(),
            quota,
            hand: 0,
            broom: 0,
            live: 0,
            per_source: Vec::new(),
            evicted: 0,
            expired: 0,
        }
    }

    /// A lower quota is reached by the next sweeps, not at once.
    pub(super) fn set_quota(&mut self, quota: usize) {
        self.quota = quota;
    }

    pub(super) fn quota(&self) -> usize {
        self.quota
    }

    /// Entries that answer, as far as the last sweep knows.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// All entries, dormant ones too.
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) fn expired(&self) -> u64 {
        self.expired
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The stored answer to this attempt; counts the hit.
    pub(super) fn answer(&mut self, name: &NameKey, digest: &Digest, now: Tick) -> Option<Arc<Verdict>> {
        let slot = self.find(name, digest)?;
        let entry = self.slab.get_mut(slot)?;
        if entry.expires <= now {
            return None;
        }
        entry.hits = entry.hits.saturating_add(1);
        entry.used = Coarse::of(now);
        Some(Arc::clone(&entry.verdict))
    }

    /// The stored answer to this attempt, without counting a hit.
    pub(super) fn peek(&self, name: &NameKey, digest: &Digest, now: Tick) -> Option<Arc<Verdict>> {
        let entry = self.slab.get(self.find(name, digest)?)?;
        (entry.expires > now).then(|| Arc::clone(&entry.verdict))
    }

    /// What is stored about a digest, dormant or not, unless it is too old to count.
    pub(super) fn stored(&self, name: &NameKey, digest: &Digest, max_ttl: Duration, now: Tick) -> Option<Stored> {
        let entry = self.slab.get(self.find(name, digest)?)?;
        (now < entry.expires.after(max_ttl)).then_some(Stored {
            level: entry.level,
            live: entry.expires > now,
            stamp: entry.stamp,
        })
    }

    /// The failure as peers are told, unless it is too old to count.
    pub(super) fn fact(&self, name: &NameKey, digest: &Digest, max_ttl: Duration, now: Tick) -> Option<FailureFact> {
        let entry = self.slab.get(self.find(name, digest)?)?;
        (now < entry.expires.after(max_ttl)).then(|| entry.fact())
    }

    /// Records a failure in place of what was stored about its digest. False when there is no room
    /// for it.
    pub(super) fn record(&mut self, failure: &Failure<'_>, now: Tick) -> bool {
        if self.quota == 0 {
            return false;
        }
        let &Failure { name, digest, verdict, stamp, since, expires, level, source } = failure;
        let live = expires > now;
        if let Some(entry) = self.find(&name, &digest).and_then(|slot| self.slab.get_mut(slot)) {
            entry.verdict = Arc::clone(verdict);
            entry.stamp = stamp;
            entry.expires = expires;
            entry.recorded = Coarse::of(since);
            entry.level = level;
            self.live -= usize::from(entry.live);
            self.live += usize::from(live);
            entry.live = live;
            return true;
        }
        if !self.make_room(failure, now) {
            return false;
        }
        if self.per_source.is_empty() {
            self.per_source = vec![0; SOURCE_BUCKETS + 1];
        }
        self.per_source[source] += 1;
        self.live += usize::from(live);
        let slot = self.slab.insert(Entry {
            name,
            digest,
            verdict: Arc::clone(verdict),
            stamp,
            expires,
            recorded: Coarse::of(since),
            used: Coarse::of(since),
            hits: 0,
            next: END,
            source: source as u16,
            level,
            live,
        });
        self.link(slot, &failure.name);
        true
    }

    /// Forgets a digest and how often it failed.
    pub(super) fn remove(&mut self, name: &NameKey, digest: &Digest) {
        if let Some(slot) = self.find(name, digest) {
            self.free(slot);
        }
    }

    /// Does to the name's entries what `cover` says of their digests and when their attempts began.
    /// Those whose lives end stay dormant: how often they failed counts, since they may be wrong
    /// still.
    pub(super) fn forgive(&mut self, name: &NameKey, cover: impl Fn(&Digest, Tick) -> Cover) -> Forgiven {
        let mut forgiven = Forgiven::default();
        let mut at = self.head(name);
        while let Some(entry) = self.slab.get_mut(at) {
            let slot = std::mem::replace(&mut at, entry.next);
            let (digest, lived) = (entry.digest, entry.live);
            match cover(&digest, entry.stamp.at()) {
                Cover::Open => {}
                Cover::Ended(tick) => {
                    entry.expires = entry.expires.min(tick);
                    entry.live = false;
                    self.live -= usize::from(lived);
                    forgiven.ended += usize::from(lived);
                }
                Cover::Purged => {
                    self.free(slot);
                    forgiven.purged += usize::from(lived);
                }
                Cover::Right => {
                    self.free(slot);
                    forgiven.right.extend(lived.then_some(digest));
                }
            }
        }
        forgiven
    }

    /// Forgets all entries of a name. Returns how many lived, and the latest stamp.
    pub(super) fn remove_name(&mut self, name: &NameKey) -> (usize, Stamp) {
        let before = self.live;
        let mut latest = Stamp::default();
        loop {
            let head = self.head(name);
            let Some(entry) = self.free(head) else { return (before - self.live, latest) };
            latest = latest.max(entry.stamp);
        }
    }

    /// Forgets all whose attempts began up to then. Returns how many lived.
    pub(super) fn remove_until(&mut self, until: Past) -> usize {
        let before = self.live;
        let later = |slot| self.slab.get(slot).is_some_and(|entry: &Entry| !until.covers(entry.stamp.at()));
        if !(0..self.slab.slots()).any(later) {
            return self.clear();
        }
        for slot in 0..self.slab.slots() {
            if self.slab.get(slot).is_some_and(|entry| until.covers(entry.stamp.at())) {
                self.free(slot);
            }
        }
        before - self.live
    }

    /// Forgets everything. Returns how many lived.
    pub(super) fn clear(&mut self) -> usize {
        let removed = self.live;
        *self = Self { evicted: self.evicted, expired: self.expired, ..Self::new(self.quota) };
        removed
    }

    /// Looks at the next `slots` slots: expired entries become dormant, dormant ones whose time is
    /// over are freed, and so is what a lowered quota leaves no room for.
    pub(super) fn sweep(&mut self, slots: usize, max_ttl: Duration, now: Tick) {
        for _ in 0..slots.min(self.slab.slots() as usize) {
            if self.broom >= self.slab.slots() {
                self.broom = 0;
            }
            let slot = self.broom;
            self.broom += 1;
            let Some(entry) = self.slab.get_mut(slot) else { continue };
            if entry.live && entry.expires <= now {
                entry.live = false;
                self.live -= 1;
                self.expired += 1;
            }
            if entry.expires.after(max_ttl) <= now {
                self.free(slot);
            } else if self.slab.len() > self.quota {
                self.evict_worst(now);
            }
        }
        if self.slab.len() == 0 {
            self.by_name = HashTable::new();
        }
    }

    /// The name's entries, for people.
    pub(super) fn explain(&self, name: &NameKey, now: Tick) -> Vec<EntryExplanation> {
        self.chain(name)
            .filter_map(|slot| self.slab.get(slot))
            .map(|entry| EntryExplanation {
                digest: entry.digest,
                age: entry.recorded.since(now),
                remaining: now.until(entry.expires),
                level: entry.level,
                hits: entry.hits,
                last_hit: (entry.hits > 0).then(|| entry.used.since(now)),
                code: entry.verdict.code(),
                diagnostic: String::from_utf8_lossy(entry.verdict.diagnostic()).into_owned(),
            })
            .collect()
    }

    /// The first name whose short form is this: for people who read it in a log. Walks the shard.
    pub(super) fn find_short(&self, short: u32) -> Option<NameKey> {
        (0..self.slab.slots())
            .filter_map(|slot| self.slab.get(slot))
            .map(|entry| entry.name)
            .find(|n| n.short() == short)
    }

    fn head(&self, name: &NameKey) -> u32 {
        let head = self.by_name.find(name.table_hash(), |&slot| self.is_of(slot, name));
        head.copied().unwrap_or(END)
    }

    fn is_of(&self, slot: u32, name: &NameKey) -> bool {
        self.slab.get(slot).is_some_and(|entry| entry.name == *name)
    }

    pub(super) fn chain(&self, name: &NameKey) -> impl Iterator<Item = u32> + '_ {
        let mut at = self.head(name);
        std::iter::from_fn(move || {
            let slot = at;
            at = self.slab.get(slot)?.next;
            Some(slot)
        })
    }

    fn find(&self, name: &NameKey, digest: &Digest) -> Option<u32> {
        self.chain(name).find(|&slot| self.slab.get(slot).is_some_and(|entry| entry.digest == *digest))
    }

    /// Puts a new entry before the others of its name.
    fn link(&mut self, slot: u32, name: &NameKey) {
        let Self { slab, by_name, .. } = self;
        let hash_of = |&slot: &u32| slab.get(slot).map_or(0, |entry| entry.name.table_hash());
        let is_of = |&head: &u32| slab.get(head).is_some_and(|entry| entry.name == *name);
        let old = match by_name.entry(name.table_hash(), is_of, hash_of) {
            IndexEntry::Occupied(mut head) => std::mem::replace(head.get_mut(), slot),
            IndexEntry::Vacant(place) => {
                place.insert(slot);
                END
            }
        };
        if let Some(entry) = slab.get_mut(slot) {
            entry.next = old;
        }
    }

    /// Takes an entry out of its chain and of the slab.
    pub(super) fn free(&mut self, slot: u32) -> Option<Entry> {
        let (name, next) = self.slab.get(slot).map(|entry| (entry.name, entry.next))?;
        let before = self.chain(&name).find(|&at| self.slab.get(at).is_some_and(|entry| entry.next == slot));
        if let Some(entry) = before.and_then(|before| self.slab.get_mut(before)) {
            entry.next = next;
        } else if let Ok(mut head) = self.by_name.find_entry(name.table_hash(), |&head| head == slot) {
            if next == END {
                head.remove();
            } else {
                *head.get_mut() = next;
            }
        }
        let entry = self.slab.remove(slot)?;
        self.live -= usize::from(entry.live);
        self.per_source[usize::from(entry.source)] -= 1;
        Some(entry)
    }
}
