//! Scenario 19: a node is drained under load.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};

use bindproxy_tests::kubernetes::nodes::{drain, spread};
use bindproxy_tests::kubernetes::{Clients, Pod, Upstream, alone_with_namespace, figures};
use bindproxy_tests::wait::Stopwatch;

/// Unlike that of any other test, since a drain goes over all namespaces.
const NAME: &str = "drained";
/// For as many pods as a node has here, one after the other.
const SECONDS: u32 = 150;

/// The budget lets one pod go at a time, each is replaced on the other node, clients notice nothing; and pods spread again
/// once the node is back.
#[test]
fn a_drained_node_gives_its_pods_away_one_by_one() {
    alone_with_namespace("drain", |namespace| {
        let cluster = namespace.cluster();
        let nodes: Api<Node> = Api::all(cluster.client());
        let nodes = cluster.ask(nodes.list(&ListParams::default())).expect("list nodes").items.len();
        if nodes < 2 {
            println!("the drained node is left out: there is one node only");
            return;
        }
        let directory = Upstream::shared();
        let proxies = namespace.bind_proxy(NAME, &format!("replicas: 4\nupstreams: [{}]", directory.clear("dc1")));
        proxies.ready();
        let before = spread(&proxies.pods());
        assert!(before.values().max().unwrap_or(&4) - before.values().min().unwrap_or(&0) <= 1, "{before:?}");
        assert!(before.len() >= 2, "all pods on one node of {nodes}: {before:?}");
        let phone = directory.slapd.add_user("drained-phone", "right");
        let person = directory.slapd.add_user("drained-person", "right");
        let service = vec![proxies.service(389)];
        proxies.teach(&phone, "stale");
        let storm = Clients::at(service.clone(), &phone, "stale").count(10).connecting_anew().retrying().start();
        let logins = Clients::at(service, &person, "right").count(2).connecting_anew().retrying().start();
        storm.until(50);

        let (node, going) = before.iter().next().expect("a node");
        let selector = format!("app.kubernetes.io/instance={NAME}");
        let watch = Stopwatch::start();
        let (over, fewest) = (AtomicBool::new(false), AtomicUsize::new(usize::MAX));
        let emptied = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    fewest.fetch_min(proxies.pods().iter().filter(|pod| pod.ready()).count(), Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
            let emptied = drain(node, &selector, SECONDS);
            over.store(true, Ordering::Relaxed);
            emptied
        });
        assert!(emptied.answer.done, "kubectl drain: {}{}", emptied.answer.output, emptied.answer.errors);
        figures::record_seconds(&format!("drain of a node with {going} of 4 pods"), watch.elapsed());
        let refused = emptied.answer.errors.matches("disruption budget").count();
        println!(
            "{} pods were ready at the fewest; {refused} evictions were refused for now",
            fewest.load(Ordering::Relaxed)
        );
        assert_eq!(fewest.load(Ordering::Relaxed), 3, "one at a time, and at least one did go");
        assert!(refused > 0, "nothing had to wait for the budget:\n{}", emptied.answer.errors);
        proxies.ready();
        let on_others = spread(&proxies.pods());
        assert!(!on_others.contains_key(node), "{on_others:?} after {node} was drained");

        drop(emptied);
        // Pods do not move by themselves; those that are made anew go where there are fewest.
        for ordinal in 0..*going {
            let pod = proxies.pod(u32::try_from(ordinal).expect("a small number"));
            pod.delete();
            proxies.until("another pod", Duration::from_secs(120), || {
                let pods = proxies.pods();
                let renewed = pods.len() == 4 && pods.iter().all(|now| now.uid() != pod.uid());
                (renewed && pods.iter().all(Pod::ready)).then_some(())
            });
        }
        let after = spread(&proxies.pods());
        assert_eq!(after.get(node), Some(going), "{before:?} before, {after:?} after the node came back");

        let (storm, logins) = (storm.stop(), logins.stop());
        println!("stale: {storm}\nright: {logins}");
        storm.expect_only(49);
        logins.expect_only(0);
        assert_eq!(directory.slapd.failures(&phone), 1, "slapd's own counter after {storm}");
        assert_eq!(directory.slapd.binds(&phone), 1, "binds in slapd's log after {storm}");
    });
}
