//! The bind operation (RFC 4511 section 4.2): simple, anonymous, and a little SASL.

use std::hash::BuildHasher;

use super::answer::{Answer, Directory, Session, Then, one, result_code};
use super::entry::{AccountState, BASE, fold_dn};
use super::log::{BindRecord, PasswordKind};
use super::message;
use super::verdict::{Flavour, Outcome, Verdict, verdict};
use crate::clock::Tick;
use crate::codec::bind_request::{self, Authentication};
use crate::codec::frame::Peek;
use crate::codec::{code, element, oid, op};

impl Directory {
    pub(super) fn bind(&mut self, session: &mut Session, frame: &[u8], peek: &Peek, now: Tick) -> Answer {
        // RFC 4511 section 4.2.1: whatever comes of it, the session is anonymous first.
        session.identity = None;
        session.restricted = false;
        let in_exchange = std::mem::take(&mut session.sasl_step);
        let mut record = self.record(session, frame, peek, now);
        let Ok(request) = bind_request::parse(frame, peek) else {
            record.code = Some(code::PROTOCOL_ERROR);
            self.log.bound(record);
            return one(
                peek.message_id,
                &message::result(op::BIND_RESPONSE, code::PROTOCOL_ERROR, b"", b"decoding error", b""),
            );
        };
        let mut controls = Vec::new();
        let mut extra = Vec::new();
        let mut then = Then::Nothing;
        let (code, diagnostic) = if let Some(refusal) = self.refuse_controls(request.controls) {
            refusal
        } else if request.version != 3 {
            (code::PROTOCOL_ERROR, "historical protocol version requested, use LDAPv3 instead")
        } else {
            match request.authentication {
                Authentication::Simple(password) => {
                    let answer = self.simple_bind(session, &record.name, password, now);
                    if let Some(error) = answer.password_policy.filter(|_| record.asked_password_policy) {
                        controls.push(message::password_policy_response(error));
                    }
                    (answer.code, answer.diagnostic)
                }
                Authentication::Sasl { mechanism } => {
                    let credentials = sasl_credentials(frame, peek);
                    let step = self.sasl_bind(session, mechanism, credentials, in_exchange);
                    if let Some(challenge) = step.challenge {
                        message::put(&mut extra, 0x87, challenge);
                    }
                    then = step.then;
                    (step.code, step.diagnostic)
                }
                Authentication::Other(_) => (code::AUTH_METHOD_NOT_SUPPORTED, "unknown authentication method"),
            }
        };
        record.code = Some(code);
        self.log.bound(record);
        let operation = message::result(op::BIND_RESPONSE, code, b"", diagnostic.as_bytes(), &extra);
        Answer { messages: vec![message::message(peek.message_id, &operation, &controls)], then }
    }

    /// Notes a request that a script answers instead of the directory: it stands in the log with
    /// `code` and counts against nobody.
    pub fn note(&mut self, session: &mut Session, frame: &[u8], peek: &Peek, code: Option<u32>, now: Tick) {
        self.log.received(peek.op);
        if peek.op == op::BIND_REQUEST {
            let record = BindRecord { code, ..self.record(session, frame, peek, now) };
            session.identity = if code == Some(code::SUCCESS) { self.find(&record.name) } else { None };
            session.restricted = false;
            self.log.bound(record);
        }
    }

    fn record(&self, session: &Session, frame: &[u8], peek: &Peek, now: Tick) -> BindRecord {
        let (name, password, asked_password_policy) = match bind_request::parse(frame, peek) {
            Ok(bind) => {
                let name = String::from_utf8_lossy(bind.name).into_owned();
                let password = match bind.authentication {
                    Authentication::Simple(password) => self.password_kind(&name, password),
                    Authentication::Sasl { .. } | Authentication::Other(_) => PasswordKind::NotSimple,
                };
                (name, password, bind.controls.find(oid::PASSWORD_POLICY).is_some())
            }
            Err(_) => (String::new(), PasswordKind::NotSimple, false),
        };
        BindRecord { at: now, connection: session.connection, name, password, asked_password_policy, code: None }
    }

    fn password_kind(&self, name: &str, password: &[u8]) -> PasswordKind {
        if password.is_empty() {
            return PasswordKind::Empty;
        }
        let entry = self.find(name).map(|index| &self.entries[index]);
        if entry.is_some_and(|entry| entry.password.as_deref() == Some(password)) {
            return PasswordKind::Right;
        }
        let former = entry.and_then(|entry| entry.former_passwords.iter().position(|former| former == password));
        former.map_or_else(|| PasswordKind::Other(self.hasher.hash_one(password)), PasswordKind::Former)
    }

    fn simple_bind(&mut self, session: &mut Session, name: &str, password: &[u8], now: Tick) -> Verdict {
        let plain = |code, diagnostic| Verdict { code, diagnostic, password_policy: None };
        if self.results_from_passwords
            && let Some(code) =
                password.strip_prefix(b"rc").and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
        {
            return plain(code, "");
        }
        let samba = self.flavour == Flavour::ActiveDirectory;
        match (name.is_empty(), password.is_empty()) {
            (true, true) => return plain(code::SUCCESS, ""),
            (true, false) => return plain(code::INVALID_CREDENTIALS, ""),
            (false, true) if !samba => {
                return plain(code::UNWILLING_TO_PERFORM, "unauthenticated bind (DN with no password) disallowed");
            }
            (false, _) => {}
        }
        let index = self.find(name);
        if index.is_none() && self.flavour == Flavour::OpenLdap && fold_dn(name).is_none() {
            return plain(result_code::INVALID_DN_SYNTAX, "invalid DN");
        }
        let outcome = index.map_or(Outcome::NoAccount, |index| self.outcome(index, password, now));
        let answer = verdict(self.flavour, outcome, self.policy.tell_locked);
        if answer.code == code::SUCCESS {
            session.identity = index;
            session.restricted = outcome == Outcome::MustChange;
        }
        let outside_policy = index.is_some_and(|index| self.entries[index].administrator);
        let password_policy = answer.password_policy.filter(|_| self.policy.password_policy_control && !outside_policy);
        Verdict { password_policy, ..answer }
    }

    fn outcome(&mut self, index: usize, password: &[u8], now: Tick) -> Outcome {
        let entry = &self.entries[index];
        let account = &mut self.accounts[index];
        let Some(right) = entry.password.as_deref() else { return Outcome::NoAccount };
        if entry.administrator {
            return if right == password { Outcome::Right } else { Outcome::Wrong };
        }
        if account.is_locked(&self.policy, now) {
            return Outcome::Locked;
        }
        // Active Directory looks at the password of a disabled account, and counts it.
        if entry.state == AccountState::Disabled && self.flavour != Flavour::ActiveDirectory {
            return Outcome::Disabled;
        }
        if right != password {
            account.failed(&self.policy, now);
            return Outcome::Wrong;
        }
        match entry.state {
            AccountState::Disabled => Outcome::Disabled,
            AccountState::Expired => Outcome::Expired,
            AccountState::MustChange => {
                account.succeeded();
                Outcome::MustChange
            }
            AccountState::Normal => {
                account.succeeded();
                Outcome::Right
            }
        }
    }

    /// SASL never counts against the account, as on slapd and 389 DS. `PLAIN` is the real one;
    /// `X-TWO-STEP` needs a second message, and `X-SEALED` is followed by octets that are no LDAP.
    fn sasl_bind(&self, session: &mut Session, mechanism: &[u8], credentials: &[u8], in_exchange: bool) -> SaslStep {
        let done = |code, diagnostic| SaslStep { code, diagnostic, challenge: None, then: Then::Nothing };
        match mechanism {
            b"PLAIN" => {
                let mut parts = credentials.splitn(3, |&octet| octet == 0).skip(1);
                let (Some(user), Some(password)) = (parts.next(), parts.next()) else {
                    return done(code::INVALID_CREDENTIALS, "SASL(-5): bad protocol / cancel");
                };
                let user = String::from_utf8_lossy(user);
                let index = self.find(&user).or_else(|| self.find(&format!("uid={user},ou=people,{}", BASE)));
                match index {
                    Some(index) if self.entries[index].password.as_deref() == Some(password) => {
                        session.identity = Some(index);
                        done(code::SUCCESS, "")
                    }
                    _ => done(
                        code::INVALID_CREDENTIALS,
                        "SASL(-13): authentication failure: Password verification failed",
                    ),
                }
            }
            b"X-TWO-STEP" if in_exchange => done(code::SUCCESS, ""),
            b"X-TWO-STEP" => {
                session.sasl_step = true;
                SaslStep {
                    code: code::SASL_BIND_IN_PROGRESS,
                    diagnostic: "",
                    challenge: Some(b"once more"),
                    then: Then::Nothing,
                }
            }
            b"X-SEALED" => SaslStep { code: code::SUCCESS, diagnostic: "", challenge: None, then: Then::Echo },
            _ => done(code::AUTH_METHOD_NOT_SUPPORTED, "SASL(-4): no mechanism available"),
        }
    }
}

struct SaslStep {
    code: u32,
    diagnostic: &'static str,
    challenge: Option<&'static [u8]>,
    then: Then,
}

fn sasl_credentials<'a>(frame: &'a [u8], peek: &Peek) -> &'a [u8] {
    let credentials = || {
        let mut rest = frame.get(peek.op_offset..peek.total)?;
        let mut body = element::take(&mut rest).ok()?.body;
        element::take(&mut body).ok()?;
        element::take(&mut body).ok()?;
        let mut sasl = element::take(&mut body).ok()?.body;
        element::take(&mut sasl).ok()?;
        Some(element::take(&mut sasl).ok()?.body)
    };
    credentials().unwrap_or_default()
}
