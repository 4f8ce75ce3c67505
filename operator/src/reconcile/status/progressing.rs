//! `Progressing`: whether a rollout or a scaling is under way.
//!
//! It begins when the StatefulSet changes and ends when every pod is there, new and ready. A pod that
//! was deleted or restarts in between comes back by itself and is no progress.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::judgement::{Judgement, Truth};
use super::situation::Situation;
use crate::reconcile::observation::PodObservation;
use crate::reconcile::outcome::ConditionType;

/// How long a rollout or a scaling may go on without a new pod.
pub const PROGRESS_DEADLINE: Duration = Duration::from_secs(600);

/// Why `Progressing` says what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing is under way.
    Complete,
    /// Pods are being replaced by pods of a newer revision.
    RollingUpdate,
    /// Pods are being added or removed.
    Scaling,
    /// For ten minutes no new pod was made, and those that are there do not all become ready. The message
    /// names what keeps the first of them.
    Stalled,
    /// `spec.rollout.type` is OnDelete, and pods of an older revision are there until somebody deletes them.
    WaitingForDelete,
    /// There is no StatefulSet: the spec was never accepted, or was not applied yet.
    NothingApplied,
}

impl Reason {
    /// As the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "Complete",
            Self::RollingUpdate => "RollingUpdate",
            Self::Scaling => "Scaling",
            Self::Stalled => "Stalled",
            Self::WaitingForDelete => "WaitingForDelete",
            Self::NothingApplied => "NothingApplied",
        }
    }

    /// Whether pods are still to come or to go.
    #[must_use]
    pub fn is_under_way(self) -> bool {
        match self {
            Self::RollingUpdate | Self::Scaling | Self::Stalled => true,
            Self::Complete | Self::WaitingForDelete | Self::NothingApplied => false,
        }
    }
}

/// Says whether a rollout or a scaling is under way.
#[must_use]
pub fn judge(situation: &Situation<'_>) -> Judgement<Reason> {
    if situation.observation.stateful_set.is_none() {
        return Judgement::unknown(Reason::NothingApplied, "there is no StatefulSet yet");
    }
    let begins = situation.is_unseen() || situation.is_rolling() || has_surplus(situation);
    if is_settled(situation) || !(begins || was_under_way(situation)) {
        return at_rest(situation);
    }
    let last = last_progress(situation);
    let deadline = last.and_then(|last| last.checked_add(PROGRESS_DEADLINE).ok());
    let counts = counts(situation);
    if deadline.is_some_and(|deadline| situation.now < deadline) {
        return Judgement::holds(kind(situation), counts);
    }
    let cause = situation.first_trouble().unwrap_or_else(|| "not every pod becomes ready".to_owned());
    Judgement::fails(Reason::Stalled, format!("no new pod for {} s; {counts}; {cause}", PROGRESS_DEADLINE.as_secs()))
}

fn at_rest(situation: &Situation<'_>) -> Judgement<Reason> {
    match situation.old_pods().count() {
        0 => Judgement::fails(Reason::Complete, "no rollout and no scaling is under way"),
        old => Judgement::fails(
            Reason::WaitingForDelete,
            format!("{old} pods are of an older revision; with rollout.type OnDelete they stay until they are deleted"),
        ),
    }
}

/// Whether every pod is there, new and ready, and none too many.
fn is_settled(situation: &Situation<'_>) -> bool {
    let wanted = situation.applied_replicas();
    !situation.is_unseen()
        && !situation.is_rolling()
        && situation.observation.pods.len() == wanted
        && situation.ready().count() == wanted
}

/// Whether pods are there that are too many. Those that are missing may just have been deleted.
fn has_surplus(situation: &Situation<'_>) -> bool {
    let wanted = situation.applied_replicas();
    situation.observation.pods.iter().any(|pod| ordinal(pod).is_some_and(|ordinal| ordinal >= wanted))
}

fn ordinal(pod: &PodObservation) -> Option<usize> {
    pod.name.rsplit_once('-')?.1.parse().ok()
}

/// What is not known to be over goes on: the first pods of all come without another sign.
fn was_under_way(situation: &Situation<'_>) -> bool {
    situation
        .before(ConditionType::Progressing)
        .is_none_or(|before| before.status != Truth::False.as_str() || before.reason == Reason::Stalled.as_str())
}

/// When it began, or when the newest pod was made since then. `None` = longer ago than is known.
fn last_progress(situation: &Situation<'_>) -> Option<Timestamp> {
    let newest = situation.live().filter(|pod| !situation.is_old(pod)).filter_map(|pod| pod.created.as_ref());
    let newest = newest.map(|created| created.0).max();
    let began = match situation.before(ConditionType::Progressing) {
        Some(before) if before.status == Truth::True.as_str() => Some(before.last_transition_time.0),
        // Another spec is another try; without one only a new pod is.
        Some(before)
            if before.reason == Reason::Stalled.as_str()
                && before.observed_generation == Some(situation.generation) =>
        {
            None
        }
        Some(_) | None => Some(situation.now),
    };
    began.max(newest)
}

fn kind(situation: &Situation<'_>) -> Reason {
    let status = situation.set_status();
    let was_rolling = situation
        .before(ConditionType::Progressing)
        .is_some_and(|before| before.status == Truth::True.as_str() && before.reason == Reason::RollingUpdate.as_str());
    let pods = status.map(|status| usize::try_from(status.replicas).unwrap_or(0));
    // What the controller has not looked at and is no scaling is a new template.
    let is_new_template = situation.is_unseen() && pods == Some(situation.applied_replicas());
    if situation.is_rolling() || was_rolling || is_new_template { Reason::RollingUpdate } else { Reason::Scaling }
}

fn counts(situation: &Situation<'_>) -> String {
    let wanted = situation.applied_replicas();
    let new = if situation.is_unseen() { 0 } else { situation.live().filter(|pod| !situation.is_old(pod)).count() };
    let ready = situation.ready().count();
    format!("{new} of {wanted} pods are of the newest revision, {ready} are ready")
}
