//! Scenario 7: what a person writes wrongly is said in the status, with what to do, and what served goes on serving.
//! (What the API server refuses by itself is in crd_rules.rs.)

use std::time::Duration;

use bindproxy_tests::certificates::Authority;
use bindproxy_tests::kubernetes::clients::{LDAPS_PORT, Outcome, login};
use bindproxy_tests::kubernetes::{Proxies, Upstream, with_namespace};
use bindproxy_tests::ldap::{Endpoint, Security};
use bindproxy_tests::scratch::Scratch;

/// Running pods refuse what the ConfigMap holds now, in their own words, and keep what they have.
#[test]
fn an_authority_that_is_no_pem_is_refused_by_running_pods() {
    with_namespace("bad-ca", |namespace| {
        let directory = Upstream::shared();
        let user = directory.slapd.add_user("bad-ca", "right");
        namespace.config_map("directories", &[("ca.crt", &directory.ca())]);
        let spec = format!("replicas: 2\nupstreams: [{}]", directory.ldaps("dc1", "directories"));
        let proxies = namespace.bind_proxy("corp", &spec);
        proxies.ready();
        let before = proxies.incarnations();
        let hash = proxies.status().config_hash;

        namespace.config_map("directories", &[("ca.crt", "this is no certificate\n")]);
        let refused = proxies.reason("ConfigApplied", "False", "Rejected");
        assert!(refused.message.contains("upstreams[0].tls.caFile"), "{}", refused.message);
        assert!(refused.message.contains("corp-"), "the pod is named: {}", refused.message);
        proxies.reason("Ready", "False", "ConfigPending");
        proxies.condition("Available", "True");
        all_log_in(&proxies, &user);
        assert_eq!(proxies.status().config_hash, hash);

        namespace.config_map("directories", &[("ca.crt", &directory.ca())]);
        proxies.condition("ConfigApplied", "True");
        proxies.ready();
        all_log_in(&proxies, &user);
        assert_eq!(proxies.incarnations(), before, "pods and their restarts");
    });
}

/// A pod that never had anything better ends, and its last words are in the status.
#[test]
fn an_authority_that_is_no_pem_keeps_new_pods_from_starting() {
    with_namespace("bad-ca-first", |namespace| {
        let directory = Upstream::shared();
        let user = directory.slapd.add_user("bad-ca-first", "right");
        namespace.config_map("directories", &[("ca.crt", "this is no certificate\n")]);
        let spec = format!("replicas: 1\nupstreams: [{}]", directory.ldaps("dc1", "directories"));
        let proxies = namespace.bind_proxy("corp", &spec);
        let refused = proxies.reason("ConfigApplied", "False", "Rejected");
        assert!(refused.message.contains("upstreams[0].tls.caFile"), "{}", refused.message);
        proxies.condition("Accepted", "True");
        proxies.condition("Ready", "False");

        namespace.config_map("directories", &[("ca.crt", &directory.ca())]);
        proxies.ready();
        all_log_in(&proxies, &user);
    });
}

/// A name that nobody knows is a matter of that one directory server: the others serve.
#[test]
fn a_host_that_does_not_resolve_is_named() {
    with_namespace("bad-host", |namespace| {
        let directory = Upstream::shared();
        let user = directory.slapd.add_user("bad-host", "right");
        let proxies = namespace.bind_proxy("corp", &format!("replicas: 2\nupstreams: [{}]", directory.clear("dc1")));
        proxies.ready();
        let before = proxies.incarnations();

        let nowhere = "{name: dc2, host: dc2.nowhere.invalid, priority: 1}";
        proxies.patch(&format!("spec: {{upstreams: [{}, {nowhere}]}}", directory.clear("dc1")));
        let told = proxies.reason("UpstreamsHealthy", "False", "DNSFailed");
        assert!(told.message.contains("dc2"), "{}", told.message);
        assert!(!told.message.contains("dc1"), "{}", told.message);
        proxies.condition("ConfigApplied", "True");
        proxies.condition("Ready", "True");
        assert_eq!(proxies.status().upstream_summary.as_deref(), Some("1/2"));
        all_log_in(&proxies, &user);

        proxies.patch(&format!("spec: {{upstreams: [{}]}}", directory.clear("dc1")));
        proxies.condition("UpstreamsHealthy", "True");
        assert_eq!(proxies.incarnations(), before, "pods and their restarts");
    });
}

/// The operator cannot read Secrets; that one is missing is the kubelet's word, which the status quotes. One pod waits for
/// it, the others serve what they did.
#[test]
fn a_missing_secret_stops_one_pod_and_is_named() {
    with_namespace("no-secret", |namespace| {
        let directory = Upstream::shared();
        let user = directory.slapd.add_user("no-secret", "right");
        let proxies = namespace.bind_proxy("corp", &format!("replicas: 2\nupstreams: [{}]", directory.clear("dc1")));
        proxies.ready();

        proxies.patch(
            "spec: {serverTLS: {secretRef: {name: corp-tls}}, listeners: [{name: ldap, port: 389}, {name: ldaps, port: 636, tls: LDAPS}]}",
        );
        let told = proxies.reason("ConfigApplied", "False", "MountFailed");
        assert!(told.message.contains("corp-tls"), "{}", told.message);
        proxies.condition("Accepted", "True");
        assert_eq!(proxies.addresses().len(), 1, "one pod waits and the other serves");
        all_log_in(&proxies, &user);

        let scratch = Scratch::new("no-secret");
        let authority = Authority::new(scratch.path());
        namespace.tls_secret("corp-tls", &authority.server("server", &[]));
        // A kubelet tries a volume again after two minutes at most.
        proxies.condition_within("ConfigApplied", "True", None, Duration::from_secs(240));
        proxies.ready();
        for pod in proxies.pods() {
            let secure = Endpoint::tcp(pod.address(LDAPS_PORT)).secured(Security::Ldaps, &authority.ca_file);
            assert_eq!(secure.connect().bind(&user, "right"), 0, "{pod}");
        }
    });
}

/// A ConfigMap the operator can look for before anything is touched.
#[test]
fn a_missing_config_map_is_refused_before_anything_changes() {
    with_namespace("no-config-map", |namespace| {
        let directory = Upstream::shared();
        let user = directory.slapd.add_user("no-config-map", "right");
        let proxies = namespace.bind_proxy("corp", &format!("replicas: 1\nupstreams: [{}]", directory.clear("dc1")));
        proxies.ready();
        let before = proxies.incarnations();

        proxies.patch(&format!("spec: {{replicas: 2, upstreams: [{}]}}", directory.ldaps("dc1", "directories")));
        let told = proxies.reason("Accepted", "False", "ReferenceNotFound");
        assert!(told.message.contains("upstreams[dc1].tls.ca") && told.message.contains("directories"), "{told:?}");
        proxies.reason("Ready", "False", "NotAccepted");
        assert_eq!(proxies.incarnations(), before, "nothing of the refused spec was applied");
        all_log_in(&proxies, &user);

        namespace.config_map("directories", &[("other", "x")]);
        let told = proxies.until("the missing key", Duration::from_secs(60), || {
            let told = proxies.condition_now("Accepted")?;
            told.message.contains("has no key ca.crt").then_some(told)
        });
        assert_eq!((told.status.as_str(), told.reason.as_str()), ("False", "ReferenceNotFound"));

        namespace.config_map("directories", &[("ca.crt", &directory.ca())]);
        proxies.condition("Accepted", "True");
        proxies.ready();
        proxies.condition("UpstreamsHealthy", "True");
        all_log_in(&proxies, &user);
    });
}

/// Every pod that is ready takes the right password.
fn all_log_in(proxies: &Proxies<'_>, user: &str) {
    let pods = proxies.addresses();
    assert!(!pods.is_empty(), "no pod is ready");
    for pod in pods {
        assert_eq!(login(pod, user, "right"), Outcome::Code(0), "at {pod}");
    }
}
