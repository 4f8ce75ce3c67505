//! Scenario 9: the network between the pods falls apart, two on one side and one on the other, while clients, the directory
//! and the operator reach all of them.

use std::time::Duration;

use bindproxy_tests::kubernetes::clients::{LDAP_PORT, Outcome, login};
use bindproxy_tests::kubernetes::extent::lasting;
use bindproxy_tests::kubernetes::network::Cuts;
use bindproxy_tests::kubernetes::{Clients, Pod, Upstream, alone_with_namespace, figures};
use bindproxy_tests::wait::{self, Stopwatch};

/// How soon the operator must tell: silence between pods, and its next look.
const TOLD: Duration = Duration::from_secs(40);
/// The bound on convergence after a heal.
const CONVERGED: Duration = Duration::from_secs(10);
/// The bound on a right password just after the cut, when nobody has noticed it. The directory itself needs milliseconds.
const BOUNDED: Duration = Duration::from_secs(3);
/// Passwords that only one side learns of.
const ONE_SIDED: usize = 10;

/// Both sides serve all the time; what was known stays known on both; a new stale password costs one attempt a side; and
/// what each side learned, all know within ten seconds of the heal.
#[test]
fn both_sides_serve_and_become_one_again() {
    alone_with_namespace("partition", |namespace| {
        if namespace.cluster().own_or_skip("the partition").is_none() {
            return;
        }
        let directory = Upstream::shared();
        let slapd = &directory.slapd;
        let proxies = namespace.three_connected(directory);
        let pods = proxies.pods();
        let everywhere = proxies.addresses();
        assert_eq!(everywhere.len(), 3);

        let known = slapd.add_user("parted-known", "right");
        let person = slapd.add_user("parted-person", "right");
        proxies.teach(&known, "stale");
        let storm = Clients::at(everywhere.clone(), &known, "stale").count(15).start();
        let logins = Clients::at(everywhere.clone(), &person, "right").count(3).start();
        storm.until(100);
        assert_eq!(slapd.failures(&known), 1, "before the cut");

        let watch = Stopwatch::start();
        let cuts = Cuts::none();
        cuts.partition(&[&pods[0], &pods[1]], &[&pods[2]]);
        // Before anybody has noticed: nobody hangs.
        let at_once = slapd.add_user("parted-at-once", "right");
        for &pod in &everywhere {
            let took = Stopwatch::start();
            assert_eq!(login(pod, &at_once, "right"), Outcome::Code(0), "just after the cut, at {pod}");
            assert!(took.elapsed() < BOUNDED, "{pod} took {:?} for a right password", took.elapsed());
        }
        let told = proxies.condition_within("PeersConnected", "False", Some("Partitioned"), TOLD);
        figures::record_seconds("partition: until PeersConnected=False", watch.elapsed());
        assert!(told.message.contains("corp-2"), "who is apart: {}", told.message);
        for (pod, peers) in [(&pods[0], 1.0), (&pods[1], 1.0), (&pods[2], 0.0)] {
            assert_eq!(pod.peers("alive"), peers, "peers of {pod}");
        }
        assert!(proxies.pods().iter().all(Pod::ready), "both sides serve, so both are ready");

        let apart = slapd.add_user("parted", "right");
        for pod in [&pods[0], &pods[2]] {
            assert_eq!(login(pod.address(LDAP_PORT), &apart, "stale"), Outcome::Code(49), "{pod}");
        }
        wait::until_true("the left side to agree", CONVERGED, || {
            pods[..2].iter().all(|pod| pod.metric("bindproxy_cache_entries", &[]) == 2.0)
        });
        let both = Clients::at(everywhere.clone(), &apart, "stale").count(15).start();
        both.until(300);
        let both = both.stop();
        both.expect_only(49);
        let asked = slapd.binds(&apart);
        assert_eq!(asked, 2, "once on each side; {both}");
        assert_eq!(slapd.failures(&apart), 2);
        // Each side learns what the other does not know.
        let learned: Vec<String> =
            (0..ONE_SIDED).map(|number| slapd.add_user(&format!("parted-{number}"), "right")).collect();
        for (number, name) in learned.iter().enumerate() {
            let pod = pods[if number % 2 == 0 { 0 } else { 2 }].address(LDAP_PORT);
            assert_eq!(login(pod, name, "stale"), Outcome::Code(49));
        }
        let left = lasting(Duration::from_secs(20), Duration::from_secs(60)).saturating_sub(watch.elapsed());
        // Not a wait for something: the partition lasts so long.
        std::thread::sleep(left);

        cuts.heal();
        let watch = Stopwatch::start();
        let known_by_all = (1 + 1 + ONE_SIDED) as f64;
        wait::until_true("all pods to know everything and everybody", CONVERGED, || {
            pods.iter().all(|pod| {
                pod.peers("alive") == 2.0
                    && pod.metric("bindproxy_cluster_peers", &[]) == 2.0
                    && pod.metric("bindproxy_cache_entries", &[]) == known_by_all
            })
        });
        figures::record_seconds("partition: until converged after the heal", watch.elapsed());
        for name in &learned {
            proxies.refused_everywhere(name, "stale");
            assert_eq!(slapd.binds(name), 1, "{name}");
        }
        proxies.condition_within("PeersConnected", "True", Some("Connected"), TOLD);

        let (storm, logins) = (storm.stop(), logins.stop());
        println!("stale: {storm}\nright: {logins}");
        storm.expect_only(49);
        logins.expect_only(0);
        assert_eq!(slapd.failures(&known), 1, "slapd's own counter after {storm}");
        assert_eq!(slapd.binds(&known), 1, "binds in slapd's log after {storm}");
        let now = proxies.pods();
        assert!(now.iter().zip(&pods).all(|(now, before)| now.uid() == before.uid() && now.restarts() == 0));
    });
}
