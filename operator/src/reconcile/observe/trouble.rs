//! What keeps a pod from running, by what the API server has of it.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodCondition};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::super::build::CONTAINER;
use crate::reconcile::observation::PodTrouble;

/// How long a container may be in the making before somebody asks why.
const MAKING: SignedDuration = SignedDuration::from_secs(10);

/// What a pod's status says of its trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// This.
    Trouble(PodTrouble),
    /// Its container has been in the making for long; only events say whether a volume is the cause.
    MaybeMount,
}

/// What keeps `pod` from running, if anything does and its status says so.
///
/// The words stay the same while the trouble does: the kubelet's states take turns (running, ended, waiting for
/// the next start), and a status must not take turns with them.
#[must_use]
pub fn trouble_of(pod: &Pod, now: Timestamp) -> Option<Finding> {
    let status = pod.status.as_ref()?;
    if let Some(words) = status.conditions.iter().flatten().find_map(unschedulable) {
        return Some(Finding::Trouble(PodTrouble::Unschedulable(words)));
    }
    // Containers before ours, which an injector may have added, can keep ours from being made.
    let before = status.init_container_statuses.iter().flatten();
    let containers = before.chain(status.container_statuses.iter().flatten());
    if let Some(words) = containers.filter_map(waiting).find_map(|(reason, message)| image(reason, message)) {
        return Some(Finding::Trouble(PodTrouble::Image(words)));
    }
    let container = status.container_statuses.iter().flatten().find(|container| container.name == CONTAINER)?;
    if container.ready {
        return None;
    }
    let ended = current(container)
        .and_then(|state| state.terminated.as_ref())
        .or_else(|| container.last_state.as_ref().and_then(|state| state.terminated.as_ref()));
    if let Some(ended) = ended.filter(|ended| ended.exit_code != 0) {
        return Some(Finding::Trouble(end(ended)));
    }
    let (reason, message) = waiting(container)?;
    match reason {
        "ContainerCreating" | "PodInitializing" => {
            (now.duration_since(scheduled(pod)?) > MAKING).then_some(Finding::MaybeMount)
        }
        "" => None,
        reason if message.is_empty() => Some(Finding::Trouble(PodTrouble::Waiting(reason.to_owned()))),
        reason => Some(Finding::Trouble(PodTrouble::Waiting(format!("{reason}: {message}")))),
    }
}

fn current(container: &ContainerStatus) -> Option<&ContainerState> {
    container.state.as_ref()
}

/// The reason for which a container waits, and the kubelet's words.
fn waiting(container: &ContainerStatus) -> Option<(&str, &str)> {
    let waiting = current(container)?.waiting.as_ref()?;
    Some((waiting.reason.as_deref().unwrap_or_default(), waiting.message.as_deref().unwrap_or_default()))
}

fn unschedulable(condition: &PodCondition) -> Option<String> {
    let is_it = condition.type_ == "PodScheduled"
        && condition.status == "False"
        && condition.reason.as_deref() == Some("Unschedulable");
    is_it.then(|| condition.message.clone().unwrap_or_default())
}

/// The kubelet's words on an image. Between two attempts it wraps those of the last one into its own, which are taken off.
fn image(reason: &str, message: &str) -> Option<String> {
    const REASONS: [&str; 7] = [
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    ];
    if !REASONS.contains(&reason) {
        return None;
    }
    let words = message.split_once("ErrImagePull: ").map_or(message, |(_, words)| words);
    Some(if words.is_empty() { reason.to_owned() } else { words.to_owned() })
}

/// How the proxy ended: its own words, or for an end that it could not comment on the kubelet's.
fn end(ended: &ContainerStateTerminated) -> PodTrouble {
    let message = ended.message.as_deref().map(str::trim).filter(|message| !message.is_empty());
    let message = message.or(ended.reason.as_deref()).unwrap_or("no reason was given");
    PodTrouble::Ended { status: ended.exit_code, message: message.to_owned() }
}

/// Since when its kubelet has been at it.
fn scheduled(pod: &Pod) -> Option<Timestamp> {
    let status = pod.status.as_ref()?;
    let scheduled = status.conditions.iter().flatten().find(|one| one.type_ == "PodScheduled" && one.status == "True");
    let since = scheduled.and_then(|condition| condition.last_transition_time.as_ref()).or(status.start_time.as_ref());
    since.map(|time| time.0)
}

#[cfg(test)]
mod tests;
