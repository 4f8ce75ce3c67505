//! How what two members know of a name becomes one, and which failures it makes worthless.

use crate::clock::Tick;

use super::fact::{NameFacts, Success};
use super::key::{Digest, NameKey};
use super::life::Past;

/// What becomes of a failure by what is known of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cover {
    /// Nothing: it counts.
    Open,
    /// It is believed no longer since this tick, but how often it came stays known.
    Ended(Tick),
    /// It is nothing: the name was purged.
    Purged,
    /// It is nothing: the password was right later.
    Right,
}

impl Success {
    pub(super) const NEVER: Self = Self { digest: Digest([0; 16]), at: Past::NEVER };

    fn order(&self) -> (Past, [u8; 16]) {
        (self.at, self.digest.0)
    }
}

impl NameFacts {
    pub(super) fn nothing(name: NameKey) -> Self {
        Self {
            name,
            successes: [Success::NEVER; 2],
            purged: Past::NEVER,
            last_good_ended: Past::NEVER,
            others_purged: Past::NEVER,
            others_except: Digest([0; 16]),
        }
    }

    /// Adds what another member knows of the same name.
    ///
    /// Nothing may be forgiven in one order of joining and not in another, so what there is no room
    /// to remember exactly is remembered as a purge: a third password that was right, and a purge
    /// of others than one password when a later one excepts another.
    pub(super) fn join(&mut self, other: &Self) {
        let Self { name: _, successes, purged, last_good_ended, others_purged, others_except } = other;
        self.purged = self.purged.max(*purged);
        self.last_good_ended = self.last_good_ended.max(*last_good_ended);
        self.join_others(*others_purged, *others_except);
        for success in successes {
            self.join_success(*success);
        }
    }

    pub(super) fn join_success(&mut self, new: Success) {
        if new.at == Past::NEVER {
            return;
        }
        let [first, second] = &mut self.successes;
        if first.digest == new.digest && first.at != Past::NEVER {
            first.at = first.at.max(new.at);
        } else if second.digest == new.digest && second.at != Past::NEVER {
            second.at = second.at.max(new.at);
        } else {
            let (kept, displaced) = if new.order() > second.order() { (new, *second) } else { (*second, new) };
            *second = kept;
            self.purged = self.purged.max(displaced.at);
        }
        if second.order() > first.order() {
            std::mem::swap(first, second);
        }
    }

    pub(super) fn join_others(&mut self, at: Past, except: Digest) {
        if at == Past::NEVER {
            return;
        }
        let ours = (self.others_purged, self.others_except);
        let ((at, except), (earlier, other)) =
            if (at, except.0) > (ours.0, ours.1.0) { ((at, except), ours) } else { (ours, (at, except)) };
        if except != other {
            self.purged = self.purged.max(earlier);
        }
        (self.others_purged, self.others_except) = (at, except);
    }

    /// What becomes of a failure of `digest` whose attempt began at `sent`.
    pub(super) fn cover(&self, digest: &Digest, sent: Tick) -> Cover {
        if self.purged.covers(sent) {
            return Cover::Purged;
        }
        if self.successes.iter().any(|success| success.digest == *digest && success.at.covers(sent)) {
            return Cover::Right;
        }
        match self.others_purged.tick() {
            Some(tick) if sent <= tick && *digest != self.others_except => Cover::Ended(tick),
            _ => Cover::Open,
        }
    }

    /// The last tick at which anything happened.
    pub(super) fn touched(&self) -> Past {
        let Self { name: _, successes, purged, last_good_ended, others_purged, others_except: _ } = self;
        // The later success comes first.
        successes[0].at.max(*purged).max(*last_good_ended).max(*others_purged)
    }
}
