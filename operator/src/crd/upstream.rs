//! `spec.upstreams` and `spec.upstreamPolicy`: the directory servers.

use bindproxy::config::{Strategy, TlsVersion, UpstreamTlsMode};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CaRef, ObjectName};

/// One directory server.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("self.tls.mode != 'Disabled' || (has(self.insecureAllowCleartext) && self.insecureAllowCleartext)")
        .message("tls.mode Disabled sends passwords in clear text: use LDAPS or StartTLS, or set insecureAllowCleartext: true to accept that"),
    validation = Rule::new("self.tls.mode != 'Disabled' || (!has(self.tls.ca) && !has(self.tls.serverName) && !has(self.tls.clientCertificateSecretRef))")
        .message("tls.ca, tls.serverName and tls.clientCertificateSecretRef have no meaning with tls.mode Disabled: remove them, or set tls.mode to LDAPS or StartTLS")
)]
#[serde(rename_all = "camelCase")]
pub struct Upstream {
    /// The name in status, metrics and logs.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("upstreams[].name must hold only lower-case letters, digits and '-', with no '-' at its ends: choose another name, as in dc1 (the address belongs into host)"))]
    pub name: String,
    /// Host name or IP address, as in dc1.corp.example or 10.1.2.3.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("isIP(self) || self.matches('^[A-Za-z0-9_]([-A-Za-z0-9_.]*[A-Za-z0-9_])?[.]?$')")
        .message("upstreams[].host must be a host name or an IP address and nothing else: write dc1.corp.example, with the port in port and ldaps:// as tls.mode LDAPS"))]
    pub host: String,
    /// Port. Default: 636 for tls.mode LDAPS, else 389.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Lower is asked first; servers of equal priority share by weight.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    pub priority: i32,
    /// Share among servers of equal priority; 0 = only when nothing else is up.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 100))]
    pub weight: i32,
    /// Consent to sending passwords in clear text to this server; needed for tls.mode Disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure_allow_cleartext: Option<bool>,
    /// TLS towards this server. Default: LDAPS, verified against public authorities.
    #[serde(default)]
    pub tls: UpstreamTls,
}

/// TLS towards a directory server.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamTls {
    /// LDAPS (TLS from the first byte), StartTLS (never falls back to clear text) or Disabled.
    #[serde(default = "ldaps")]
    pub mode: UpstreamTlsMode,
    /// The oldest version of TLS that is spoken.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// The name that the server's certificate must carry. Default: host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub server_name: Option<String>,
    /// The authorities that may have signed the server's certificate. Default: public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<CaRef>,
    /// A Secret of type kubernetes.io/tls with the proxy's own certificate, where the server wants one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_secret_ref: Option<ObjectName>,
}

impl Default for UpstreamTls {
    fn default() -> Self {
        Self {
            mode: ldaps(),
            min_version: TlsVersion::default(),
            server_name: None,
            ca: None,
            client_certificate_secret_ref: None,
        }
    }
}

/// How a directory server is chosen, watched and waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct UpstreamPolicy {
    /// The choice among servers that are up: Priority (the lowest priority), RoundRobin or LeastConnections.
    pub strategy: Strategy,
    /// Seconds that a connection may take in all, with failover and queueing.
    #[schemars(range(min = 1, max = 3600))]
    pub connect_timeout_seconds: i32,
    /// Seconds that the answer to a bind or an extended operation is waited for.
    #[schemars(range(min = 1, max = 3600))]
    pub request_timeout_seconds: i32,
    /// Connections from one pod to one server, in use and idle. A client that is bound holds one.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections_per_pod: i32,
    /// Seconds that an unused connection is kept.
    #[schemars(range(min = 1, max = 86_400))]
    pub idle_timeout_seconds: i32,
    /// How servers are watched.
    pub health_check: HealthCheck,
}

impl Default for UpstreamPolicy {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            connect_timeout_seconds: 3,
            request_timeout_seconds: 10,
            max_connections_per_pod: 64,
            idle_timeout_seconds: 600,
            health_check: HealthCheck::default(),
        }
    }
}

/// How servers are watched: each pod reads the root entry of each server, without a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthCheck {
    /// Off leaves only what connections tell in passing.
    pub enabled: bool,
    /// Seconds between two checks.
    #[schemars(range(min = 1, max = 3600))]
    pub interval_seconds: i32,
    /// Failures in a row that mark a server down.
    #[schemars(range(min = 1, max = 100))]
    pub failure_threshold: i32,
    /// Successes in a row that mark it up again.
    #[schemars(range(min = 1, max = 100))]
    pub success_threshold: i32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self { enabled: true, interval_seconds: 5, failure_threshold: 3, success_threshold: 2 }
    }
}

fn one() -> i32 {
    1
}

fn ldaps() -> UpstreamTlsMode {
    UpstreamTlsMode::LDAPS
}
