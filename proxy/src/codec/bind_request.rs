//! BindRequest (RFC 4511 section 4.2), borrowed from its frame.

use thiserror::Error;

use super::control::{CONTROLS_TAG, Controls};
use super::element::{self, ElementError};
use super::frame::Peek;
use super::op;

/// Why the octets are not a bind that the cache may reason about.
///
/// Such a bind may still mean something to the directory (a constructed string, a component
/// added by a later standard), so it is forwarded as it came and never cached.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BindError {
    /// The frame holds another operation.
    #[error("not a BindRequest")]
    NotABind,
    /// An element is not what stands there in RFC 4511.
    #[error(transparent)]
    Element(#[from] ElementError),
    /// There is something after the last component.
    #[error("unknown trailing component")]
    TrailingComponent,
}

/// A bind request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindRequest<'a> {
    /// 3 in everything modern; PHP still sends 2.
    pub version: i32,
    /// The name octets as sent: a DN, or whatever else the directory takes.
    pub name: &'a [u8],
    /// How the client proves who it is.
    pub authentication: Authentication<'a>,
    /// The controls of the message.
    pub controls: Controls<'a>,
}

/// The `authentication` choice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// `simple [0]`: the password octets.
    Simple(&'a [u8]),
    /// `sasl [3]`.
    Sasl {
        /// The mechanism's name.
        mechanism: &'a [u8],
    },
    /// Any other choice (Kerberos v4, Sicily): the directory's business.
    Other(u8),
}

impl std::fmt::Debug for Authentication<'_> {
    /// Never prints the password (promise I4).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Simple(password) => write!(f, "Simple({} octets)", password.len()),
            Self::Sasl { mechanism } => write!(f, "Sasl({})", mechanism.escape_ascii()),
            Self::Other(tag) => write!(f, "Other({tag:#04x})"),
        }
    }
}

const SIMPLE: u8 = 0x80;
const SASL: u8 = 0xA3;

/// Reads the bind in `frame`, which `peek` describes.
///
/// Strict: definite lengths, primitive strings, nothing after the last component. What is
/// refused here must be forwarded uncached, because the directory may read it differently.
///
/// # Errors
/// [`BindError`].
pub fn parse<'a>(frame: &'a [u8], peek: &Peek) -> Result<BindRequest<'a>, BindError> {
    if peek.op != op::BIND_REQUEST {
        return Err(BindError::NotABind);
    }
    let mut rest = frame.get(peek.op_offset..peek.total).ok_or(ElementError::Truncated)?;
    let mut body = element::expect(&mut rest, op::BIND_REQUEST)?.body;
    let version = element::integer(element::expect(&mut body, element::INTEGER)?.body)?;
    let name = element::expect(&mut body, element::OCTET_STRING)?.body;
    let choice = element::take(&mut body)?;
    if !body.is_empty() {
        return Err(BindError::TrailingComponent);
    }
    let authentication = match choice.tag {
        SIMPLE => Authentication::Simple(choice.body),
        SASL => {
            let mut sasl = choice.body;
            Authentication::Sasl { mechanism: element::expect(&mut sasl, element::OCTET_STRING)?.body }
        }
        other => Authentication::Other(other),
    };
    let controls = if rest.is_empty() {
        Controls::default()
    } else {
        Controls::parse(element::expect(&mut rest, CONTROLS_TAG)?.body)?
    };
    if !rest.is_empty() {
        return Err(BindError::TrailingComponent);
    }
    Ok(BindRequest { version, name, authentication, controls })
}

#[cfg(test)]
mod tests {
    use super::super::{build, frame};
    use super::*;

    #[test]
    fn a_simple_bind_is_read_without_copying() {
        let bytes = build::simple_bind(1, "uid=alice,dc=example,dc=org", b"secret");
        let peek = frame::peek(&bytes, 1000).unwrap().unwrap();
        let bind = parse(&bytes, &peek).unwrap();
        assert_eq!(bind.version, 3);
        assert_eq!(bind.name, b"uid=alice,dc=example,dc=org");
        assert_eq!(bind.authentication, Authentication::Simple(b"secret"));
        assert!(bind.controls.is_empty());
        assert!(!format!("{bind:?}").contains("secret"));
    }

    #[test]
    fn constructed_strings_and_trailers_are_not_reasoned_about() {
        // The name as a constructed OCTET STRING: rasn joins its segments, slapd may not.
        let constructed = [0x30, 14, 2, 1, 1, 0x60, 9, 2, 1, 3, 0x24, 2, 4, 0, 0x80, 0];
        let peek = frame::peek(&constructed, 1000).unwrap().unwrap();
        assert_eq!(parse(&constructed, &peek), Err(BindError::Element(ElementError::UnexpectedTag { found: 0x24 })));
        let trailing = [0x30, 14, 2, 1, 1, 0x60, 9, 2, 1, 3, 4, 0, 0x80, 0, 5, 0];
        let peek = frame::peek(&trailing, 1000).unwrap().unwrap();
        assert_eq!(parse(&trailing, &peek), Err(BindError::TrailingComponent));
    }
}
