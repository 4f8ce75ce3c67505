//! From `kubectl apply` of a BindProxy to a service that answers, as the quick start in README.md has it.

use std::time::Duration;

use bindproxy_tests::kubernetes::clients::{Outcome, login};
use bindproxy_tests::kubernetes::{Upstream, alone_with_namespace, figures};
use bindproxy_tests::wait::Stopwatch;

/// With the images on the nodes; CPUs are shared with whatever runs beside it.
const TARGET: Duration = Duration::from_secs(15);

/// Three pods within the target, every condition as a person would like it, and a login through the Service.
#[test]
fn three_replicas_from_apply_to_ready() {
    // Alone, because it measures.
    alone_with_namespace("quick-start", |namespace| {
        let directory = Upstream::shared();
        let user = directory.slapd.add_user("quick-start", "right");
        let watch = Stopwatch::start();
        let proxies = namespace.bind_proxy("corp", &format!("upstreams: [{}]", directory.clear("dc1")));
        proxies.ready();
        let took = watch.elapsed();
        figures::record_seconds("quick start: from apply to Ready, 3 replicas", took);
        assert_eq!(login(proxies.service(389), &user, "right"), Outcome::Code(0));

        for condition in ["Accepted", "Available", "ConfigApplied", "UpstreamsHealthy", "PeersConnected"] {
            proxies.condition(condition, "True");
        }
        proxies.condition("Progressing", "False");
        let status = proxies.status();
        assert_eq!((status.replicas, status.ready_replicas), (3, 3));
        assert_eq!(status.upstream_summary.as_deref(), Some("1/1"));
        let expected = format!("ldap://corp.{}.svc:389", namespace.name());
        assert_eq!(status.endpoints, [expected]);

        let shown = namespace.kubectl(&["get", "bp"]).output;
        let row: Vec<&str> = shown.lines().nth(1).unwrap_or_default().split_whitespace().collect();
        assert_eq!(row[..6], ["corp", "True", "Ready", "3", "3", "1/1"], "{shown}");
        assert!(took <= TARGET, "from apply to Ready: {took:?}, the target is {TARGET:?}");
    });
}
