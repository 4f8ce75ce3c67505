//! Peers that are not what they say hear nothing and are believed nothing.

use std::net::SocketAddr;
use std::time::Duration;

use bindproxy::bind::{Digest, Fact, FailureFact, NameKey, Origin, Stamp, Verdict};
use bindproxy::clock::Tick;
use bindproxy::cluster::message::{Message, Refusal};
use bindproxy_tests::certificates::Authority;
use bindproxy_tests::lab::Lab;
use bindproxy_tests::lab::device::login;
use bindproxy_tests::lab::impostor::{Impostor, Recorder, replay};
use bindproxy_tests::lab::plan::Discovery;
use bindproxy_tests::ldap::Frame;
use bindproxy_tests::wait;

use crate::stage::{SOON, plan, slapd};

/// Where the first impostor waits; the others on the ports after it.
pub(crate) const FIRST_PORT: u16 = 7950;

/// Two pods that also dial addresses of the test itself, where impostors may wait.
pub(crate) fn lab(impostors: u16) -> Lab {
    let mut lab = Lab::prepare(&plan(2).discovery(Discovery::Static));
    let mut list: Vec<SocketAddr> = lab.pods().iter().map(|pod| pod.cluster_address()).collect();
    list.extend((0..impostors).map(|number| lab.root(FIRST_PORT + number)));
    let list: Vec<String> = list.iter().map(|address| format!("\"{address}\"")).collect();
    for number in 0..2 {
        lab.pod_mut(number).set_discovery(&format!("{{static: [{}]}}", list.join(", ")));
    }
    lab.launch(&[0, 1]);
    lab.wait_until_whole(SOON);
    lab
}

fn rejected(lab: &Lab) -> f64 {
    lab.pods().iter().map(|pod| pod.metric("bindproxy_cluster_rejected_total", &[])).sum()
}

/// A failed bind of `count` names that nobody has, to be believed or not.
fn invented(count: u8, now: Tick) -> Message {
    // The shortest answer of a directory: invalidCredentials.
    let verdict = Verdict::from_octets(&[0x61, 7, 0x0A, 1, 49, 4, 0, 4, 0]).expect("a verdict");
    let facts = (0..count)
        .map(|number| {
            Fact::Failure(FailureFact {
                name: NameKey([number; 16]),
                digest: Digest([number; 16]),
                stamp: Stamp::new(now, Origin::new(7)),
                expires: now.after(std::time::Duration::from_secs(600)),
                level: 1,
                verdict: std::sync::Arc::new(verdict.clone()),
            })
        })
        .collect();
    Message::Facts { sent: now, facts }
}

struct Case {
    what: &'static str,
    impostor: Impostor,
    /// How it is counted when it dials; `None` for the one with which nothing is wrong. It shows that the
    /// others could have heard something.
    counted: Option<&'static str>,
}

fn cases(lab: &Lab, other_authority: &Authority) -> Vec<Case> {
    let cluster = &lab.credentials().cluster;
    let authority = &lab.credentials().authority;
    let ca = &authority.ca_file;
    let member = authority.member("genuine", cluster);
    let knowing = |identity, says: &str| Impostor::new(identity, ca, cluster, says).with_the_right_keys();
    vec![
        Case {
            what: "another authority",
            impostor: knowing(&other_authority.member("other-authority", cluster), cluster),
            counted: Some("auth"),
        },
        Case {
            what: "the right authority, another identity",
            impostor: knowing(&authority.member("other-identity", "lab/other"), cluster),
            counted: Some("identity"),
        },
        Case {
            what: "the right authority, no identity",
            impostor: knowing(&authority.client("no-identity", "a client"), cluster),
            counted: Some("identity"),
        },
        Case { what: "another cluster's name", impostor: knowing(&member, "lab/other"), counted: Some("cluster") },
        Case {
            what: "another hashing key",
            impostor: Impostor::new(&member, ca, cluster, cluster),
            counted: Some("key"),
        },
        Case { what: "nothing wrong", impostor: knowing(&member, cluster), counted: None },
    ]
}

/// Waits until both pods have greeted each other and the genuine one, which dials nobody back.
pub(crate) fn wait_until_dialled(lab: &Lab, limit: Duration) {
    wait::until_true("the genuine one to be told things", limit, || {
        lab.pods().iter().all(|pod| pod.links("out") >= 2.0)
    });
}

/// Each impostor dials a member that knows something, tells it something, and asks for everything.
/// Then all wait where members dial them, while the members learn something new.
#[test]
fn whoever_is_not_a_member_hears_nothing() {
    let lab = lab(6);
    let target = lab.pod(0).cluster_address();
    let other_authority = Authority::new(&lab.scratch().join("other-authority"));
    let before = slapd().add_user("forged-before", "right");
    assert_eq!(login(lab.pod(0), &before, "stale").0, 49);
    lab.wait_until_equal(1.0, SOON);

    let mut cases = cases(&lab, &other_authority);
    let greeting = cases.last().expect("the genuine one").impostor.dial(target, &[]);
    let greeting = greeting.hello().expect("a genuine member is greeted").clone();
    for Case { what, impostor, counted } in &mut cases {
        impostor.hello.now = greeting.now;
        if counted.is_none() {
            impostor.hello.keys = greeting.keys;
        }
        let count = |reason| lab.pod(0).metric("bindproxy_cluster_rejected_total", &[("reason", reason)]);
        let before = counted.map(count);
        let heard = impostor.dial(target, &[invented(5, greeting.now), Message::SnapshotRequest { cursor: 0 }]);
        println!(
            "{what}, dialling: {} messages, {} with knowledge, end {:?}",
            heard.messages.len(),
            heard.knowledge(),
            heard.end
        );
        assert_eq!(heard.knowledge() > 0, counted.is_none(), "{what}: {heard:?}");
        if let (Some(reason), Some(before)) = (*counted, before) {
            wait::until_true(&format!("{what} to be counted as {reason}"), SOON, || count(reason) > before);
            assert_eq!(lab.pod(0).entries(), 1.0, "{what} was believed");
        }
        if *counted == Some("cluster") {
            let refused = |message: &Message| matches!(message, Message::Refused(Refusal::OtherCluster));
            assert!(heard.messages.iter().any(refused), "{what}: {heard:?}");
        }
    }
    lab.wait_until_equal(6.0, SOON);

    let waiting: Vec<_> = cases
        .into_iter()
        .zip(FIRST_PORT..)
        .map(|(Case { what, impostor, counted }, port)| (what, counted, impostor.wait_at(lab.root(port))))
        .collect();
    for (what, _, waiting) in &waiting {
        wait::until_true(&format!("both pods to dial {what}"), SOON * 3, || waiting.connections() >= 2);
    }
    wait_until_dialled(&lab, SOON);
    let news = slapd().add_user("forged-news", "right");
    assert_eq!(login(lab.pod(0), &news, "stale").0, 49);
    wait::until_true("the news at the other pod", SOON, || lab.pod(1).entries() == 7.0);
    std::thread::sleep(std::time::Duration::from_secs(1));
    for (what, counted, waiting) in waiting {
        let connections = waiting.connections();
        let all = waiting.end();
        let knowledge: usize = all.iter().map(|heard| heard.knowledge()).sum();
        println!("{what}, waiting: {connections} connections, {knowledge} messages with knowledge");
        assert_eq!(knowledge > 0, counted.is_none(), "{what}: {all:?}");
    }
    assert_eq!(slapd().binds(&news), 1);
    for pod in lab.pods() {
        assert_eq!(pod.metric("bindproxy_panics_total", &[]), 0.0);
    }
}

/// The octets that a genuine member sent, sent again.
#[test]
fn a_replayed_connection_hears_nothing() {
    let lab = Lab::start(&plan(2));
    let cluster = lab.credentials().cluster.clone();
    let authority = &lab.credentials().authority;
    let member = authority.member("genuine", &cluster);
    let mut genuine = Impostor::new(&member, &authority.ca_file, &cluster, &cluster);
    let target = lab.pod(0).cluster_address();
    let greeted = genuine.dial(target, &[]);
    let hello = greeted.hello().expect("a genuine member is greeted");
    (genuine.hello.keys, genuine.hello.now) = (hello.keys, hello.now);
    let recorder = Recorder::before(target);
    let heard = genuine.dial(recorder.address, &[invented(3, hello.now), Message::SnapshotRequest { cursor: 0 }]);
    assert!(heard.knowledge() > 0, "the first time it is believed and answered: {heard:?}");
    lab.wait_until_equal(3.0, SOON);
    let recorded = recorder.recorded();
    assert!(recorded.len() > 1_000, "{} octets were recorded", recorded.len());
    let _flushed = lab.pod(0).flush_all();
    lab.wait_until_equal(0.0, SOON);

    let counted = rejected(&lab);
    let answer = replay(target, &recorded);
    println!("{} octets were replayed, {} came back", recorded.len(), answer.len());
    // A handshake's first flight, which nobody without the key of the first connection can read or go on from.
    assert!(answer.len() < 4_000, "{} octets came back", answer.len());
    wait::until_true("the replay to be counted", SOON, || rejected(&lab) > counted);
    std::thread::sleep(std::time::Duration::from_millis(500));
    for pod in lab.pods() {
        assert_eq!(pod.entries(), 0.0, "{} believed a replay", pod.name());
    }
    assert_eq!(lab.pod(0).peers("alive"), 1.0, "the other pod alone");
}

/// What is no greeting at all.
#[test]
fn noise_on_the_cluster_port() {
    let lab = Lab::start(&plan(2));
    let target = lab.pod(0).cluster_address();
    for octets in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 100], &[0xFF; 70_000], &[0x16, 3, 1, 0x40, 0]] {
        let answer = replay(target, octets);
        assert!(answer.len() < 100, "{}", answer.escape_ascii());
    }
    lab.wait_until_whole(SOON);
    let dn = slapd().add_user("noise", "right");
    let answer: Frame = lab.pod(0).endpoint().connect().ask(&bindproxy_tests::request::bind(&dn, "stale"));
    assert_eq!(answer.code(), 49);
    lab.wait_until_equal(1.0, SOON);
    assert_eq!(lab.pod(0).metric("bindproxy_panics_total", &[]), 0.0);
}
