//! What `/statusz` says: how this process is, for whoever runs many of them.
//!
//! Anybody who reaches the admin address may ask, so nothing here names a user, a client or a secret.

use serde::{Deserialize, Serialize};

use super::cluster::MemberState;
pub use crate::upstream::fault::UpstreamReason;

/// How one process is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// The release.
    pub version: String,
    /// The hash of the configuration that serves, as in `/configz`.
    pub config_hash: String,
    /// Why a later configuration was refused, if one was, as in `/configz`.
    pub config_error: Option<String>,
    /// Whether new clients are welcome.
    pub ready: bool,
    /// Whether the process shuts down.
    pub draining: bool,
    /// The directory servers, in the order of the configuration.
    pub upstreams: Vec<UpstreamHealth>,
    /// The cluster as this member sees it; `null` without one.
    pub cluster: Option<PodCluster>,
    /// When the certificates end that serve.
    pub certificates: Vec<PodCertificate>,
}

/// One directory server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamHealth {
    /// Its configured name.
    pub name: String,
    /// Whether it is used.
    pub up: bool,
    /// Why it is not used.
    pub reason: UpstreamReason,
    /// What happened last, for a person; `null` while it is used.
    pub message: Option<String>,
}

/// The cluster as one member sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodCluster {
    /// The node name of the member that answers.
    pub node: String,
    /// Whether its join is over: it has what the others know, or did not get it in time.
    pub joined: bool,
    /// The other members.
    pub members: Vec<PodMember>,
}

/// Another member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodMember {
    /// Its node name.
    pub name: String,
    /// Whether it is there.
    pub state: MemberState,
}

/// When a certificate ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodCertificate {
    /// `server`, `client-ca`, `upstream-ca/NAME`, `upstream-client/NAME`, `cluster` or `cluster-ca`.
    pub role: String,
    /// RFC 3339, UTC.
    pub not_after: String,
}
