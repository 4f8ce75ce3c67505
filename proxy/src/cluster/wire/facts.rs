//! Facts in octets: a table of the different verdicts, then runs of records of one kind.
//!
//! ```text
//! u16 verdicts | each: u16 length, octets | u16 runs | each: u8 kind, u16 record size, u16 records, records
//! ```
//! The order of facts is kept. A run whose kind has bit 7 set may be skipped by who does not know it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::bind::Past;
use crate::bind::fact::{Fact, FailureFact, NameFacts, Stamp, Success};
use crate::bind::key::{Digest, NameKey};
use crate::bind::verdict::Verdict;
use crate::clock::Tick;

use super::octets::{Octets, put_records, short};
use super::{DecodeError, EncodeError, OPTIONAL};

/// name 16, digest 16, stamp 8, remaining life 8 (signed), verdict 2, level 1.
const FAILURE: usize = 51;
/// name 16, two successes (digest 16, at 8), purged 8, last good ended 8, others purged 8, others except 16.
const NAME: usize = 104;
/// at 8.
const FLUSHED_ALL: usize = 8;

/// Kinds of runs.
const FAILURES: u8 = 1;
const NAMES: u8 = 2;
const FLUSHES: u8 = 3;

/// Kind, record size and count of a run.
const RUN_HEADER: usize = 5;

/// The latest tick that means anything: what a [`Stamp`] has room for. Later ones are taken for this one,
/// so that no sum of ticks overflows anywhere.
const LATEST: u64 = (1 << 44) - 1;

/// A tick that came from outside.
pub(super) fn tick(number: u64) -> Tick {
    Tick(number.min(LATEST))
}

fn past(number: u64) -> Past {
    number.checked_sub(1).map_or(Past::NEVER, |at| Past::at(tick(at)))
}

fn past_number(past: Past) -> u64 {
    past.tick().map_or(0, |at| at.0.saturating_add(1))
}

/// What is left of a life at `sent`; negative for one that is over.
fn remaining(expires: Tick, sent: Tick) -> i64 {
    // Neither has more than 44 bits, but for a bug, which then must not become a long life.
    let signed = |tick: Tick| tick.0.min(LATEST) as i64;
    signed(expires) - signed(sent)
}

fn expires(remaining: i64, sent: Tick) -> Tick {
    let longest = LATEST as i64;
    tick(sent.0.saturating_add_signed(remaining.clamp(-longest, longest)))
}

fn kind(fact: &Fact) -> (u8, usize) {
    match fact {
        Fact::Failure(_) => (FAILURES, FAILURE),
        Fact::Name(_) => (NAMES, NAME),
        Fact::FlushedAll(_) => (FLUSHES, FLUSHED_ALL),
    }
}

/// How many of `facts`, from the first on, take at most `budget` octets, a table of verdicts and all.
pub(super) fn that_fit(facts: &[Fact], budget: usize) -> usize {
    let mut table = Table::default();
    let mut octets = 2 + 2;
    let mut previous = 0;
    for (position, fact) in facts.iter().enumerate() {
        let (kind, size) = kind(fact);
        octets += size + if kind == previous { 0 } else { RUN_HEADER };
        previous = kind;
        if let Fact::Failure(failure) = fact {
            let known = table.verdicts.len();
            table.index_of(&failure.verdict);
            if table.verdicts.len() > known {
                octets += 2 + failure.verdict.len();
            }
        }
        if octets > budget {
            return position;
        }
    }
    facts.len()
}

/// The different verdicts of a batch, in the order in which they are met.
#[derive(Default)]
struct Table<'a> {
    verdicts: Vec<&'a Arc<Verdict>>,
    by_contents: HashMap<&'a Verdict, usize>,
}

/// A directory has very few ways to say "wrong password", and facts share their allocation.
const LOOKED_AT_FIRST: usize = 4;

impl<'a> Table<'a> {
    fn index_of(&mut self, verdict: &'a Arc<Verdict>) -> usize {
        let first = self.verdicts.iter().take(LOOKED_AT_FIRST);
        if let Some(index) = first.clone().position(|known| Arc::ptr_eq(known, verdict)) {
            return index;
        }
        *self.by_contents.entry(verdict).or_insert_with(|| {
            self.verdicts.push(verdict);
            self.verdicts.len() - 1
        })
    }
}

/// Appends `facts`.
pub(super) fn put(out: &mut Vec<u8>, sent: Tick, facts: &[Fact]) -> Result<(), EncodeError> {
    let mut table = Table::default();
    let mut indices = Vec::with_capacity(facts.len());
    for fact in facts {
        if let Fact::Failure(failure) = fact {
            indices.push(short(table.index_of(&failure.verdict))?);
        }
    }
    out.extend_from_slice(&short(table.verdicts.len())?.to_le_bytes());
    for verdict in table.verdicts {
        put_verdict(out, verdict)?;
    }
    let runs = facts.chunk_by(|one, next| kind(one).0 == kind(next).0);
    out.extend_from_slice(&short(runs.clone().count())?.to_le_bytes());
    let mut indices = indices.into_iter();
    for run in runs {
        let Some((kind, size)) = run.first().map(kind) else { continue };
        out.push(kind);
        put_records(out, size, run.len())?;
        out.reserve(size * run.len());
        for fact in run {
            match fact {
                // There is an index for every failure.
                Fact::Failure(failure) => {
                    put_failure(out, sent, failure, indices.next().ok_or(EncodeError::TooLong)?);
                }
                Fact::Name(name) => put_name(out, name),
                Fact::FlushedAll(at) => out.extend_from_slice(&past_number(*at).to_le_bytes()),
            }
        }
    }
    Ok(())
}

fn put_failure(out: &mut Vec<u8>, sent: Tick, failure: &FailureFact, verdict_index: u16) {
    let FailureFact { name, digest, stamp, expires, level, verdict: _ } = failure;
    let mut record = [0; FAILURE];
    record[..16].copy_from_slice(&name.0);
    record[16..32].copy_from_slice(&digest.0);
    record[32..40].copy_from_slice(&stamp.bits().to_le_bytes());
    record[40..48].copy_from_slice(&remaining(*expires, sent).to_le_bytes());
    record[48..50].copy_from_slice(&verdict_index.to_le_bytes());
    record[50] = *level;
    out.extend_from_slice(&record);
}

fn put_name(out: &mut Vec<u8>, facts: &NameFacts) {
    let NameFacts { name, successes: [last, before], purged, last_good_ended, others_purged, others_except } = facts;
    let mut record = [0; NAME];
    record[..16].copy_from_slice(&name.0);
    record[16..32].copy_from_slice(&last.digest.0);
    record[32..40].copy_from_slice(&past_number(last.at).to_le_bytes());
    record[40..56].copy_from_slice(&before.digest.0);
    record[56..64].copy_from_slice(&past_number(before.at).to_le_bytes());
    record[64..72].copy_from_slice(&past_number(*purged).to_le_bytes());
    record[72..80].copy_from_slice(&past_number(*last_good_ended).to_le_bytes());
    record[80..88].copy_from_slice(&past_number(*others_purged).to_le_bytes());
    record[88..].copy_from_slice(&others_except.0);
    out.extend_from_slice(&record);
}

/// A verdict with its length in front.
pub(super) fn put_verdict(out: &mut Vec<u8>, verdict: &Verdict) -> Result<(), EncodeError> {
    if !verdict.travels() {
        return Err(EncodeError::Verdict);
    }
    out.extend_from_slice(&short(verdict.len())?.to_le_bytes());
    out.extend_from_slice(verdict.octets());
    Ok(())
}

/// Reads a verdict with its length in front.
pub(super) fn verdict(octets: &mut Octets<'_>) -> Result<Arc<Verdict>, DecodeError> {
    let length = octets.u16()?;
    Ok(Arc::new(Verdict::from_octets(octets.take(length.into())?)?))
}

/// Reads facts that were written at `sent`, which gives lives their end in cluster time.
pub(super) fn read(octets: &mut Octets<'_>, sent: Tick) -> Result<Vec<Fact>, DecodeError> {
    let count = octets.u16()?;
    let mut verdicts = Vec::new();
    for _ in 0..count {
        verdicts.push(verdict(octets)?);
    }
    let runs = octets.u16()?;
    let mut facts = Vec::new();
    for _ in 0..runs {
        match octets.u8()? {
            FAILURES => {
                let records = octets.records::<FAILURE>()?;
                facts.reserve(records.len());
                for record in records.iter() {
                    facts.push(Fact::Failure(failure(record, sent, &verdicts)?));
                }
            }
            NAMES => {
                let records = octets.records::<NAME>()?;
                facts.reserve(records.len());
                facts.extend(records.iter().map(|record| Fact::Name(name(record))));
            }
            FLUSHES => {
                let records = octets.records::<FLUSHED_ALL>()?;
                facts.extend(records.iter().map(|at| Fact::FlushedAll(past(u64::from_le_bytes(*at)))));
            }
            kind if kind & OPTIONAL != 0 => octets.skip_records()?,
            _ => return Err(DecodeError::Value("a kind of facts")),
        }
    }
    Ok(facts)
}

fn failure(record: &[u8; FAILURE], sent: Tick, verdicts: &[Arc<Verdict>]) -> Result<FailureFact, DecodeError> {
    let index = u16::from_le_bytes(part(record, 48));
    Ok(FailureFact {
        name: NameKey(part(record, 0)),
        digest: Digest(part(record, 16)),
        stamp: Stamp::from_bits(u64::from_le_bytes(part(record, 32))),
        expires: expires(i64::from_le_bytes(part(record, 40)), sent),
        level: record[50],
        verdict: Arc::clone(verdicts.get(usize::from(index)).ok_or(DecodeError::Value("the number of a verdict"))?),
    })
}

fn name(record: &[u8; NAME]) -> NameFacts {
    let past_at = |start| past(u64::from_le_bytes(part(record, start)));
    NameFacts {
        name: NameKey(part(record, 0)),
        successes: [
            Success { digest: Digest(part(record, 16)), at: past_at(32) },
            Success { digest: Digest(part(record, 40)), at: past_at(56) },
        ],
        purged: past_at(64),
        last_good_ended: past_at(72),
        others_purged: past_at(80),
        others_except: Digest(part(record, 88)),
    }
}

/// `N` octets of a record. The layouts above end within their records.
#[inline(always)]
fn part<const N: usize>(record: &[u8], start: usize) -> [u8; N] {
    let mut octets = [0; N];
    if let Some(part) = record.get(start..start + N) {
        octets.copy_from_slice(part);
    }
    octets
}
