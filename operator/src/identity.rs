//! Whose objects they are: the names, labels and owner of everything that belongs to one BindProxy.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource as _, ResourceExt as _};

use crate::crd::BindProxy;

/// The field manager of everything that the operator applies.
pub const FIELD_MANAGER: &str = "bindproxy-operator";
/// The field manager of the status, apart from the other so that neither takes the other's fields away.
pub const STATUS_FIELD_MANAGER: &str = "bindproxy-operator-status";
/// The label that everything made by the operator carries, with the value [`FIELD_MANAGER`].
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The label that names the BindProxy.
pub const INSTANCE: &str = "app.kubernetes.io/instance";

/// One BindProxy, as far as names go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its namespace.
    pub namespace: String,
    /// Its name, at most 40 characters.
    pub name: String,
    /// Tells it from an earlier one of that name.
    pub uid: String,
    /// The generation of its spec.
    pub generation: i64,
}

impl Identity {
    /// Of a BindProxy that the API server handed out; `None` for one that never was there.
    #[must_use]
    pub fn of(bind_proxy: &BindProxy) -> Option<Self> {
        Some(Self {
            namespace: bind_proxy.namespace()?,
            name: bind_proxy.name_any(),
            uid: bind_proxy.uid()?,
            generation: bind_proxy.metadata.generation?,
        })
    }

    /// The StatefulSet, the client Service, the ServiceAccount and the PodDisruptionBudget.
    #[must_use]
    pub fn main(&self) -> String {
        self.name.clone()
    }

    /// The headless Service.
    #[must_use]
    pub fn peers(&self) -> String {
        format!("{}-peers", self.name)
    }

    /// The ConfigMap.
    #[must_use]
    pub fn config_map(&self) -> String {
        format!("{}-config", self.name)
    }

    /// The Secret with the hashing key and the certificate between pods, unless others are named.
    #[must_use]
    pub fn cluster_secret(&self) -> String {
        format!("{}-cluster", self.name)
    }

    /// The Secret that cert-manager fills, and its Certificate.
    #[must_use]
    pub fn server_tls_secret(&self) -> String {
        format!("{}-server-tls", self.name)
    }

    /// The id of the cluster of pods, which their certificate carries.
    #[must_use]
    pub fn cluster_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// What selects the pods; immutable, so nothing that can change is in it.
    #[must_use]
    pub fn selector(&self) -> BTreeMap<String, String> {
        labels([("app.kubernetes.io/name", "bindproxy"), (INSTANCE, &self.name)])
    }

    /// [`Self::selector`] as text, for the scale subresource.
    #[must_use]
    pub fn selector_text(&self) -> String {
        let pairs: Vec<String> = self.selector().iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.join(",")
    }

    /// The labels of every object.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut all = self.selector();
        all.extend(labels([
            ("app.kubernetes.io/component", "proxy"),
            ("app.kubernetes.io/part-of", "bindproxy"),
            (MANAGED_BY, FIELD_MANAGER),
        ]));
        all
    }

    /// Everything is removed with its BindProxy, by the API server's garbage collection; so there is no finalizer.
    #[must_use]
    pub fn owner_reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: BindProxy::api_version(&()).into_owned(),
            kind: BindProxy::kind(&()).into_owned(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            controller: Some(true),
            // Asking for it takes the right to change finalizers of BindProxies on some clusters, and nothing here needs it.
            block_owner_deletion: None,
        }
    }

    /// The metadata of an object called `name`.
    #[must_use]
    pub fn metadata(&self, name: String) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.namespace.clone()),
            labels: Some(self.labels()),
            owner_references: Some(vec![self.owner_reference()]),
            ..ObjectMeta::default()
        }
    }

    /// Whether an object with this metadata is this BindProxy's.
    #[must_use]
    pub fn owns(&self, metadata: &ObjectMeta) -> bool {
        metadata.owner_references.iter().flatten().any(|owner| owner.uid == self.uid && owner.controller == Some(true))
    }
}

fn labels<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}
