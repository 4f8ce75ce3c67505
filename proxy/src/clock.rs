//! Time as a value. Pure code takes a [`Tick`]; only the shell reads a [`Clock`].

use std::time::{Duration, Instant};

/// A point on this process's monotonic clock, in milliseconds since the clock's origin.
///
/// What the bind guard decides by is such a tick too, on the clock that the members of a cluster share
/// (`crate::cluster::clock`). Lives travel as what remains of them, so a skewed clock cannot lengthen a refusal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

impl Tick {
    /// The tick `duration` later; saturates instead of wrapping.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// How long ago `earlier` was; zero when it lies in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// How long until `later`; zero when it has passed.
    #[must_use]
    pub fn until(self, later: Self) -> Duration {
        later.since(self)
    }
}

/// The one place of the process that reads the monotonic clock for [`Tick`]s.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose tick zero is one hour before now, so that "an hour ago" never underflows.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the shell's clock is read here and nowhere else")]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// The present, for measuring.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the shell's clock is read here and nowhere else")]
    pub fn precise(&self) -> Precise {
        Precise(Instant::now())
    }

    /// The tick of a precise point in time.
    #[must_use]
    pub fn tick_of(&self, Precise(instant): Precise) -> Tick {
        Tick(millis(instant.duration_since(self.origin)) + ORIGIN_OFFSET_MS)
    }

    /// The present tick.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.tick_of(self.precise())
    }
}

/// A point in time fine enough to measure how long an answer took; nothing is decided by it.
#[derive(Clone, Copy, Debug)]
pub struct Precise(Instant);

impl Precise {
    /// How long ago that was.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Ticks start here, so that subtracting a configured life from an early tick stays positive.
const ORIGIN_OFFSET_MS: u64 = 3_600_000;

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
