//! `PeersConnected`: whether every ready pod sees every other ready pod.
//!
//! Pods that are not ready are neither asked nor missed: one that restarts leaves the others connected.

use std::collections::BTreeSet;

use bindproxy::admin::PodStatus;
use bindproxy::admin::cluster::MemberState;

use super::judgement::Judgement;
use super::situation::{Situation, quoted};
use crate::crd::PeerCount;
use crate::reconcile::observation::PodObservation;

/// Why `PeersConnected` says what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Every ready pod sees every other.
    Connected,
    /// There is one pod, which has no peers.
    SinglePod,
    /// Pods that are ready do not see each other: they count failures apart until they do.
    Partitioned,
    /// Pods have just come and have not met yet, or only one is ready of several.
    Joining,
    /// No pod runs that could be asked.
    NoPods,
    /// Pods run, but none that is ready answered the operator.
    NotAnswered,
}

impl Reason {
    /// As the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "Connected",
            Self::SinglePod => "SinglePod",
            Self::Partitioned => "Partitioned",
            Self::Joining => "Joining",
            Self::NoPods => "NoPods",
            Self::NotAnswered => "NotAnswered",
        }
    }
}

/// Says whether the pods see each other, and how many do.
#[must_use]
pub fn judge(situation: &Situation<'_>) -> (Judgement<Reason>, Option<PeerCount>) {
    let ready: BTreeSet<&str> = situation.ready().map(|pod| pod.name.as_str()).collect();
    let views: Vec<View<'_>> =
        situation.told().filter(|(pod, _)| pod.ready).map(|(pod, status)| view(pod, status, &ready)).collect();
    let Some(fewest) = views.iter().map(|view| ready.len() - view.missing.len()).min() else {
        let pods = situation.applied_replicas() > 0 && !situation.observation.pods.is_empty();
        return (without_views(situation), situation.previous.peers.filter(|_| pods));
    };
    let count = PeerCount { expected: number(ready.len()), alive: number(fewest) };
    (with_views(situation, &ready, &views), Some(count))
}

/// What one ready pod sees of the others.
struct View<'a> {
    pod: &'a str,
    joined: bool,
    /// Ready pods that it does not see.
    missing: Vec<&'a str>,
}

fn view<'a>(pod: &'a PodObservation, status: &'a PodStatus, ready: &BTreeSet<&'a str>) -> View<'a> {
    let members = status.cluster.iter().flat_map(|cluster| &cluster.members);
    let alive: BTreeSet<&str> =
        members.filter(|member| member.state == MemberState::Alive).map(|member| member.name.as_str()).collect();
    View {
        pod: &pod.name,
        joined: status.cluster.as_ref().is_none_or(|cluster| cluster.joined),
        missing: ready.iter().copied().filter(|name| *name != pod.name && !alive.contains(name)).collect(),
    }
}

fn with_views(situation: &Situation<'_>, ready: &BTreeSet<&str>, views: &[View<'_>]) -> Judgement<Reason> {
    let wanted = situation.applied_replicas();
    if wanted <= 1 && ready.len() == 1 {
        return Judgement::holds(Reason::SinglePod, "there is one pod, which has no peers");
    }
    let apart: Vec<&View<'_>> = views.iter().filter(|view| !view.missing.is_empty()).collect();
    if !apart.is_empty() {
        let joining = |name: &str| views.iter().any(|view| view.pod == name && !view.joined);
        let is_joining = apart.iter().all(|view| !view.joined || view.missing.iter().all(|name| joining(name)));
        let reason = if is_joining { Reason::Joining } else { Reason::Partitioned };
        let lines: Vec<String> =
            apart.iter().map(|view| format!("{} does not see {}", view.pod, view.missing.join(", "))).collect();
        return Judgement::fails(reason, lines.join("; "));
    }
    if ready.len() == 1 {
        return Judgement::fails(Reason::Joining, format!("one of {wanted} pods is ready, so it has no peers yet"));
    }
    Judgement::holds(Reason::Connected, "every ready pod sees every other")
}

fn without_views(situation: &Situation<'_>) -> Judgement<Reason> {
    if let Some((pod, why)) = situation.silent().find(|(pod, _)| pod.ready) {
        return Judgement::unknown(Reason::NotAnswered, format!("no ready pod answers; {}: {}", pod.name, quoted(why)));
    }
    if situation.told().next().is_some() {
        return Judgement::fails(Reason::Joining, "no pod is ready yet");
    }
    Judgement::unknown(Reason::NoPods, "no pod runs that could be asked")
}

fn number(pods: usize) -> i32 {
    i32::try_from(pods).unwrap_or(i32::MAX)
}
