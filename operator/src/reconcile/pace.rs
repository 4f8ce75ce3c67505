//! When a BindProxy is looked at again. Changes of objects and pods bring a look by themselves; what only
//! the pods know (their configuration, upstreams and peers) has to be asked for.

use std::error::Error;
use std::time::Duration;

use crate::crd::BindProxyStatus;

/// After an error.
pub const AFTER_ERROR: Duration = Duration::from_secs(5);
/// While something is under way, or wrong in a way that pods can tell of.
const UNSETTLED: Duration = Duration::from_secs(3);
/// While a person has to do something about objects that are not watched.
const REFUSED: Duration = Duration::from_secs(15);

/// When to look again at a BindProxy with this status.
#[must_use]
pub fn next(status: &BindProxyStatus, resync: Duration) -> Duration {
    let is = |kind: &str, value: &str| {
        status.conditions.iter().any(|condition| condition.type_ == kind && condition.status == value)
    };
    if is("Accepted", "False") {
        return REFUSED.min(resync);
    }
    let settled = status.replicas == 0
        || (is("ConfigApplied", "True")
            && is("PeersConnected", "True")
            && is("Progressing", "False")
            && is("UpstreamsHealthy", "True"));
    if settled { resync } else { UNSETTLED.min(resync) }
}

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
