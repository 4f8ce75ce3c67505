//! The time that the members of a cluster share, as far as this process knows it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::{Clock, Tick};

/// Cluster time counts from here: 2026-01-01T00:00:00Z, in seconds since 1970.
const EPOCH_UNIX_SECONDS: u64 = 1_767_225_600;

/// The process's monotonic clock and how far cluster time is ahead of it.
///
/// Whatever the bind guard sees is cluster time, so that ticks of different members may be
/// compared. Timers, heartbeats and pools keep to the process's own clock, which nobody sets.
#[derive(Debug)]
pub struct ClusterClock {
    clock: Clock,
    /// Added with wrapping, so that it may stand for a negative number.
    ahead: AtomicU64,
}

impl ClusterClock {
    /// The clock of a process that is in no cluster: cluster time is the process's own.
    #[must_use]
    pub fn alone(clock: Clock) -> Self {
        Self { clock, ahead: AtomicU64::new(0) }
    }

    /// A clock that is seeded by the wall clock. Only the first member of a cluster keeps that
    /// time; whoever joins takes over the time of those who are there.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the seed of cluster time; from then on it only follows the members")]
    pub fn seeded(clock: Clock) -> Self {
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(unix.as_millis()).unwrap_or(u64::MAX);
        let seeded = Self::alone(clock);
        seeded.set(Tick(millis.saturating_sub(EPOCH_UNIX_SECONDS * 1_000)));
        seeded
    }

    /// The present cluster time.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.of(self.clock.now())
    }

    /// What cluster time was, or is, at a tick of the process's clock.
    #[inline]
    #[must_use]
    pub fn of(&self, process: Tick) -> Tick {
        Tick(process.0.wrapping_add(self.ahead.load(Ordering::Relaxed)))
    }

    /// Makes cluster time `now` at this moment.
    pub fn set(&self, now: Tick) {
        self.ahead.store(now.0.wrapping_sub(self.clock.now().0), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alone_it_is_the_clock_of_the_process() {
        let clock = Clock::start();
        assert_eq!(ClusterClock::alone(clock).of(Tick(77)), Tick(77));
    }

    #[test]
    fn it_can_be_set_forwards_and_backwards_and_runs_on() {
        let clock = Clock::start();
        let cluster = ClusterClock::seeded(clock);
        assert!(cluster.now().0 > clock.now().0, "the seed counts from 2026");
        for wanted in [5_u64, 1 << 40, 1_000] {
            cluster.set(Tick(wanted));
            let now = cluster.now().0;
            assert!((wanted..wanted + 5_000).contains(&now), "{now}");
        }
    }
}
