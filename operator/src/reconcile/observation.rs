//! What was seen of the pods: the input of the status step, besides the spec.

use std::fmt;

use bindproxy::admin::PodStatus;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// What was seen after the objects were applied.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// The StatefulSet as the API server has it; absent before the first apply.
    pub stateful_set: Option<StatefulSet>,
    /// The pods that belong to it, by name.
    pub pods: Vec<PodObservation>,
}

/// One pod.
#[derive(Clone, Debug)]
pub struct PodObservation {
    /// Its name.
    pub name: String,
    /// The revision of the StatefulSet that it is of (label `controller-revision-hash`).
    pub revision: Option<String>,
    /// When it was made; a restart of its container does not change it.
    pub created: Option<Time>,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// What it said of itself.
    pub answer: PodAnswer,
    /// What keeps it from running.
    pub trouble: Option<PodTrouble>,
}

/// What a pod said of itself.
#[derive(Clone, Debug)]
pub enum PodAnswer {
    /// It has no address yet, or no container runs.
    NotAsked,
    /// It did not answer, and why.
    Silent(String),
    /// What `/statusz` said.
    Told(Box<PodStatus>),
}

/// What keeps a pod from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodTrouble {
    /// The proxy ended and said why (its termination message): 2 = a bad configuration, 1 = a fault.
    Ended {
        /// The exit status.
        status: i32,
        /// What it said.
        message: String,
    },
    /// A volume cannot be mounted; the kubelet's own words (event `FailedMount`).
    MountFailed(String),
    /// The image cannot be had (`ErrImagePull`, `ImagePullBackOff`, `ErrImageNeverPull`, …), with the kubelet's words.
    Image(String),
    /// No node takes it, with the scheduler's words.
    Unschedulable(String),
    /// Waiting for another reason, with the kubelet's words.
    Waiting(String),
}

impl fmt::Display for PodTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended { status, message } => write!(f, "the proxy ended with status {status}: {message}"),
            Self::MountFailed(words) => write!(f, "a volume cannot be mounted: {words}"),
            Self::Image(words) => write!(f, "the image cannot be had: {words}"),
            Self::Unschedulable(words) => write!(f, "no node takes it: {words}"),
            Self::Waiting(words) => write!(f, "it waits: {words}"),
        }
    }
}
