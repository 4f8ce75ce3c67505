//! Who may do what: the operator's rights, with and without `watchNamespaces`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::helm::{Chart, Helm, NAMESPACE, objects, of_kind, value_files};

fn rendered(sets: &[&str]) -> Vec<Value> {
    let arguments: Vec<&str> = sets.iter().flat_map(|set| ["--set", *set]).collect();
    objects(&Helm::Four.template(Chart::Operator, &arguments).unwrap_or_else(|error| panic!("{error}")))
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().map(|text| text.as_str().unwrap()).collect()
}

/// The rules as `group/resource verb`, without the roles of people, which aggregation marks.
fn rights(objects: &[Value], kind: &str) -> BTreeSet<String> {
    of_kind(objects, kind)
        .into_iter()
        .filter(|role| !role["metadata"]["labels"].to_string().contains("rbac.authorization.k8s.io/aggregate-to"))
        .flat_map(|role| role["rules"].as_array().unwrap().iter())
        .flat_map(|rule| {
            let mut all = Vec::new();
            for group in texts(&rule["apiGroups"]) {
                for resource in texts(&rule["resources"]) {
                    all.extend(texts(&rule["verbs"]).iter().map(|verb| format!("{group}/{resource} {verb}")));
                }
            }
            all
        })
        .collect()
}

#[test]
fn secrets_are_created_and_never_read() {
    for sets in [&[][..], &["watchNamespaces={mail}"]] {
        let objects = rendered(sets);
        let all: BTreeSet<String> = ["Role", "ClusterRole"].iter().flat_map(|kind| rights(&objects, kind)).collect();
        let secrets: Vec<&String> = all.iter().filter(|right| right.contains("secrets")).collect();
        assert_eq!(secrets, ["/secrets create"]);
        assert!(all.iter().all(|right| !right.contains('*')), "a wildcard: {all:?}");
        // What would let the operator give itself more than it has.
        for word in ["rbac.authorization.k8s.io", "escalate", "bind", "impersonate", "serviceaccounts/token", "exec"] {
            assert!(all.iter().all(|right| !right.split([' ', '/']).any(|part| part == word)), "{word}: {all:?}");
        }
        assert!(all.contains("bindproxy.io/bindproxies watch") && !all.contains("bindproxy.io/bindproxies patch"));
    }
}

#[test]
fn with_namespaces_nothing_is_cluster_wide() {
    let objects = rendered(&["watchNamespaces={mail,wiki}"]);
    for kind in ["ClusterRole", "ClusterRoleBinding"] {
        assert_eq!(of_kind(&objects, kind), Vec::<&Value>::new());
    }
    // Exactly the cluster-wide rights, in exactly these namespaces, beside the Lease at home.
    let cluster_wide = rights(&rendered(&[]), "ClusterRole");
    for namespace in ["mail", "wiki"] {
        let here: Vec<Value> =
            objects.iter().filter(|object| object["metadata"]["namespace"] == namespace).cloned().collect();
        assert_eq!(rights(&here, "Role"), cluster_wide);
        let [binding] = of_kind(&here, "RoleBinding")[..] else { panic!("{here:?}") };
        assert_eq!(binding["subjects"][0]["namespace"], NAMESPACE);
    }
    let at_home: Vec<Value> =
        objects.iter().filter(|object| object["metadata"]["namespace"] == NAMESPACE).cloned().collect();
    let leases = ["create", "get", "patch", "update"].map(|verb| format!("coordination.k8s.io/leases {verb}"));
    assert_eq!(rights(&at_home, "Role"), BTreeSet::from(leases));
}

#[test]
fn switches_take_rights_away() {
    let all = rights(&rendered(&[]), "ClusterRole");
    let less = rights(&rendered(&["rbac.monitoring=false", "rbac.certManager=false"]), "ClusterRole");
    let gone: BTreeSet<&str> = all.difference(&less).map(|right| right.split('/').next().unwrap()).collect();
    assert_eq!(gone, BTreeSet::from(["monitoring.coreos.com", "cert-manager.io"]));
    for kind in ["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"] {
        assert_eq!(of_kind(&rendered(&["rbac.create=false"]), kind), Vec::<&Value>::new());
    }
    assert_eq!(of_kind(&rendered(&["rbac.aggregateClusterRoles=false"]), "ClusterRole").len(), 1);
    assert_eq!(of_kind(&rendered(&["operator.leaderElection.enabled=false"]), "Role"), Vec::<&Value>::new());
}

#[test]
fn every_rule_has_a_reason() {
    for values in value_files() {
        let manifests = Helm::Four.template(Chart::Operator, &["-f", crate::helm::path(&values)]).unwrap();
        let lines: Vec<&str> = manifests.lines().collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.trim_start().starts_with("- apiGroups: [")) {
            let admission = lines[..at].iter().rev().take(2).any(|line| line.trim() == "resourceRules:");
            let commented = lines[at - 1].trim_start().starts_with('#');
            // The second rule on leases shares the reason of the first.
            let shared = line.contains("coordination.k8s.io") && lines[at - 1].contains("create");
            assert!(admission || commented || shared, "no reason above `{line}`");
        }
    }
}
