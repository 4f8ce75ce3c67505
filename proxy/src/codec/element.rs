//! One BER element (RFC 4511 section 5.1): single-octet tag, definite length of at most four
//! length octets. Everything else is refused here, once, for every parser above.

use thiserror::Error;

/// Why bytes are not an element that LDAP allows. Nothing was consumed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ElementError {
    /// The input ends before the element does.
    #[error("the element is longer than the bytes that hold it")]
    Truncated,
    /// The indefinite form, which RFC 4511 section 5.1 forbids.
    #[error("indefinite length is not allowed in LDAP")]
    IndefiniteLength,
    /// More than four length octets.
    #[error("a length of more than four octets")]
    LengthOfLength,
    /// A tag of more than one octet; LDAP has none.
    #[error("a tag of more than one octet")]
    LongTag,
    /// Another tag than the one that must stand here.
    #[error("unexpected tag {found:#04x}")]
    UnexpectedTag {
        /// The tag that was found.
        found: u8,
    },
    /// An INTEGER or ENUMERATED that is empty or does not fit 32 bits.
    #[error("an integer that is empty or does not fit 32 bits")]
    BadInteger,
    /// Elements nested deeper than the limit.
    #[error("elements nested deeper than {limit}")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
}

/// A borrowed element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// The identifier octet.
    pub tag: u8,
    /// The contents.
    pub body: &'a [u8],
    /// Identifier, length and contents.
    pub whole: &'a [u8],
}

/// Universal tags.
pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const ENUMERATED: u8 = 0x0A;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// A length field: how many octets it takes itself, and the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Length {
    pub(crate) octets: usize,
    pub(crate) value: usize,
}

/// Reads the length field at the start of `bytes`; `Ok(None)` when more bytes are needed.
#[inline]
pub(crate) fn read_length(bytes: &[u8]) -> Result<Option<Length>, ElementError> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    if first < 0x80 {
        return Ok(Some(Length { octets: 1, value: usize::from(first) }));
    }
    let count = usize::from(first & 0x7F);
    match count {
        0 => return Err(ElementError::IndefiniteLength),
        1..=4 => {}
        _ => return Err(ElementError::LengthOfLength),
    }
    let Some(octets) = bytes.get(1..=count) else { return Ok(None) };
    let value = octets.iter().fold(0_usize, |value, &octet| value << 8 | usize::from(octet));
    Ok(Some(Length { octets: 1 + count, value }))
}

/// Takes the first element off `input`.
///
/// # Errors
/// [`ElementError`]; `input` is left as it was.
#[inline]
pub fn take<'a>(input: &mut &'a [u8]) -> Result<Element<'a>, ElementError> {
    let tag = *input.first().ok_or(ElementError::Truncated)?;
    if tag & 0x1F == 0x1F {
        return Err(ElementError::LongTag);
    }
    let length = read_length(&input[1..])?.ok_or(ElementError::Truncated)?;
    let start = 1 + length.octets;
    let end = start.checked_add(length.value).ok_or(ElementError::Truncated)?;
    let whole = input.get(..end).ok_or(ElementError::Truncated)?;
    *input = &input[end..];
    Ok(Element { tag, body: &whole[start..], whole })
}

/// Takes the first element off `input`, which must carry `tag`.
///
/// # Errors
/// [`ElementError`]; `input` is left as it was unless the tag was another one.
#[inline]
pub fn expect<'a>(input: &mut &'a [u8], tag: u8) -> Result<Element<'a>, ElementError> {
    let element = take(input)?;
    if element.tag == tag { Ok(element) } else { Err(ElementError::UnexpectedTag { found: element.tag }) }
}

/// The value of a two's complement integer body (RFC 4511: at most 2^31-1 either way).
///
/// # Errors
/// [`ElementError::BadInteger`].
#[inline]
pub fn integer(body: &[u8]) -> Result<i32, ElementError> {
    if body.is_empty() || body.len() > 4 {
        return Err(ElementError::BadInteger);
    }
    let negative = body[0] & 0x80 != 0;
    let start = if negative { -1_i32 } else { 0 };
    Ok(body.iter().fold(start, |value, &octet| value << 8 | i32::from(octet)))
}

/// Refuses `bytes` when constructed elements nest deeper than `limit`, without recursion.
///
/// Runs before anything that decodes recursively, so that a hostile message costs no stack.
///
/// # Errors
/// [`ElementError`].
pub fn check_depth(bytes: &[u8], limit: usize) -> Result<(), ElementError> {
    // The ends of the constructed elements that enclose the current position, outermost first.
    let mut ends: Vec<usize> = Vec::with_capacity(limit);
    let mut at = 0;
    while at < bytes.len() {
        while ends.last() == Some(&at) {
            ends.pop();
        }
        let limit_here = ends.last().copied().unwrap_or(bytes.len());
        let mut rest = &bytes[at..limit_here];
        let element = take(&mut rest)?;
        let constructed = element.tag & 0x20 != 0;
        if constructed && !element.body.is_empty() {
            if ends.len() == limit {
                return Err(ElementError::TooDeep { limit });
            }
            ends.push(at + element.whole.len());
            at += element.whole.len() - element.body.len();
        } else {
            at += element.whole.len();
        }
    }
    Ok(())
}

/// Appends a tag and a minimal length field.
#[inline]
pub(crate) fn put_header(out: &mut Vec<u8>, tag: u8, length: usize) {
    out.push(tag);
    put_length(out, length);
}

/// Appends a minimal length field.
#[inline]
pub(crate) fn put_length(out: &mut Vec<u8>, length: usize) {
    let octets = length.to_be_bytes();
    if length < 0x80 {
        out.push(octets[octets.len() - 1]);
        return;
    }
    let skip = octets.iter().take_while(|&&octet| octet == 0).count();
    let significant = &octets[skip..];
    // At most eight octets, so the count fits the seven bits.
    out.push(0x80 | significant.len() as u8);
    out.extend_from_slice(significant);
}

/// How many octets a minimal header (tag and length) takes.
pub(crate) fn header_len(length: usize) -> usize {
    if length < 0x80 { 2 } else { 2 + (usize::BITS as usize - length.leading_zeros() as usize).div_ceil(8) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_round_trip_in_minimal_form() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536, 16_777_216] {
            let mut out = Vec::new();
            put_header(&mut out, 0x04, length);
            assert_eq!(out.len(), header_len(length), "{length}");
            assert_eq!(read_length(&out[1..]), Ok(Some(Length { octets: out.len() - 1, value: length })));
        }
    }

    #[test]
    fn forbidden_forms_are_refused() {
        assert_eq!(take(&mut &[0x30, 0x80, 0, 0][..]), Err(ElementError::IndefiniteLength));
        assert_eq!(take(&mut &[0x30, 0x85, 0, 0, 0, 0, 1, 0][..]), Err(ElementError::LengthOfLength));
        assert_eq!(take(&mut &[0x1F, 0x01, 0][..]), Err(ElementError::LongTag));
        assert_eq!(take(&mut &[0x04, 0x02, 0][..]), Err(ElementError::Truncated));
    }

    #[test]
    fn active_directory_long_form_is_read() {
        let mut input = &[0x04, 0x84, 0, 0, 0, 2, 7, 8, 9][..];
        assert_eq!(take(&mut input).unwrap().body, &[7, 8]);
        assert_eq!(input, &[9]);
    }

    #[test]
    fn integers_are_twos_complement() {
        assert_eq!(integer(&[0x7F, 0xFF, 0xFF, 0xFF]), Ok(i32::MAX));
        assert_eq!(integer(&[0xFF]), Ok(-1));
        assert_eq!(integer(&[]), Err(ElementError::BadInteger));
        assert_eq!(integer(&[0, 0, 0, 0, 1]), Err(ElementError::BadInteger));
    }

    #[test]
    fn depth_is_counted_without_recursion() {
        let mut nested = vec![0x05, 0x00];
        for _ in 0..10 {
            let mut outer = Vec::new();
            put_header(&mut outer, SEQUENCE, nested.len());
            outer.extend_from_slice(&nested);
            nested = outer;
        }
        assert_eq!(check_depth(&nested, 10), Ok(()));
        assert_eq!(check_depth(&nested, 9), Err(ElementError::TooDeep { limit: 9 }));
        // A child that claims to end after its parent.
        assert_eq!(check_depth(&[0x30, 0x02, 0x04, 0x05], 4), Err(ElementError::Truncated));
    }
}
