//! What members of a cluster tell each other about binds, as values that merge.
//!
//! Merging is commutative, associative and idempotent: a failure yields to a later one of the same
//! digest, what is known of a name is a set of maxima, and a failure that began no later than a fact
//! which forgives it is nothing. All times are cluster time (`crate::cluster::clock`), so ticks of
//! different members can be compared.

use std::sync::Arc;

use crate::clock::Tick;

use super::key::{Digest, NameKey};
use super::life::Past;
use super::verdict::Verdict;

/// A member's tag in stamps: 20 bits that tell members apart which record in the same millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(u32);

impl Origin {
    /// The lowest 20 bits of `bits`.
    #[must_use]
    pub fn new(bits: u64) -> Self {
        Self((bits & 0xF_FFFF) as u32)
    }

    pub(super) fn bits(self) -> u32 {
        self.0
    }
}

/// When an attempt began, and at which member: the order of failures of one digest.
///
/// 44 bits of milliseconds (557 years) above 20 bits of [`Origin`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(u64);

impl Stamp {
    /// The stamp of an attempt that `origin` began at `at`.
    #[must_use]
    pub fn new(at: Tick, origin: Origin) -> Self {
        Self(at.0.min((1 << 44) - 1) << 20 | u64::from(origin.0))
    }

    /// From its 64 bits, as they travel.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Its 64 bits.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }

    /// When the attempt began.
    #[must_use]
    pub fn at(self) -> Tick {
        Tick(self.0 >> 20)
    }
}

/// A failed bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureFact {
    /// Whose.
    pub name: NameKey,
    /// Of which password.
    pub digest: Digest,
    /// When the attempt began.
    pub stamp: Stamp,
    /// When it is believed no longer. A past tick is a dormant failure, of which only the level counts.
    pub expires: Tick,
    /// Which failure of this digest in a row it is; 0 when it was the last good one before.
    pub level: u8,
    /// What it is answered with.
    pub verdict: Arc<Verdict>,
}

/// A password that was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Success {
    /// Which.
    pub digest: Digest,
    /// When it was seen last.
    pub at: Past,
}

/// What is known of a name besides its failures: the whole of it, so that whoever has it lacks nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameFacts {
    /// Whose.
    pub name: NameKey,
    /// The last two passwords that were right, the later one first.
    pub successes: [Success; 2],
    /// Attempts that began up to here say nothing any more: a flush, a changed password.
    pub purged: Past,
    /// When the last good password was seen to be good no longer.
    pub last_good_ended: Past,
    /// Attempts that began up to here, but for `others_except`, say nothing any more: the last good
    /// password failed.
    pub others_purged: Past,
    /// The last good password that failed then.
    pub others_except: Digest,
}

/// One thing that a member knows and others should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A failed bind.
    Failure(FailureFact),
    /// What is known of a name besides.
    Name(NameFacts),
    /// Everything was flushed: attempts that began up to here say nothing any more.
    FlushedAll(Past),
}
