//! `spec.image`, `spec.pod` and `spec.podDisruptionBudget`: what runs, and where.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, PodDNSConfig, ResourceRequirements, Toleration, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ObjectName;

/// The image of the pods. What is absent comes from the operator's own default.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!(has(self.tag) && has(self.digest))")
        .message("image.tag and image.digest are mutually exclusive: remove image.tag, for a digest names the image alone")
)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Registry and name without a tag, as in registry.example/bindproxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^([A-Za-z0-9.-]+(:[0-9]+)?/)?[a-z0-9._/-]+$')")
        .message("image.repository must be a registry and a name, as in registry.example:5000/bindproxy: a tag belongs into image.tag, a digest into image.digest"))]
    pub repository: Option<String>,
    /// The tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9_][-A-Za-z0-9_.]*$"))]
    pub tag: Option<String>,
    /// The digest, as in sha256:1234…; instead of a tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^sha256:[a-f0-9]{64}$"))]
    pub digest: Option<String>,
    /// When the image is pulled: Always, IfNotPresent or Never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PullPolicy")]
    pub pull_policy: Option<PullPolicy>,
    /// Secrets with the credentials of the registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub pull_secrets: Vec<ObjectName>,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PullPolicy {
    /// At every start of a pod.
    Always,
    /// When the node does not have it.
    IfNotPresent,
    /// Never: the node must have it.
    Never,
}

impl PullPolicy {
    /// As the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// How pods are scheduled and labelled.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// Labels of the pods, beside the operator's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// CPU and memory, as in `kubectl explain pod.spec.containers.resources`. Default: requests of 50m and 64Mi, no limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that are tolerated, as in `kubectl explain pod.spec.tolerations`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub tolerations: Vec<Toleration>,
    /// Where pods may or should run, as in `kubectl explain pod.spec.affinity`. Default, without
    /// topologySpreadConstraints: in different zones, where nodes have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// How pods spread, as in `kubectl explain pod.spec.topologySpreadConstraints`. Default: over nodes, where that
    /// is possible. Nodes need the labels of all constraints to be ranked by any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    /// The priority class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// The runtime class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub runtime_class_name: Option<String>,
    /// False runs the pods in a user namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_users: Option<bool>,
    /// Name servers and search domains of the pods, as in `kubectl explain pod.spec.dnsConfig`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_config: Option<PodDNSConfig>,
}

/// Protects the pods from being evicted together.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!(has(self.minAvailable) && has(self.maxUnavailable))")
        .message("podDisruptionBudget.minAvailable and podDisruptionBudget.maxUnavailable are mutually exclusive: remove one of them")
)]
#[serde(rename_all = "camelCase")]
pub struct PodDisruptionBudget {
    /// Make a PodDisruptionBudget when there is more than one pod.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Pods that must stay, as a number or in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^[0-9]{1,3}%$"))]
    pub min_available: Option<IntOrString>,
    /// Pods that may be gone, as a number or in percent. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^[0-9]{1,3}%$"))]
    pub max_unavailable: Option<IntOrString>,
}

impl Default for PodDisruptionBudget {
    fn default() -> Self {
        Self { enabled: true, min_available: None, max_unavailable: None }
    }
}

fn yes() -> bool {
    true
}
