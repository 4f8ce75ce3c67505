//! `spec.service` and `spec.networkPolicy`: how clients reach the pods, and who may.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The Service that clients use.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("self.type != 'ClusterIP' || !has(self.externalTrafficPolicy)")
        .message("service.externalTrafficPolicy needs service.type NodePort or LoadBalancer: remove it or change the type"),
    validation = Rule::new("self.type == 'LoadBalancer' || (!has(self.loadBalancerClass) && !has(self.loadBalancerSourceRanges))")
        .message("service.loadBalancerClass and service.loadBalancerSourceRanges need service.type LoadBalancer: remove them or change the type")
)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// ClusterIP, NodePort or LoadBalancer.
    #[serde(default, rename = "type")]
    pub service_type: ServiceType,
    /// Local keeps the client's address with NodePort and LoadBalancer; Cluster spreads over all nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TrafficPolicy")]
    pub external_traffic_policy: Option<TrafficPolicy>,
    /// Local keeps traffic on the client's node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TrafficPolicy")]
    pub internal_traffic_policy: Option<TrafficPolicy>,
    /// Which pods are preferred, as in PreferSameZone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub traffic_distribution: Option<String>,
    /// The implementation of the load balancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub load_balancer_class: Option<String>,
    /// Networks that may use the load balancer, as in 192.0.2.0/24.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 43)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(c, isCIDR(c) && cidr(c).masked() == cidr(c))")
            .message("service.loadBalancerSourceRanges must be networks with a length and no bits behind it: write 192.0.2.0/24 and not 192.0.2.1/24, or 192.0.2.1/32 for one address")
    )]
    pub load_balancer_source_ranges: Option<Vec<String>>,
    /// Annotations of the Service, for load balancers and external-dns.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels of the Service, beside the operator's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// The types of Services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// Reached from inside the cluster.
    #[default]
    ClusterIP,
    /// Also at a port of every node.
    NodePort,
    /// Also at a load balancer.
    LoadBalancer,
}

impl ServiceType {
    /// As the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// Which nodes' pods get traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TrafficPolicy {
    /// All of them.
    Cluster,
    /// Those of the node where it arrived.
    Local,
}

impl TrafficPolicy {
    /// As the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Local => "Local",
        }
    }
}

/// Who may connect to the pods, and where they may connect to.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!self.enabled || (has(self.upstreamCIDRs) && self.upstreamCIDRs.size() > 0)")
        .message("networkPolicy.enabled needs networkPolicy.upstreamCIDRs, because policies know no host names: list the networks of the directory servers, or 0.0.0.0/0 for any")
)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// Make a NetworkPolicy.
    #[serde(default)]
    pub enabled: bool,
    /// Who may connect to the listeners, as in `kubectl explain networkpolicy.spec.ingress.from`. Default: everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub ingress_from: Vec<NetworkPolicyPeer>,
    /// Who may read metrics, beside the operator, in the same form. Default: every pod of the cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub metrics_from: Vec<NetworkPolicyPeer>,
    /// Networks of the directory servers, as in 10.1.2.0/24.
    #[serde(default, rename = "upstreamCIDRs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 43)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(c, isCIDR(c) && cidr(c).masked() == cidr(c))")
            .message("networkPolicy.upstreamCIDRs must be networks with a length and no bits behind it: write 10.1.2.0/24 and not 10.1.2.3/24, or 10.1.2.3/32 for one address")
    )]
    pub upstream_cidrs: Vec<String>,
}
