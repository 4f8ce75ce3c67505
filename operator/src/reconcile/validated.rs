//! A BindProxy that was found usable: the single input of the build step.

use bindproxy::config::ConfigHash;

use crate::crd::{BindProxySpec, IssuerRef, PullPolicy};
use crate::identity::Identity;

/// Where a pod finds its configuration.
pub const CONFIG_FOLDER: &str = "/etc/bindproxy/config";
/// The file in it, and the key of the ConfigMap.
pub const CONFIG_FILE: &str = "bindproxy.yaml";
/// The port of health, metrics and the JSON API.
pub const ADMIN_PORT: i32 = 9390;
/// The name of the volume with the configuration.
pub const CONFIG_VOLUME: &str = "config";

/// A BindProxy that was found usable.
#[derive(Clone, Debug)]
pub struct ValidatedBindProxy {
    /// Whose objects they are.
    pub identity: Identity,
    /// What was asked for, with every default filled in.
    pub spec: BindProxySpec,
    /// What runs.
    pub image: PodImage,
    /// Where clients connect.
    pub ports: Vec<ListenerPort>,
    /// The files of a pod beside the configuration: Secrets and ConfigMaps, by folder.
    pub mounts: Vec<Mount>,
    /// What the pods run with.
    pub configuration: Configuration,
    /// Whether the operator makes the Secret NAME-cluster.
    pub makes_cluster_secret: bool,
    /// What cert-manager is asked for.
    pub certificate: Option<CertificateRequest>,
    /// Which optional objects can be made.
    pub monitoring: MonitoringKinds,
    /// The domain of the Kubernetes cluster, as in `cluster.local`.
    pub cluster_domain: String,
    /// Where the operator runs: a NetworkPolicy lets it ask the pods.
    pub operator_namespace: String,
    /// What was left out though it was asked for, in sentences.
    pub remarks: Vec<String>,
}

/// What runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodImage {
    /// The whole reference.
    pub reference: String,
    /// When it is pulled; absent = as Kubernetes decides by the tag.
    pub pull_policy: Option<PullPolicy>,
    /// Secrets with the credentials of the registry.
    pub pull_secrets: Vec<String>,
}

/// One port where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerPort {
    /// The name of the listener, of the Service's port and of the container's.
    pub name: String,
    /// The port of the Service.
    pub service: i32,
    /// The port of the container; never below 1024, which an unprivileged process may not open everywhere.
    pub container: i32,
}

/// A folder of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The name of the volume: unique in the pod, a DNS label.
    pub volume: String,
    /// Where it is mounted.
    pub folder: String,
    /// What is in it.
    pub source: MountSource,
    /// Keys that are mounted, each as a file name; empty = all of them under their own names.
    pub items: Vec<(String, String)>,
}

/// What a folder holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountSource {
    /// A Secret.
    Secret(String),
    /// A ConfigMap.
    ConfigMap(String),
}

/// What the pods run with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// The file.
    pub text: String,
    /// Its name, as pods tell it.
    pub hash: ConfigHash,
    /// Changes when running pods cannot take the configuration over.
    pub restart_hash: String,
}

/// What cert-manager is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    /// Who signs.
    pub issuer: IssuerRef,
    /// The names in the certificate.
    pub dns_names: Vec<String>,
}

/// Which kinds of the Prometheus operator the API server has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MonitoringKinds {
    /// PodMonitor.
    pub pod_monitor: bool,
    /// ServiceMonitor.
    pub service_monitor: bool,
    /// PrometheusRule.
    pub prometheus_rule: bool,
}
