//! From a validated BindProxy to its objects. Pure: no client, no clock.
//!
//! Objects are applied by the server's own merge, so a field that is not named here stays as others set
//! it: ports that nodes got allotted, the mark of `kubectl rollout restart`, what an injector adds.

mod certificate;
mod client_service;
pub mod cluster_secret;
mod config_map;
mod monitoring;
mod network_policy;
mod objects;
mod peers_service;
mod pod_disruption_budget;
mod pod_template;
mod service_account;
mod stateful_set;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod golden;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{DynamicObject, ObjectMeta, TypeMeta};

use super::validated::ValidatedBindProxy;

pub use cluster_secret::{ClusterMaterial, cluster_secret};
pub use objects::Objects;
pub use pod_template::{CONTAINER, RESTART_HASH};

/// The alerts about proxies: one file for the chart, which is about all of them, and for this.
const ALERTS: &str = include_str!("../../../../charts/bindproxy-operator/files/proxy-alerts.yaml");

/// Why an object could not be built; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A part that is written as free JSON or YAML.
    #[error("{0} cannot be written")]
    Serialize(&'static str, #[source] serde_json::Error),
    /// The alert rules that the operator was built with.
    #[error("the alert rules cannot be read")]
    Alerts(#[source] Box<serde_saphyr::Error>),
}

/// Everything that `proxy` consists of.
///
/// # Errors
/// When a part that is written as free JSON or YAML cannot be, which no spec leads to.
pub fn build(proxy: &ValidatedBindProxy) -> Result<Objects, BuildError> {
    Ok(Objects {
        service_account: service_account::service_account(proxy),
        config_map: config_map::config_map(proxy),
        peers_service: peers_service::peers_service(proxy),
        client_service: client_service::client_service(proxy),
        certificate: certificate::certificate(proxy),
        stateful_set: stateful_set::stateful_set(proxy),
        pod_disruption_budget: pod_disruption_budget::pod_disruption_budget(proxy),
        network_policy: network_policy::network_policy(proxy),
        pod_monitor: monitoring::pod_monitor(proxy),
        service_monitor: monitoring::service_monitor(proxy),
        prometheus_rule: monitoring::prometheus_rule(proxy, ALERTS)?,
    })
}

/// A user's labels or annotations with the operator's own over them: what selects and owns objects is not
/// for users to change.
fn beneath(users: &BTreeMap<String, String>, ours: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut all = users.clone();
    all.extend(ours);
    all
}

/// Whatever has all these labels.
fn matching(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), match_expressions: None }
}

/// An object of a kind that no Kubernetes has by itself.
fn foreign(api_version: &str, kind: &str, metadata: ObjectMeta, spec: serde_json::Value) -> DynamicObject {
    DynamicObject {
        types: Some(TypeMeta { api_version: api_version.to_owned(), kind: kind.to_owned() }),
        metadata,
        data: serde_json::json!({ "spec": spec }),
    }
}
