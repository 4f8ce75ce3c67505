//! What only an API server can say: it takes every object, and the injection policy does to pods what it should.
//!
//! The server is that of `KUBECONFIG`. Nothing is left there, and pods are only tried (`--dry-run=server`).

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use bindproxy_tests::wait::Stopwatch;
use serde_json::{Value, json};

use crate::helm::{Chart, Helm, answer, documents, objects, path, program, value_files};
use crate::workload::notes;

/// Time in which the API server must have taken notice of a new policy, kind or namespace.
const NOTICE: Duration = Duration::from_secs(60);

/// A server and what this test made there.
struct Server {
    made: Vec<(&'static str, String)>,
}

impl Server {
    fn new() -> Self {
        assert!(
            std::env::var_os("KUBECONFIG").is_some(),
            "KUBECONFIG names no cluster; `make e2e` brings one, and these tests need no more than its API server"
        );
        let server = Self { made: Vec::new() };
        if server.kubectl(&["get", "crd", "bindproxies.bindproxy.io"], "").is_err() {
            let crds = Helm::Four.template(Chart::Crds, &[]).unwrap();
            server.kubectl(&["apply", "--server-side", "-f", "-"], &crds).unwrap();
        }
        let established = ["wait", "crd/bindproxies.bindproxy.io", "--for=condition=Established", "--timeout=60s"];
        // Of a definition that was made in this moment kubectl complains that it has no conditions at all.
        bindproxy_tests::wait::until_true("the definition", NOTICE, || server.kubectl(&established, "").is_ok());
        server
    }

    /// What kubectl prints, or what it complains about.
    fn kubectl(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let kubectl: PathBuf = program("KUBECTL", "kubectl");
        let mut child = Command::new(kubectl)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        answer(&child.wait_with_output().unwrap())
    }

    /// A namespace of this test alone.
    fn namespace(&mut self, name: &str, labels: &[&str]) -> String {
        let name = format!("{name}-{}", std::process::id());
        self.kubectl(&["create", "namespace", &name], "").unwrap();
        self.made.push(("namespace", name.clone()));
        for label in labels {
            self.kubectl(&["label", "namespace", &name, label], "").unwrap();
        }
        name
    }

    /// What would become of `pod` in `namespace`. A namespace's default account appears a moment after it.
    fn admitted(&self, namespace: &str, pod: &Value) -> Result<Value, String> {
        let started = Stopwatch::start();
        loop {
            let arguments = ["create", "--dry-run=server", "-o", "json", "-n", namespace, "-f", "-"];
            match self.kubectl(&arguments, &pod.to_string()) {
                Err(error) if error.contains("serviceaccount") && started.elapsed() < NOTICE => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                Err(error) => return Err(error),
                Ok(pod) => return Ok(serde_json::from_str(&pod).unwrap()),
            }
        }
    }

    /// Whether `account` may do each of verb, resource and namespace.
    fn allowed(&self, account: &str, asked: &[(&str, &str, &str)]) -> Vec<bool> {
        let reviews: Vec<Value> = asked
            .iter()
            .map(|(verb, resource, namespace)| {
                json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
                    "spec": {"user": account, "resourceAttributes": attributes(verb, resource, namespace)}})
            })
            .collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": reviews});
        // The answers come one after the other, not as a list.
        let answers = self.kubectl(&["create", "-o", "json", "-f", "-"], &list.to_string()).unwrap();
        let items: Vec<Value> = serde_json::Deserializer::from_str(&answers).into_iter().map(Result::unwrap).collect();
        assert_eq!(items.len(), asked.len());
        items.iter().map(|item| item["status"]["allowed"] == true).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for (kind, name) in self.made.iter().rev() {
            let _ = self.kubectl(&["delete", kind, name, "--wait=false", "--ignore-not-found"], "");
        }
    }
}

#[test]
fn the_api_server_takes_every_object() {
    let mut server = Server::new();
    // Objects go to namespaces of this test; kinds of others may be missing in this cluster.
    let namespace = server.namespace("charts", &["pod-security.kubernetes.io/enforce=restricted"]);
    let (_, mut example) = notes();
    example["metadata"]["namespace"] = json!(namespace);
    server.kubectl(&["create", "--dry-run=server", "-f", "-"], &example.to_string()).unwrap();
    for values in value_files() {
        let manifests = Helm::Four.template(Chart::Operator, &["-f", path(&values)]).unwrap();
        for document in documents(&manifests) {
            let mut object: Value = serde_saphyr::from_str(&document).unwrap();
            if object["apiVersion"].as_str().unwrap().starts_with("monitoring.coreos.com/") {
                continue;
            }
            if object["metadata"]["namespace"].is_string() {
                object["metadata"]["namespace"] = json!(namespace);
            }
            let apply =
                ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-n", &namespace, "-f", "-"];
            let said = server.kubectl(&apply, &object.to_string());
            said.unwrap_or_else(|error| panic!("{values:?}: {error}\n{document}"));
            if object["kind"] == "Deployment" {
                // Pod Security looks at pods; of a Deployment it only warns.
                let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "operator"}});
                pod["spec"] = object["spec"]["template"]["spec"].clone();
                pod["spec"]["serviceAccountName"] = json!("default");
                server.admitted(&namespace, &pod).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }
}

/// An application's pod that asks for the sidecar, with `change` in its spec.
fn application(change: Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "app", "labels": {"bindproxy.io/inject": "true"}},
        "spec": {
            "automountServiceAccountToken": false,
            "securityContext": {"runAsUser": 1000, "runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [plain("app")],
        },
    });
    for (name, value) in change.as_object().unwrap() {
        pod["spec"][name] = value.clone();
    }
    pod
}

fn plain(name: &str) -> Value {
    json!({"name": name, "image": "localhost/app:1",
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}})
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|item| item["name"].as_str().unwrap()).collect()
}

#[test]
fn the_policy_injects_once_and_only_where_both_labels_are() {
    let mut server = Server::new();
    let label = format!("bindproxy.io/inject-{}", std::process::id());
    let name = format!("inject-{}", std::process::id());
    let arguments = [
        "--set",
        "sidecarInjection.enabled=true",
        "--set",
        &format!("fullnameOverride={name}"),
        "--set",
        &format!("sidecarInjection.namespaceLabel={}", label.replace('.', "\\.")),
    ];
    let manifests =
        Helm::Four.template(Chart::Operator, &[&arguments[..], &["-s", "templates/sidecar-injection.yaml"]].concat());
    let manifests = manifests.unwrap();
    let policy = &objects(&manifests)[0];
    let policy_name = policy["metadata"]["name"].as_str().unwrap().to_owned();
    server.made.push(("mutatingadmissionpolicy", policy_name.clone()));
    server.made.push(("mutatingadmissionpolicybinding", policy_name));
    server.kubectl(&["apply", "-f", "-"], &manifests).unwrap();

    let enabled = format!("{label}=enabled");
    let labelled = server.namespace("inject", &[&enabled, "pod-security.kubernetes.io/enforce=restricted"]);
    let other = server.namespace("inject-other", &[]);

    let started = Stopwatch::start();
    let pod = loop {
        let pod = server.admitted(&labelled, &application(json!({}))).unwrap();
        if pod["spec"]["initContainers"].is_array() {
            break pod;
        }
        assert!(started.elapsed() < NOTICE, "never injected: {pod}");
        std::thread::sleep(Duration::from_millis(100));
    };
    let sidecar = &pod["spec"]["initContainers"][0];
    assert_eq!(names(&pod["spec"]["initContainers"]), ["bindproxy"]);
    assert_eq!(names(&pod["spec"]["containers"]), ["app"]);
    assert_eq!(sidecar["restartPolicy"], "Always");
    assert_eq!(sidecar["image"], "localhost/bindproxy:dev");
    assert_eq!(sidecar["args"], json!(["run", "--config", "/etc/bindproxy/config/bindproxy.yaml"]));
    assert_eq!(sidecar["startupProbe"]["httpGet"]["path"], "/startupz");
    assert_eq!(sidecar["securityContext"]["runAsUser"], 65532);
    assert_eq!(pod["spec"]["volumes"][0]["configMap"]["name"], "bindproxy-sidecar");

    // The other namespace, the other pod.
    let pod = server.admitted(&other, &application(json!({}))).unwrap();
    assert_eq!(pod["spec"]["initContainers"], Value::Null);
    let mut silent = application(json!({}));
    silent["metadata"]["labels"] = json!({"bindproxy.io/inject": "false"});
    assert_eq!(server.admitted(&labelled, &silent).unwrap()["spec"]["initContainers"], Value::Null);

    // What the pod has stays, and the sidecar comes before it.
    let mut full = application(json!({
        "initContainers": [plain("first"), plain("second")],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }));
    full["metadata"]["annotations"] = json!({"bindproxy.io/config": "ldap-of-mail"});
    let pod = server.admitted(&labelled, &full).unwrap();
    assert_eq!(names(&pod["spec"]["initContainers"]), ["bindproxy", "first", "second"]);
    assert_eq!(names(&pod["spec"]["volumes"]), ["data", "bindproxy-config"]);
    assert_eq!(pod["spec"]["volumes"][1]["configMap"]["name"], "ldap-of-mail");

    // Injected before, as a pod that is created again from its own YAML: nothing changes.
    let mut again =
        application(json!({"initContainers": pod["spec"]["initContainers"], "volumes": pod["spec"]["volumes"]}));
    again["metadata"]["annotations"] = json!({"bindproxy.io/config": "another"});
    let pod = server.admitted(&labelled, &again).unwrap();
    assert_eq!(names(&pod["spec"]["initContainers"]), ["bindproxy", "first", "second"]);
    assert_eq!(pod["spec"]["volumes"][1]["configMap"]["name"], "ldap-of-mail");
    let pod = server.admitted(&labelled, &application(json!({"containers": [plain("bindproxy")]}))).unwrap();
    assert_eq!(pod["spec"]["initContainers"], Value::Null);
    // A volume of the same name is the pod's own choice of configuration.
    let own = json!({"volumes": [{"name": "bindproxy-config", "secret": {"secretName": "own"}}]});
    let pod = server.admitted(&labelled, &application(own)).unwrap();
    assert_eq!(names(&pod["spec"]["initContainers"]), ["bindproxy"]);
    assert_eq!(
        pod["spec"]["volumes"],
        json!([{"name": "bindproxy-config", "secret": {"secretName": "own", "defaultMode": 420}}])
    );
}

/// Rights that are asked for with the operator's account: verb, resource, whether it should have them.
const RIGHTS: [(&str, &str, bool); 28] = [
    ("list", "bindproxies.bindproxy.io", true),
    ("watch", "bindproxies.bindproxy.io", true),
    ("patch", "bindproxies.bindproxy.io/status", true),
    ("update", "bindproxies.bindproxy.io", false),
    ("patch", "bindproxies.bindproxy.io", false),
    ("delete", "bindproxies.bindproxy.io", false),
    ("create", "statefulsets.apps", true),
    ("patch", "statefulsets.apps", true),
    ("create", "services", true),
    ("patch", "configmaps", true),
    ("create", "serviceaccounts", true),
    ("create", "serviceaccounts/token", false),
    ("create", "poddisruptionbudgets.policy", true),
    ("delete", "networkpolicies.networking.k8s.io", true),
    ("create", "secrets", true),
    ("get", "secrets", false),
    ("list", "secrets", false),
    ("watch", "secrets", false),
    ("patch", "secrets", false),
    ("delete", "secrets", false),
    ("patch", "pods", true),
    ("create", "pods", false),
    ("delete", "pods", false),
    ("create", "pods/exec", false),
    ("create", "events.events.k8s.io", true),
    ("list", "events", true),
    ("create", "roles.rbac.authorization.k8s.io", false),
    ("list", "namespaces", false),
];

#[test]
fn the_operators_account_may_what_the_table_says_and_only_in_its_namespaces() {
    let mut server = Server::new();
    let (watched, other, home) =
        (server.namespace("watched", &[]), server.namespace("unwatched", &[]), server.namespace("home", &[]));
    let name = format!("rights-{}", std::process::id());
    for (watch, everywhere) in [(true, false), (false, true)] {
        let mut arguments = vec!["--set".to_owned(), format!("fullnameOverride={name},namespaceOverride={home}")];
        if watch {
            arguments.extend(["--set".to_owned(), format!("watchNamespaces={{{watched}}}")]);
        }
        arguments.extend(["-s", "templates/rbac.yaml"].map(str::to_owned));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let manifests = Helm::Four.template(Chart::Operator, &arguments).unwrap();
        server.made.push(("clusterrole", name.clone()));
        server.made.push(("clusterrolebinding", name.clone()));
        server.kubectl(&["apply", "-f", "-"], &manifests).unwrap();
        let account = format!("system:serviceaccount:{home}:{name}");
        let seen_in = if everywhere { &other } else { &watched };
        let started = Stopwatch::start();
        while !server.allowed(&account, &[("list", "bindproxies.bindproxy.io", seen_in)])[0] {
            assert!(started.elapsed() < NOTICE, "the roles have no effect");
            std::thread::sleep(Duration::from_millis(100));
        }
        let mut table: Vec<(&str, &str, &str, bool)> = Vec::new();
        for (verb, resource, expected) in RIGHTS {
            table.push((verb, resource, &watched, expected));
            table.push((verb, resource, &other, expected && everywhere));
        }
        for (verb, at_home) in [("create", true), ("list", false), ("delete", false)] {
            table.push((verb, "leases.coordination.k8s.io", &home, at_home));
            table.push((verb, "leases.coordination.k8s.io", &other, false));
        }
        let asked: Vec<(&str, &str, &str)> = table.iter().map(|row| (row.0, row.1, row.2)).collect();
        for (row, allowed) in table.iter().zip(server.allowed(&account, &asked)) {
            let (verb, resource, namespace, expected) = row;
            assert_eq!(allowed, *expected, "{verb} {resource} in {namespace}");
        }
    }
}

/// `resource.group/subresource` as the API server wants it.
fn attributes(verb: &str, resource: &str, namespace: &str) -> Value {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    json!({"verb": verb, "group": group, "resource": resource, "subresource": subresource, "namespace": namespace})
}
