//! What the directory writes: operations and controls in BER, with any result code, in short or in
//! long length form.

use crate::codec::control::CONTROLS_TAG;
use crate::codec::{edit, element, oid, op};

/// The octets of an operation that is an LDAPResult (RFC 4511 section 4.1.9). `extra` are the
/// components after the diagnostic message, already encoded.
#[must_use]
pub fn result(tag: u8, code: u32, matched_dn: &[u8], diagnostic: &[u8], extra: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(16 + matched_dn.len() + diagnostic.len() + extra.len());
    put_integer(&mut body, element::ENUMERATED, code);
    put(&mut body, element::OCTET_STRING, matched_dn);
    put(&mut body, element::OCTET_STRING, diagnostic);
    body.extend_from_slice(extra);
    wrap(tag, &body)
}

/// The octets of a SearchResultEntry (RFC 4511 section 4.5.2).
#[must_use]
pub fn search_entry(dn: &str, attributes: &[(String, Vec<Vec<u8>>)]) -> Vec<u8> {
    let mut list = Vec::new();
    for (name, values) in attributes {
        let mut set = Vec::new();
        for value in values {
            put(&mut set, element::OCTET_STRING, value);
        }
        let mut attribute = Vec::new();
        put(&mut attribute, element::OCTET_STRING, name.as_bytes());
        put(&mut attribute, element::SET, &set);
        put(&mut list, element::SEQUENCE, &attribute);
    }
    let mut body = Vec::new();
    put(&mut body, element::OCTET_STRING, dn.as_bytes());
    put(&mut body, element::SEQUENCE, &list);
    wrap(op::SEARCH_RESULT_ENTRY, &body)
}

/// The octets of an ExtendedResponse.
#[must_use]
pub fn extended(code: u32, diagnostic: &str, name: Option<&[u8]>, value: Option<&[u8]>) -> Vec<u8> {
    let mut extra = Vec::new();
    if let Some(name) = name {
        put(&mut extra, 0x8A, name);
    }
    if let Some(value) = value {
        put(&mut extra, 0x8B, value);
    }
    result(op::EXTENDED_RESPONSE, code, b"", diagnostic.as_bytes(), &extra)
}

/// The octets of a control (RFC 4511 section 4.1.11).
#[must_use]
pub fn control(oid: &[u8], critical: bool, value: Option<&[u8]>) -> Vec<u8> {
    let mut body = Vec::new();
    put(&mut body, element::OCTET_STRING, oid);
    if critical {
        put(&mut body, element::BOOLEAN, &[0xFF]);
    }
    if let Some(value) = value {
        put(&mut body, element::OCTET_STRING, value);
    }
    wrap(element::SEQUENCE, &body)
}

/// A passwordPolicyResponse control (draft-behera-ldap-password-policy section 6.2) with this
/// `error`, or with nothing in it.
#[must_use]
pub fn password_policy_response(error: Option<u8>) -> Vec<u8> {
    let value = match error {
        Some(error) => vec![element::SEQUENCE, 3, 0x81, 1, error],
        None => vec![element::SEQUENCE, 0],
    };
    control(oid::PASSWORD_POLICY, false, Some(&value))
}

/// A whole message.
#[must_use]
pub fn message(message_id: u32, operation: &[u8], controls: &[Vec<u8>]) -> Vec<u8> {
    edit::assemble(message_id, operation, controls.iter().map(Vec::as_slice))
}

/// The same elements with four length octets everywhere, as Active Directory writes them
/// (`30 84 00 00 00 0c ...`). What is not BER stays as it is.
#[must_use]
pub fn with_long_lengths(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() * 2);
    let mut rest = octets;
    while let Ok(element) = element::take(&mut rest) {
        let constructed = element.tag & 0x20 != 0;
        let body = if constructed { with_long_lengths(element.body) } else { element.body.to_vec() };
        out.push(element.tag);
        out.push(0x84);
        out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(&body);
    }
    out.extend_from_slice(rest);
    out
}

/// The same operation and controls under another message ID.
#[must_use]
pub fn with_message_id(frame: &[u8], message_id: u32) -> Option<Vec<u8>> {
    let mut outer = frame;
    let mut body = element::expect(&mut outer, element::SEQUENCE).ok()?.body;
    element::expect(&mut body, element::INTEGER).ok()?;
    let operation = element::take(&mut body).ok()?.whole;
    let controls = if body.is_empty() { &[][..] } else { element::expect(&mut body, CONTROLS_TAG).ok()?.body };
    Some(edit::assemble(message_id, operation, std::iter::once(controls)))
}

fn wrap(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 6);
    put(&mut out, tag, body);
    out
}

/// Appends a primitive or constructed element with this body.
pub(crate) fn put(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    element::put_header(out, tag, body.len());
    out.extend_from_slice(body);
}

fn put_integer(out: &mut Vec<u8>, tag: u8, value: u32) {
    let octets = value.to_be_bytes();
    let skip = octets.iter().zip(&octets[1..]).take_while(|&(&octet, &next)| octet == 0 && next & 0x80 == 0).count();
    put(out, tag, &octets[skip..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{frame, result as read};

    #[test]
    fn a_result_with_any_code_is_read_back() {
        for code in [0, 49, 127, 128, 255, 4096, 16_654] {
            let octets = result(op::BIND_RESPONSE, code, b"dc=org", b"why", b"");
            let bytes = message(3, &octets, &[password_policy_response(Some(1))]);
            let peek = frame::peek(&bytes, 1000).unwrap().unwrap();
            let result = read::parse(&bytes, &peek).unwrap();
            assert_eq!((result.code, result.matched_dn, result.diagnostic), (code, &b"dc=org"[..], &b"why"[..]));
            assert_eq!(result.controls.find(oid::PASSWORD_POLICY).unwrap().value, Some(&[0x30, 3, 0x81, 1, 1][..]));
        }
    }

    #[test]
    fn long_lengths_say_the_same() {
        let short = message(7, &result(op::BIND_RESPONSE, 49, b"", b"", b""), &[password_policy_response(None)]);
        let long = with_long_lengths(&short);
        assert!(long.starts_with(&[0x30, 0x84, 0, 0, 0]));
        let peek = frame::peek(&long, 1000).unwrap().unwrap();
        assert_eq!((peek.total, peek.message_id), (long.len(), 7));
        let result = read::parse(&long, &peek).unwrap();
        assert_eq!(result.code, 49);
        assert!(result.controls.find(oid::PASSWORD_POLICY).is_some());
    }

    #[test]
    fn another_message_id_changes_nothing_else() {
        let frame = message(7, &result(op::BIND_RESPONSE, 49, b"", b"x", b""), &[password_policy_response(None)]);
        assert_eq!(with_message_id(&with_message_id(&frame, 9999).unwrap(), 7).unwrap(), frame);
    }
}
