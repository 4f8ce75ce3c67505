//! Carrying out what the bind core decided: metrics and the log today, peers once there are any.

use std::sync::Arc;

use crate::bind::{Effect, PurgeCause, ShortHash};
use crate::core::Shared;
use crate::metrics::Removal;

/// Carries out what the bind core decided. Peers of a cluster are told here too, once there are any.
pub fn perform(shared: &Arc<Shared>, effects: &[Effect]) {
    let cache = shared.metrics.cache();
    for effect in effects {
        match effect {
            Effect::Learned { name, life, level, .. } => {
                cache.inserted.inc();
                tracing::debug!(name = %ShortHash(name.short()), life_seconds = life.as_secs(), level, "failed bind recorded");
            }
            Effect::NotRecorded { name, reason } => {
                tracing::debug!(name = %ShortHash(name.short()), ?reason, "failed bind not recorded");
            }
            Effect::Succeeded { removed, .. } | Effect::PasswordWasRight { removed, .. } => {
                cache.removed(Removal::SuccessSeen, u64::from(*removed));
            }
            Effect::LastGoodEnded { name } => {
                tracing::debug!(name = %ShortHash(name.short()), "the last good password is one no longer");
            }
            Effect::Purged { name, removed, cause, .. } => {
                let reason = match cause {
                    PurgeCause::PasswordChanged | PurgeCause::LastGoodFailed => Removal::PasswordChanged,
                    PurgeCause::Flush => Removal::Flushed,
                };
                cache.removed(reason, *removed as u64);
                let name = name.map(|name| ShortHash(name.short()).to_string());
                tracing::debug!(name, ?cause, removed, "failed binds purged");
            }
        }
    }
}
