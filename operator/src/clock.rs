//! The one place where the operator reads the wall clock.

use k8s_openapi::jiff::Timestamp;

/// Reads the wall clock: statuses and certificates carry times.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// Now, in whole seconds as the API writes it.
    #[must_use]
    pub fn now(self) -> Timestamp {
        let now = Timestamp::now();
        Timestamp::from_second(now.as_second()).unwrap_or(now)
    }

    /// Now, in Unix time.
    #[must_use]
    pub fn unix_seconds(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a metric in seconds")]
        let seconds = Timestamp::now().as_second() as f64;
        seconds
    }
}
