//! Scenario 3: a pod ends without a word while the directory takes its time over a bind.

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bindproxy::directory::{Behaviour, Entry, Match, Options};
use rustix::process::Signal;

use bindproxy_tests::kubernetes::clients::{LDAP_PORT, Outcome, login};
use bindproxy_tests::kubernetes::{Pod, cluster, figures, upstream, with_namespace};
use bindproxy_tests::wait::{self, Stopwatch};

const ALICE: &str = "uid=alice,ou=people,dc=example,dc=org";
const BOB: &str = "uid=bob,ou=people,dc=example,dc=org";
/// How long the directory takes over a bind.
const DELAY: Duration = Duration::from_secs(2);
/// Devices with a stale password that the victim alone was asked about.
const DEVICES: usize = 20;
const SOON: Duration = Duration::from_secs(30);

/// `kubectl delete pod --grace-period=0 --force`: its successor may come while it still ends.
#[test]
fn deleted_by_force() {
    a_pod_ends("forced-delete", |outcome| outcome != Outcome::TimedOut, Pod::delete_at_once);
}

/// A crash. The client's connection is reset, and the container starts again in the same pod.
#[test]
fn killed() {
    if cluster().own_or_skip("killed_mid_bind::killed").is_some() {
        a_pod_ends("killed", |outcome| outcome == Outcome::Ended, |pod| pod.signal(Signal::KILL));
    }
}

fn device(number: usize) -> String {
    format!("uid=device-{number},ou=people,dc=example,dc=org")
}

fn entries(pod: &Pod) -> f64 {
    pod.metric("bindproxy_cache_entries", &[])
}

fn login_aside(target: SocketAddr, name: &'static str, password: &'static str) -> JoinHandle<Outcome> {
    thread::spawn(move || login(target, name, password))
}

/// What the pod knew, the others know; a login that it held is good at another; and whoever comes in its place knows
/// everything before it is Ready.
fn a_pod_ends(test: &str, cut_short: impl Fn(Outcome) -> bool, end: impl Fn(&Pod)) {
    with_namespace(test, |namespace| {
        let mut options = Options::default();
        options.entries.extend((0..DEVICES).map(|n| Entry::person(&format!("device-{n}"), "A Device", "right")));
        let directory = upstream::scripted_with(options);
        let upstream = upstream::clear("dc1", directory.addr());
        let proxies = namespace.bind_proxy("corp", &format!("replicas: 3\nupstreams: [{upstream}]"));
        proxies.ready();
        let (survivor, victim) = (proxies.pod(0), proxies.pod(1));
        let [here, there] = [&survivor, &victim].map(|pod| pod.address(LDAP_PORT));
        for number in 0..DEVICES {
            assert_eq!(login(there, &device(number), "stale"), Outcome::Code(49), "device {number}");
        }

        directory.script(|script| {
            script.when(Match::bind(), Behaviour::Delay(DELAY));
        });
        let right = login_aside(there, ALICE, "alicepw");
        let stale = login_aside(there, BOB, "stale");
        wait::until_true("both binds to reach the directory", SOON, || {
            directory.binds(ALICE) == 1 && directory.binds(BOB) == 1
        });
        // It is made to wait for the verdict that the victim is about to get.
        let waiting = login_aside(here, BOB, "stale");

        let watch = Stopwatch::start();
        end(&victim);
        assert_eq!(login(here, ALICE, "alicepw"), Outcome::Code(0), "the owner tries again at another pod");
        assert_eq!(login(here, BOB, "stale"), Outcome::Code(49));
        let (right, stale) = (right.join().expect("a client"), stale.join().expect("a client"));
        println!("at the victim: the right password {right}, the stale one {stale}, after {:?}", watch.elapsed());
        assert_eq!(waiting.join().expect("a client"), Outcome::Code(49), "whoever waited for the victim's verdict");
        if right != Outcome::Code(0) {
            assert!(cut_short(right.clone()), "the right password at the victim: {right}");
        }
        if stale != Outcome::Code(49) {
            assert!(cut_short(stale.clone()), "the stale password at the victim: {stale}");
        }
        // A verdict that nobody lived to hear has to be asked for once more, and no more than that.
        let most = if stale == Outcome::Code(49) { 1 } else { 2 };
        assert!(directory.binds(BOB) <= most, "{} binds, {stale} at the victim", directory.binds(BOB));
        let learned = directory.binds(BOB);
        directory.script(bindproxy::directory::Script::clear);

        let others: Vec<SocketAddr> = [0, 2].map(|ordinal| proxies.pod(ordinal).address(LDAP_PORT)).to_vec();
        for (number, &other) in (0..DEVICES).flat_map(|number| others.iter().map(move |other| (number, other))) {
            assert_eq!(login(other, &device(number), "stale"), Outcome::Code(49), "device {number} at {other}");
        }
        let successor = proxies.until("another in its place, full before it is ready", SOON * 3, || {
            let pod = proxies.pods().into_iter().find(|pod| pod.ordinal() == 1)?;
            let anew = pod.uid() != victim.uid() || pod.restarts() > victim.restarts();
            if !anew || !pod.ready() {
                return None;
            }
            let entries = entries(&pod);
            assert!(entries >= DEVICES as f64, "{pod} is ready and knows {entries} of {DEVICES} failures");
            Some(pod)
        });
        figures::record_seconds(&format!("{test}: until another pod is ready in its place"), watch.elapsed());
        // The verdict on the bind in the middle of which it all happened may have come after the successor's snapshot.
        let watch = Stopwatch::start();
        wait::until_true("the successor to hear of what came after its snapshot", SOON, || {
            entries(&successor) == entries(&survivor)
        });
        figures::record_seconds(&format!("{test}: from ready to all that others know"), watch.elapsed());
        for number in 0..DEVICES {
            let outcome = login(successor.address(LDAP_PORT), &device(number), "stale");
            assert_eq!(outcome, Outcome::Code(49), "device {number}");
            assert_eq!(directory.binds(&device(number)), 1, "the directory hears of device {number} once");
        }
        assert_eq!(login(successor.address(LDAP_PORT), BOB, "stale"), Outcome::Code(49));
        assert_eq!(directory.binds(BOB), learned, "what was learned after the end stays learned");

        proxies.ready();
        proxies.condition("PeersConnected", "True");
    });
}
