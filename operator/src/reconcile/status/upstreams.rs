//! `status.upstreams`: the directory servers, as the pods see them together.

use std::collections::BTreeSet;

use bindproxy::admin::pod_status::{UpstreamHealth, UpstreamReason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::situation::Situation;
use crate::crd::UpstreamStatus;

/// The bound on the list in the API.
const ENTRIES: usize = 16;

/// The directory servers, in the order of the spec. Nobody's word leaves them as they were.
#[must_use]
pub(super) fn entries(situation: &Situation<'_>) -> Vec<UpstreamStatus> {
    if situation.told().next().is_none() {
        let pods = situation.applied_replicas() > 0 && !situation.observation.pods.is_empty();
        return if pods { situation.previous.upstreams.clone() } else { Vec::new() };
    }
    names(situation).into_iter().filter_map(|name| entry(situation, name)).take(ENTRIES).collect()
}

/// Those of the spec; while that is not applied, also those that pods tell of.
fn names<'a>(situation: &Situation<'a>) -> Vec<&'a str> {
    let mut names: Vec<&str> = situation.spec.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    if situation.is_left_alone() {
        let mut known: BTreeSet<&str> = names.iter().copied().collect();
        let told = situation.told().flat_map(|(_, status)| &status.upstreams);
        names.extend(told.map(|upstream| upstream.name.as_str()).filter(|name| known.insert(name)));
    }
    names
}

/// What each pod that answered says of one directory server.
pub(super) fn words<'a>(situation: &Situation<'a>, name: &str) -> Vec<&'a UpstreamHealth> {
    let told = situation.told().flat_map(|(_, status)| &status.upstreams);
    told.filter(|upstream| upstream.name == name).collect()
}

/// One directory server; `None` while no pod knows it.
fn entry(situation: &Situation<'_>, name: &str) -> Option<UpstreamStatus> {
    let words = words(situation, name);
    if words.is_empty() {
        return None;
    }
    let failing: Vec<UpstreamReason> = words.iter().filter(|word| !word.up).map(|word| cause(word)).collect();
    let before = situation.previous.upstreams.iter().find(|before| before.name == name);
    let silent = situation.silent().filter(|(pod, _)| pod.ready).count();
    if let Some(before) = before.filter(|before| silent > 0 && explains(before, failing.len(), silent)) {
        return Some(before.clone());
    }
    let reason = shared(&failing, before.map(|before| before.reason));
    let since = before.filter(|before| before.reason == reason).and_then(|before| before.last_transition_time.clone());
    Some(UpstreamStatus {
        name: name.to_owned(),
        healthy_pods: number(words.len() - failing.len()),
        total_pods: number(words.len()),
        reason,
        last_transition_time: Some(since.unwrap_or(Time(super::whole_seconds(situation.now)))),
    })
}

/// Whether what was told before may still be so: the pods that do not answer this time would say the rest.
fn explains(before: &UpstreamStatus, failing: usize, silent: usize) -> bool {
    let failing_before = usize::try_from(before.total_pods - before.healthy_pods).unwrap_or(0);
    (failing..=failing + silent).contains(&failing_before)
}

/// Why a pod does not use it.
fn cause(word: &UpstreamHealth) -> UpstreamReason {
    match word.reason {
        // A pod that says both contradicts itself; it does not use the server, and that counts.
        UpstreamReason::Healthy => UpstreamReason::Unavailable,
        reason => reason,
    }
}

/// The reason for all pods: the one of last time if a pod still gives it, or else the most frequent one; of
/// equally frequent ones that which a person can do most about.
fn shared(failing: &[UpstreamReason], before: Option<UpstreamReason>) -> UpstreamReason {
    const BY_REMEDY: [UpstreamReason; 5] = [
        UpstreamReason::Unavailable,
        UpstreamReason::ConnectTimeout,
        UpstreamReason::ConnectFailed,
        UpstreamReason::DNSFailed,
        UpstreamReason::TLSVerifyFailed,
    ];
    if failing.is_empty() {
        return UpstreamReason::Healthy;
    }
    if let Some(before) = before.filter(|before| failing.contains(before)) {
        return before;
    }
    let frequency = |reason: &UpstreamReason| failing.iter().filter(|one| *one == reason).count();
    // The last one of equal frequency wins.
    BY_REMEDY.into_iter().max_by_key(frequency).unwrap_or(UpstreamReason::Unavailable)
}

/// "2/3": those that every pod reaches, of all.
#[must_use]
pub(super) fn summary(entries: &[UpstreamStatus]) -> Option<String> {
    let healthy = entries.iter().filter(|entry| entry.reason == UpstreamReason::Healthy).count();
    (!entries.is_empty()).then(|| format!("{healthy}/{}", entries.len()))
}

fn number(pods: usize) -> i32 {
    i32::try_from(pods).unwrap_or(i32::MAX)
}
