//! Sums over everything that a member holds, so that two members find what they do not share
//! without telling each other all of it.

use std::time::Duration;

use crate::clock::Tick;

use super::fact::{NameFacts, Stamp};
use super::key::{Digest, NameKey};
use super::life::Past;
use super::memory::REMEMBERED_LONGER;

const BRANCHES: usize = 256;
const LEAVES: usize = BRANCHES * 256;

/// A failure that ends this soon is left out: it may have ended already at the other member, whose
/// copy has a life that is shorter by the time that it travelled.
const ENDS_SOON: Duration = Duration::from_secs(5);
/// As much before the end of its life what is known of a name is left out: sweeps free it there.
const FORGOTTEN_SOON: Duration = Duration::from_secs(10);

/// The sums of one moment: 256 branches with 256 leaves each. A name is on one leaf with all that
/// is known of it. Fingerprints are keyed hashes, mixed; they are added, not xored, so that two
/// equal differences do not cancel out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    root: u64,
    branches: Box<[u64]>,
    leaves: Box<[u64]>,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self { root: 0, branches: vec![0; BRANCHES].into(), leaves: vec![0; LEAVES].into() }
    }

    /// Adds one fact.
    pub(super) fn add(&mut self, leaf: u16, fingerprint: u64) {
        let Self { root, branches, leaves } = self;
        for sum in [root, &mut branches[usize::from(leaf >> 8)], &mut leaves[usize::from(leaf)]] {
            *sum = sum.wrapping_add(fingerprint);
        }
    }

    /// The sum of everything.
    #[must_use]
    pub fn root(&self) -> u64 {
        self.root
    }

    /// The sum of the 256 leaves of a branch.
    #[must_use]
    pub fn branch(&self, branch: u8) -> u64 {
        self.branches[usize::from(branch)]
    }

    /// The sum of one leaf: branch times 256 plus its place there.
    #[must_use]
    pub fn leaf(&self, leaf: u16) -> u64 {
        self.leaves[usize::from(leaf)]
    }
}

/// The leaf of the flush of everything.
pub(super) const FLUSH_LEAF: u16 = 0;

/// The leaf of a name: bits that choose neither the shard nor the slot in a table.
pub(super) fn leaf_of(name: &NameKey) -> u16 {
    u16::from_be_bytes([name.0[4], name.0[5]])
}

/// What is summed: what every member that heard of it still holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Selection {
    /// What began later may be on its way to the other member.
    pub(super) cut: Tick,
    pub(super) now: Tick,
    pub(super) max_ttl: Duration,
}

impl Selection {
    pub(super) fn has_failure(&self, stamp: Stamp, expires: Tick) -> bool {
        stamp.at() <= self.cut && expires > self.now.after(ENDS_SOON)
    }

    pub(super) fn has_name(&self, facts: &NameFacts) -> bool {
        let touched = facts.touched();
        touched.tick().is_some_and(|tick| tick <= self.cut)
            && touched.within((self.max_ttl + REMEMBERED_LONGER).saturating_sub(FORGOTTEN_SOON), self.now)
    }
}

/// The fingerprint of a failure: which attempt it was. How long it is believed is left out, since
/// copies differ in that by the time that they travelled.
pub(super) fn of_failure(name: &NameKey, digest: &Digest, stamp: Stamp) -> u64 {
    let mix = absorb(absorb(FAILURES, &name.0), &digest.0);
    fold(mix ^ stamp.bits(), LAST)
}

/// The fingerprint of all that is known of a name.
pub(super) fn of_name(facts: &NameFacts) -> u64 {
    let NameFacts { name, successes, purged, last_good_ended, others_purged, others_except } = facts;
    let mut mix = absorb(absorb(NAMES, &name.0), &others_except.0);
    for success in successes {
        mix = fold(absorb(mix, &success.digest.0) ^ success.at.bits(), NEXT);
    }
    for past in [purged, last_good_ended, others_purged] {
        mix = fold(mix ^ past.bits(), NEXT);
    }
    fold(mix, LAST)
}

/// The fingerprint of the flush of everything.
pub(super) fn of_flush(flushed: Past) -> u64 {
    fold(FLUSHES ^ flushed.bits(), LAST)
}

// Odd numbers without a pattern: digits of pi.
const FAILURES: u64 = 0x243F_6A88_85A3_08D3;
const NAMES: u64 = 0x1319_8A2E_0370_7345;
const FLUSHES: u64 = 0xA409_3822_299F_31D1;
const LEFT: u64 = 0x082E_FA98_EC4E_6C89;
const RIGHT: u64 = 0x4528_21E6_38D0_1377;
const NEXT: u64 = 0xBE54_66CF_34E9_0C6D;
const LAST: u64 = 0xC0AC_29B7_C97C_50DD;

fn absorb(mix: u64, octets: &[u8; 16]) -> u64 {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *octets;
    let (left, right) = (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u64::from_le_bytes([i, j, k, l, m, n, o, p]));
    fold(mix ^ left ^ LEFT, right ^ RIGHT).wrapping_add(mix)
}

/// Both halves of the product: each of its bits depends on every bit of the factors.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::super::fact::Origin;
    use super::*;
    use std::collections::HashSet;

    fn octets(number: u64) -> [u8; 16] {
        let mut octets = [0; 16];
        octets[8..].copy_from_slice(&number.to_be_bytes());
        octets
    }

    #[test]
    fn fingerprints_of_neighbours_differ_and_so_do_their_differences() {
        // Hashes without any randomness of their own are the worst that can come.
        let (mut seen, mut steps, mut bits) = (HashSet::new(), HashSet::new(), [0_u32; 64]);
        let mut before = 0;
        for number in 0..200_000_u64 {
            let (name, digest) = (NameKey(octets(number % 100)), Digest(octets(number / 100 % 100)));
            let stamp = Stamp::new(Tick(number / 10_000), Origin::default());
            let fingerprint = of_failure(&name, &digest, stamp);
            assert!(seen.insert(fingerprint), "{number}");
            assert!(steps.insert(fingerprint.wrapping_sub(before)), "{number}");
            before = fingerprint;
            for (bit, count) in bits.iter_mut().enumerate() {
                *count += (fingerprint >> bit & 1) as u32;
            }
        }
        assert!(bits.iter().all(|&count| count.abs_diff(100_000) < 2000), "{bits:?}");
    }

    #[test]
    fn every_part_of_what_is_known_of_a_name_counts() {
        let facts = NameFacts::nothing(NameKey(octets(1)));
        let mut seen = HashSet::from([of_name(&facts)]);
        let past = Past::at(Tick(5));
        for change in [
            (|facts, past| facts.purged = past) as fn(&mut NameFacts, Past),
            |facts, past| facts.last_good_ended = past,
            |facts, past| facts.others_purged = past,
            |facts, _| facts.others_except = Digest(octets(7)),
            |facts, past| facts.successes[0].at = past,
            |facts, past| facts.successes[1].at = past,
            |facts, _| facts.successes[0].digest = Digest(octets(7)),
            |facts, _| facts.successes[1].digest = Digest(octets(7)),
            |facts, _| facts.name = NameKey(octets(2)),
        ] {
            let mut other = facts;
            change(&mut other, past);
            assert!(seen.insert(of_name(&other)), "{other:?}");
        }
    }

    #[test]
    fn branches_and_the_root_are_sums_of_leaves() {
        let mut tree = Tree::new();
        for (leaf, sum) in [(0x0102, 5), (0x0103, 7), (0xFF02, u64::MAX)] {
            tree.add(leaf, sum);
        }
        assert_eq!((tree.leaf(0x0102), tree.leaf(0x0103), tree.branch(1)), (5, 7, 12));
        assert_eq!((tree.branch(0xFF), tree.root(), tree.branch(0)), (u64::MAX, 11, 0));
    }
}
