//! A bind that was written to a directory is never written again: it may have been counted.

use std::time::Duration;

use bindproxy::directory::{Behaviour, Match};
use bindproxy_tests::ldap::Security;
use bindproxy_tests::stale_device::login;

use crate::stage::{ALICE, ALICE_PASSWORD, stage, two};

fn ways_to_leave_a_bind_unanswered() -> Vec<Behaviour> {
    let mut ways = Vec::new();
    for evaluated in [false, true] {
        ways.push(Behaviour::Silence { evaluated });
        ways.push(Behaviour::Close { evaluated });
        ways.push(Behaviour::Reset { evaluated });
        ways.push(Behaviour::Notice { evaluated, code: 52 });
        // A directory that says "wrong credentials" about the connection says nothing about the bind.
        ways.push(Behaviour::Notice { evaluated, code: 49 });
    }
    ways.push(Behaviour::Garbage(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()));
    ways.push(Behaviour::Garbage(vec![0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF]));
    ways.push(Behaviour::Garbage(vec![0x30, 0x80, 0x02, 0x01, 0x01]));
    ways
}

#[test]
fn is_not_repeated_at_another_directory() {
    for behaviour in ways_to_leave_a_bind_unanswered() {
        let (first, second, proxy) = two();
        first.script(|script| {
            script.when(Match::bind().named(ALICE), behaviour.clone());
        });
        for password in ["wrong", ALICE_PASSWORD] {
            let before = first.binds(ALICE);
            assert_eq!(login(&proxy.endpoint(), ALICE, password), 52, "{behaviour:?}");
            assert_eq!(first.binds(ALICE) - before, 1, "{behaviour:?}");
            assert_eq!(second.binds(ALICE), 0, "{behaviour:?}");
        }
    }
}

/// Nothing was learned from it, and nothing is remembered: the next attempt is asked again.
#[test]
fn teaches_nothing() {
    for behaviour in ways_to_leave_a_bind_unanswered() {
        let (directory, proxy) = stage();
        directory.script(|script| {
            script.times(1, Match::bind().with_password("wrong"), behaviour.clone());
        });
        assert_eq!(login(&proxy.endpoint(), ALICE, "wrong"), 52, "{behaviour:?}");
        assert_eq!(login(&proxy.endpoint(), ALICE, "wrong"), 49, "{behaviour:?}");
        assert_eq!(directory.binds(ALICE), 2, "{behaviour:?}");
        assert_eq!(login(&proxy.endpoint(), ALICE, ALICE_PASSWORD), 0, "{behaviour:?}");
    }
}

/// The client's connection outlives the fault, anonymous; the bind's late answer never reaches it.
#[test]
fn leaves_the_client_connected() {
    let (directory, proxy) = stage();
    directory.script(|script| {
        script.when(Match::bind().with_password("late"), Behaviour::Delay(Duration::from_millis(1500)));
    });
    for front in [proxy.endpoint(), proxy.ldaps(), proxy.unix()] {
        assert!(matches!(front.security, Security::Clear | Security::Ldaps));
        let mut client = front.connect();
        assert_eq!(client.bind(ALICE, ALICE_PASSWORD), 0);
        assert_eq!(client.bind(ALICE, "late"), 52);
        assert_eq!(client.who_am_i(), "");
        assert_eq!(client.bind(ALICE, ALICE_PASSWORD), 0);
        assert_eq!(client.who_am_i(), format!("dn:{ALICE}"));
    }
}

#[test]
fn a_slow_answer_is_an_answer() {
    let (directory, proxy) = stage();
    directory.script(|script| {
        script.when(Match::bind(), Behaviour::Trickle(Duration::from_millis(5)));
    });
    assert_eq!(login(&proxy.endpoint(), ALICE, ALICE_PASSWORD), 0);
    for _ in 0..3 {
        assert_eq!(login(&proxy.endpoint(), ALICE, "wrong"), 49);
    }
    assert_eq!(directory.binds(ALICE), 2);
}
