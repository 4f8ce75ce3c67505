//! The sidecar that the injection policy writes, as far as it can be seen without an API server.

use serde_json::{Value, json};

use crate::helm::{Chart, Helm, objects, only, root};

fn rendered(sets: &[&str]) -> Vec<Value> {
    let arguments: Vec<&str> =
        ["sidecarInjection.enabled=true"].iter().chain(sets).flat_map(|set| ["--set", *set]).collect();
    objects(&Helm::Four.template(Chart::Operator, &arguments).unwrap_or_else(|error| panic!("{error}")))
}

/// The container inside of the policy's expression. Without its `dyn()` a CEL literal is JSON.
fn container(objects: &[Value]) -> Value {
    let policy = only(objects, "MutatingAdmissionPolicy");
    let expression = policy["spec"]["mutations"][0]["jsonPatch"]["expression"].as_str().unwrap();
    let start =
        expression.find("/spec/initContainers/0\", value: ").unwrap() + "/spec/initContainers/0\", value: ".len();
    let end = start + expression[start..].find(" }] + (").unwrap();
    let literal = expression[start..end].replace("dyn(", "").replace(')', "");
    serde_json::from_str(&literal).unwrap_or_else(|error| panic!("{error} in {literal}"))
}

/// Everything of `part` is in `whole`.
fn assert_within(part: &Value, whole: &Value, at: &str) {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            for (name, value) in part {
                assert_within(value, whole.get(name).unwrap_or(&Value::Null), &format!("{at}.{name}"));
            }
        }
        (Value::Array(part), Value::Array(whole)) => {
            assert_eq!(part.len(), whole.len(), "{at}");
            for (index, (part, whole)) in part.iter().zip(whole).enumerate() {
                assert_within(part, whole, &format!("{at}[{index}]"));
            }
        }
        (part, whole) => assert_eq!(part, whole, "{at}"),
    }
}

#[test]
fn the_documented_sidecar_is_the_injected_one() {
    let document = std::fs::read_to_string(root().join("docs/sidecar.md")).unwrap();
    let (_, rest) = document.split_once("## By hand").unwrap();
    let (_, rest) = rest.split_once("```yaml\n").unwrap();
    let documented: Value = serde_saphyr::from_str(rest.split_once("```").unwrap().0).unwrap();
    assert_within(&documented["spec"]["initContainers"][0], &container(&rendered(&[])), "initContainers[0]");
}

#[test]
fn the_sidecar_follows_the_values() {
    let own = container(&rendered(&["proxyImage.tag=v1,proxyImage.pullPolicy=Never"]));
    assert_eq!((&own["image"], &own["imagePullPolicy"]), (&json!("localhost/bindproxy:v1"), &json!("Never")));
    let other = container(&rendered(&[
        "sidecarInjection.image.repository=example.org/p,sidecarInjection.image.tag=v2,sidecarInjection.image.pullPolicy=Always",
        "sidecarInjection.adminPort=9999,sidecarInjection.startupSeconds=7",
        "sidecarInjection.resources.limits.memory=1Gi",
    ]));
    assert_eq!((&other["image"], &other["imagePullPolicy"]), (&json!("example.org/p:v2"), &json!("Always")));
    assert_eq!(
        other["startupProbe"],
        json!({"httpGet": {"path": "/startupz", "port": 9999}, "periodSeconds": 1, "failureThreshold": 7})
    );
    assert_eq!(other["ports"][0]["containerPort"], 9999);
    assert_eq!(other["resources"]["limits"]["memory"], "1Gi");

    let objects = rendered(&["sidecarInjection.failurePolicy=Ignore,sidecarInjection.defaultConfigMap=ldap"]);
    let policy = only(&objects, "MutatingAdmissionPolicy");
    assert_eq!(policy["spec"]["failurePolicy"], "Ignore");
    assert!(policy["spec"]["variables"][0]["expression"].as_str().unwrap().ends_with(": \"ldap\""));
    let binding = only(&objects, "MutatingAdmissionPolicyBinding");
    assert_eq!(binding["spec"]["policyName"], policy["metadata"]["name"]);
}
