//! `ConfigApplied`: whether every pod runs with the configuration that is asked for.
//!
//! It begins to hold when every pod is ready and told the hash. From then on a pod that restarts or
//! does not answer once changes nothing, since it comes up with the same file; a pod that contradicts, a
//! rollout and a scaling do.

use super::judgement::{Judgement, Truth};
use super::progressing;
use super::situation::{Situation, quoted};
use crate::reconcile::observation::{PodAnswer, PodObservation, PodTrouble};
use crate::reconcile::outcome::ConditionType;

/// Why `ConfigApplied` says what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Every pod runs with it.
    Applied,
    /// Pods have not taken it over yet: the kubelet brings a changed file within about a minute, and what
    /// needs a restart comes with a rollout. The message names the pods.
    Pending,
    /// A pod refuses it, in its own words. Pods that ran before keep the configuration that they had.
    Rejected,
    /// A Secret or ConfigMap cannot be mounted, in the kubelet's words.
    MountFailed,
    /// `spec.replicas` is 0: no pod lacks it.
    ScaledToZero,
    /// No configuration was applied yet.
    NothingApplied,
}

impl Reason {
    /// As the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "Applied",
            Self::Pending => "Pending",
            Self::Rejected => "Rejected",
            Self::MountFailed => "MountFailed",
            Self::ScaledToZero => "ScaledToZero",
            Self::NothingApplied => "NothingApplied",
        }
    }
}

/// Says whether every pod runs with the configuration; `progress` is what `Progressing` says.
#[must_use]
pub fn judge(situation: &Situation<'_>, progress: progressing::Reason) -> Judgement<Reason> {
    let Some(hash) = situation.asked_hash() else {
        return Judgement::unknown(Reason::NothingApplied, "no configuration was applied yet");
    };
    if situation.observation.stateful_set.is_none() {
        return Judgement::unknown(Reason::NothingApplied, "there is no StatefulSet yet");
    }
    if situation.asked_replicas() == 0 && situation.applied_replicas() == 0 {
        return Judgement::holds(Reason::ScaledToZero, "spec.replicas is 0: no pod lacks the configuration");
    }
    let refusals = refusals(situation);
    if !refusals.is_empty() {
        return Judgement::fails(Reason::Rejected, refusals.join("; "));
    }
    let mounts: Vec<String> = situation.live().filter_map(failed_mount).collect();
    if !mounts.is_empty() {
        return Judgement::fails(Reason::MountFailed, mounts.join("; "));
    }
    if everybody_has_it(situation, hash) || stays_applied(situation, progress, hash) {
        return Judgement::holds(Reason::Applied, format!("the pods run with configuration {hash}"));
    }
    Judgement::fails(Reason::Pending, lacking(situation, hash))
}

/// The pods that refuse the configuration, with their words. A pod that is to be replaced does not count: it
/// says that the change needs a restart, which is what the rollout brings.
fn refusals(situation: &Situation<'_>) -> Vec<String> {
    if situation.is_unseen() {
        return Vec::new();
    }
    let is_rolling = situation.is_rolling();
    let counts = situation.live().filter(|pod| !(is_rolling && situation.is_old(pod)));
    counts.filter_map(|pod| Some(format!("{}: {}", pod.name, quoted(refusal(pod)?)))).collect()
}

/// Why a pod refuses the configuration. What it says now goes before how it ended last.
fn refusal(pod: &PodObservation) -> Option<&str> {
    const BAD_CONFIGURATION: i32 = 2;
    match (&pod.answer, &pod.trouble) {
        (PodAnswer::Told(status), _) => status.config_error.as_deref(),
        (_, Some(PodTrouble::Ended { status: BAD_CONFIGURATION, message })) => Some(message),
        (PodAnswer::NotAsked | PodAnswer::Silent(_), _) => None,
    }
}

fn failed_mount(pod: &PodObservation) -> Option<String> {
    match &pod.trouble {
        Some(PodTrouble::MountFailed(words)) => Some(format!("{}: {}", pod.name, quoted(words))),
        Some(
            PodTrouble::Ended { .. } | PodTrouble::Image(_) | PodTrouble::Unschedulable(_) | PodTrouble::Waiting(_),
        )
        | None => None,
    }
}

fn everybody_has_it(situation: &Situation<'_>, hash: &str) -> bool {
    let wanted = situation.asked_replicas();
    !situation.is_unseen()
        && !situation.is_rolling()
        && situation.observation.pods.len() == wanted
        && situation.live().filter(|pod| pod.ready && tells(pod, hash) == Some(true)).count() == wanted
}

/// Whether it held before, nothing that is asked for has changed since, and no pod contradicts.
fn stays_applied(situation: &Situation<'_>, progress: progressing::Reason, hash: &str) -> bool {
    let before = situation.before(ConditionType::ConfigApplied);
    before.is_some_and(|before| before.status == Truth::True.as_str() && before.reason == Reason::Applied.as_str())
        && situation.previous.config_hash.as_deref() == Some(hash)
        && !progress.is_under_way()
        && situation.asked_replicas() == situation.applied_replicas()
        && situation.live().all(|pod| tells(pod, hash) != Some(false))
}

/// Whether a pod said that it runs with `hash`; `None` if it said nothing.
fn tells(pod: &PodObservation, hash: &str) -> Option<bool> {
    match &pod.answer {
        PodAnswer::Told(status) => Some(status.config_hash == hash && status.config_error.is_none()),
        PodAnswer::NotAsked | PodAnswer::Silent(_) => None,
    }
}

/// Who lacks the configuration, and why as far as it is known.
fn lacking(situation: &Situation<'_>, hash: &str) -> String {
    let mut reasons = Vec::new();
    if situation.spec.paused && situation.verdict.is_ok() {
        reasons.push("spec.paused is true, so nothing is applied".to_owned());
    }
    for pod in &situation.observation.pods {
        let name = &pod.name;
        if pod.terminating {
            reasons.push(format!("{name} is being deleted"));
        } else if situation.is_old(pod) {
            reasons.push(format!("{name} is of an older revision"));
        } else {
            match &pod.answer {
                PodAnswer::Told(status) if status.config_hash != hash => {
                    reasons.push(format!("{name} runs with configuration {}", status.config_hash));
                }
                PodAnswer::Told(_) if !pod.ready => reasons.push(format!("{name} is not ready")),
                PodAnswer::Told(_) => {}
                PodAnswer::Silent(why) => reasons.push(format!("{name} does not answer: {}", quoted(why))),
                PodAnswer::NotAsked => reasons.push(format!("{name} does not run yet")),
            }
        }
    }
    let (there, wanted) = (situation.live().count(), situation.asked_replicas());
    if there != wanted {
        reasons.push(format!("{there} of {wanted} pods are there"));
    }
    if reasons.is_empty() {
        reasons.push("the StatefulSet was changed just now".to_owned());
    }
    format!("configuration {hash} is awaited: {}", reasons.join("; "))
}
