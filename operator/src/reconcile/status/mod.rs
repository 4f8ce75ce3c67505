//! From what was applied and seen to the status. Pure: takes the time.
//!
//! Each condition is a function from the [`Situation`] to a [`Judgement`], in a file of its own. Here they are
//! put together such that nothing changes while nothing happens: the same situation gives the same status, octet
//! for octet, and then nothing needs to be written.

pub mod accepted;
pub mod available;
pub mod config_applied;
mod judgement;
mod next_look;
pub mod peers_connected;
pub mod progressing;
pub mod ready;
mod situation;
mod upstreams;
pub mod upstreams_healthy;

#[cfg(test)]
mod tests;

use bindproxy::config::ListenerTls;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

pub use self::judgement::{Judgement, Truth};
pub use self::next_look::next_look;
pub use self::situation::Situation;
use super::observation::Observation;
use super::outcome::{ConditionType, Refusal};
use super::validated::ValidatedBindProxy;
use crate::crd::{BindProxySpec, BindProxyStatus};
use crate::identity::Identity;

/// The longest message of a condition in the API.
const MESSAGE: usize = 32_768;

/// What to tell of one BindProxy. It equals `previous` if nothing is to be written.
///
/// A refused or paused BindProxy is told of by what runs: `status.configHash` and `status.endpoints` stay those that were
/// applied last.
#[must_use]
pub fn status(
    previous: &BindProxyStatus,
    identity: &Identity,
    spec: &BindProxySpec,
    verdict: Result<&ValidatedBindProxy, &Refusal>,
    observation: &Observation,
    now: Timestamp,
) -> BindProxyStatus {
    let situation = Situation { previous, generation: identity.generation, spec, verdict, observation, now };

    let accepted = accepted::judge(verdict);
    let available = available::judge(&situation);
    let progressing = progressing::judge(&situation);
    let config_applied = config_applied::judge(&situation, progressing.reason);
    let upstreams = upstreams::entries(&situation);
    let upstreams_healthy = upstreams_healthy::judge(&situation, &upstreams);
    let (peers_connected, peers) = peers_connected::judge(&situation);
    let was_ready = situation.before(ConditionType::Ready).is_some_and(|before| before.status == Truth::True.as_str());
    let ready = ready::judge(spec, &accepted, &available, &config_applied, &peers_connected, was_ready);

    let conditions = ConditionType::ALL.map(|condition| {
        let judgement = match condition {
            ConditionType::Ready => ready.clone().map(ready::Reason::as_str),
            ConditionType::Accepted => accepted.clone().map(accepted::Reason::as_str),
            ConditionType::Available => available.clone().map(available::Reason::as_str),
            ConditionType::Progressing => progressing.clone().map(progressing::Reason::as_str),
            ConditionType::ConfigApplied => config_applied.clone().map(config_applied::Reason::as_str),
            ConditionType::UpstreamsHealthy => upstreams_healthy.clone().map(upstreams_healthy::Reason::as_str),
            ConditionType::PeersConnected => peers_connected.clone().map(peers_connected::Reason::as_str),
        };
        written(&situation, identity, condition, &judgement)
    });

    let set = situation.set_status();
    BindProxyStatus {
        observed_generation: Some(identity.generation),
        replicas: set.map_or(0, |set| set.replicas),
        // As the conditions count them: the StatefulSet's own count comes a moment later.
        ready_replicas: i32::try_from(situation.ready().count()).unwrap_or(i32::MAX),
        updated_replicas: set.and_then(|set| set.updated_replicas).unwrap_or(0),
        current_replicas: set.and_then(|set| set.current_replicas).unwrap_or(0),
        selector: Some(identity.selector_text()),
        config_hash: config_hash(&situation),
        upstream_summary: upstreams::summary(&upstreams),
        endpoints: endpoints(&situation, identity),
        certificate_not_after: certificate_not_after(&situation),
        peers,
        upstreams,
        conditions: conditions.to_vec(),
    }
}

/// A condition as it is written: its time is that of the last change of its status, not of its reason.
fn written(
    situation: &Situation<'_>,
    identity: &Identity,
    condition: ConditionType,
    judgement: &Judgement<&'static str>,
) -> Condition {
    let status = judgement.truth.as_str();
    let before = situation.before(condition).filter(|before| before.status == status);
    let since = before.map_or_else(|| Time(whole_seconds(situation.now)), |before| before.last_transition_time.clone());
    Condition {
        type_: condition.as_str().to_owned(),
        status: status.to_owned(),
        reason: judgement.reason.to_owned(),
        message: judgement::clipped(&judgement.message, MESSAGE),
        observed_generation: Some(identity.generation),
        last_transition_time: since,
    }
}

/// The API's times have whole seconds; without this a time would differ from itself once it was read back.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn config_hash(situation: &Situation<'_>) -> Option<String> {
    let asked = situation.asked_hash().map(str::to_owned);
    if situation.is_left_alone() { situation.previous.config_hash.clone().or(asked) } else { asked }
}

fn endpoints(situation: &Situation<'_>, identity: &Identity) -> Vec<String> {
    if situation.is_left_alone() {
        return situation.previous.endpoints.clone();
    }
    let url = |listener: &crate::crd::Listener| {
        let scheme = match listener.tls {
            ListenerTls::Disabled | ListenerTls::StartTLS => "ldap",
            ListenerTls::LDAPS => "ldaps",
        };
        format!("{scheme}://{}.{}.svc:{}", identity.name, identity.namespace, listener.port)
    };
    situation.spec.listeners.iter().map(url).collect()
}

/// The first end of a certificate; what was told last while nobody tells.
fn certificate_not_after(situation: &Situation<'_>) -> Option<Time> {
    if situation.told().next().is_none() {
        return situation.previous.certificate_not_after.clone();
    }
    let certificates = situation.told().flat_map(|(_, status)| &status.certificates);
    certificates.filter_map(|one| one.not_after.parse().ok()).min().map(|time| Time(whole_seconds(time)))
}
