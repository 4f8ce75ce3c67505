//! What the conditions are judged by, with the words that they share.

use bindproxy::admin::PodStatus;
use k8s_openapi::api::apps::v1::{StatefulSetSpec, StatefulSetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use super::judgement::clipped;
use crate::crd::{BindProxySpec, BindProxyStatus};
use crate::reconcile::observation::{Observation, PodAnswer, PodObservation};
use crate::reconcile::outcome::{ConditionType, Refusal};
use crate::reconcile::validated::ValidatedBindProxy;

/// The longest quotation of a pod, a kubelet or a scheduler, in octets.
const QUOTATION: usize = 1000;

/// What the conditions are judged by.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// What was told last time.
    pub previous: &'a BindProxyStatus,
    /// The generation of the spec.
    pub generation: i64,
    /// What is asked for.
    pub spec: &'a BindProxySpec,
    /// Whether that is usable.
    pub verdict: Result<&'a ValidatedBindProxy, &'a Refusal>,
    /// What was seen.
    pub observation: &'a Observation,
    /// The time.
    pub now: Timestamp,
}

impl<'a> Situation<'a> {
    /// Whether objects are left as they are: the spec is not usable, or nobody wants it applied now.
    pub(super) fn is_left_alone(&self) -> bool {
        self.verdict.is_err() || self.spec.paused
    }

    /// Pods that the spec asks for; what runs, where the spec is not usable.
    pub(super) fn asked_replicas(&self) -> usize {
        if self.verdict.is_err() { self.applied_replicas() } else { count(self.spec.replicas) }
    }

    /// Pods that should run as far as the StatefulSet knows. It differs from the spec while objects are left alone.
    pub(super) fn applied_replicas(&self) -> usize {
        let applied = self.set_spec().and_then(|set| set.replicas);
        match applied {
            Some(replicas) if self.is_left_alone() => count(replicas),
            Some(_) | None => count(self.spec.replicas),
        }
    }

    /// The hash that pods have to tell: the spec's, or while that is not usable the one that was applied last.
    pub(super) fn asked_hash(&self) -> Option<&'a str> {
        match self.verdict {
            Ok(validated) => Some(validated.configuration.hash.as_str()),
            Err(_) => self.previous.config_hash.as_deref(),
        }
    }

    /// What the StatefulSet says of itself.
    pub(super) fn set_status(&self) -> Option<&'a StatefulSetStatus> {
        self.observation.stateful_set.as_ref()?.status.as_ref()
    }

    fn set_spec(&self) -> Option<&'a StatefulSetSpec> {
        self.observation.stateful_set.as_ref()?.spec.as_ref()
    }

    /// Whether the controller of StatefulSets has not looked at the newest one yet; its status is about an older one then.
    /// One that does not want what the spec wants is older than the one that was just applied: watches lag.
    pub(super) fn is_unseen(&self) -> bool {
        let Some(set) = &self.observation.stateful_set else { return false };
        let seen = set.status.as_ref().and_then(|status| status.observed_generation);
        let applied = self.set_spec().and_then(|set| set.replicas);
        let is_outdated = !self.is_left_alone() && applied.is_some_and(|applied| applied != self.spec.replicas);
        is_outdated || seen < set.metadata.generation
    }

    /// Whether pods of an older revision stay until somebody deletes them.
    pub(super) fn replaces_on_delete(&self) -> bool {
        let strategy = self.set_spec().and_then(|set| set.update_strategy.as_ref());
        strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete")
    }

    /// Whether `pod` is of an older revision.
    pub(super) fn is_old(&self, pod: &PodObservation) -> bool {
        let newest = self.set_status().and_then(|status| status.update_revision.as_deref());
        match (newest, pod.revision.as_deref()) {
            (Some(newest), Some(revision)) => newest != revision,
            (None, _) | (_, None) => false,
        }
    }

    /// Pods of an older revision.
    pub(super) fn old_pods(&self) -> impl Iterator<Item = &'a PodObservation> {
        let situation = *self;
        self.live().filter(move |pod| situation.is_old(pod))
    }

    /// Whether pods are being replaced, or will be as soon as the controller looks.
    pub(super) fn is_rolling(&self) -> bool {
        !self.replaces_on_delete() && self.old_pods().next().is_some()
    }

    /// Pods that are not being deleted.
    pub(super) fn live(&self) -> impl Iterator<Item = &'a PodObservation> {
        self.observation.pods.iter().filter(|pod| !pod.terminating)
    }

    /// Live pods that are ready.
    pub(super) fn ready(&self) -> impl Iterator<Item = &'a PodObservation> {
        self.live().filter(|pod| pod.ready)
    }

    /// Live pods that said how they are.
    pub(super) fn told(&self) -> impl Iterator<Item = (&'a PodObservation, &'a PodStatus)> {
        self.live().filter_map(|pod| match &pod.answer {
            PodAnswer::Told(status) => Some((pod, &**status)),
            PodAnswer::NotAsked | PodAnswer::Silent(_) => None,
        })
    }

    /// Live pods that were asked and did not answer, with why.
    pub(super) fn silent(&self) -> impl Iterator<Item = (&'a PodObservation, &'a str)> {
        self.live().filter_map(|pod| match &pod.answer {
            PodAnswer::Silent(why) => Some((pod, why.as_str())),
            PodAnswer::NotAsked | PodAnswer::Told(_) => None,
        })
    }

    /// The first trouble of a pod that is not ready, for a message; the newest revision's first, because it has to come up.
    pub(super) fn first_trouble(&self) -> Option<String> {
        let troubled = || self.live().filter(|pod| !pod.ready && pod.trouble.is_some());
        let pod = troubled().find(|pod| !self.is_old(pod)).or_else(|| troubled().next())?;
        let trouble = pod.trouble.as_ref()?;
        Some(format!("{}: {}", pod.name, quoted(&trouble.to_string())))
    }

    /// What a condition said last time.
    pub(super) fn before(&self, condition: ConditionType) -> Option<&'a Condition> {
        self.previous.conditions.iter().find(|one| one.type_ == condition.as_str())
    }
}

/// The words of a pod, a kubelet or a scheduler, at a length that leaves room for others.
pub(super) fn quoted(words: &str) -> String {
    clipped(words, QUOTATION)
}

/// A number of pods; the API has signed ones.
fn count(replicas: i32) -> usize {
    usize::try_from(replicas).unwrap_or(0)
}
