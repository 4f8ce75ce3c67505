//! What the directory received: every bind with its result, and counters. Never a password.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::entry::fold_name;
use crate::clock::Tick;
use crate::codec::code;

/// Which password a bind carried, without saying it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum PasswordKind {
    /// None at all.
    Empty,
    /// The present one of the account.
    Right,
    /// The account's former password with this index, 0 the oldest.
    Former(usize),
    /// Another one: a keyed hash that is good for telling two apart within this process, and for
    /// nothing else.
    Other(u64),
    /// The bind was SASL, or unreadable.
    NotSimple,
}

impl fmt::Debug for PasswordKind {
    /// The hash stays out of every print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Right => f.write_str("Right"),
            Self::Former(index) => write!(f, "Former({index})"),
            Self::Other(_) => f.write_str("Other"),
            Self::NotSimple => f.write_str("NotSimple"),
        }
    }
}

/// One bind that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindRecord {
    /// When.
    pub at: Tick,
    /// The number of the connection, counted from 1 over all listeners.
    pub connection: u64,
    /// The name as it was sent.
    pub name: String,
    /// Which password it was.
    pub password: PasswordKind,
    /// Whether the request carried the password policy control.
    pub asked_password_policy: bool,
    /// The result code; `None` when a script kept the directory from looking at the bind.
    pub code: Option<u32>,
}

/// How many binds are remembered one by one; the counters go on.
const RECORDS: usize = 65_536;

/// The log.
#[derive(Debug, Default)]
pub struct Log {
    records: VecDeque<BindRecord>,
    names: BTreeMap<String, Counts>,
    total: u64,
    connections: u64,
    requests: BTreeMap<u8, u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    binds: u64,
    failures: u64,
}

impl Log {
    pub(crate) fn connected(&mut self) -> u64 {
        self.connections += 1;
        self.connections
    }

    pub(crate) fn received(&mut self, operation: u8) {
        *self.requests.entry(operation).or_default() += 1;
    }

    pub(crate) fn bound(&mut self, record: BindRecord) {
        self.total += 1;
        let counts = self.names.entry(fold_name(&record.name)).or_default();
        counts.binds += 1;
        counts.failures +=
            u64::from(record.code.is_some_and(|code| !matches!(code, code::SUCCESS | code::SASL_BIND_IN_PROGRESS)));
        if self.records.len() == RECORDS {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }

    /// The last 65,536 binds, oldest first.
    #[must_use]
    pub fn records(&self) -> Vec<BindRecord> {
        self.records.iter().cloned().collect()
    }

    /// Every bind with this name, in any spelling and with any result.
    #[must_use]
    pub fn binds(&self, name: &str) -> u64 {
        self.names.get(&fold_name(name)).map_or(0, |counts| counts.binds)
    }

    /// Every bind with this name that did not succeed, those during a lock included.
    #[must_use]
    pub fn failures(&self, name: &str) -> u64 {
        self.names.get(&fold_name(name)).map_or(0, |counts| counts.failures)
    }

    /// Every bind, anonymous ones included.
    #[must_use]
    pub fn total_binds(&self) -> u64 {
        self.total
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections
    }

    /// Requests received with this operation tag ([`crate::codec::op`]).
    #[must_use]
    pub fn requests(&self, operation: u8) -> u64 {
        self.requests.get(&operation).copied().unwrap_or_default()
    }
}
