//! LDAPResult of any response (RFC 4511 section 4.1.9), borrowed. Result codes stay numbers:
//! directories send codes that no closed list knows.

use super::control::{CONTROLS_TAG, Controls};
use super::element::{self, ElementError};
use super::frame::Peek;

/// A response that carries an LDAPResult.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LdapResult<'a> {
    /// The result code.
    pub code: u32,
    /// matchedDN.
    pub matched_dn: &'a [u8],
    /// diagnosticMessage.
    pub diagnostic: &'a [u8],
    /// The operation as it stood on the wire, tag included.
    pub operation: &'a [u8],
    /// The controls of the message.
    pub controls: Controls<'a>,
}

/// Reads the LDAPResult of the response in `frame`, which `peek` describes.
///
/// Components after diagnosticMessage (referral, serverSaslCreds, responseName) are left in
/// [`LdapResult::operation`].
///
/// # Errors
/// [`ElementError`] when the response has another shape.
pub fn parse<'a>(frame: &'a [u8], peek: &Peek) -> Result<LdapResult<'a>, ElementError> {
    let mut rest = frame.get(peek.op_offset..peek.total).ok_or(ElementError::Truncated)?;
    let operation = element::take(&mut rest)?;
    let mut body = operation.body;
    let code = element::integer(element::expect(&mut body, element::ENUMERATED)?.body)?;
    let code = u32::try_from(code).map_err(|_| ElementError::BadInteger)?;
    let matched_dn = element::expect(&mut body, element::OCTET_STRING)?.body;
    let diagnostic = element::expect(&mut body, element::OCTET_STRING)?.body;
    let controls = if rest.is_empty() {
        Controls::default()
    } else {
        Controls::parse(element::expect(&mut rest, CONTROLS_TAG)?.body)?
    };
    Ok(LdapResult { code, matched_dn, diagnostic, operation: operation.whole, controls })
}

/// The result code alone, from as many octets as are at hand; `None` when they do not tell.
#[must_use]
pub fn code_of(message: &[u8], peek: &Peek) -> Option<u32> {
    let operation = message.get(peek.op_offset + 1..)?;
    let length = element::read_length(operation).ok()??;
    let mut body = operation.get(length.octets..)?;
    let code = element::expect(&mut body, element::ENUMERATED).ok()?;
    u32::try_from(element::integer(code.body).ok()?).ok()
}
