//! Scenario 10: one pod loses 30 % of what it sends to the others, and nothing of what they send to it.

use std::time::Duration;

use bindproxy_tests::kubernetes::clients::{LDAP_PORT, Outcome, login};
use bindproxy_tests::kubernetes::extent::lasting;
use bindproxy_tests::kubernetes::network::Cuts;
use bindproxy_tests::kubernetes::{Clients, Upstream, alone_with_namespace, figures};
use bindproxy_tests::wait::{self, Stopwatch};

const LOSS: u32 = 30;
/// The bound for what one pod learned to be known by all. A lost packet is sent again after 0.2 s, 0.4 s, 0.8 s and so on;
/// six seconds of silence end a connection.
const SPREAD: Duration = Duration::from_secs(10);
/// The bound on whole membership after the loss ends.
const WHOLE: Duration = Duration::from_secs(10);
/// Of all looks at the membership, the share that must find it whole: a connection on which one packet is lost six times
/// in a row is made anew, about once a minute.
const STABLE: f64 = 0.7;

/// Nobody is taken for gone, no client notices, and what one learns the others know.
#[test]
fn a_lossy_network_leaves_the_membership_whole() {
    alone_with_namespace("lossy", |namespace| {
        if namespace.cluster().own_or_skip("the lossy network").is_none() {
            return;
        }
        let directory = Upstream::shared();
        let slapd = &directory.slapd;
        let proxies = namespace.three_connected(directory);
        let pods = proxies.pods();
        let person = slapd.add_user("lossy-person", "right");
        let logins = Clients::at(proxies.addresses(), &person, "right").count(3).start();

        let cuts = Cuts::none();
        for other in &pods[1..] {
            cuts.lose_towards(&pods[0], other, LOSS);
        }
        let lasts = lasting(Duration::from_secs(15), Duration::from_secs(60));
        let watch = Stopwatch::start();
        let (mut looks, mut whole, mut delays, mut learned) = (0_u32, 0_u32, Vec::new(), Vec::new());
        while watch.elapsed() < lasts || learned.len() < 30 {
            let name = slapd.add_user(&format!("lossy-{}", learned.len()), "right");
            let teller = learned.len() % pods.len();
            assert_eq!(login(pods[teller].address(LDAP_PORT), &name, "stale"), Outcome::Code(49));
            let known = (learned.len() + 1) as f64;
            let told = Stopwatch::start();
            for (number, pod) in pods.iter().enumerate().filter(|(number, _)| *number != teller) {
                wait::until_true(&format!("{pod} to hear of entry {known}"), SPREAD, || {
                    pod.metric("bindproxy_cache_entries", &[]) >= known
                });
                // From the lossy one, and to it.
                if teller == 0 || number == 0 {
                    delays.push(told.elapsed());
                }
            }
            learned.push(name);
            looks += 1;
            whole += u32::from(pods.iter().all(|pod| pod.peers("alive") == 2.0));
            assert!(pods.iter().all(|pod| pod.peers("left") == 0.0), "nobody said goodbye");
        }
        delays.sort_unstable();
        let share = f64::from(whole) / f64::from(looks);
        figures::record_milliseconds("30 % loss one way: p50 of propagation", delays[delays.len() / 2]);
        figures::record_milliseconds("30 % loss one way: p99 of propagation", delays[delays.len() * 99 / 100]);
        figures::record("30 % loss one way: looks that found the membership whole", share * 100.0, "%");
        assert!(share >= STABLE, "{whole} of {looks} looks found the membership whole");

        cuts.heal();
        wait::until_true("a whole membership", WHOLE, || {
            pods.iter().all(|pod| pod.peers("alive") == 2.0 && pod.peers("suspect") == 0.0)
        });
        for name in &learned {
            proxies.refused_everywhere(name, "stale");
            assert_eq!(slapd.binds(name), 1, "{name}: known by all before the next began");
        }
        proxies.condition("PeersConnected", "True");
        let logins = logins.stop();
        println!("{} passwords in {:?}; right: {logins}", learned.len(), watch.elapsed());
        logins.expect_only(0);
        let now = proxies.pods();
        assert!(now.iter().zip(&pods).all(|(now, before)| now.uid() == before.uid() && now.restarts() == 0));
    });
}
