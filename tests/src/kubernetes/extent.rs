//! How much of a test runs: the core set, which has to fit into every change's checks, or all of it
//! (`BINDPROXY_E2E_FULL=1`, `make e2e-full`).

use std::time::Duration;

/// Whether everything is wanted, however long it takes.
#[must_use]
pub fn full() -> bool {
    std::env::var("BINDPROXY_E2E_FULL").is_ok_and(|full| full == "1")
}

/// How long something lasts in the core set and in full.
#[must_use]
pub fn lasting(core: Duration, all: Duration) -> Duration {
    if full() { all } else { core }
}

/// Whether a test that takes too long for the core set runs. Says so when it does not.
#[must_use]
pub fn full_or_skip(test: &str) -> bool {
    if !full() {
        println!("{test} is left out: it takes minutes, and runs with BINDPROXY_E2E_FULL=1");
    }
    full()
}
