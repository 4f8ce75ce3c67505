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

pub mod cidr;
pub mod hash;
mod load;
pub mod material;
mod named_files;
pub mod problem;
mod rules;
pub mod secret;
mod shape;
mod tree;
pub mod watch;

pub use hash::ConfigHash;
pub use load::{Loaded, load, load_text, schema_text, watched_files};
pub use material::{CertificateExpiry, Material};
pub use problem::{Problem, Problems};
pub use secret::{AdminToken, HashKey};

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

/// One place where clients connect. Exactly one of `address` and `socket`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listener {
    /// The name in metrics and logs; unique among listeners.
    pub name: String,
    /// IP address and port, for example `127.0.0.1:3389` or `[::]:3636`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "socket-address"))]
    pub address: Option<SocketAddr>,
    /// Path of a unix socket (`ldapi`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
    /// Permissions of the unix socket, octal in a string: `"0660"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// `Disabled`, `StartTLS` (offered) or `LDAPS` (from the first byte).
    #[serde(default)]
    pub tls: ListenerTls,
    /// Expect a PROXY protocol header in front of every connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// TLS on a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ListenerTls {
    /// Clear text.
    #[default]
    Disabled,
    /// Clear text until the client asks for StartTLS (RFC 4511 section 4.14).
    StartTLS,
    /// TLS from the first byte.
    LDAPS,
}

/// PROXY protocol on a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProxyProtocol {
    /// The version; only `V2`.
    pub mode: ProxyProtocolMode,
    /// Networks whose header is believed (CIDR notation); anybody else is closed and counted.
    #[serde(rename = "trustedCIDRs")]
    pub trusted_cidrs: Vec<String>,
}

/// The version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProxyProtocolMode {
    /// The binary header.
    V2,
}

/// The certificate that clients see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerTls {
    /// PEM file: the certificate, then its chain.
    pub certificate_file: PathBuf,
    /// PEM file: the private key.
    pub key_file: PathBuf,
    /// PEM file: the authorities of client certificates.
    #[serde(rename = "clientCAFile", default, skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<PathBuf>,
    /// Whether clients are asked for a certificate.
    #[serde(default)]
    pub client_certificate: ClientCertificate,
}

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClientCertificate {
    /// Not asked for.
    #[default]
    None,
    /// Asked for, verified when shown.
    Optional,
    /// No session without a valid one.
    Required,
}

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

/// The failed-bind cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Cache {
    /// First life of an entry.
    pub ttl_seconds: Seconds,
    /// Ceiling of the doubling.
    #[serde(rename = "maxTTLSeconds")]
    pub max_ttl_seconds: Seconds,
    /// Life after a password that was the last good one fails for the first time.
    #[serde(rename = "firstTTLSeconds")]
    pub first_ttl_seconds: Seconds,
    /// Hard bound on entries.
    pub max_entries: u32,
    /// 32 bytes, base64 or raw; absent = random for each process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// The key before the last rotation, while entries made with it are still alive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_key_file: Option<PathBuf>,
    /// Delay of local refusals, with jitter of a quarter either way.
    pub answer_delay_milliseconds: u32,
    /// Treat spellings of one DN as one name; off for case-exact naming attributes.
    pub fold_names: bool,
    /// Which failures are about the password.
    pub verdicts: Verdicts,
    /// Whether binds carry the password policy control (draft-behera-ldap-password-policy).
    pub request_password_policy: RequestPasswordPolicy,
    /// Answer 53 to a name with an empty password instead of forwarding it.
    pub reject_unauthenticated: bool,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            ttl_seconds: Seconds(900),
            max_ttl_seconds: Seconds(86_400),
            first_ttl_seconds: Seconds(10),
            max_entries: 1_000_000,
            key_file: None,
            previous_key_file: None,
            answer_delay_milliseconds: 0,
            fold_names: true,
            verdicts: Verdicts::default(),
            request_password_policy: RequestPasswordPolicy::default(),
            reject_unauthenticated: false,
        }
    }
}

/// Which failures are about the password.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Verdicts {
    /// The table to start from.
    pub preset: VerdictPreset,
    /// Rules asked before the preset's; the first match wins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<VerdictRule>,
}

/// A table of verdicts for one kind of directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VerdictPreset {
    /// Whatever the answer itself shows; right for every directory below.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// OpenLDAP slapd.
    #[serde(rename = "openldap")]
    OpenLdap,
    /// 389 Directory Server.
    #[serde(rename = "389ds")]
    DirectoryServer389,
    /// Active Directory and Samba.
    #[serde(rename = "activeDirectory")]
    ActiveDirectory,
    /// FreeIPA.
    #[serde(rename = "freeipa")]
    FreeIpa,
}

/// One rule: every condition that is given must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerdictRule {
    /// The result code of the answer.
    pub code: u32,
    /// The diagnostic message is exactly this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnostic: Option<String>,
    /// The diagnostic message contains this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnostic_contains: Option<String>,
    /// What the answer means.
    pub action: VerdictAction,
}

/// What an answer means for the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VerdictAction {
    /// The password is wrong: record it.
    Cache,
    /// The name or password is wrong, but that may change soon: record it for `firstTTLSeconds`.
    CacheShort,
    /// Says nothing about the password: record nothing.
    Ignore,
    /// The password was right (expired, must change, not allowed here): forget its failure.
    PasswordWasRight,
}

/// Whether binds carry the password policy control.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RequestPasswordPolicy {
    /// Where the server's rootDSE lists it.
    #[default]
    Auto,
    /// On every bind.
    Always,
    /// Only when the client sends it.
    Never,
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

fn one() -> u32 {
    1
}
