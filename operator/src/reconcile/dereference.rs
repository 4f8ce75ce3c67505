//! What a spec refers to, fetched: the only step before `apply` that asks the API server.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::crd::BindProxySpec;
use crate::identity::Identity;
use crate::kinds::Kinds;
use crate::owned::Owned;
use crate::reconcile::validate::config_maps;

/// Why something could not be fetched; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum DereferenceError {
    /// The API server refused or could not be asked.
    #[error("{what} cannot be read")]
    Read {
        /// Kind and name.
        what: String,
        /// What it said.
        #[source]
        source: kube::Error,
    },
}

/// What a spec refers to.
#[derive(Clone, Debug, Default)]
pub struct References {
    /// The keys of each ConfigMap that is named and exists.
    pub config_maps: BTreeMap<String, Vec<String>>,
    /// Objects that have the name of one of ours and another owner.
    pub foreign: Vec<Foreign>,
    /// The optional kinds that the API server has.
    pub kinds: Kinds,
}

/// An object that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Who controls it, as `Kind/name`.
    pub owner: Option<String>,
}

/// Fetches everything that `spec` refers to.
///
/// # Errors
/// When the API server cannot be asked or refuses; an object that is not there is no error.
pub async fn dereference(
    client: &Client,
    identity: &Identity,
    spec: &BindProxySpec,
    owned: &Owned,
    kinds: Kinds,
) -> Result<References, DereferenceError> {
    let mut references = References { kinds, ..References::default() };
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &identity.namespace);
    for (_, ca) in config_maps(spec) {
        if references.config_maps.contains_key(&ca.name) {
            continue;
        }
        let found = api.get_opt(&ca.name).await.map_err(|source| read("ConfigMap", &ca.name, source))?;
        if let Some(ConfigMap { data, binary_data, .. }) = found {
            let keys = data.into_iter().flat_map(BTreeMap::into_keys);
            let keys = keys.chain(binary_data.into_iter().flat_map(BTreeMap::into_keys)).collect();
            references.config_maps.insert(ca.name.clone(), keys);
        }
    }
    let (main, peers) = (identity.main(), identity.peers());
    let ours = owned.of(identity);
    let mut look = Look { client, identity, foreign: Vec::new() };
    look.at::<ServiceAccount>("ServiceAccount", &main, ours.service_account.is_some()).await?;
    look.at::<ConfigMap>("ConfigMap", &identity.config_map(), ours.config_map.is_some()).await?;
    look.at::<Service>("Service", &main, ours.client_service.is_some()).await?;
    look.at::<Service>("Service", &peers, ours.peers_service.is_some()).await?;
    look.at::<StatefulSet>("StatefulSet", &main, ours.stateful_set.is_some()).await?;
    if spec.wants_pod_disruption_budget() {
        look.at::<PodDisruptionBudget>("PodDisruptionBudget", &main, ours.pod_disruption_budget.is_some()).await?;
    }
    if spec.network_policy.enabled {
        look.at::<NetworkPolicy>("NetworkPolicy", &main, ours.network_policy.is_some()).await?;
    }
    references.foreign = look.foreign;
    Ok(references)
}

struct Look<'a> {
    client: &'a Client,
    identity: &'a Identity,
    foreign: Vec<Foreign>,
}

impl Look<'_> {
    /// Asks only for what is not known to be ours: in the long run, for nothing.
    async fn at<K>(&mut self, kind: &'static str, name: &str, known: bool) -> Result<(), DereferenceError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        if known {
            return Ok(());
        }
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.identity.namespace);
        let found = api.get_metadata_opt(name).await.map_err(|source| read(kind, name, source))?;
        if let Some(found) = found
            && !self.identity.owns(&found.metadata)
        {
            self.foreign.push(Foreign { kind, name: name.to_owned(), owner: controller(&found.metadata) });
        }
        Ok(())
    }
}

fn controller(metadata: &ObjectMeta) -> Option<String> {
    let owner = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))?;
    Some(format!("{}/{}", owner.kind, owner.name))
}

fn read(kind: &str, name: &str, source: kube::Error) -> DereferenceError {
    DereferenceError::Read { what: format!("{kind} {name}"), source }
}
