//! `upstreams` and `upstreamPolicy`: the directory servers, and how one is chosen and watched.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Seconds;

/// One directory server. Exactly one of `host` and `socket`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Upstream {
    /// The name in metrics and logs; unique among upstreams.
    pub name: String,
    /// Host name or IP address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Port; default 636 for LDAPS, else 389.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Path of the server's unix socket (`ldapi`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
    /// Lower is asked first; equal priorities share by weight.
    #[serde(default)]
    pub priority: u32,
    /// Share among equal priorities; 0 = only when nothing else is up.
    #[serde(default = "one")]
    pub weight: u32,
    /// TLS towards the server.
    #[serde(default)]
    pub tls: UpstreamTls,
    /// Consent to sending passwords in clear text to a server that is not on loopback.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure_allow_cleartext: bool,
}

impl Upstream {
    /// The port that is dialled.
    #[must_use]
    pub fn effective_port(&self) -> u16 {
        self.port.unwrap_or(match self.tls.mode {
            UpstreamTlsMode::LDAPS => 636,
            UpstreamTlsMode::Disabled | UpstreamTlsMode::StartTLS => 389,
        })
    }
}

/// TLS towards an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpstreamTls {
    /// `Disabled`, `StartTLS` or `LDAPS`.
    #[serde(default)]
    pub mode: UpstreamTlsMode,
    /// PEM file: the authorities that may have signed the server's certificate; default: the
    /// system's.
    #[serde(rename = "caFile", default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The name that the certificate must carry; default: `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// The oldest version spoken.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// PEM file: the proxy's own certificate, where the server wants one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<PathBuf>,
    /// PEM file: the private key of that certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
}

/// How TLS starts towards an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UpstreamTlsMode {
    /// Clear text; refused for a server that is not on loopback unless
    /// `insecureAllowCleartext` is set.
    #[default]
    Disabled,
    /// StartTLS before anything else; never falls back.
    StartTLS,
    /// TLS from the first byte.
    LDAPS,
}

/// A TLS version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[default]
    #[serde(rename = "TLSv1.2")]
    V12,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "TLSv1.3")]
    V13,
}

/// How an upstream is chosen and how long it is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct UpstreamPolicy {
    /// The choice among upstreams that are up.
    pub strategy: Strategy,
    /// How long a connection may take in all, failover and queueing included.
    pub connect_timeout_seconds: Seconds,
    /// How long an answer to a bind or an extended operation is waited for.
    pub request_timeout_seconds: Seconds,
    /// Connections to one upstream, in use and idle, over the whole process.
    pub max_connections: u32,
    /// How long an unused connection is kept.
    pub idle_timeout_seconds: Seconds,
    /// How upstreams are watched.
    pub health_check: HealthCheck,
}

impl Default for UpstreamPolicy {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            connect_timeout_seconds: Seconds(3),
            request_timeout_seconds: Seconds(10),
            max_connections: 64,
            idle_timeout_seconds: Seconds(600),
            health_check: HealthCheck::default(),
        }
    }
}

/// The choice among upstreams that are up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Strategy {
    /// The lowest `priority` that is up; equal ones by weight.
    #[default]
    Priority,
    /// All in turn, by weight.
    RoundRobin,
    /// The one with the fewest connections for its weight.
    LeastConnections,
}

/// How upstreams are watched: an anonymous read of the rootDSE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HealthCheck {
    /// Off leaves only what connections tell in passing.
    pub enabled: bool,
    /// Time between two checks.
    pub interval_seconds: Seconds,
    /// Failures in a row that mark an upstream down.
    pub failure_threshold: u32,
    /// Successes in a row that mark it up again.
    pub success_threshold: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self { enabled: true, interval_seconds: Seconds(5), failure_threshold: 3, success_threshold: 2 }
    }
}

fn one() -> u32 {
    1
}
