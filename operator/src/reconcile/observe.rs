//! What is seen of the pods after the objects were applied: what the API server has of them, and what they say
//! themselves when they are asked.
//!
//! Pods are asked without a token and say nothing secret. Nothing that is seen is an error: a pod that does not
//! answer is an answer, too.

mod ask;
mod mounts;
mod trouble;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::StreamExt as _;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::{Client, ResourceExt as _};

pub use self::trouble::{Finding, trouble_of};
use super::build::CONTAINER;
use super::observation::{Observation, PodAnswer, PodObservation, PodTrouble};
use super::validated::ADMIN_PORT;
use crate::identity::Identity;

/// The label that the controller of StatefulSets puts on each pod.
const REVISION: &str = "controller-revision-hash";
/// Pods of one BindProxy that are asked at a time.
const AT_A_TIME: usize = 8;

/// Asks pods how they are.
#[derive(Clone, Debug)]
pub struct Observer {
    port: u16,
}

impl Default for Observer {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer {
    /// Of pods as the operator makes them.
    #[must_use]
    pub fn new() -> Self {
        Self { port: u16::try_from(ADMIN_PORT).unwrap_or_default() }
    }

    /// Looks at those of `pods` that belong to `stateful_set` and asks each that runs. It takes ten seconds at most for
    /// 15 pods, silent ones included.
    pub async fn observe(
        &self,
        client: &Client,
        identity: &Identity,
        stateful_set: Option<StatefulSet>,
        pods: Vec<Arc<Pod>>,
        now: Timestamp,
    ) -> Observation {
        let set = stateful_set.as_ref().and_then(|set| set.metadata.uid.as_deref());
        let mut own: Vec<Arc<Pod>> = pods.into_iter().filter(|pod| belongs(pod, set)).collect();
        own.sort_by_cached_key(|pod| ordinal(&pod.name_any()));
        let looks = own.into_iter().map(|pod| async move { self.look(client, identity, &pod, now).await });
        let pods = futures_util::stream::iter(looks).buffered(AT_A_TIME).collect().await;
        Observation { stateful_set, pods }
    }

    async fn look(&self, client: &Client, identity: &Identity, pod: &Pod, now: Timestamp) -> PodObservation {
        let answer = match self.address(pod) {
            Some(address) => ask::ask(address).await,
            None => PodAnswer::NotAsked,
        };
        PodObservation {
            name: pod.name_any(),
            revision: pod.labels().get(REVISION).cloned(),
            created: pod.metadata.creation_timestamp.clone(),
            ready: has_condition(pod, "Ready"),
            terminating: pod.metadata.deletion_timestamp.is_some(),
            answer,
            trouble: trouble(client, identity, pod, now).await,
        }
    }

    /// Where a pod can be asked: only one that runs and is not about to go.
    fn address(&self, pod: &Pod) -> Option<SocketAddr> {
        let status = pod.status.as_ref()?;
        let running = status.container_statuses.iter().flatten().any(|container| {
            container.name == CONTAINER && container.state.as_ref().is_some_and(|state| state.running.is_some())
        });
        let ip: IpAddr = status.pod_ip.as_ref()?.parse().ok()?;
        (running && pod.metadata.deletion_timestamp.is_none()).then_some(SocketAddr::new(ip, self.port))
    }
}

async fn trouble(client: &Client, identity: &Identity, pod: &Pod, now: Timestamp) -> Option<PodTrouble> {
    match trouble_of(pod, now)? {
        Finding::Trouble(trouble) => Some(trouble),
        Finding::MaybeMount => mounts::failed_mount(client, &identity.namespace, pod).await,
    }
}

/// Whether the StatefulSet with this uid controls `pod`; labels alone can be anybody's.
fn belongs(pod: &Pod, set: Option<&str>) -> bool {
    set.is_some_and(|set| pod.owner_references().iter().any(|owner| owner.controller == Some(true) && owner.uid == set))
}

/// Sorts `corp-10` after `corp-9`.
fn ordinal(name: &str) -> (usize, String) {
    let ordinal = name.rsplit_once('-').and_then(|(_, digits)| digits.parse().ok());
    (ordinal.unwrap_or(usize::MAX), name.to_owned())
}

fn has_condition(pod: &Pod, condition: &str) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|one| one.type_ == condition && one.status == "True")
}

#[cfg(test)]
mod tests;
