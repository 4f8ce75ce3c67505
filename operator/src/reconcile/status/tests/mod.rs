//! A BindProxy `corp` of three pods in `mail`, as tables: a situation, and what each condition says.

mod conditions;
mod fields;
mod looks;
mod no_churn;
mod over_time;

use std::sync::LazyLock;

use bindproxy::admin::PodStatus;
use bindproxy::admin::cluster::MemberState;
use bindproxy::admin::pod_status::{PodCertificate, PodCluster, PodMember, UpstreamHealth, UpstreamReason};
use bindproxy::config::ConfigHash;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use crate::crd::{BindProxySpec, BindProxyStatus};
use crate::identity::Identity;
use crate::reconcile::observation::{Observation, PodAnswer, PodObservation, PodTrouble};
use crate::reconcile::outcome::{ConditionType, Refusal, RefusalReason};
use crate::reconcile::validated::{Configuration, MonitoringKinds, PodImage, ValidatedBindProxy};

/// When the tables take place, in seconds since 1970.
const NOON: i64 = 1_800_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOON + seconds).unwrap()
}

/// One situation, which tests change from [`Case::healthy`].
#[derive(Clone, Debug)]
struct Case {
    previous: BindProxyStatus,
    generation: i64,
    spec: BindProxySpec,
    refusal: Option<Refusal>,
    remarks: Vec<String>,
    seen: Observation,
    seconds: i64,
}

impl Case {
    /// Three pods that run with what is asked for; nothing was told before.
    fn healthy() -> Self {
        Self {
            previous: BindProxyStatus::default(),
            generation: 4,
            spec: spec(3),
            refusal: None,
            remarks: Vec::new(),
            seen: Observation { stateful_set: Some(set(3, 3)), pods: pods(3) },
            seconds: 0,
        }
    }

    /// The same after its status was told once.
    fn settled() -> Self {
        Self::healthy().told().after(60)
    }

    /// Nothing was made yet.
    fn new() -> Self {
        Self { seen: Observation::default(), ..Self::healthy() }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn with_pod(mut self, pod: usize, change: impl FnOnce(&mut PodObservation)) -> Self {
        change(&mut self.seen.pods[pod]);
        self
    }

    fn with_set(mut self, change: impl FnOnce(&mut StatefulSet)) -> Self {
        change(self.seen.stateful_set.as_mut().unwrap());
        self
    }

    fn refused(mut self, reason: RefusalReason) -> Self {
        self.refusal = Some(Refusal { reason, message: "upstreams[0].host: write a host name".to_owned() });
        self
    }

    fn after(mut self, seconds: i64) -> Self {
        self.seconds += seconds;
        self
    }

    fn told(mut self) -> Self {
        self.previous = self.status();
        self
    }

    fn status(&self) -> BindProxyStatus {
        let identity = identity(self.generation);
        let validated = validated(&self.spec, &self.remarks);
        let verdict = match &self.refusal {
            None => Ok(&validated),
            Some(refusal) => Err(refusal),
        };
        super::status(&self.previous, &identity, &self.spec, verdict, &self.seen, at(self.seconds))
    }
}

/// `Type=Status/Reason` of the conditions of `status` that `expected` names.
fn check(name: &str, case: &Case, expected: &str) {
    let status = case.status();
    let types: Vec<&str> = status.conditions.iter().map(|condition| condition.type_.as_str()).collect();
    assert_eq!(types, ConditionType::ALL.map(ConditionType::as_str), "{name}");
    for word in expected.split_whitespace() {
        let (condition, _) = word.split_once('=').unwrap();
        let found = status.conditions.iter().find(|one| one.type_ == condition).unwrap();
        let said = format!("{}={}/{}", found.type_, found.status, found.reason);
        assert_eq!(said, word, "{name}: {}", found.message);
    }
}

fn message(case: &Case, condition: ConditionType) -> String {
    condition_of(&case.status(), condition).message
}

fn condition_of(
    status: &BindProxyStatus,
    condition: ConditionType,
) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition {
    status.conditions.iter().find(|one| one.type_ == condition.as_str()).unwrap().clone()
}

fn identity(generation: i64) -> Identity {
    Identity { namespace: "mail".into(), name: "corp".into(), uid: "8f6c".into(), generation }
}

fn spec(replicas: i32) -> BindProxySpec {
    serde_json::from_value(json!({
        "replicas": replicas,
        "upstreams": [{"name": "dc1", "host": "dc1.example"}, {"name": "dc2", "host": "dc2.example"}],
        "listeners": [{"name": "ldap", "port": 389}, {"name": "ldaps", "port": 636, "tls": "LDAPS"}],
        "serverTLS": {"secretRef": {"name": "web"}},
    }))
    .unwrap()
}

/// The time to live makes the hash differ.
fn validated(spec: &BindProxySpec, remarks: &[String]) -> ValidatedBindProxy {
    ValidatedBindProxy {
        identity: identity(4),
        spec: spec.clone(),
        image: PodImage { reference: "localhost/bindproxy:dev".into(), pull_policy: None, pull_secrets: Vec::new() },
        ports: Vec::new(),
        mounts: Vec::new(),
        configuration: Configuration { text: String::new(), hash: hash(spec), restart_hash: String::new() },
        makes_cluster_secret: true,
        certificate: None,
        monitoring: MonitoringKinds::default(),
        cluster_domain: "cluster.local".into(),
        operator_namespace: "bindproxy-system".into(),
        remarks: remarks.to_vec(),
    }
}

fn hash(spec: &BindProxySpec) -> ConfigHash {
    static HASHES: LazyLock<[(i32, ConfigHash); 2]> = LazyLock::new(|| [900, 1000].map(|ttl| (ttl, hash_with(ttl))));
    let (_, hash) = HASHES.iter().find(|(ttl, _)| *ttl == spec.cache.ttl_seconds).unwrap();
    hash.clone()
}

fn hash_with(ttl: i32) -> ConfigHash {
    let text = format!(
        "{{listeners: [{{name: ldap, address: '127.0.0.1:3389'}}], \
         upstreams: [{{name: dc1, host: 127.0.0.1, tls: {{mode: Disabled}}}}], cache: {{ttlSeconds: {ttl}}}}}"
    );
    bindproxy::config::load_text(&text, std::path::Path::new("/")).unwrap().hash
}

/// A StatefulSet that wants `wanted` pods and of whose pods `there` are there, new and ready.
fn set(wanted: i32, there: i32) -> StatefulSet {
    serde_json::from_value(json!({
        "metadata": {"name": "corp", "uid": "5e7", "generation": 2},
        "spec": {"replicas": wanted, "serviceName": "corp-peers", "selector": {}, "template": {},
                 "updateStrategy": {"type": "RollingUpdate"}},
        "status": {"observedGeneration": 2, "replicas": there, "readyReplicas": there, "updatedReplicas": there,
                   "currentReplicas": there, "currentRevision": "corp-new", "updateRevision": "corp-new"},
    }))
    .unwrap()
}

fn pods(number: usize) -> Vec<PodObservation> {
    (0..number).map(|ordinal| pod(ordinal, number)).collect()
}

/// One of `number` pods that all see each other.
fn pod(ordinal: usize, number: usize) -> PodObservation {
    PodObservation {
        name: format!("corp-{ordinal}"),
        revision: Some("corp-new".into()),
        created: Some(Time(at(-3600))),
        ready: true,
        terminating: false,
        answer: PodAnswer::Told(Box::new(statusz(ordinal, number))),
        trouble: None,
    }
}

fn statusz(ordinal: usize, number: usize) -> PodStatus {
    let others = (0..number).filter(|other| *other != ordinal);
    PodStatus {
        version: "0.1.0".into(),
        config_hash: hash(&spec(3)).to_string(),
        config_error: None,
        ready: true,
        draining: false,
        upstreams: vec![up("dc1"), up("dc2")],
        cluster: Some(PodCluster {
            node: format!("corp-{ordinal}"),
            joined: true,
            members: others
                .map(|other| PodMember { name: format!("corp-{other}"), state: MemberState::Alive })
                .collect(),
        }),
        certificates: vec![PodCertificate { role: "server".into(), not_after: "2027-06-01T00:00:00Z".into() }],
    }
}

fn up(name: &str) -> UpstreamHealth {
    UpstreamHealth { name: name.into(), up: true, reason: UpstreamReason::Healthy, message: None }
}

fn down(name: &str, reason: UpstreamReason, message: &str) -> UpstreamHealth {
    UpstreamHealth { name: name.into(), up: false, reason, message: Some(message.into()) }
}

/// Changes what a pod said.
fn says(pod: &mut PodObservation, change: impl FnOnce(&mut PodStatus)) {
    let PodAnswer::Told(status) = &mut pod.answer else { panic!("{} said nothing", pod.name) };
    change(status);
}

fn silent(pod: &mut PodObservation) {
    pod.answer = PodAnswer::Silent("no answer within 2 s".into());
}

/// A pod that was just made and does not run yet.
fn fresh(pod: &mut PodObservation) {
    pod.ready = false;
    pod.answer = PodAnswer::NotAsked;
    pod.created = Some(Time(at(0)));
}

/// A pod that fell.
fn ended(pod: &mut PodObservation, status: i32, message: &str) {
    pod.ready = false;
    pod.answer = PodAnswer::NotAsked;
    pod.trouble = Some(PodTrouble::Ended { status, message: message.into() });
}

fn old(pod: &mut PodObservation) {
    pod.revision = Some("corp-old".into());
}
