//! ExtendedRequest and ExtendedResponse (RFC 4511 section 4.12), and Password Modify (RFC 3062).

use super::element::{self, ElementError};
use super::frame::Peek;

/// An extended request, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedRequest<'a> {
    /// requestName: which operation.
    pub oid: &'a [u8],
    /// requestValue.
    pub value: Option<&'a [u8]>,
}

const REQUEST_NAME: u8 = 0x80;
const REQUEST_VALUE: u8 = 0x81;
const RESPONSE_NAME: u8 = 0x8A;

/// Reads the extended request in `frame`, which `peek` describes.
///
/// # Errors
/// [`ElementError`].
pub fn parse_request<'a>(frame: &'a [u8], peek: &Peek) -> Result<ExtendedRequest<'a>, ElementError> {
    let mut rest = frame.get(peek.op_offset..peek.total).ok_or(ElementError::Truncated)?;
    let mut body = element::expect(&mut rest, super::op::EXTENDED_REQUEST)?.body;
    let oid = element::expect(&mut body, REQUEST_NAME)?.body;
    let value = if body.is_empty() { None } else { Some(element::expect(&mut body, REQUEST_VALUE)?.body) };
    Ok(ExtendedRequest { oid, value })
}

/// The responseName of the extended response in `frame`, if it has one.
#[must_use]
pub fn response_name<'a>(frame: &'a [u8], peek: &Peek) -> Option<&'a [u8]> {
    let mut rest = frame.get(peek.op_offset..peek.total)?;
    let mut body = element::expect(&mut rest, super::op::EXTENDED_RESPONSE).ok()?.body;
    while !body.is_empty() {
        let component = element::take(&mut body).ok()?;
        if component.tag == RESPONSE_NAME {
            return Some(component.body);
        }
    }
    None
}

/// The userIdentity of a Password Modify request value (RFC 3062 section 2): whose password
/// changes. `None` when the bound user's own does, or when the value cannot be read.
#[must_use]
pub fn password_modify_user(value: Option<&[u8]>) -> Option<&[u8]> {
    let mut input = value?;
    let mut body = element::expect(&mut input, element::SEQUENCE).ok()?.body;
    let first = element::take(&mut body).ok()?;
    // The form of an authzId (RFC 4513 section 5.2.1.8), which OpenLDAP accepts here.
    (first.tag == 0x80).then(|| first.body.strip_prefix(b"dn:").unwrap_or(first.body))
}
