//! `UpstreamsHealthy`: whether every pod reaches every directory server.
//!
//! The cause goes before the extent, because it tells whom to call: where every directory server that
//! fails does so for one and the same cause, that is the reason, whether it is one of them or all. Only
//! where causes differ, or a server is reached and does not serve, the reason is the extent: `AllDown` when no
//! pod reaches any, or else `Degraded`. The message names each server with its extent in any case.

use bindproxy::admin::pod_status::UpstreamReason;

use super::judgement::{Judgement, Truth, clipped};
use super::situation::{Situation, quoted};
use super::upstreams::words;
use crate::crd::UpstreamStatus;
use crate::reconcile::outcome::ConditionType;

/// The longest quotation of a pod about one directory server, in octets.
const QUOTATION: usize = 400;

/// Why `UpstreamsHealthy` says what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Every pod that was asked reaches every directory server.
    Healthy,
    /// Some pods do not reach some directory servers, for several causes or because those do not serve.
    Degraded,
    /// No pod reaches any directory server, for several causes or because those do not serve.
    AllDown,
    /// The host name has no address, or the name service does not answer.
    DNSFailed,
    /// Nobody listens there, or the network has no way.
    ConnectFailed,
    /// No connection within `spec.upstreamPolicy.connectTimeoutSeconds`.
    ConnectTimeout,
    /// TLS did not come about: most often the certificate was not signed by `tls.ca`, or carries another name.
    TLSVerifyFailed,
    /// No pod has a configuration yet in which the directory server is that the message names.
    NotAsked,
    /// No pod runs that could be asked.
    NoPods,
    /// Pods run, but none answered the operator; `status.upstreams` is what they said last.
    NotAnswered,
}

impl Reason {
    /// As the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Degraded => "Degraded",
            Self::AllDown => "AllDown",
            Self::DNSFailed => "DNSFailed",
            Self::ConnectFailed => "ConnectFailed",
            Self::ConnectTimeout => "ConnectTimeout",
            Self::TLSVerifyFailed => "TLSVerifyFailed",
            Self::NotAsked => "NotAsked",
            Self::NoPods => "NoPods",
            Self::NotAnswered => "NotAnswered",
        }
    }
}

/// Says whether the pods reach the directory servers, which are `entries`.
#[must_use]
pub fn judge(situation: &Situation<'_>, entries: &[UpstreamStatus]) -> Judgement<Reason> {
    if situation.told().next().is_none() {
        return match situation.silent().next() {
            None => Judgement::unknown(Reason::NoPods, "no pod runs that could be asked"),
            Some((pod, why)) => {
                Judgement::unknown(Reason::NotAnswered, format!("no pod answers; {}: {}", pod.name, quoted(why)))
            }
        };
    }
    let failing: Vec<&UpstreamStatus> =
        entries.iter().filter(|entry| entry.reason != UpstreamReason::Healthy).collect();
    let Some(first) = failing.first() else {
        return match unknown_to_pods(situation, entries) {
            None => Judgement::holds(Reason::Healthy, "the pods reach every directory server"),
            Some(name) => Judgement::unknown(Reason::NotAsked, format!("no pod knows of {name} yet")),
        };
    };
    let is_shared = failing.iter().all(|entry| entry.reason == first.reason);
    let all_down = failing.len() == entries.len() && failing.iter().all(|entry| entry.healthy_pods == 0);
    let extent = if all_down { Reason::AllDown } else { Reason::Degraded };
    let reason = if is_shared { of_cause(first.reason).unwrap_or(extent) } else { extent };
    Judgement::fails(reason, message(situation, entries, &failing, reason))
}

/// A directory server of the spec that no pod tells of, although it should.
fn unknown_to_pods<'a>(situation: &Situation<'a>, entries: &[UpstreamStatus]) -> Option<&'a str> {
    let asked = situation.spec.upstreams.iter().map(|upstream| upstream.name.as_str());
    let mut missing = asked.filter(|name| entries.iter().all(|entry| entry.name != *name));
    missing.next().filter(|_| !situation.is_left_alone())
}

/// The reason that a cause is by itself.
fn of_cause(cause: UpstreamReason) -> Option<Reason> {
    match cause {
        UpstreamReason::DNSFailed => Some(Reason::DNSFailed),
        UpstreamReason::ConnectFailed => Some(Reason::ConnectFailed),
        UpstreamReason::ConnectTimeout => Some(Reason::ConnectTimeout),
        UpstreamReason::TLSVerifyFailed => Some(Reason::TLSVerifyFailed),
        UpstreamReason::Healthy | UpstreamReason::Unavailable => None,
    }
}

fn message(
    situation: &Situation<'_>,
    entries: &[UpstreamStatus],
    failing: &[&UpstreamStatus],
    reason: Reason,
) -> String {
    let before = situation
        .before(ConditionType::UpstreamsHealthy)
        .filter(|before| before.status == Truth::False.as_str() && before.reason == reason.as_str());
    let before = before.map(|before| before.message.as_str());
    // While a pod is silent its words are missing, so what it said last stays.
    if let Some(before) = before
        && situation.silent().next().is_some()
        && entries == situation.previous.upstreams
    {
        return before.to_owned();
    }
    let parts: Vec<String> = failing.iter().map(|entry| part(situation, entry, before.unwrap_or_default())).collect();
    parts.join("; ")
}

/// One directory server with its extent and the words of a pod: those that were quoted last time if they are still
/// said, because a host with several addresses makes for several texts that take turns.
fn part(situation: &Situation<'_>, entry: &UpstreamStatus, before: &str) -> String {
    let UpstreamStatus { name, healthy_pods, total_pods, reason, last_transition_time: _ } = entry;
    let words = words(situation, name);
    let said =
        words.iter().filter(|word| !word.up && word.reason == *reason).filter_map(|word| word.message.as_deref());
    let texts: Vec<String> = said
        .map(|text| format!("{name} ({healthy_pods} of {total_pods} pods reach it): {}", clipped(text, QUOTATION)))
        .collect();
    let same = texts.iter().find(|text| before.contains(text.as_str()));
    same.or(texts.first()).cloned().unwrap_or_else(|| format!("{name} ({healthy_pods} of {total_pods} pods reach it)"))
}
