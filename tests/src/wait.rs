//! Waiting on conditions. No suite sleeps for luck: it waits until something is so, or fails
//! saying what did not come about.

use std::time::{Duration, Instant};

/// Polls `condition` until it yields a value.
///
/// Panics after `limit`, naming `what` was waited for.
#[expect(clippy::disallowed_methods, reason = "tests measure real time against real servers")]
pub fn until<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for {what}");
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// Polls `condition` until it holds; see [`until`].
pub fn until_true(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    until(what, limit, || condition().then_some(()));
}

/// Measures how long something takes.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "tests measure real time against real servers")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Prints `what` with the time it took.
    pub fn report(&self, what: &str) {
        println!("{what}: {:.2} s", self.elapsed().as_secs_f64());
    }
}
