//! Scenario 1: many clients present one stale password to all pods, and the directory hears of it once.

use std::time::Duration;

use bindproxy_tests::kubernetes::{Clients, Upstream, alone_with_namespace, figures};

use crate::promise::counted_once;

/// The bound for 99 % of the answers from the cache, in seconds, as a bucket of the histogram has it.
const CACHED: &str = "0.005";

/// From the first octet of the storm on, over every pod and the Service: `slapd` counts one failure.
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
        counted_once(&proxies, &directory.slapd, &phone, &log);
        let prevented = proxies.metric("bindproxy_lockout_attempts_prevented_total", &[]);
        let asked = directory.slapd.binds(&phone);
        assert_eq!(prevented, (log.len() - asked) as f64, "attempts prevented, over all pods");

        // The first binds wait for the directory and for who may ask it; connecting is part of them too.
        let cached = log.between(Duration::from_secs(1), Duration::MAX);
        figures::record_milliseconds("storm: p50 of cached answers, as clients see it", cached.percentile(50.0));
        figures::record_milliseconds("storm: p99 of cached answers, as clients see it", cached.percentile(99.0));
        // Clients, pods and control plane share the CPUs of one machine, so the bound is held to what the pods measured.
        let answers = |bound: &[(&str, &str)]| {
            let name = if bound.len() > 2 { "bucket" } else { "count" };
            proxies.metric(&format!("bindproxy_request_duration_seconds_{name}"), bound)
        };
        let quick = answers(&[("op", "bind"), ("path", "cache"), ("le", CACHED)]);
        let share = quick / answers(&[("op", "bind"), ("path", "cache")]);
        figures::record("storm: cached answers within 5 ms, as pods see it", share * 100.0, "%");
        assert!(share >= 0.99, "{:.2} % of cached answers took less than {CACHED} s; {cached}", share * 100.0);
    });
}
