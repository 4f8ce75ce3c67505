//! A directory's answer to a bind, kept so that it can be given again octet for octet.

use std::fmt;

use crate::codec::element::{self, ElementError};
use crate::codec::frame::{self, Peek};
use crate::codec::{edit, oid, result};

/// Netscape "password expired" (an unsolicited response control of 389 DS and, if so
/// configured, OpenLDAP).
const NETSCAPE_PASSWORD_EXPIRED: &[u8] = b"2.16.840.1.113730.3.4.4";

/// success and saslBindInProgress (RFC 4511 section 4.1.9): a member that has gone mad must not be able
/// to let somebody in.
const SUCCESS: u32 = 0;
const SASL_BIND_IN_PROGRESS: u32 = 14;

/// The longest answer that travels between members, in octets; none that is longer is ever recorded.
pub const MAX_OCTETS: usize = 4096;

/// Why octets are no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerdictError {
    /// Longer than [`MAX_OCTETS`].
    #[error("a verdict of more than {MAX_OCTETS} octets")]
    TooLong,
    /// No LDAPResult.
    #[error("a verdict that is no LDAPResult: {0}")]
    Element(#[from] ElementError),
    /// An LDAPResult, but one that refuses nobody.
    #[error("a verdict that is no refusal")]
    NoRefusal,
    /// An LDAPResult in another form than the one in which verdicts are kept.
    #[error("a verdict in a form that is not kept")]
    NotCanonical,
}

/// The upstream's whole LDAPResult with its response controls.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// The operation, then the controls but the password policy's, then the password policy's.
    octets: Box<[u8]>,
    operation_end: u32,
    controls_end: u32,
    code: u32,
    password_expired_control: bool,
}

impl Verdict {
    /// Reads the response in `frame`, which `peek` describes. The operation may be any response
    /// that carries an LDAPResult: Samba answers a bind by an ExtendedResponse now and then.
    ///
    /// # Errors
    /// [`ElementError`] when the response has another shape.
    pub fn from_response(frame: &[u8], peek: &Peek) -> Result<Self, ElementError> {
        let response = result::parse(frame, peek)?;
        let mut octets = response.operation.to_vec();
        let operation_end = octets.len();
        for control in edit::without_password_policy(response.controls) {
            octets.extend_from_slice(control.whole);
        }
        let controls_end = octets.len();
        for control in response.controls.iter().filter(|control| control.oid == oid::PASSWORD_POLICY) {
            octets.extend_from_slice(control.whole);
        }
        Ok(Self {
            octets: octets.into_boxed_slice(),
            operation_end: narrow(operation_end),
            controls_end: narrow(controls_end),
            code: response.code,
            password_expired_control: response.controls.find(NETSCAPE_PASSWORD_EXPIRED).is_some(),
        })
    }

    /// Reads what [`Self::octets`] gave, perhaps at another member, and believes none of it: it must be
    /// an LDAPResult that is a refusal, in the very order in which one is kept here.
    ///
    /// # Errors
    /// [`VerdictError`].
    pub fn from_octets(octets: &[u8]) -> Result<Self, VerdictError> {
        if octets.len() > MAX_OCTETS {
            return Err(VerdictError::TooLong);
        }
        let mut controls = octets;
        let operation = element::take(&mut controls)?.whole;
        let message = edit::assemble(1, operation, std::iter::once(controls));
        let peek = frame::peek(&message, message.len())
            .map_err(|_| VerdictError::NotCanonical)?
            .ok_or(ElementError::Truncated)?;
        let verdict = Self::from_response(&message, &peek)?;
        if !verdict.is_refusal() {
            return Err(VerdictError::NoRefusal);
        }
        if *verdict.octets == *octets { Ok(verdict) } else { Err(VerdictError::NotCanonical) }
    }

    /// What is kept: the operation, then its response controls. [`Self::from_octets`] reads it.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Whether [`Self::from_octets`] would take it from another member.
    #[must_use]
    pub fn travels(&self) -> bool {
        self.octets.len() <= MAX_OCTETS && self.is_refusal()
    }

    fn is_refusal(&self) -> bool {
        !matches!(self.code, SUCCESS | SASL_BIND_IN_PROGRESS)
    }

    /// The result code.
    #[must_use]
    pub fn code(&self) -> u32 {
        self.code
    }

    /// diagnosticMessage, octet for octet.
    #[must_use]
    pub fn diagnostic(&self) -> &[u8] {
        // Was read once when this was made, so it reads again.
        read_diagnostic(&self.octets[..self.operation_end as usize]).unwrap_or_default()
    }

    /// How many octets are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.octets.len()
    }

    /// Never: an LDAPResult has at least its code.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// Appends the response under another message ID.
    ///
    /// passwordPolicyResponse goes out only with `wants_password_policy`, that is to a client
    /// whose own request carried the request control (draft-behera section 9.2).
    pub fn write_response(&self, out: &mut Vec<u8>, message_id: u32, wants_password_policy: bool) {
        let (operation, controls) = self.octets.split_at(self.operation_end as usize);
        let end = if wants_password_policy { self.octets.len() } else { self.controls_end as usize };
        let controls = &controls[..end - self.operation_end as usize];
        edit::assemble_into(out, message_id, operation, std::iter::once(controls));
    }

    /// The error in passwordPolicyResponse, if the answer carries one.
    #[must_use]
    pub fn password_policy_error(&self) -> Option<PolicyError> {
        let mut control = &self.octets[self.controls_end as usize..];
        if control.is_empty() {
            return None;
        }
        read_policy_error(&mut control).unwrap_or(Some(PolicyError::Unreadable))
    }

    /// Whether the answer carries the Netscape "password expired" control.
    #[must_use]
    pub fn has_password_expired_control(&self) -> bool {
        self.password_expired_control
    }
}

impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verdict({}, {:?})", self.code, self.diagnostic().escape_ascii().to_string())
    }
}

/// `error` of passwordPolicyResponse (draft-behera section 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyError {
    /// passwordExpired (0).
    PasswordExpired,
    /// accountLocked (1).
    AccountLocked,
    /// changeAfterReset (2).
    ChangeAfterReset,
    /// One that concerns password changes (3 to 8), or a later standard's.
    Other(u32),
    /// The control is there but cannot be read.
    Unreadable,
}

/// PasswordPolicyResponseValue ::= SEQUENCE { warning [0] OPTIONAL, error [1] ENUMERATED OPTIONAL }
fn read_policy_error(control: &mut &[u8]) -> Result<Option<PolicyError>, ElementError> {
    let mut fields = element::expect(control, element::SEQUENCE)?.body;
    element::expect(&mut fields, element::OCTET_STRING)?;
    if fields.first() == Some(&element::BOOLEAN) {
        element::take(&mut fields)?;
    }
    let mut value = element::expect(&mut fields, element::OCTET_STRING)?.body;
    let mut components = element::expect(&mut value, element::SEQUENCE)?.body;
    while !components.is_empty() {
        let component = element::take(&mut components)?;
        if component.tag != 0x81 {
            continue;
        }
        let code = u32::try_from(element::integer(component.body)?).map_err(|_| ElementError::BadInteger)?;
        return Ok(Some(match code {
            0 => PolicyError::PasswordExpired,
            1 => PolicyError::AccountLocked,
            2 => PolicyError::ChangeAfterReset,
            other => PolicyError::Other(other),
        }));
    }
    Ok(None)
}

/// LDAPResult: resultCode, matchedDN, diagnosticMessage.
fn read_diagnostic(mut operation: &[u8]) -> Result<&[u8], ElementError> {
    let mut body = element::take(&mut operation)?.body;
    element::expect(&mut body, element::ENUMERATED)?;
    element::expect(&mut body, element::OCTET_STRING)?;
    Ok(element::expect(&mut body, element::OCTET_STRING)?.body)
}

/// Frames are bounded by `maxMessageBytes`, far below 4 GiB.
fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::codec::build;

    /// The verdict in a BindResponse with these response controls (each a whole control).
    pub(crate) fn verdict_with(code: u8, diagnostic: &[u8], controls: &[Vec<u8>]) -> Verdict {
        let mut body = vec![0x0A, 1, code, 4, 0];
        element::put_header(&mut body, element::OCTET_STRING, diagnostic.len());
        body.extend_from_slice(diagnostic);
        let mut operation = Vec::new();
        element::put_header(&mut operation, 0x61, body.len());
        operation.extend_from_slice(&body);
        let message = edit::assemble(7, &operation, controls.iter().map(Vec::as_slice));
        let peek = frame::peek(&message, 1 << 20).unwrap().unwrap();
        Verdict::from_response(&message, &peek).unwrap()
    }

    pub(crate) fn verdict(code: u8, diagnostic: &[u8]) -> Verdict {
        verdict_with(code, diagnostic, &[])
    }

    /// A response control; `value` goes out as it is.
    pub(crate) fn control(oid: &[u8], value: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        element::put_header(&mut body, element::OCTET_STRING, oid.len());
        body.extend_from_slice(oid);
        element::put_header(&mut body, element::OCTET_STRING, value.len());
        body.extend_from_slice(value);
        let mut control = Vec::new();
        element::put_header(&mut control, element::SEQUENCE, body.len());
        control.extend_from_slice(&body);
        control
    }

    #[test]
    fn a_replay_is_the_same_message_under_another_id() {
        let original = build::bind_response(3, 49, "80090308: data 52e, v1db1");
        let peek = frame::peek(&original, 1000).unwrap().unwrap();
        let verdict = Verdict::from_response(&original, &peek).unwrap();
        assert_eq!(verdict.code(), 49);
        assert_eq!(verdict.diagnostic(), b"80090308: data 52e, v1db1");
        let mut out = Vec::new();
        verdict.write_response(&mut out, 3, false);
        assert_eq!(out, original);
        verdict.write_response(&mut out, 70_000, false);
        let second = &out[original.len()..];
        assert_eq!(frame::peek(second, 1000).unwrap().unwrap().message_id, 70_000);
    }

    #[test]
    fn the_policy_control_goes_only_to_who_asked() {
        let policy = control(oid::PASSWORD_POLICY, &[0x30, 0]);
        let other = control(b"1.2.3", b"x");
        let verdict = verdict_with(49, b"", &[policy.clone(), other.clone()]);
        let controls = |wants| {
            let mut out = Vec::new();
            verdict.write_response(&mut out, 1, wants);
            let peek = frame::peek(&out, 1000).unwrap().unwrap();
            assert_eq!(peek.total, out.len());
            let parsed = result::parse(&out, &peek).unwrap();
            parsed.controls.iter().map(|control| control.whole.to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(controls(false), std::slice::from_ref(&other));
        assert_eq!(controls(true), [other, policy]);
    }

    #[test]
    fn a_verdict_that_came_from_elsewhere_is_the_same_or_none() {
        let (policy, other) = (control(oid::PASSWORD_POLICY, &[0x30, 3, 0x81, 1, 1]), control(b"1.2.3", b"x"));
        let netscape = control(NETSCAPE_PASSWORD_EXPIRED, b"0");
        for controls in
            [&[][..], std::slice::from_ref(&policy), &[policy.clone(), other.clone()], &[netscape, policy.clone()]]
        {
            let verdict = verdict_with(49, b"no", controls);
            let read = Verdict::from_octets(verdict.octets()).unwrap();
            assert_eq!(read, verdict);
            assert_eq!(read.password_policy_error(), verdict.password_policy_error());
            for end in 0..verdict.len() {
                // An answer without its controls is an answer, too.
                if let Ok(shorter) = Verdict::from_octets(&verdict.octets()[..end]) {
                    assert_eq!(shorter.octets(), &verdict.octets()[..end]);
                }
            }
        }
        let operation = verdict(49, b"no").octets().to_vec();
        let disordered = [&operation[..], &policy, &other].concat();
        assert_eq!(Verdict::from_octets(&disordered), Err(VerdictError::NotCanonical));
        let with_rest = [&operation[..], &[0x02, 1, 5]].concat();
        assert!(matches!(Verdict::from_octets(&with_rest), Err(VerdictError::Element(_))));
        for code in [SUCCESS, SASL_BIND_IN_PROGRESS] {
            let verdict = verdict(code as u8, b"");
            assert!(!verdict.travels());
            assert_eq!(Verdict::from_octets(verdict.octets()), Err(VerdictError::NoRefusal));
        }
        let long = verdict(49, &[b'x'; MAX_OCTETS]);
        assert!(!long.travels());
        assert_eq!(Verdict::from_octets(long.octets()), Err(VerdictError::TooLong));
        assert!(verdict(49, &[b'x'; MAX_OCTETS - 20]).travels());
    }

    #[test]
    fn policy_errors_as_the_directories_write_them() {
        let error =
            |value: &[u8]| verdict_with(49, b"", &[control(oid::PASSWORD_POLICY, value)]).password_policy_error();
        assert_eq!(error(&[0x30, 0]), None);
        assert_eq!(error(&[0x30, 3, 0x81, 1, 0]), Some(PolicyError::PasswordExpired));
        assert_eq!(error(&[0x30, 3, 0x81, 1, 1]), Some(PolicyError::AccountLocked));
        // 389 DS writes long-form lengths.
        assert_eq!(error(&[0x30, 0x84, 0, 0, 0, 3, 0x81, 1, 1]), Some(PolicyError::AccountLocked));
        assert_eq!(error(&[0x30, 3, 0x81, 1, 2]), Some(PolicyError::ChangeAfterReset));
        assert_eq!(error(&[0x30, 8, 0xA0, 3, 0x81, 1, 5, 0x81, 1, 7]), Some(PolicyError::Other(7)));
        // A warning alone; its inner [1] is not an error.
        assert_eq!(error(&[0x30, 5, 0xA0, 3, 0x81, 1, 5]), None);
        assert_eq!(error(&[0x30, 5, 0x81]), Some(PolicyError::Unreadable));
        assert_eq!(error(b""), Some(PolicyError::Unreadable));
        assert_eq!(verdict(49, b"").password_policy_error(), None);
    }
}
