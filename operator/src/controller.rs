//! The watches, and the loop that looks at each BindProxy when something of it changes.

use std::fmt::Debug;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Config, Error as ControllerError};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::utils::Backoff;
use kube::runtime::{Controller, WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::watch::Receiver;

use crate::crd::BindProxy;
use crate::identity::{FIELD_MANAGER, INSTANCE, MANAGED_BY};
use crate::metrics::Metrics;
use crate::owned::{Owned, Watched};
use crate::reconcile::{self, Context, ReconcileError, failure};

/// Changes that come together (a pod and its StatefulSet) are one look.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// The first and the longest pause before a watch that failed is tried again. After an outage of the API server nothing is
/// noticed before that is over.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));

/// A BindProxy as it is stored, whether or not it can be read.
pub type Stored = DeserializeGuard<BindProxy>;

type Watch<K> = BoxStream<'static, Result<K, watcher::Error>>;

/// Adds a watch to a controller.
type Trigger = Box<dyn FnOnce(Controller<Stored>) -> Controller<Stored> + Send>;

/// The watches of one namespace, or of all.
pub struct Watches {
    bind_proxies: Watch<Stored>,
    reader: Store<Stored>,
    owned: Vec<Trigger>,
}

/// Prepares the watches of `namespaces`; of all when there is none. Nothing is asked before [`run`].
pub fn watches(
    client: &Client,
    namespaces: &[String],
    recorder: &Recorder,
    metrics: &Arc<Metrics>,
) -> (Owned, Vec<Watches>) {
    let mut owned = Owned::default();
    let places: Vec<Option<&str>> =
        if namespaces.is_empty() { vec![None] } else { namespaces.iter().map(|name| Some(name.as_str())).collect() };
    let watches = places
        .into_iter()
        .map(|namespace| Place { client, namespace, metrics }.watches(&mut owned, recorder.clone()))
        .collect();
    (owned, watches)
}

/// Where to watch.
struct Place<'a> {
    client: &'a Client,
    namespace: Option<&'a str>,
    metrics: &'a Arc<Metrics>,
}

impl Place<'_> {
    fn watches(&self, owned: &mut Owned, recorder: Recorder) -> Watches {
        // Without `..`: a kind that is added and not watched does not compile.
        let Owned {
            service_accounts,
            config_maps,
            services,
            stateful_sets,
            pod_disruption_budgets,
            network_policies,
            pods,
        } = owned;
        let (reader, bind_proxies) = self.bind_proxies(recorder);
        // A pod is owned by its StatefulSet; the label says whose that is.
        let pods = self.owned::<Pod>(pods);
        Watches {
            bind_proxies,
            reader,
            owned: vec![
                triggering(self.owned(service_accounts)),
                triggering(self.owned(config_maps)),
                triggering(self.owned(services)),
                triggering(self.owned(stateful_sets)),
                triggering(self.owned(pod_disruption_budgets)),
                triggering(self.owned(network_policies)),
                Box::new(|controller| controller.watches_stream(pods, |pod: Pod| bind_proxy_of(&pod))),
            ],
        }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match self.namespace {
            None => Api::all(self.client.clone()),
            Some(name) => Api::namespaced(self.client.clone(), name),
        }
    }

    fn bind_proxies(&self, recorder: Recorder) -> (Store<Stored>, Watch<Stored>) {
        let (reader, writer) = store();
        let failed = self.failed::<Stored>();
        let stream = watcher(self.api::<Stored>(), watcher::Config::default())
            .backoff(pauses())
            .reflect(writer)
            .touched_objects()
            .inspect_err(failed)
            .then(move |object| {
                let recorder = recorder.clone();
                async move {
                    if let Ok(DeserializeGuard(Err(unreadable))) = &object {
                        tell_unreadable(unreadable, &recorder).await;
                    }
                    object
                }
            });
        (reader, apart(stream).boxed())
    }

    fn owned<K>(&self, watched: &mut Watched<K>) -> Watch<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        let (reader, writer) = store();
        watched.insert(self.namespace.map(str::to_owned), reader);
        let stream =
            watcher(self.api::<K>(), watcher::Config::default().labels(&format!("{MANAGED_BY}={FIELD_MANAGER}")))
                .backoff(pauses())
                // Half of an object, and of no use here.
                .modify(|object| object.managed_fields_mut().clear())
                .reflect(writer)
                .touched_objects()
                .inspect_err(self.failed::<K>());
        apart(stream).boxed()
    }

    fn failed<K: Resource<DynamicType = ()>>(&self) -> impl Fn(&watcher::Error) + Send + Sync + 'static {
        let metrics = Arc::clone(self.metrics);
        move |error| {
            let kind = K::kind(&());
            metrics.watch_restarted(&kind);
            tracing::warn!(kind = %kind, error = failure::chain(error), "a watch failed and is started again");
        }
    }
}

/// A watch without its errors. Each waits by itself before it is started again, but a controller that hears of an error
/// stops all of its watches for up to a minute: after an outage of the API server, in which each fails in turn, new
/// BindProxies would not be seen for many minutes.
fn apart<K>(watch: impl Stream<Item = Result<K, watcher::Error>>) -> impl Stream<Item = Result<K, watcher::Error>> {
    watch.filter(|object| ready(object.is_ok()))
}

/// The pause before the next attempt: twice the last one.
struct Pauses(Duration);

fn pauses() -> Pauses {
    Pauses(PAUSES.0)
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.0;
        self.0 = pause.saturating_mul(2).min(PAUSES.1);
        Some(pause)
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.0 = PAUSES.0;
    }
}

fn triggering<K>(stream: Watch<K>) -> Trigger
where
    K: Resource<DynamicType = ()> + Send + 'static,
{
    Box::new(|controller| controller.owns_stream(stream))
}

fn bind_proxy_of(pod: &Pod) -> Option<ObjectRef<Stored>> {
    let name = pod.metadata.labels.as_ref()?.get(INSTANCE)?;
    Some(ObjectRef::new(name).within(pod.metadata.namespace.as_deref()?))
}

/// Only its owner can repair it; the others are looked at all the same.
async fn tell_unreadable(unreadable: &kube::core::error_boundary::InvalidObject, recorder: &Recorder) {
    let metadata = &unreadable.metadata;
    tracing::warn!(
        namespace = metadata.namespace,
        name = metadata.name,
        error = unreadable.error,
        "a BindProxy cannot be read and is left as it is"
    );
    let event = Event {
        type_: EventType::Warning,
        reason: "InvalidSpec".to_owned(),
        action: "Accepted".to_owned(),
        note: Some(format!(
            "this BindProxy cannot be read: {}; correct it (was the resource definition changed?)",
            unreadable.error
        )),
        secondary: None,
    };
    let reference = DeserializeGuard::<BindProxy>(Err(unreadable.clone())).object_ref(&());
    if let Err(error) = recorder.publish(&event, &reference).await {
        tracing::warn!(error = %error, "an event could not be published");
    }
}

/// The BindProxies that are watched.
#[derive(Clone)]
pub struct BindProxies {
    stores: Vec<Store<Stored>>,
}

impl BindProxies {
    /// Those of `watches`.
    #[must_use]
    pub fn of(watches: &[Watches]) -> Self {
        Self { stores: watches.iter().map(|watches| watches.reader.clone()).collect() }
    }

    /// How many are ready, are not, are not because somebody wants that, and cannot be read.
    #[must_use]
    pub fn count(&self) -> (usize, usize, usize, usize) {
        let (mut ready, mut not_ready, mut stopped, mut rejected) = (0, 0, 0, 0);
        for stored in self.stores.iter().flat_map(Store::state) {
            let DeserializeGuard(stored) = stored.as_ref();
            match stored {
                Ok(bind_proxy) => match ready_condition(bind_proxy) {
                    Some(condition) if condition.status == "True" => ready += 1,
                    Some(condition) if STOPPED.contains(&condition.reason.as_str()) => stopped += 1,
                    _ => not_ready += 1,
                },
                Err(_) => rejected += 1,
            }
        }
        (ready, not_ready, stopped, rejected)
    }
}

/// Reasons of the condition Ready that somebody asked for: no alert should follow.
const STOPPED: [&str; 2] = ["ScaledToZero", "Paused"];

fn ready_condition(bind_proxy: &BindProxy) -> Option<&Condition> {
    let mut conditions = bind_proxy.status.iter().flat_map(|status| &status.conditions);
    conditions.find(|condition| condition.type_ == "Ready")
}

/// Looks at BindProxies until `stop` says true, and until every look that had begun is over.
pub async fn run(watches: Vec<Watches>, concurrency: u16, context: Arc<Context>, stop: Receiver<bool>) {
    let controllers = watches.into_iter().map(|watches| {
        let Watches { bind_proxies, reader, owned } = watches;
        let stopped = wait_for(stop.clone());
        let controller = Controller::for_stream(bind_proxies, reader)
            .with_config(Config::default().concurrency(concurrency).debounce(DEBOUNCE))
            .graceful_shutdown_on(stopped);
        owned
            .into_iter()
            .fold(controller, |controller, watch| watch(controller))
            .run(reconcile::reconcile, reconcile::on_error, Arc::clone(&context))
            .for_each(async |result| told(result))
    });
    join_all(controllers).await;
}

async fn wait_for(mut stop: Receiver<bool>) {
    // An error means that whoever could say stop is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Errors of looks were told where they are repeated, those of watches where they failed.
fn told(result: Result<(ObjectRef<Stored>, Action), ControllerError<ReconcileError, watcher::Error>>) {
    match result {
        Ok((object, action)) => tracing::debug!(%object, ?action, "looked"),
        Err(ControllerError::ReconcilerFailed(..) | ControllerError::QueueError(_)) => {}
        // Deleted before its turn came.
        Err(ControllerError::ObjectNotFound(object)) => tracing::debug!(%object, "gone"),
        Err(error @ ControllerError::RunnerError(_)) => {
            tracing::error!(error = failure::chain(&error), "the controller's queue failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::{Stream, StreamExt as _, stream};
    use k8s_openapi::api::core::v1::{ConfigMap, Pod};
    use kube::core::response::Status;
    use kube::runtime::controller::Action;
    use kube::runtime::reflector::store;
    use kube::runtime::{Controller, watcher};

    use super::{Backoff as _, PAUSES, apart, pauses};

    /// Two watches fail again and again, as each does after an outage; a third has news.
    #[tokio::test]
    async fn a_watch_that_fails_holds_up_no_other() {
        let pod: Pod =
            serde_json::from_value(serde_json::json!({"metadata": {"name": "corp", "namespace": "mail"}})).unwrap();
        let (reader, mut writer) = store();
        for event in [watcher::Event::Init, watcher::Event::InitApply(pod.clone()), watcher::Event::InitDone] {
            writer.apply_watcher_event(&event);
        }
        // Ready when its turn comes after the failures.
        let news = stream::once(async move { Ok(pod) });
        let mut looks = Controller::for_stream(apart(failing().chain(news).chain(stream::pending())), reader)
            .owns_stream(apart(failing::<ConfigMap>()))
            .run(
                async |_, _| Ok::<_, std::convert::Infallible>(Action::await_change()),
                |_, _, _| Action::await_change(),
                Arc::new(()),
            )
            .boxed();
        // One failure alone would take longer otherwise.
        let looked = tokio::time::timeout(Duration::from_millis(500), looks.next()).await;
        assert!(matches!(looked, Ok(Some(Ok(_)))), "{looked:?}");
    }

    fn failing<K>() -> impl Stream<Item = Result<K, watcher::Error>> + Send + 'static {
        stream::repeat_with(|| {
            let expired = Box::new(Status::failure("too old resource version", "Expired"));
            Err(watcher::Error::WatchError(expired))
        })
        .take(20)
    }

    #[test]
    fn pauses_grow_to_a_bound_that_is_short_and_begin_again() {
        let mut pauses = pauses();
        let seconds: Vec<f64> = pauses.by_ref().take(7).map(|pause| pause.as_secs_f64()).collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]);
        pauses.reset();
        assert_eq!(pauses.next(), Some(PAUSES.0));
    }
}
