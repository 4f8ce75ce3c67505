//! Which device keeps presenting a dead password: a bounded sketch of those seen most.
//!
//! Space-saving (Metwally, Agrawal, El Abbadi 2005): a pair that is not in the table takes the
//! place of one with the lowest count and starts from that count. So for every pair, listed or not,
//! `suppressed - overcount <= what really happened <= suppressed`, a listed pair's `overcount` is at
//! most N / capacity after N binds, and a pair that repeats more than that is always listed. Sketches
//! add up: a pair that one of them does not list may have had that one's lowest count there.

use std::collections::HashMap;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::clock::Tick;

use super::key::NameKey;
use super::source::Source;

/// Octets of a name that are kept for the report. A name of so many octets may have been longer.
pub const MAX_NAME: usize = 512;

/// A pair of name and source whose binds are answered from the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offender {
    /// The name's key.
    pub key: NameKey,
    /// The name as it was presented first, at most 512 octets of it.
    pub name: Arc<[u8]>,
    /// Who presents it.
    pub source: Source,
    /// Where it was presented last.
    pub listener: Arc<str>,
    /// Binds answered from the store.
    pub suppressed: u64,
    /// By how much `suppressed` may be too high.
    pub overcount: u64,
    /// When the pair was seen first since it is in the table.
    pub first_seen: Tick,
    /// When it was seen last.
    pub last_seen: Tick,
}

/// The pairs seen most, of one core.
#[derive(Clone, Debug)]
pub struct Offenders {
    pairs: Vec<Pair>,
    /// The count of each pair, apart so that the lowest is found in few cache lines.
    counts: Vec<u64>,
    index: HashTable<u32>,
    capacity: usize,
    /// Where the search for a pair with the count `lowest` goes on.
    hand: usize,
    /// No count is below this, and a pair that is not in the table was counted at most so often.
    lowest: u64,
}

/// An [`Offender`] but for its count.
#[derive(Clone, Debug)]
struct Pair {
    key: NameKey,
    name: Arc<[u8]>,
    source: Source,
    listener: Arc<str>,
    overcount: u64,
    first_seen: Tick,
    last_seen: Tick,
}

/// The pairs seen most, most first, and what is known of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranking {
    /// The pairs.
    pub pairs: Vec<Offender>,
    /// A pair that is not listed was suppressed at most so often.
    pub unlisted: u64,
    /// Whether there are more pairs than were asked for.
    pub truncated: bool,
}

impl Offenders {
    /// A sketch that keeps `capacity` pairs (at least one), about 200 octets each.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            pairs: Vec::new(),
            counts: Vec::new(),
            index: HashTable::new(),
            capacity: capacity.max(1),
            hand: 0,
            lowest: 0,
        }
    }

    /// Counts one bind that was answered from the store. Allocates only for a new pair.
    pub fn record(&mut self, key: NameKey, name: &[u8], source: Source, listener: &Arc<str>, now: Tick) {
        let Self { pairs, index, .. } = self;
        let hash = hash(&key, source);
        let known = index.find(hash, |&at| {
            let pair = &pairs[at as usize];
            pair.key == key && pair.source == source
        });
        if let Some(&at) = known {
            let pair = &mut pairs[at as usize];
            self.counts[at as usize] += 1;
            pair.last_seen = now;
            if !Arc::ptr_eq(&pair.listener, listener) {
                pair.listener = Arc::clone(listener);
            }
            return;
        }
        let (at, inherited) =
            if self.pairs.len() < self.capacity { (self.pairs.len(), 0) } else { (self.displace(), self.lowest) };
        let pair = Pair {
            key,
            name: name[..name.len().min(MAX_NAME)].into(),
            source,
            listener: Arc::clone(listener),
            overcount: inherited,
            first_seen: now,
            last_seen: now,
        };
        match self.pairs.get_mut(at) {
            Some(place) => {
                *place = pair;
                self.counts[at] = inherited + 1;
            }
            None => {
                self.pairs.push(pair);
                self.counts.push(1);
            }
        }
        let Self { pairs, index, .. } = self;
        index.insert_unique(hash, at as u32, |&at| self::hash(&pairs[at as usize].key, pairs[at as usize].source));
    }

    /// Takes a pair with the lowest count out of the index; its place. The table is full.
    ///
    /// Counts only grow, so pairs with the lowest count are found in one pass before the lowest
    /// count has to be looked for again.
    fn displace(&mut self) -> usize {
        loop {
            if let Some(ahead) = self.counts[self.hand..].iter().position(|&count| count == self.lowest) {
                let at = self.hand + ahead;
                self.hand = at + 1;
                let Pair { key, source, .. } = &self.pairs[at];
                if let Ok(entry) = self.index.find_entry(hash(key, *source), |&known| known as usize == at) {
                    entry.remove();
                }
                return at;
            }
            self.lowest = self.counts.iter().copied().min().unwrap_or_default();
            self.hand = 0;
        }
    }
}

/// The pairs seen most over all cores, most first.
#[must_use]
pub fn merge<'a>(sketches: impl IntoIterator<Item = &'a Offenders>, limit: usize) -> Ranking {
    /// A pair, and the lowest counts of the sketches that list it.
    struct Sum {
        offender: Offender,
        lowest: u64,
    }
    let mut merged: HashMap<(NameKey, Source), Sum> = HashMap::new();
    let mut unlisted = 0;
    for sketch in sketches {
        unlisted += sketch.lowest;
        for (pair, &count) in sketch.pairs.iter().zip(&sketch.counts) {
            let Pair { key, name, source, listener, overcount, first_seen, last_seen } = pair;
            let Some(Sum { offender, lowest }) = merged.get_mut(&(*key, *source)) else {
                let offender = Offender {
                    key: *key,
                    name: Arc::clone(name),
                    source: *source,
                    listener: Arc::clone(listener),
                    suppressed: count,
                    overcount: *overcount,
                    first_seen: *first_seen,
                    last_seen: *last_seen,
                };
                merged.insert((*key, *source), Sum { offender, lowest: sketch.lowest });
                continue;
            };
            *lowest += sketch.lowest;
            if *last_seen > offender.last_seen {
                offender.listener = Arc::clone(listener);
            }
            offender.suppressed += count;
            offender.overcount += overcount;
            offender.first_seen = offender.first_seen.min(*first_seen);
            offender.last_seen = offender.last_seen.max(*last_seen);
        }
    }
    let pairs = merged.into_values().map(|Sum { mut offender, lowest }| {
        let elsewhere = unlisted - lowest;
        offender.suppressed += elsewhere;
        offender.overcount += elsewhere;
        offender
    });
    let mut pairs = rank(pairs.collect());
    let cut = pairs.get(limit).map(|first| first.suppressed);
    pairs.truncate(limit);
    Ranking { pairs, unlisted: unlisted.max(cut.unwrap_or_default()), truncated: cut.is_some() }
}

fn rank(mut pairs: Vec<Offender>) -> Vec<Offender> {
    // The last two keys only make the order of equals the same every time.
    pairs.sort_by(|a, b| {
        let order = b.suppressed.cmp(&a.suppressed).then(b.last_seen.cmp(&a.last_seen));
        order.then(a.key.cmp(&b.key)).then(a.source.cmp(&b.source))
    });
    pairs
}

/// The name's key is a keyed hash, so nobody can choose names that collide.
fn hash(key: &NameKey, source: Source) -> u64 {
    key.table_hash() ^ (source.bucket(1 << 20) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    use proptest::collection::vec;
    use proptest::prelude::*;

    fn key(number: u32) -> NameKey {
        let mut octets = *blake3::hash(&number.to_le_bytes()).as_bytes();
        octets.reverse();
        NameKey(octets[..16].try_into().unwrap())
    }

    fn source(host: u32) -> Source {
        Source::from(std::net::IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 + host)))
    }

    fn top(sketch: &Offenders, limit: usize) -> Vec<Offender> {
        merge([sketch], limit).pairs
    }

    fn record(sketch: &mut Offenders, name: u32, host: u32, now: u64) {
        sketch.record(key(name), format!("cn={name}").as_bytes(), source(host), &"ldap".into(), Tick(now));
    }

    #[test]
    fn pairs_are_counted_apart_and_ranked() {
        let mut sketch = Offenders::new(10);
        for now in 0..5 {
            record(&mut sketch, 1, 1, now);
        }
        record(&mut sketch, 1, 2, 7);
        record(&mut sketch, 2, 1, 8);
        record(&mut sketch, 2, 1, 9);
        let top = top(&sketch, 2);
        assert_eq!(top.len(), 2);
        assert_eq!((top[0].key, top[0].source, top[0].suppressed, top[0].overcount), (key(1), source(1), 5, 0));
        assert_eq!((top[0].first_seen, top[0].last_seen, &*top[0].name), (Tick(0), Tick(4), &b"cn=1"[..]));
        assert_eq!((top[1].key, top[1].suppressed), (key(2), 2));
    }

    #[test]
    fn a_crowd_does_not_hide_who_repeats() {
        let mut sketch = Offenders::new(100);
        for now in 0..20_000 {
            record(&mut sketch, 1_000_000 + now as u32, 1, now);
            if now % 10 == 0 {
                record(&mut sketch, 7, 9, now);
            }
        }
        assert_eq!(sketch.pairs.len(), 100);
        assert_eq!(sketch.index.len(), 100);
        let top = top(&sketch, 1);
        assert_eq!((top[0].key, top[0].source), (key(7), source(9)));
        assert!(top[0].suppressed >= 2000 && top[0].suppressed - top[0].overcount <= 2000, "{top:?}");
    }

    #[test]
    fn cores_are_merged() {
        let (mut one, mut two) = (Offenders::new(10), Offenders::new(10));
        record(&mut one, 1, 1, 5);
        record(&mut two, 1, 1, 3);
        record(&mut two, 1, 1, 9);
        record(&mut two, 2, 2, 1);
        let merged = merge([&one, &two], 10).pairs;
        assert_eq!(merged.len(), 2);
        assert_eq!((merged[0].suppressed, merged[0].first_seen, merged[0].last_seen), (3, Tick(3), Tick(9)));
    }

    #[test]
    fn what_is_cut_off_is_bounded() {
        let mut sketch = Offenders::new(10);
        for (name, times) in [(1, 7), (2, 5), (3, 3)] {
            (0..times).for_each(|now| record(&mut sketch, name, 1, now));
        }
        let ranking = |limit| {
            let Ranking { pairs, unlisted, truncated } = merge([&sketch], limit);
            (pairs.len(), unlisted, truncated)
        };
        assert_eq!([1, 2, 3, 4].map(ranking), [(1, 5, true), (2, 3, true), (3, 0, false), (3, 0, false)]);
    }

    proptest! {
        /// The promise of the module, for streams in which few pairs repeat and many do not.
        #[test]
        fn counts_are_right_to_within_the_stated_error(
            streams in vec((1_usize..12, vec((0_u32..24, 0_u32..3), 0..400)), 1..5),
            limit in 0_usize..40,
        ) {
            let mut sketches = Vec::new();
            let mut truth: HashMap<(NameKey, Source), u64> = HashMap::new();
            let mut error = 0;
            for (capacity, stream) in &streams {
                let mut sketch = Offenders::new(*capacity);
                for (now, (name, host)) in (0..).zip(stream) {
                    // Squared, so that low numbers are frequent.
                    let name = name * name / 24;
                    record(&mut sketch, name, *host, now);
                    *truth.entry((key(name), source(*host))).or_default() += 1;
                }
                prop_assert_eq!(sketch.counts.iter().sum::<u64>(), stream.len() as u64);
                prop_assert_eq!(sketch.index.len(), sketch.pairs.len());
                error += stream.len() as u64 / *capacity as u64;
                sketches.push(sketch);
            }
            let all = merge(&sketches, usize::MAX);
            prop_assert!(all.unlisted <= error && !all.truncated);
            let cut = merge(&sketches, limit);
            for (pair, &times) in &truth {
                for ranking in [&all, &cut] {
                    match ranking.pairs.iter().find(|seen| (seen.key, seen.source) == *pair) {
                        Some(seen) => {
                            prop_assert!(seen.suppressed - seen.overcount <= times && times <= seen.suppressed);
                            prop_assert!(seen.overcount <= error);
                        }
                        None => prop_assert!(times <= ranking.unlisted),
                    }
                }
            }
        }
    }

    #[test]
    fn long_names_are_cut() {
        let mut sketch = Offenders::new(1);
        sketch.record(key(1), &[b'x'; 5000], Source::local(), &"ldap".into(), Tick(0));
        assert_eq!(top(&sketch, 1)[0].name.len(), 512);
        record(&mut sketch, 2, 2, 1);
        assert_eq!(top(&sketch, 5).len(), 1);
    }
}
