//! What the directory answers to one request. Pure: entries, policy and `now` in, messages out.

use std::collections::HashMap;
use std::hash::RandomState;

use rasn_ldap::{LdapMessage, ProtocolOp};

use super::entry::{AccountState, Entry, fold_name};
use super::lockout::{Account, Policy};
use super::log::Log;
use super::message;
use super::verdict::Flavour;
use crate::clock::Tick;
use crate::codec::control::{CONTROLS_TAG, Controls};
use crate::codec::element::{self, ElementError};
use crate::codec::frame::Peek;
use crate::codec::{code, extended, oid, op};

/// Result codes that only a directory answers with (RFC 4511 appendix A.1).
pub(crate) mod result_code {
    pub(crate) const SIZE_LIMIT_EXCEEDED: u32 = 4;
    pub(crate) const COMPARE_FALSE: u32 = 5;
    pub(crate) const COMPARE_TRUE: u32 = 6;
    pub(crate) const STRONGER_AUTH_REQUIRED: u32 = 8;
    pub(crate) const UNAVAILABLE_CRITICAL_EXTENSION: u32 = 12;
    pub(crate) const NO_SUCH_ATTRIBUTE: u32 = 16;
    pub(crate) const NO_SUCH_OBJECT: u32 = 32;
    pub(crate) const INVALID_DN_SYNTAX: u32 = 34;
    pub(crate) const INSUFFICIENT_ACCESS_RIGHTS: u32 = 50;
}

/// Constructed elements nested deeper than this are refused before anything decodes them.
const MAX_DEPTH: usize = 64;

/// The entries, the accounts' locks and the log.
#[derive(Debug)]
pub struct Directory {
    pub(super) entries: Vec<Entry>,
    pub(super) accounts: Vec<Account>,
    pub(super) keys: Vec<String>,
    pub(super) names: HashMap<String, usize>,
    pub(super) policy: Policy,
    pub(super) flavour: Flavour,
    pub(super) results_from_passwords: bool,
    pub(super) log: Log,
    pub(super) hasher: RandomState,
}

/// The state of one connection, as far as it changes an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// The connection's number in the log.
    pub connection: u64,
    /// Which entry is bound; `None` is anonymous.
    pub identity: Option<usize>,
    /// Whether TLS is on, and whether it can be had.
    pub tls: Tls,
    /// Bound with a password that must be changed first.
    pub restricted: bool,
    /// A SASL exchange of two steps is under way.
    pub sasl_step: bool,
}

/// TLS on one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Not configured.
    #[default]
    Unavailable,
    /// StartTLS would be accepted.
    Offered,
    /// On.
    Active,
}

/// The answer to one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Whole messages, in order.
    pub messages: Vec<Vec<u8>>,
    /// What follows.
    pub then: Then,
}

/// What follows an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Then {
    /// The next request.
    #[default]
    Nothing,
    /// The TLS handshake.
    StartTls,
    /// The end of the connection.
    Close,
    /// No more LDAP: octets come back as they are sent (a stand-in for a SASL security layer).
    Echo,
}

impl Directory {
    /// A directory with these entries. With `results_from_passwords`, a simple bind with the
    /// password `rc52` is answered with result code 52, whoever it names.
    #[must_use]
    pub fn new(entries: Vec<Entry>, policy: Policy, flavour: Flavour, results_from_passwords: bool) -> Self {
        let keys: Vec<String> = entries.iter().map(Entry::key).collect();
        let mut names: HashMap<String, usize> = HashMap::new();
        for (index, entry) in entries.iter().enumerate() {
            names.insert(keys[index].clone(), index);
            for alias in &entry.aliases {
                names.insert(fold_name(alias), index);
            }
        }
        let accounts = vec![Account::default(); entries.len()];
        let log = Log::default();
        let hasher = RandomState::new();
        Self { entries, accounts, keys, names, policy, flavour, results_from_passwords, log, hasher }
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    pub(super) fn log_mut(&mut self) -> &mut Log {
        &mut self.log
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.names.get(&fold_name(name)).copied()
    }

    /// Whether the account is locked at `now`.
    pub fn locked(&mut self, name: &str, now: Tick) -> bool {
        let policy = self.policy;
        self.find(name).is_some_and(|index| self.accounts[index].is_locked(&policy, now))
    }

    /// How many failures the lockout policy holds against the account (pwdFailureTime).
    #[must_use]
    pub fn counted(&self, name: &str) -> usize {
        self.find(name).map_or(0, |index| self.accounts[index].failures().len())
    }

    /// Takes the lock and the counted failures away, as an administrator does.
    pub fn unlock(&mut self, name: &str) {
        if let Some(index) = self.find(name) {
            self.accounts[index].unlock();
        }
    }

    /// Gives the account a new password, as an administrator does.
    pub fn set_password(&mut self, name: &str, password: &[u8], now: Tick) {
        if let Some(index) = self.find(name) {
            self.change_password(index, password, now);
        }
    }

    /// Changes what the account is besides its password.
    pub fn set_state(&mut self, name: &str, state: AccountState) {
        if let Some(index) = self.find(name) {
            self.entries[index].state = state;
        }
    }

    /// Changes the lockout policy.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Answers the request in `frame`, which `peek` describes.
    pub fn handle(&mut self, session: &mut Session, frame: &[u8], peek: &Peek, now: Tick) -> Answer {
        self.log.received(peek.op);
        let tag = match peek.op {
            op::BIND_REQUEST => return self.bind(session, frame, peek, now),
            op::UNBIND_REQUEST | op::UNBIND_REQUEST_CONSTRUCTED => {
                return Answer { messages: Vec::new(), then: Then::Close };
            }
            op::ABANDON_REQUEST => return Answer::default(),
            op::SEARCH_REQUEST => op::SEARCH_RESULT_DONE,
            op::MODIFY_REQUEST => op::MODIFY_RESPONSE,
            op::ADD_REQUEST => op::ADD_RESPONSE,
            op::DELETE_REQUEST => op::DELETE_RESPONSE,
            op::MODIFY_DN_REQUEST => op::MODIFY_DN_RESPONSE,
            op::COMPARE_REQUEST => op::COMPARE_RESPONSE,
            op::EXTENDED_REQUEST => op::EXTENDED_RESPONSE,
            _ => return malformed(),
        };
        let reply = |code: u32, diagnostic: &str| {
            one(peek.message_id, &message::result(tag, code, b"", diagnostic.as_bytes(), b""))
        };
        let Ok(controls) = controls(frame, peek) else { return malformed() };
        if let Some(refusal) = self.refuse_controls(controls) {
            return reply(refusal.0, refusal.1);
        }
        if peek.op == op::EXTENDED_REQUEST {
            return self.extended(session, frame, peek, now);
        }
        if session.restricted && peek.op != op::MODIFY_REQUEST {
            return reply(result_code::INSUFFICIENT_ACCESS_RIGHTS, RESTRICTED);
        }
        let decoded = match element::check_depth(frame, MAX_DEPTH) {
            Ok(()) => rasn::ber::decode::<LdapMessage>(frame).map(|message| message.protocol_op).ok(),
            Err(_) => None,
        };
        match decoded {
            Some(ProtocolOp::SearchRequest(search)) => self.search(session, peek.message_id, &search),
            Some(ProtocolOp::CompareRequest(compare)) => {
                let (code, matched) = self.compare(session, &compare);
                one(peek.message_id, &message::result(tag, code, matched.as_bytes(), b"", b""))
            }
            Some(ProtocolOp::ModifyRequest(modify)) => {
                let (code, diagnostic) = self.modify(session, &modify, now);
                reply(code, diagnostic)
            }
            Some(_) => reply(code::UNWILLING_TO_PERFORM, "this directory adds, deletes and renames nothing"),
            None => reply(code::PROTOCOL_ERROR, "decoding error"),
        }
    }

    pub(super) fn refuse_controls(&self, controls: Controls<'_>) -> Option<(u32, &'static str)> {
        let known = |oid: &[u8]| self.policy.password_policy_control && oid == oid::PASSWORD_POLICY;
        if controls.iter().any(|control| control.critical && !known(control.oid)) {
            return Some((result_code::UNAVAILABLE_CRITICAL_EXTENSION, "critical extension is not recognized"));
        }
        if controls.iter().any(|control| known(control.oid) && control.value.is_some()) {
            return Some((code::PROTOCOL_ERROR, "passwordPolicyRequest control value not absent"));
        }
        None
    }

    fn extended(&mut self, session: &mut Session, frame: &[u8], peek: &Peek, now: Tick) -> Answer {
        let Ok(request) = extended::parse_request(frame, peek) else { return malformed() };
        let allowed = [oid::START_TLS, oid::PASSWORD_MODIFY];
        let mut then = Then::Nothing;
        let operation = if session.restricted && !allowed.contains(&request.oid) {
            message::extended(result_code::INSUFFICIENT_ACCESS_RIGHTS, RESTRICTED, None, None)
        } else if request.oid == oid::WHO_AM_I {
            let identity = session.identity.map_or_else(String::new, |index| format!("dn:{}", self.entries[index].dn));
            message::extended(code::SUCCESS, "", None, Some(identity.as_bytes()))
        } else if request.oid == oid::PASSWORD_MODIFY {
            let (code, diagnostic) = self.password_modify(session, request.value, now);
            message::extended(code, diagnostic, None, None)
        } else if request.oid == oid::START_TLS {
            match session.tls {
                Tls::Offered => {
                    then = Then::StartTls;
                    message::extended(code::SUCCESS, "", Some(oid::START_TLS), None)
                }
                Tls::Active => message::extended(code::OPERATIONS_ERROR, "TLS already started", None, None),
                Tls::Unavailable => {
                    message::extended(code::PROTOCOL_ERROR, "unsupported extended operation", None, None)
                }
            }
        } else {
            message::extended(code::PROTOCOL_ERROR, "unsupported extended operation", None, None)
        };
        Answer { messages: vec![message::message(peek.message_id, &operation, &[])], then }
    }
}

const RESTRICTED: &str = "Operations are restricted to bind/unbind/abandon/StartTLS/modify password";

pub(super) fn one(message_id: u32, operation: &[u8]) -> Answer {
    Answer { messages: vec![message::message(message_id, operation, &[])], then: Then::Nothing }
}

/// Notice of Disconnection with protocolError (RFC 4511 sections 4.4.1 and 5.3).
fn malformed() -> Answer {
    let operation = message::extended(code::PROTOCOL_ERROR, "decoding error", Some(oid::NOTICE_OF_DISCONNECTION), None);
    Answer { messages: vec![message::message(0, &operation, &[])], then: Then::Close }
}

fn controls<'a>(frame: &'a [u8], peek: &Peek) -> Result<Controls<'a>, ElementError> {
    let mut rest = frame.get(peek.op_offset..peek.total).ok_or(ElementError::Truncated)?;
    element::take(&mut rest)?;
    if rest.is_empty() {
        Ok(Controls::default())
    } else {
        Controls::parse(element::expect(&mut rest, CONTROLS_TAG)?.body)
    }
}
