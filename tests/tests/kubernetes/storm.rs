//! Scenario 1: many clients present one stale password to all pods, and the directory hears of it once.

use std::time::Duration;

use bindproxy_tests::kubernetes::{Clients, Upstream, alone_with_namespace, figures};

/// The bound for an answer from the cache, as the client sees it.
const CACHED: Duration = Duration::from_millis(5);

/// From the first octet of the storm on, over every pod and the Service: `slapd` counts exactly one failure. With leases
/// there is no window in which two pods ask.
#[test]
fn a_stale_password_at_three_pods_counts_once() {
    // Alone, because it measures.
    alone_with_namespace("storm", |namespace| {
        let directory = Upstream::shared();
        let proxies = namespace.bind_proxy("corp", &format!("replicas: 3\nupstreams: [{}]", directory.clear("dc1")));
        proxies.ready();
        let phone = directory.slapd.add_user("storm", "right");

        let mut targets = proxies.addresses();
        assert_eq!(targets.len(), 3);
        targets.push(proxies.service(389));
        let log = Clients::at(targets, &phone, "stale").count(50).run_for(Duration::from_secs(20));
        println!("{log}");

        log.expect_only(49);
        assert!(log.len() > 5_000, "50 clients at ten binds a second: {log}");
        assert_eq!(directory.slapd.failures(&phone), 1, "slapd's own counter after {log}");
        assert_eq!(directory.slapd.binds(&phone), 1, "binds in slapd's log after {log}");
        let prevented = proxies.metric("bindproxy_lockout_attempts_prevented_total", &[]);
        assert_eq!(prevented, (log.len() - 1) as f64, "attempts prevented, over all pods");

        // The first binds wait for the directory and for who may ask it; connecting is part of them too.
        let cached = log.between(Duration::from_secs(1), Duration::MAX);
        figures::record_milliseconds("storm: p50 of cached answers", cached.percentile(50.0));
        figures::record_milliseconds("storm: p99 of cached answers", cached.percentile(99.0));
        assert!(cached.percentile(99.0) < CACHED, "p99 of cached answers: {cached}");
    });
}
