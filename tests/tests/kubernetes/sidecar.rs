//! Scenario 21: the proxy as a native sidecar, by the snippet of the documentation and by injection.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use bindproxy_tests::kubernetes::cluster::{cluster, repository};
use bindproxy_tests::kubernetes::kubectl::{kubectl, kubectl_with_input};
use bindproxy_tests::kubernetes::{Cluster, Namespace, Upstream, figures, with_namespace};
use bindproxy_tests::wait::Stopwatch;

/// Only a cluster that was started here has it on its nodes.
const CLIENT: &str = "localhost/client:e2e";
const SIDECAR: &str = "bindproxy";
const PATIENCE: Duration = Duration::from_secs(90);
const INJECT: &str = "bindproxy.io/inject";

#[test]
fn the_snippet_of_the_documentation_serves_a_pod_and_a_job() {
    with_namespace("sidecar-snippet", |namespace| {
        if cluster().own_or_skip("the sidecar of the documentation").is_none() {
            return;
        }
        namespace.apply(&configuration("bindproxy-sidecar", Upstream::shared()));
        starts_first_ends_last_and_holds_no_job(namespace, &|app| with_snippet(app));
        an_app_does_not_start_before_its_proxy(namespace, &|app| with_snippet(app));
    });
}

#[test]
fn the_policy_of_the_chart_injects_it_into_pods_that_ask() {
    with_namespace("sidecar-injection", |namespace| {
        if cluster().own_or_skip("the sidecar that is injected").is_none() {
            return;
        }
        let policy = Policy::of(namespace);
        namespace.apply(&configuration("bindproxy-sidecar", Upstream::shared()));
        policy.until_it_holds(namespace);
        starts_first_ends_last_and_holds_no_job(namespace, &|app| asking(app, None));
        an_app_does_not_start_before_its_proxy(namespace, &|app| asking(app, Some("bindproxy-wrong")));

        // Who does not ask is left alone, also in a namespace where others may.
        let silent = pod("silent", restricted("true"));
        namespace.apply(&silent.to_string());
        let silent: Pod = namespace.get("silent").expect("the pod that was applied");
        assert!(silent.spec.and_then(|spec| spec.init_containers).unwrap_or_default().is_empty());
    });
}

/// A pod template, given the one of an application, that has the sidecar; its configuration is `bindproxy-sidecar` unless
/// the pod is named `wrong`.
type Add<'a> = &'a dyn Fn(Value) -> Value;

fn starts_first_ends_last_and_holds_no_job(namespace: &Namespace, add: Add<'_>) {
    let directory = Upstream::shared();
    let unique = namespace.name();
    let user = directory.slapd.add_user(&format!("job-{unique}"), "right");

    // The first command binds at once and is not repeated: it finds a proxy that serves, or the Job fails.
    let script = format!(
        "{right} || exit 8; for i in 1 2 3 4 5; do {stale} && exit 9; done; {right}",
        right = whoami(&user, "right"),
        stale = whoami(&user, "stale"),
    );
    let watch = Stopwatch::start();
    let template = add(pod("job", restricted(&script)));
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"},
        "spec": {"backoffLimit": 0, "template": {"metadata": template["metadata"], "spec": template["spec"]}},
    });
    namespace.apply(&job.to_string());
    namespace.until("the end of the Job", PATIENCE, || {
        let job: Job = namespace.get("job")?;
        let conditions = job.status.and_then(|status| status.conditions).unwrap_or_default();
        let is = |kind: &str| conditions.iter().any(|one| one.type_ == kind && one.status == "True");
        assert!(
            !is("Failed"),
            "the Job failed: {}",
            namespace.kubectl(&["logs", "job/job", "--all-containers"]).output
        );
        is("Complete").then_some(())
    });
    figures::record_seconds("sidecar: a Job with five logins, from apply to Complete", watch.elapsed());
    // A login that succeeds clears slapd's counter of failures; its log has the two that were right, and one stale.
    assert_eq!(directory.slapd.binds(&user), 3, "binds in slapd's log: five stale logins in one pod are one");

    let pods: Vec<Pod> = namespace.list();
    let pod = pods.iter().find(|pod| pod.name_any().starts_with("job-")).expect("the Job's pod");
    let (app, sidecar) = (status(pod, "app"), status(pod, SIDECAR));
    let ended = |status: &ContainerStatus| status.state.as_ref().and_then(|state| state.terminated.clone());
    let (app, sidecar) = (ended(&app).expect("the app ended"), ended(&sidecar).expect("so did the sidecar"));
    assert_eq!((app.exit_code, sidecar.exit_code), (0, 0), "{app:?}, {sidecar:?}");
    assert!(sidecar.started_at <= app.started_at, "{sidecar:?} starts before {app:?}");
    assert!(sidecar.finished_at >= app.finished_at, "{sidecar:?} ends after {app:?}");

    // One that runs until it is told to end, and logs in once more when it is. slapd itself tells whether it could.
    let leaver = directory.slapd.add_user(&format!("leaver-{unique}"), "right");
    let script =
        format!("trap 'sleep 2; {}; exit 0' TERM; while :; do sleep 3600 & wait $!; done", whoami(&leaver, "right"));
    namespace.apply(&add(self::pod("leaver", restricted(&script))).to_string());
    namespace.until("the pod to run", PATIENCE, || {
        let pod: Pod = namespace.get("leaver")?;
        status(&pod, "app").state?.running
    });
    assert_eq!(directory.slapd.binds(&leaver), 0);
    let watch = Stopwatch::start();
    let gone = namespace.kubectl(&["delete", "pod", "leaver", "--timeout=60s"]);
    assert!(gone.done, "{}", gone.errors);
    figures::record_seconds("sidecar: end of a pod whose app takes 2 s", watch.elapsed());
    assert_eq!(directory.slapd.binds(&leaver), 1, "the sidecar serves until the app has ended");
    assert!(
        watch.elapsed() < Duration::from_secs(20),
        "nobody was killed after the grace period: {:?}",
        watch.elapsed()
    );
}

/// With a configuration that the proxy refuses, the app is not started, and the pod's status says why.
fn an_app_does_not_start_before_its_proxy(namespace: &Namespace, add: Add<'_>) {
    let wrong = configuration("bindproxy-wrong", Upstream::shared()).replace("maxEntries", "mostEntries");
    namespace.apply(&wrong);
    let mut pod = add(pod("wrong", restricted("exit 0")));
    for volume in pod["spec"]["volumes"].as_array_mut().into_iter().flatten() {
        volume["configMap"]["name"] = "bindproxy-wrong".into();
    }
    namespace.apply(&pod.to_string());
    let message = namespace.until("the sidecar to end", PATIENCE, || {
        let state = status(&namespace.get("wrong")?, SIDECAR);
        let ended =
            state.last_state.and_then(|state| state.terminated).or(state.state.and_then(|state| state.terminated));
        ended?.message
    });
    assert!(message.contains("mostEntries"), "it says what it refuses: {message}");
    let app = status(&namespace.get("wrong").expect("the pod"), "app");
    assert!(app.state.as_ref().is_some_and(|state| state.waiting.is_some()), "{app:?}");
    let deleted = namespace.kubectl(&["delete", "pod", "wrong", "--wait=false"]);
    assert!(deleted.done, "{}", deleted.errors);
}

fn whoami(user: &str, password: &str) -> String {
    format!("ldapwhoami -x -H ldap://127.0.0.1:3389 -D '{user}' -w {password}")
}

/// The status of a container, an init container or not.
fn status(pod: &Pod, name: &str) -> ContainerStatus {
    let mut statuses = pod.status.iter().flat_map(|status| {
        status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten())
    });
    statuses.find(|status| status.name == name).cloned().unwrap_or_default()
}

/// A container `app` that runs a script.
fn restricted(script: &str) -> Value {
    json!({
        "name": "app", "image": CLIENT, "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", script],
        "securityContext": {
            "allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 1000,
            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
        },
    })
}

fn pod(name: &str, app: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"restartPolicy": "Never", "containers": [app]},
    })
}

/// The pod with what the snippet adds to a pod.
fn with_snippet(mut pod: Value) -> Value {
    let snippet: Value = serde_saphyr::from_str(&documented("restartPolicy: Always")).expect("the snippet is YAML");
    let spec = &snippet["spec"];
    pod["spec"]["initContainers"] = spec["initContainers"].clone();
    pod["spec"]["volumes"] = spec["volumes"].clone();
    let sidecar = &mut pod["spec"]["initContainers"][0];
    assert_eq!((sidecar["name"].as_str(), sidecar["restartPolicy"].as_str()), (Some(SIDECAR), Some("Always")));
    sidecar["image"] = Cluster::image("bindproxy").into();
    pod
}

/// The pod with the label that asks for injection, and perhaps with the name of a configuration.
fn asking(mut pod: Value, configuration: Option<&str>) -> Value {
    pod["metadata"]["labels"] = json!({INJECT: "true"});
    if let Some(configuration) = configuration {
        pod["metadata"]["annotations"] = json!({"bindproxy.io/config": configuration});
    }
    pod
}

/// The ConfigMap of the documentation, with another directory in it.
fn configuration(name: &str, directory: &Upstream) -> String {
    let mut object: Value = serde_saphyr::from_str(&documented("kind: ConfigMap")).expect("the ConfigMap is YAML");
    assert_eq!(object["metadata"]["name"], "bindproxy-sidecar");
    object["metadata"]["name"] = name.into();
    let text = object["data"]["bindproxy.yaml"].as_str().expect("a configuration").to_owned();
    let mut inner: Value = serde_saphyr::from_str(&text).expect("the configuration is YAML");
    inner["upstreams"] = serde_saphyr::from_str(&format!("[{}]", directory.clear("dc1"))).expect("YAML");
    object["data"]["bindproxy.yaml"] = inner.to_string().into();
    object.to_string()
}

/// The block of YAML with this text in the part of the documentation about sidecars.
fn documented(text: &str) -> String {
    let folder = repository().join("docs");
    let files = ["sidecar.md", "install.md"].map(|name| folder.join(name));
    let blocks: Vec<String> = files.iter().filter(|file| file.exists()).flat_map(|file| yaml_blocks(file)).collect();
    let about_sidecars = |block: &&String| block.contains("bindproxy-sidecar") && block.contains(text);
    blocks.iter().find(about_sidecars).unwrap_or_else(|| panic!("no block with {text} in {files:?}")).clone()
}

fn yaml_blocks(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}

/// The policy, as the chart renders it, for one namespace alone. It goes when this is dropped.
struct Policy(String);

impl Policy {
    fn of(namespace: &Namespace) -> Self {
        let name = namespace.name();
        let label = format!("inject.bindproxy.io/{name}");
        let chart = repository().join("charts/bindproxy-operator").display().to_string();
        let (override_, by) = (
            format!("fullnameOverride={name}"),
            format!("sidecarInjection.namespaceLabel={}", label.replace('.', "\\.")),
        );
        let values = cluster().values();
        let mut all = vec!["template", "sidecars", &chart, "--namespace", name, "--kube-version", "1.36.2"];
        all.extend(["--api-versions", "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"]);
        all.extend(["--show-only", "templates/sidecar-injection.yaml", "--set", "sidecarInjection.enabled=true"]);
        all.extend(["--set", &override_, "--set", &by]);
        all.extend(values.iter().map(String::as_str));
        let (done, manifests) = cluster().helm(&all);
        assert!(done, "{manifests}");
        let applied = kubectl_with_input(&["apply", "-f", "-"], &manifests);
        assert!(applied.done, "{}\n{manifests}", applied.errors);
        let labelled = kubectl(&["label", "namespace", name, &format!("{label}=enabled")]);
        assert!(labelled.done, "{}", labelled.errors);
        Self(format!("{name}-sidecar"))
    }

    /// The API server takes a policy up a moment after it was stored.
    fn until_it_holds(&self, namespace: &Namespace) {
        let asking = asking(pod("dry", restricted("true")), None).to_string();
        namespace.until("the policy to hold", PATIENCE, || {
            let answer =
                namespace.kubectl_with_input(&["create", "--dry-run=server", "-o", "json", "-f", "-"], &asking);
            assert!(answer.done, "{}", answer.errors);
            answer.output.contains("initContainers").then_some(())
        });
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        for kind in ["mutatingadmissionpolicybinding", "mutatingadmissionpolicy"] {
            let _gone = kubectl(&["delete", kind, &self.0, "--ignore-not-found"]);
        }
    }
}
