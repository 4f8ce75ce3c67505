//! Whether an upstream is up. The rule is pure; the checker at the bottom is the shell around it.

use std::time::Duration;

use crate::clock::Tick;
use crate::config::HealthCheck;

/// While every check fails, one client in this time is let through to try for itself, so that a
/// recovery is noticed even between two checks.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// What is known of one upstream's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    up: bool,
    successes: u32,
    failures: u32,
    last_probe: Option<Tick>,
}

/// A change of mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// It answers again.
    Up,
    /// It does not answer any more.
    Down,
}

impl Default for Health {
    /// Up until shown otherwise, so that a start does not refuse the first clients.
    fn default() -> Self {
        Self { up: true, successes: 0, failures: 0, last_probe: None }
    }
}

impl Health {
    /// Whether it is believed to answer.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Records the outcome of a check or of a connection attempt made for a client.
    pub fn record(&mut self, success: bool, policy: &HealthCheck) -> Option<Transition> {
        if success {
            self.failures = 0;
            self.successes = self.successes.saturating_add(1);
            if !self.up && self.successes >= policy.success_threshold {
                self.up = true;
                return Some(Transition::Up);
            }
        } else {
            self.successes = 0;
            self.failures = self.failures.saturating_add(1);
            if self.up && self.failures >= policy.failure_threshold {
                self.up = false;
                return Some(Transition::Down);
            }
        }
        None
    }

    /// Whether a client may try this upstream although it is down: one per `PROBE_INTERVAL`.
    pub fn may_probe(&mut self, now: Tick) -> bool {
        let due = self.last_probe.is_none_or(|last| now.since(last) >= PROBE_INTERVAL);
        if due {
            self.last_probe = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_count_in_a_row() {
        let policy = HealthCheck::default();
        let mut health = Health::default();
        for success in [false, false, true, false, false] {
            assert_eq!(health.record(success, &policy), None);
        }
        assert_eq!(health.record(false, &policy), Some(Transition::Down));
        assert_eq!(health.record(true, &policy), None);
        assert_eq!(health.record(true, &policy), Some(Transition::Up));
    }

    #[test]
    fn one_client_a_second_probes_a_dead_upstream() {
        let mut health = Health::default();
        assert!(health.may_probe(Tick(5_000)));
        assert!(!health.may_probe(Tick(5_999)));
        assert!(health.may_probe(Tick(6_000)));
    }
}
