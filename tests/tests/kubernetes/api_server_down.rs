//! Scenario 20: the API server is gone.

use std::time::Duration;

use rustix::process::Signal;

use bindproxy_tests::kubernetes::clients::{LDAP_PORT, Outcome, login};
use bindproxy_tests::kubernetes::cluster::ADMIN_PORT;
use bindproxy_tests::kubernetes::components::{CONTROL_PLANE, stop};
use bindproxy_tests::kubernetes::extent::lasting;
use bindproxy_tests::kubernetes::installation::operators;
use bindproxy_tests::kubernetes::{Clients, Pod, Upstream, alone_with_namespace, figures};
use bindproxy_tests::scrape;
use bindproxy_tests::wait::{self, Stopwatch};

/// A container that crashed is started again by its kubelet alone, finds the others by DNS and has what they know.
const BACK: Duration = Duration::from_secs(60);
/// The pauses of the operator, of its watches and of kubelets add up after an outage; a kubelet takes a minute and more.
const RECONNECTED: Duration = Duration::from_secs(150);

/// Clients and pods need no API server, not even a pod that crashes meanwhile; the operator waits for it in patience and
/// goes on where it was.
#[test]
fn without_the_api_server_everybody_serves() {
    alone_with_namespace("api-down", |namespace| {
        let cluster = namespace.cluster();
        if cluster.own_or_skip("the API server's end").is_none() {
            return;
        }
        let directory = Upstream::shared();
        let slapd = &directory.slapd;
        let proxies = namespace.bind_proxy("corp", &format!("replicas: 3\nupstreams: [{}]", directory.clear("dc1")));
        proxies.ready();
        let pods = proxies.pods();
        let [phone, person, early, late] =
            ["phone", "person", "early", "late"].map(|uid| slapd.add_user(&format!("api-down-{uid}"), "right"));
        let mut targets = proxies.addresses();
        targets.push(proxies.service(389));
        proxies.teach(&phone, "stale");
        let storm = Clients::at(targets.clone(), &phone, "stale").count(12).connecting_anew().retrying().start();
        let logins = Clients::at(targets, &person, "right").count(4).connecting_anew().retrying().start();
        storm.until(100);
        let operator = operators(cluster).pop().expect("an operator");
        let restarts_before = watch_restarts(&operator);
        let victim = pods[2].process();

        let down = stop(CONTROL_PLANE, "kube-apiserver", "KILL");
        let watch = Stopwatch::start();
        learned_by_all(slapd, &pods, &early, 1);
        let joined = joined_at(&pods[2]);
        rustix::process::kill_process(victim, Signal::KILL).expect("the container's process is there");
        wait::until_true("the crashed pod to be started again, without the API server", BACK, || {
            joined_at(&pods[2]).is_some_and(|now| Some(now) != joined) && ready(&pods[2])
        });
        figures::record_seconds("API server down: a crashed pod is back", watch.elapsed());
        // It knows what was known before it died, and the others tell it what is new.
        assert_eq!(login(pods[2].address(LDAP_PORT), &early, "stale"), Outcome::Code(49));
        assert_eq!(slapd.binds(&early), 1, "the pod that came back knows");
        learned_by_all(slapd, &pods, &late, 1);
        // Not a wait for something: the API server is away so long.
        let away = lasting(Duration::from_secs(30), Duration::from_secs(120));
        std::thread::sleep(away.saturating_sub(watch.elapsed()));
        let (status, _) = scrape::get(operator.address(ADMIN_PORT), "/livez").expect("the operator is there");
        assert_eq!(status, 200, "an operator that waits is alive");
        let (during_storm, during_logins) = (storm.log(), logins.log());

        down.start();
        let watch = Stopwatch::start();
        proxies.patch("spec: {cache: {ttlSeconds: 901}}");
        proxies.condition_within("ConfigApplied", "True", None, RECONNECTED);
        figures::record_seconds("API server back: until the operator has applied a change", watch.elapsed());
        let now = operator.again().expect("the operator's pod is the same");
        assert_eq!(now.restarts(), operator.restarts(), "the operator waited and did not crash");
        assert!(watch_restarts(&now) > restarts_before, "its watches did fail");
        proxies.ready();
        let after = proxies.pods();
        assert!(after.iter().zip(&pods).all(|(after, before)| after.uid() == before.uid()), "no pod was replaced");
        let restarts: Vec<i32> = after.iter().map(Pod::restarts).collect();
        assert_eq!(restarts, [0, 0, 1], "one container crashed");

        println!("while it was away: stale: {during_storm}\nright: {during_logins}");
        during_storm.expect_only(49);
        during_logins.expect_only(0);
        let (storm, logins) = (storm.stop(), logins.stop());
        println!("in all: stale: {storm}\nright: {logins}");
        storm.expect_only(49);
        logins.expect_only(0);
        assert_eq!(slapd.failures(&phone), 1, "slapd's own counter after {storm}");
        assert_eq!(slapd.binds(&phone), 1, "binds in slapd's log after {storm}");
    });
}

/// A password that is presented to one pod after the other reaches the directory once.
fn learned_by_all(slapd: &bindproxy_tests::slapd::Slapd, pods: &[Pod], name: &str, times: usize) {
    for pod in pods {
        assert_eq!(login(pod.address(LDAP_PORT), name, "stale"), Outcome::Code(49), "{name} at {pod}");
    }
    assert_eq!(slapd.binds(name), times, "{name}, presented to every pod");
}

fn ready(pod: &Pod) -> bool {
    pod.http("/readyz").is_some_and(|(status, _)| status == 200)
}

/// When the process in a pod began; `None` while there is none.
fn joined_at(pod: &Pod) -> Option<u64> {
    let (_, text) = pod.http("/metrics")?;
    scrape::sum(&text, "process_start_time_seconds", &[]).map(|seconds| seconds as u64)
}

fn watch_restarts(operator: &Pod) -> f64 {
    scrape::metric(operator.address(ADMIN_PORT), "bindproxy_operator_watch_restarts_total", &[])
}
