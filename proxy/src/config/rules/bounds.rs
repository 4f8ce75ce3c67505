//! Numbers that are too small to work or too large to be meant.

use crate::config::problem::Report;
use crate::config::{Cache, Config, Drain, HealthCheck, Limits, UpstreamPolicy};

const YEAR: u32 = 366 * 86_400;
const HOUR: u32 = 3_600;

/// Checks every number that stands alone.
pub(super) fn check(config: &Config, report: &mut Report) {
    let UpstreamPolicy {
        strategy: _,
        connect_timeout_seconds,
        request_timeout_seconds,
        max_connections: upstream_connections,
        idle_timeout_seconds: upstream_idle,
        health_check: HealthCheck { enabled: _, interval_seconds, failure_threshold, success_threshold },
    } = &config.upstream_policy;
    let Cache {
        ttl_seconds,
        max_ttl_seconds,
        first_ttl_seconds,
        max_entries,
        key_file: _,
        previous_key_file: _,
        answer_delay_milliseconds,
        fold_names: _,
        verdicts: _,
        request_password_policy: _,
        reject_unauthenticated: _,
    } = &config.cache;
    let Limits {
        max_connections,
        max_connections_per_client,
        max_message_bytes,
        max_pipelined_requests,
        idle_timeout_seconds,
        handshake_timeout_seconds,
        max_connection_age_seconds,
    } = &config.limits;
    let Drain { timeout_seconds } = &config.drain;
    let bounds = [
        ("upstreamPolicy.connectTimeoutSeconds", connect_timeout_seconds.0, 1, HOUR),
        ("upstreamPolicy.requestTimeoutSeconds", request_timeout_seconds.0, 1, HOUR),
        ("upstreamPolicy.maxConnections", *upstream_connections, 1, 1_000_000),
        ("upstreamPolicy.idleTimeoutSeconds", upstream_idle.0, 1, YEAR),
        ("upstreamPolicy.healthCheck.intervalSeconds", interval_seconds.0, 1, HOUR),
        ("upstreamPolicy.healthCheck.failureThreshold", *failure_threshold, 1, 1_000),
        ("upstreamPolicy.healthCheck.successThreshold", *success_threshold, 1, 1_000),
        ("cache.ttlSeconds", ttl_seconds.0, 1, YEAR),
        ("cache.maxTTLSeconds", max_ttl_seconds.0, 1, YEAR),
        ("cache.firstTTLSeconds", first_ttl_seconds.0, 1, YEAR),
        ("cache.maxEntries", *max_entries, 1, 1_000_000_000),
        ("cache.answerDelayMilliseconds", *answer_delay_milliseconds, 0, 60_000),
        ("limits.maxConnections", *max_connections, 1, 10_000_000),
        ("limits.maxConnectionsPerClient", *max_connections_per_client, 0, 10_000_000),
        // Below this not even a bind with a certificate or a Kerberos ticket fits.
        ("limits.maxMessageBytes", *max_message_bytes, 4_096, 1 << 30),
        ("limits.maxPipelinedRequests", *max_pipelined_requests, 1, 65_536),
        ("limits.idleTimeoutSeconds", idle_timeout_seconds.0, 0, YEAR),
        ("limits.handshakeTimeoutSeconds", handshake_timeout_seconds.0, 1, HOUR),
        ("limits.maxConnectionAgeSeconds", max_connection_age_seconds.0, 0, YEAR),
        ("drain.timeoutSeconds", timeout_seconds.0, 0, 24 * HOUR),
    ];
    for (path, value, min, max) in bounds {
        within(report, path, value, min, max);
    }
    for (index, upstream) in config.upstreams.iter().enumerate() {
        within(report, &format!("upstreams[{index}].priority"), upstream.priority, 0, 1_000_000);
        within(report, &format!("upstreams[{index}].weight"), upstream.weight, 0, 1_000_000);
    }
}

fn within(report: &mut Report, path: &str, value: u32, min: u32, max: u32) {
    if value < min {
        report.problem(path, &[], format!("{value} is too little"), format!("write at least {min}"));
    } else if value > max {
        report.problem(path, &[], format!("{value} is too much"), format!("write at most {max}"));
    }
}
