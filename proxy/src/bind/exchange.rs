//! What the guard tells peers and hears from them.

use crate::clock::Tick;

use super::effect::Effect;
use super::fact::{Fact, FailureFact, NameFacts};
use super::flight::{Conclusion, Lease};
use super::guard::{Guard, Settled};
use super::key::{Credential, Digest, NameKey};
use super::life::Past;
use super::tree::Tree;

/// What merging a fact did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Whether anything is known now that was not before.
    pub changed: bool,
    /// What changed, for metrics and the log.
    pub effects: Vec<Effect>,
    /// What is known here that forgives or supersedes it: whoever told it does not know.
    pub newer: Option<Fact>,
}

/// A part of everything that a guard knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Export {
    /// Failures, dormant ones too, and what is known of names.
    pub facts: Vec<Fact>,
    /// Where to go on; `None` at the end.
    pub next: Option<u64>,
}

impl<W> Guard<W> {
    /// Learns what another member knows. The same fact a second time changes nothing, and the order
    /// of facts does not matter.
    #[must_use]
    pub fn merge(&self, fact: &Fact, now: Tick) -> Merged {
        let _ = (fact, now);
        Merged::default()
    }

    /// All that is known of a name besides its failures, for peers.
    #[must_use]
    pub fn name_facts(&self, name: &NameKey) -> Option<NameFacts> {
        let _ = name;
        None
    }

    /// What is known of a failed bind; `None` for one that is too old to count.
    #[must_use]
    pub fn failure(&self, name: &NameKey, digest: &Digest, now: Tick) -> Option<FailureFact> {
        let _ = (name, digest, now);
        None
    }

    /// When everything was flushed last.
    #[must_use]
    pub fn flushed_all(&self) -> Past {
        Past::NEVER
    }

    /// Lets go those who wait for an attempt that another member made. What is to be learned of it
    /// comes by [`Self::merge`].
    pub fn conclude(&self, lease: Lease, conclusion: Conclusion, now: Tick) -> Settled<W> {
        let _ = (lease, conclusion, now);
        Settled { class: None, released: Vec::new(), effects: Vec::new() }
    }

    /// Whether this is the last good password of its name.
    #[must_use]
    pub fn is_last_good(&self, credential: &Credential) -> bool {
        let _ = credential;
        false
    }

    /// About `limit` facts from a cursor on; 0 is the start.
    #[must_use]
    pub fn export(&self, cursor: u64, limit: usize, now: Tick) -> Export {
        let _ = (cursor, limit, now);
        Export::default()
    }

    /// The sums of all that began up to `cut` and does not end soon.
    #[must_use]
    pub fn tree(&self, cut: Tick, now: Tick) -> Tree {
        let _ = (cut, now);
        Tree::new()
    }

    /// Everything that [`Self::tree`] sums on these leaves, with its fingerprint.
    #[must_use]
    pub fn on_leaves(&self, leaves: &[u16], cut: Tick, now: Tick) -> Vec<(u16, u64, Fact)> {
        let _ = (leaves, cut, now);
        Vec::new()
    }

    /// The cluster clock was set to `now` from far away, so what is stored says nothing about when:
    /// failures are dropped, purges count as made now. Returns how many failures lived.
    pub fn leap(&self, now: Tick) -> usize {
        let _ = now;
        0
    }
}
