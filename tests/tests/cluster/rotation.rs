//! Keys and certificates are replaced while the cluster works.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bindproxy_tests::certificates::Authority;
use bindproxy_tests::lab::Lab;
use bindproxy_tests::lab::credentials::new_hash_key;
use bindproxy_tests::lab::device::login;

use crate::stage::{SOON, plan, slapd};

const NAMES: usize = 10;

/// Devices go on all over the roll: those that were known before it and those that come during it.
#[test]
fn the_hashing_key_is_rotated_under_load() {
    let mut lab = Lab::start(&plan(3));
    let names: Vec<String> = (0..NAMES).map(|n| slapd().add_user(&format!("rehashed-{n}"), "right")).collect();
    for (number, name) in names.iter().enumerate() {
        assert_eq!(login(lab.pod(number % 3), name, "stale").0, 49);
    }
    lab.wait_until_equal(NAMES as f64, SOON);
    let new = new_hash_key();
    let over = AtomicBool::new(false);
    let endpoints: Vec<_> = lab.pods().iter().map(|pod| pod.endpoint()).collect();
    thread::scope(|scope| {
        for device in 0..4 {
            let (names, over, endpoints) = (&names, &over, &endpoints);
            scope.spawn(move || {
                let mut round = device;
                while !over.load(Ordering::Relaxed) {
                    round += 1;
                    let code = endpoints[round % 3].connect().bind(&names[round % names.len()], "stale");
                    assert_eq!(code, 49);
                    thread::sleep(Duration::from_millis(10));
                }
            });
        }
        for number in 0..3 {
            lab.pod_mut(number).rotate_hash_key(&new);
            lab.pod(number).reload();
            // What is new between two reloads is shared by pods with different current keys.
            let late = slapd().add_user(&format!("rehashed-late-{number}"), "right");
            for pod in [2, 0, 1, 2] {
                assert_eq!(login(lab.pod(pod), &late, "stale").0, 49);
            }
            assert_eq!((slapd().failures(&late), slapd().binds(&late)), (1, 1), "{late}");
            lab.wait_until_whole(SOON);
        }
        over.store(true, Ordering::Relaxed);
    });
    for name in &names {
        assert_eq!((slapd().failures(name), slapd().binds(name)), (1, 1), "{name}");
    }
    for pod in lab.pods() {
        assert_eq!(pod.metric("bindproxy_cluster_rejected_total", &[]), 0.0, "{}", pod.name());
    }
}

/// Two generations of the authority; then new certificates; then only the new authority.
#[test]
fn the_authority_is_rotated() {
    let mut lab = Lab::start(&plan(3));
    let old = std::fs::read(&lab.credentials().authority.ca_file).expect("read the authority");
    let authority = Authority::new(&lab.scratch().join("second-authority"));
    let new = std::fs::read(&authority.ca_file).expect("read the second authority");
    let both = [&old[..], b"\n", &new[..]].concat();
    let mut known = 0;
    let mut works = |lab: &Lab, step: &str| {
        lab.wait_until_whole(SOON);
        known += 1;
        let dn = slapd().add_user(&format!("resigned-{known}"), "right");
        assert_eq!(login(lab.pod(known % 3), &dn, "stale").0, 49);
        lab.wait_until_equal(known as f64, SOON);
        for pod in lab.pods() {
            assert_eq!(login(pod, &dn, "stale").0, 49);
        }
        assert_eq!(slapd().binds(&dn), 1, "{step}");
    };
    works(&lab, "before");
    for pod in lab.pods() {
        pod.put("ca.pem", &both);
        pod.reload();
    }
    works(&lab, "both authorities");
    let cluster = lab.credentials().cluster.clone();
    for pod in lab.pods() {
        pod.set_identity(&authority.member(&format!("second-{}", pod.name()), &cluster));
        pod.reload();
    }
    works(&lab, "new certificates");
    for pod in lab.pods() {
        pod.put("ca.pem", &new);
        pod.reload();
    }
    works(&lab, "only the new authority");
    // What is connected might have outlived everything: a new connection shows what is accepted now.
    lab.pod_mut(0).kill();
    lab.pod_mut(0).start();
    works(&lab, "a new start");
    // And the old authority's certificates are worth nothing any more.
    let stale = lab.credentials().authority.member("stale", &cluster);
    lab.pod_mut(1).kill();
    lab.pod(1).set_identity(&stale);
    // With its own new authority it would not even start: `check` says that others would refuse it.
    lab.pod(1).put("ca.pem", &both);
    lab.pod_mut(1).start();
    for number in [0, 2] {
        bindproxy_tests::wait::until_true("the old certificate to be refused", SOON, || {
            lab.pod(number).metric("bindproxy_cluster_rejected_total", &[]) > 0.0
        });
        assert_eq!(lab.pod(number).peers("alive"), 1.0);
    }
    assert_eq!(lab.pod(1).peers("alive"), 0.0);
}
