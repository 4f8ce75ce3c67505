//! Requests as octets. Each function returns the operation; [`message`] puts it into an
//! LDAPMessage.

use crate::ber;

/// The passwordPolicyRequest control's object identifier.
pub const PASSWORD_POLICY: &str = "1.3.6.1.4.1.42.2.27.8.5.1";
/// ManageDsaIT (RFC 3296).
pub const MANAGE_DSA_IT: &str = "2.16.840.1.113730.3.4.2";
/// Simple paged results (RFC 2696).
pub const PAGED_RESULTS: &str = "1.2.840.113556.1.4.319";
/// Relax rules (draft-zeilenga-ldap-relax): slapd lets the root DN set operational attributes.
pub const RELAX: &str = "1.3.6.1.4.1.4203.666.5.12";
/// Who am I? (RFC 4532).
pub const WHO_AM_I: &str = "1.3.6.1.4.1.4203.1.11.3";
/// Password Modify (RFC 3062).
pub const PASSWORD_MODIFY: &str = "1.3.6.1.4.1.4203.1.11.1";
/// StartTLS.
pub const START_TLS: &str = "1.3.6.1.4.1.1466.20037";

/// An LDAPMessage with `operation` and without controls.
#[must_use]
pub fn message(id: u32, operation: &[u8]) -> Vec<u8> {
    message_with(id, operation, &[])
}

/// An LDAPMessage with `operation` and `controls`.
#[must_use]
pub fn message_with(id: u32, operation: &[u8], controls: &[Vec<u8>]) -> Vec<u8> {
    let id = ber::integer(2, i32::try_from(id).expect("message IDs end at 2^31-1"));
    if controls.is_empty() {
        return ber::sequence(&[&id, operation]);
    }
    let controls = ber::element(0xA0, &controls.concat());
    ber::sequence(&[&id, operation, &controls])
}

/// A control.
#[must_use]
pub fn control(oid: &str, critical: bool, value: Option<&[u8]>) -> Vec<u8> {
    let mut body = ber::octets(oid);
    if critical {
        body.extend(ber::boolean(true));
    }
    if let Some(value) = value {
        body.extend(ber::octets(value));
    }
    ber::element(0x30, &body)
}

/// A simple bind of LDAPv3.
#[must_use]
pub fn bind(name: &str, password: impl AsRef<[u8]>) -> Vec<u8> {
    bind_version(3, name, password)
}

/// A simple bind of any protocol version.
#[must_use]
pub fn bind_version(version: i32, name: &str, password: impl AsRef<[u8]>) -> Vec<u8> {
    ber::constructed(0x60, &[&ber::integer(2, version), &ber::octets(name), &ber::element(0x80, password.as_ref())])
}

/// A SASL bind.
#[must_use]
pub fn bind_sasl(mechanism: &str, credentials: Option<&[u8]>) -> Vec<u8> {
    let mut sasl = ber::octets(mechanism);
    if let Some(credentials) = credentials {
        sasl.extend(ber::octets(credentials));
    }
    ber::constructed(0x60, &[&ber::integer(2, 3), &ber::octets(""), &ber::element(0xA3, &sasl)])
}

/// Unbind.
#[must_use]
pub fn unbind() -> Vec<u8> {
    vec![0x42, 0]
}

/// Abandon of the operation with message ID `target`.
#[must_use]
pub fn abandon(target: u32) -> Vec<u8> {
    ber::integer(0x50, i32::try_from(target).expect("message IDs end at 2^31-1"))
}

/// The scope of a search.
#[derive(Clone, Copy, Debug)]
pub enum Scope {
    /// baseObject
    Base = 0,
    /// singleLevel
    One = 1,
    /// wholeSubtree
    Subtree = 2,
}

/// A search; `filter` is made by [`present`] or [`equals`].
#[must_use]
pub fn search(base: &str, scope: Scope, filter: &[u8], attributes: &[&str], size_limit: i32) -> Vec<u8> {
    let attributes: Vec<u8> = attributes.iter().flat_map(ber::octets).collect();
    ber::constructed(
        0x63,
        &[
            &ber::octets(base),
            &ber::integer(10, scope as i32),
            &ber::integer(10, 0),
            &ber::integer(2, size_limit),
            &ber::integer(2, 0),
            &ber::boolean(false),
            filter,
            &ber::element(0x30, &attributes),
        ],
    )
}

/// The filter `(attribute=*)`.
#[must_use]
pub fn present(attribute: &str) -> Vec<u8> {
    ber::element(0x87, attribute.as_bytes())
}

/// The filter `(attribute=value)`.
#[must_use]
pub fn equals(attribute: &str, value: &str) -> Vec<u8> {
    ber::constructed(0xA3, &[&ber::octets(attribute), &ber::octets(value)])
}

/// What a modification does with its values.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// Adds the values.
    Add = 0,
    /// Deletes the values, or all when there are none.
    Delete = 1,
    /// Puts the values in the place of the old ones.
    Replace = 2,
}

/// A modify request.
#[must_use]
pub fn modify(dn: &str, changes: &[(Change, &str, &[&[u8]])]) -> Vec<u8> {
    let changes: Vec<u8> = changes
        .iter()
        .flat_map(|&(change, attribute, values)| {
            ber::sequence(&[&ber::integer(10, change as i32), &partial_attribute(attribute, values)])
        })
        .collect();
    ber::constructed(0x66, &[&ber::octets(dn), &ber::element(0x30, &changes)])
}

/// An add request.
#[must_use]
pub fn add(dn: &str, attributes: &[(&str, &[&[u8]])]) -> Vec<u8> {
    let attributes: Vec<u8> =
        attributes.iter().flat_map(|&(attribute, values)| partial_attribute(attribute, values)).collect();
    ber::constructed(0x68, &[&ber::octets(dn), &ber::element(0x30, &attributes)])
}

fn partial_attribute(attribute: &str, values: &[&[u8]]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(ber::octets).collect();
    ber::sequence(&[&ber::octets(attribute), &ber::element(0x31, &values)])
}

/// A delete request.
#[must_use]
pub fn delete(dn: &str) -> Vec<u8> {
    ber::element(0x4A, dn.as_bytes())
}

/// A modify-DN request that deletes the old RDN.
#[must_use]
pub fn modify_dn(dn: &str, new_rdn: &str) -> Vec<u8> {
    ber::constructed(0x6C, &[&ber::octets(dn), &ber::octets(new_rdn), &ber::boolean(true)])
}

/// A compare request.
#[must_use]
pub fn compare(dn: &str, attribute: &str, value: &str) -> Vec<u8> {
    ber::constructed(0x6E, &[&ber::octets(dn), &ber::sequence(&[&ber::octets(attribute), &ber::octets(value)])])
}

/// An extended request.
#[must_use]
pub fn extended(oid: &str, value: Option<&[u8]>) -> Vec<u8> {
    let mut body = ber::element(0x80, oid.as_bytes());
    if let Some(value) = value {
        body.extend(ber::element(0x81, value));
    }
    ber::element(0x77, &body)
}

/// A Password Modify request (RFC 3062).
#[must_use]
pub fn password_modify(user: Option<&str>, old: Option<&str>, new: &str) -> Vec<u8> {
    let mut body = Vec::new();
    if let Some(user) = user {
        body.extend(ber::element(0x80, user.as_bytes()));
    }
    if let Some(old) = old {
        body.extend(ber::element(0x81, old.as_bytes()));
    }
    body.extend(ber::element(0x82, new.as_bytes()));
    extended(PASSWORD_MODIFY, Some(&ber::element(0x30, &body)))
}

/// The value of a paged results control: page size and the cookie of the page before.
#[must_use]
pub fn page(size: i32, cookie: &[u8]) -> Vec<u8> {
    ber::sequence(&[&ber::integer(2, size), &ber::octets(cookie)])
}
