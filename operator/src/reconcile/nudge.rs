//! Makes the kubelet look at a changed ConfigMap at once.
//!
//! A kubelet takes up a changed volume at its next sync of the pod, a minute or more away. A change of the
//! pod itself brings a sync, so pods that still serve an older configuration get an annotation.

use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::observation::{Observation, PodAnswer};
use super::validated::ValidatedBindProxy;
use crate::identity::FIELD_MANAGER;
use crate::owned::Ours;

/// The configuration that a pod was told of.
const WANTED_CONFIG: &str = "bindproxy.io/wanted-config";

/// Tells each pod that serves an older configuration once. Failing is no harm: the kubelet comes by itself.
pub async fn nudge(client: &Client, validated: &ValidatedBindProxy, ours: &Ours, observation: &Observation) {
    let wanted = validated.configuration.hash.as_str();
    let api: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(client.clone(), &validated.identity.namespace);
    for pod in &observation.pods {
        let PodAnswer::Told(told) = &pod.answer else { continue };
        if told.config_hash == wanted || told.config_error.is_some() || pod.terminating {
            continue;
        }
        let told_before = ours.pods.iter().any(|known| {
            known.metadata.name.as_ref() == Some(&pod.name)
                && known
                    .metadata
                    .annotations
                    .as_ref()
                    .and_then(|all| all.get(WANTED_CONFIG))
                    .is_some_and(|hash| hash == wanted)
        });
        if told_before {
            continue;
        }
        let patch = json!({"metadata": {"annotations": {WANTED_CONFIG: wanted}}});
        let options = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        if let Err(error) = api.patch_metadata(&pod.name, &options, &Patch::Merge(patch)).await {
            tracing::debug!(pod = pod.name, error = %error, "a pod was not told of its new configuration");
        }
    }
}
