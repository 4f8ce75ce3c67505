//! Scenario 6: another TTL, another directory server and another authority arrive at pods that go on running.

use std::time::Duration;

use bindproxy_tests::kubernetes::clients::{Outcome, login};
use bindproxy_tests::kubernetes::{Clients, Proxies, Upstream, cluster, figures, with_namespace};
use bindproxy_tests::slapd::Settings;
use bindproxy_tests::wait::Stopwatch;

/// Beyond the kubelet's sync.
const TARGET: Duration = Duration::from_secs(10);

/// A changed field of the spec serves in every pod, no container starts again and no connection ends.
#[test]
fn another_ttl_and_another_directory_without_a_restart() {
    with_namespace("hot-reload", |namespace| {
        let directory = Upstream::shared();
        let (user, phone) =
            (directory.slapd.add_user("hot-reload", "right"), directory.slapd.add_user("hot-reload-phone", "right"));
        let proxies = namespace.bind_proxy("corp", &format!("replicas: 3\nupstreams: [{}]", directory.clear("dc1")));
        proxies.ready();
        let before = proxies.incarnations();
        let logins =
            Clients::at(proxies.addresses(), &user, "right").count(6).every(Duration::from_millis(500)).start();
        assert_eq!(login(proxies.addresses()[0], &phone, "stale"), Outcome::Code(49));

        applied(&proxies, "another TTL", "spec: {cache: {ttlSeconds: 2, firstTTLSeconds: 2}}");
        // What was remembered keeps its time, so another password shows what time it gets now.
        assert_eq!(login(proxies.addresses()[0], &phone, "stale too"), Outcome::Code(49));
        assert_eq!(directory.slapd.binds(&phone), 2, "one bind for each of two passwords");
        proxies.until("the new TTL", Duration::from_secs(20), || {
            assert_eq!(login(proxies.addresses()[1], &phone, "stale too"), Outcome::Code(49));
            (directory.slapd.binds(&phone) == 3).then_some(())
        });

        let other = Upstream::start(Settings::default());
        let upstreams = format!("spec: {{upstreams: [{}, {}]}}", directory.clear("dc1"), other.clear("dc2"));
        applied(&proxies, "another directory server", &upstreams);
        for pod in proxies.pods() {
            let names: Vec<_> = pod.statusz()["upstreams"].as_array().expect("a list").clone();
            assert_eq!(names.iter().map(|upstream| &upstream["name"]).collect::<Vec<_>>(), ["dc1", "dc2"], "{pod}");
        }
        proxies.condition("UpstreamsHealthy", "True");
        proxies.until("both in the summary", Duration::from_secs(30), || {
            (proxies.status().upstream_summary.as_deref() == Some("2/2")).then_some(())
        });

        let log = logins.stop();
        println!("{log}");
        log.expect_only(0);
        assert_eq!(proxies.incarnations(), before, "pods and their restarts");
    });
}

/// Pods believe the authorities that the ConfigMap of another owner holds now: the second as soon as it is beside the
/// first, the first no longer when it is gone.
#[test]
fn another_authority_without_a_restart() {
    with_namespace("rotate-ca", |namespace| {
        let first = Upstream::shared();
        let second = Upstream::start(Settings::default());
        let user = first.slapd.add_user("rotate-ca", "right");
        second.slapd.add_user("rotate-ca", "right");
        namespace.config_map("directories", &[("ca.crt", &first.ca())]);
        let upstreams = format!("{}, {}", first.ldaps("dc1", "directories"), second.ldaps("dc2", "directories"));
        let policy =
            "{idleTimeoutSeconds: 1, healthCheck: {intervalSeconds: 1, failureThreshold: 1, successThreshold: 1}}";
        let proxies =
            namespace.bind_proxy("corp", &format!("replicas: 2\nupstreams: [{upstreams}]\nupstreamPolicy: {policy}"));
        proxies.ready();
        proxies.reason("UpstreamsHealthy", "False", "TLSVerifyFailed");
        let before = proxies.incarnations();
        let logins =
            Clients::at(proxies.addresses(), &user, "right").count(2).every(Duration::from_millis(500)).start();

        let watch = Stopwatch::start();
        namespace.config_map("directories", &[("ca.crt", &format!("{}{}", first.ca(), second.ca()))]);
        proxies.condition("UpstreamsHealthy", "True");
        figures::record_seconds("hot reload: authority in a ConfigMap, until every pod believes it", watch.elapsed());
        // Nobody tells the kubelets of it: each looks at its next sync but one at the latest, then the pod does.
        assert!(watch.elapsed() <= limit() + cluster().kubelet_sync(), "{:?}", watch.elapsed());

        namespace.config_map("directories", &[("ca.crt", &second.ca())]);
        proxies.until("pods that do not believe the first authority", Duration::from_secs(120), || {
            let upstreams = proxies.status().upstreams;
            let failed = |name: &str| {
                upstreams.iter().any(|one| one.name == name && one.healthy_pods == 0 && one.total_pods == 2)
            };
            (failed("dc1") && !failed("dc2")).then_some(())
        });
        let told = proxies.reason("UpstreamsHealthy", "False", "TLSVerifyFailed");
        assert!(told.message.contains("dc1"), "{}", told.message);
        proxies.condition("Ready", "True");

        let log = logins.stop();
        println!("{log}");
        log.expect_only(0);
        assert_eq!(proxies.incarnations(), before, "pods and their restarts");
    });
}

/// Patches, and waits until every pod says that it runs with that.
fn applied(proxies: &Proxies<'_>, what: &str, patch: &str) {
    let watch = Stopwatch::start();
    proxies.patch(patch);
    proxies.condition("ConfigApplied", "True");
    let took = watch.elapsed();
    figures::record_seconds(&format!("hot reload: {what}, from patch to ConfigApplied, 3 replicas"), took);
    let hash = proxies.status().config_hash.expect("a hash");
    for pod in proxies.pods() {
        assert_eq!(pod.statusz()["configHash"], hash.as_str(), "{pod}");
    }
    assert!(took <= limit(), "{what}: {took:?}, the target is {:?}", limit());
}

fn limit() -> Duration {
    cluster().kubelet_sync() + TARGET
}
