//! Messages in octets: `u32 length of what follows | u8 kind | u8 flags | body`, little endian.
//!
//! Written by hand, so that members of different versions understand each other: a body may be longer
//! than what is known of it, records carry their size, a kind with bit 7 set may be skipped, and flags
//! that are not known mean nothing. What has been written once is pinned by `tests/golden/cluster-v1`.
//!
//! Nothing here trusts the other side: every length is checked before it is allocated, and a verdict is
//! read again as the directory's answer that it claims to be.

mod body;
mod facts;
mod member;
mod octets;
mod tree;

use crate::bind::fact::Fact;
use crate::bind::verdict::VerdictError;

use super::message::{Leaf, Message};

/// The longest frame without its length field, in octets.
pub const MAX_FRAME_OCTETS: usize = 262_144;
/// How long a frame of facts should get that is pushed when they happen: what comes behind it waits.
pub const PUSH_OCTETS: usize = 65_536;
/// How long a part of a snapshot may get.
pub const SNAPSHOT_OCTETS: usize = MAX_FRAME_OCTETS;
/// The longest question or answer of the admin API, in octets.
pub const MAX_QUERY_OCTETS: usize = 200 * 1024;

/// The length field, in octets.
pub const LENGTH_OCTETS: usize = 4;
/// Kind and flags.
const HEADER_OCTETS: usize = 2;
/// Kinds with this bit may be skipped by those who do not know them.
const OPTIONAL: u8 = 0x80;
/// What a frame of facts takes besides the facts: length, kind, flags, `sent`, and `next` of a snapshot.
const AROUND_FACTS: usize = LENGTH_OCTETS + HEADER_OCTETS + 8 + 9;
/// What a frame of leaves takes besides the leaves: length, kind, flags, comparison, cut, and their number.
const AROUND_LEAVES: usize = LENGTH_OCTETS + HEADER_OCTETS + 4 + 8 + 2;

/// Why a message cannot be written. Nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// It takes more than a frame has room for; see [`facts_that_fit`] and [`leaves_that_fit`].
    #[error("the message is longer than a frame of {MAX_FRAME_OCTETS} octets")]
    TooLong,
    /// A name of a cluster or a member of more than 255 octets.
    #[error("a name of more than {} octets", octets::MAX_TEXT_OCTETS)]
    LongText,
    /// A verdict that no member would have recorded ([`crate::bind::Verdict::travels`]).
    #[error("a failure with a verdict that is too long or no refusal")]
    Verdict,
    /// [`Message::Unknown`] is only ever read.
    #[error("a message of a kind that this version does not know")]
    Unknown,
}

/// Why octets are no message. The connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A frame over [`MAX_FRAME_OCTETS`], or one without kind and flags.
    #[error("a frame of {0} octets, which is not between {HEADER_OCTETS} and {MAX_FRAME_OCTETS}")]
    Length(usize),
    /// It ends before what it promises.
    #[error("the frame ends in the middle of its message")]
    Truncated,
    /// A kind that is not known and may not be skipped.
    #[error("a message of the unknown kind {0:#04x}")]
    Kind(u8),
    /// Records that are shorter than they ever were.
    #[error("records of {size} octets where {needed} are needed")]
    ShortRecord {
        /// What the sender says.
        size: usize,
        /// What is needed.
        needed: usize,
    },
    /// Something that has no such value, or not so many.
    #[error("{0} that cannot be")]
    Value(&'static str),
    /// A verdict that is none.
    #[error(transparent)]
    Verdict(#[from] VerdictError),
}

/// Appends `message` as one frame.
///
/// A verdict that does not travel ([`crate::bind::Verdict::travels`]) becomes "no answer is known" in
/// `Concluded` and "go on by yourself" in `Answer`: nobody records it, so everybody may ask for it.
///
/// # Errors
/// [`EncodeError`]; `out` is as it was.
pub fn encode(message: &Message, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_OCTETS]);
    let written = body::put(message, out).and_then(|()| {
        let length = out.len() - start - LENGTH_OCTETS;
        if length > MAX_FRAME_OCTETS {
            return Err(EncodeError::TooLong);
        }
        let length = u32::try_from(length).map_err(|_| EncodeError::TooLong)?;
        out[start..start + LENGTH_OCTETS].copy_from_slice(&length.to_le_bytes());
        Ok(())
    });
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// How many of `facts`, from the first on, fit a frame of `budget` octets ([`PUSH_OCTETS`], [`SNAPSHOT_OCTETS`]).
/// At least one whenever there are any: a fact is never longer than some 4,200 octets.
#[must_use]
pub fn facts_that_fit(facts: &[Fact], budget: usize) -> usize {
    let budget = budget.min(MAX_FRAME_OCTETS + LENGTH_OCTETS).saturating_sub(AROUND_FACTS);
    facts::that_fit(facts, budget).max(facts.len().min(1))
}

/// How many of `leaves`, from the first on, fit a frame of `Leaves` or `Want` of `budget` octets. 0 when not
/// even the first does, which then must be cut.
#[must_use]
pub fn leaves_that_fit(leaves: &[Leaf], budget: usize) -> usize {
    let mut left = budget.min(MAX_FRAME_OCTETS + LENGTH_OCTETS).saturating_sub(AROUND_LEAVES);
    let fits = |leaf: &&Leaf| match left.checked_sub(tree::leaf_octets(leaf)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    leaves.iter().take(usize::from(u16::MAX)).take_while(fits).count()
}

/// How many octets the first frame of `buffer` takes with its length field; `None` when that takes more
/// octets to tell. [`decode`] wants it without the first [`LENGTH_OCTETS`].
///
/// # Errors
/// [`DecodeError::Length`], before a buffer is made for it.
pub fn frame_length(buffer: &[u8]) -> Result<Option<usize>, DecodeError> {
    let Some(length) = buffer.first_chunk::<LENGTH_OCTETS>() else { return Ok(None) };
    let length = u32::from_le_bytes(*length) as usize;
    if !(HEADER_OCTETS..=MAX_FRAME_OCTETS).contains(&length) {
        return Err(DecodeError::Length(length));
    }
    Ok(Some(LENGTH_OCTETS + length))
}

/// Reads one frame, given whole and without its length field.
///
/// Lives are read in the sender's cluster time, to which this member's clock is aligned. What the sender
/// may claim is not judged here, only bounded: times end after 557 years.
///
/// # Errors
/// [`DecodeError`].
pub fn decode(frame: &[u8]) -> Result<Message, DecodeError> {
    if frame.len() > MAX_FRAME_OCTETS {
        return Err(DecodeError::Length(frame.len()));
    }
    body::read(frame)
}
