//! What the process says about itself: alive, started, ready, draining, and which configuration
//! serves. No upstream's state gets in here: with every directory down the proxy still answers
//! from memory and must stay in its Service.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::clock::Tick;

/// An event loop that has not turned for so long is taken for stuck.
pub const STALLED_AFTER: Duration = Duration::from_secs(10);

/// How often an event loop should call [`Heartbeat::beat`].
pub const BEAT_INTERVAL: Duration = Duration::from_secs(1);

/// The sign of life of one event loop.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    last: Arc<AtomicU64>,
}

impl Heartbeat {
    /// Says that the loop turned at `now`.
    pub fn beat(&self, now: Tick) {
        self.last.store(now.0, Ordering::Relaxed);
    }
}

/// What `/configz` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigState {
    /// The hash of the configuration that serves.
    pub hash: String,
    /// When it was loaded (RFC 3339, UTC).
    pub loaded_at: String,
    /// Why a later one was refused, if one was.
    pub error: Option<String>,
}

/// Shared by everything that has something to say about the process.
#[derive(Debug)]
pub struct Status {
    started: Tick,
    listening: AtomicBool,
    draining: AtomicBool,
    loops: Mutex<Vec<(String, Heartbeat)>>,
    config: ArcSwap<ConfigState>,
}

impl Status {
    /// A process that began at `started` and does not listen yet.
    #[must_use]
    pub fn new(started: Tick) -> Self {
        Self {
            started,
            listening: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            loops: Mutex::default(),
            config: ArcSwap::default(),
        }
    }

    /// Adds an event loop, as if it had turned at `now`.
    #[must_use]
    pub fn heartbeat(&self, name: &str, now: Tick) -> Heartbeat {
        let heartbeat = Heartbeat { last: Arc::new(AtomicU64::new(now.0)) };
        self.loops.lock().push((name.to_owned(), heartbeat.clone()));
        heartbeat
    }

    /// Event loops that have not turned within [`STALLED_AFTER`], with their age.
    #[must_use]
    pub fn stalled(&self, now: Tick) -> Vec<(String, Duration)> {
        let age = |heartbeat: &Heartbeat| now.since(Tick(heartbeat.last.load(Ordering::Relaxed)));
        let loops = self.loops.lock();
        loops
            .iter()
            .filter(|(_, heartbeat)| age(heartbeat) > STALLED_AFTER)
            .map(|(name, heartbeat)| (name.clone(), age(heartbeat)))
            .collect()
    }

    /// Says that every listener is open (and, in a cluster, joined).
    pub fn set_listening(&self) {
        self.listening.store(true, Ordering::Release);
    }

    /// Says that the process shuts down; there is no way back.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether every listener is or was open.
    #[must_use]
    pub fn started(&self) -> bool {
        self.listening.load(Ordering::Acquire)
    }

    /// Whether the process shuts down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Whether new clients are welcome.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.started() && !self.is_draining()
    }

    /// How long the process has been up.
    #[must_use]
    pub fn uptime(&self, now: Tick) -> Duration {
        now.since(self.started)
    }

    /// Says which configuration serves from now on; an earlier refusal is forgotten.
    pub fn set_config(&self, hash: &str, loaded_at_unix: i64) {
        let state = ConfigState { hash: hash.to_owned(), loaded_at: rfc3339(loaded_at_unix), error: None };
        self.config.store(Arc::new(state));
    }

    /// Says why a configuration was refused; the one before it keeps serving. The text is shown to
    /// whoever may read `/configz`, so it must hold no secret.
    pub fn set_config_error(&self, error: &str) {
        self.config.rcu(|state| ConfigState { error: Some(error.to_owned()), ..ConfigState::clone(state) });
    }

    /// Which configuration serves.
    #[must_use]
    pub fn config(&self) -> Arc<ConfigState> {
        self.config.load_full()
    }
}

/// Seconds since 1970 as a date and time in UTC (RFC 3339 section 5.6).
#[must_use]
pub fn rfc3339(unix_seconds: i64) -> String {
    let (days, second) = (unix_seconds.div_euclid(86_400), unix_seconds.rem_euclid(86_400));
    let (year, month, day) = civil_date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a count of days since 1970-01-01, in the Gregorian calendar. Years are
/// counted from March, so that the leap day is the last of its year.
fn civil_date(days: i64) -> (i64, i64, i64) {
    const DAYS_TO_1970: i64 = 719_468;
    const DAYS_IN_400_YEARS: i64 = 146_097;
    let days = days + DAYS_TO_1970;
    let (era, day_of_era) = (days.div_euclid(DAYS_IN_400_YEARS), days.rem_euclid(DAYS_IN_400_YEARS));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_listening_and_not_draining() {
        let status = Status::new(Tick(0));
        assert!(!status.ready() && !status.started());
        status.set_listening();
        assert!(status.ready() && status.started());
        status.set_draining();
        assert!(!status.ready() && status.started() && status.is_draining());
    }

    #[test]
    fn a_loop_that_stops_turning_is_named() {
        let status = Status::new(Tick(0));
        let first = status.heartbeat("core-0", Tick(0));
        let _second = status.heartbeat("core-1", Tick(0));
        first.beat(Tick(9_000));
        assert_eq!(status.stalled(Tick(10_000)), []);
        assert_eq!(status.stalled(Tick(10_001)), [("core-1".to_owned(), Duration::from_millis(10_001))]);
        assert_eq!(status.stalled(Tick(19_001)).len(), 2);
    }

    #[test]
    fn a_refused_configuration_leaves_the_hash_of_the_one_that_serves() {
        let status = Status::new(Tick(0));
        status.set_config("abc", 0);
        status.set_config_error("upstreams[0].host: missing");
        let state = status.config();
        assert_eq!((state.hash.as_str(), state.loaded_at.as_str()), ("abc", "1970-01-01T00:00:00Z"));
        assert_eq!(state.error.as_deref(), Some("upstreams[0].host: missing"));
        status.set_config("def", 1);
        assert_eq!(status.config().error, None);
    }

    #[test]
    fn dates_agree_with_known_ones() {
        let known = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_795_269_538, "2026-11-21T13:58:58Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ];
        for (unix, text) in known {
            assert_eq!(rfc3339(unix), text);
        }
    }
}
