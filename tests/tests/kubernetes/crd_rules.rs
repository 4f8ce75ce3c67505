//! A real API server takes and refuses the BindProxies below `tests/bindproxies` as their comments say, and
//! shows the resource as people read it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;

use bindproxy_tests::scratch::Scratch;
use bindproxy_tests::wait::{self, Stopwatch};

use bindproxy_tests::kubernetes::kubectl::{Answer, kubectl, must};

use crate::namespace::Namespace;

const NAME: &str = "bindproxies.bindproxy.io";
const AT_ONCE: usize = 4;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The committed definition is there. One that is there already is used as it is, for it may be Helm's.
fn definition() -> &'static Value {
    static DEFINITION: OnceLock<Value> = OnceLock::new();
    DEFINITION.get_or_init(|| {
        let file = repository().join("charts/bindproxy-crds/manifests/bindproxies.yaml");
        let file = file.to_str().unwrap();
        if !kubectl(&["get", "crd", NAME]).done {
            // The chart, which another test installs in this moment, has the same.
            let made = kubectl(&["create", "-f", file]);
            assert!(made.done || made.errors.contains("AlreadyExists"), "{}", made.errors);
        }
        // Of a definition that was made in this moment kubectl complains that it has no conditions at all.
        let established = ["wait", "--for=condition=Established", "--timeout=30s", "crd", NAME];
        wait::until_true("the definition", Duration::from_secs(60), || kubectl(&established).done);
        let committed: Value = json(&must(&["create", "--dry-run=client", "-o", "json", "-f", file]));
        let served = json(&must(&["get", "crd", NAME, "-o", "json"]));
        let version = "/spec/versions/0";
        assert!(
            same(committed.pointer(version).unwrap(), served.pointer(version).unwrap()),
            "the cluster has another definition: kubectl replace -f charts/bindproxy-crds/manifests/bindproxies.yaml"
        );
        // A new definition is served a moment after it is established.
        bindproxy_tests::wait::until_true("kubectl get bindproxies", Duration::from_secs(30), || {
            kubectl(&["get", "bindproxies", "--all-namespaces"]).done
        });
        served
    })
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Equal, where a number may be written with and without a fraction.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| right.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (left, right) => left == right,
    }
}

/// The files of one folder.
fn cases(folder: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(repository().join("tests/bindproxies").join(folder)).unwrap();
    let files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty());
    files
}

/// What the server says to a case, and what it should say. An object that a case changes is really made.
fn apply(file: &Path) -> (Answer, Vec<String>) {
    let text = fs::read_to_string(file).unwrap();
    let words = text.lines().filter_map(|line| line.strip_prefix("# refused: ")).map(str::to_owned).collect();
    let answer = match text.split_once("\n---\n") {
        None => kubectl(&["apply", "--dry-run=server", "-f", file.to_str().unwrap()]),
        Some((before, after)) => {
            let namespace = Namespace::new("crd-rules");
            let scratch = Scratch::new("crd-rules");
            let (old, new) = (scratch.join("before.yaml"), scratch.join("after.yaml"));
            fs::write(&old, before).unwrap();
            fs::write(&new, after).unwrap();
            must(&["apply", "--namespace", &namespace.0, "-f", old.to_str().unwrap()]);
            kubectl(&["apply", "--namespace", &namespace.0, "--dry-run=server", "-f", new.to_str().unwrap()])
        }
    };
    (answer, words)
}

/// Looks at every file of a folder, and tells all that is wrong.
fn check(folder: &str, wrong: impl Fn(Answer, Vec<String>) -> Option<String> + Sync) {
    definition();
    let watch = Stopwatch::start();
    let files = cases(folder);
    let (queue, faults) = (Mutex::new(files.clone()), Mutex::new(Vec::new()));
    let next = || queue.lock().pop();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(file) = next() {
                    let (answer, words) = apply(&file);
                    if let Some(fault) = wrong(answer, words) {
                        faults.lock().push(format!("{}: {fault}", file.display()));
                    }
                }
            });
        }
    });
    let faults = faults.into_inner();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    watch.report(&format!("{} BindProxies {folder}", files.len()));
}

#[test]
fn accepted_cases_are_taken_without_a_warning() {
    check("accepted", |answer, _| {
        (!answer.done || !answer.errors.is_empty()).then(|| format!("{}{}", answer.output, answer.errors))
    });
}

#[test]
fn refused_cases_are_refused_with_the_field_and_the_remedy() {
    check("refused", |answer, words| {
        if answer.done {
            return Some("was taken".to_owned());
        }
        let missing: Vec<_> = words.iter().filter(|words| !answer.errors.contains(words.as_str())).collect();
        (!missing.is_empty() || words.is_empty() || answer.errors.contains("Warning:"))
            .then(|| format!("{missing:?} is missing, or a warning is there, in {}", answer.errors))
    });
}

#[test]
fn the_definition_is_taken_without_a_warning() {
    let mut definition = definition().clone();
    let scratch = Scratch::new("crd-rules");
    // Under its own name kubectl would say that it exists.
    let text =
        definition.to_string().replace("bindproxies", "bindproxytests").replace("\"bindproxy\"", "\"bindproxytest\"");
    definition = json(&text.replace("BindProxy\"", "BindProxyTest\"").replace("BindProxyList", "BindProxyTestList"));
    for field in ["status", "metadata"] {
        definition.as_object_mut().unwrap().remove(field);
    }
    definition["metadata"] = serde_json::json!({"name": "bindproxytests.bindproxy.io"});
    definition["spec"]["names"]["shortNames"] = serde_json::json!(["bpt"]);
    let file = scratch.join("definition.json");
    fs::write(&file, definition.to_string()).unwrap();
    must(&["create", "--dry-run=server", "-f", file.to_str().unwrap()]);
}

#[test]
fn everything_that_is_left_out_has_its_default() {
    definition();
    let file = repository().join("tests/bindproxies/accepted/minimal.yaml");
    let object = json(&must(&["create", "--dry-run=server", "-o", "json", "-f", file.to_str().unwrap()]));
    let spec = format!("{:#}\n", object["spec"]);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubernetes/golden/minimal.json");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&golden, &spec).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    assert!(
        spec == expected,
        "other defaults than in {}; if they are meant, run this test with BLESS=1:\n{spec}",
        golden.display()
    );
}

#[test]
fn explain_shows_what_fields_mean() {
    definition();
    let text = must(&["explain", "bindproxy.spec.cache"]).split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "The failed-bind cache.",
        "ttlSeconds <integer> Seconds that a wrong password is remembered",
        "enum: Auto, Always, Never",
    ] {
        assert!(text.contains(words), "{words:?} is missing in {text}");
    }
    let text = must(&["explain", "bp.spec.pod.affinity"]).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("as in `kubectl explain pod.spec.affinity`"), "{text}");
}

#[test]
fn the_api_has_no_format_that_readers_do_not_know() {
    definition();
    let api = must(&["get", "--raw", "/openapi/v3/apis/bindproxy.io/v1alpha1"]);
    assert!(api.contains("\"format\":\"int32\""), "numbers have formats");
    assert!(!api.contains("\"format\":\"uint"), "an unsigned format is left");
}

#[test]
fn get_shows_columns_and_scale_scales() {
    definition();
    let namespace = Namespace::new("crd-columns");
    let file = repository().join("tests/bindproxies/accepted/minimal.yaml");
    must(&["create", "--namespace", &namespace.0, "-f", file.to_str().unwrap()]);
    let columns = |arguments: &[&str]| -> Vec<String> {
        let text = must(&[&["get", "bp", "--namespace", &namespace.0][..], arguments].concat());
        text.lines().next().unwrap().split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(columns(&[]), ["NAME", "READY", "REASON", "REPLICAS", "DESIRED", "UPSTREAMS", "AGE"]);
    let wide = ["NAME", "READY", "REASON", "REPLICAS", "DESIRED", "UPSTREAMS", "MESSAGE", "CONFIG", "AGE"];
    assert_eq!(columns(&["-o", "wide"]), wide);
    assert!(
        must(&["get", "bindproxy", "--namespace", &namespace.0, "-o", "name"]).contains("bindproxy.bindproxy.io/corp")
    );
    must(&["scale", "bindproxy/corp", "--namespace", &namespace.0, "--replicas=5"]);
    let replicas = must(&["get", "bp", "corp", "--namespace", &namespace.0, "-o", "jsonpath={.spec.replicas}"]);
    assert_eq!(replicas, "5");
    let refused = kubectl(&["scale", "bindproxy/corp", "--namespace", &namespace.0, "--replicas=16"]);
    assert!(!refused.done && refused.errors.contains("spec.replicas"), "{}", refused.errors);
    // Nothing says how many there are until the operator does, so a scale has no status of its own.
    let scale = format!("/apis/bindproxy.io/v1alpha1/namespaces/{}/bindproxies/corp/scale", namespace.0);
    assert_eq!(json(&must(&["get", "--raw", &scale]))["spec"]["replicas"], 5);
}
