//! Everything that one BindProxy consists of, ready to be applied.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::DynamicObject;

/// Everything that one BindProxy consists of, but the Secret that is made only once. What is `None` is
/// removed where it exists.
#[derive(Clone, Debug)]
pub struct Objects {
    /// The identity of the pods; without rights and without a token.
    pub service_account: ServiceAccount,
    /// The configuration.
    pub config_map: ConfigMap,
    /// By which pods find each other.
    pub peers_service: Service,
    /// By which clients find pods.
    pub client_service: Service,
    /// The certificate that cert-manager makes.
    pub certificate: Option<DynamicObject>,
    /// The pods.
    pub stateful_set: StatefulSet,
    /// Keeps them from being evicted together.
    pub pod_disruption_budget: Option<PodDisruptionBudget>,
    /// Who may connect to them.
    pub network_policy: Option<NetworkPolicy>,
    /// Scrapes them.
    pub pod_monitor: Option<DynamicObject>,
    /// Scrapes them, by their Service.
    pub service_monitor: Option<DynamicObject>,
    /// Alerts about them.
    pub prometheus_rule: Option<DynamicObject>,
}
