//! Scenario 16: Secrets are rotated under pods that go on running: the listeners' certificate, the proxy's own certificate
//! at a directory, the cluster's authority and certificate, and the hashing key.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use bindproxy_tests::certificates::{Authority, Identity};
use bindproxy_tests::kubernetes::clients::{LDAPS_PORT, Outcome, login};
use bindproxy_tests::kubernetes::{Clients, Namespace, Pod, Proxies, Upstream, figures, with_namespace};
use bindproxy_tests::ldap::{Connection, Endpoint, Security};
use bindproxy_tests::scratch::Scratch;
use bindproxy_tests::slapd::Settings;
use bindproxy_tests::wait::Stopwatch;

/// From the change of a Secret until every pod serves it, on any cluster.
const SERVED: Duration = Duration::from_secs(120);

/// New connections meet the new certificate, those that are open go on.
#[test]
fn the_listeners_certificate() {
    with_namespace("rotate-server", |namespace| {
        let directory = Upstream::shared();
        let user = directory.slapd.add_user("rotate-server", "right");
        let (one, two) = (Scratch::new("rotate-server"), Scratch::new("rotate-server"));
        let (old, new) = (Authority::new(one.path()), Authority::new(two.path()));
        namespace.tls_secret("corp-tls", &old.server("server", &[]));
        let proxies = namespace.bind_proxy(
            "corp",
            &format!(
                "replicas: 2\nserverTLS: {{secretRef: {{name: corp-tls}}}}\nupstreams: [{}]\n\
                 listeners: [{{name: ldap, port: 389}}, {{name: ldaps, port: 636, tls: LDAPS}}]",
                directory.clear("dc1")
            ),
        );
        proxies.ready();
        let before = proxies.incarnations();
        let at = |authority: &Authority| -> Vec<Endpoint> {
            let endpoint =
                |pod: &Pod| Endpoint::tcp(pod.address(LDAPS_PORT)).secured(Security::Ldaps, &authority.ca_file);
            proxies.pods().iter().map(endpoint).collect()
        };
        let mut open: Vec<Connection> = at(&old).iter().map(Endpoint::connect).collect();
        assert!(at(&new).iter().all(|endpoint| endpoint.try_connect().is_err()), "not rotated yet");
        let clear = Clients::at(proxies.addresses(), &user, "right").count(2).every(Duration::from_millis(500)).start();

        let watch = Stopwatch::start();
        namespace.tls_secret("corp-tls", &new.server("server", &[]));
        proxies.until("the new certificate at every pod", SERVED, || {
            for connection in &mut open {
                assert_eq!(connection.bind(&user, "right"), 0, "on a connection from before");
            }
            at(&new).iter().all(|endpoint| endpoint.try_connect().is_ok()).then_some(())
        });
        figures::record_seconds("rotation: server certificate, until every pod shows it", watch.elapsed());
        for connection in &mut open {
            assert_eq!(connection.bind(&user, "right"), 0, "on a connection from before");
        }
        assert!(at(&old).iter().all(|endpoint| endpoint.try_connect().is_err()), "the old one is shown no more");
        let log = clear.stop();
        println!("{log}");
        log.expect_only(0);
        proxies.condition("ConfigApplied", "True");
        assert_eq!(proxies.incarnations(), before, "pods and their restarts");
    });
}

/// The directory wants a certificate of the proxy and does not know the authority of its first one.
#[test]
fn the_certificate_at_a_directory() {
    with_namespace("rotate-client", |namespace| {
        let directory = Upstream::start(Settings { demands_certificates: true, ..Settings::default() });
        let user = directory.slapd.add_user("rotate-client", "right");
        let scratch = Scratch::new("rotate-client");
        let strange = Authority::new(scratch.path()).client("one", "a proxy");
        let known = |stem: &str| directory.slapd.authority().client(stem, "a proxy");
        namespace.config_map("directories", &[("ca.crt", &directory.ca())]);
        namespace.tls_secret("proxy-tls", &strange);
        let upstream =
            directory.ldaps("dc1", "directories").replace("}}}", "}, clientCertificateSecretRef: {name: proxy-tls}}}");
        assert!(upstream.contains("clientCertificate"), "{upstream}");
        let proxies = namespace.bind_proxy(
            "corp",
            &format!(
                "replicas: 2\nupstreams: [{upstream}]\n\
                 upstreamPolicy: {{healthCheck: {{intervalSeconds: 1, failureThreshold: 1, successThreshold: 1}}}}"
            ),
        );
        proxies.ready();
        proxies.condition("UpstreamsHealthy", "False");
        for pod in proxies.addresses() {
            let refused = login(pod, &user, "right");
            assert!(matches!(refused, Outcome::Code(51 | 52)), "the directory is not reached: {refused}");
        }
        let before = proxies.incarnations();

        let watch = Stopwatch::start();
        namespace.tls_secret("proxy-tls", &known("two"));
        // With TLS 1.3 a directory refuses a certificate after the handshake, so only a login shows that a pod is let in.
        proxies.until("a login at every pod", SERVED, || {
            proxies.addresses().into_iter().all(|pod| login(pod, &user, "right") == Outcome::Code(0)).then_some(())
        });
        figures::record_seconds("rotation: certificate at a directory, until every pod is let in", watch.elapsed());
        proxies.condition("UpstreamsHealthy", "True");
        // From one good one to another: nobody notices.
        let storm = Clients::at(proxies.addresses(), &user, "right").count(2).connecting_anew().start();
        storm.until(4);
        let reloads = reloads(&proxies);
        namespace.tls_secret("proxy-tls", &known("three"));
        taken_over(&proxies, &reloads, || ());
        let made = storm.log().len();
        storm.until(made + 20);
        let log = storm.stop();
        println!("{log}");
        log.expect_only(0);
        assert_eq!(proxies.incarnations(), before, "pods and their restarts");
    });
}

/// In the three documented steps pods never refuse each other, and what they know stays known.
#[test]
fn the_clusters_authority_and_certificate() {
    with_namespace("rotate-cluster", |namespace| {
        let directory = Upstream::shared();
        let phone = directory.slapd.add_user("rotate-cluster", "right");
        let proxies = namespace.three_connected(directory);
        let before = proxies.incarnations();
        let storm = Clients::at(proxies.addresses(), &phone, "stale").count(6).start();
        storm.until(30);
        assert_eq!(directory.slapd.failures(&phone), 1);

        let scratch = Scratch::new("rotate-cluster");
        let authority = Authority::new(scratch.path());
        let leaf = authority.member("member", &format!("{}/corp", namespace.name()));
        let old_ca = value(namespace, "ca.crt");
        let new_ca = read(&authority.ca_file);
        let Identity { certificate_file, key_file } = leaf;
        let watch = Stopwatch::start();
        step(&proxies, json!({"ca.crt": format!("{new_ca}{old_ca}")}));
        step(&proxies, json!({"tls.crt": read(&certificate_file), "tls.key": read(&key_file)}));
        step(&proxies, json!({"ca.crt": new_ca}));
        figures::record_seconds("rotation: authority and certificate between pods, three steps", watch.elapsed());
        for pod in proxies.pods() {
            let ends = pod.statusz()["certificates"].clone();
            let of = |role: &str| {
                let all = ends.as_array().expect("a list");
                all.iter().find(|one| one["role"] == role).map(|one| one["notAfter"].clone()).unwrap_or_default()
            };
            // The operator's end after ten years, those of these tests with the year 4096.
            for role in ["cluster", "cluster-ca"] {
                assert!(of(role).as_str().unwrap_or_default().starts_with("4096"), "{pod}: {role} ends {}", of(role));
            }
        }
        assert_eq!(proxies.incarnations(), before, "pods and their restarts");

        // One that comes now knows nothing but the new ones, and is let in and told.
        let newcomer = proxies.pod(2);
        let elsewhere: Vec<_> = proxies.addresses().into_iter().take(2).collect();
        storm.retarget(elsewhere);
        newcomer.delete();
        proxies.until("another third pod, with what the others know", Duration::from_secs(60), || {
            let pod = proxies.pods().into_iter().find(|pod| pod.ordinal() == 2 && pod.uid() != newcomer.uid())?;
            pod.ready().then_some(())
        });
        whole(&proxies);
        assert_eq!(login(proxies.pod(2).address(3389), &phone, "stale"), Outcome::Code(49));
        let log = storm.stop();
        println!("{log}");
        log.filter(|attempt| matches!(attempt.outcome, Outcome::Code(_))).expect_only(49);
        assert_eq!(directory.slapd.failures(&phone), 1, "slapd's own counter after {log}");
        assert_eq!(directory.slapd.binds(&phone), 1, "binds in slapd's log after {log}");
    });
}

/// While pods have different keys, what is known under the old one stays known, and what is new is known everywhere.
#[test]
fn the_hashing_key() {
    with_namespace("rotate-key", |namespace| {
        let directory = Upstream::shared();
        let phone = directory.slapd.add_user("rotate-key", "right");
        let proxies = namespace.three_connected(directory);
        let before = proxies.incarnations();
        let storm = Clients::at(proxies.addresses(), &phone, "stale").count(6).start();
        storm.until(30);

        let new: String = (0..32).map(|_| rand::random_range('a'..='z')).collect();
        let mut fresh = Vec::new();
        let reloads_before = reloads(&proxies);
        change(namespace, json!({"previous-hash.key": value(namespace, "hash.key"), "hash.key": new}));
        // A stale password that nobody presented before, at one pod after the other, while the key reaches one after the other.
        taken_over(&proxies, &reloads_before, || {
            assert_connected(&proxies);
            let user = directory.slapd.add_user(&format!("rotate-key-{}", fresh.len()), "right");
            proxies.refused_everywhere(&user, "stale");
            fresh.push(user);
        });
        assert!(!fresh.is_empty());
        whole(&proxies);
        let made = storm.log().len();
        storm.until(made + 60);
        assert_eq!(directory.slapd.binds(&phone), 1, "known before the window");
        for user in &fresh {
            proxies.refused_everywhere(user, "stale");
        }
        // Who was first presented in the very instant in which one of three pods turned may have been asked for twice
        // (docs/cluster.md); nobody more often, and nobody before or after such an instant.
        let asked: Vec<usize> = fresh.iter().map(|user| directory.slapd.binds(user)).collect();
        let twice = asked.iter().filter(|&&binds| binds == 2).count();
        assert!(asked.iter().all(|binds| (1..=2).contains(binds)) && twice <= 3, "binds of each: {asked:?}");
        figures::record(
            "rotation: accounts asked for twice, of those first presented while keys roll",
            twice as f64,
            "",
        );

        // Only what a pod with both keys has learned is known under the new one alone.
        let late = directory.slapd.add_user("rotate-key-late", "right");
        assert_eq!(login(proxies.addresses()[0], &late, "stale"), Outcome::Code(49));
        step(&proxies, json!({"previous-hash.key": new}));
        proxies.refused_everywhere(&late, "stale");
        assert_eq!(directory.slapd.binds(&late), 1, "learned within the window, asked after it");
        // What was learned before is learned once more, because the window was closed before its time was over.
        let made = storm.log().len();
        storm.until(made + 60);
        let log = storm.stop();
        println!("{log}; {} accounts within the window", fresh.len());
        log.expect_only(49);
        assert_eq!(directory.slapd.binds(&phone), 2, "known before the window, asked after it");
        assert_eq!(proxies.incarnations(), before, "pods and their restarts");
    });
}

/// Changes the cluster's Secret, and waits until every pod has taken it over; they stay connected all the time.
fn step(proxies: &Proxies<'_>, data: Value) {
    let before = reloads(proxies);
    change(proxies.namespace(), data);
    taken_over(proxies, &before, || assert_connected(proxies));
    whole(proxies);
}

fn change(namespace: &Namespace, data: Value) {
    let patch = json!({"stringData": data}).to_string();
    let answer = namespace.kubectl(&["patch", "secret", "corp-cluster", "--type=merge", "--patch", &patch]);
    assert!(answer.done, "{}", answer.errors);
}

/// How often each pod has read its files again.
fn reloads(proxies: &Proxies<'_>) -> Vec<f64> {
    let count = |pod: &Pod| pod.metric("bindproxy_config_reloads_total", &[("result", "success")]);
    proxies.pods().iter().map(count).collect()
}

/// Waits until each pod has read its files once more, looking at something else meanwhile.
fn taken_over(proxies: &Proxies<'_>, before: &[f64], mut meanwhile: impl FnMut()) {
    let watch = Stopwatch::start();
    proxies.until("every pod to read its files again", SERVED, || {
        meanwhile();
        reloads(proxies).iter().zip(before).all(|(now, before)| now > before).then_some(())
    });
    watch.report("every pod has read its files again");
    proxies.condition("ConfigApplied", "True");
}

fn assert_connected(proxies: &Proxies<'_>) {
    let connected = proxies.condition_now("PeersConnected").expect("the condition");
    assert_eq!(connected.status, "True", "PeersConnected: {} {}", connected.reason, connected.message);
}

/// Each pod sees the two others at once, not only when the operator asks.
fn whole(proxies: &Proxies<'_>) {
    proxies.until("three pods that see each other", Duration::from_secs(30), || {
        let alive = |status: &Value| {
            let members = status["cluster"]["members"].as_array().cloned().unwrap_or_default();
            members.iter().filter(|member| member["state"] == "alive").count()
        };
        let pods = proxies.pods();
        // Whether a member lists itself is not this test's matter.
        (pods.len() == 3 && pods.iter().all(|pod| alive(&pod.statusz()) >= 2)).then_some(())
    });
    assert_connected(proxies);
}

fn value(namespace: &Namespace, key: &str) -> String {
    let secret: Secret = namespace.get("corp-cluster").expect("the Secret of the cluster");
    let data = secret.data.expect("data");
    String::from_utf8(data[key].0.clone()).expect("text")
}

fn read(path: &std::path::Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
