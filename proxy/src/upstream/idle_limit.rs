//! Learning after what idle time a server closes its connections. Pure.
//!
//! A server may close an idle connection in the moment in which a bind is written to it, and a
//! written bind is never repeated. So connections are given up before the server would.

use std::time::Duration;

/// Closes after less than this tell of a restart or a refusal, not of an idle timeout.
const SHORTEST_PLAUSIBLE: Duration = Duration::from_secs(2);
/// Two closes whose idle times differ by less than one part in this agree with each other.
const AGREEMENT: u32 = 5;

/// What one server has shown so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdleLimit {
    last: Option<Duration>,
    learned: Option<Duration>,
}

impl IdleLimit {
    /// The server closed a connection that had been idle for `idle`.
    ///
    /// One close proves nothing (a restart closes every connection at whatever age it has); two
    /// in a row at about the same age do.
    pub fn observe_close(&mut self, idle: Duration) {
        if idle < SHORTEST_PLAUSIBLE {
            return;
        }
        if let Some(last) = self.last
            && last.abs_diff(idle) <= last.max(idle) / AGREEMENT
        {
            let agreed = last.min(idle);
            self.learned = Some(self.learned.map_or(agreed, |learned| learned.min(agreed)));
        }
        self.last = Some(idle);
    }

    /// How long a connection may stay idle: four fifths of what was learned, at most `configured`.
    #[must_use]
    pub fn keep(&self, configured: Duration) -> Duration {
        self.learned.map_or(configured, |learned| configured.min(learned * 4 / 5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGURED: Duration = Duration::from_secs(600);

    #[test]
    fn two_agreeing_closes_teach_four_fifths() {
        let mut limit = IdleLimit::default();
        limit.observe_close(Duration::from_secs(60));
        assert_eq!(limit.keep(CONFIGURED), CONFIGURED);
        limit.observe_close(Duration::from_secs(61));
        assert_eq!(limit.keep(CONFIGURED), Duration::from_secs(48));
    }

    #[test]
    fn a_restart_teaches_nothing() {
        let mut limit = IdleLimit::default();
        for idle in [3, 40, 200, 7] {
            limit.observe_close(Duration::from_secs(idle));
        }
        limit.observe_close(Duration::from_millis(10));
        assert_eq!(limit.keep(CONFIGURED), CONFIGURED);
    }
}
