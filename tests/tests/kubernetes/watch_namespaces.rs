//! Scenario 22: an operator that watches one namespace leaves the others alone and could do nothing there; and, of scenario
//! 7, what becomes of a BindProxy whose namespace denies the operator something.

use std::time::Duration;

use serde_json::{Value, json};

use bindproxy_tests::kubernetes::cluster::{RELEASE, SYSTEM};
use bindproxy_tests::kubernetes::kubectl::kubectl;
use bindproxy_tests::kubernetes::{Namespace, Proxies, Upstream, alone_with_namespace, cluster};
use bindproxy_tests::wait;

/// Every rule of the operator's account in a namespace that it watches.
const RIGHTS: [(&str, &[&str]); 16] = [
    ("bindproxies.bindproxy.io", &["get", "list", "watch"]),
    ("bindproxies.bindproxy.io/status", &["patch"]),
    ("statefulsets.apps", OWNED),
    ("services", OWNED),
    ("configmaps", OWNED),
    ("serviceaccounts", OWNED),
    ("poddisruptionbudgets.policy", OWNED),
    ("networkpolicies.networking.k8s.io", OWNED),
    ("pods", &["get", "list", "watch", "patch"]),
    ("secrets", &["create"]),
    ("events.events.k8s.io", &["create", "patch"]),
    ("events", &["list"]),
    ("leases.coordination.k8s.io", &[]),
    ("pods/exec", &[]),
    ("pods/log", &[]),
    ("serviceaccounts/token", &[]),
];
const OWNED: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];
/// Every verb that anything could be done with.
const VERBS: [&str; 8] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];

#[test]
fn only_what_is_watched_is_touched_and_could_be() {
    alone_with_namespace("watched", |watched| {
        let other = Namespace::create(cluster(), "not-watched");
        let directory = Upstream::shared();
        let spec = format!("replicas: 1\nupstreams: [{}]", directory.clear("dc1"));
        let only = format!("watchNamespaces={{{}}}", watched.name());
        let installation = cluster().install_for_now(&["--set", &only]);

        let untouched = other.bind_proxy("corp", &spec);
        let proxies = watched.bind_proxy("corp", &spec);
        proxies.ready();
        // Its neighbour is ready, so an operator that saw this one would have begun with it.
        assert!(untouched.get().status.is_none(), "{:?}", untouched.get().status);
        for kind in ["statefulsets", "services", "secrets", "pods"] {
            let found = other.kubectl(&["get", kind, "-o", "name"]).output;
            assert!(found.is_empty(), "{found}");
        }

        let wrong: Vec<String> = [watched.name(), other.name(), "kube-system", "--all-namespaces"]
            .into_iter()
            .flat_map(|namespace| differences(namespace, namespace == watched.name()))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        for cluster_wide in ["nodes", "namespaces", "customresourcedefinitions.apiextensions.k8s.io"] {
            assert!(!may("get", cluster_wide, "--all-namespaces"), "get {cluster_wide}");
        }

        denied_and_allowed_again(watched);

        drop(installation);
        untouched.ready();
        other.delete();
    });
}

/// What is not as the table has it.
fn differences(namespace: &str, watched: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for (resource, verbs) in RIGHTS {
        for verb in VERBS {
            let expected = watched && verbs.contains(&verb);
            if may(verb, resource, namespace) != expected {
                wrong.push(format!("{verb} {resource} in {namespace}: expected {expected}"));
            }
        }
    }
    wrong
}

fn may(verb: &str, resource: &str, namespace: &str) -> bool {
    let account = format!("system:serviceaccount:{SYSTEM}:{RELEASE}");
    let mut arguments = vec!["auth", "can-i", verb];
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let subresource = format!("--subresource={subresource}");
    arguments.extend([resource, &subresource, "--as", &account]);
    match namespace {
        "--all-namespaces" => arguments.push(namespace),
        namespace => arguments.extend(["--namespace", namespace]),
    }
    let answer = kubectl(&arguments);
    match answer.output.trim() {
        "yes" => true,
        "no" => false,
        _ => panic!("kubectl {arguments:?}: {}{}", answer.output, answer.errors),
    }
}

/// Somebody takes the right to change StatefulSets away: the status says so, what runs goes on, and all is well when the
/// right is back.
fn denied_and_allowed_again(namespace: &Namespace) {
    let proxies = Proxies::of(namespace, "corp");
    let before = proxies.incarnations();
    let role = namespace.kubectl(&["get", "role", RELEASE, "-o", "json"]);
    assert!(role.done, "{}", role.errors);
    let role: Value = serde_json::from_str(&role.output).expect("JSON");
    let rules = role["rules"].as_array().expect("rules").clone();
    let without: Vec<_> = rules
        .iter()
        .cloned()
        .map(|mut rule| {
            if rule["resources"] == json!(["statefulsets"]) {
                rule["verbs"] = json!(["get", "list", "watch"]);
            }
            rule
        })
        .collect();
    assert_ne!(rules, without);
    let set = |rules: &[Value]| {
        let patch = json!({"rules": rules}).to_string();
        let answer = namespace.kubectl(&["patch", "role", RELEASE, "--type=merge", "--patch", &patch]);
        assert!(answer.done, "{}", answer.errors);
    };
    set(&without);
    wait::until_true("the right to be gone", Duration::from_secs(10), || {
        !may("patch", "statefulsets.apps", namespace.name())
    });
    proxies.scale(2);
    let told = proxies.reason("Accepted", "False", "PermissionDenied");
    assert!(told.message.contains("StatefulSet corp") && told.message.contains("statefulsets"), "{}", told.message);
    assert_eq!(proxies.incarnations(), before, "what ran goes on");

    set(&rules);
    proxies.condition("Accepted", "True");
    proxies.ready();
}
