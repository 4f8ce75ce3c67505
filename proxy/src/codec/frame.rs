//! Framing: where one LDAPMessage ends, and which message and operation it is, without decoding
//! the rest. Needs at most [`PEEK_MAX_OCTETS`] bytes, so a body of any size can be streamed.

use thiserror::Error;

use super::element::{self, ElementError};

/// Outer header (1 + 5), message ID (1 + 1 + 4, or a needlessly long length 5), operation tag.
pub const PEEK_MAX_OCTETS: usize = 6 + 10 + 1;

/// What the first bytes of a message tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peek {
    /// Octets of the whole message, outer header included.
    pub total: usize,
    /// 0 to 2^31-1; 0 only in unsolicited notifications.
    pub message_id: u32,
    /// The tag of the operation ([`super::op`]).
    pub op: u8,
    /// Where the operation's tag stands in the message.
    pub op_offset: usize,
}

/// Why bytes are not an LDAP message. The connection cannot be resynchronised after it.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    /// The first octet is not the tag of a SEQUENCE.
    #[error("an LDAP message starts with 0x30, not {found:#04x}")]
    NotASequence {
        /// The octet that was found.
        found: u8,
    },
    /// The message is longer than `maxMessageBytes`.
    #[error("a message of {total} bytes is over the limit of {limit}")]
    TooLong {
        /// What the message claims.
        total: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The message ID is missing, negative or over 2^31-1.
    #[error("the message ID is not an integer between 0 and 2147483647")]
    BadMessageId,
    /// The message ends before its operation.
    #[error("the message ends before its operation")]
    NoOperation,
    /// A length field that LDAP does not allow.
    #[error(transparent)]
    Element(#[from] ElementError),
}

/// Reads the start of a message; `Ok(None)` when more bytes are needed to tell.
///
/// `limit` bounds [`Peek::total`].
///
/// # Errors
/// [`FrameError`], as soon as the bytes at hand rule a message out.
#[inline]
pub fn peek(bytes: &[u8], limit: usize) -> Result<Option<Peek>, FrameError> {
    if let Some(window) = bytes.first_chunk::<PEEK_MAX_OCTETS>()
        && let Some(peek) = peek_usual(window)
        && peek.total <= limit
    {
        return Ok(Some(peek));
    }
    peek_any(bytes, limit)
}

/// The forms in which clients and directories write nearly every message: all of the header at
/// hand, and a message ID with a one-octet length. `None` says nothing; [`peek_any`] decides then.
#[inline]
fn peek_usual(window: &[u8; PEEK_MAX_OCTETS]) -> Option<Peek> {
    if window[0] != element::SEQUENCE {
        return None;
    }
    let (start, length) = match window[1] {
        short @ 0..=0x7F => (2, usize::from(short)),
        0x81 => (3, usize::from(window[2])),
        0x82 => (4, usize::from(u16::from_be_bytes([window[2], window[3]]))),
        0x84 => (6, u32::from_be_bytes([window[2], window[3], window[4], window[5]]) as usize),
        _ => return None,
    };
    let id_length = usize::from(window[start + 1]);
    if window[start] != element::INTEGER || !(1..=4).contains(&id_length) || window[start + 2] & 0x80 != 0 {
        return None;
    }
    let op_offset = start + 2 + id_length;
    let total = start + length;
    let id = &window[start + 2..op_offset];
    let message_id = id.iter().fold(0_u32, |value, &octet| value << 8 | u32::from(octet));
    (op_offset < total).then(|| Peek { total, message_id, op: window[op_offset], op_offset })
}

fn peek_any(bytes: &[u8], limit: usize) -> Result<Option<Peek>, FrameError> {
    let Some(&tag) = bytes.first() else { return Ok(None) };
    if tag != element::SEQUENCE {
        return Err(FrameError::NotASequence { found: tag });
    }
    let Some(outer) = element::read_length(&bytes[1..])? else { return Ok(None) };
    let start = 1 + outer.octets;
    let total = start.saturating_add(outer.value);
    if total > limit {
        return Err(FrameError::TooLong { total, limit });
    }
    // Shortest operation is one tag octet after a three-octet message ID.
    if outer.value < 4 {
        return Err(FrameError::NoOperation);
    }
    let Some(&id_tag) = bytes.get(start) else { return Ok(None) };
    if id_tag != element::INTEGER {
        return Err(FrameError::BadMessageId);
    }
    let Some(id_length) = element::read_length(&bytes[start + 1..])? else { return Ok(None) };
    if !(1..=4).contains(&id_length.value) {
        return Err(FrameError::BadMessageId);
    }
    let id_start = start + 1 + id_length.octets;
    let op_offset = id_start + id_length.value;
    if op_offset >= total {
        return Err(FrameError::NoOperation);
    }
    let (Some(id), Some(&op)) = (bytes.get(id_start..op_offset), bytes.get(op_offset)) else { return Ok(None) };
    let message_id = element::integer(id).map_err(|_| FrameError::BadMessageId)?;
    let message_id = u32::try_from(message_id).map_err(|_| FrameError::BadMessageId)?;
    Ok(Some(Peek { total, message_id, op, op_offset }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An unbind of message `id`.
    fn unbind(id: u8) -> Vec<u8> {
        vec![0x30, 5, 2, 1, id, 0x42, 0]
    }

    #[test]
    fn every_prefix_of_a_message_asks_for_more() {
        let message = unbind(7);
        for end in 0..6 {
            assert_eq!(peek(&message[..end], 100), Ok(None), "{end}");
        }
        assert_eq!(peek(&message, 100), Ok(Some(Peek { total: 7, message_id: 7, op: 0x42, op_offset: 5 })));
    }

    #[test]
    fn limits_and_forms() {
        assert_eq!(peek(b"GET / HTTP/1.1", 100), Err(FrameError::NotASequence { found: b'G' }));
        assert_eq!(peek(&[0x30, 0x82, 1, 0], 100), Err(FrameError::TooLong { total: 260, limit: 100 }));
        assert_eq!(peek(&[0x30, 0x80], 100), Err(FrameError::Element(ElementError::IndefiniteLength)));
        assert_eq!(peek(&[0x30, 5, 2, 1, 0xFF, 0x42, 0], 100), Err(FrameError::BadMessageId));
        assert_eq!(peek(&[0x30, 3, 2, 1, 1], 100), Err(FrameError::NoOperation));
        assert_eq!(peek(&[0x30, 4, 2, 2, 1, 1], 100), Err(FrameError::NoOperation));
    }

    #[test]
    fn the_usual_way_and_the_thorough_way_agree() {
        let tail = [0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let lengths: [&[u8]; 9] =
            [&[3], &[4], &[5], &[0x7F], &[0x81, 200], &[0x82, 1, 0], &[0x83, 0, 1, 0], &[0x84, 0, 0, 0, 30], &[0x80]];
        let ids: [&[u8]; 9] = [
            &[2, 1, 5],
            &[2, 1, 0],
            &[2, 1, 0xFF],
            &[2, 2, 1, 0],
            &[2, 4, 0x7F, 0xFF, 0xFF, 0xFF],
            &[2, 4, 0x80, 0, 0, 0],
            &[2, 0],
            &[2, 5, 0, 0, 0, 0, 1],
            &[4, 1, 5],
        ];
        for (length, id) in lengths.iter().flat_map(|length| ids.iter().map(move |id| (length, id))) {
            let message = [&[0x30], *length, *id, &tail].concat();
            assert_eq!(peek(&message, 1_000), peek_any(&message, 1_000), "{length:x?} {id:x?}");
            assert_eq!(peek(&message, 30), peek_any(&message, 30), "{length:x?} {id:x?}");
        }
    }

    #[test]
    fn long_form_headers_fit_the_peek_window() {
        let message = [0x30, 0x84, 0, 0, 0, 13, 2, 0x84, 0, 0, 0, 4, 0x7F, 0xFF, 0xFF, 0xFF, 0x42, 0, 0];
        let peeked = peek(&message[..PEEK_MAX_OCTETS], 100).unwrap().unwrap();
        assert_eq!(peeked.message_id, i32::MAX as u32);
        assert_eq!(peeked.op, 0x42);
    }
}
