//! What the admin API answers, gathered from the running proxy.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::admin::api::{
    AdminApi, BindCounts, CacheReport, ExplainedEntry, Explanation, FlushReport, FlushRequest, ListenerReport,
    Offender, StatusReport, UpstreamReport,
};
use crate::bind::{self, FlushScope, NameQuery, ShortHash, offenders};
use crate::clock::Tick;
use crate::core::Shared;
use crate::effects::perform;
use crate::logging::Escaped;
use crate::settings::Settings;

/// The running proxy, as the API sees it.
pub struct Api {
    shared: Arc<Shared>,
    settings: Arc<ArcSwap<Settings>>,
    /// Name and bound address of each listener.
    listeners: Vec<(String, String)>,
    node_name: String,
}

impl Api {
    /// Answers for this process.
    #[must_use]
    pub fn new(shared: Arc<Shared>, settings: Arc<ArcSwap<Settings>>, listeners: Vec<(String, String)>) -> Self {
        let node_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { shared, settings, listeners, node_name }
    }

    fn query<T>(&self, name: &str, ask: impl FnOnce(NameQuery<'_>) -> T) -> T {
        match name.parse::<ShortHash>() {
            Ok(ShortHash(short)) => ask(NameQuery::Short(short)),
            Err(_) => ask(NameQuery::Name(name.as_bytes())),
        }
    }
}

impl AdminApi for Api {
    fn status(&self) -> StatusReport {
        let settings = self.settings.load();
        let stats = self.shared.guard.stats();
        let now = self.shared.clock.now();
        StatusReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_hash: settings.hash.clone(),
            uptime_seconds: self.shared.status.uptime(now).as_secs(),
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
        }
    }

    fn offenders(&self, limit: usize) -> Vec<Offender> {
        let now = self.shared.cluster_clock.now();
        // One core's sketch is held at a time, and copied: no bind waits for the report.
        let sketches: Vec<bind::Offenders> = self.shared.offenders.iter().map(|sketch| sketch.lock().clone()).collect();
        offenders::merge(&sketches, limit).iter().map(|offender| report(offender, now)).collect()
    }

    fn explain(&self, name: &str) -> Option<Explanation> {
        let now = self.shared.cluster_clock.now();
        let known = self.query(name, |query| self.shared.guard.explain(query, now));
        let short = match (&known, name.parse::<ShortHash>()) {
            (Some(known), _) => ShortHash(known.name.short()),
            (None, Ok(_)) => return None,
            (None, Err(_)) => ShortHash(self.shared.guard.name_key(name.as_bytes()).short()),
        };
        let Some(known) = known else {
            return Some(Explanation {
                name: name.to_owned(),
                short_hash: short.to_string(),
                known_good: false,
                in_flight: false,
                entries: Vec::new(),
                next: "nothing is known of this name: any password is asked of the directory".to_owned(),
            });
        };
        let entries: Vec<ExplainedEntry> = known.entries.iter().map(explained).collect();
        let living = entries.iter().filter(|entry| entry.would_answer).count();
        Some(Explanation {
            name: name.to_owned(),
            short_hash: short.to_string(),
            known_good: known.last_good.is_some(),
            in_flight: known.in_flight > 0,
            next: next(living),
            entries,
        })
    }

    fn before_scrape(&self) {
        let live = self.shared.guard.stats().live;
        self.shared.metrics.cache().entries.set(i64::try_from(live).unwrap_or(i64::MAX));
    }

    fn flush(&self, request: FlushRequest) -> FlushReport {
        let now = self.shared.cluster_clock.now();
        let flushed = match &request {
            FlushRequest::All => self.shared.guard.flush(FlushScope::All, now),
            FlushRequest::Name(name) => match name.parse::<ShortHash>() {
                Ok(ShortHash(short)) => self.shared.guard.flush(FlushScope::Short(short), now),
                Err(_) => self.shared.guard.flush(FlushScope::Name(name.as_bytes()), now),
            },
        };
        perform(&self.shared, flushed.effects);
        tracing::info!(removed = flushed.removed, "failed binds flushed by the admin API");
        FlushReport {
            acknowledged: vec![self.node_name.clone()],
            unreachable: Vec::new(),
            removed: flushed.removed as u64,
        }
    }
}

/// The report is for people who hold the token and have to find the device, so it shows the name
/// even where the log does not.
fn report(offender: &bind::Offender, now: Tick) -> Offender {
    Offender {
        name: Escaped(&offender.name).to_string(),
        source: offender.source.to_string(),
        listener: offender.listener.to_string(),
        suppressed: offender.suppressed,
        first_seen_seconds_ago: now.since(offender.first_seen).as_secs(),
        last_seen_seconds_ago: now.since(offender.last_seen).as_secs(),
    }
}

fn explained(entry: &bind::EntryExplanation) -> ExplainedEntry {
    ExplainedEntry {
        age_seconds: entry.age.as_secs(),
        remaining_seconds: entry.remaining.as_secs(),
        failures: u32::from(entry.level).max(1),
        hits: u64::from(entry.hits),
        result_code: entry.code,
        diagnostic: entry.diagnostic.clone(),
        would_answer: entry.remaining > Duration::ZERO,
    }
}

fn next(living: usize) -> String {
    match living {
        0 => "any password is asked of the directory".to_owned(),
        1 => "the one wrong password above is answered from memory; any other is asked of the directory".to_owned(),
        many => {
            format!("the {many} wrong passwords above are answered from memory; any other is asked of the directory")
        }
    }
}

fn count(gauge: i64) -> u64 {
    u64::try_from(gauge).unwrap_or(0)
}
