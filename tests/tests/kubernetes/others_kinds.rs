//! Objects of the Prometheus operator and of cert-manager meet the definitions that these projects publish: nothing that is
//! written is refused or dropped, kinds may come and go, and what cert-manager is asked for serves clients.
//!
//! Their programs are not here. This file is cert-manager where a certificate is to be issued; what Prometheus makes of
//! alerts and pods is in `alerts/`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use kube::core::DynamicObject;
use serde_json::{Value, json};

use bindproxy_operator::identity::Identity;
use bindproxy_operator::kinds::KindsCache;
use bindproxy_operator::reconcile::build::{Objects, build};
use bindproxy_operator::reconcile::dereference::References;
use bindproxy_operator::reconcile::validate::validate;
use bindproxy_operator::settings::Defaults;
use bindproxy_tests::certificates::Authority;
use bindproxy_tests::kubernetes::clients::LDAPS_PORT;
use bindproxy_tests::kubernetes::cluster::{RELEASE, SYSTEM, repository};
use bindproxy_tests::kubernetes::definitions::{self, kept, lost, strictly};
use bindproxy_tests::kubernetes::installation::{self, applies, changed, operators};
use bindproxy_tests::kubernetes::kubectl::must;
use bindproxy_tests::kubernetes::{Namespace, Proxies, Upstream, alone_with_namespace, cluster};
use bindproxy_tests::ldap::{Endpoint, Security};
use bindproxy_tests::scratch::Scratch;
use bindproxy_tests::wait::{self, Stopwatch};

const MONITORING: &str = "monitoring.coreos.com/v1";
const CERT_MANAGER: &str = "cert-manager.io/v1";
/// A name that only clients outside the cluster use.
const OUTSIDE: &str = "ldap.corp.example";
/// The operator asks for kinds once a minute, and looks at each BindProxy every ten seconds.
const NOTICED: Duration = Duration::from_secs(90);

#[test]
fn what_the_operator_writes_is_kept_as_it_was_meant() {
    alone_with_namespace("others-kinds", |namespace| {
        let directory = Upstream::shared();
        let user = directory.slapd.add_user("others-kinds", "right");
        let had_some = definitions::any_foreign();
        let proxies = namespace.bind_proxy(
            "corp",
            &format!(
                "replicas: 1
upstreams: [{}]
listeners: [{{name: ldaps, port: 636, tls: LDAPS}}]
serverTLS: {{certManager: {{issuerRef: {{name: corporate, kind: ClusterIssuer}}, dnsNames: [{OUTSIDE}]}}}}
monitoring:
  podMonitor: {{enabled: true, intervalSeconds: 15, labels: {{release: prometheus}}}}
  prometheusRule: {{enabled: true, labels: {{release: prometheus}}}}",
                directory.clear("dc1")
            ),
        );
        if !had_some {
            proxies.reason("Accepted", "False", "CertManagerMissing");
        }

        // Installed later, they are found without a restart.
        let definitions = definitions::make();
        let watch = Stopwatch::start();
        proxies.condition_within("Accepted", "True", None, NOTICED);
        println!("kinds noticed after {:?}", watch.elapsed());
        let objects = wanted(&proxies);
        for object in [&objects.certificate, &objects.pod_monitor, &objects.prometheus_rule] {
            expect_kept(namespace, object.as_ref());
        }
        assert_eq!(objects.service_monitor, None);

        let scratch = issue(namespace, &objects);
        proxies.ready();
        let pod = proxies.pod(0);
        let outside = || {
            let at = Endpoint::tcp(pod.address(LDAPS_PORT)).secured(Security::Ldaps, &scratch.join("ca.pem"));
            Endpoint { server_name: OUTSIDE.to_owned(), ..at }.connect().bind(&user, "right")
        };
        assert_eq!(outside(), 0, "by the name that was asked for");

        // What the definitions add by default is no reason to write anything again.
        let (versions, applied) = (versions(namespace), applies(namespace));
        let enough = looks() + 3.0 * must(&["get", "bindproxies", "-A", "-o", "name"]).lines().count() as f64;
        wait::until_true("three more looks", Duration::from_secs(90), || looks() >= enough);
        assert_eq!(self::versions(namespace), versions);
        assert_eq!(applies(namespace), applied, "written again and again");

        proxies.patch(
            "spec: {monitoring: {podMonitor: {enabled: false}, prometheusRule: {enabled: false},
               serviceMonitor: {enabled: true, intervalSeconds: 60, labels: {release: prometheus}}}}",
        );
        let gone = |kind: &str| kept(namespace.name(), MONITORING, kind, "corp").is_none();
        proxies.until("what is wanted no more to go", NOTICED, || {
            (gone("PodMonitor") && gone("PrometheusRule") && !gone("ServiceMonitor")).then_some(())
        });
        expect_kept(namespace, wanted(&proxies).service_monitor.as_ref());

        // Somebody removes the others' operators and all that is theirs. Pods go on, and the status says what is missing.
        let before = proxies.incarnations();
        let confused = confused_looks();
        definitions.remove();
        if !had_some {
            proxies.condition_within("Accepted", "False", Some("CertManagerMissing"), NOTICED);
        }
        assert_eq!(confused_looks(), confused, "looks that failed since a kind had gone, at whoever's BindProxy");
        assert_eq!(outside(), 0, "without the Certificate");
        assert_eq!(proxies.incarnations(), before);
        proxies.patch(
            "spec: {serverTLS: {certManager: null, secretRef: {name: corp-server-tls}},
               monitoring: {serviceMonitor: {enabled: false}}}",
        );
        proxies.ready();
    });
}

/// The chart's own monitors and rules, by a real upgrade; and those of each file of values and the example of the documents,
/// tried.
#[test]
fn what_the_chart_and_the_documents_have_is_kept_as_it_was_meant() {
    alone_with_namespace("chart-kinds", |namespace| {
        let definitions = definitions::make();
        let with_pod_monitor = enabled(["metrics.podMonitor", "prometheusRule"]);
        let monitored = changed(cluster(), &words(&with_pod_monitor));
        let written = monitoring(&helm(&["get", "manifest", RELEASE, "--namespace", SYSTEM]));
        assert_eq!(kinds(&written), ["PodMonitor", "PrometheusRule"]);
        for object in &written {
            let kind = object["kind"].as_str().expect("a kind");
            let found = kept(SYSTEM, MONITORING, kind, RELEASE).unwrap_or_else(|| panic!("no {kind}"));
            let lost = lost(object, &found);
            assert!(lost.is_empty(), "{kind}: {}", lost.join("\n"));
            expect_known(namespace, object);
        }
        monitored.back();
        assert_eq!(kept(SYSTEM, MONITORING, "PodMonitor", RELEASE), None);

        let chart = repository().join("charts/bindproxy-operator");
        let chart_path = chart.to_str().expect("UTF-8");
        let own = cluster().values();
        let with_service_monitor = enabled(["metrics.serviceMonitor", "prometheusRule"]);
        let upgrade = ["upgrade", RELEASE, chart_path, "--namespace", SYSTEM, "--dry-run=server"];
        let tried = helm(&[&upgrade[..], &words(&own), &words(&with_service_monitor)].concat());
        let manifest = tried.split("\nNOTES:\n").next().expect("what comes before the notes");
        assert_eq!(kinds(&monitoring(manifest)), ["PrometheusRule", "ServiceMonitor"]);

        let mut seen = BTreeSet::new();
        for file in fs::read_dir(chart.join("ci")).expect("files of values") {
            let file = file.expect("a file").path();
            let file = file.to_str().expect("UTF-8");
            // No cluster is asked, and one of them has BindProxies and sidecars.
            let policies = "--api-versions=admissionregistration.k8s.io/v1/MutatingAdmissionPolicy";
            let ours = "--api-versions=bindproxy.io/v1alpha1/BindProxy";
            for object in monitoring(&helm(&["template", "bp", chart_path, "-f", file, policies, ours])) {
                expect_known(namespace, &object);
                seen.insert(object["kind"].as_str().expect("a kind").to_owned());
            }
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["PodMonitor", "PrometheusRule", "ServiceMonitor"]);

        expect_known(namespace, &documented_certificate());
        definitions.remove();
    });
}

/// Values that ask for these, and fail where the cluster does not have their kinds.
fn enabled(values: [&str; 2]) -> Vec<String> {
    let set =
        |value| format!("{value}.enabled=true,{value}.renderMode=failIfMissing,{value}.labels.release=prometheus");
    values.into_iter().flat_map(|value| ["--set".to_owned(), set(value)]).collect()
}

fn words(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}

fn helm(arguments: &[&str]) -> String {
    let (done, told) = cluster().helm(arguments);
    assert!(done, "helm {arguments:?}: {told}");
    told
}

/// The objects of the Prometheus operator in Helm's output, by kind.
fn monitoring(manifests: &str) -> Vec<Value> {
    let ours = manifests.split("\n---\n").filter(|document| document.contains(&format!("apiVersion: {MONITORING}\n")));
    let read =
        |document: &str| serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{error} in\n{document}"));
    let mut objects: Vec<Value> = ours.map(read).collect();
    objects.sort_by_key(|object| object["kind"].to_string());
    objects
}

fn kinds(objects: &[Value]) -> Vec<&str> {
    objects.iter().map(|object| object["kind"].as_str().expect("a kind")).collect()
}

/// The Certificate for the members of a cluster, as docs/operations-kubernetes.md has it.
fn documented_certificate() -> Value {
    let text = fs::read_to_string(repository().join("docs/operations-kubernetes.md")).expect("a document");
    let start = text.find(&format!("apiVersion: {CERT_MANAGER}")).expect("a Certificate in the document");
    let block = text[start..].split("```").next().expect("the end of the block");
    let lines: Vec<&str> = block.lines().map(|line| line.strip_prefix("  ").unwrap_or(line)).collect();
    let certificate: Value = serde_saphyr::from_str(&lines.join("\n")).expect("YAML");
    assert_eq!(certificate["kind"], "Certificate");
    certificate
}

/// The objects of the operator for this BindProxy, of the operator's own code.
fn wanted(proxies: &Proxies<'_>) -> Objects {
    let stored = proxies.get();
    let identity = Identity::of(&stored).expect("a stored object");
    let client = cluster().client();
    let kinds = cluster().ask(async { KindsCache::default().get(&client).await }).expect("the kinds of the API server");
    let references = References { config_maps: BTreeMap::new(), foreign: Vec::new(), kinds };
    let validated = validate(&stored, &identity, &references, &Defaults::for_test()).expect("it is usable");
    build(&validated).expect("its objects")
}

/// The object is there, with every field; and the API server, when it is strict, knows all of them and no other.
fn expect_kept(namespace: &Namespace, wanted: Option<&DynamicObject>) {
    let wanted = serde_json::to_value(wanted.expect("it was asked for")).expect("JSON");
    let text = |field: &str| wanted[field].as_str().expect("a text").to_owned();
    let name = wanted["metadata"]["name"].as_str().expect("a name");
    let found = namespace.until(&format!("{} {name}", text("kind")), NOTICED, || {
        kept(namespace.name(), &text("apiVersion"), &text("kind"), name)
    });
    let lost = lost(&wanted, &found);
    assert!(lost.is_empty(), "{}", lost.join("\n"));
    expect_known(namespace, &wanted);
}

fn expect_known(namespace: &Namespace, object: &Value) {
    let mut object = object.clone();
    // One that is not there yet, in a namespace of this test.
    object["metadata"]["name"] = json!("strictly");
    object["metadata"]["namespace"] = json!(namespace.name());
    let tried = strictly(namespace, &object).unwrap_or_else(|error| panic!("{error}\n{object:#}"));
    let lost = lost(&object, &tried);
    assert!(lost.is_empty(), "{}", lost.join("\n"));
    // Otherwise none of this would say anything.
    object["spec"]["misspelt"] = json!("x");
    let refused = strictly(namespace, &object).expect_err("a field that nobody knows");
    assert!(refused.contains("unknown field \"spec.misspelt\""), "{refused}");
}

/// In place of cert-manager: a certificate as the Certificate in the cluster asks for it.
fn issue(namespace: &Namespace, objects: &Objects) -> Scratch {
    let name = objects.certificate.as_ref().and_then(|object| object.metadata.name.as_deref()).expect("a Certificate");
    let certificate = kept(namespace.name(), CERT_MANAGER, "Certificate", name).expect("a Certificate");
    let names = certificate["spec"]["dnsNames"].as_array().expect("names");
    let names: Vec<&str> = names.iter().map(|name| name.as_str().expect("a name")).collect();
    let secret = certificate["spec"]["secretName"].as_str().expect("the name of a Secret");
    let scratch = Scratch::new("others-kinds");
    namespace.tls_secret(secret, &Authority::new(scratch.path()).server("server", &names));
    scratch
}

/// The versions of the operator's objects of others' kinds.
fn versions(namespace: &Namespace) -> Vec<String> {
    let columns = "jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{\"\\n\"}{end}";
    let kinds = "podmonitors.monitoring.coreos.com,prometheusrules.monitoring.coreos.com,certificates.cert-manager.io";
    let answer = namespace.kubectl(&["get", kinds, "-o", columns]);
    assert!(answer.done, "{}", answer.errors);
    let found: Vec<String> = answer.output.lines().map(str::to_owned).collect();
    assert_eq!(found.len(), 3, "{found:?}");
    found
}

/// How often the operator has looked at a BindProxy, of all that there are.
fn looks() -> f64 {
    operators(cluster()).iter().map(|pod| pod.metric("bindproxy_operator_reconciles_total", &[])).sum()
}

/// Looks that failed because there was no such kind; the operator looks for kinds once a minute.
fn confused_looks() -> usize {
    installation::log().matches("404 page not found").count()
}
