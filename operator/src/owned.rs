//! What the operator has made, as its watches know it: so that a look at a BindProxy asks the API server
//! for nothing that it already told.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Resource;
use kube::runtime::reflector::{ObjectRef, Store};

use crate::identity::Identity;

/// The watched objects of one kind, by namespace; one entry under `None` when all are watched.
pub struct Watched<K: Resource<DynamicType = ()> + 'static> {
    stores: BTreeMap<Option<String>, Store<K>>,
}

impl<K> Default for Watched<K>
where
    K: Resource<DynamicType = ()> + 'static,
{
    fn default() -> Self {
        Self { stores: BTreeMap::new() }
    }
}

impl<K> Watched<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + 'static,
    K::DynamicType: Hash + Eq,
{
    /// Adds what is watched in `namespace`, or everywhere.
    pub fn insert(&mut self, namespace: Option<String>, store: Store<K>) {
        self.stores.insert(namespace, store);
    }

    fn store(&self, namespace: &str) -> Option<&Store<K>> {
        self.stores.get(&Some(namespace.to_owned())).or_else(|| self.stores.get(&None))
    }

    /// The object of that name, if it is this BindProxy's.
    fn get(&self, identity: &Identity, name: &str) -> Option<Arc<K>> {
        let found = self.store(&identity.namespace)?.get(&ObjectRef::new(name).within(&identity.namespace))?;
        identity.owns(found.meta()).then_some(found)
    }

    /// Whether every watch has told all that there is.
    pub async fn wait_until_ready(&self) -> bool {
        for store in self.stores.values() {
            if store.wait_until_ready().await.is_err() {
                return false;
            }
        }
        true
    }
}

/// Everything that is watched.
#[derive(Default)]
pub struct Owned {
    /// ServiceAccounts.
    pub service_accounts: Watched<ServiceAccount>,
    /// ConfigMaps.
    pub config_maps: Watched<ConfigMap>,
    /// Services.
    pub services: Watched<Service>,
    /// StatefulSets.
    pub stateful_sets: Watched<StatefulSet>,
    /// PodDisruptionBudgets.
    pub pod_disruption_budgets: Watched<PodDisruptionBudget>,
    /// NetworkPolicies.
    pub network_policies: Watched<NetworkPolicy>,
    /// Pods.
    pub pods: Watched<Pod>,
}

/// What of one BindProxy is there.
#[derive(Clone, Debug, Default)]
pub struct Ours {
    /// The ServiceAccount.
    pub service_account: Option<Arc<ServiceAccount>>,
    /// The ConfigMap.
    pub config_map: Option<Arc<ConfigMap>>,
    /// The Service of the clients.
    pub client_service: Option<Arc<Service>>,
    /// The headless Service.
    pub peers_service: Option<Arc<Service>>,
    /// The StatefulSet.
    pub stateful_set: Option<Arc<StatefulSet>>,
    /// The PodDisruptionBudget.
    pub pod_disruption_budget: Option<Arc<PodDisruptionBudget>>,
    /// The NetworkPolicy.
    pub network_policy: Option<Arc<NetworkPolicy>>,
    /// The pods of the StatefulSet.
    pub pods: Vec<Arc<Pod>>,
}

impl Owned {
    /// What of `identity` is there.
    #[must_use]
    pub fn of(&self, identity: &Identity) -> Ours {
        let main = identity.main();
        let stateful_set = self.stateful_sets.get(identity, &main);
        let pods = stateful_set.as_ref().map(|set| self.pods_of(identity, set)).unwrap_or_default();
        Ours {
            service_account: self.service_accounts.get(identity, &main),
            config_map: self.config_maps.get(identity, &identity.config_map()),
            client_service: self.services.get(identity, &main),
            peers_service: self.services.get(identity, &identity.peers()),
            stateful_set,
            pod_disruption_budget: self.pod_disruption_budgets.get(identity, &main),
            network_policy: self.network_policies.get(identity, &main),
            pods,
        }
    }

    fn pods_of(&self, identity: &Identity, set: &StatefulSet) -> Vec<Arc<Pod>> {
        let Some(store) = self.pods.store(&identity.namespace) else { return Vec::new() };
        let of_set = |pod: &Pod| {
            pod.metadata.namespace.as_deref() == Some(identity.namespace.as_str())
                && pod
                    .metadata
                    .owner_references
                    .iter()
                    .flatten()
                    .any(|owner| Some(&owner.uid) == set.metadata.uid.as_ref())
        };
        store.state_filter(of_set)
    }

    /// Whether everything that there is has been told; false when a watch has ended.
    pub async fn wait_until_ready(&self) -> bool {
        let Self {
            service_accounts,
            config_maps,
            services,
            stateful_sets,
            pod_disruption_budgets,
            network_policies,
            pods,
        } = self;
        service_accounts.wait_until_ready().await
            && config_maps.wait_until_ready().await
            && services.wait_until_ready().await
            && stateful_sets.wait_until_ready().await
            && pod_disruption_budgets.wait_until_ready().await
            && network_policies.wait_until_ready().await
            && pods.wait_until_ready().await
    }
}
