//! Every kind of message, field by field. A field once written keeps its place; new ones come behind.

use crate::bind::Conclusion;
use crate::bind::key::{Digest, NameKey};
use crate::cluster::message::{AskId, KeyId, LeaseAnswer, Message, SyncId};

use super::facts::{self, put_verdict, tick};
use super::member::{hello, keys, put_hello, put_keys, refusal, refusal_code, standing, standing_code};
use super::octets::{Octets, fields, flag, option, put_option, put_records};
use super::tree::{MAX_SUMS, at_most_a_node, leaves, put_leaves, put_sums, sums};
use super::{DecodeError, EncodeError, MAX_QUERY_OCTETS, OPTIONAL};

const HELLO: u8 = 0x01;
const REFUSED: u8 = 0x02;
const FACTS: u8 = 0x03;
const SNAPSHOT_REQUEST: u8 = 0x04;
const SNAPSHOT_PART: u8 = 0x05;
const COMPARE: u8 = 0x06;
const SAME: u8 = 0x07;
const BRANCHES: u8 = 0x08;
const DESCEND: u8 = 0x09;
const LEAF_SUMS: u8 = 0x0A;
const LEAVES: u8 = 0x0B;
const WANT: u8 = 0x0C;
const ASK: u8 = 0x0D;
const ANSWER: u8 = 0x0E;
const CONCLUDED: u8 = 0x0F;
const WITHDRAW: u8 = 0x10;
const BARRIER: u8 = 0x11;
const PASSED: u8 = 0x12;
const QUERY: u8 = 0x13;
const REPLY: u8 = 0x14;
const PING: u8 = 0x15;
const PONG: u8 = 0x16;
const UPDATE: u8 = 0x17;

/// No flag has a meaning yet.
const NO_FLAGS: u8 = 0;

/// Appends kind, flags and body.
pub(super) fn put(message: &Message, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match message {
        Message::Hello(hello) => put_hello(begin(out, HELLO), hello),
        Message::Refused(refusal) => fields(begin(out, REFUSED), &[&refusal_code(*refusal).to_le_bytes()]),
        Message::Facts { sent, facts } => {
            let sent = tick(sent.0);
            fields(begin(out, FACTS), &[&sent.0.to_le_bytes()])?;
            facts::put(out, sent, facts)
        }
        Message::SnapshotRequest { cursor } => fields(begin(out, SNAPSHOT_REQUEST), &[&cursor.to_le_bytes()]),
        Message::SnapshotPart { sent, facts, next } => {
            let sent = tick(sent.0);
            fields(begin(out, SNAPSHOT_PART), &[&sent.0.to_le_bytes()])?;
            put_option(out, *next);
            facts::put(out, sent, facts)
        }
        Message::Compare { sync, cut, root } => {
            fields(begin(out, COMPARE), &[&sync.0.to_le_bytes(), &cut.0.to_le_bytes(), &root.to_le_bytes()])
        }
        Message::Same { sync } => fields(begin(out, SAME), &[&sync.0.to_le_bytes()]),
        Message::Branches { sync, sums } => {
            fields(begin(out, BRANCHES), &[&sync.0.to_le_bytes()])?;
            put_sums(out, sums)
        }
        Message::Descend { sync, cut, branches } => {
            fields(begin(out, DESCEND), &[&sync.0.to_le_bytes(), &cut.0.to_le_bytes()])?;
            put_records(out, 1, at_most_a_node(branches.len())?)?;
            fields(out, &[branches])
        }
        Message::LeafSums { sync, branch, sums, last } => {
            fields(begin(out, LEAF_SUMS), &[&sync.0.to_le_bytes(), &[*branch, u8::from(*last)]])?;
            put_sums(out, sums)
        }
        Message::Leaves { sync, cut, leaves } => {
            fields(begin(out, LEAVES), &[&sync.0.to_le_bytes(), &cut.0.to_le_bytes()])?;
            put_leaves(out, leaves)
        }
        Message::Want { sync, leaves } => {
            fields(begin(out, WANT), &[&sync.0.to_le_bytes()])?;
            put_leaves(out, leaves)
        }
        Message::Ask { ask, key, name, digest } => {
            fields(begin(out, ASK), &[&ask.0.to_le_bytes(), &key.0.to_le_bytes(), &name.0, &digest.0])
        }
        Message::Answer { ask, answer } => put_answer(begin(out, ANSWER), *ask, answer),
        Message::Concluded { ask, conclusion } => put_conclusion(begin(out, CONCLUDED), *ask, conclusion),
        Message::Withdraw { ask } => fields(begin(out, WITHDRAW), &[&ask.0.to_le_bytes()]),
        Message::Barrier { number } => fields(begin(out, BARRIER), &[&number.to_le_bytes()]),
        Message::Passed { number } => fields(begin(out, PASSED), &[&number.to_le_bytes()]),
        Message::Query { number, body } => put_query(begin(out, QUERY), *number, body),
        Message::Reply { number, body } => put_query(begin(out, REPLY), *number, body),
        Message::Ping { now, number } => fields(begin(out, PING), &[&now.0.to_le_bytes(), &number.to_le_bytes()]),
        Message::Pong { now, number, entries } => {
            fields(begin(out, PONG), &[&now.0.to_le_bytes(), &number.to_le_bytes(), &entries.to_le_bytes()])
        }
        Message::Update { standing, keys } => {
            fields(begin(out, UPDATE), &[&[standing_code(*standing)]])?;
            put_keys(out, keys);
            Ok(())
        }
        Message::Unknown(_) => Err(EncodeError::Unknown),
    }
}

/// Reads kind, flags and body. What stands behind the known fields belongs to a later version.
pub(super) fn read(frame: &[u8]) -> Result<Message, DecodeError> {
    let mut octets = Octets(frame);
    let [kind, _flags] = octets.array().map_err(|_| DecodeError::Length(frame.len()))?;
    let octets = &mut octets;
    Ok(match kind {
        HELLO => Message::Hello(hello(octets)?),
        REFUSED => Message::Refused(refusal(octets.u16()?)),
        FACTS => {
            let sent = tick(octets.u64()?);
            Message::Facts { sent, facts: facts::read(octets, sent)? }
        }
        SNAPSHOT_REQUEST => Message::SnapshotRequest { cursor: octets.u64()? },
        SNAPSHOT_PART => {
            let sent = tick(octets.u64()?);
            let next = option(octets)?;
            Message::SnapshotPart { sent, facts: facts::read(octets, sent)?, next }
        }
        COMPARE => Message::Compare { sync: sync(octets)?, cut: tick(octets.u64()?), root: octets.u64()? },
        SAME => Message::Same { sync: sync(octets)? },
        BRANCHES => Message::Branches { sync: sync(octets)?, sums: sums(octets)? },
        DESCEND => {
            let (sync, cut) = (sync(octets)?, tick(octets.u64()?));
            let branches = octets.records::<1>()?;
            if branches.len() > MAX_SUMS {
                return Err(DecodeError::Value("a number of branches"));
            }
            Message::Descend { sync, cut, branches: branches.iter().map(|[branch]| *branch).collect() }
        }
        LEAF_SUMS => {
            let sync = sync(octets)?;
            let (branch, last) = (octets.u8()?, flag(octets)?);
            Message::LeafSums { sync, branch, sums: sums(octets)?, last }
        }
        LEAVES => Message::Leaves { sync: sync(octets)?, cut: tick(octets.u64()?), leaves: leaves(octets)? },
        WANT => Message::Want { sync: sync(octets)?, leaves: leaves(octets)? },
        ASK => Message::Ask {
            ask: ask(octets)?,
            key: KeyId(octets.u64()?),
            name: NameKey(octets.array()?),
            digest: Digest(octets.array()?),
        },
        ANSWER => Message::Answer { ask: ask(octets)?, answer: answer(octets)? },
        CONCLUDED => Message::Concluded { ask: ask(octets)?, conclusion: conclusion(octets)? },
        WITHDRAW => Message::Withdraw { ask: ask(octets)? },
        BARRIER => Message::Barrier { number: octets.u64()? },
        PASSED => Message::Passed { number: octets.u64()? },
        QUERY => Message::Query { number: octets.u64()?, body: query(octets)? },
        REPLY => Message::Reply { number: octets.u64()?, body: query(octets)? },
        PING => Message::Ping { now: tick(octets.u64()?), number: octets.u64()? },
        PONG => Message::Pong { now: tick(octets.u64()?), number: octets.u64()?, entries: octets.u32()? },
        UPDATE => Message::Update { standing: standing(octets.u8()?)?, keys: keys(octets)? },
        unknown if unknown & OPTIONAL != 0 => Message::Unknown(unknown),
        unknown => return Err(DecodeError::Kind(unknown)),
    })
}

fn begin(out: &mut Vec<u8>, kind: u8) -> &mut Vec<u8> {
    out.extend_from_slice(&[kind, NO_FLAGS]);
    out
}

fn sync(octets: &mut Octets<'_>) -> Result<SyncId, DecodeError> {
    octets.u32().map(SyncId)
}

fn ask(octets: &mut Octets<'_>) -> Result<AskId, DecodeError> {
    octets.u64().map(AskId)
}

fn put_answer(out: &mut Vec<u8>, ask: AskId, answer: &LeaseAnswer) -> Result<(), EncodeError> {
    let code = match answer {
        LeaseAnswer::Granted => 0,
        LeaseAnswer::Free => 1,
        LeaseAnswer::Waiting => 2,
        LeaseAnswer::Verdict(verdict) if verdict.travels() => 3,
        LeaseAnswer::Verdict(_) => 1,
        LeaseAnswer::Unable => 4,
    };
    fields(out, &[&ask.0.to_le_bytes(), &[code]])?;
    match answer {
        LeaseAnswer::Verdict(verdict) if verdict.travels() => put_verdict(out, verdict),
        LeaseAnswer::Granted
        | LeaseAnswer::Free
        | LeaseAnswer::Waiting
        | LeaseAnswer::Verdict(_)
        | LeaseAnswer::Unable => Ok(()),
    }
}

fn answer(octets: &mut Octets<'_>) -> Result<LeaseAnswer, DecodeError> {
    match octets.u8()? {
        0 => Ok(LeaseAnswer::Granted),
        1 => Ok(LeaseAnswer::Free),
        2 => Ok(LeaseAnswer::Waiting),
        3 => Ok(LeaseAnswer::Verdict(facts::verdict(octets)?)),
        4 => Ok(LeaseAnswer::Unable),
        _ => Err(DecodeError::Value("an answer")),
    }
}

fn put_conclusion(out: &mut Vec<u8>, ask: AskId, conclusion: &Conclusion) -> Result<(), EncodeError> {
    let code = match conclusion {
        Conclusion::Verdict(verdict) if verdict.travels() => 0,
        Conclusion::Success => 1,
        Conclusion::Fault | Conclusion::Verdict(_) => 2,
    };
    fields(out, &[&ask.0.to_le_bytes(), &[code]])?;
    match conclusion {
        Conclusion::Verdict(verdict) if verdict.travels() => put_verdict(out, verdict),
        Conclusion::Verdict(_) | Conclusion::Success | Conclusion::Fault => Ok(()),
    }
}

fn conclusion(octets: &mut Octets<'_>) -> Result<Conclusion, DecodeError> {
    match octets.u8()? {
        0 => Ok(Conclusion::Verdict(facts::verdict(octets)?)),
        1 => Ok(Conclusion::Success),
        2 => Ok(Conclusion::Fault),
        _ => Err(DecodeError::Value("a conclusion")),
    }
}

fn put_query(out: &mut Vec<u8>, number: u64, body: &[u8]) -> Result<(), EncodeError> {
    if body.len() > MAX_QUERY_OCTETS {
        return Err(EncodeError::TooLong);
    }
    let length = u32::try_from(body.len()).map_err(|_| EncodeError::TooLong)?;
    fields(out, &[&number.to_le_bytes(), &length.to_le_bytes(), body])
}

fn query(octets: &mut Octets<'_>) -> Result<Vec<u8>, DecodeError> {
    let length = octets.u32()? as usize;
    if length > MAX_QUERY_OCTETS {
        return Err(DecodeError::Value("a question or answer of such a length"));
    }
    octets.take(length).map(<[u8]>::to_vec)
}
