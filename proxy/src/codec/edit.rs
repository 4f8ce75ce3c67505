//! Changes to the controls of a message that passes through, everything else byte for byte.

use super::control::{Control, Controls};
use super::element::{self, ElementError};
use super::frame::Peek;
use super::oid;

/// The message with a passwordPolicyRequest control added (not critical, no value: OpenLDAP
/// refuses a value and 389 DS refuses it critical).
///
/// # Errors
/// [`ElementError`] when the message's controls cannot be read; forward it unchanged then.
pub fn add_password_policy_request(frame: &[u8], peek: &Peek) -> Result<Vec<u8>, ElementError> {
    let (operation, controls) = split(frame, peek)?;
    let mut addition = Vec::with_capacity(2 + 2 + oid::PASSWORD_POLICY.len());
    element::put_header(&mut addition, element::SEQUENCE, 2 + oid::PASSWORD_POLICY.len());
    element::put_header(&mut addition, element::OCTET_STRING, oid::PASSWORD_POLICY.len());
    addition.extend_from_slice(oid::PASSWORD_POLICY);
    let kept = controls.iter().map(|control| control.whole).chain([&addition[..]]);
    Ok(assemble(peek.message_id, operation, kept))
}

/// The message without its passwordPolicyResponse controls.
///
/// # Errors
/// [`ElementError`] when the message's controls cannot be read.
pub fn strip_password_policy_response(frame: &[u8], peek: &Peek) -> Result<Vec<u8>, ElementError> {
    let (operation, controls) = split(frame, peek)?;
    let kept = controls.iter().filter(|control| control.oid != oid::PASSWORD_POLICY).map(|control| control.whole);
    Ok(assemble(peek.message_id, operation, kept))
}

/// A message from an operation's octets and the octets of its controls.
pub fn assemble<'a>(message_id: u32, operation: &[u8], controls: impl Iterator<Item = &'a [u8]> + Clone) -> Vec<u8> {
    let mut out = Vec::new();
    assemble_into(&mut out, message_id, operation, controls);
    out
}

/// Appends a message to `out`: the way in which a stored answer gets its new message ID.
pub fn assemble_into<'a>(
    out: &mut Vec<u8>,
    message_id: u32,
    operation: &[u8],
    controls: impl Iterator<Item = &'a [u8]> + Clone,
) {
    let id = message_id.to_be_bytes();
    // Minimal and never negative: seven bits in the first octet, for the eighth is the sign.
    let octets = (u32::BITS - message_id.leading_zeros()) as usize / 8 + 1;
    let id = &id[id.len().saturating_sub(octets)..];
    let controls_len: usize = controls.clone().map(<[u8]>::len).sum();
    let controls_field = if controls_len == 0 { 0 } else { element::header_len(controls_len) + controls_len };
    let body = 2 + id.len() + operation.len() + controls_field;
    out.reserve(element::header_len(body) + body);
    element::put_header(out, element::SEQUENCE, body);
    // At most four octets, so the length field is one.
    out.extend_from_slice(&[element::INTEGER, id.len() as u8]);
    out.extend_from_slice(id);
    out.extend_from_slice(operation);
    if controls_len > 0 {
        element::put_header(out, super::control::CONTROLS_TAG, controls_len);
        for control in controls {
            out.extend_from_slice(control);
        }
    }
}

fn split<'a>(frame: &'a [u8], peek: &Peek) -> Result<(&'a [u8], Controls<'a>), ElementError> {
    let mut rest = frame.get(peek.op_offset..peek.total).ok_or(ElementError::Truncated)?;
    let operation = element::take(&mut rest)?.whole;
    let controls = if rest.is_empty() {
        Controls::default()
    } else {
        Controls::parse(element::expect(&mut rest, super::control::CONTROLS_TAG)?.body)?
    };
    Ok((operation, controls))
}

/// The octets of the controls of `controls` that a reader who did not ask for the password policy
/// would see.
pub fn without_password_policy<'a>(controls: Controls<'a>) -> impl Iterator<Item = Control<'a>> {
    controls.iter().filter(|control| control.oid != oid::PASSWORD_POLICY)
}

#[cfg(test)]
mod tests {
    use super::super::{bind_request, build, frame};
    use super::*;

    #[test]
    fn the_control_is_added_and_taken_away_again() {
        let bytes = build::simple_bind(300, "cn=a", b"p");
        let peek = frame::peek(&bytes, 1000).unwrap().unwrap();
        let with = add_password_policy_request(&bytes, &peek).unwrap();
        let with_peek = frame::peek(&with, 1000).unwrap().unwrap();
        assert_eq!(with_peek.total, with.len());
        assert_eq!(with_peek.message_id, 300);
        let bind = bind_request::parse(&with, &with_peek).unwrap();
        let control = bind.controls.find(oid::PASSWORD_POLICY).unwrap();
        assert!(!control.critical && control.value.is_none());
        assert_eq!(strip_password_policy_response(&with, &with_peek).unwrap(), bytes);
    }

    #[test]
    fn message_ids_are_minimal_and_positive() {
        for id in [1, 127, 128, 255, 256, 32_767, 32_768, 8_388_608, 2_147_483_647] {
            let bytes = assemble(id, &[0x42, 0], std::iter::empty());
            let peek = frame::peek(&bytes, 100).unwrap().unwrap();
            assert_eq!(peek.message_id, id);
            assert_eq!(peek.total, bytes.len());
        }
    }
}
