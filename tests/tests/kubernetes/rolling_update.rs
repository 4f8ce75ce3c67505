//! Scenario 5: a new template, with another image and another restart hash, under 200 logins a second.

use std::time::Duration;

use bindproxy_tests::kubernetes::clients::{Clients, Outcome};
use bindproxy_tests::kubernetes::{Upstream, cluster, figures, with_namespace};
use bindproxy_tests::wait::Stopwatch;

const PEOPLE: usize = 10;
const DEVICES: usize = 5;
const REPLICAS: usize = 3;
const TAG: &str = "e2e-another-name";
/// Three pods, each with its pause before SIGTERM, its drain, its start and `minReadySeconds`.
const LIMIT: Duration = Duration::from_secs(240);

/// At every moment all pods but one are ready, everybody who may log in does, and the directory hears of each stale password
/// once in all that time: the pods hand on what they know.
#[test]
fn under_two_hundred_logins_a_second() {
    with_namespace("rolling-update", |namespace| {
        let directory = Upstream::shared();
        let spec = format!("replicas: {REPLICAS}\nupstreams: [{}]", directory.clear("dc1"));
        let proxies = namespace.bind_proxy("corp", &spec);
        proxies.ready();
        let (people, devices): (Vec<String>, Vec<String>) = (
            (0..PEOPLE).map(|n| directory.slapd.add_user(&format!("rolling-person-{n}"), "right")).collect(),
            (0..DEVICES).map(|n| directory.slapd.add_user(&format!("rolling-device-{n}"), "right")).collect(),
        );
        let old: Vec<String> = proxies.pods().iter().map(|pod| pod.uid()).collect();

        let service = vec![proxies.service(389)];
        let mut logins = Clients::at(service.clone(), &people[0], "right").count(40).per_second(200);
        for person in &people[1..] {
            logins = logins.also(person, "right");
        }
        let mut storm = Clients::at(service, &devices[0], "stale").count(10).per_second(50);
        for device in &devices[1..] {
            storm = storm.also(device, "stale");
        }
        let logins = logins.connecting_anew().retrying().start();
        let storm = storm.connecting_anew().retrying().start();
        storm.until(50);

        let listener = "listeners: [{name: ldap, port: 389}, {name: further, port: 1389}]";
        if cluster().own_or_skip("another image in rolling_update").is_some() {
            cluster().tag_proxy_image(TAG);
            proxies.patch(&format!("spec: {{image: {{tag: {TAG}}}, {listener}}}"));
        } else {
            proxies.patch(&format!("spec: {{{listener}}}"));
        }
        let watch = Stopwatch::start();
        let (mut fewest, mut under_way) = (REPLICAS, false);
        proxies.until("the roll to end", LIMIT, || {
            let pods = proxies.pods();
            fewest = fewest.min(pods.iter().filter(|pod| pod.ready()).count());
            let progress = proxies.condition_now("Progressing").expect("the condition");
            under_way |= progress.status == "True" && progress.reason == "RollingUpdate";
            let over = progress.status == "False"
                && progress.reason == "Complete"
                && progress.observed_generation == proxies.get().metadata.generation;
            let replaced = pods.len() == REPLICAS && pods.iter().all(|pod| pod.ready() && !old.contains(&pod.uid()));
            (over && replaced).then_some(())
        });
        figures::record_seconds("rolling update: 3 pods under 200 logins/s", watch.elapsed());
        proxies.ready();
        assert!(under_way, "Progressing was never True/RollingUpdate");
        assert!(fewest >= REPLICAS - 1, "{fewest} of {REPLICAS} pods were ready at one time");

        let made = storm.log().len();
        storm.until(made + 100);
        let (logins, storm) = (logins.stop(), storm.stop());
        println!("logins: {logins}\nstorm: {storm}");
        let rate = logins.len() as f64 / watch.elapsed().as_secs_f64();
        figures::record("rolling update: logins", rate, "/s");
        figures::record(
            "rolling update: logins and refusals tried again",
            (logins.retried() + storm.retried()) as f64,
            "attempts",
        );
        logins.expect_only(0);
        storm.expect_only(49);
        for outcome in logins.tries_before().keys().chain(storm.tries_before().keys()) {
            assert!(matches!(outcome, Outcome::Ended | Outcome::Refused | Outcome::Notice(52)), "{outcome}");
        }
        for device in &devices {
            assert_eq!(directory.slapd.failures(device), 1, "slapd's own counter of {device} after {storm}");
            assert_eq!(directory.slapd.binds(device), 1, "binds of {device} in slapd's log after {storm}");
        }
    });
}
