//! Why a volume is not mounted: only the kubelet's events say it.

use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use crate::reconcile::observation::PodTrouble;

/// Events that are looked through; the kubelet repeats few of them and counts the repetitions.
const EVENTS: u32 = 50;

/// The last failure to mount that the kubelet told of `pod`, if it told of any.
pub(super) async fn failed_mount(client: &Client, namespace: &str, pod: &Pod) -> Option<PodTrouble> {
    let uid = pod.metadata.uid.as_deref()?;
    let fields = format!("involvedObject.uid={uid},reason=FailedMount");
    let parameters = ListParams::default().fields(&fields).limit(EVENTS);
    match Api::<Event>::namespaced(client.clone(), namespace).list(&parameters).await {
        Ok(events) => latest(&events.items).map(PodTrouble::MountFailed),
        Err(error) => {
            tracing::debug!(namespace, pod = pod.name_any(), %error, "events of a pod cannot be listed");
            let hint = format!(
                "its container is not made yet, and the operator cannot list events: kubectl describe pod {} -n {namespace} says why",
                pod.name_any()
            );
            Some(PodTrouble::Waiting(hint))
        }
    }
}

/// The words of the last event. Those that name an object go before the kubelet's complaint that it waited in vain,
/// which takes turns with them.
pub(super) fn latest(events: &[Event]) -> Option<String> {
    let names_object = |event: &Event| event.message.as_deref().unwrap_or_default().starts_with("MountVolume");
    let last =
        events.iter().filter(|event| event.message.is_some()).max_by_key(|event| (names_object(event), time(event)));
    last?.message.clone()
}

fn time(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let only = event.event_time.as_ref().map(|time| time.0);
    series.max(last).max(only)
}
