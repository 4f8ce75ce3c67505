//! `spec.cache` and `spec.cluster`: what is remembered, and how pods share it.

use bindproxy::config::{Coordination, RequestPasswordPolicy, VerdictPreset, VerdictRule};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{KeyRef, ObjectName};

/// The failed-bind cache.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("self.firstTTLSeconds <= self.ttlSeconds")
        .message("cache.firstTTLSeconds must be at most cache.ttlSeconds: lower the one or raise the other"),
    validation = Rule::new("self.ttlSeconds <= self.maxTTLSeconds")
        .message("cache.ttlSeconds must be at most cache.maxTTLSeconds: lower the one or raise the other")
)]
#[serde(rename_all = "camelCase")]
pub struct Cache {
    /// Seconds that a wrong password is remembered when it failed for the first time; doubled at each later failure.
    #[serde(default = "ttl_seconds")]
    #[schemars(range(min = 1, max = 31_622_400))]
    pub ttl_seconds: i32,
    /// The longest time in seconds, after doubling.
    #[serde(default = "max_ttl_seconds", rename = "maxTTLSeconds")]
    #[schemars(range(min = 1, max = 31_622_400))]
    pub max_ttl_seconds: i32,
    /// Seconds that a failure is remembered of the password that was right last.
    #[serde(default = "first_ttl_seconds", rename = "firstTTLSeconds")]
    #[schemars(range(min = 1, max = 31_622_400))]
    pub first_ttl_seconds: i32,
    /// The most wrong passwords that a pod remembers; about 85 octets of memory each.
    #[serde(default = "max_entries")]
    #[schemars(range(min = 1000, max = 100_000_000))]
    pub max_entries: i32,
    /// The key under which passwords are hashed. Default: one that the operator makes, in the Secret NAME-cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_secret_ref: Option<KeyRef>,
    /// The key before the last rotation, while what was remembered under it is still of use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_key_secret_ref: Option<KeyRef>,
    /// Milliseconds by which answers from the cache are delayed, a quarter more or less.
    #[serde(default)]
    #[schemars(range(min = 0, max = 60_000))]
    pub answer_delay_milliseconds: i32,
    /// Treat spellings of one DN as one name; turn off where naming attributes are case-sensitive.
    #[serde(default = "yes")]
    pub fold_names: bool,
    /// Which failures are about the password.
    #[serde(default)]
    pub verdicts: Verdicts,
    /// Whether binds carry the password policy control: Auto (where the server knows it), Always or Never.
    #[serde(default)]
    pub request_password_policy: RequestPasswordPolicy,
    /// Refuse a name with an empty password instead of forwarding it.
    #[serde(default)]
    pub reject_unauthenticated: bool,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            ttl_seconds: 900,
            max_ttl_seconds: 86_400,
            first_ttl_seconds: 10,
            max_entries: 100_000,
            key_secret_ref: None,
            previous_key_secret_ref: None,
            answer_delay_milliseconds: 0,
            fold_names: true,
            verdicts: Verdicts::default(),
            request_password_policy: RequestPasswordPolicy::default(),
            reject_unauthenticated: false,
        }
    }
}

/// Which failures are about the password.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdicts {
    /// The table for one kind of directory; auto is right for all of them.
    #[serde(default)]
    pub preset: VerdictPreset,
    /// Rules asked before the table's; the first match wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub rules: Vec<VerdictRule>,
}

/// How the pods share what they know.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// The port between pods. It cannot be changed later.
    #[serde(default = "port")]
    #[schemars(range(min = 1024, max = 65535))]
    #[x_kube(
        validation = Rule::new("self == oldSelf").message("cluster.port is immutable: delete the BindProxy and make a new one to change it"),
        validation = Rule::new("self != 9390").message("cluster.port must not be 9390, which is for health and metrics: choose another port")
    )]
    pub port: i32,
    /// A Secret with ca.crt, tls.crt and tls.key for the connections between pods; its certificate carries the URI
    /// bindproxy://NAMESPACE/NAME. Default: one that the operator makes, NAME-cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<ObjectName>,
    /// What a bind does whose name belongs to another pod: Lease (ask it, for at most 100 ms), Strict (refuse the bind
    /// when it does not answer) or Local (do not ask).
    #[serde(default)]
    pub coordination: Coordination,
}

impl Default for Cluster {
    fn default() -> Self {
        Self { port: 7946, secret_ref: None, coordination: Coordination::default() }
    }
}

fn ttl_seconds() -> i32 {
    Cache::default().ttl_seconds
}

fn max_ttl_seconds() -> i32 {
    Cache::default().max_ttl_seconds
}

fn first_ttl_seconds() -> i32 {
    Cache::default().first_ttl_seconds
}

fn max_entries() -> i32 {
    Cache::default().max_entries
}

fn yes() -> bool {
    true
}

fn port() -> i32 {
    Cluster::default().port
}
