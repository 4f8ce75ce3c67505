//! Scenario 7, what is stored and cannot be read: one such BindProxy is counted and told, and no other waits for it.

use std::time::Duration;

use serde_json::{Value, json};

use bindproxy_tests::kubernetes::cluster::ADMIN_PORT;
use bindproxy_tests::kubernetes::kubectl::{kubectl, must};
use bindproxy_tests::kubernetes::{Upstream, alone_with_namespace, cluster};
use bindproxy_tests::{scrape, wait};

const DEFINITION: &str = "bindproxies.bindproxy.io";
const LEVELS: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/logging/properties/level/enum";

#[test]
fn one_that_cannot_be_read_stops_no_other() {
    alone_with_namespace("undecodable", |namespace| {
        let directory = Upstream::shared();
        let spec = format!("replicas: 1\nupstreams: [{}]", directory.clear("dc1"));
        let good = namespace.bind_proxy("good", &spec);
        good.ready();
        assert_eq!(rejected(), 0.0);

        let loosened = Loosened::definition();
        // The API server serves a changed definition a moment later.
        let bad = json!({
            "apiVersion": "bindproxy.io/v1alpha1",
            "kind": "BindProxy",
            "metadata": {"name": "bad"},
            "spec": {"logging": {"level": "deafening"}, "upstreams": [{"name": "dc1", "host": "dc1.invalid"}]},
        });
        namespace.until("the API server to take what nobody can read", Duration::from_secs(30), || {
            namespace.kubectl_with_input(&["create", "-f", "-"], &bad.to_string()).done.then_some(())
        });
        wait::until_true("the metric", Duration::from_secs(30), || rejected() == 1.0);
        namespace.until("an event", Duration::from_secs(30), || {
            let events = namespace.kubectl(&["get", "events", "--field-selector", "involvedObject.name=bad"]).output;
            (events.contains("InvalidSpec") && events.contains("deafening")).then_some(())
        });

        // A change of one that was there, a new one, and the watch from its beginning, which lists the bad one first.
        good.scale(2);
        good.ready();
        namespace.bind_proxy("new", &spec).ready();
        let pod = cluster().operator_pods().pop().and_then(|pod| pod.metadata.name).expect("a pod of the operator");
        must(&["delete", "pod", &pod, "--namespace", bindproxy_tests::kubernetes::cluster::SYSTEM]);
        good.patch("spec: {cache: {ttlSeconds: 60}}");
        good.condition("ConfigApplied", "True");
        wait::until_true("the metric of the next operator", Duration::from_secs(60), || rejected() == 1.0);
        let left = namespace.kubectl(&["get", "statefulset", "bad", "--ignore-not-found", "-o", "name"]).output;
        assert!(left.is_empty(), "nothing is made of it: {left}");

        // Its owner corrects it.
        let correct = [
            "patch",
            "bindproxy",
            "bad",
            "--type=merge",
            "--patch",
            "{\"spec\": {\"logging\": {\"level\": \"debug\"}}}",
        ];
        assert!(namespace.kubectl(&correct).done);
        drop(loosened);
        wait::until_true("the metric", Duration::from_secs(30), || rejected() == 0.0);
        namespace.until("the corrected one", Duration::from_secs(60), || {
            let made = namespace.kubectl(&["get", "statefulset", "bad", "--ignore-not-found", "-o", "name"]).output;
            (!made.is_empty()).then_some(())
        });
    });
}

fn rejected() -> f64 {
    let pods = cluster().operator_pods();
    let addresses = pods.iter().filter_map(|pod| pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok());
    addresses
        .map(|ip| std::net::SocketAddr::new(ip, ADMIN_PORT))
        .map(|address| scrape::metric(address, "bindproxy_operator_rejected_resources", &[]))
        .sum()
}

/// The resource definition without the list of levels, until this is dropped.
pub(crate) struct Loosened(Value);

impl Loosened {
    pub(crate) fn definition() -> Self {
        let served: Value = serde_json::from_str(&must(&["get", "crd", DEFINITION, "-o", "json"])).expect("JSON");
        let levels = served.pointer(LEVELS).expect("the list of levels").clone();
        let loosened = Self(levels);
        patch(&json!([{"op": "remove", "path": LEVELS}]));
        loosened
    }
}

impl Drop for Loosened {
    fn drop(&mut self) {
        patch(&json!([{"op": "add", "path": LEVELS, "value": self.0}]));
    }
}

fn patch(operations: &Value) {
    let answer = kubectl(&["patch", "crd", DEFINITION, "--type=json", "--patch", &operations.to_string()]);
    assert!(answer.done || std::thread::panicking(), "{}", answer.errors);
}
