//! Which device keeps presenting a dead password: a bounded sketch of those seen most.
//!
//! Space-saving (Metwally, Agrawal, El Abbadi 2005): a pair that is not in the table takes the
//! place of a rare one and starts from that one's count, so a count may be too high, by no more
//! than `overcount`, and a pair that repeats more than the rest cannot be missed for long.

use std::collections::HashMap;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::clock::Tick;

use super::key::NameKey;
use super::source::Source;

/// Octets of a name that are kept for the report.
const MAX_NAME: usize = 512;
/// Pairs that are looked at to find a rare one.
const PROBES: usize = 16;

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
    pairs: Vec<Offender>,
    index: HashTable<u32>,
    capacity: usize,
    hand: usize,
}

impl Offenders {
    /// A sketch that keeps `capacity` pairs (at least one), about 200 octets each.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { pairs: Vec::new(), index: HashTable::new(), capacity: capacity.max(1), hand: 0 }
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
            pair.suppressed += 1;
            pair.last_seen = now;
            if !Arc::ptr_eq(&pair.listener, listener) {
                pair.listener = Arc::clone(listener);
            }
            return;
        }
        let (at, inherited) = if self.pairs.len() < self.capacity { (self.pairs.len(), 0) } else { self.displace() };
        let offender = Offender {
            key,
            name: name[..name.len().min(MAX_NAME)].into(),
            source,
            listener: Arc::clone(listener),
            suppressed: inherited + 1,
            overcount: inherited,
            first_seen: now,
            last_seen: now,
        };
        match self.pairs.get_mut(at) {
            Some(place) => *place = offender,
            None => self.pairs.push(offender),
        }
        let Self { pairs, index, .. } = self;
        index.insert_unique(hash, at as u32, |&at| self::hash(&pairs[at as usize].key, pairs[at as usize].source));
    }

    /// The pairs seen most, most first.
    #[must_use]
    pub fn top(&self, limit: usize) -> Vec<Offender> {
        rank(self.pairs.clone(), limit)
    }

    /// Takes the rarest of the next pairs out of the index; its place and its count.
    fn displace(&mut self) -> (usize, u64) {
        let mut rarest = self.hand % self.pairs.len();
        for _ in 0..PROBES.min(self.pairs.len()) {
            let at = self.hand % self.pairs.len();
            self.hand = at + 1;
            if self.pairs[at].suppressed < self.pairs[rarest].suppressed {
                rarest = at;
            }
        }
        let Offender { key, source, suppressed, .. } = &self.pairs[rarest];
        if let Ok(entry) = self.index.find_entry(hash(key, *source), |&at| at as usize == rarest) {
            entry.remove();
        }
        (rarest, *suppressed)
    }
}

/// The pairs seen most over all cores, most first.
#[must_use]
pub fn merge<'a>(sketches: impl IntoIterator<Item = &'a Offenders>, limit: usize) -> Vec<Offender> {
    let mut merged: HashMap<(NameKey, Source), Offender> = HashMap::new();
    for pair in sketches.into_iter().flat_map(|sketch| &sketch.pairs) {
        let Some(sum) = merged.get_mut(&(pair.key, pair.source)) else {
            merged.insert((pair.key, pair.source), pair.clone());
            continue;
        };
        if pair.last_seen > sum.last_seen {
            sum.listener = Arc::clone(&pair.listener);
        }
        sum.suppressed += pair.suppressed;
        sum.overcount += pair.overcount;
        sum.first_seen = sum.first_seen.min(pair.first_seen);
        sum.last_seen = sum.last_seen.max(pair.last_seen);
    }
    rank(merged.into_values().collect(), limit)
}

fn rank(mut pairs: Vec<Offender>, limit: usize) -> Vec<Offender> {
    // The last two keys only make the order of equals the same every time.
    pairs.sort_by(|a, b| {
        let order = b.suppressed.cmp(&a.suppressed).then(b.last_seen.cmp(&a.last_seen));
        order.then(a.key.cmp(&b.key)).then(a.source.cmp(&b.source))
    });
    pairs.truncate(limit);
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

    fn key(number: u32) -> NameKey {
        let mut octets = *blake3::hash(&number.to_le_bytes()).as_bytes();
        octets.reverse();
        NameKey(octets[..16].try_into().unwrap())
    }

    fn source(host: u32) -> Source {
        Source::from(std::net::IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 + host)))
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
        let top = sketch.top(2);
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
        let top = sketch.top(1);
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
        let merged = merge([&one, &two], 10);
        assert_eq!(merged.len(), 2);
        assert_eq!((merged[0].suppressed, merged[0].first_seen, merged[0].last_seen), (3, Tick(3), Tick(9)));
    }

    #[test]
    fn long_names_are_cut() {
        let mut sketch = Offenders::new(1);
        sketch.record(key(1), &[b'x'; 5000], Source::local(), &"ldap".into(), Tick(0));
        assert_eq!(sketch.top(1)[0].name.len(), 512);
        record(&mut sketch, 2, 2, 1);
        assert_eq!(sketch.top(5).len(), 1);
    }
}
