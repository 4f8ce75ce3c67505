//! When a look that failed is repeated, and how its error is told.

use std::error::Error;
use std::time::Duration;

/// How long after an error. The API server may be busy, and others are waiting for it too.
pub const RETRIED_AFTER: Duration = Duration::from_secs(5);
/// An error with everything that caused it.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // Some errors repeat their source in their own words.
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}
