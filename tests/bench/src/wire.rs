//! The LDAP messages of the load (RFC 4511), and as much of an answer as the load looks at.
//!
//! Lengths are trusted and only the shapes that the measured servers write are known: this is a
//! measuring tool, the proxy's own codec is the one that must survive anything.

/// `LDAPMessage` and most other sequences.
pub const SEQUENCE: u8 = 0x30;
/// `BindRequest`.
pub const BIND_REQUEST: u8 = 0x60;
/// `SearchRequest`.
pub const SEARCH_REQUEST: u8 = 0x63;
/// `SearchResultEntry`.
pub const SEARCH_ENTRY: u8 = 0x64;
/// `SearchResultDone`.
pub const SEARCH_DONE: u8 = 0x65;
/// `SearchResultReference`.
pub const SEARCH_REFERENCE: u8 = 0x73;

/// Message IDs start here: from this value on an ID takes four octets, so that the ID of a prepared
/// message can be overwritten in place.
pub const FIRST_ID: u32 = 0x0100_0000;

/// What arrived is not an LDAP message.
#[derive(Debug)]
pub struct Garbage;

/// A tag, its length and its content.
#[must_use]
pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(content.len() + 4);
    octets.push(tag);
    push_length(&mut octets, content.len());
    octets.extend_from_slice(content);
    octets
}

/// Appends a length of up to 65,535.
pub fn push_length(octets: &mut Vec<u8>, length: usize) {
    let [.., high, low] = length.to_be_bytes();
    match length {
        0..128 => octets.push(low),
        128..256 => octets.extend_from_slice(&[0x81, low]),
        _ => octets.extend_from_slice(&[0x82, high, low]),
    }
}

/// A message with an ID of four octets; `id` is at least [`FIRST_ID`].
#[must_use]
pub fn message(id: u32, operation: &[u8]) -> Vec<u8> {
    let mut content = vec![0x02, 0x04];
    content.extend_from_slice(&id.to_be_bytes());
    content.extend_from_slice(operation);
    element(SEQUENCE, &content)
}

/// A simple bind, version 3.
#[must_use]
pub fn simple_bind(name: &str, password: &str) -> Vec<u8> {
    let mut content = vec![0x02, 0x01, 0x03];
    content.extend(element(0x04, name.as_bytes()));
    content.extend(element(0x80, password.as_bytes()));
    element(BIND_REQUEST, &content)
}

/// A search for one entry by its name, with the filter `(objectClass=*)`.
#[must_use]
pub fn base_search(name: &str, attributes: &[String]) -> Vec<u8> {
    let mut content = element(0x04, name.as_bytes());
    content.extend_from_slice(&[0x0a, 1, 0, 0x0a, 1, 0, 0x02, 1, 0, 0x02, 1, 0, 0x01, 1, 0]);
    content.extend(element(0x87, b"objectClass"));
    let list: Vec<u8> = attributes.iter().flat_map(|attribute| element(0x04, attribute.as_bytes())).collect();
    content.extend(element(SEQUENCE, &list));
    element(SEARCH_REQUEST, &content)
}

/// An unbind.
#[must_use]
pub fn unbind() -> Vec<u8> {
    vec![0x42, 0x00]
}

/// The length of the message at the start of `octets`, header included; `None` while the header is
/// not complete.
#[inline]
pub fn frame_length(octets: &[u8]) -> Result<Option<usize>, Garbage> {
    let [tag, first, rest @ ..] = octets else { return Ok(None) };
    if *tag != SEQUENCE {
        return Err(Garbage);
    }
    if *first < 128 {
        return Ok(Some(2 + usize::from(*first)));
    }
    let count = usize::from(first & 0x7f);
    if !(1..=4).contains(&count) {
        return Err(Garbage);
    }
    let Some(length) = rest.get(..count) else { return Ok(None) };
    Ok(Some(2 + count + length.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet))))
}

/// The length of tag and length octets of the element at the start of `octets`.
#[inline]
#[must_use]
pub fn header_length(octets: &[u8]) -> usize {
    match octets.get(1) {
        Some(first) if *first >= 128 => 2 + usize::from(first & 0x7f),
        _ => 2,
    }
}

/// Where the operation of a complete message starts, and its ID.
#[inline]
pub fn id_and_operation(frame: &[u8]) -> Result<(u32, usize), Garbage> {
    let start = header_length(frame);
    let count = usize::from(*frame.get(start + 1).ok_or(Garbage)?);
    let id = frame.get(start + 2..start + 2 + count).ok_or(Garbage)?;
    let operation = start + 2 + count;
    if operation >= frame.len() {
        return Err(Garbage);
    }
    Ok((id.iter().fold(0, |sum, octet| sum << 8 | u32::from(*octet)), operation))
}

/// The result code of the response whose operation starts at `operation`.
#[inline]
pub fn result_code(frame: &[u8], operation: usize) -> Result<u8, Garbage> {
    let response = &frame[operation..];
    match response.get(header_length(response)..) {
        Some([0x0a, 1, code, ..]) => Ok(*code),
        _ => Err(Garbage),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let frame = message(FIRST_ID + 7, &simple_bind("uid=u00001,dc=example,dc=org", &"p".repeat(200)));
        assert_eq!(frame_length(&frame).unwrap(), Some(frame.len()));
        let (id, operation) = id_and_operation(&frame).unwrap();
        assert_eq!((id, frame[operation]), (FIRST_ID + 7, BIND_REQUEST));
    }

    #[test]
    fn the_code_of_a_long_form_response_is_found() {
        let frame = [0x30, 0x84, 0, 0, 0, 16, 2, 1, 1, 0x61, 0x84, 0, 0, 0, 7, 0x0a, 1, 49, 4, 0, 4, 0];
        let (id, operation) = id_and_operation(&frame).unwrap();
        assert_eq!((id, result_code(&frame, operation).unwrap()), (1, 49));
    }

    #[test]
    fn half_a_header_is_not_garbage_and_another_protocol_is() {
        assert!(matches!(frame_length(&[0x30]), Ok(None)));
        assert!(matches!(frame_length(&[0x30, 0x82, 1]), Ok(None)));
        assert!(frame_length(b"GET / HTTP/1.1").is_err());
    }
}
