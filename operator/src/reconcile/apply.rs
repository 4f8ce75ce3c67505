//! Writes the objects, in an order in which a pod that starts finds what it needs.
//!
//! Server-side apply, by one field manager: what others set (an autoscaler, an injector, `kubectl rollout
//! restart`) stays theirs. An object that is as it should be is not written at all.

use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::build::Objects;
use super::quantity;
use crate::identity::{FIELD_MANAGER, Identity};
use crate::kinds::Kinds;
use crate::metrics::Metrics;
use crate::owned::Ours;

/// The hash of what was applied last. Fields that are wanted no more show by it alone, since what is
/// there holds all that is still wanted.
const APPLIED_HASH: &str = "bindproxy.io/applied-hash";

/// Why an object could not be written. Those before it in the order were.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The API server refused or could not be asked.
    #[error("{kind} {name} cannot be {verb}")]
    Write {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// What was tried.
        verb: &'static str,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object of that name is somebody else's; it was left as it is.
    #[error("{kind} {name} belongs to somebody else")]
    Foreign {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// An object could not be written as JSON.
    #[error("{0} cannot be written as JSON")]
    Serialize(String, #[source] serde_json::Error),
}

impl ApplyError {
    /// What the API server said, or why it could not be asked, if that is what failed.
    #[must_use]
    pub fn answer(&self) -> Option<&kube::Error> {
        match self {
            Self::Write { kind: _, name: _, verb: _, source } => Some(source),
            Self::Foreign { kind: _, name: _ } | Self::Serialize(_, _) => None,
        }
    }
}

/// What is there now.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The pods' controller, as the API server has it.
    pub stateful_set: StatefulSet,
}

/// Writes one BindProxy's objects.
pub struct Applier<'a> {
    /// To the API server.
    pub client: &'a Client,
    /// Whose objects they are.
    pub identity: &'a Identity,
    /// What is there.
    pub ours: &'a Ours,
    /// The optional kinds.
    pub kinds: &'a Kinds,
    /// Counts.
    pub metrics: &'a Metrics,
}

impl Applier<'_> {
    /// Makes the Secret that pods share, once. It is never read: that it is there already is success.
    ///
    /// # Errors
    /// When the API server refuses or cannot be asked.
    pub async fn create_once(&self, secret: &Secret) -> Result<bool, ApplyError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.identity.namespace);
        let options = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match api.create(&options, secret).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(false),
            Err(source) => Err(write_error("Secret", &secret.name_any(), "created", source)),
        }
    }

    /// Writes everything that is not as it should be, and removes what is wanted no more.
    ///
    /// # Errors
    /// The first object that could not be written.
    pub async fn apply(&self, objects: Objects) -> Result<Applied, ApplyError> {
        // Without `..`: a kind that is added and not applied does not compile.
        let Objects {
            service_account,
            config_map,
            peers_service,
            client_service,
            certificate,
            stateful_set,
            pod_disruption_budget,
            network_policy,
            pod_monitor,
            service_monitor,
            prometheus_rule,
        } = objects;
        let Ours {
            service_account: account_now,
            config_map: config_now,
            client_service: client_service_now,
            peers_service: peers_service_now,
            stateful_set: set_now,
            pod_disruption_budget: budget_now,
            network_policy: policy_now,
            pods: _,
        } = self.ours;
        let Kinds {
            pod_monitor: pod_monitors,
            service_monitor: service_monitors,
            prometheus_rule: prometheus_rules,
            certificate: certificates,
        } = self.kinds;
        let (main, tls) = (self.identity.main(), self.identity.server_tls_secret());
        self.ensure(service_account, account_now.as_deref()).await?;
        // Before the pods: one that starts reads it at once.
        self.ensure(config_map, config_now.as_deref()).await?;
        self.ensure(peers_service, peers_service_now.as_deref()).await?;
        self.ensure(client_service, client_service_now.as_deref()).await?;
        self.ensure_dynamic(certificates.as_ref(), &tls, certificate).await?;
        self.ensure_or_remove(network_policy, policy_now).await?;
        let stateful_set = self.ensure(stateful_set, set_now.as_deref()).await?;
        // After the pods: a budget for more pods than there are would block evictions meanwhile.
        self.ensure_or_remove(pod_disruption_budget, budget_now).await?;
        self.ensure_dynamic(pod_monitors.as_ref(), &main, pod_monitor).await?;
        self.ensure_dynamic(service_monitors.as_ref(), &main, service_monitor).await?;
        self.ensure_dynamic(prometheus_rules.as_ref(), &main, prometheus_rule).await?;
        Ok(Applied { stateful_set })
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.identity.namespace)
    }

    async fn ensure<K>(&self, wanted: K, now: Option<&K>) -> Result<K, ApplyError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Serialize + DeserializeOwned + Clone + Debug,
    {
        let wanted = Wanted::of(&wanted, K::api_version(&()).as_ref(), K::kind(&()).as_ref())?;
        match now {
            Some(now) if wanted.is_there(now)? => Ok(now.clone()),
            Some(_) | None => self.write(&self.api::<K>(), &wanted).await,
        }
    }

    async fn ensure_or_remove<K>(&self, wanted: Option<K>, now: &Option<Arc<K>>) -> Result<(), ApplyError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Serialize + DeserializeOwned + Clone + Debug,
    {
        match (wanted, now) {
            (Some(wanted), now) => self.ensure(wanted, now.as_deref()).await.map(|_| ()),
            (None, Some(now)) => {
                self.remove(&self.api::<K>(), &K::kind(&()), now.meta().uid.clone(), &now.name_any()).await
            }
            (None, None) => Ok(()),
        }
    }

    /// Kinds of others are not watched: they may come and go. So each is asked for.
    async fn ensure_dynamic(
        &self,
        kind: Option<&ApiResource>,
        name: &str,
        wanted: Option<DynamicObject>,
    ) -> Result<(), ApplyError> {
        let Some(kind) = kind else { return Ok(()) };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.identity.namespace, kind);
        let now = match api.get_opt(name).await {
            Ok(now) => now,
            // Its kind has gone since kinds were asked for. An object that is missing is no error.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            // Whoever did not ask for it need not let the operator read it.
            Err(kube::Error::Api(status)) if status.is_forbidden() && wanted.is_none() => return Ok(()),
            Err(source) => return Err(write_error(&kind.kind, name, "read", source)),
        };
        let foreign = now.as_ref().is_some_and(|now| !self.identity.owns(&now.metadata));
        match (wanted, now) {
            (Some(_), Some(_)) if foreign => {
                Err(ApplyError::Foreign { kind: kind.kind.clone(), name: name.to_owned() })
            }
            (Some(wanted), now) => {
                let wanted = Wanted::of(&wanted, &kind.api_version, &kind.kind)?;
                if let Some(now) = &now
                    && wanted.is_there(now)?
                {
                    return Ok(());
                }
                self.write(&api, &wanted).await.map(|_| ())
            }
            (None, Some(now)) if !foreign => self.remove(&api, &kind.kind, now.metadata.uid.clone(), name).await,
            (None, Some(_) | None) => Ok(()),
        }
    }

    async fn write<K>(&self, api: &Api<K>, wanted: &Wanted) -> Result<K, ApplyError>
    where
        K: Clone + DeserializeOwned + Debug,
    {
        let Wanted { kind, name, value } = wanted;
        let options = PatchParams::apply(FIELD_MANAGER).force();
        tracing::info!(namespace = self.identity.namespace, kind, name, "applying");
        api.patch(name, &options, &Patch::Apply(value)).await.map_err(|source| {
            if matches!(&source, kube::Error::Api(status) if status.is_conflict()) {
                self.metrics.apply_conflict(kind);
            }
            write_error(kind, name, "applied", source)
        })
    }

    async fn remove<K>(&self, api: &Api<K>, kind: &str, uid: Option<String>, name: &str) -> Result<(), ApplyError>
    where
        K: Clone + DeserializeOwned + Debug,
    {
        let options = DeleteParams {
            preconditions: Some(Preconditions { uid, resource_version: None }),
            ..DeleteParams::background()
        };
        tracing::info!(namespace = self.identity.namespace, kind, name, "removing what is wanted no more");
        match api.delete(name, &options).await {
            Ok(_) => Ok(()),
            // Gone already, or another one of that name by now, which is not ours.
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(source) => Err(write_error(kind, name, "removed", source)),
        }
    }
}

fn write_error(kind: &str, name: &str, verb: &'static str, source: kube::Error) -> ApplyError {
    ApplyError::Write { kind: kind.to_owned(), name: name.to_owned(), verb, source: Box::new(source) }
}

/// What should be there, as JSON with the hash of itself.
struct Wanted {
    kind: String,
    name: String,
    value: Value,
}

impl Wanted {
    fn of<K: Serialize + kube::ResourceExt>(object: &K, api_version: &str, kind: &str) -> Result<Self, ApplyError> {
        let serialize = |error| ApplyError::Serialize(format!("{kind} {}", object.name_any()), error);
        let mut value = serde_json::to_value(object).map_err(serialize)?;
        if let Value::Object(fields) = &mut value {
            fields.insert("apiVersion".to_owned(), api_version.into());
            fields.insert("kind".to_owned(), kind.into());
            fields.remove("status");
        }
        let hash = blake3::hash(&serde_json::to_vec(&value).map_err(serialize)?).to_hex();
        let short: String = hash.chars().take(16).collect();
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut)
            && let Some(annotations) =
                metadata.entry("annotations").or_insert_with(|| Value::Object(serde_json::Map::new())).as_object_mut()
        {
            annotations.insert(APPLIED_HASH.to_owned(), short.into());
        }
        Ok(Self { kind: kind.to_owned(), name: object.name_any(), value })
    }

    /// Whether an object holds all that is wanted. Where the API server writes a value in a way of its own that is not
    /// known here, this says no, and the apply that follows changes nothing.
    fn is_there<K: Serialize>(&self, now: &K) -> Result<bool, ApplyError> {
        let mut now = serde_json::to_value(now)
            .map_err(|error| ApplyError::Serialize(format!("{} {}", self.kind, self.name), error))?;
        if let (Value::Object(now), Some(kind), Some(version)) =
            (&mut now, self.value.get("kind"), self.value.get("apiVersion"))
        {
            // Lists leave these out of their items.
            now.insert("kind".to_owned(), kind.clone());
            now.insert("apiVersion".to_owned(), version.clone());
        }
        Ok(holds(&now, &self.value))
    }
}

/// Whether `there` has everything that `wanted` has. Lists are compared item by item: what others add to
/// one makes it differ, which costs an apply and no more.
fn holds(there: &Value, wanted: &Value) -> bool {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => wanted.iter().all(|(key, value)| match there.get(key) {
            None => is_empty(value),
            Some(there) if QUANTITIES.contains(&key.as_str()) => holds_quantities(there, value),
            Some(there) => holds(there, value),
        }),
        (Value::Array(there), Value::Array(wanted)) => {
            there.len() == wanted.len() && there.iter().zip(wanted).all(|(there, wanted)| holds(there, wanted))
        }
        (there, wanted) => there == wanted,
    }
}

/// Fields that hold quantities by name of the resource.
const QUANTITIES: [&str; 2] = ["limits", "requests"];

fn holds_quantities(there: &Value, wanted: &Value) -> bool {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => wanted.iter().all(|(resource, amount)| {
            there.get(resource).is_some_and(|there| there == amount || quantity::are_same(there, amount))
        }),
        (there, wanted) => there == wanted,
    }
}

/// Whether the API server writes nothing at all for such a value (Go's `omitempty`).
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_there_when_it_holds_all_that_is_wanted() {
        let there = json!({
            "a": 1,
            "list": [{"name": "x", "default": true}],
            "others": "field",
            "resources": {"limits": {"cpu": "1"}, "requests": {"memory": "1Gi"}},
            "version": "1",
        });
        for (wanted, expected) in [
            (json!({"a": 1}), true),
            (json!({"a": 2}), false),
            (json!({"b": 1}), false),
            (json!({"b": {}, "c": false, "d": 0, "e": ""}), true),
            (json!({"b": true}), false),
            (json!({"list": [{"name": "x"}]}), true),
            (json!({"list": [{"name": "y"}]}), false),
            (json!({"list": []}), false),
            (json!({"resources": {"limits": {"cpu": "1000m"}, "requests": {"memory": "1024Mi"}}}), true),
            (json!({"resources": {"limits": {"cpu": "1"}, "requests": {}}}), true),
            (json!({"resources": {"limits": {"cpu": "2"}}}), false),
            (json!({"resources": {"limits": {"memory": "1Gi"}}}), false),
            // Elsewhere text is text.
            (json!({"version": "1000m"}), false),
        ] {
            assert_eq!(holds(&there, &wanted), expected, "{wanted}");
        }
    }
}
