//! Scenario 18: `kubectl scale` to 0 and back.

use std::net::TcpStream;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt as _;

use bindproxy_tests::kubernetes::clients::{LDAP_PORT, Outcome, login};
use bindproxy_tests::kubernetes::{Upstream, with_namespace};

const SOON: Duration = Duration::from_secs(60);

/// Switched off, it says so, keeps its Service with its address, and comes back as it was.
#[test]
fn switched_off_and_on() {
    with_namespace("scale-to-zero", |namespace| {
        let directory = Upstream::shared();
        let user = directory.slapd.add_user("scale-to-zero", "right");
        let spec = format!("replicas: 2\nupstreams: [{}]", directory.clear("dc1"));
        let proxies = namespace.bind_proxy("corp", &spec);
        proxies.ready();
        let service = proxies.service(389);
        let uid = |service: Service| service.uid();
        let before = namespace.get::<Service>("corp").and_then(uid);
        for pod in proxies.addresses() {
            assert_eq!(login(pod, &user, "stale"), Outcome::Code(49));
        }
        assert_eq!(login(service, &user, "right"), Outcome::Code(0));

        proxies.scale(0);
        proxies.reason("Ready", "False", "ScaledToZero");
        proxies.reason("Available", "False", "ScaledToZero");
        proxies.reason("Progressing", "False", "Complete");
        proxies.condition("Accepted", "True");
        proxies.until("the end of the pods", SOON, || proxies.pods().is_empty().then_some(()));
        proxies.until("a status without pods", SOON, || {
            let status = proxies.status();
            (status.replicas == 0 && status.ready_replicas == 0).then_some(())
        });
        assert_eq!(proxies.service(389), service, "the Service keeps its address");
        assert_eq!(namespace.get::<Service>("corp").and_then(uid), before);
        proxies.until("the end of the budget", SOON, || {
            namespace.get::<PodDisruptionBudget>("corp").is_none().then_some(())
        });
        // From outside the cluster that is a refusal, or silence where nobody sends one back.
        proxies.until("nobody to answer", SOON, || {
            TcpStream::connect_timeout(&service, Duration::from_secs(2)).err().map(|error| println!("{error}"))
        });
        let shown = namespace.kubectl(&["get", "bp"]).output;
        let row: Vec<&str> = shown.lines().nth(1).unwrap_or_default().split_whitespace().collect();
        assert_eq!(row[..5], ["corp", "False", "ScaledToZero", "0", "0"], "{shown}");

        proxies.scale(2);
        proxies.ready();
        assert_eq!(proxies.service(389), service);
        assert_eq!(namespace.get::<Service>("corp").and_then(uid), before);
        assert!(namespace.get::<PodDisruptionBudget>("corp").is_some());
        assert_eq!(login(service, &user, "right"), Outcome::Code(0));
        for pod in proxies.pods() {
            assert_eq!(login(pod.address(LDAP_PORT), &user, "stale"), Outcome::Code(49), "{pod}");
        }
        // Nobody was left who could remember.
        assert_eq!(directory.slapd.failures(&user), 1, "slapd's counter begins anew at a success");
        assert_eq!(directory.slapd.binds(&user), 4, "one failure and one login in each of its two lives");
    });
}
