//! Scenario 17: `kubectl scale` from 1 to 5 and down to 2 while a stale password storms.

use std::time::Duration;

use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use bindproxy_tests::kubernetes::clients::LDAP_PORT;
use bindproxy_tests::kubernetes::{Clients, Upstream, figures, with_namespace};
use bindproxy_tests::wait::Stopwatch;

use crate::promise::counted_once;

/// How long members may take to agree who is there after a scaling.
const AGREED: Duration = Duration::from_secs(30);

/// Pods that come know what is known before they are Ready; pods that go leave nobody waiting for them; and the directory
/// hears of the stale password once in all that time.
#[test]
fn from_one_to_five_to_two_under_a_storm() {
    with_namespace("scale", |namespace| {
        let directory = Upstream::shared();
        let proxies = namespace.bind_proxy("corp", &format!("replicas: 1\nupstreams: [{}]", directory.clear("dc1")));
        proxies.ready();
        let budget = || namespace.get::<PodDisruptionBudget>("corp");
        assert!(budget().is_none(), "with one pod a budget would block every drain of its node");

        let phone = directory.slapd.add_user("scale", "right");
        let service = vec![proxies.service(389)];
        // Devices that connect anew find pods that come, and are sent elsewhere by pods that go.
        let storm = Clients::at(service, &phone, "stale").count(20).connecting_anew().retrying().start();
        storm.until(50);

        let watch = Stopwatch::start();
        proxies.scale(5);
        let mut newcomers = 0;
        proxies.until("five pods, each full before it is ready", Duration::from_secs(60), || {
            let pods = proxies.pods();
            let ready: Vec<_> = pods.iter().filter(|pod| pod.ready() && pod.ordinal() > 0).collect();
            for pod in &ready {
                let entries = pod.metric("bindproxy_cache_entries", &[]);
                assert!(entries >= 1.0, "{pod} is ready and its cache is empty");
            }
            newcomers = ready.len();
            (newcomers == 4).then_some(())
        });
        proxies.ready();
        figures::record_seconds("scale: from 1 to 5 pods, all ready", watch.elapsed());
        proxies.until("a budget", AGREED, budget);
        agreed(&proxies, 5);

        let watch = Stopwatch::start();
        proxies.scale(2);
        proxies.ready();
        agreed(&proxies, 2);
        figures::record_seconds("scale: from 5 to 2 pods, agreed", watch.elapsed());
        assert!(budget().is_some());

        let log = storm.stop();
        println!("{log}");
        log.expect_only(49);
        counted_once(&proxies, &directory.slapd, &phone, &log);
        let asked = directory.slapd.binds(&phone);

        proxies.scale(1);
        proxies.ready();
        proxies.until("the budget's end", AGREED, || budget().is_none().then_some(()));
        let last = Clients::at(vec![proxies.pod(0).address(LDAP_PORT)], &phone, "stale").start();
        last.until(5);
        last.stop().expect_only(49);
        assert_eq!(directory.slapd.binds(&phone), asked, "the last pod remembers");
    });
}

/// Every pod knows all others alive, and suspects nobody.
fn agreed(proxies: &bindproxy_tests::kubernetes::Proxies<'_>, count: usize) {
    proxies.until(&format!("{count} pods that see each other and suspect nobody"), AGREED, || {
        let pods = proxies.pods();
        let whole = pods.iter().all(|pod| {
            let status = pod.statusz();
            let members = status["cluster"]["members"].as_array().cloned().unwrap_or_default();
            let with = |state: &str| members.iter().filter(|member| member["state"] == state).count();
            with("alive") == count - 1 && with("suspect") == 0
        });
        (pods.len() == count && whole).then_some(())
    });
}
