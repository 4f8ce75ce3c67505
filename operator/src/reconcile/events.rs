//! Events on a BindProxy: one for each condition that takes another turn.

use kube::Resource as _;
use kube::runtime::events::{Event, EventType, Recorder};

use crate::crd::{BindProxy, BindProxyStatus};
use crate::reconcile::outcome::ConditionType;
use crate::reconcile::refusal::is_of_terminating_namespace;

/// The longest note that the API takes, in octets.
const LONGEST_NOTE: usize = 1024;

/// What happened between two statuses. Conditions that were never told before and are not wrong are no news.
#[must_use]
pub fn events(previous: &BindProxyStatus, next: &BindProxyStatus) -> Vec<Event> {
    let mut events = Vec::new();
    for kind in ConditionType::ALL {
        let find = |status: &BindProxyStatus| {
            status.conditions.iter().find(|condition| condition.type_ == kind.as_str()).cloned()
        };
        let Some(now) = find(next) else { continue };
        let turned = match find(previous) {
            Some(before) => before.status != now.status || before.reason != now.reason,
            None => now.status == "False" && kind == ConditionType::Accepted,
        };
        if !turned || now.status == "Unknown" || !is_told(kind) {
            continue;
        }
        events.push(Event {
            type_: if is_bad(kind, &now.status, &now.reason) { EventType::Warning } else { EventType::Normal },
            reason: now.reason.clone(),
            action: kind.as_str().to_owned(),
            note: Some(cut(&now.message)),
            secondary: None,
        });
    }
    events
}

/// The summary repeats what another condition says.
fn is_told(kind: ConditionType) -> bool {
    match kind {
        ConditionType::Ready => false,
        ConditionType::Accepted
        | ConditionType::Available
        | ConditionType::Progressing
        | ConditionType::ConfigApplied
        | ConditionType::UpstreamsHealthy
        | ConditionType::PeersConnected => true,
    }
}

fn is_bad(kind: ConditionType, status: &str, reason: &str) -> bool {
    match kind {
        ConditionType::Progressing => reason == "Stalled",
        ConditionType::ConfigApplied => status == "False" && reason != "Pending",
        ConditionType::PeersConnected => status == "False" && reason != "Joining",
        ConditionType::Ready | ConditionType::Accepted | ConditionType::Available | ConditionType::UpstreamsHealthy => {
            status == "False" && reason != "ScaledToZero"
        }
    }
}

fn cut(message: &str) -> String {
    let mut end = message.len().min(LONGEST_NOTE);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.get(..end).unwrap_or_default().to_owned()
}

/// Publishes them. One that cannot be published is logged: the status says the same.
pub async fn publish(recorder: &Recorder, bind_proxy: &BindProxy, previous: &BindProxyStatus, next: &BindProxyStatus) {
    let reference = bind_proxy.object_ref(&());
    for event in events(previous, next) {
        match recorder.publish(&event, &reference).await {
            Ok(()) => {}
            Err(error) if is_of_terminating_namespace(&error) => {
                tracing::debug!(namespace = reference.namespace, "no event is taken where all is being deleted");
            }
            Err(error) => tracing::warn!(error = %error, "an event could not be published"),
        }
    }
}
