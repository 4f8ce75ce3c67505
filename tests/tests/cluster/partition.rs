//! A network that falls apart between the pods, while clients and the directory reach all of them.

use std::time::Duration;

use bindproxy_tests::lab::Lab;
use bindproxy_tests::lab::device::{login, storm};
use bindproxy_tests::lab::pod::Pod;
use bindproxy_tests::wait::{self, Stopwatch};

use crate::stage::{plan, slapd};

/// The bound on convergence after a heal.
const CONVERGED: Duration = Duration::from_secs(10);
/// How soon a pod must see that others do not answer.
const NOTICED: Duration = Duration::from_secs(20);
/// How long somebody may wait who was told to wait for an identical attempt: `requestTimeoutSeconds`. When that
/// attempt's pod is not heard of any more it is over after some 6 s.
const WAITED: Duration = Duration::from_secs(10);
/// The lease deadline and a bind, with room for a machine that is busy with five proxies.
const BOUNDED: Duration = Duration::from_secs(2);

const LEFT: [usize; 2] = [0, 1];
const RIGHT: [usize; 3] = [2, 3, 4];

/// Whether it has given up all connections but those with so many others: of two with one member, one is lost first.
fn is_with(pod: &Pod, others: f64) -> bool {
    pod.peers("alive") == others && pod.links("in") == others && pod.links("out") == others
}

#[test]
fn both_sides_serve_and_become_one_again() {
    let lab = Lab::start(&plan(5));
    let watch = Stopwatch::start();
    lab.part(&LEFT, &RIGHT);
    // Before anybody has noticed: nobody hangs.
    let dn = slapd().add_user("parted-at-once", "right");
    for pod in lab.pods() {
        let (code, took) = login(pod, &dn, "right");
        assert_eq!(code, 0);
        assert!(took < BOUNDED, "{} took {took:?} for a right password just after the cut", pod.name());
    }
    for pod in lab.some(&LEFT) {
        wait::until_true("the left to see itself alone", NOTICED, || is_with(pod, 1.0));
    }
    for pod in lab.some(&RIGHT) {
        wait::until_true("the right to see itself alone", NOTICED, || is_with(pod, 2.0));
    }
    watch.report("the partition was noticed");

    let dn = slapd().add_user("parted", "right");
    std::thread::scope(|scope| {
        let left = scope.spawn(|| storm(&lab.some(&LEFT), &dn, "stale").expect(49));
        let right = storm(&lab.some(&RIGHT), &dn, "stale").expect(49);
        let left = left.join().expect("the left side's thread");
        println!("the slowest bind: {:?} on the left, {:?} on the right", left.slowest, right.slowest);
    });
    let asked = slapd().binds(&dn);
    assert!(asked <= 2, "{asked} attempts with two sides; leases: {}", lab.leases());
    assert_eq!(slapd().failures(&dn), asked);

    // Each side learns what the other does not know.
    for number in 0..20 {
        let dn = slapd().add_user(&format!("parted-{number}"), "right");
        let pod = if number % 2 == 0 { lab.pod(0) } else { lab.pod(4) };
        assert_eq!(login(pod, &dn, "stale").0, 49);
    }
    lab.network().heal();
    let watch = Stopwatch::start();
    let entries = lab.wait_until_equal(21.0, CONVERGED);
    watch.report(&format!("converged on {entries} entries after the heal"));
    lab.wait_until_whole(CONVERGED);
    for number in 0..20 {
        let dn = bindproxy_tests::slapd::Slapd::dn(&format!("parted-{number}"));
        for pod in lab.pods() {
            assert_eq!(login(pod, &dn, "stale").0, 49);
        }
        assert_eq!(slapd().binds(&dn), 1, "{dn}");
    }

    loss_in_one_direction(&lab);
}

/// One pod hears everybody and is heard by nobody; then the other way round.
fn loss_in_one_direction(lab: &Lab) {
    const OTHERS: [usize; 4] = [1, 2, 3, 4];
    for (case, (from, to)) in [(&[0][..], &OTHERS[..]), (&OTHERS[..], &[0][..])].into_iter().enumerate() {
        let before = lab.wait_until_equal(0.0, CONVERGED);
        lab.network().cut(from, to);
        for number in 0..6 {
            let dn = slapd().add_user(&format!("one-way-{case}-{number}"), "right");
            for pod in [lab.pod(0), lab.pod(1), lab.pod(0)] {
                let (code, took) = login(pod, &dn, "stale");
                assert_eq!(code, 49);
                assert!(took < WAITED, "{} took {took:?} while one direction was lost", pod.name());
                if took > BOUNDED {
                    println!("{} took {took:?} for a stale password while one direction was lost", pod.name());
                }
            }
            let asked = slapd().binds(&dn);
            assert!((1..=2).contains(&asked), "{asked} attempts for {dn}");
            let (code, took) = login(lab.pod(0), &dn, "right");
            assert_eq!(code, 0);
            assert!(took < BOUNDED, "{took:?} for a right password");
        }
        // Connections need both directions, so after a while everybody knows.
        wait::until_true("the pod to see itself alone", NOTICED, || is_with(lab.pod(0), 0.0));
        for pod in lab.some(&OTHERS) {
            wait::until_true("the others to see themselves alone", NOTICED, || is_with(pod, 3.0));
        }
        let (code, took) = login(lab.pod(0), &slapd().add_user(&format!("one-way-late-{case}"), "right"), "stale");
        assert_eq!(code, 49);
        assert!(took < BOUNDED, "{took:?} after it was noticed");
        lab.network().heal();
        let watch = Stopwatch::start();
        lab.wait_until_equal(before + 7.0, CONVERGED);
        lab.wait_until_whole(CONVERGED);
        watch.report("converged after the loss of one direction");
    }
}
