//! Scenario 13: the operator is away, also in the middle of a rollout; it is killed; and of two, the other takes over.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use rustix::process::Signal;

use bindproxy_tests::kubernetes::cluster::ADMIN_PORT;
use bindproxy_tests::kubernetes::installation::{changed, holder, operators};
use bindproxy_tests::kubernetes::{Clients, Cluster, Namespace, Pod, Proxies, Upstream, alone_with_namespace, figures};
use bindproxy_tests::scrape;
use bindproxy_tests::wait::{self, Stopwatch};

/// The bound on a change of the one that works, when the lease has to run out.
const RUN_OUT: Duration = Duration::from_secs(20);
/// The same when it was given back: the other one looks every 2 s.
const GIVEN_BACK: Duration = Duration::from_secs(5);
/// For what the cluster does by itself: an end in order, a new pod, the next one.
const HEALED: Duration = Duration::from_secs(120);
/// The operator's first looks after a start.
const LOOKED: Duration = Duration::from_secs(60);

/// A rollout that began goes to its end without the operator, pods that die come back, clients notice nothing; and when the
/// operator returns it finds all as it should be and changes nothing.
#[test]
fn without_the_operator_everything_goes_on() {
    alone_with_namespace("operator-away", |namespace| {
        let cluster = namespace.cluster();
        let directory = Upstream::shared();
        let proxies = namespace.bind_proxy("corp", &format!("replicas: 2\nupstreams: [{}]", directory.clear("dc1")));
        proxies.ready();
        let first = uids(&proxies);
        let phone = directory.slapd.add_user("away-phone", "right");
        let person = directory.slapd.add_user("away-person", "right");
        let service = vec![proxies.service(389)];
        proxies.teach(&phone, "stale");
        let storm = Clients::at(service.clone(), &phone, "stale").count(10).connecting_anew().retrying().start();
        let logins = Clients::at(service, &person, "right").count(2).connecting_anew().retrying().start();
        storm.until(50);

        // Another template, and the operator goes while its first pod is on its way.
        let before = generation(namespace);
        proxies.patch("spec: {pod: {annotations: {example.org/round: second}}}");
        proxies.until("the rollout's beginning", HEALED, || (generation(namespace) > before).then_some(()));
        let away = changed(cluster, &["--set", "operator.replicas=0"]);
        wait::until_true("the operator's end", HEALED, || cluster.operator_pods().is_empty());
        assert_eq!(holder(), None, "an operator that ends in order gives the lease back");

        let second = proxies.until("two new pods without the operator", HEALED, || {
            let now = uids(&proxies);
            let renewed = now.len() == 2 && now.iter().all(|(name, uid)| first.get(name) != Some(uid));
            (renewed && proxies.pods().iter().all(Pod::ready)).then_some(now)
        });
        let gone = proxies.pod(1);
        gone.delete();
        let third = proxies.until("another pod without the operator", HEALED, || {
            let now = uids(&proxies);
            (now.len() == 2 && now != second && proxies.pods().iter().all(Pod::ready)).then_some(now)
        });
        let (generation_away, version) = (generation(namespace), revision(namespace));

        away.back();
        settled(cluster, &proxies);
        assert_eq!(generation(namespace), generation_away, "the returning operator changed the StatefulSet");
        assert_eq!(revision(namespace), version, "the returning operator began a rollout");
        assert_eq!(uids(&proxies), third, "the returning operator replaced pods");

        let (storm, logins) = (storm.stop(), logins.stop());
        println!("stale: {storm}\nright: {logins}");
        storm.expect_only(49);
        logins.expect_only(0);
        assert_eq!(directory.slapd.failures(&phone), 1, "slapd's own counter after {storm}");
        assert_eq!(directory.slapd.binds(&phone), 1, "binds in slapd's log after {storm}");
    });
}

/// A crash in the middle of a rollout: the container starts again, has the lease as before, and the rollout ends once.
#[test]
fn a_killed_operator_goes_on_where_it_was() {
    alone_with_namespace("operator-killed", |namespace| {
        let cluster = namespace.cluster();
        if cluster.own_or_skip("the killed operator").is_none() {
            return;
        }
        let directory = Upstream::shared();
        let proxies = namespace.bind_proxy("corp", &format!("replicas: 2\nupstreams: [{}]", directory.clear("dc1")));
        proxies.ready();
        let first = uids(&proxies);
        let before = generation(namespace);
        proxies.patch("spec: {pod: {annotations: {example.org/round: second}}}");
        proxies.until("the rollout's beginning", HEALED, || (generation(namespace) > before).then_some(()));
        let operator = operators(cluster).pop().expect("an operator");
        operator.signal(Signal::KILL);
        let watch = Stopwatch::start();
        wait::until_true("the operator's next start", LOOKED, || {
            operator.again().is_some_and(|again| again.restarts() > operator.restarts() && again.ready())
        });
        wait::until_true("the operator to work", LOOKED, || works(&operator));
        figures::record_seconds("operator: from SIGKILL to work, same pod", watch.elapsed());

        proxies.ready();
        proxies.condition("Progressing", "False");
        let second = uids(&proxies);
        assert!(second.iter().all(|(name, uid)| first.get(name) != Some(uid)), "{first:?} {second:?}");
        assert_eq!(generation(namespace), before + 1, "one change of the template is one change of the StatefulSet");
        settled(cluster, &proxies);
        assert_eq!(uids(&proxies), second, "the rollout is over");
        assert_eq!(generation(namespace), before + 1);
    });
}

/// Two operators: one works, the other waits. Whether the first is deleted at once or ends in order, the other works before
/// the bound, and never both. One that ends in order gives the lease back, so nobody waits until it runs out.
#[test]
fn the_other_operator_takes_over() {
    alone_with_namespace("operator-ha", |namespace| {
        let cluster = namespace.cluster();
        let directory = Upstream::shared();
        let proxies = namespace.bind_proxy("corp", &format!("replicas: 1\nupstreams: [{}]", directory.clear("dc1")));
        proxies.ready();
        let two = changed(cluster, &["--set", "operator.replicas=2"]);

        for (how, bound) in [("deleted at once", RUN_OUT), ("ended in order", GIVEN_BACK)] {
            let leader = wait::until("one of two that works", HEALED, || {
                let all = operators(cluster);
                let mut leaders = all.iter().filter(|pod| works(pod)).cloned();
                let leader = leaders.next()?;
                assert!(leaders.next().is_none(), "both work");
                (all.len() == 2 && all.iter().all(Pod::ready)).then_some(leader)
            });
            assert_eq!(holder(), Some(leader.name()));
            let watch = Stopwatch::start();
            if how == "deleted at once" {
                leader.delete_at_once()
            } else {
                leader.delete()
            }
            let next = wait::until(&format!("the other one to work after the first was {how}"), bound, || {
                operators(cluster).into_iter().find(|pod| pod.uid() != leader.uid() && works(pod))
            });
            figures::record_seconds(&format!("operator: lease moved after the leader was {how}"), watch.elapsed());
            assert_eq!(holder(), Some(next.name()));
            // It does not only hold a lease.
            proxies.patch(&format!("spec: {{service: {{annotations: {{example.org/how: {how}}}}}}}"));
            proxies.until("the change to arrive", LOOKED, || {
                let service: k8s_openapi::api::core::v1::Service = namespace.get("corp")?;
                let annotations = service.metadata.annotations.unwrap_or_default();
                annotations.get("example.org/how").is_some_and(|value| value == how).then_some(())
            });
        }
        two.back();
    });
}

fn works(operator: &Pod) -> bool {
    scrape::get_whole(operator.address(ADMIN_PORT), "/metrics")
        .and_then(|(_, text)| scrape::sum(&text, "bindproxy_operator_leader", &[]))
        .is_some_and(|leads| leads == 1.0)
}

/// The operator has looked at this BindProxy often enough since it started, and has told that all is well.
fn settled(cluster: &Cluster, proxies: &Proxies<'_>) {
    let looks = || {
        let operator = operators(cluster).pop()?;
        let (_, text) = scrape::get_whole(operator.address(ADMIN_PORT), "/metrics")?;
        scrape::sum(&text, "bindproxy_operator_reconciles_total", &[("result", "success")])
    };
    let seen = wait::until("an operator", LOOKED, looks);
    wait::until_true("looks at the BindProxy", LOOKED, || looks().is_some_and(|now| now >= seen + 3.0));
    proxies.ready();
    proxies.condition("Progressing", "False");
}

fn uids(proxies: &Proxies<'_>) -> BTreeMap<String, String> {
    proxies.pods().iter().map(|pod| (pod.name(), pod.uid())).collect()
}

fn stateful_set(namespace: &Namespace) -> StatefulSet {
    namespace.get("corp").expect("a StatefulSet")
}

fn generation(namespace: &Namespace) -> i64 {
    stateful_set(namespace).metadata.generation.unwrap_or_default()
}

fn revision(namespace: &Namespace) -> Option<String> {
    stateful_set(namespace).status.and_then(|status| status.update_revision)
}
