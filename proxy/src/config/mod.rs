//! The configuration: the one type that a person writes, the operator renders and the proxy parses.
//!
//! These are the fields of the file (YAML, camelCase). What a run needs beyond them (key octets,
//! TLS material) is loaded by [`crate::config::load`] and lives in other types, so that this one
//! can be printed, hashed and compared without a secret in it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod cache;
pub mod cidr;
mod cluster;
pub mod hash;
mod listener;
mod load;
pub mod material;
mod named_files;
pub mod overrides;
pub mod problem;
mod restart_only;
mod rules;
pub mod secret;
mod shape;
mod tree;
mod upstream;
pub mod watch;

pub use cache::{Cache, RequestPasswordPolicy, VerdictAction, VerdictPreset, VerdictRule, Verdicts};
pub use cluster::{Cluster, Coordination, Discovery, HostPort, HostPortError, Peers};
pub use hash::ConfigHash;
pub use listener::{ClientCertificate, Listener, ListenerTls, ProxyProtocol, ProxyProtocolMode, ServerTls};
pub use load::{Loaded, Reviewed, load, load_text, load_with, review, schema_text, watched_files};
pub use material::{CertificateExpiry, Material};
pub use overrides::Overrides;
pub use problem::{Problem, Problems};
pub use restart_only::RestartOnly;
pub use secret::{AdminToken, HashKey};
pub use upstream::{HealthCheck, Strategy, TlsVersion, Upstream, UpstreamPolicy, UpstreamTls, UpstreamTlsMode};

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Where clients connect; at least one.
    #[schemars(length(min = 1))]
    pub listeners: Vec<Listener>,
    /// The certificate that LDAPS and StartTLS listeners show.
    #[serde(rename = "serverTLS", default, skip_serializing_if = "Option::is_none")]
    pub server_tls: Option<ServerTls>,
    /// The directory servers; at least one.
    #[schemars(length(min = 1))]
    pub upstreams: Vec<Upstream>,
    /// How an upstream is chosen and how long it is waited for.
    #[serde(default)]
    pub upstream_policy: UpstreamPolicy,
    /// The failed-bind cache.
    #[serde(default)]
    pub cache: Cache,
    /// Bounds on what clients may take.
    #[serde(default)]
    pub limits: Limits,
    /// What happens on SIGTERM.
    #[serde(default)]
    pub drain: Drain,
    /// Metrics, health and the JSON API.
    #[serde(default)]
    pub admin: Admin,
    /// The log.
    #[serde(default)]
    pub logging: Logging,
    /// The other proxies that know what this one knows; absent = it is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Cluster>,
}

/// A whole number of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Seconds(pub u32);

impl Seconds {
    /// As a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_secs(u64::from(self.0))
    }
}

/// Bounds on what clients may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Client connections in all.
    pub max_connections: u32,
    /// Client connections from one address; 0 = no limit of its own.
    pub max_connections_per_client: u32,
    /// The longest request.
    pub max_message_bytes: u32,
    /// Requests of one client that may be outstanding; more are left unread.
    pub max_pipelined_requests: u32,
    /// A client that sends nothing for so long is disconnected; 0 = never.
    pub idle_timeout_seconds: Seconds,
    /// PROXY header and TLS handshake together.
    pub handshake_timeout_seconds: Seconds,
    /// A connection older than this is closed when it is next idle; 0 = never.
    pub max_connection_age_seconds: Seconds,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_client: 0,
            max_message_bytes: 1_048_576,
            max_pipelined_requests: 64,
            idle_timeout_seconds: Seconds(900),
            handshake_timeout_seconds: Seconds(10),
            max_connection_age_seconds: Seconds(0),
        }
    }
}

/// What happens on SIGTERM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Drain {
    /// How long what is in flight may take.
    pub timeout_seconds: Seconds,
}

impl Default for Drain {
    fn default() -> Self {
        Self { timeout_seconds: Seconds(25) }
    }
}

/// Metrics, health and the JSON API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Admin {
    /// IP address and port.
    #[schemars(extend("format" = "socket-address"))]
    pub address: SocketAddr,
    /// The bearer token of the API; without it the API answers only to loopback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

impl Default for Admin {
    fn default() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 9390)), token_file: None }
    }
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Logging {
    /// The least severe events that are written.
    pub level: LogLevel,
    /// Write a keyed short hash instead of a name.
    pub redact_names: bool,
}

impl Default for Logging {
    fn default() -> Self {
        Self { level: LogLevel::Info, redact_names: true }
    }
}

/// Severity of log events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}
