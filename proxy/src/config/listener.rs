//! `listeners` and `serverTLS`: where clients connect and what they are shown.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
