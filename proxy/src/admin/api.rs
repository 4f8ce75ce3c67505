//! What the JSON API says: the types of its answers, and the trait of whoever knows them.

use serde::{Deserialize, Serialize};

use super::cluster::{Awaited, ClusterReport};
use super::pod_status::PodStatus;
use crate::metrics::{BindDecision, BindResult, Metrics};

/// Answers the API's questions. Called on the control thread: it must not block. What concerns the
/// whole cluster is asked of the other members, for a bounded time.
pub trait AdminApi: Send + Sync {
    /// The whole process at a glance.
    fn status(&self) -> StatusReport;
    /// What anybody may know of the process.
    fn pod_status(&self) -> PodStatus;
    /// Who keeps presenting wrong passwords, the most suppressed first, at most `limit`.
    fn offenders(&self, limit: usize) -> Awaited<'_, Offenders>;
    /// What is known about a name, as a client would write it or as a short hash (`~1a2b3c4d`).
    ///
    /// # Errors
    /// When a short hash belongs to no name that is known.
    fn explain(&self, name: String) -> Awaited<'_, Result<Explanation, UnknownShortHash>>;
    /// Forgets failures, here and at every peer.
    fn flush(&self, request: FlushRequest) -> Awaited<'_, FlushReport>;
    /// Called before the metrics are rendered: the time to set gauges that nobody keeps up to date.
    fn before_scrape(&self) {}
}

/// The whole process at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusReport {
    /// The release.
    pub version: String,
    /// The hash of the configuration that serves.
    pub config_hash: String,
    /// How long the process has been up.
    pub uptime_seconds: u64,
    /// Whether new clients are welcome.
    pub ready: bool,
    /// Whether the process shuts down.
    pub draining: bool,
    /// The failed-bind cache.
    pub cache: CacheReport,
    /// Where clients connect.
    pub listeners: Vec<ListenerReport>,
    /// The directory servers.
    pub upstreams: Vec<UpstreamReport>,
    /// Binds since the process started.
    pub binds: BindCounts,
    /// The cluster as this member sees it; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterReport>,
}

/// The failed-bind cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheReport {
    /// Remembered failures.
    pub entries: u64,
    /// The bound on them.
    pub capacity: u64,
    /// Names that they belong to.
    pub names: u64,
}

/// One place where clients connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerReport {
    /// Its configured name.
    pub name: String,
    /// Address and port, or the path of a socket.
    pub address: String,
    /// Open connections.
    pub active: u64,
}

/// One directory server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamReport {
    /// Its configured name.
    pub name: String,
    /// Host and port, or the path of a socket.
    pub address: String,
    /// Whether it is used.
    pub up: bool,
    /// Connections that wait for a session.
    pub idle: u64,
    /// Connections of a session.
    pub busy: u64,
    /// What went wrong last, if it is down or was.
    pub last_error: Option<String>,
}

/// Binds since the process started, by how they were decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BindCounts {
    /// Forwarded to a directory.
    pub upstream: u64,
    /// Of those, the ones that the directory refused with 49.
    pub upstream_invalid_credentials: u64,
    /// Answered with a remembered failure.
    pub cache_rejected: u64,
    /// Got the answer of an identical bind in flight.
    pub coalesced: u64,
    /// Without name and password.
    pub anonymous: u64,
    /// Any SASL mechanism.
    pub sasl: u64,
    /// No directory could be asked.
    pub unavailable: u64,
    /// Refused by a rule of the proxy.
    pub local_refused: u64,
    /// Failed binds that the directory did not get to count.
    pub lockout_attempts_prevented: u64,
}

impl BindCounts {
    /// As counted by the metrics.
    #[must_use]
    pub fn of(metrics: &Metrics) -> Self {
        let decided = |decision| BindResult::ALL.iter().map(|result| metrics.bind_count(decision, *result)).sum();
        Self {
            upstream: decided(BindDecision::Upstream),
            upstream_invalid_credentials: metrics.bind_count(BindDecision::Upstream, BindResult::InvalidCredentials),
            cache_rejected: decided(BindDecision::CacheRejected),
            coalesced: decided(BindDecision::Coalesced),
            anonymous: decided(BindDecision::Anonymous),
            sasl: decided(BindDecision::Sasl),
            unavailable: decided(BindDecision::Unavailable),
            local_refused: decided(BindDecision::LocalRefusal),
            lockout_attempts_prevented: metrics.lockout_attempts_prevented(),
        }
    }
}

/// A device or program that keeps presenting a wrong password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offender {
    /// The bind name, or its short hash where a member told it under a key that the asked one does not have.
    pub name: String,
    /// How the log writes the name: `~1a2b3c4d`.
    #[serde(default)]
    pub short_hash: String,
    /// The client's address.
    pub source: String,
    /// The listener that it came through last.
    pub listener: String,
    /// Failed binds that the directory did not get to count, over all members that answered.
    pub suppressed: u64,
    /// By how much `suppressed` may be too high; it is never too low.
    #[serde(default)]
    pub overcount: u64,
    /// Age of the first one.
    pub first_seen_seconds_ago: u64,
    /// Age of the last one.
    pub last_seen_seconds_ago: u64,
    /// The members that answered them, by node name.
    #[serde(default)]
    pub nodes: Vec<String>,
}

/// The answer to `/api/v1/offenders`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offenders {
    /// The most suppressed first.
    pub offenders: Vec<Offender>,
    /// Whether there are more than are listed.
    #[serde(default)]
    pub truncated: bool,
    /// The members whose counts are in this, by node name.
    #[serde(default)]
    pub answered: Vec<String>,
    /// The members that did not answer.
    #[serde(default)]
    pub missing: Vec<String>,
}

/// What is known about a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// As it was asked for.
    pub name: String,
    /// How the log writes it: `~1a2b3c4d`.
    pub short_hash: String,
    /// Whether a password is known to have been right lately.
    pub known_good: bool,
    /// Whether a bind of this name waits for a directory.
    pub in_flight: bool,
    /// Remembered failures, one for each wrong password, merged over all members that answered.
    pub entries: Vec<ExplainedEntry>,
    /// What would happen to a bind now, in a sentence.
    pub next: String,
    /// Whether there are more entries than are listed.
    #[serde(default)]
    pub truncated: bool,
    /// What each member knows that answered.
    #[serde(default)]
    pub nodes: Vec<NodeExplanation>,
    /// The members that answered, by node name.
    #[serde(default)]
    pub answered: Vec<String>,
    /// The members that did not answer.
    #[serde(default)]
    pub missing: Vec<String>,
}

/// What one member knows about a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeExplanation {
    /// Its node name.
    pub node: String,
    /// Whether it knows a password to have been right lately.
    pub known_good: bool,
    /// Whether a bind of this name waits for a directory there.
    pub in_flight: bool,
    /// The failures that it remembers.
    pub entries: Vec<NodeEntry>,
}

/// One member's view of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeEntry {
    /// Which of the explanation's `entries`, from 0.
    pub entry: usize,
    /// Until it expires there.
    pub remaining_seconds: u64,
    /// How often the directory refused this password, as far as the member knows.
    pub failures: u32,
    /// How often this member answered for it.
    pub hits: u64,
}

/// A short hash of no name that is known to the members that answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnknownShortHash {
    /// The members that did not answer, by node name.
    pub missing: Vec<String>,
}

/// One remembered failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedEntry {
    /// Since it was learned.
    pub age_seconds: u64,
    /// Until it expires.
    pub remaining_seconds: u64,
    /// How often the directory refused this password.
    pub failures: u32,
    /// How often it was answered from memory, over all members.
    pub hits: u64,
    /// The result code that is replayed.
    pub result_code: u32,
    /// The diagnostic message that is replayed.
    pub diagnostic: String,
    /// Whether this password would be answered from memory now.
    pub would_answer: bool,
}

/// What to forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlushRequest {
    /// The failures of one name, as a client would write it or as a short hash.
    Name(String),
    /// Everything.
    All,
}

/// What a flush did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlushReport {
    /// Members that have forgotten, by node name, the asked one first.
    pub acknowledged: Vec<String>,
    /// Members that did not answer.
    pub unreachable: Vec<String>,
    /// Remembered failures that the asked process had, and has no more. When a short hash is known
    /// only to others: the most that one of them had.
    pub removed: u64,
    /// Whether the flush is a fact that members which were unreachable take in once they are back. Only
    /// a short hash that nobody knew who answered is none.
    #[serde(default)]
    pub lasting: bool,
}

/// The body of every answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorReport {
    /// What is wrong, and what to do.
    pub error: String,
    /// The paths that there are, where an unknown one was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}
