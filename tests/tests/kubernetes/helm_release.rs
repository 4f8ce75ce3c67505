//! Scenario 15: the operator is uninstalled, installed again and upgraded, by either Helm, and what serves goes on serving.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use kube::api::Api;

use bindproxy_tests::kubernetes::bind_proxy::PATIENCE;
use bindproxy_tests::kubernetes::cluster::{RELEASE, SYSTEM, cluster, repository};
use bindproxy_tests::kubernetes::kubectl::{kubectl, must};
use bindproxy_tests::kubernetes::{Clients, Namespace, Proxies, Upstream, alone_with_namespace, figures};
use bindproxy_tests::scratch::Scratch;
use bindproxy_tests::wait::Stopwatch;
use bindproxy_tests::{process, wait};

/// What a release makes beside the CRD, which stays.
const KINDS: &str = "deployments,services,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings";
const CRD: &str = "bindproxies.bindproxy.io";

/// Clients keep their connections all the time. `N-1` is the chart as it is, with a lower version, another definition and
/// other values: nothing was released yet.
#[test]
fn uninstall_reinstall_and_upgrade_leave_the_proxies_alone() {
    changing_the_release("helm", |namespace| {
        let directory = Upstream::shared();
        let user = directory.slapd.add_user("helm", "right");
        let proxies = namespace.bind_proxy("corp", &format!("replicas: 2\nupstreams: [{}]", directory.clear("dc1")));
        proxies.ready();
        let scratch = Scratch::new("charts");
        let (older, newer) = (older_chart(&scratch), chart());
        let clients = Clients::at(proxies.addresses(), &user, "right").count(4).start();
        clients.until(20);
        let before = Standing::of(&proxies);

        // From Helm 4 to Helm 3 and back, so that each takes over what the other has left.
        for helm in [Helm::Three, Helm::Four] {
            assert_ne!(released(), "", "the release consists of labelled objects");
            let watch = Stopwatch::start();
            helm.must(&["uninstall", RELEASE, "--namespace", SYSTEM, "--wait"]);
            figures::record_seconds(&format!("helm: uninstall ({helm:?})"), watch.elapsed());
            wait::until_true("the end of the operator's pods", PATIENCE, || cluster().operator_pods().is_empty());
            assert_eq!(released(), "", "what {helm:?} has left behind");
            assert_eq!(Standing::of(&proxies), before, "after {helm:?} uninstalled");

            let watch = Stopwatch::start();
            helm.release("install", &older, &["--set", "operator.logLevel=debug", "--set", "podLabels.stage=older"]);
            figures::record_seconds(&format!("helm: install ({helm:?})"), watch.elapsed());
            proxies.ready();
            assert_eq!(Standing::of(&proxies), before, "after {helm:?} installed the older chart");
            assert_eq!(definition().spec.versions[0].schema_description(), "Older.");
            let deployment = operator();

            let watch = Stopwatch::start();
            // As docs/install.md has it: with no value at all, so that those of the installation stay.
            helm.must(&["upgrade", RELEASE, path(&newer), "--namespace", SYSTEM, "--wait", "--timeout", "180s"]);
            figures::record_seconds(&format!("helm: upgrade ({helm:?})"), watch.elapsed());
            proxies.ready();
            let upgraded = operator();
            assert_eq!(upgraded.uid(), deployment.uid(), "an upgrade changes the Deployment and makes no new one");
            assert_eq!(arguments(&upgraded), arguments(&deployment), "the values of the installation");
            assert_ne!(upgraded.labels()["helm.sh/chart"], deployment.labels()["helm.sh/chart"]);
            assert_ne!(definition().spec.versions[0].schema_description(), "Older.", "the definition is upgraded too");
            assert_eq!(Standing::of(&proxies), before, "after {helm:?} upgraded");

            // It is the new operator that has the say: what is changed now comes about, without a restart.
            let ttl = if helm == Helm::Three { 601 } else { 602 };
            proxies.patch(&format!("spec: {{cache: {{ttlSeconds: {ttl}}}}}"));
            proxies.ready();
            assert_eq!(Standing::of(&proxies).pods, before.pods);
            proxies.patch("spec: {cache: {ttlSeconds: 900}}");
            proxies.ready();
        }

        let log = clients.stop();
        println!("{log}");
        // None of them tries again, so that a connection which ended would show.
        log.expect_only(0);
    });
}

/// While no operator is installed, a BindProxy can be deleted, and goes with everything that it owns.
#[test]
fn a_bind_proxy_can_be_deleted_while_nothing_is_installed() {
    changing_the_release("helm-gone", |namespace| {
        let directory = Upstream::shared();
        let proxies = namespace.bind_proxy("corp", &format!("replicas: 1\nupstreams: [{}]", directory.clear("dc1")));
        proxies.ready();
        Helm::Four.must(&["uninstall", RELEASE, "--namespace", SYSTEM, "--wait"]);
        let deleted = namespace.kubectl(&["delete", "bindproxy", "corp", "--timeout=60s"]);
        assert!(deleted.done, "{}", deleted.errors);
        let owned = "statefulsets,services,configmaps,secrets,pods,serviceaccounts,poddisruptionbudgets";
        namespace.until("the end of what it owned", PATIENCE, || {
            let left = namespace.kubectl(&["get", owned, "-o", "name", "-l", "app.kubernetes.io/instance=corp"]);
            (left.done && left.output.is_empty()).then_some(())
        });
    });
}

/// BindProxies in the values come with the release, are asked by `helm test`, and go when they leave the values.
#[test]
fn helm_test_asks_the_proxies_of_the_values() {
    changing_the_release("helm-test", |namespace| {
        let directory = Upstream::shared();
        let bind_proxies = format!(
            "bindProxies.asked={{\"namespace\": \"{}\", \"spec\": {{\"replicas\": 1, \"upstreams\": [{}]}}}}",
            namespace.name(),
            json(&directory.clear("dc1"))
        );
        cluster().install(&["--set-json", &bind_proxies]);
        let proxies = namespace.proxies("asked");
        proxies.ready();
        for helm in [Helm::Four, Helm::Three] {
            let watch = Stopwatch::start();
            let told = helm.must(&["test", RELEASE, "--namespace", SYSTEM, "--timeout", "120s"]);
            assert!(told.contains("Succeeded"), "{told}");
            figures::record_seconds(&format!("helm: helm test ({helm:?})"), watch.elapsed());
        }

        // One that is not there, so that this cannot pass whatever happens.
        let nobody = format!("tests.ldap={{nobody.{}.svc:389}}", namespace.name());
        cluster().install(&["--set-json", &bind_proxies, "--set", &nobody]);
        let (done, told) = cluster().helm(&["test", RELEASE, "--namespace", SYSTEM, "--timeout", "20s"]);
        let log = kubectl(&["logs", "--namespace", SYSTEM, "bindproxy-operator-test-1"]);
        must(&["delete", "pods", "--namespace", SYSTEM, "--selector", "app.kubernetes.io/component=test"]);
        assert!(!done, "nobody answers there: {told}");
        assert!(log.output.contains("nobody") || log.errors.contains("nobody"), "{}{}", log.output, log.errors);

        cluster().install(&[]);
        proxies.until("its end with the values", PATIENCE, || {
            namespace.get::<bindproxy_operator::crd::BindProxy>("asked").is_none().then_some(())
        });
    });
}

/// Nothing is changed, and the message has the name.
#[test]
fn a_mistyped_value_fails_with_its_name() {
    changing_the_release("helm-typo", |_| {
        let before = revisions();
        for helm in [Helm::Four, Helm::Three] {
            for (value, place) in [
                ("operator.replica=3", "replica"),
                ("proxyImage.tagg=x", "tagg"),
                ("operator.replicas=many", "replicas"),
            ] {
                let (done, told) = helm.run(&[
                    "upgrade",
                    RELEASE,
                    path(&chart()),
                    "--namespace",
                    SYSTEM,
                    "--reuse-values",
                    "--set",
                    value,
                ]);
                assert!(!done && told.contains(place), "{helm:?} with {value}: {told}");
            }
        }
        assert_eq!(revisions(), before);
    });
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Helm {
    Four,
    Three,
}

impl Helm {
    fn run(self, arguments: &[&str]) -> (bool, String) {
        match self {
            Self::Four => cluster().helm(arguments),
            Self::Three => cluster().helm3(arguments),
        }
    }

    fn must(self, arguments: &[&str]) -> String {
        let (done, told) = self.run(arguments);
        assert!(done, "{self:?}: helm {arguments:?}: {told}");
        told
    }

    /// `install` or `upgrade` of the release to a chart, with the values of this suite.
    fn release(self, action: &str, chart: &Path, more: &[&str]) {
        let values = cluster().values();
        let mut all = vec![action, RELEASE, path(chart), "--namespace", SYSTEM, "--wait", "--timeout", "180s"];
        all.extend(values.iter().map(String::as_str));
        all.extend(more);
        self.must(&all);
    }
}

/// What nobody may touch who only changes the operator.
#[derive(Debug, PartialEq)]
struct Standing {
    definition: Option<String>,
    bind_proxy: Option<String>,
    stateful_set: Option<String>,
    /// Name, uid and restarts.
    pods: Vec<(String, String, i32)>,
}

impl Standing {
    fn of(proxies: &Proxies<'_>) -> Self {
        let set: Option<StatefulSet> = proxies.namespace().get(proxies.name());
        let pods = proxies.pods();
        assert!(
            pods.iter().all(|pod| pod.ready()),
            "{}",
            pods.iter().map(|pod| format!("{pod}\n")).collect::<String>()
        );
        Self {
            definition: definition().uid(),
            bind_proxy: proxies.get().uid(),
            stateful_set: set.and_then(|set| set.uid()),
            pods: pods.iter().map(|pod| (pod.name(), pod.uid(), pod.restarts())).collect(),
        }
    }
}

/// Alone, and with the installation of this suite afterwards, however it ends.
fn changing_the_release(test: &str, body: impl FnOnce(&Namespace)) {
    alone_with_namespace(test, |namespace| {
        let outcome = catch_unwind(AssertUnwindSafe(|| body(namespace)));
        if outcome.is_err() {
            println!("{}", must(&["get", "all", "--namespace", SYSTEM, "-o", "wide"]));
        }
        // Helm 3 and a failure may leave a release that cannot be upgraded.
        let _gone =
            kubectl(&["delete", "pods", "--namespace", SYSTEM, "--selector", "app.kubernetes.io/component=test"]);
        let restored = catch_unwind(AssertUnwindSafe(|| cluster().install(&[])));
        if let Err(panic) = outcome.and(restored) {
            resume_unwind(panic);
        }
    });
}

/// The chart as it might have been before: a lower version, another definition.
fn older_chart(scratch: &Scratch) -> PathBuf {
    let older = scratch.join("bindproxy-operator");
    process::run(Command::new("cp").arg("-r").arg(chart()).arg(&older));
    rewrite(&older.join("Chart.yaml"), |text| {
        let lines = text.lines().map(|line| if line.starts_with("version: ") { "version: 0.0.9" } else { line });
        lines.collect::<Vec<_>>().join("\n")
    });
    rewrite(&older.join("manifests/bindproxies.yaml"), |text| {
        let described = "A failed-bind cache in front of LDAP directory servers.";
        assert!(text.contains(described), "the definition describes itself otherwise");
        text.replace(described, "Older.")
    });
    older
}

fn rewrite(file: &Path, change: impl FnOnce(&str) -> String) {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    fs::write(file, change(&text)).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

fn chart() -> PathBuf {
    repository().join("charts/bindproxy-operator")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// YAML in flow style as JSON.
fn json(yaml: &str) -> String {
    let value: serde_json::Value = serde_saphyr::from_str(yaml).expect("YAML");
    value.to_string()
}

fn definition() -> CustomResourceDefinition {
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster().client());
    cluster().ask(definitions.get(CRD)).expect("the definition of BindProxy")
}

trait Described {
    fn schema_description(&self) -> String;
}

impl Described for k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionVersion {
    fn schema_description(&self) -> String {
        let schema = self.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
        let spec = schema.and_then(|schema| schema.properties.as_ref()?.get("spec"));
        spec.and_then(|spec| spec.description.clone()).unwrap_or_default()
    }
}

/// The objects of the release but for the CRD.
fn released() -> String {
    must(&["get", KINDS, "-A", "-o", "name", "-l", &format!("app.kubernetes.io/instance={RELEASE}")])
}

fn operator() -> Deployment {
    let deployments: Api<Deployment> = Api::namespaced(cluster().client(), SYSTEM);
    cluster().ask(deployments.get(RELEASE)).expect("the operator's Deployment")
}

fn arguments(deployment: &Deployment) -> Vec<String> {
    let template = deployment.spec.as_ref().and_then(|spec| spec.template.spec.clone()).expect("a pod template");
    template.containers[0].args.clone().unwrap_or_default()
}

fn revisions() -> String {
    let (_, history) = cluster().helm(&["history", RELEASE, "--namespace", SYSTEM]);
    history
}
