//! `spec.listeners` and `spec.serverTLS`: where clients connect, and what certificate they see.

use bindproxy::config::{ClientCertificate, ListenerTls};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CaRef, ObjectName};

/// One port where clients connect.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("self.proxyProtocol.mode == 'Disabled' || (has(self.proxyProtocol.trustedCIDRs) && self.proxyProtocol.trustedCIDRs.size() > 0)")
        .message("proxyProtocol.mode V2 needs proxyProtocol.trustedCIDRs: list the networks of the load balancers whose header is believed")
)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// The name in metrics and logs, and of the Service's port.
    #[schemars(length(min = 1, max = 15))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z](-?[a-z0-9])*$')")
        .message("listeners[].name must start with a letter and hold only lower-case letters, digits and single '-', because ports are named after it: choose another name, as in ldaps"))]
    pub name: String,
    /// The port of the Service. Pods need no privileges to listen: 389 is 3389 inside the pod, 636 is 3636, any other
    /// port below 1024 is 10000 higher, and the rest is the same.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Disabled, StartTLS (clients may ask for it) or LDAPS (TLS from the first byte).
    #[serde(default)]
    pub tls: ListenerTls,
    /// Whether a load balancer in front sends the client's address.
    #[serde(default)]
    pub proxy_protocol: ProxyProtocol,
}

impl Listener {
    /// What a BindProxy has that lists none.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        vec![Self {
            name: "ldap".to_owned(),
            port: 389,
            tls: ListenerTls::Disabled,
            proxy_protocol: ProxyProtocol::default(),
        }]
    }
}

/// Whether a load balancer in front sends the client's address (PROXY protocol).
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyProtocol {
    /// Disabled, or V2: every connection must begin with a header of version 2.
    #[serde(default)]
    pub mode: ProxyProtocolMode,
    /// Networks whose header is believed, as in 10.0.0.0/8; connections from elsewhere are closed.
    #[serde(rename = "trustedCIDRs", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 43)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.all(c, isCIDR(c) && cidr(c).masked() == cidr(c))")
            .message("proxyProtocol.trustedCIDRs must be networks with a length and no bits behind it: write 10.0.0.0/8 and not 10.1.2.3/8, or 10.1.2.3/32 for one address")
    )]
    pub trusted_cidrs: Vec<String>,
}

/// Whether connections begin with a PROXY protocol header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProxyProtocolMode {
    /// They do not.
    #[default]
    Disabled,
    /// With one of version 2.
    V2,
}

/// The certificate that clients see.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.secretRef) != has(self.certManager)")
        .message("exactly one of serverTLS.secretRef and serverTLS.certManager must be set: name a Secret that exists, or an issuer, not both"),
    validation = Rule::new("self.clientCertificate == 'None' || has(self.clientCA)")
        .message("serverTLS.clientCertificate Optional or Required needs serverTLS.clientCA: name the authorities of client certificates")
)]
#[serde(rename_all = "camelCase")]
pub struct ServerTls {
    /// A Secret of type kubernetes.io/tls. A renewed certificate is taken up without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<ObjectName>,
    /// Let cert-manager issue it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_manager: Option<CertManager>,
    /// The authorities of client certificates.
    #[serde(rename = "clientCA", default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<CaRef>,
    /// Whether clients are asked for a certificate: None, Optional or Required.
    #[serde(default)]
    pub client_certificate: ClientCertificate,
}

/// A certificate that cert-manager issues, into the Secret NAME-server-tls.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertManager {
    /// Who signs it.
    pub issuer_ref: IssuerRef,
    /// Names in it beside those of the Services: what clients use from outside the cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub dns_names: Vec<String>,
}

/// An issuer of cert-manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// Issuer (of this namespace) or ClusterIssuer.
    #[serde(default)]
    pub kind: IssuerKind,
    /// Its API group.
    #[serde(default = "cert_manager_group")]
    #[schemars(length(min = 1, max = 253))]
    pub group: String,
}

/// The kinds of issuers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IssuerKind {
    /// Of this namespace.
    #[default]
    Issuer,
    /// Of the whole cluster.
    ClusterIssuer,
}

impl IssuerKind {
    /// As the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Issuer => "Issuer",
            Self::ClusterIssuer => "ClusterIssuer",
        }
    }
}

fn cert_manager_group() -> String {
    "cert-manager.io".to_owned()
}
