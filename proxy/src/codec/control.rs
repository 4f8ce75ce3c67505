//! The `controls [0]` of a message (RFC 4511 section 4.1.11), borrowed.

use super::element::{self, Element, ElementError};

/// The tag of `controls [0]` in an LDAPMessage.
pub(crate) const CONTROLS_TAG: u8 = 0xA0;

/// One control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control<'a> {
    /// The dotted-decimal object identifier, as octets.
    pub oid: &'a [u8],
    /// Whether the request must fail when the control is not understood.
    pub critical: bool,
    /// The control's value, if it has one.
    pub value: Option<&'a [u8]>,
    /// The whole control as it stood on the wire.
    pub whole: &'a [u8],
}

/// The controls of one message; empty when it had none. Every control was read once when this
/// was made, so iterating cannot fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Controls<'a> {
    body: &'a [u8],
}

impl<'a> Controls<'a> {
    /// Reads the body of a `controls [0]` element.
    ///
    /// # Errors
    /// [`ElementError`] when one of them is not a control.
    pub fn parse(body: &'a [u8]) -> Result<Self, ElementError> {
        let mut rest = body;
        while !rest.is_empty() {
            take_control(&mut rest)?;
        }
        Ok(Self { body })
    }

    /// The controls in the order of the wire.
    pub fn iter(&self) -> impl Iterator<Item = Control<'a>> + Clone + use<'a> {
        let mut rest = self.body;
        std::iter::from_fn(move || if rest.is_empty() { None } else { take_control(&mut rest).ok() })
    }

    /// The first control with this object identifier.
    #[must_use]
    pub fn find(&self, oid: &[u8]) -> Option<Control<'a>> {
        self.iter().find(|control| control.oid == oid)
    }

    /// Whether the message had no control.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }
}

fn take_control<'a>(rest: &mut &'a [u8]) -> Result<Control<'a>, ElementError> {
    let Element { body, whole, .. } = element::expect(rest, element::SEQUENCE)?;
    let mut inner = body;
    let oid = element::expect(&mut inner, element::OCTET_STRING)?.body;
    let mut critical = false;
    if inner.first() == Some(&element::BOOLEAN) {
        critical = element::take(&mut inner)?.body.iter().any(|&octet| octet != 0);
    }
    let value =
        if inner.first() == Some(&element::OCTET_STRING) { Some(element::take(&mut inner)?.body) } else { None };
    // A constructed value or a component too many: the directory may read what we would not see.
    if let Some(&found) = inner.first() {
        return Err(ElementError::UnexpectedTag { found });
    }
    Ok(Control { oid, critical, value, whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_with_more_in_it_than_was_read_is_refused() {
        let plain = [0x30, 5, 4, 3, b'1', b'.', b'2'];
        assert_eq!(Controls::parse(&plain).unwrap().iter().count(), 1);
        let constructed_value = [0x30, 9, 4, 3, b'1', b'.', b'2', 0x24, 2, 4, 0];
        assert_eq!(Controls::parse(&constructed_value), Err(ElementError::UnexpectedTag { found: 0x24 }));
        let two_values = [0x30, 9, 4, 3, b'1', b'.', b'2', 4, 0, 4, 0];
        assert_eq!(Controls::parse(&two_values), Err(ElementError::UnexpectedTag { found: 4 }));
    }
}
