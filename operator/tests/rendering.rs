//! Every BindProxy that the API server takes becomes a configuration that the proxy takes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bindproxy_operator::crd::BindProxy;
use bindproxy_operator::identity::Identity;
use bindproxy_operator::kinds::Kinds;
use bindproxy_operator::reconcile::build::build;
use bindproxy_operator::reconcile::dereference::{Foreign, References};
use bindproxy_operator::reconcile::outcome::{Refusal, RefusalReason};
use bindproxy_operator::reconcile::validate::{config_maps, validate};
use bindproxy_operator::reconcile::validated::ValidatedBindProxy;
use bindproxy_operator::settings::Defaults;
use kube::core::ApiResource;
use serde_json::json;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/bindproxies/accepted")
}

/// As the API server would hand it out: with a namespace, a uid and a generation.
fn stored(text: &str) -> BindProxy {
    let mut bind_proxy: BindProxy = serde_saphyr::from_str(text).expect("a BindProxy");
    bind_proxy.metadata.namespace = Some("mail".to_owned());
    bind_proxy.metadata.uid = Some("6c1f0f0e-0000-4000-8000-000000000001".to_owned());
    bind_proxy.metadata.generation = Some(1);
    bind_proxy
}

/// Everything that a spec asks for is there.
fn all_there(bind_proxy: &BindProxy) -> References {
    let mut config_maps_there: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (_, ca) in config_maps(&bind_proxy.spec) {
        config_maps_there.entry(ca.name.clone()).or_default().push(ca.key.clone());
    }
    let kind =
        |group: &str, kind: &str| Some(ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk(group, "v1", kind)));
    References {
        config_maps: config_maps_there,
        foreign: Vec::new(),
        kinds: Kinds {
            pod_monitor: kind("monitoring.coreos.com", "PodMonitor"),
            service_monitor: kind("monitoring.coreos.com", "ServiceMonitor"),
            prometheus_rule: kind("monitoring.coreos.com", "PrometheusRule"),
            certificate: kind("cert-manager.io", "Certificate"),
        },
    }
}

fn judge(bind_proxy: &BindProxy, references: &References) -> Result<ValidatedBindProxy, Refusal> {
    let identity = Identity::of(bind_proxy).expect("a stored object");
    validate(bind_proxy, &identity, references, &Defaults::for_test())
}

#[test]
fn what_the_api_server_takes_the_proxy_takes() {
    let mut seen = 0;
    for entry in fs::read_dir(folder()).expect("the accepted cases") {
        let path = entry.expect("a file").path();
        let text = fs::read_to_string(&path).expect("a text");
        // A case about an update begins with what was there before.
        for document in text.split("\n---\n").filter(|document| document.contains("kind: BindProxy")) {
            let bind_proxy = stored(document);
            let validated = judge(&bind_proxy, &all_there(&bind_proxy))
                .unwrap_or_else(|refusal| panic!("{}: {refusal}", path.display()));
            bindproxy::config::review(&validated.configuration.text)
                .unwrap_or_else(|problems| panic!("{}: {problems}", path.display()));
            assert_eq!(validated.remarks, Vec::<String>::new(), "{}", path.display());
            build(&validated).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            seen += 1;
        }
    }
    assert!(seen >= 25, "only {seen} cases were found");
}

const MINIMAL: &str = "
apiVersion: bindproxy.io/v1alpha1
kind: BindProxy
metadata: {name: corp}
spec:
  upstreams:
  - name: dc1
    host: dc1.corp.example
    tls: {ca: {kind: ConfigMap, name: corp-ca}}
";

#[test]
fn what_stands_in_the_way_is_named() {
    let bind_proxy = stored(MINIMAL);
    let mut references = all_there(&bind_proxy);
    references.foreign.push(Foreign { kind: "Service", name: "corp".to_owned(), owner: None });
    let refusal = judge(&bind_proxy, &references).expect_err("a foreign Service");
    assert_eq!(refusal.reason, RefusalReason::ConflictingOwner);
    assert_eq!(
        refusal.message,
        "Service mail/corp was made by somebody else; delete or rename it, or give this BindProxy another name"
    );
}

#[test]
fn a_config_map_that_is_not_there_or_has_not_the_key_is_named() {
    let bind_proxy = stored(MINIMAL);
    let mut references = all_there(&bind_proxy);
    references.config_maps.insert("corp-ca".to_owned(), vec!["bundle.pem".to_owned()]);
    let refusal = judge(&bind_proxy, &references).expect_err("a missing key");
    assert_eq!(refusal.reason, RefusalReason::ReferenceNotFound);
    assert_eq!(
        refusal.message,
        "upstreams[dc1].tls.ca: ConfigMap corp-ca has no key ca.crt; it has bundle.pem; correct upstreams[dc1].tls.ca.key"
    );
    references.config_maps.clear();
    let refusal = judge(&bind_proxy, &references).expect_err("a missing ConfigMap");
    assert_eq!(
        refusal.message,
        "upstreams[dc1].tls.ca: there is no ConfigMap corp-ca in this namespace; make it, or correct upstreams[dc1].tls.ca.name"
    );
}

#[test]
fn cert_manager_must_be_there_when_it_is_asked_for() {
    let mut bind_proxy = stored(MINIMAL);
    bind_proxy.spec.server_tls =
        serde_json::from_value(json!({"certManager": {"issuerRef": {"name": "corp-ca"}}})).expect("serverTLS");
    let mut references = all_there(&bind_proxy);
    let certificate = judge(&bind_proxy, &references).expect("usable").certificate.expect("a certificate");
    assert_eq!(certificate.dns_names, ["corp", "corp.mail", "corp.mail.svc", "*.corp-peers.mail.svc"]);
    references.kinds.certificate = None;
    let refusal = judge(&bind_proxy, &references).expect_err("no cert-manager");
    assert_eq!(refusal.reason, RefusalReason::CertManagerMissing);
}

#[test]
fn what_the_proxys_own_rules_refuse_is_an_invalid_spec_in_terms_of_the_spec() {
    let mut bind_proxy = stored(MINIMAL);
    // Stored before the resource definition had a rule against it.
    bind_proxy.spec.cache.first_ttl_seconds = 2000;
    let refusal = judge(&bind_proxy, &all_there(&bind_proxy)).expect_err("a life longer than the longest");
    assert_eq!(refusal.reason, RefusalReason::InvalidSpec);
    assert!(refusal.message.starts_with("spec.cache.firstTTLSeconds: 2000 is above ttlSeconds"), "{refusal}");
}

#[test]
fn only_what_pods_cannot_take_over_changes_the_restart_hash() {
    let hashes = |change: &dyn Fn(&mut BindProxy)| {
        let mut bind_proxy = stored(MINIMAL);
        change(&mut bind_proxy);
        let configuration = judge(&bind_proxy, &all_there(&bind_proxy)).expect("usable").configuration;
        (configuration.hash, configuration.restart_hash)
    };
    let (hash, restart) = hashes(&|_| {});
    let (hot, same) = hashes(&|changed| changed.spec.cache.ttl_seconds = 600);
    assert_ne!(hot, hash);
    assert_eq!(same, restart);
    let (_, other) = hashes(&|changed| changed.spec.listeners[0].port = 1389);
    assert_ne!(other, restart);
    let (unchanged, _) = hashes(&|changed| changed.spec.replicas = 7);
    assert_eq!(unchanged, hash, "pods need not know how many they are");
}
