//! ModifyRequest (RFC 4511 section 4.6), as far as it tells whether a password changes.

use super::element::{self, ElementError};
use super::frame::Peek;

/// The attributes that hold a password: RFC 4519 section 2.41, [MS-ADA3] unicodePwd, and the one
/// that Samba clients write. Compared without case and without attribute options.
const PASSWORD_ATTRIBUTES: [&[u8]; 4] = [b"userPassword", b"unicodePwd", b"sambaNTPassword", b"2.5.4.35"];

/// Attributes whose change ends a lock or an expiry, after which what was refused may be right.
const LOCK_ATTRIBUTES: [&[u8]; 8] = [
    b"pwdAccountLockedTime",
    b"pwdReset",
    b"pwdFailureTime",
    b"lockoutTime",
    b"accountUnlockTime",
    b"nsAccountLock",
    b"userAccountControl",
    b"passwordRetryCount",
];

/// The entry that a modification touches, when it changes a password or the state of a lock.
///
/// # Errors
/// [`ElementError`] when the request has another shape; it is forwarded all the same.
pub fn credential_change<'a>(frame: &'a [u8], peek: &Peek) -> Result<Option<&'a [u8]>, ElementError> {
    let mut rest = frame.get(peek.op_offset..peek.total).ok_or(ElementError::Truncated)?;
    let mut body = element::expect(&mut rest, super::op::MODIFY_REQUEST)?.body;
    let entry = element::expect(&mut body, element::OCTET_STRING)?.body;
    let mut changes = element::expect(&mut body, element::SEQUENCE)?.body;
    while !changes.is_empty() {
        let mut change = element::expect(&mut changes, element::SEQUENCE)?.body;
        element::expect(&mut change, element::ENUMERATED)?;
        let mut attribute = element::expect(&mut change, element::SEQUENCE)?.body;
        let description = element::expect(&mut attribute, element::OCTET_STRING)?.body;
        let name = description.split(|&octet| octet == b';').next().unwrap_or(description);
        let concerns = |list: &[&[u8]]| list.iter().any(|known| known.eq_ignore_ascii_case(name));
        if concerns(&PASSWORD_ATTRIBUTES) || concerns(&LOCK_ATTRIBUTES) {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}
