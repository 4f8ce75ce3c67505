//! A namespace for one test: its own, at the Pod Security level *restricted*, gone when the test has passed.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use kube::Resource;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::json;

use crate::certificates::Identity;
use crate::wait;

use super::bind_proxy::Proxies;
use super::cluster::{Cluster, alone, cluster, shared};
use super::diagnosis;
use super::kubectl::{Answer, kubectl_with_input};
use super::upstream::Upstream;

/// Label of every namespace of this suite.
pub const LABEL: &str = "bindproxy.io/e2e";

/// Runs a test beside others in a namespace `e2e-TEST-…`. When it fails, what is there is printed, and the namespace stays
/// (`kubectl delete namespace -l bindproxy.io/e2e` removes all such); with `KEEP=1` it stays anyway.
pub fn with_namespace(test: &str, body: impl FnOnce(&Namespace)) {
    let cluster = cluster();
    let _company = shared();
    run(cluster, test, body);
}

/// As [`with_namespace`], while no other test is running: for those that take something away from all.
pub fn alone_with_namespace(test: &str, body: impl FnOnce(&Namespace)) {
    let cluster = cluster();
    let _company = alone();
    run(cluster, test, body);
}

fn run(cluster: &'static Cluster, test: &str, body: impl FnOnce(&Namespace)) {
    let namespace = Namespace::create(cluster, test);
    let outcome = catch_unwind(AssertUnwindSafe(|| body(&namespace)));
    match outcome {
        Ok(()) if std::env::var("KEEP").is_ok_and(|keep| keep == "1") => {
            println!("KEEP=1: namespace {} stays", namespace.name);
        }
        Ok(()) => namespace.delete(),
        Err(panic) => {
            println!("{}", diagnosis::of(&namespace.name));
            // Again, because the report above has moved it out of sight.
            println!("=== {test} failed: {}", message(panic.as_ref()));
            resume_unwind(panic);
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message")
}

/// A namespace, and the objects in it.
pub struct Namespace {
    cluster: &'static Cluster,
    test: String,
    name: String,
}

impl Namespace {
    /// A further namespace within a test; [`with_namespace`] makes the first.
    pub fn create(cluster: &'static Cluster, test: &str) -> Self {
        let name = format!("e2e-{test}-{:06x}", rand::random_range(0..1 << 24));
        let manifest = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                "labels": {LABEL: test, "pod-security.kubernetes.io/enforce": "restricted"},
            },
        });
        let answer = kubectl_with_input(&["create", "-f", "-"], &manifest.to_string());
        assert!(answer.done, "namespace {name}: {}", answer.errors);
        println!("namespace {name}");
        Self { cluster, test: test.to_owned(), name }
    }

    /// The test that it is for.
    pub fn test(&self) -> &str {
        &self.test
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster that it is in.
    pub fn cluster(&self) -> &'static Cluster {
        self.cluster
    }

    /// The objects of one kind.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.cluster.client(), &self.name)
    }

    /// One object of a kind; `None` when it is not there.
    pub fn get<K>(&self, name: &str) -> Option<K>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + for<'de> serde::Deserialize<'de>,
        K::DynamicType: Default,
    {
        self.cluster.ask(self.api::<K>().get_opt(name)).unwrap_or_else(|error| panic!("get {name}: {error}"))
    }

    /// All objects of a kind.
    pub fn list<K>(&self) -> Vec<K>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + for<'de> serde::Deserialize<'de>,
        K::DynamicType: Default,
    {
        self.cluster.ask(self.api::<K>().list(&ListParams::default())).expect("list").items
    }

    /// kubectl in this namespace.
    pub fn kubectl(&self, arguments: &[&str]) -> Answer {
        self.kubectl_with_input(arguments, "")
    }

    /// kubectl in this namespace, with something to read: `&["apply", "-f", "-"]`.
    pub fn kubectl_with_input(&self, arguments: &[&str], input: &str) -> Answer {
        let mut all = vec!["--namespace", &self.name];
        all.extend(arguments);
        kubectl_with_input(&all, input)
    }

    /// `kubectl apply`, where nothing may go wrong.
    pub fn apply(&self, manifests: &str) {
        let answer = self.kubectl_with_input(&["apply", "-f", "-"], manifests);
        assert!(answer.done, "kubectl apply: {}\n{manifests}", answer.errors);
    }

    /// A ConfigMap, made or replaced.
    pub fn config_map(&self, name: &str, data: &[(&str, &str)]) {
        let data: BTreeMap<_, _> = data.iter().copied().collect();
        self.apply(
            &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}).to_string(),
        );
    }

    /// A Secret, made or replaced.
    pub fn secret(&self, name: &str, data: &[(&str, &str)]) {
        let data: BTreeMap<_, _> = data.iter().copied().collect();
        self.apply(
            &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}).to_string(),
        );
    }

    /// A Secret of type `kubernetes.io/tls`, made or replaced.
    pub fn tls_secret(&self, name: &str, identity: &Identity) {
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let data = json!({"tls.crt": read(&identity.certificate_file), "tls.key": read(&identity.key_file)});
        let manifest = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "type": "kubernetes.io/tls",
            "stringData": data,
        });
        self.apply(&manifest.to_string());
    }

    /// Applies a BindProxy with this `spec`, as YAML; does not wait for it.
    pub fn bind_proxy(&self, name: &str, spec: &str) -> Proxies<'_> {
        let indented: String = spec.lines().map(|line| format!("  {line}\n")).collect();
        self.apply(&format!(
            "apiVersion: bindproxy.io/v1alpha1\nkind: BindProxy\nmetadata:\n  name: {name}\nspec:\n{indented}"
        ));
        self.proxies(name)
    }

    /// The BindProxy `corp`: three pods before this directory, ready and connected with each other. Where tests about what
    /// pods tell each other begin.
    pub fn three_connected(&self, directory: &Upstream) -> Proxies<'_> {
        let proxies = self.bind_proxy("corp", &format!("replicas: 3\nupstreams: [{}]", directory.clear("dc1")));
        proxies.ready();
        proxies.condition("PeersConnected", "True");
        proxies
    }

    /// A BindProxy that somebody else applies, such as Helm.
    pub fn proxies(&self, name: &str) -> Proxies<'_> {
        Proxies::of(self, name)
    }

    /// Polls until `condition` yields a value; panics after `limit`, naming `what` was waited for.
    pub fn until<T>(&self, what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
        wait::until(what, limit, || {
            let found = condition();
            if found.is_none() {
                // `wait::until` begins with pauses of milliseconds, which suit a process and not an API server.
                std::thread::sleep(Duration::from_millis(100));
            }
            found
        })
    }

    /// Deletes it; does not wait.
    pub fn delete(&self) {
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(self.cluster.client());
        let deleted = self.cluster.ask(namespaces.delete(&self.name, &DeleteParams::background()));
        deleted.unwrap_or_else(|error| panic!("delete namespace {}: {error}", self.name));
    }
}
