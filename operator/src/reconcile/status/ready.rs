//! `Ready`: the summary of `Accepted`, `Available` and `ConfigApplied`.
//!
//! It begins to hold only when the pods know each other, because from then on one wrong password is asked for
//! once and not once by each pod. Later a lost peer does not end it.
//!
//! Directory servers and peers are not in it: a proxy whose directory is down goes on answering from what
//! it remembers, and taking it out of service would only make that worse.
//!
//! A paused BindProxy keeps the truth: it is ready while its pods serve what the spec asks for, and it is not
//! once the spec asks for something else, which nobody applies. The reason is `Paused` in both cases, so that
//! the first look shows it.

use super::judgement::{Judgement, Truth};
use super::{accepted, available, config_applied, peers_connected};
use crate::crd::BindProxySpec;

/// Why `Ready` says what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The spec is usable, pods serve, and all of them run with it.
    Ready,
    /// The spec is not usable; see `Accepted`. What ran keeps running.
    NotAccepted,
    /// No pod is ready, or more than one is missing, see `Available`; or they have not met yet, see `PeersConnected`.
    PodsNotReady,
    /// Not every pod runs with the configuration; see `ConfigApplied`.
    ConfigPending,
    /// `spec.paused` is true. `Ready` is still true if the pods serve what the spec asks for.
    Paused,
    /// `spec.replicas` is 0.
    ScaledToZero,
}

impl Reason {
    /// As the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::NotAccepted => "NotAccepted",
            Self::PodsNotReady => "PodsNotReady",
            Self::ConfigPending => "ConfigPending",
            Self::Paused => "Paused",
            Self::ScaledToZero => "ScaledToZero",
        }
    }
}

/// Sums up what the others say.
#[must_use]
pub fn judge(
    spec: &BindProxySpec,
    accepted: &Judgement<accepted::Reason>,
    available: &Judgement<available::Reason>,
    config_applied: &Judgement<config_applied::Reason>,
    peers_connected: &Judgement<peers_connected::Reason>,
    was_ready: bool,
) -> Judgement<Reason> {
    let summary = if accepted.truth != Truth::True {
        Judgement::fails(Reason::NotAccepted, accepted.message.clone())
    } else if available.reason == available::Reason::ScaledToZero || (spec.replicas == 0 && !spec.paused) {
        Judgement::fails(Reason::ScaledToZero, "spec.replicas is 0")
    } else if available.truth != Truth::True {
        Judgement::fails(Reason::PodsNotReady, available.message.clone())
    } else if config_applied.truth != Truth::True {
        Judgement::fails(Reason::ConfigPending, config_applied.message.clone())
    } else if !was_ready && peers_connected.truth == Truth::False {
        Judgement::fails(
            Reason::PodsNotReady,
            format!("the pods do not all know each other yet: {}", peers_connected.message),
        )
    } else {
        Judgement::holds(Reason::Ready, format!("{}; {}", available.message, config_applied.message))
    };
    if !spec.paused {
        return summary;
    }
    let message = format!("spec.paused is true, so nothing is applied; {}", summary.message);
    Judgement { message, reason: Reason::Paused, ..summary }
}
