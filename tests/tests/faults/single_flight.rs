//! Identical binds in flight reach the directory once.

use std::thread;
use std::time::Duration;

use bindproxy::directory::{Behaviour, Match};
use bindproxy_tests::ldap::Endpoint;
use bindproxy_tests::stale_device::{hammer_expecting, login};

use crate::stage::{ALICE, ALICE_PASSWORD, stage};

const CLIENTS: usize = 16;

/// The answers to [`CLIENTS`] binds at the same time.
fn together(front: &Endpoint, name: &str, password: &str) -> Vec<u32> {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| login(front, name, password))).collect();
        clients.into_iter().map(|client| client.join().expect("a client's thread")).collect()
    })
}

#[test]
fn a_wrong_password() {
    let (directory, proxy) = stage();
    directory.script(|script| {
        script.when(Match::bind(), Behaviour::Delay(Duration::from_millis(300)));
    });
    assert_eq!(together(&proxy.endpoint(), ALICE, "stale"), [49; CLIENTS]);
    assert_eq!(directory.binds(ALICE), 1);
    hammer_expecting(49, &proxy.endpoint(), ALICE, "stale");
    assert_eq!(directory.binds(ALICE), 1);
}

/// Each client needs a bound connection of its own.
#[test]
fn the_right_password() {
    let (directory, proxy) = stage();
    directory.script(|script| {
        script.when(Match::bind(), Behaviour::Delay(Duration::from_millis(100)));
    });
    assert_eq!(together(&proxy.endpoint(), ALICE, ALICE_PASSWORD), [0; CLIENTS]);
    assert_eq!(directory.binds(ALICE), CLIENTS as u64);
}

/// The one that asks is lost: the waiters are let go one at a time, and the first answer serves the
/// rest.
#[test]
fn a_fault_of_the_first_does_not_release_all_waiters() {
    for behaviour in [Behaviour::Reset { evaluated: false }, Behaviour::Silence { evaluated: false }] {
        let (directory, proxy) = stage();
        directory.script(|script| {
            script.times(1, Match::bind(), behaviour.clone());
            script.when(Match::bind(), Behaviour::Delay(Duration::from_millis(300)));
        });
        let answers = together(&proxy.endpoint(), ALICE, "stale");
        let unavailable = answers.iter().filter(|&&code| code == 52).count();
        let wrong = answers.iter().filter(|&&code| code == 49).count();
        assert_eq!(unavailable + wrong, CLIENTS, "{answers:?}");
        assert!(unavailable >= 1, "{answers:?}");
        assert!(directory.binds(ALICE) <= 2, "{behaviour:?}: {} binds", directory.binds(ALICE));
        assert_eq!(login(&proxy.endpoint(), ALICE, ALICE_PASSWORD), 0);
    }
}

/// Different passwords do not wait for each other.
#[test]
fn different_passwords_do_not_wait_for_each_other() {
    let (directory, proxy) = stage();
    directory.script(|script| {
        script.when(Match::bind().with_password("slow"), Behaviour::Delay(Duration::from_millis(800)));
    });
    thread::scope(|scope| {
        let slow = scope.spawn(|| login(&proxy.endpoint(), ALICE, "slow"));
        crate::stage::received(&directory, ALICE, 1);
        for _ in 0..5 {
            assert_eq!(login(&proxy.endpoint(), ALICE, ALICE_PASSWORD), 0);
        }
        assert!(!slow.is_finished(), "the slow bind is still on its way");
        assert_eq!(slow.join().expect("the slow client"), 49);
    });
}
