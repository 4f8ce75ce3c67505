//! One generation of the configuration, with everything loaded that it names. Replaced whole by a
//! reload; a session looks at the present generation at each decision.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use thiserror::Error;

use crate::bind::{HashKey, Keys, Policy, VerdictRules};
use crate::clock::Tick;
use crate::config::{self, CertificateExpiry, Config, Loaded, RequestPasswordPolicy, UpstreamTlsMode};
use crate::metrics::Metrics;
use crate::tls;
use crate::upstream::select::{self, Candidate};
use crate::upstream::target::{Endpoint, Target, TargetState, TargetTls};

/// By how much the clocks of members may be apart, generously for one site's network.
pub const CLOCKS_APART: Duration = Duration::from_millis(10);

/// The present generation.
pub struct Settings {
    /// The file.
    pub config: Config,
    /// Its hash, as `/configz` and the metric show it.
    pub hash: String,
    /// What LDAPS and StartTLS listeners show.
    pub server_tls: Option<Arc<ServerConfig>>,
    /// When which certificate ends.
    pub certificates: Vec<CertificateExpiry>,
    /// The upstreams in the order of the file.
    pub targets: Vec<Arc<Target>>,
    /// The longest request, in octets.
    pub max_message_bytes: usize,
    /// Requests of one client that may be outstanding.
    pub max_pipelined: usize,
    /// How long an answer to a bind or an extended operation is waited for.
    pub request_timeout: Duration,
    /// Delay of local refusals.
    pub answer_delay: Duration,
    /// Whether SASL EXTERNAL may be forwarded: only when no upstream connection carries an
    /// identity of the proxy's own.
    pub forward_external: bool,
}

/// Why a loaded configuration cannot be run. The old generation keeps serving.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// An upstream's server name is no name that a certificate can carry.
    #[error("upstream {upstream}: {cause}")]
    ServerName {
        /// The upstream.
        upstream: String,
        /// What is wrong with the name.
        cause: String,
    },
}

impl Settings {
    /// Builds a generation. Upstreams that did not change keep their connections, and all that
    /// keep their name and place keep what is known of them.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn build(loaded: &Loaded, metrics: &Metrics, previous: Option<&Settings>) -> Result<Arc<Self>, SettingsError> {
        let config = loaded.config.clone();
        let mut targets = Vec::with_capacity(config.upstreams.len());
        for upstream in &config.upstreams {
            let tls_config = loaded.material.upstream_tls.get(&upstream.name).cloned();
            targets.push(build_target(upstream, tls_config, &config, metrics, previous)?);
        }
        let forward_external = !targets.iter().any(|target| target.has_own_identity);
        Ok(Arc::new(Self {
            hash: loaded.hash.to_string(),
            server_tls: loaded.material.server_tls.clone(),
            certificates: loaded.material.certificates.clone(),
            targets,
            max_message_bytes: config.limits.max_message_bytes as usize,
            max_pipelined: config.limits.max_pipelined_requests as usize,
            request_timeout: config.upstream_policy.request_timeout_seconds.duration(),
            answer_delay: Duration::from_millis(u64::from(config.cache.answer_delay_milliseconds)),
            forward_external,
            config,
        }))
    }

    /// Whether new connections to `target` would still be made as this one was.
    #[must_use]
    pub fn is_current(&self, target: &Arc<Target>) -> bool {
        self.targets.iter().any(|current| Arc::ptr_eq(current, target))
    }

    /// The upstreams that may be tried now, best first.
    #[must_use]
    pub fn targets_in_order(&self, now: Tick) -> Vec<Arc<Target>> {
        let candidates: Vec<Candidate> = self.targets.iter().map(|target| target.candidate()).collect();
        let turn = self.targets.first().map_or(0, |target| target.state.next_turn());
        let order = select::order(self.config.upstream_policy.strategy, &candidates, turn, &mut rand::rng());
        if order.is_empty() {
            // Everything is down: one client a second tries for all of them.
            return self.targets.iter().filter(|target| target.state.may_probe(now)).cloned().collect();
        }
        order.into_iter().map(|index| self.targets[index].clone()).collect()
    }

    /// Whether a bind to `target` carries the password policy control although its client did not
    /// send it.
    #[must_use]
    pub fn adds_password_policy(&self, target: &Target) -> bool {
        match self.config.cache.request_password_policy {
            RequestPasswordPolicy::Always => true,
            RequestPasswordPolicy::Never => false,
            RequestPasswordPolicy::Auto => target.state.supports_password_policy(),
        }
    }
}

/// The rules of the failed-bind cache that a configuration asks for; `random` stands in where no
/// `keyFile` is given.
#[must_use]
pub fn policy(loaded: &Loaded, random: &HashKey) -> Policy {
    let cache = &loaded.config.cache;
    let key = |octets: &config::HashKey| HashKey::from_bytes(*octets.expose());
    let current = loaded.material.hash_key.as_ref().map(key);
    let previous = loaded.material.previous_hash_key.as_ref().map(key);
    Policy {
        ttl: cache.ttl_seconds.duration(),
        max_ttl: cache.max_ttl_seconds.duration(),
        first_ttl: cache.first_ttl_seconds.duration(),
        // Other members' clocks are within a network delay of this one's; alone there is nothing to cover.
        forgiveness: if loaded.config.cluster.is_some() { CLOCKS_APART } else { Duration::ZERO },
        rules: VerdictRules::new(&cache.verdicts),
        keys: Keys::new(current.as_ref().unwrap_or(random), previous.as_ref(), cache.fold_names),
    }
}

fn build_target(
    upstream: &config::Upstream,
    tls_config: Option<Arc<rustls::ClientConfig>>,
    config: &Config,
    metrics: &Metrics,
    previous: Option<&Settings>,
) -> Result<Arc<Target>, SettingsError> {
    let endpoint = endpoint(upstream);
    let old = previous.and_then(|previous| {
        previous.targets.iter().zip(&previous.config.upstreams).find(|(target, _)| *target.name == *upstream.name)
    });
    let max_connections = config.upstream_policy.max_connections;
    let state = match old {
        Some((target, _)) if target.endpoint == endpoint => {
            target.state.permits.set_limit(max_connections);
            target.state.clone()
        }
        _ => TargetState::new(max_connections),
    };
    let tls = match (upstream.tls.mode, tls_config) {
        (UpstreamTlsMode::Disabled, _) | (_, None) => None,
        (mode, Some(config)) => Some(TargetTls {
            start_tls: mode == UpstreamTlsMode::StartTLS,
            config,
            server_name: tls::server_name(upstream).map_err(|cause| SettingsError::ServerName {
                upstream: upstream.name.clone(),
                cause: cause.to_string(),
            })?,
        }),
    };
    let same_tls = |old: &Target| match (&old.tls, &tls) {
        (None, None) => true,
        // A reload reads certificates anew only when a file changed.
        (Some(old), Some(new)) => Arc::ptr_eq(&old.config, &new.config),
        _ => false,
    };
    if let Some((target, old_config)) = old
        && old_config == upstream
        && same_tls(target)
    {
        return Ok(target.clone());
    }
    let metrics = metrics.upstream(&upstream.name);
    metrics.up.set(i64::from(state.is_up()));
    Ok(Arc::new(Target {
        name: upstream.name.as_str().into(),
        has_own_identity: matches!(endpoint, Endpoint::Socket(_)) || upstream.tls.certificate_file.is_some(),
        endpoint,
        tls,
        priority: upstream.priority,
        weight: upstream.weight,
        metrics,
        state,
    }))
}

fn endpoint(upstream: &config::Upstream) -> Endpoint {
    if let Some(path) = &upstream.socket {
        return Endpoint::Socket(path.clone());
    }
    let port = upstream.effective_port();
    let host = upstream.host.clone().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse().map_or_else(|_| Endpoint::Name(host.clone(), port), |address| Endpoint::Address(address, port))
}
