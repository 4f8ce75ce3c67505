//! Scenario 12: every directory is down for a while (5 minutes with `BINDPROXY_E2E_FULL=1`).

use std::time::Duration;

use bindproxy_tests::kubernetes::clients::{Clients, Outcome, login};
use bindproxy_tests::kubernetes::{Pod, Upstream, figures, with_namespace};
use bindproxy_tests::slapd::Settings;
use bindproxy_tests::wait::Stopwatch;

/// Health checks of the spec below notice within a few seconds.
const NOTICED: Duration = Duration::from_secs(40);

fn outage() -> Duration {
    let full = std::env::var_os("BINDPROXY_E2E_FULL").is_some_and(|value| value == "1");
    Duration::from_secs(if full { 300 } else { 10 })
}

/// Clients hear 52 and never 49, but what is known to be wrong is refused all the same. The pods stay in their Service, and
/// serve again when a directory does.
#[test]
fn refusals_go_on_and_pods_stay() {
    with_namespace("all-down", |namespace| {
        let (mut first, mut second) = (Upstream::start(Settings::default()), Upstream::start(Settings::default()));
        let [phone, person] = ["phone", "person"].map(|uid| {
            second.slapd.add_user(uid, "right");
            first.slapd.add_user(uid, "right")
        });
        let spec = format!(
            "replicas: 2\nupstreams: [{}, {}]\nupstreamPolicy: {{connectTimeoutSeconds: 1, healthCheck: \
             {{intervalSeconds: 1, failureThreshold: 2, successThreshold: 1}}}}",
            first.clear("dc1"),
            second.clear("dc2")
        );
        let proxies = namespace.bind_proxy("corp", &spec);
        proxies.ready();
        let uids = || proxies.pods().iter().map(|pod| (pod.uid(), pod.restarts())).collect::<Vec<_>>();
        let before = uids();
        let targets = proxies.addresses();
        assert_eq!(login(proxies.service(389), &person, "right"), Outcome::Code(0));
        // The outage is the subject; the first seconds of new pods are that of `storm`.
        proxies.teach(&phone, "stale");
        let storm = Clients::at(targets.clone(), &phone, "stale").count(10).start();
        storm.until(50);

        first.slapd.stop();
        second.slapd.stop();
        let watch = Stopwatch::start();
        let all_down = || {
            let told = proxies.condition_now("UpstreamsHealthy").expect("the condition").status == "False";
            let status = proxies.status();
            let down =
                status.upstreams.len() == 2 && status.upstreams.iter().all(|upstream| upstream.healthy_pods == 0);
            (told && down && status.upstream_summary.as_deref() == Some("0/2")).then_some(())
        };
        let logins = Clients::at(targets.clone(), &person, "right").count(4).connecting_anew().start();
        let guesses = Clients::at(targets, &person, "wrong").count(2).connecting_anew().start();
        proxies.until("the status to tell", NOTICED, all_down);
        figures::record_seconds("all upstreams down: until the status tells", watch.elapsed());
        proxies.until("the end of the outage", outage() + NOTICED, || {
            let pods = proxies.pods();
            assert!(pods.len() == 2 && pods.iter().all(Pod::ready), "a pod left its Service");
            (watch.elapsed() > outage()).then_some(())
        });
        proxies.condition("Ready", "True");
        assert!(all_down().is_some(), "the status at the end of the outage");
        for log in [logins.stop(), guesses.stop()] {
            println!("{log}");
            log.expect_only(52);
        }
        let made = storm.log().len();
        storm.until(made + 100);

        let watch = Stopwatch::start();
        second.slapd.start_again();
        proxies.until("a login", NOTICED, || {
            (login(proxies.service(389), &person, "right") == Outcome::Code(0)).then_some(())
        });
        figures::record_seconds("all upstreams down: from a directory's return to a login", watch.elapsed());
        first.slapd.start_again();
        proxies.reason("UpstreamsHealthy", "True", "Healthy");
        let log = storm.stop();
        println!("{log}");
        log.expect_only(49);
        assert_eq!(uids(), before, "nothing was restarted");
        let heard = first.slapd.failures(&phone) + second.slapd.failures(&phone);
        assert_eq!(heard, 1, "slapd's own counters after {log}");
        let guessed = first.slapd.failures(&person) + second.slapd.failures(&person);
        assert_eq!(guessed, 0, "no guess reached anybody");
    });
}
