//! All objects of a BindProxy as YAML, so that every change of what is applied is seen in a review.

use std::path::Path;

use serde_json::Value;

use super::fixture::{full, json_of, minimal};
use super::monitoring::prometheus_rule;
use super::{Objects, build};
use crate::reconcile::validated::ValidatedBindProxy;

const ALERT: &str = "groups: [{name: one, rules: [{alert: BindProxyDown, expr: 'up{$selector} == 0'}]}]";

#[test]
fn golden_minimal() {
    check("minimal", &minimal());
}

#[test]
fn golden_full() {
    check("full", &full());
}

#[test]
fn every_object_has_the_labels_the_owner_and_the_namespace() {
    for object in documents(&build(&full()).unwrap()) {
        let (kind, metadata) = (&object["kind"], &object["metadata"]);
        for (key, value) in full().identity.labels() {
            assert_eq!(metadata["labels"][&key], value.as_str(), "{kind} {key}");
        }
        assert_eq!(metadata["namespace"], "mail", "{kind}");
        assert_eq!(metadata["ownerReferences"][0]["name"], "corp", "{kind}");
        assert_eq!(metadata["ownerReferences"][0]["kind"], "BindProxy", "{kind}");
        assert_eq!(object["status"], Value::Null, "{kind}");
    }
}

/// Compares with the file `operator/tests/golden/NAME.yaml`, or writes it.
fn check(name: &str, proxy: &ValidatedBindProxy) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.yaml"));
    let mut text = String::from(
        "# Generated; refresh it with `BINDPROXY_REFRESH=1 cargo test -p bindproxy-operator --lib golden`.\n",
    );
    let mut objects = build(proxy).unwrap();
    // One rule for all of them, so that whoever changes an alert changes one file.
    objects.prometheus_rule = prometheus_rule(proxy, ALERT).unwrap();
    for object in documents(&objects) {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&object).unwrap());
    }
    if std::env::var_os("BINDPROXY_REFRESH").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "{} is stale: BINDPROXY_REFRESH=1 cargo test -p bindproxy-operator --lib golden, and look at the difference",
        path.display()
    );
}

/// In the order of the fields; what is absent is left out.
fn documents(objects: &Objects) -> Vec<Value> {
    let Objects {
        service_account,
        config_map,
        peers_service,
        client_service,
        certificate,
        stateful_set,
        pod_disruption_budget,
        network_policy,
        pod_monitor,
        service_monitor,
        prometheus_rule,
    } = objects;
    let all = [
        json_of(service_account),
        json_of(config_map),
        json_of(peers_service),
        json_of(client_service),
        json_of(certificate),
        json_of(stateful_set),
        json_of(pod_disruption_budget),
        json_of(network_policy),
        json_of(pod_monitor),
        json_of(service_monitor),
        json_of(prometheus_rule),
    ];
    all.into_iter().filter(|object| !object.is_null()).collect()
}
