//! Scenario 14: a BindProxy that is deleted takes along what was made for it and nothing else, with or without an operator.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt as _;

use bindproxy_tests::certificates::Authority;
use bindproxy_tests::kubernetes::cluster::{OPERATOR_PODS, RELEASE, SYSTEM};
use bindproxy_tests::kubernetes::kubectl::{kubectl, must};
use bindproxy_tests::kubernetes::{Namespace, Upstream, alone_with_namespace, cluster, with_namespace};
use bindproxy_tests::scratch::Scratch;
use bindproxy_tests::wait;

/// What is made for a BindProxy, and what its controllers make of that.
const KINDS: &str = "bindproxies,statefulsets,services,configmaps,serviceaccounts,secrets,poddisruptionbudgets,\
                     networkpolicies,pods,controllerrevisions,endpointslices";

#[test]
fn all_that_was_made_goes_and_what_is_others_stays() {
    with_namespace("deletion", |namespace| goes(namespace, || ()));
}

#[test]
fn deleted_while_there_is_no_operator() {
    alone_with_namespace("deletion-alone", |namespace| {
        let mut away = None;
        goes(namespace, || away = Some(NoOperator::scaled()));
        drop(away);
    });
}

fn goes(namespace: &Namespace, before_the_end: impl FnOnce()) {
    let directory = Upstream::shared();
    let scratch = Scratch::new("deletion");
    let authority = Authority::new(scratch.path());
    namespace.tls_secret("my-tls", &authority.server("server", &[]));
    namespace.config_map("my-ca", &[("ca.crt", &directory.ca())]);
    let key: String = (0..32).map(|_| rand::random_range('a'..='z')).collect();
    namespace.secret("my-key", &[("key", &key)]);
    let others = objects(namespace);
    let upstream = directory.ldaps("dc1", "my-ca");
    let proxies = namespace.bind_proxy(
        "corp",
        &format!(
            "replicas: 2\nupstreams: [{upstream}]\nserverTLS: {{secretRef: {{name: my-tls}}}}\n\
             listeners: [{{name: ldaps, port: 636, tls: LDAPS}}]\ncache: {{keySecretRef: {{name: my-key}}}}\n\
             networkPolicy: {{enabled: true, upstreamCIDRs: ['{}/32']}}",
            cluster().host_address()
        ),
    );
    proxies.ready();
    let made = objects(namespace);
    for name in [
        "statefulset.apps/corp",
        "service/corp",
        "service/corp-peers",
        "configmap/corp-config",
        "serviceaccount/corp",
        "secret/corp-cluster",
        "poddisruptionbudget.policy/corp",
        "networkpolicy.networking.k8s.io/corp",
        "pod/corp-1",
    ] {
        assert!(made.iter().any(|one| one == name), "{name} is not in {made:?}");
    }
    assert!(proxies.get().finalizers().is_empty(), "nothing needs an operator that is there");

    before_the_end();
    proxies.delete();
    namespace.until("only what was there before", Duration::from_secs(120), || {
        let left = objects(namespace);
        (left == others).then_some(())
    });
    assert!(namespace.get::<ConfigMap>("my-ca").is_some());
    assert!(namespace.get::<Secret>("my-key").is_some() && namespace.get::<Secret>("my-tls").is_some());
}

/// What is in a namespace, as `kind/name`, sorted, without what every namespace is given a moment after it is made.
fn objects(namespace: &Namespace) -> Vec<String> {
    let answer = namespace.kubectl(&["get", KINDS, "-o", "name"]);
    assert!(answer.done, "{}", answer.errors);
    let given = ["configmap/kube-root-ca.crt", "serviceaccount/default"];
    let mut names: Vec<String> =
        answer.output.lines().filter(|name| !given.contains(name)).map(str::to_owned).collect();
    names.sort();
    names
}

/// The operator is scaled to nothing until this is dropped.
struct NoOperator;

impl NoOperator {
    fn scaled() -> Self {
        let scaled = Self;
        must(&["scale", "deployment", RELEASE, "--namespace", SYSTEM, "--replicas=0"]);
        wait::until_true("no pod of the operator", Duration::from_secs(60), || {
            kubectl(&["get", "pods", "--namespace", SYSTEM, "-o", "name", "--selector", OPERATOR_PODS])
                .output
                .is_empty()
        });
        scaled
    }
}

impl Drop for NoOperator {
    fn drop(&mut self) {
        let scaled = kubectl(&["scale", "deployment", RELEASE, "--namespace", SYSTEM, "--replicas=1"]);
        let there = ["rollout", "status", "deployment", RELEASE, "--namespace", SYSTEM, "--timeout=60s"];
        if !scaled.done || !kubectl(&there).done {
            println!("the operator did not come back: {}", scaled.errors);
        }
    }
}
