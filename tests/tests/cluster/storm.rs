//! One stale password at several pods in the same moment.

use std::thread;
use std::time::Duration;

use bindproxy_tests::lab::Lab;
use bindproxy_tests::lab::device::{login, storm};
use bindproxy_tests::request::Change;

use crate::stage::{plan, slapd};

/// With leases the directory is asked once, wherever the device is let in.
#[test]
fn reaches_the_directory_once() {
    let lab = Lab::start(&plan(5));
    let dn = slapd().add_user("storm-lease", "right");
    let answers = storm(&lab.some(&[0, 1, 2]), &dn, "stale").expect(49);
    println!("480 binds over three pods: the slowest took {:?}", answers.slowest);
    assert_eq!(
        slapd().failures(&dn),
        1,
        "slapd's own counter after 480 binds over three pods; leases: {}",
        lab.leases()
    );
    assert_eq!(slapd().binds(&dn), 1);
    let _answers = storm(&lab.some(&[3, 4]), &dn, "stale").expect(49);
    assert_eq!(slapd().failures(&dn), 1, "and after 320 over the other two");
    assert_eq!(slapd().binds(&dn), 1);

    // A success clears slapd's counter, so from here on its log tells.
    thread::scope(|scope| {
        let owner = scope.spawn(|| lab.pods().iter().map(|pod| login(pod, &dn, "right").0).collect::<Vec<_>>());
        let _answers = storm(&lab.some(&[0, 1, 2, 3, 4]), &dn, "stale").expect(49);
        assert_eq!(owner.join().expect("the owner's thread"), [0; 5], "the owner logs in meanwhile, everywhere");
    });
    assert_eq!(slapd().binds(&dn), 6, "one failure and five logins");
    let leases: f64 = lab.pods().iter().map(|pod| pod.metric("bindproxy_lockout_attempts_prevented_total", &[])).sum();
    assert_eq!(leases, 480.0 + 320.0 + 800.0 - 1.0, "attempts prevented, over all pods");
}

/// Its owner changed the password at the directory, and every pod remembers the old one as right: with leases the old one
/// reaches the directory once, not once through each pod.
#[test]
fn of_what_was_right_until_now_reaches_the_directory_once() {
    let lab = Lab::start(&plan(3));
    let dns: Vec<String> = (0..6).map(|number| slapd().add_user(&format!("storm-changed-{number}"), "old")).collect();
    for dn in &dns {
        for pod in lab.pods() {
            assert_eq!(login(pod, dn, "old").0, 0);
        }
        slapd().modify(dn, &[(Change::Replace, "userPassword", &[b"new"])]);
    }
    // A password that was right within the last second needs no lease.
    std::thread::sleep(Duration::from_millis(1_100));
    for dn in &dns {
        let _answers = storm(&lab.some(&[0, 1, 2]), dn, "old").expect(49);
        assert_eq!((slapd().failures(dn), slapd().binds(dn)), (1, 4), "{dn}; leases: {}", lab.leases());
        assert_eq!(login(lab.pod(0), dn, "new").0, 0);
    }
}

/// Many names at once, so that every pod is the owner of some: each is asked about once.
#[test]
fn reaches_the_directory_once_for_each_of_many_names() {
    let lab = Lab::start(&plan(3));
    let dns: Vec<String> = (0..12).map(|number| slapd().add_user(&format!("storm-many-{number}"), "right")).collect();
    thread::scope(|scope| {
        for dn in &dns {
            let lab = &lab;
            scope.spawn(move || {
                for pod in lab.pods() {
                    assert_eq!(login(pod, dn, "stale").0, 49);
                }
            });
        }
    });
    for dn in &dns {
        assert_eq!((slapd().failures(dn), slapd().binds(dn)), (1, 1), "{dn}; leases: {}", lab.leases());
    }
}

/// Without leases each pod asks for itself what it has not heard of yet.
#[test]
fn reaches_the_directory_once_for_each_pod_without_leases() {
    let lab = Lab::start(&plan(3).coordination("Local"));
    let dn = slapd().add_user("storm-local", "right");
    // Three binds one after the other lock nothing: slapd locks at the third failure.
    let _answers = storm(&lab.some(&[0, 1, 2]), &dn, "stale");
    let asked = slapd().binds(&dn);
    println!("coordination Local: {asked} attempts of 480 binds over three pods");
    assert!((1..=3).contains(&asked), "{asked} attempts over three pods");
}
