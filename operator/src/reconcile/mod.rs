//! What happens with one BindProxy: dereference → validate → build → apply → status.
//!
//! The driver calls the steps and knows none of their contents. `dereference`, `apply` and `observe` need
//! the API server or the pods; `validate`, `build` and `status` are pure.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::events::Recorder;
use serde_json::json;
use tokio::time::Instant;

pub mod apply;
pub mod build;
pub mod dereference;
pub mod events;
pub mod failure;
pub mod nudge;
pub mod observation;
pub mod observe;
pub mod outcome;
pub mod quantity;
pub mod refusal;
pub mod status;
pub mod validate;
pub mod validated;

use apply::{Applied, Applier, ApplyError};
use build::BuildError;
use build::cluster_secret::{ClusterMaterial, ClusterMaterialError, cluster_secret};
use dereference::DereferenceError;
use observe::Observer;
use outcome::{ErrorReason, Refusal};
use validated::ValidatedBindProxy;

use crate::clock::Clock;
use crate::crd::{BindProxy, BindProxyStatus};
use crate::identity::{Identity, STATUS_FIELD_MANAGER};
use crate::kinds::{Kinds, KindsCache};
use crate::metrics::Metrics;
use crate::owned::{Ours, Owned};
use crate::settings::Defaults;

/// What every look at a BindProxy needs.
pub struct Context {
    /// To the API server.
    pub client: Client,
    /// Publishes events; shared, so that equal ones become one with a count.
    pub recorder: Recorder,
    /// What a BindProxy gets that does not say otherwise.
    pub defaults: Defaults,
    /// What the watches know.
    pub owned: Owned,
    /// The optional kinds.
    pub kinds: KindsCache,
    /// Asks the pods.
    pub observer: Observer,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Reads the wall clock.
    pub clock: Clock,
    /// How often a BindProxy that is in order is looked at.
    pub resync: Duration,
}

/// Why a look at a BindProxy failed. What was done before the failing step stays done; the look is repeated.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The optional kinds could not be found out.
    #[error("the API server does not tell which kinds it has")]
    Discover(#[source] kube::Error),
    /// What the spec refers to could not be fetched.
    #[error(transparent)]
    Dereference(#[from] DereferenceError),
    /// The objects could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The certificate between pods could not be made.
    #[error(transparent)]
    Material(#[from] ClusterMaterialError),
    /// The objects could not be written.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The status could not be written.
    #[error("the status cannot be written")]
    Status(#[source] kube::Error),
    /// Something that was asked begins to answer and does not end.
    #[error("it took longer than {} s: the API server takes requests and does not answer them whole", LOOK_WITHIN.as_secs())]
    TooLong,
}

impl ReconcileError {
    /// The step that failed.
    #[must_use]
    pub fn reason(&self) -> ErrorReason {
        match self {
            Self::Discover(_) => ErrorReason::Discover,
            Self::Dereference(_) => ErrorReason::Dereference,
            Self::Build(_) | Self::Material(_) => ErrorReason::Build,
            Self::Apply(_) => ErrorReason::Apply,
            Self::Status(_) => ErrorReason::Status,
            Self::TooLong => ErrorReason::Timeout,
        }
    }

    /// What the API server said, or why it could not be asked, if that is what failed.
    fn answer(&self) -> Option<&kube::Error> {
        match self {
            Self::Discover(error) | Self::Status(error) => Some(error),
            Self::Dereference(DereferenceError::Read { what: _, source }) => Some(source),
            Self::Apply(error) => error.answer(),
            Self::Build(_) | Self::Material(_) | Self::TooLong => None,
        }
    }
}

/// Looks at one BindProxy and does what is to be done.
///
/// # Errors
/// What could not be done now and may work later. What a person has to repair is no error: the status says it.
pub async fn reconcile(
    bind_proxy: Arc<DeserializeGuard<BindProxy>>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let DeserializeGuard(stored) = bind_proxy.as_ref();
    // One that cannot be read is counted and told by the controller; it must not keep the others waiting.
    let Ok(bind_proxy) = stored else { return Ok(Action::await_change()) };
    let Some(identity) = Identity::of(bind_proxy) else { return Ok(Action::await_change()) };
    if bind_proxy.metadata.deletion_timestamp.is_some() {
        // Everything of it is removed by the garbage collection of the API server.
        return Ok(Action::await_change());
    }
    let began = Instant::now();
    context.metrics.began();
    let looked = tokio::time::timeout(LOOK_WITHIN, look(bind_proxy, &identity, &context)).await;
    let result = match looked.unwrap_or(Err(ReconcileError::TooLong)) {
        // As with a BindProxy that is deleted: whoever deletes the namespace removes everything, and errors would only be
        // noise until that is done.
        Err(error) if error.answer().is_some_and(refusal::is_of_terminating_namespace) => {
            tracing::debug!(namespace = identity.namespace, name = identity.name, "its namespace is being deleted");
            Ok(Look { accepted: true, next: context.resync })
        }
        result => result,
    };
    let how = match &result {
        Ok(Look { accepted, .. }) => Ok(*accepted),
        Err(error) => Err(error.reason()),
    };
    context.metrics.ended(how, began.elapsed(), context.clock.unix_seconds());
    result.map(|look| Action::requeue(look.next))
}

/// When an error is tried again; the controller adds no backoff of its own.
#[must_use]
pub fn on_error(bind_proxy: Arc<DeserializeGuard<BindProxy>>, error: &ReconcileError, context: Arc<Context>) -> Action {
    let DeserializeGuard(stored) = bind_proxy.as_ref();
    let name = stored.as_ref().ok().and_then(|bind_proxy| bind_proxy.metadata.name.as_deref());
    tracing::warn!(name, error = failure::chain(error), "a look at a BindProxy failed, it will be repeated");
    drop(context);
    Action::requeue(failure::RETRIED_AFTER)
}

struct Look {
    accepted: bool,
    next: Duration,
}

/// The longest time of a look, so that few BindProxies that hang do not keep all others waiting. A look that is cut off
/// leaves no harm: the next one finds what was written and goes on from there.
const LOOK_WITHIN: Duration = Duration::from_secs(60);

/// How long the watches may take to tell what there is, after a start. Where one is forbidden it never does; the
/// look then asks for each object, and says what it may not.
const WATCHES_TELL_WITHIN: Duration = Duration::from_secs(10);

async fn look(bind_proxy: &BindProxy, identity: &Identity, context: &Context) -> Result<Look, ReconcileError> {
    // Before that, all pods would be taken for gone and the status would say so.
    if tokio::time::timeout(WATCHES_TELL_WITHIN, context.owned.wait_until_ready()).await.is_err() {
        tracing::warn!(name = identity.name, "not every watch has told what there is; going on without");
    }
    let kinds = context.kinds.get(&context.client).await.map_err(ReconcileError::Discover)?;
    let verdict = judge(bind_proxy, identity, &kinds, context).await?;
    let mut stateful_set = None;
    let verdict = match verdict {
        Ok(validated) if !bind_proxy.spec.paused => write(&validated, &kinds, context).await?.map(|applied| {
            stateful_set = Some(applied.stateful_set);
            validated
        }),
        verdict => verdict,
    };
    let ours = context.owned.of(identity);
    // What was just applied is ahead of the watch: the status must not take the pods of before for those of now.
    let stateful_set = stateful_set.or_else(|| ours.stateful_set.as_deref().cloned());
    let now = context.clock.now();
    let observation = context.observer.observe(&context.client, identity, stateful_set, ours.pods.clone(), now).await;
    if let Ok(validated) = &verdict {
        nudge::nudge(&context.client, validated, &ours, &observation).await;
    }
    let previous = bind_proxy.status.clone().unwrap_or_default();
    let next = status::status(&previous, identity, &bind_proxy.spec, verdict.as_ref(), &observation, now);
    if next != previous {
        write_status(bind_proxy, identity, &next, context).await?;
        events::publish(&context.recorder, bind_proxy, &previous, &next).await;
    }
    Ok(Look { accepted: verdict.is_ok(), next: status::next_look(&next, now, context.resync) })
}

/// Whether the spec can be built, and if not, what a person has to repair.
async fn judge(
    bind_proxy: &BindProxy,
    identity: &Identity,
    kinds: &Kinds,
    context: &Context,
) -> Result<Result<ValidatedBindProxy, Refusal>, ReconcileError> {
    let fetched =
        dereference::dereference(&context.client, identity, &bind_proxy.spec, &context.owned, kinds.clone()).await;
    match fetched {
        Ok(references) => Ok(validate::validate(bind_proxy, identity, &references, &context.defaults)),
        Err(error) => refusal::of_dereference(&error).map(Err).ok_or(error.into()),
    }
}

/// Builds and writes the objects.
async fn write(
    validated: &ValidatedBindProxy,
    kinds: &Kinds,
    context: &Context,
) -> Result<Result<Applied, Refusal>, ReconcileError> {
    let identity = &validated.identity;
    let ours = context.owned.of(identity);
    let objects = build::build(validated)?;
    let applier = Applier { client: &context.client, identity, ours: &ours, kinds, metrics: &context.metrics };
    let written = async {
        if validated.makes_cluster_secret && may_lack_secret(&ours, validated.spec.replicas) {
            let material = ClusterMaterial::generate(&identity.cluster_name(), context.clock.now().as_second())?;
            applier.create_once(&cluster_secret(identity, material)).await?;
        }
        Ok::<Applied, ReconcileError>(applier.apply(objects).await?)
    };
    match written.await {
        Ok(applied) => Ok(Ok(applied)),
        Err(ReconcileError::Apply(error)) => refusal::of_apply(&error).map(Err).ok_or(error.into()),
        Err(error) => Err(error),
    }
}

/// The Secret cannot be looked for, since it is never read: it is offered until all pods have it.
fn may_lack_secret(ours: &Ours, replicas: i32) -> bool {
    let ready = ours.stateful_set.as_ref().and_then(|set| set.status.as_ref()?.ready_replicas).unwrap_or_default();
    ready < replicas || ours.stateful_set.is_none()
}

async fn write_status(
    bind_proxy: &BindProxy,
    identity: &Identity,
    status: &BindProxyStatus,
    context: &Context,
) -> Result<(), ReconcileError> {
    let api: Api<BindProxy> = Api::namespaced(context.client.clone(), &identity.namespace);
    let patch = json!({
        "apiVersion": "bindproxy.io/v1alpha1",
        "kind": "BindProxy",
        "metadata": {"name": identity.name, "uid": bind_proxy.metadata.uid},
        "status": status,
    });
    let options = PatchParams::apply(STATUS_FIELD_MANAGER).force();
    match api.patch_status(&identity.name, &options, &Patch::Apply(patch)).await {
        Ok(_) => Ok(()),
        // Deleted meanwhile: nobody is left who could read it.
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(error) => Err(ReconcileError::Status(error)),
    }
}

#[cfg(test)]
mod tests;
