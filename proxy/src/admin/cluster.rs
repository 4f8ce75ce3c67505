//! The other members of the cluster, as far as the admin API needs them.

use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What is known once others have answered, or the time is up.
pub type Awaited<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the other members said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    /// The node names of those that answered, with what they said; `None` where only taking in was asked about.
    pub answers: Vec<(String, Option<Vec<u8>>)>,
    /// The node names of the members that did not answer in time, or cannot be reached.
    pub missing: Vec<String>,
}

/// Who reaches the other members.
pub trait Peers: Send + Sync {
    /// `cluster.nodeName`, if this process belongs to a cluster.
    fn own_name(&self) -> Option<String>;

    /// Asks every other member that has not left or been dropped, and waits for at most `limit`. Without a query it only
    /// waits until each has taken in all facts that were told before the call.
    fn gather(&self, query: Option<Vec<u8>>, limit: Duration) -> Awaited<'_, Gathered>;

    /// The cluster at a glance; `None` without one.
    fn report(&self) -> Option<ClusterReport>;
}

/// No cluster.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Peers for Alone {
    fn own_name(&self) -> Option<String> {
        None
    }

    fn gather(&self, _: Option<Vec<u8>>, _: Duration) -> Awaited<'_, Gathered> {
        Box::pin(std::future::ready(Gathered::default()))
    }

    fn report(&self) -> Option<ClusterReport> {
        None
    }
}

/// The cluster as one member sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterReport {
    /// `cluster.name`.
    pub name: String,
    /// The node name of the member that answers.
    pub node: String,
    /// Whether it has what the others know.
    pub joined: bool,
    /// The other members.
    pub members: Vec<MemberReport>,
}

/// Another member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberReport {
    /// Its node name.
    pub name: String,
    /// Whether it is there.
    pub state: MemberState,
    /// How far it is, as it said last.
    pub standing: MemberStanding,
    /// Remembered failures that it said it holds.
    pub entries: u64,
}

/// Whether a member is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MemberState {
    /// It answers.
    Alive,
    /// It vanished, and is dropped after a minute.
    Suspect,
    /// It said goodbye.
    Left,
    /// What a later version says.
    #[serde(other)]
    Unknown,
}

/// How far a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MemberStanding {
    /// It still gathers what the others know.
    Joining,
    /// It serves.
    Joined,
    /// It is about to go.
    Leaving,
    /// What a later version says.
    #[serde(other)]
    Unknown,
}
