//! What the admin API answers, gathered from the running proxy and the other members of its cluster.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rand::rngs::SysRng;
use serde::de::DeserializeOwned;

use crate::admin::api::{
    AdminApi, BindCounts, CacheReport, Explanation, FlushReport, FlushRequest, ListenerReport, Offenders, StatusReport,
    UnknownShortHash, UpstreamReport,
};
use crate::admin::cluster::{Awaited, Gathered, Peers};
use crate::admin::pod_status::{PodCertificate, PodCluster, PodMember, PodStatus, UpstreamHealth, UpstreamReason};
use crate::bind::{self, FlushScope, Flushed, NameKey, NameKeys, NameQuery, ShortHash, offenders};
use crate::core::Shared;
use crate::effects::perform;
use crate::settings::Settings;
use crate::status::rfc3339;

mod explained;
mod offending;
mod query;

use query::{ErrorReply, FlushShortReply, Hex, Query, QueryError};

/// How long the other members may take for what only looks.
const LOOK_LIMIT: Duration = Duration::from_secs(3);
/// How long the other members may take to forget. The HTTP request has 15 s.
const FLUSH_LIMIT: Duration = Duration::from_secs(10);

/// The running proxy, as the API sees it.
pub struct Api {
    shared: Arc<Shared>,
    settings: Arc<ArcSwap<Settings>>,
    /// Name and bound address of each listener.
    listeners: Vec<(String, String)>,
    peers: Arc<dyn Peers>,
    node_name: String,
}

impl Api {
    /// Answers for this process and those that `peers` reaches.
    #[must_use]
    pub fn new(
        shared: Arc<Shared>,
        settings: Arc<ArcSwap<Settings>>,
        listeners: Vec<(String, String)>,
        peers: Arc<dyn Peers>,
    ) -> Self {
        let host_name = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        let node_name = peers.own_name().unwrap_or_else(host_name);
        Self { shared, settings, listeners, peers, node_name }
    }

    /// Every member's answer to `query`, this one's own first.
    async fn ask_all<T: DeserializeOwned>(&self, query: &Query, own: T) -> Answers<T> {
        let gathered = self.peers.gather(Some(query::encoded(query)), LOOK_LIMIT).await;
        Answers::of(gathered, &self.node_name, own)
    }

    async fn explain_all(&self, name: String) -> Result<Explanation, UnknownShortHash> {
        let now = self.shared.cluster_clock.now();
        let guard = &self.shared.guard;
        let asked_short = name.parse::<ShortHash>().ok();
        let (query, short, known) = match asked_short {
            None => {
                let NameKeys { current, previous } = guard.name_keys(name.as_bytes());
                let keys: Vec<NameKey> = std::iter::once(current).chain(previous).collect();
                let known = guard.explain(NameQuery::Keys(&keys), now);
                let keys = keys.iter().map(|key| Hex(key.0)).collect();
                (Query::Explain { keys }, ShortHash(current.short()), known)
            }
            Some(ShortHash(short)) => match guard.explain(NameQuery::Short(short), now) {
                // Others may know something of the name that no short hash leads to.
                Some(known) => (Query::Explain { keys: vec![Hex(known.name.0)] }, ShortHash(short), Some(known)),
                None => (Query::ExplainShort { short: ShortHash(short).to_string() }, ShortHash(short), None),
            },
        };
        let Answers { views, missing } = self.ask_all(&query, explained::View::of(known.as_ref())).await;
        if asked_short.is_some() && !explained::is_known(&views) {
            return Err(UnknownShortHash { missing });
        }
        Ok(explained::merged(&name, short, &views, missing))
    }

    async fn flush_all(&self, request: FlushRequest) -> FlushReport {
        let (query, flushed) = match &request {
            FlushRequest::All => (None, flush(&self.shared, FlushScope::All)),
            FlushRequest::Name(name) => match name.parse::<ShortHash>() {
                Err(_) => (None, flush(&self.shared, FlushScope::Name(name.as_bytes()))),
                Ok(short) => {
                    let flushed = flush(&self.shared, FlushScope::Short(short.0));
                    // A purge is a fact about a whole key. Who does not know the key that belongs
                    // to this short hash has none to tell, so those are asked who may.
                    let unknown = flushed.effects.is_empty();
                    (unknown.then(|| Query::FlushShort { short: short.to_string() }), flushed)
                }
            },
        };
        let own = FlushShortReply { known: !flushed.effects.is_empty(), removed: flushed.removed as u64 };
        let Answers { views, missing } = match query {
            None => {
                let gathered = self.peers.gather(None, FLUSH_LIMIT).await;
                // Passing the barrier is the whole answer.
                let passed = gathered.answers.into_iter().map(|(node, _)| (node, own)).collect();
                Answers { views: passed, missing: gathered.missing }.with_own(&self.node_name, own)
            }
            Some(query) => {
                let gathered = self.peers.gather(Some(query::encoded(&query)), FLUSH_LIMIT).await;
                Answers::of(gathered, &self.node_name, own)
            }
        };
        if !missing.is_empty() {
            tracing::warn!(?missing, "not every member acknowledged a flush");
        }
        FlushReport {
            removed: views.iter().map(|(_, reply)| reply.removed).max().unwrap_or_default(),
            lasting: views.iter().any(|(_, reply)| reply.known),
            acknowledged: views.into_iter().map(|(node, _)| node).collect(),
            unreachable: missing,
        }
    }

    async fn offenders_of_all(&self, limit: usize) -> Offenders {
        let own = offending_view(&self.shared, offending::MAX_PAIRS);
        let query = Query::Offenders { limit: offending::MAX_PAIRS };
        let gathered = self.peers.gather(Some(query::encoded(&query)), LOOK_LIMIT).await;
        let seal = self.shared.guard.name_seal();
        let Answers { views, missing } =
            Answers::decoded(gathered, |reply: offending::Reply| reply.opened(&seal)).with_own(&self.node_name, own);
        offending::merged(&views, missing, |name| self.shared.guard.name_key(name), limit)
    }
}

/// What the members said, by node name, and who said nothing that can be used.
struct Answers<T> {
    views: Vec<(String, T)>,
    missing: Vec<String>,
}

impl<T> Answers<T> {
    /// A reply that cannot be read is none: its member may be of a version that was not asked so.
    fn decoded<R: DeserializeOwned>(gathered: Gathered, view: impl Fn(R) -> T) -> Self {
        let Gathered { answers, mut missing } = gathered;
        let mut views = Vec::with_capacity(answers.len());
        for (node, reply) in answers {
            match reply.as_deref().and_then(query::decoded::<R>) {
                Some(reply) => views.push((node, view(reply))),
                None => missing.push(node),
            }
        }
        Self { views, missing }
    }

    fn with_own(mut self, node: &str, own: T) -> Self {
        // Whoever was started anew under the same name answers for the run of it that vanished.
        self.missing.retain(|missing| self.views.iter().all(|(node, _)| node != missing));
        self.missing.sort();
        self.missing.dedup();
        self.views.sort_by(|(one, _), (other, _)| one.cmp(other));
        self.views.insert(0, (node.to_owned(), own));
        self
    }
}

impl<T: DeserializeOwned> Answers<T> {
    fn of(gathered: Gathered, node: &str, own: T) -> Self {
        Self::decoded(gathered, |reply: T| reply).with_own(node, own)
    }
}

/// Answers what another member asks on behalf of its admin API. Never blocks, never fails: what
/// cannot be answered is told so.
#[must_use]
pub fn answer_member(shared: &Arc<Shared>, query: &[u8]) -> Vec<u8> {
    match Query::parse(query).and_then(|query| answer(shared, query)) {
        Ok(reply) => reply,
        Err(error) => query::encoded(&ErrorReply { error: error.to_string() }),
    }
}

fn answer(shared: &Arc<Shared>, query: Query) -> Result<Vec<u8>, QueryError> {
    let short = |text: String| text.parse::<ShortHash>().map_err(|_| QueryError::Malformed);
    let now = shared.cluster_clock.now();
    let explained = |query| {
        let known = shared.guard.explain(query, now);
        query::encoded(&explained::View::of(known.as_ref()).bounded())
    };
    Ok(match query {
        Query::Explain { keys } => {
            let keys: Vec<NameKey> = keys.iter().take(MAX_KEYS).map(|key| NameKey(key.0)).collect();
            explained(NameQuery::Keys(&keys))
        }
        Query::ExplainShort { short: text } => explained(NameQuery::Short(short(text)?.0)),
        Query::Offenders { limit } => {
            let view = offending_view(shared, limit.min(offending::MAX_PAIRS));
            query::encoded(&view.sealed(&shared.guard.name_seal(), &mut SysRng))
        }
        Query::FlushShort { short: text } => {
            let Flushed { removed, effects } = flush(shared, FlushScope::Short(short(text)?.0));
            query::encoded(&FlushShortReply { known: !effects.is_empty(), removed: removed as u64 })
        }
        Query::Unknown => return Err(QueryError::Unknown),
    })
}

/// Forgets here, and tells the others.
fn flush(shared: &Arc<Shared>, scope: FlushScope<'_>) -> Flushed {
    let flushed = shared.guard.flush(scope, shared.cluster_clock.now());
    perform(shared, flushed.effects.clone());
    tracing::info!(removed = flushed.removed, "failed binds flushed by the admin API");
    flushed
}

fn offending_view(shared: &Shared, limit: usize) -> offending::View {
    // One core's sketch is held at a time, and copied: no bind waits for the report.
    let sketches: Vec<bind::Offenders> = shared.offenders.iter().map(|sketch| sketch.lock().clone()).collect();
    offending::View::of(&offenders::merge(&sketches, limit), shared.cluster_clock.now())
}

/// A name has two keys while the hashing key is rotated.
const MAX_KEYS: usize = 2;

impl AdminApi for Api {
    fn status(&self) -> StatusReport {
        let settings = self.settings.load();
        let stats = self.shared.guard.stats();
        StatusReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_hash: settings.hash.clone(),
            uptime_seconds: self.shared.status.uptime(self.shared.clock.now()).as_secs(),
            ready: self.shared.status.ready(),
            draining: self.shared.status.is_draining(),
            cache: CacheReport {
                entries: stats.live as u64,
                capacity: u64::from(settings.config.cache.max_entries),
                names: stats.names as u64,
            },
            listeners: self
                .listeners
                .iter()
                .map(|(name, address)| ListenerReport {
                    name: name.clone(),
                    address: address.clone(),
                    active: count(self.shared.metrics.listener(name).active.get()),
                })
                .collect(),
            upstreams: settings
                .targets
                .iter()
                .map(|target| UpstreamReport {
                    name: target.name.to_string(),
                    address: target.endpoint.to_string(),
                    up: target.state.is_up(),
                    idle: count(target.metrics.idle.get()),
                    busy: count(target.metrics.busy.get()),
                    last_error: target.state.last_error(),
                })
                .collect(),
            binds: BindCounts::of(&self.shared.metrics),
            cluster: self.peers.report(),
        }
    }

    fn pod_status(&self) -> PodStatus {
        let settings = self.settings.load();
        let config = self.shared.status.config();
        let upstreams = settings.targets.iter().map(|target| {
            let (reason, message) = target.state.verdict();
            UpstreamHealth { name: target.name.to_string(), up: reason == UpstreamReason::Healthy, reason, message }
        });
        let cluster = self.peers.report().map(|report| PodCluster {
            node: report.node,
            joined: report.joined,
            members: report
                .members
                .into_iter()
                .map(|other| PodMember { name: other.name, state: other.state })
                .collect(),
        });
        let certificates = settings.certificates.iter().map(|certificate| PodCertificate {
            role: certificate.role.clone(),
            not_after: rfc3339(certificate.not_after_unix),
        });
        PodStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_hash: config.hash.clone(),
            config_error: config.error.clone(),
            ready: self.shared.status.ready(),
            draining: self.shared.status.is_draining(),
            upstreams: upstreams.collect(),
            cluster,
            certificates: certificates.collect(),
        }
    }

    fn offenders(&self, limit: usize) -> Awaited<'_, Offenders> {
        Box::pin(self.offenders_of_all(limit))
    }

    fn explain(&self, name: String) -> Awaited<'_, Result<Explanation, UnknownShortHash>> {
        Box::pin(self.explain_all(name))
    }

    fn flush(&self, request: FlushRequest) -> Awaited<'_, FlushReport> {
        Box::pin(self.flush_all(request))
    }

    fn before_scrape(&self) {
        let live = self.shared.guard.stats().live;
        self.shared.metrics.cache().entries.set(i64::try_from(live).unwrap_or(i64::MAX));
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn count(gauge: i64) -> u64 {
    u64::try_from(gauge).unwrap_or(0)
}
