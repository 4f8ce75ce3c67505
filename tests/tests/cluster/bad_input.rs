//! Input that makes no sense, and machines that have run out of something: the proxy serves, says what
//! is wrong, and gives no wrong answer.
//!
//! Clocks that are apart are the simulation's business: all pods here have the clock of one machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use bindproxy_tests::lab::device::login;
use bindproxy_tests::lab::plan::Discovery;
use bindproxy_tests::lab::pod::Pod;
use bindproxy_tests::lab::{Lab, PEERS};
use bindproxy_tests::wait::{self, Stopwatch};

use crate::stage::{SOON, plan, slapd};

/// The join gives up after 10 s.
const JOIN: Duration = Duration::from_secs(20);

/// A pod without a cluster is a proxy all the same.
fn serves_alone(pod: &Pod, uid: &str) {
    let dn = slapd().add_user(uid, "right");
    assert_eq!(login(pod, &dn, "right").0, 0);
    for _ in 0..3 {
        let (code, took) = login(pod, &dn, "stale");
        assert_eq!(code, 49);
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
    assert_eq!(slapd().binds(&dn), 2);
    assert_eq!(pod.peers("alive"), 0.0);
    assert_eq!(pod.metric("bindproxy_panics_total", &[]), 0.0);
}

#[test]
fn a_name_that_does_not_exist() {
    let mut lab = Lab::prepare(&plan(2).discovery(Discovery::Dns));
    let watch = Stopwatch::start();
    lab.launch(&[0]);
    watch.report("ready although the name does not exist");
    assert!(watch.elapsed() < JOIN);
    serves_alone(lab.pod(0), "no-such-name");
    let log = lab.pod(0).log();
    assert!(log.contains(PEERS), "the log does not name the name:\n{log}");
    // It comes into being, and so does the cluster.
    lab.announce(&[0, 1]);
    lab.launch(&[1]);
    lab.wait_until_whole(Duration::from_secs(30));
    assert_eq!(lab.pod(0).peers("alive"), 1.0);
}

#[test]
fn five_thousand_addresses() {
    let mut lab = Lab::prepare(&plan(2).discovery(Discovery::Dns));
    // An answer has room for 4,000 addresses of one kind. All of them lie where nobody is.
    let four = (0..4_000_u32).map(|n| IpAddr::V4(Ipv4Addr::from_bits(0xC612_F000 + n)));
    let six = (0..1_000_u128).map(|n| IpAddr::V6(Ipv6Addr::from_bits((0x2001_0DB8 << 96) + n)));
    lab.names().set_addresses(PEERS, four.chain(six).collect());
    let watch = Stopwatch::start();
    lab.launch(&[0]);
    watch.report("ready although DNS answers 5,000 addresses");
    assert!(watch.elapsed() < JOIN);
    serves_alone(lab.pod(0), "five-thousand");
    let files = std::fs::read_dir(format!("/proc/{}/fd", lab.pod(0).process().id())).expect("its files").count();
    assert!(files < 1_000, "{files} files are open");
    let memory = lab.pod(0).process().resident_bytes();
    assert!(memory < 200 << 20, "{memory} octets of memory");
    let log = lab.pod(0).log();
    assert!(log.len() < 200_000, "the log is {} octets long", log.len());
    // Back to something sensible.
    lab.announce(&[0, 1]);
    lab.launch(&[1]);
    lab.wait_until_whole(Duration::from_secs(30));
}

#[test]
fn a_list_that_names_the_node_itself_and_nobody_else() {
    let mut lab = Lab::prepare(&plan(1));
    let watch = Stopwatch::start();
    lab.launch(&[0]);
    watch.report("ready with a list that names only itself");
    assert!(watch.elapsed() < Duration::from_secs(5), "{:?}", watch.elapsed());
    serves_alone(lab.pod(0), "only-itself");
    assert_eq!(lab.pod(0).peers("suspect"), 0.0);
}

#[test]
fn a_certificate_whose_time_is_over() {
    let mut lab = Lab::prepare(&plan(3));
    let expired = lab.credentials().authority.expired_member("expired", &lab.credentials().cluster);
    lab.pod(2).set_identity(&expired);
    lab.pod_mut(0).spawn();
    lab.pod_mut(1).spawn();
    lab.pod_mut(2).spawn();
    for number in 0..2 {
        lab.pod_mut(number).wait_until_ready(JOIN);
        wait::until_true("the two good ones to meet", SOON, || lab.pod(number).peers("alive") == 1.0);
        wait::until_true("the expired one to be counted", SOON, || {
            lab.pod(number).metric("bindproxy_cluster_rejected_total", &[]) > 0.0
        });
    }
    // The one with the expired certificate serves without a cluster.
    lab.pod_mut(2).wait_until_ready(JOIN);
    serves_alone(lab.pod(2), "expired");
    let log = lab.pod(2).log();
    assert!(log.to_lowercase().contains("expired"), "the log does not say what is wrong:\n{log}");
    // A new certificate heals it without a restart.
    let good = lab.credentials().authority.member("renewed", &lab.credentials().cluster);
    lab.pod(2).set_identity(&good);
    lab.pod(2).reload();
    lab.wait_until_whole(SOON);
    assert_eq!(lab.pod(0).peers("alive"), 2.0);
    // Whoever refused it tells it what is new, as soon as it is a member.
    let dn = slapd().add_user("renewed", "right");
    assert_eq!(login(lab.pod(0), &dn, "stale").0, 49);
    wait::until_true("the news at the pod with the new certificate", SOON, || {
        lab.pod(2).entries() == lab.pod(0).entries()
    });
}

/// Clients take all descriptors of one pod: it and the others go on giving right answers.
#[test]
fn no_descriptors_left() {
    let mut lab = Lab::prepare(&plan(2));
    lab.pod_mut(1).set_wrapper(&["prlimit", "--nofile=64:64"]);
    lab.launch(&[0, 1]);
    lab.wait_until_whole(SOON);
    let dn = slapd().add_user("descriptors", "right");
    let crowd: Vec<_> = (0..80).filter_map(|_| lab.pod(1).endpoint().try_connect().ok()).collect();
    for number in 0..6 {
        let dn = slapd().add_user(&format!("descriptors-{number}"), "right");
        let (code, took) = login(lab.pod(0), &dn, "stale");
        assert_eq!(code, 49);
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert_eq!(login(lab.pod(0), &dn, "right").0, 0);
    }
    drop(crowd);
    wait::until_true("the pod to answer again", Duration::from_secs(20), || {
        lab.pod(1).endpoint().try_connect().is_ok_and(|mut connection| connection.bind(&dn, "right") == 0)
    });
    lab.wait_until_whole(Duration::from_secs(30));
    lab.wait_until_equal(6.0, SOON);
    for number in 0..6 {
        let dn = bindproxy_tests::slapd::Slapd::dn(&format!("descriptors-{number}"));
        assert_eq!(login(lab.pod(1), &dn, "stale").0, 49);
        assert_eq!(slapd().binds(&dn), 2);
    }
}
