//! `status`: what the operator tells.

use bindproxy::admin::pod_status::UpstreamReason;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator has seen. Nothing here changes while nothing happens.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BindProxyStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Pods that exist.
    #[serde(default)]
    pub replicas: i32,
    /// Pods that are ready.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Pods of the newest revision.
    #[serde(default)]
    pub updated_replicas: i32,
    /// Pods of the revision before it, or of the only one.
    #[serde(default)]
    pub current_replicas: i32,
    /// The label selector of the pods, for autoscalers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The hash of the configuration that pods should run with, as in the metric bindproxy_config_info.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_hash: Option<String>,
    /// Directory servers that all pods reach, of all: "2/3".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_summary: Option<String>,
    /// Where clients connect, as URLs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub endpoints: Vec<String>,
    /// When the first certificate of the pods expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_not_after: Option<Time>,
    /// How the pods see each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<PeerCount>,
    /// The directory servers, as the pods see them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub upstreams: Vec<UpstreamStatus>,
    /// What is so, why and since when: Ready, Accepted, Available, Progressing, ConfigApplied, UpstreamsHealthy and
    /// PeersConnected, each with status, reason and message as in `kubectl explain deployment.status.conditions`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// How the pods see each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerCount {
    /// Pods that should know each other.
    pub expected: i32,
    /// Pods that the one which sees the fewest sees, itself included.
    pub alive: i32,
}

/// A directory server, as the pods see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamStatus {
    /// Its name in the spec.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Pods that reach it.
    pub healthy_pods: i32,
    /// Pods that were asked.
    pub total_pods: i32,
    /// What is wrong, or Healthy.
    pub reason: UpstreamReason,
    /// Since when it is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
}
