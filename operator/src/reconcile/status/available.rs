//! `Available`: whether pods serve.
//!
//! Two or more replicas promise that one may be missing, so it holds from all but one of them on.

use super::judgement::Judgement;
use super::situation::Situation;

/// Why `Available` says what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// At least one pod is ready, and not more than one is missing.
    PodsReady,
    /// No pod is ready, or more than one is missing. The message names what keeps the first of them.
    PodsNotReady,
    /// `spec.replicas` is 0.
    ScaledToZero,
    /// There is no StatefulSet: the spec was never accepted, or was not applied yet.
    NothingApplied,
}

impl Reason {
    /// As the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PodsReady => "PodsReady",
            Self::PodsNotReady => "PodsNotReady",
            Self::ScaledToZero => "ScaledToZero",
            Self::NothingApplied => "NothingApplied",
        }
    }
}

/// Says whether pods serve.
#[must_use]
pub fn judge(situation: &Situation<'_>) -> Judgement<Reason> {
    if situation.observation.stateful_set.is_none() {
        return Judgement::fails(Reason::NothingApplied, "there is no StatefulSet yet");
    }
    let wanted = situation.applied_replicas();
    if wanted == 0 {
        return Judgement::fails(Reason::ScaledToZero, "spec.replicas is 0");
    }
    let ready = situation.ready().count();
    let mut message = format!("{ready} of {wanted} pods are ready");
    if let Some(trouble) = situation.first_trouble() {
        message = format!("{message}; {trouble}");
    }
    if ready >= 1.max(wanted - 1) {
        Judgement::holds(Reason::PodsReady, message)
    } else {
        Judgement::fails(Reason::PodsNotReady, message)
    }
}
