//! Others' kinds: the resource definitions of the Prometheus operator and of cert-manager, as their projects publish them,
//! without their programs. Only for a test that is alone.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use kube::api::Api;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::Value;

use crate::{process, wait};

use super::cluster::{cluster, repository};
use super::kubectl::{kubectl, must};
use super::namespace::{LABEL, Namespace};

/// The definitions that the operator makes objects of, each with the file that tests/cluster/build.sh has of it.
const DEFINITIONS: [(&str, &str); 4] = [
    ("podmonitors.monitoring.coreos.com", "podmonitors.yaml"),
    ("servicemonitors.monitoring.coreos.com", "servicemonitors.yaml"),
    ("prometheusrules.monitoring.coreos.com", "prometheusrules.yaml"),
    ("certificates.cert-manager.io", "certificates.yaml"),
];
/// All that a test made, also one that was killed.
const OURS: &str = "bindproxy.io/e2e=definitions";

/// Definitions that a test made. They go when this is dropped, with every object of their kinds.
#[must_use]
#[derive(Debug)]
pub struct Definitions(());

/// Whether the cluster has one of these by itself. Such a one stays as it is, so a test must not expect it to be missing.
#[must_use]
pub fn any_foreign() -> bool {
    DEFINITIONS.iter().any(|(name, _)| is_foreign(name))
}

/// Makes those that the cluster does not have by itself, and waits until they are served.
pub fn make() -> Definitions {
    let made = Definitions(());
    for (name, file) in DEFINITIONS {
        if is_foreign(name) {
            println!("{name} is there already, and not ours: it is used as it is");
            continue;
        }
        let path = path(file);
        let path = path.to_str().expect("UTF-8");
        // Above the size of an annotation, in which kubectl would otherwise keep a copy.
        must(&["apply", "--server-side", "-f", path]);
        must(&["label", "crd", name, OURS, "--overwrite"]);
    }
    for (name, _) in DEFINITIONS {
        // Of a definition that was made in this moment kubectl complains that it has no conditions at all.
        let established = ["wait", &format!("crd/{name}"), "--for=condition=Established", "--timeout=60s"];
        wait::until_true(name, Duration::from_secs(60), || kubectl(&established).done);
    }
    made
}

impl Definitions {
    /// Removes them now, and waits until they have gone.
    pub fn remove(self) {
        drop(self);
    }
}

impl Drop for Definitions {
    fn drop(&mut self) {
        let answer = kubectl(&["delete", "crd", "--selector", OURS, "--timeout=60s"]);
        assert!(answer.done || std::thread::panicking(), "{}", answer.errors);
    }
}

/// Whether a definition is there that no test made.
fn is_foreign(name: &str) -> bool {
    let label = format!("jsonpath={{.kind}} {{.metadata.labels.{}}}", LABEL.replace('.', "\\."));
    let found = must(&["get", "crd", name, "--ignore-not-found", "-o", &label]);
    !found.is_empty() && !found.ends_with(" definitions")
}

fn path(file: &str) -> PathBuf {
    let script = repository().join("tests/cluster/build.sh");
    let (built, told) = process::outcome(Command::new(&script).arg("definitions"));
    assert!(built.success(), "{told}");
    let (found, told) = process::outcome(Command::new(&script).args(["--path", file]));
    assert!(found.success(), "{told}");
    PathBuf::from(told.trim())
}

/// An object of one of these kinds as the API server keeps it; `None` when it is not there.
#[must_use]
pub fn kept(namespace: &str, api_version: &str, kind: &str, name: &str) -> Option<Value> {
    let (group, version) = api_version.split_once('/').expect("a group and a version");
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> = Api::namespaced_with(cluster().client(), namespace, &resource);
    let found = cluster().ask(api.get_opt(name)).unwrap_or_else(|error| panic!("get {kind} {name}: {error}"));
    found.map(|object| serde_json::to_value(object).expect("JSON"))
}

/// Every field of `wanted` that `kept` does not have, or has otherwise, by its path.
#[must_use]
pub fn lost(wanted: &Value, kept: &Value) -> Vec<String> {
    fn compare(path: &str, wanted: &Value, kept: &Value, lost: &mut Vec<String>) {
        match (wanted, kept) {
            (Value::Object(wanted), Value::Object(_)) => {
                for (name, value) in wanted {
                    compare(&format!("{path}.{name}"), value, &kept[name], lost);
                }
            }
            (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
                for (index, value) in wanted.iter().enumerate() {
                    compare(&format!("{path}[{index}]"), value, &kept[index], lost);
                }
            }
            (wanted, kept) if wanted == kept => {}
            (wanted, kept) => lost.push(format!("{path}: wanted {wanted}, kept {kept}")),
        }
    }
    let mut found = Vec::new();
    compare("", wanted, kept, &mut found);
    found
}

/// What the API server would make of this object, which it takes only if it knows every field of it.
///
/// # Errors
/// What it refuses, and why.
pub fn strictly(namespace: &Namespace, object: &Value) -> Result<Value, String> {
    let arguments = ["create", "--dry-run=server", "--validate=strict", "-o", "json", "-f", "-"];
    let answer = namespace.kubectl_with_input(&arguments, &object.to_string());
    if answer.done && answer.errors.is_empty() {
        Ok(serde_json::from_str(&answer.output).expect("JSON"))
    } else {
        Err(answer.errors)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::lost;

    #[test]
    fn what_is_added_is_no_loss_and_what_is_missing_or_changed_is() {
        let kept = json!({"a": {"b": 1, "added": true}, "list": [{"x": "y", "default": 1}, {"x": "z"}]});
        assert_eq!(lost(&json!({"a": {"b": 1}, "list": [{"x": "y"}, {"x": "z"}]}), &kept), Vec::<String>::new());
        let wanted = json!({"a": {"b": 2, "c": "d"}, "list": [{"x": "y"}]});
        let found = lost(&wanted, &kept);
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[0], ".a.b: wanted 2, kept 1");
        assert_eq!(found[1], ".a.c: wanted \"d\", kept null");
    }
}
