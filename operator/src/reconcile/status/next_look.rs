//! When to look again. Pods do not call when a directory server goes down or a configuration arrives, so they are
//! asked: often while something is under way, seldom while all is well.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::Truth;
use crate::crd::BindProxyStatus;
use crate::reconcile::outcome::ConditionType;

/// While pods come or a configuration is on its way.
const UNDER_WAY: Duration = Duration::from_secs(2);
/// While something is wrong that may last.
const WRONG: Duration = Duration::from_secs(10);
/// What is not ready for longer than this is wrong rather than under way: a kubelet brings a file within about 90 s.
const SOON: SignedDuration = SignedDuration::from_secs(180);

/// After which time `status`, told at `now`, has to be looked at again: at the latest after `well`, the time for one of
/// which all is well.
#[must_use]
pub fn next_look(status: &BindProxyStatus, now: Timestamp, well: Duration) -> Duration {
    let of = |condition: ConditionType| status.conditions.iter().find(|one| one.type_ == condition.as_str());
    let is = |condition, truth: Truth| of(condition).is_some_and(|one| one.status == truth.as_str());
    let is_recent = |condition| of(condition).is_some_and(|one| now.duration_since(one.last_transition_time.0) < SOON);
    let arrives = |condition| !is(condition, Truth::True) && is_recent(condition);
    let is_under_way = is(ConditionType::Progressing, Truth::True);
    // Nobody is there who could be asked, and nothing arrives.
    if !is_under_way && of(ConditionType::Ready).is_some_and(|ready| ready.reason == "ScaledToZero") {
        return well;
    }
    if is_under_way || arrives(ConditionType::ConfigApplied) || arrives(ConditionType::Available) {
        return UNDER_WAY.min(well);
    }
    let all_well = [ConditionType::Ready, ConditionType::UpstreamsHealthy, ConditionType::PeersConnected];
    if all_well.into_iter().all(|condition| is(condition, Truth::True)) { well } else { WRONG.min(well) }
}
