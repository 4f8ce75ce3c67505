//! The configuration file that pods run with, from the spec; checked by the proxy's own rules.

use std::net::{Ipv6Addr, SocketAddr};
use std::num::TryFromIntError;

use bindproxy::config::{self, Config, RestartOnly, Seconds};

use super::mounts::{Files, upstream_ca, upstream_client};
use crate::crd::{self, BindProxySpec, Listener, ProxyProtocolMode};
use crate::identity::Identity;
use crate::reconcile::outcome::{Refusal, RefusalReason};
use crate::reconcile::validated::{ADMIN_PORT, Configuration, ListenerPort};

/// 64 bits: versions of one object are told apart, nobody defends against forgeries here.
const RESTART_HASH_DIGITS: usize = 16;

/// Writes the file and lets the proxy's rules judge it.
pub(super) fn render(
    spec: &BindProxySpec,
    identity: &Identity,
    ports: &[ListenerPort],
    cluster_domain: &str,
) -> Result<Configuration, Refusal> {
    let written = configuration(spec, identity, ports, cluster_domain)
        .map_err(|error| invalid(format!("a number is out of bounds: {error}")))?;
    let text = serde_saphyr::to_string(&written)
        .map_err(|error| invalid(format!("the configuration cannot be written: {error}")))?;
    let reviewed = config::review(&text).map_err(|problems| invalid(in_terms_of_spec(&problems)))?;
    let restart = serde_json::to_vec(&RestartOnly::of(&reviewed.config))
        .map_err(|error| invalid(format!("the configuration cannot be hashed: {error}")))?;
    let restart_hash = blake3::hash(&restart).to_hex().chars().take(RESTART_HASH_DIGITS).collect();
    Ok(Configuration { text, hash: reviewed.hash, restart_hash })
}

fn invalid(message: String) -> Refusal {
    Refusal { reason: RefusalReason::InvalidSpec, message }
}

/// The file's fields are named as the spec's are, so the proxy's words fit; `spec.` says where they stand.
fn in_terms_of_spec(problems: &config::Problems) -> String {
    let config::Problems(problems) = problems;
    problems.iter().map(|problem| format!("spec.{problem}")).collect::<Vec<_>>().join("\n")
}

fn configuration(
    spec: &BindProxySpec,
    identity: &Identity,
    ports: &[ListenerPort],
    cluster_domain: &str,
) -> Result<Config, TryFromIntError> {
    let BindProxySpec {
        replicas: _,
        paused: _,
        image: _,
        upstreams,
        upstream_policy,
        listeners,
        server_tls,
        cache,
        cluster,
        limits,
        drain,
        rollout: _,
        service: _,
        pod_disruption_budget: _,
        network_policy: _,
        monitoring: _,
        logging,
        pod: _,
    } = spec;
    let files = Files::of(spec);
    Ok(Config {
        listeners: listeners.iter().zip(ports).map(|(from, port)| listener(from, port)).collect::<Result<_, _>>()?,
        server_tls: server_tls.as_ref().map(|tls| config::ServerTls {
            certificate_file: files.server_certificate.clone(),
            key_file: files.server_key.clone(),
            client_ca_file: tls.client_ca.as_ref().map(|_| files.client_ca.clone()),
            client_certificate: tls.client_certificate,
        }),
        upstreams: upstreams.iter().map(upstream).collect::<Result<_, _>>()?,
        upstream_policy: policy(upstream_policy)?,
        cache: memory(cache, &files)?,
        limits: bounds(limits)?,
        drain: config::Drain { timeout_seconds: seconds(drain.timeout_seconds)? },
        admin: config::Admin { address: everywhere(ADMIN_PORT)?, token_file: None },
        logging: config::Logging { level: logging.level, redact_names: logging.redact_dns },
        cluster: Some(config::Cluster {
            name: identity.cluster_name(),
            address: everywhere(cluster.port)?,
            // Each pod gives its own name by its environment, so that all of them have one file and one hash.
            node_name: None,
            discovery: config::Discovery {
                // The final dot spares the questions for every domain of the pod's search list.
                dns: Some(format!("{}.{}.svc.{cluster_domain}.", identity.peers(), identity.namespace)),
                ..config::Discovery::default()
            },
            certificate_file: files.cluster_certificate,
            key_file: files.cluster_key,
            ca_file: files.cluster_ca,
            coordination: cluster.coordination,
        }),
    })
}

fn listener(from: &Listener, port: &ListenerPort) -> Result<config::Listener, TryFromIntError> {
    let Listener { name, port: _, tls, proxy_protocol } = from;
    Ok(config::Listener {
        name: name.clone(),
        address: Some(everywhere(port.container)?),
        socket: None,
        mode: None,
        tls: *tls,
        proxy_protocol: match proxy_protocol.mode {
            ProxyProtocolMode::Disabled => None,
            ProxyProtocolMode::V2 => Some(config::ProxyProtocol {
                mode: config::ProxyProtocolMode::V2,
                trusted_cidrs: proxy_protocol.trusted_cidrs.clone(),
            }),
        },
    })
}

fn upstream(from: &crd::Upstream) -> Result<config::Upstream, TryFromIntError> {
    let crd::Upstream { name, host, port, priority, weight, insecure_allow_cleartext, tls } = from;
    let crd::UpstreamTls { mode, min_version, server_name, ca, client_certificate_secret_ref } = tls;
    let (certificate_file, key_file) = client_certificate_secret_ref.as_ref().map(|_| upstream_client(name)).unzip();
    Ok(config::Upstream {
        name: name.clone(),
        host: Some(host.clone()),
        port: port.map(u16::try_from).transpose()?,
        socket: None,
        priority: u32::try_from(*priority)?,
        weight: u32::try_from(*weight)?,
        tls: config::UpstreamTls {
            mode: *mode,
            ca_file: ca.as_ref().map(|_| upstream_ca(name)),
            server_name: server_name.clone(),
            min_version: *min_version,
            certificate_file,
            key_file,
        },
        insecure_allow_cleartext: insecure_allow_cleartext.unwrap_or_default(),
    })
}

fn policy(from: &crd::UpstreamPolicy) -> Result<config::UpstreamPolicy, TryFromIntError> {
    let crd::UpstreamPolicy {
        strategy,
        connect_timeout_seconds,
        request_timeout_seconds,
        max_connections_per_pod,
        idle_timeout_seconds,
        health_check,
    } = from;
    let crd::HealthCheck { enabled, interval_seconds, failure_threshold, success_threshold } = health_check;
    Ok(config::UpstreamPolicy {
        strategy: *strategy,
        connect_timeout_seconds: seconds(*connect_timeout_seconds)?,
        request_timeout_seconds: seconds(*request_timeout_seconds)?,
        max_connections: u32::try_from(*max_connections_per_pod)?,
        idle_timeout_seconds: seconds(*idle_timeout_seconds)?,
        health_check: config::HealthCheck {
            enabled: *enabled,
            interval_seconds: seconds(*interval_seconds)?,
            failure_threshold: u32::try_from(*failure_threshold)?,
            success_threshold: u32::try_from(*success_threshold)?,
        },
    })
}

fn memory(from: &crd::Cache, files: &Files) -> Result<config::Cache, TryFromIntError> {
    let crd::Cache {
        ttl_seconds,
        max_ttl_seconds,
        first_ttl_seconds,
        max_entries,
        key_secret_ref: _,
        previous_key_secret_ref: _,
        answer_delay_milliseconds,
        fold_names,
        verdicts,
        request_password_policy,
        reject_unauthenticated,
    } = from;
    Ok(config::Cache {
        ttl_seconds: seconds(*ttl_seconds)?,
        max_ttl_seconds: seconds(*max_ttl_seconds)?,
        first_ttl_seconds: seconds(*first_ttl_seconds)?,
        max_entries: u32::try_from(*max_entries)?,
        key_file: Some(files.hash_key.clone()),
        previous_key_file: files.previous_hash_key.clone(),
        answer_delay_milliseconds: u32::try_from(*answer_delay_milliseconds)?,
        fold_names: *fold_names,
        verdicts: config::Verdicts { preset: verdicts.preset, rules: verdicts.rules.clone() },
        request_password_policy: *request_password_policy,
        reject_unauthenticated: *reject_unauthenticated,
    })
}

fn bounds(from: &crd::Limits) -> Result<config::Limits, TryFromIntError> {
    let crd::Limits {
        max_connections_per_pod,
        max_connections_per_client,
        max_message_bytes,
        max_pipelined_requests,
        idle_timeout_seconds,
        handshake_timeout_seconds,
        max_connection_age_seconds,
    } = from;
    Ok(config::Limits {
        max_connections: u32::try_from(*max_connections_per_pod)?,
        max_connections_per_client: u32::try_from(*max_connections_per_client)?,
        max_message_bytes: u32::try_from(*max_message_bytes)?,
        max_pipelined_requests: u32::try_from(*max_pipelined_requests)?,
        idle_timeout_seconds: seconds(*idle_timeout_seconds)?,
        handshake_timeout_seconds: seconds(*handshake_timeout_seconds)?,
        max_connection_age_seconds: seconds(*max_connection_age_seconds)?,
    })
}

fn seconds(from: i32) -> Result<Seconds, TryFromIntError> {
    u32::try_from(from).map(Seconds)
}

/// Every address of the pod, of both families.
fn everywhere(port: i32) -> Result<SocketAddr, TryFromIntError> {
    Ok(SocketAddr::from((Ipv6Addr::UNSPECIFIED, u16::try_from(port)?)))
}
