//! `spec.limits`, `spec.drain` and `spec.rollout`: what a pod takes, how it ends, how it is replaced.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bounds on what clients may take, for each pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Client connections to one pod.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections_per_pod: i32,
    /// Client connections from one address; 0 = no limit of its own.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub max_connections_per_client: i32,
    /// The longest request in octets.
    #[schemars(range(min = 4096, max = 1_073_741_824))]
    pub max_message_bytes: i32,
    /// Requests of one client that may be outstanding; more are left unread.
    #[schemars(range(min = 1, max = 65536))]
    pub max_pipelined_requests: i32,
    /// A client that sends nothing for so many seconds is disconnected; 0 = never.
    #[schemars(range(min = 0, max = 31_622_400))]
    pub idle_timeout_seconds: i32,
    /// Seconds for the PROXY header and the TLS handshake together.
    #[schemars(range(min = 1, max = 3600))]
    pub handshake_timeout_seconds: i32,
    /// Connections older than so many seconds are closed when they are idle, so that clients spread over new pods; 0 = never.
    #[schemars(range(min = 0, max = 31_622_400))]
    pub max_connection_age_seconds: i32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections_per_pod: 10_000,
            max_connections_per_client: 0,
            max_message_bytes: 1_048_576,
            max_pipelined_requests: 64,
            idle_timeout_seconds: 900,
            handshake_timeout_seconds: 10,
            max_connection_age_seconds: 0,
        }
    }
}

/// How a pod ends: it leaves the Service, waits, finishes what is in flight, hands over what it knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Drain {
    /// Seconds in which the network learns that the pod is going, before it stops accepting clients.
    #[schemars(range(min = 0, max = 300))]
    pub pre_stop_seconds: i32,
    /// Seconds that what is in flight may take.
    #[schemars(range(min = 0, max = 3600))]
    pub timeout_seconds: i32,
    /// Seconds after which the pod is killed.
    #[schemars(range(min = 1, max = 3901))]
    pub termination_grace_period_seconds: i32,
}

impl Default for Drain {
    fn default() -> Self {
        Self { pre_stop_seconds: 5, timeout_seconds: 25, termination_grace_period_seconds: 45 }
    }
}

/// How pods are replaced when something changes that needs new ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Rollout {
    /// RollingUpdate (one pod after the other) or OnDelete (when somebody deletes them).
    #[serde(rename = "type")]
    pub strategy: RolloutType,
    /// Seconds that a new pod must be ready before the next one is replaced.
    #[schemars(range(min = 0, max = 600))]
    pub min_ready_seconds: i32,
}

impl Default for Rollout {
    fn default() -> Self {
        Self { strategy: RolloutType::RollingUpdate, min_ready_seconds: 5 }
    }
}

/// When pods are replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RolloutType {
    /// One after the other.
    #[default]
    RollingUpdate,
    /// When somebody deletes them.
    OnDelete,
}
