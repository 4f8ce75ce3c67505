//! What the guard did, as values, for metrics, logs and peers.

use std::sync::Arc;
use std::time::Duration;

use super::fact::Stamp;
use super::key::{Digest, NameKey};
use super::verdict::Verdict;

/// One thing that [`super::Guard`] learned or forgot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A failure was recorded.
    Learned {
        /// Whose.
        name: NameKey,
        /// Of which password.
        digest: Digest,
        /// When the attempt began.
        stamp: Stamp,
        /// What it is answered with.
        verdict: Arc<Verdict>,
        /// How long from now on.
        life: Duration,
        /// Which failure of this digest in a row it is; 0 when it was the last good one before.
        level: u8,
    },
    /// A failure that says "wrong password" was not recorded.
    NotRecorded {
        /// Whose.
        name: NameKey,
        /// Why.
        reason: NotRecorded,
    },
    /// A bind succeeded: the digest is the last good one, its failure is forgotten everywhere.
    Succeeded {
        /// Whose.
        name: NameKey,
        /// Of which password.
        digest: Digest,
        /// Whether a failure was stored.
        removed: bool,
        /// Whether peers must hear of it: not if they know already that this is the last good password.
        told: bool,
        /// How long the fact must be remembered.
        life: Duration,
    },
    /// The password was right though the bind failed: its failure is forgotten everywhere.
    PasswordWasRight {
        /// Whose.
        name: NameKey,
        /// Of which password.
        digest: Digest,
        /// Whether a failure was stored.
        removed: bool,
        /// Whether peers must hear of it: not if they know already that this is the last good password.
        told: bool,
        /// How long the fact must be remembered.
        life: Duration,
    },
    /// The last good password failed, so there is none any more.
    LastGoodEnded {
        /// Whose.
        name: NameKey,
    },
    /// Failures were purged.
    Purged {
        /// Of this name, or of all.
        name: Option<NameKey>,
        /// But not of this password.
        except: Option<Digest>,
        /// Why.
        cause: PurgeCause,
        /// How many were stored here.
        removed: usize,
        /// How long the fact must be remembered.
        life: Duration,
    },
}

impl Effect {
    /// The name of which peers must hear [`super::Guard::name_facts`] because of this.
    #[must_use]
    pub fn name_to_tell(&self) -> Option<NameKey> {
        match self {
            Self::Succeeded { name, told: true, .. }
            | Self::PasswordWasRight { name, told: true, .. }
            | Self::LastGoodEnded { name } => Some(*name),
            Self::Purged { name, .. } => *name,
            Self::Learned { .. }
            | Self::NotRecorded { .. }
            | Self::Succeeded { told: false, .. }
            | Self::PasswordWasRight { told: false, .. } => None,
        }
    }
}

/// Why a failure that says "wrong password" was not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRecorded {
    /// The attempt was sent before a purge, or before a success with the same password.
    Late,
    /// The answer is longer than what is kept.
    TooLarge,
    /// Too many different answers are kept already.
    TooManyVerdicts,
    /// The store has no room at all (`maxEntries` is 0).
    NoCapacity,
}

/// Why failures were purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgeCause {
    /// A password change, or the end of a lock, passed through.
    PasswordChanged,
    /// The last good password failed, so the right one may be among those cached as wrong.
    LastGoodFailed,
    /// Somebody asked for it.
    Flush,
}
