//! What is known about one name, for people; never anything from which a password can be tested.

use std::time::Duration;

use super::key::{Digest, NameKey};

/// Which name to explain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameQuery<'a> {
    /// The name as a client presents it.
    Name(&'a [u8]),
    /// Its keys, where only those are known: another member asks.
    Keys(&'a [NameKey]),
    /// Its short form, as logs show it.
    Short(u32),
}

/// What is known about one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The name's key.
    pub name: NameKey,
    /// Its failed binds, dormant ones too.
    pub entries: Vec<EntryExplanation>,
    /// How long ago the last good password succeeded, if one is known that did not fail since.
    pub last_good: Option<Duration>,
    /// Attempts on their way to a directory.
    pub in_flight: usize,
}

impl Explanation {
    pub(super) fn is_empty(&self) -> bool {
        let Self { name: _, entries, last_good, in_flight } = self;
        entries.is_empty() && last_good.is_none() && *in_flight == 0
    }

    /// With what is known of the same name under the previous key.
    pub(super) fn merged(mut self, older: Self) -> Self {
        let Self { name: _, entries, last_good, in_flight } = older;
        self.entries.extend(entries);
        self.last_good = self.last_good.or(last_good);
        self.in_flight += in_flight;
        self
    }
}

/// One failed bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryExplanation {
    /// Of which password: tells members' views of one failure from those of another, and is shown to nobody.
    pub digest: Digest,
    /// Since the failure was recorded, to within 256 ms.
    pub age: Duration,
    /// How long it will be answered from the store; zero when it is dormant.
    pub remaining: Duration,
    /// Which failure of this password in a row it is; 0 when it was the last good one before.
    pub level: u8,
    /// How many binds it has answered.
    pub hits: u32,
    /// Since it last answered one, to within 256 ms.
    pub last_hit: Option<Duration>,
    /// The result code it is answered with.
    pub code: u32,
    /// The diagnostic message it is answered with; octets that are no UTF-8 are replaced.
    pub diagnostic: String,
}
