//! Carrying out what the bind core decided: metrics, the log, and the other members of the cluster.

use std::sync::Arc;

use crate::bind::{Effect, PurgeCause, ShortHash};
use crate::core::Shared;
use crate::metrics::Removal;

/// Where something was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In this process.
    Here,
    /// By another member, which has told everybody itself.
    Cluster,
}

/// Carries out what the bind core decided: counts it, logs it, and tells the other members.
pub fn perform(shared: &Arc<Shared>, effects: Vec<Effect>) {
    if effects.is_empty() {
        return;
    }
    show(shared, &effects, Origin::Here);
    if let Some(cluster) = shared.cluster.get() {
        cluster.publish(effects);
    }
}

/// Counts and logs what was learned or forgotten.
pub fn show(shared: &Arc<Shared>, effects: &[Effect], origin: Origin) {
    let cache = shared.metrics.cache();
    for effect in effects {
        match effect {
            Effect::Learned { name, life, level, .. } => {
                match origin {
                    Origin::Here => cache.inserted.inc(),
                    Origin::Cluster => cache.inserted_by_cluster.inc(),
                }
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
