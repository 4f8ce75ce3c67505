//! How long a failure is believed.

use std::time::Duration;

use crate::clock::Tick;

/// The lives that the configuration asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lives {
    /// First life of an entry.
    pub(super) ttl: Duration,
    /// Ceiling of the doubling, and how long the level of an expired entry is remembered.
    pub(super) max_ttl: Duration,
    /// Life after the last good password failed once.
    pub(super) first_ttl: Duration,
}

impl Lives {
    /// The life of an entry whose digest failed `level` times: `ttl`, twice that, and so on up to
    /// `max_ttl`. Level 0 is the first failure of a digest that was the last good one.
    ///
    /// Steady repetition costs a logarithmic number of attempts before the ceiling, which is the
    /// only fixed answer to a directory whose failure counter never resets.
    pub(super) fn of_level(&self, level: u8) -> Duration {
        match level {
            0 => self.first_ttl,
            n => self.ttl.saturating_mul(1_u32.checked_shl(u32::from(n) - 1).unwrap_or(u32::MAX)).min(self.max_ttl),
        }
    }
}

/// The tick of something that happened, or never did.
///
/// Kept as the tick plus one with zero for "never": half the size of an `Option`, of which the
/// store holds millions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Past(u64);

impl Past {
    /// It never happened.
    pub const NEVER: Self = Self(0);

    /// It happened at `tick`.
    #[must_use]
    pub fn at(tick: Tick) -> Self {
        Self(tick.0.saturating_add(1))
    }

    /// It happened just before `tick`, so it does not cover what is sent then.
    pub(super) fn before(tick: Tick) -> Self {
        Self(tick.0)
    }

    pub(super) fn bits(self) -> u64 {
        self.0
    }

    /// When, if ever.
    #[must_use]
    pub fn tick(self) -> Option<Tick> {
        self.0.checked_sub(1).map(Tick)
    }

    /// Whether an attempt that was sent at `sent` cannot have known of this: it was sent before,
    /// or within the same tick.
    pub(super) fn covers(self, sent: Tick) -> bool {
        sent.0 < self.0
    }

    /// Whether this happened within `life` before `now`.
    pub(super) fn within(self, life: Duration, now: Tick) -> bool {
        self.tick().is_some_and(|tick| now < tick.after(life))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_double_up_to_the_ceiling() {
        let lives = Lives {
            ttl: Duration::from_secs(900),
            max_ttl: Duration::from_secs(86_400),
            first_ttl: Duration::from_secs(10),
        };
        let seconds: Vec<u64> = (0..=9).map(|level| lives.of_level(level).as_secs()).collect();
        assert_eq!(seconds, [10, 900, 1800, 3600, 7200, 14_400, 28_800, 57_600, 86_400, 86_400]);
        assert_eq!(lives.of_level(u8::MAX).as_secs(), 86_400);
    }

    #[test]
    fn the_past_covers_what_was_sent_before_it() {
        assert!(!Past::NEVER.covers(Tick(0)));
        assert!(Past::at(Tick(0)).covers(Tick(0)));
        assert!(Past::at(Tick(5)).covers(Tick(5)) && !Past::at(Tick(5)).covers(Tick(6)));
        assert!(Past::at(Tick(5)) > Past::NEVER);
        assert_eq!((Past::at(Tick(5)).tick(), Past::NEVER.tick()), (Some(Tick(5)), None));
        let life = Duration::from_millis(10);
        assert!(Past::at(Tick(5)).within(life, Tick(14)) && !Past::at(Tick(5)).within(life, Tick(15)));
    }
}
