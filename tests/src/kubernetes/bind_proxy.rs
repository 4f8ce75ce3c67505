//! A BindProxy of a test: changed, waited for, and the pods that it consists of.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use bindproxy_operator::crd::{BindProxy, BindProxyStatus};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::Value;

use crate::ldap::Endpoint;
use crate::wait::Stopwatch;

use super::clients::{LDAP_PORT, Outcome, login};
use super::namespace::Namespace;
use super::pods::Pod;

/// The longest that a start, a roll of a few pods or a changed condition may take. Targets are measured, and are
/// much shorter; this bound only ends what would never come.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A BindProxy on the cluster.
pub struct Proxies<'n> {
    namespace: &'n Namespace,
    name: String,
}

impl<'n> Proxies<'n> {
    /// One that is there.
    pub fn of(namespace: &'n Namespace, name: &str) -> Self {
        Self { namespace, name: name.to_owned() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace that it is in.
    pub fn namespace(&self) -> &'n Namespace {
        self.namespace
    }

    /// The object as it is now.
    pub fn get(&self) -> BindProxy {
        self.namespace.get(&self.name).unwrap_or_else(|| panic!("there is no BindProxy {}", self.name))
    }

    /// Its status; empty until the operator has seen it.
    pub fn status(&self) -> BindProxyStatus {
        self.get().status.unwrap_or_default()
    }

    /// Merges YAML into the object (RFC 7386: lists are replaced, `null` removes): `patch("spec: {paused: true}")`.
    /// Panics when the API server refuses it.
    pub fn patch(&self, yaml: &str) {
        let change: Value = serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error} in\n{yaml}"));
        let api = self.namespace.api::<BindProxy>();
        let patched =
            self.namespace.cluster().ask(api.patch(&self.name, &PatchParams::default(), &Patch::Merge(&change)));
        patched.unwrap_or_else(|error| panic!("patch {} with\n{yaml}\n{error}", self.name));
    }

    /// `kubectl scale`, as a person does it.
    pub fn scale(&self, replicas: u32) {
        let answer = self.namespace.kubectl(&["scale", "bindproxy", &self.name, &format!("--replicas={replicas}")]);
        assert!(answer.done, "kubectl scale: {}", answer.errors);
    }

    /// `kubectl delete`, not waiting for what it consists of.
    pub fn delete(&self) {
        let api = self.namespace.api::<BindProxy>();
        let deleted = self.namespace.cluster().ask(api.delete(&self.name, &DeleteParams::background()));
        deleted.unwrap_or_else(|error| panic!("delete {}: {error}", self.name));
    }

    /// Waits until `Ready` is True for the spec as it is now, and as many pods as it asks for are there and ready.
    pub fn ready(&self) -> &Self {
        let watch = Stopwatch::start();
        let mut seen = String::new();
        let wait = || {
            let object = self.get();
            let status = object.status.clone().unwrap_or_default();
            seen.clear();
            seen.push_str(&summary(&object, &status));
            let ready = condition(&status, "Ready")
                .is_some_and(|ready| ready.status == "True" && ready.observed_generation >= object.metadata.generation);
            let pods = self.pods();
            let wanted = usize::try_from(object.spec.replicas).unwrap_or_default();
            (ready && pods.len() == wanted && pods.iter().all(Pod::ready)).then_some(())
        };
        self.wait(&format!("{} to be ready", self.name), PATIENCE, wait, || self.story());
        watch.report(&format!("{} ready", self.name));
        self
    }

    /// Waits until a condition has this status: `condition("ConfigApplied", "False")`. It must be about the spec as it
    /// is now. Returns it, for its reason and message.
    pub fn condition(&self, kind: &str, status: &str) -> Condition {
        self.condition_within(kind, status, None, PATIENCE)
    }

    /// As [`Proxies::condition`], with its reason: `reason("Accepted", "False", "ConflictingOwner")`.
    pub fn reason(&self, kind: &str, status: &str, reason: &str) -> Condition {
        self.condition_within(kind, status, Some(reason), PATIENCE)
    }

    /// As [`Proxies::reason`], within a time of one's own.
    pub fn condition_within(&self, kind: &str, status: &str, reason: Option<&str>, limit: Duration) -> Condition {
        let wait = || {
            let object = self.get();
            let found = condition(object.status.as_ref()?, kind)?;
            let fits = found.status == status
                && reason.is_none_or(|reason| found.reason == reason)
                && found.observed_generation >= object.metadata.generation;
            fits.then(|| found.clone())
        };
        let what = format!("{}: {kind}={status}/{}", self.name, reason.unwrap_or("any reason"));
        self.wait(&what, limit, wait, || self.story())
    }

    /// A condition as it is now.
    pub fn condition_now(&self, kind: &str) -> Option<Condition> {
        condition(&self.status(), kind).cloned()
    }

    /// The pods that are not about to end, by ordinal. Those without an address yet are among them.
    pub fn pods(&self) -> Vec<Pod> {
        let selector = format!("app.kubernetes.io/name=bindproxy,app.kubernetes.io/instance={}", self.name);
        let api = self.namespace.api::<core::Pod>();
        let found = self.namespace.cluster().ask(api.list(&ListParams::default().labels(&selector)));
        let mut pods: Vec<Pod> = found
            .expect("list pods")
            .items
            .into_iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .map(|pod| Pod::new(self.namespace.name(), pod))
            .collect();
        pods.sort_by_key(Pod::ordinal);
        pods
    }

    /// Which containers run: another pod or another start of a container makes it differ.
    pub fn incarnations(&self) -> Vec<(String, String, i32)> {
        self.pods().iter().map(|pod| (pod.name(), pod.uid(), pod.restarts())).collect()
    }

    /// The pod with this ordinal, when it has an address: waits for it.
    pub fn pod(&self, ordinal: u32) -> Pod {
        let wait = || self.pods().into_iter().find(|pod| pod.ordinal() == ordinal && pod.has_address());
        self.wait(&format!("pod {}-{ordinal}", self.name), PATIENCE, wait, || self.story())
    }

    /// Where each pod that is ready takes LDAP.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.pods().iter().filter(|pod| pod.ready()).map(|pod| pod.address(LDAP_PORT)).collect()
    }

    /// The client Service's own address and this port of it.
    pub fn service(&self, port: u16) -> SocketAddr {
        let service: core::Service =
            self.namespace.get(&self.name).unwrap_or_else(|| panic!("there is no Service {}", self.name));
        let address = service.spec.and_then(|spec| spec.cluster_ip).expect("a ClusterIP");
        SocketAddr::new(address.parse::<IpAddr>().expect("an IP address"), port)
    }

    /// As [`Proxies::service`], once it leads to a pod: nodes learn of pods that are ready a moment later.
    pub fn service_that_answers(&self, port: u16) -> SocketAddr {
        let service = self.service(port);
        self.until("its Service to lead to a pod", PATIENCE, || {
            TcpStream::connect_timeout(&service, Duration::from_secs(1)).ok().map(|_| service)
        })
    }

    /// The client Service as an LDAP client is told of it, in clear text.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::tcp(self.service(389))
    }

    /// Sum of a metric over all pods that are ready.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.pods().iter().filter(|pod| pod.ready()).map(|pod| pod.metric(name, labels)).sum()
    }

    /// Presents a password that the directory refuses to one pod, and waits until all pods know it. A machine that is busy
    /// may let the deadline of a lease pass, so that the first binds of a storm are more than one.
    pub fn teach(&self, name: &str, stale: &str) {
        let pods = self.pods();
        let known = |pod: &Pod| pod.metric("bindproxy_cache_entries", &[]);
        let wanted: Vec<f64> = pods.iter().map(|pod| known(pod) + 1.0).collect();
        assert_eq!(login(pods[0].address(LDAP_PORT), name, stale), Outcome::Code(49), "{}", pods[0]);
        self.until("all pods to know a stale password", Duration::from_secs(10), || {
            pods.iter().zip(&wanted).all(|(pod, wanted)| known(pod) >= *wanted).then_some(())
        });
    }

    /// Presents a password at one pod after the other, and each refuses it.
    pub fn refused_everywhere(&self, name: &str, password: &str) {
        for pod in self.pods() {
            assert_eq!(login(pod.address(LDAP_PORT), name, password), Outcome::Code(49), "{name} at {pod}");
        }
    }

    /// Waits for anything else; the message of the failure tells the last status.
    pub fn until<T>(&self, what: &str, limit: Duration, condition: impl FnMut() -> Option<T>) -> T {
        self.wait(&format!("{}: {what}", self.name), limit, condition, || self.story())
    }

    fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut() -> Option<T>,
        story: impl Fn() -> String,
    ) -> T {
        let watch = Stopwatch::start();
        self.namespace.until(what, limit + Duration::from_secs(1), || {
            let found = condition();
            assert!(
                found.is_some() || watch.elapsed() < limit,
                "waited {limit:?} in vain for {what}; at last: {}",
                story()
            );
            found
        })
    }

    /// One line per condition and pod.
    fn story(&self) -> String {
        let object = self.get();
        let mut story = summary(&object, &object.status.clone().unwrap_or_default());
        for pod in self.pods() {
            story.push_str(&format!("\n  {pod}"));
        }
        story
    }
}

fn condition<'a>(status: &'a BindProxyStatus, kind: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == kind)
}

fn summary(object: &BindProxy, status: &BindProxyStatus) -> String {
    let mut summary = format!(
        "generation {:?}, observed {:?}, {}/{} ready, {} updated, config {:?}",
        object.metadata.generation,
        status.observed_generation,
        status.ready_replicas,
        object.spec.replicas,
        status.updated_replicas,
        status.config_hash,
    );
    for condition in &status.conditions {
        summary.push_str(&format!(
            "\n  {}={}/{} {}",
            condition.type_, condition.status, condition.reason, condition.message
        ));
    }
    summary
}
