//! The custom resource: what a person writes, and what the operator tells.
//!
//! The comments on fields are what `kubectl explain` shows, so they are written for users. Rules that
//! one object can break on its own are CEL rules here and are refused by the API server; what needs
//! other objects is [`validate`](crate::reconcile::validate)'s.

#![allow(
    unreachable_pub,
    reason = "the derive of KubeSchema repeats each type inside a function, where nothing is reachable"
)]

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

mod cache;
mod generate;
mod lifecycle;
mod listener;
mod monitoring;
mod pod;
mod reference;
mod reference_page;
mod service;
mod status;
mod upstream;

pub use cache::{Cache, Cluster, Verdicts};
pub use generate::{crd, crd_text};
pub use lifecycle::{Drain, Limits, Rollout, RolloutType};
pub use listener::{CertManager, IssuerKind, IssuerRef, Listener, ProxyProtocol, ProxyProtocolMode, ServerTls};
pub use monitoring::{LogFormat, Logging, Monitor, Monitoring, PrometheusRule};
pub use pod::{Image, Pod, PodDisruptionBudget, PullPolicy};
pub use reference::{CaKind, CaRef, KeyRef, ObjectName};
pub use reference_page::reference_text;
pub use service::{NetworkPolicy, Service, ServiceType, TrafficPolicy};
pub use status::{BindProxyStatus, PeerCount, UpstreamStatus};
pub use upstream::{HealthCheck, Upstream, UpstreamPolicy, UpstreamTls};

/// A failed-bind cache in front of LDAP directory servers.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "bindproxy.io",
    version = "v1alpha1",
    kind = "BindProxy",
    plural = "bindproxies",
    shortname = "bp",
    category = "bindproxy",
    namespaced,
    doc = "A BindProxy runs LDAP proxies in front of directory servers. They remember failed binds and share what they know: a device that keeps an old password cannot lock its owner's account.",
    derive = "PartialEq",
    status = "BindProxyStatus",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".spec.replicas"),
    printcolumn(name = "Upstreams", type_ = "string", json_path = ".status.upstreamSummary"),
    printcolumn(
        name = "Message",
        type_ = "string",
        priority = 1,
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#
    ),
    printcolumn(name = "Config", type_ = "string", priority = 1, json_path = ".status.configHash"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 40")
        .message("metadata.name must be 40 characters or fewer, because names of pods and labels of revisions are made of it: choose a shorter name"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name must start with a letter and hold only lower-case letters, digits and '-', because Services are named after it: remove dots and leading digits")
)]
#[x_kube(
    validation = Rule::new("self.listeners.all(l, l.tls == 'Disabled' || has(self.serverTLS))")
        .message("serverTLS is required because a listener uses tls LDAPS or StartTLS: set serverTLS.secretRef or serverTLS.certManager, or tls: Disabled on every listener")
        .field_path(".serverTLS"),
    validation = Rule::new("self.drain.preStopSeconds + self.drain.timeoutSeconds < self.drain.terminationGracePeriodSeconds")
        .message("drain.preStopSeconds + drain.timeoutSeconds must be less than drain.terminationGracePeriodSeconds, or pods are killed in mid-drain: raise drain.terminationGracePeriodSeconds")
        .field_path(".drain"),
    validation = Rule::new("self.listeners.all(l, !((l.port == 389 ? 3389 : l.port == 636 ? 3636 : l.port < 1024 ? l.port + 10000 : l.port) in [9390, self.cluster.port]))")
        .message("listeners[].port must not be 9390 (health and metrics) or cluster.port (the other pods), also inside the pod, where 389 is 3389, 636 is 3636 and others below 1024 are 10000 higher: choose another port")
        .field_path(".listeners")
)]
#[serde(rename_all = "camelCase")]
pub struct BindProxySpec {
    /// Number of pods. Two or more keep answering while one of them is replaced; 0 stops all and keeps the rest.
    #[serde(default = "three")]
    #[schemars(range(min = 0, max = 15))]
    pub replicas: i32,
    /// While true the operator changes nothing; pods go on serving.
    #[serde(default)]
    pub paused: bool,
    /// The image of the pods. Default: the one that came with the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// The directory servers.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub upstreams: Vec<Upstream>,
    /// How a directory server is chosen, watched and waited for.
    #[serde(default)]
    pub upstream_policy: UpstreamPolicy,
    /// Where clients connect. Default: one listener on port 389 without TLS.
    #[serde(default = "Listener::defaults")]
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.all(l, self.exists_one(m, (m.port == 389 ? 3389 : m.port == 636 ? 3636 : m.port < 1024 ? m.port + 10000 : m.port) == (l.port == 389 ? 3389 : l.port == 636 ? 3636 : l.port < 1024 ? l.port + 10000 : l.port)))")
            .message("listeners[].port must differ, also inside the pod, where 389 is 3389, 636 is 3636 and others below 1024 are 10000 higher: change one of those that are equal"),
        validation = Rule::new("self.all(l, !(l.name in ['admin', 'peers']))")
            .message("listeners[].name must not be admin or peers, which are the proxy's own ports: choose another name")
    )]
    pub listeners: Vec<Listener>,
    /// The certificate that clients see on listeners with TLS.
    #[serde(rename = "serverTLS", default, skip_serializing_if = "Option::is_none")]
    pub server_tls: Option<ServerTls>,
    /// The failed-bind cache.
    #[serde(default)]
    pub cache: Cache,
    /// How the pods share what they know.
    #[serde(default)]
    pub cluster: Cluster,
    /// Bounds on what clients may take, for each pod.
    #[serde(default)]
    pub limits: Limits,
    /// How a pod ends.
    #[serde(default)]
    pub drain: Drain,
    /// How pods are replaced when something changes that needs new ones.
    #[serde(default)]
    pub rollout: Rollout,
    /// The Service that clients use.
    #[serde(default)]
    pub service: Service,
    /// Protects the pods from being evicted together. Default: at most one at a time, when there is more than one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_disruption_budget: Option<PodDisruptionBudget>,
    /// Who may connect to the pods, and where they may connect to.
    #[serde(default)]
    pub network_policy: NetworkPolicy,
    /// Objects for the Prometheus operator, where its resource definitions are installed.
    #[serde(default)]
    pub monitoring: Monitoring,
    /// The log of the pods.
    #[serde(default)]
    pub logging: Logging,
    /// How pods are scheduled and labelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Pod>,
}

impl BindProxySpec {
    /// Whether the Secret that the operator makes is used: for the connections between pods, the hashing key or both.
    #[must_use]
    pub fn uses_own_cluster_secret(&self) -> bool {
        self.cluster.secret_ref.is_none() || self.cache.key_secret_ref.is_none()
    }

    /// Whether there is more than one pod to keep from being evicted together.
    #[must_use]
    pub fn wants_pod_disruption_budget(&self) -> bool {
        self.replicas > 1 && self.pod_disruption_budget.as_ref().is_none_or(|budget| budget.enabled)
    }
}

fn three() -> i32 {
    3
}
