//! Alerts about one BindProxy: its directories, its clients, its configuration and its pods. And the dashboard, which must
//! have something to show of them.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bindproxy::directory::script::{Behaviour, Match};
use rustix::process::Signal;
use serde_json::Value;

use bindproxy_tests::certificates::Authority;
use bindproxy_tests::kubernetes::bind_proxy::PATIENCE;
use bindproxy_tests::kubernetes::clients::{LDAP_PORT, Outcome, login};
use bindproxy_tests::kubernetes::cluster::repository;
use bindproxy_tests::kubernetes::upstream::{clear, scripted};
use bindproxy_tests::kubernetes::{Clients, Namespace, Upstream, cluster, with_namespace};
use bindproxy_tests::scratch::Scratch;
use bindproxy_tests::slapd::Settings;
use bindproxy_tests::wait;

use super::Watch;

const QUICK: &str = "upstreamPolicy: {connectTimeoutSeconds: 1, \
                     healthCheck: {intervalSeconds: 1, failureThreshold: 1, successThreshold: 1}}";
const MEMBERS: u16 = 7946;

#[test]
fn directories_that_go_and_come_lock_accounts_or_are_slow_and_every_panel_shows_something() {
    with_namespace("alerts-upstreams", |namespace| {
        let Some(watch) = Watch::over(&[namespace.name()]) else { return };
        let mut directory = Upstream::start(Settings { shows_lockout: true, ..Settings::default() });
        let other = Upstream::shared();
        let corp = namespace.bind_proxy(
            "corp",
            &format!("replicas: 2\nupstreams: [{}, {}]\n{QUICK}", directory.clear("dc1"), other.clear("dc2")),
        );
        let lone =
            namespace.bind_proxy("lone", &format!("replicas: 1\nupstreams: [{}]\n{QUICK}", directory.clear("dc1")));
        corp.ready();
        lone.ready();
        let ours = [("namespace", namespace.name()), ("bindproxy", "corp")];
        watch.settles(namespace.name(), &[]);

        // A third failure locks, and the fourth attempt is answered with the lock. Each password is another one.
        let victim = directory.slapd.add_user("victim", "right");
        for password in ["a", "b", "c", "d"] {
            assert_eq!(login(lone.pod(0).address(LDAP_PORT), &victim, password), Outcome::Code(49));
        }
        assert!(directory.slapd.locked(&victim));
        watch.fires("BindProxyLockoutsSeen", &[("bindproxy", "lone")]);

        // Somebody finds it gone before the health check does: the first failovers.
        let user = directory.slapd.add_user("alerts", "right");
        assert_eq!(other.slapd.add_user("alerts", "right"), user, "the directories are alike");
        let users = Clients::at(corp.addresses(), &user, "right");
        let users = users.count(8).every(Duration::from_millis(10)).connecting_anew().start();
        users.until(50);
        directory.slapd.stop();
        watch.fires("BindProxyUpstreamDown", &[ours[0], ours[1], ("upstream", "dc1")]);
        let log = users.stop();
        println!("{log}");
        assert_eq!(log.with_code(49), 0, "no fault of a directory is told as a wrong password: {log}");
        watch.fires("BindProxyAllUpstreamsDown", &[("bindproxy", "lone")]);
        assert!(
            watch
                .firing()
                .iter()
                .all(|labels| labels["alertname"] != "BindProxyAllUpstreamsDown" || labels["bindproxy"] == "lone"),
            "corp has another directory"
        );
        // There and back twice are four changes.
        directory.slapd.start_again();
        watch.ends("BindProxyUpstreamDown");
        directory.slapd.stop();
        watch.fires("BindProxyUpstreamDown", &ours);
        directory.slapd.start_again();
        watch.fires("BindProxyFailoverFlapping", &[ours[0], ours[1], ("upstream", "dc1")]);
        watch.ends("BindProxyUpstreamDown");

        every_panel_shows_something(&watch, namespace);

        // Slow and narrow: every bind takes three seconds, and there is one connection.
        let slow = scripted();
        slow.script(|script| {
            script.when(Match::bind(), Behaviour::Delay(Duration::from_secs(3)));
        });
        let narrow = namespace.bind_proxy(
            "narrow",
            &format!(
                "replicas: 1\nupstreams: [{}]\nupstreamPolicy: {{connectTimeoutSeconds: 1, maxConnectionsPerPod: 1}}",
                clear("dc1", slow.addr())
            ),
        );
        narrow.ready();
        let alice = "uid=alice,ou=people,dc=example,dc=org";
        let clients = Clients::at(vec![narrow.pod(0).address(LDAP_PORT)], alice, "alicepw").count(3).start();
        watch.fires("BindProxyUpstreamSlow", &[("bindproxy", "narrow"), ("upstream", "dc1")]);
        watch.fires("BindProxyUpstreamQueueTimeouts", &[("bindproxy", "narrow")]);
        let log = clients.stop();
        assert!(log.with_code(51) > 0, "some are told busy: {log}");
    });
}

#[test]
fn storms_full_caches_crowds_and_strangers() {
    with_namespace("alerts-clients", |namespace| {
        let Some(watch) = Watch::over(&[namespace.name()]) else { return };
        let directory = Upstream::shared();
        let proxies = namespace.bind_proxy(
            "corp",
            &format!(
                "replicas: 2\nupstreams: [{}]\n{QUICK}\ncache: {{maxEntries: 1000}}\nlimits: {{maxConnectionsPerPod: 20}}",
                directory.clear("dc1")
            ),
        );
        proxies.ready();
        let ours = [("namespace", namespace.name()), ("bindproxy", "corp")];
        watch.settles(namespace.name(), &[]);

        let phone = directory.slapd.add_user("alerts-phone", "right");
        let storm = Clients::at(proxies.addresses(), &phone, "stale").count(8).every(Duration::from_millis(5)).start();
        watch.fires("BindProxyInvalidCredentialStorm", &ours);
        storm.stop().expect_only(49);
        assert_eq!(directory.slapd.failures(&phone), 1);

        let strangers: Vec<String> =
            (0..1_200).map(|number| format!("uid=nobody-{number},ou=people,dc=example,dc=org")).collect();
        let mut spray =
            Clients::at(proxies.addresses(), &strangers[0], "guess").count(8).every(Duration::from_millis(5));
        for stranger in &strangers[1..] {
            spray = spray.also(stranger, "guess");
        }
        let spray = spray.start();
        watch.fires("BindProxyCacheFull", &ours);
        spray.stop().expect_only(49);

        let pod = proxies.pod(0);
        let crowd: Vec<TcpStream> = (0..18).map(|_| connect(pod.address(LDAP_PORT))).collect();
        watch.fires("BindProxyConnectionsNearLimit", &[ours[0], ours[1], ("pod", &pod.name())]);
        drop(crowd);
        watch.ends("BindProxyConnectionsNearLimit");

        // Somebody who is no member.
        connect(pod.address(MEMBERS)).write_all(b"GET / HTTP/1.1\r\n\r\n").expect("write");
        watch.fires("BindProxyClusterRejected", &ours);
    });
}

#[test]
fn configurations_that_are_refused_and_certificates_that_end() {
    with_namespace("alerts-configuration", |namespace| {
        let Some(watch) = Watch::over(&[namespace.name()]) else { return };
        let directory = Upstream::shared();
        let scratch = Scratch::new("certificates");
        let authority = Authority::new(scratch.path());
        let certificate = |days: u64| {
            let left = Duration::from_secs(days * 86_400 + 3_600);
            let identity = authority.server_for("server", &["corp"], left);
            let read = |file| std::fs::read_to_string(file).expect("a PEM file");
            namespace.secret(
                "corp-tls",
                &[("tls.crt", &read(identity.certificate_file)), ("tls.key", &read(identity.key_file))],
            );
        };
        certificate(3);
        let proxies = namespace.bind_proxy(
            "corp",
            &format!(
                "replicas: 1\nupstreams: [{}]\nlisteners: [{{name: ldaps, port: 636, tls: LDAPS}}]\n\
                 serverTLS: {{secretRef: {{name: corp-tls}}}}",
                directory.clear("dc1")
            ),
        );
        proxies.ready();
        let ours = [("namespace", namespace.name()), ("bindproxy", "corp")];
        watch.settles(namespace.name(), &["BindProxyCertificateExpiring"]);
        watch.fires("BindProxyCertificateExpiring", &[ours[0], ours[1], ("severity", "warning")]);
        certificate(0);
        watch.fires("BindProxyCertificateExpiring", &[ours[0], ours[1], ("severity", "critical")]);
        certificate(100);
        watch.ends("BindProxyCertificateExpiring");

        namespace.secret("corp-tls", &[("tls.crt", "no certificate"), ("tls.key", "no key")]);
        watch.fires("BindProxyConfigRejected", &ours);
        certificate(100);
        watch.ends("BindProxyConfigRejected");
    });
}

#[test]
fn pods_that_hang_or_restart() {
    if cluster().own_or_skip("pods_that_hang_or_restart").is_none() {
        return;
    }
    with_namespace("alerts-pods", |namespace| {
        let Some(watch) = Watch::over(&[namespace.name()]) else { return };
        let proxies =
            namespace.bind_proxy("corp", &format!("replicas: 1\nupstreams: [{}]", Upstream::shared().clear("dc1")));
        proxies.ready();
        watch.settles(namespace.name(), &[]);

        let pod = proxies.pod(0);
        pod.signal(Signal::STOP);
        watch.fires("BindProxyDown", &[("namespace", namespace.name()), ("pod", "corp-0")]);
        watch.fires("BindProxyNoReadyPods", &[("namespace", namespace.name()), ("bindproxy", "corp")]);
        pod.signal(Signal::CONT);
        watch.ends("BindProxyDown");

        // The kubelet waits ten seconds, then twenty, before it starts a container again.
        for round in 1..=3 {
            wait::until_true("the pod to serve", PATIENCE, || pod.again().is_some_and(|pod| pod.ready()));
            wait::until_true("a scrape of it", PATIENCE, || watch.scraped());
            proxies.pod(0).signal(Signal::KILL);
            wait::until_true("its restart", PATIENCE, || pod.again().is_some_and(|pod| pod.restarts() >= round));
        }
        watch.fires("BindProxyRestarting", &[("namespace", namespace.name()), ("pod", "corp-0")]);
    });
}

fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"))
}

/// Each query of the dashboard has an answer, as far as it asks for what is scraped here.
fn every_panel_shows_something(watch: &Watch, namespace: &Namespace) {
    let file = repository().join("charts/bindproxy-operator/files/dashboard.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(file).expect("the dashboard")).expect("JSON");
    let variables =
        [("$__rate_interval", "5m"), ("$namespace", namespace.name()), ("$bindproxy", "corp"), ("$pod", ".+")];
    let (mut silent, mut asked) = (Vec::new(), 0);
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let written = target["expr"].as_str().expect("a query");
            let query = variables.iter().fold(written.to_owned(), |query, (name, value)| query.replace(name, value));
            // What kube-state-metrics would tell, and what is only shown where it is not in order.
            if query.contains("kube_") || query.contains("> 0") {
                continue;
            }
            asked += 1;
            if watch.query(&query).is_empty() {
                silent.push(format!("{}: {query}", panel["title"]));
            }
        }
    }
    println!("{asked} queries of the dashboard");
    assert!(asked > 30, "{asked} queries were asked");
    assert!(silent.is_empty(), "panels that show nothing:\n{}", silent.join("\n"));
}
