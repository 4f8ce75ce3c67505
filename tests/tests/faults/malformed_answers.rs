//! Answers out of order, twice, under IDs that nobody used, with other lengths than ours.

use std::time::Duration;

use bindproxy::directory::{Behaviour, Match};
use bindproxy_tests::conversation::pipelined;
use bindproxy_tests::request::{self, Scope};
use bindproxy_tests::stale_device::login;

use crate::stage::{ALICE, ALICE_PASSWORD, BOB, endpoint, stage};

fn search(dn: &str) -> Vec<u8> {
    request::search(dn, Scope::Base, &request::present("objectClass"), &["uid"], 0)
}

#[test]
fn out_of_order() {
    let (directory, proxy) = stage();
    directory.script(|script| {
        script.when(Match::search().named(ALICE), Behaviour::AfterNext);
    });
    let mut client = proxy.endpoint().connect();
    for _ in 0..5 {
        let frames = pipelined(&mut client, &[search(ALICE), search(BOB)]);
        assert_eq!(frames.len(), 4, "{frames:?}");
        assert_eq!(frames[0].values("uid"), [b"alice"]);
        assert_eq!(frames[2].values("uid"), [b"bob"]);
    }
}

#[test]
fn under_an_id_that_nobody_used() {
    let (directory, proxy) = stage();
    directory.script(|script| {
        script.when(Match::any(), Behaviour::WrongIdFirst(4711));
    });
    let mut client = proxy.endpoint().connect();
    assert_eq!(client.bind(ALICE, ALICE_PASSWORD), 0);
    let frames = client.call(&search(BOB));
    assert_eq!(frames.iter().flat_map(|frame| frame.values("uid")).collect::<Vec<_>>(), [b"bob"]);
    assert_eq!(client.bind(ALICE, "stale"), 49);
    assert_eq!(login(&proxy.endpoint(), ALICE, "stale"), 49);
    assert_eq!(directory.failures(ALICE), 1);
    assert!(proxy.metric("bindproxy_upstream_unexpected_responses_total", &[]) >= 1.0);
}

/// The second answer to one session's request must not become the first of another's.
#[test]
fn twice() {
    let (directory, proxy) = stage();
    directory.script(|script| {
        script.when(Match::bind(), Behaviour::Twice);
    });
    for round in 0..5 {
        let mut client = proxy.endpoint().connect();
        assert_eq!(client.bind(ALICE, ALICE_PASSWORD), 0, "round {round}");
        assert_eq!(client.who_am_i(), format!("dn:{ALICE}"));
        let wrong = format!("wrong {round}");
        assert_eq!(login(&proxy.endpoint(), BOB, &wrong), 49);
        assert_eq!(client.bind(BOB, &wrong), 49);
        assert_eq!(client.who_am_i(), "");
        directory.unlock(BOB);
    }
}

/// Active Directory writes every length with four octets more than it needs.
#[test]
fn with_long_lengths() {
    let (directory, proxy) = stage();
    directory.script(|script| script.long_lengths = true);
    let direct = endpoint(&directory).connect().ask(&request::bind(BOB, "wrong"));
    for _ in 0..3 {
        let answer = proxy.endpoint().connect().ask(&request::bind(ALICE, "wrong"));
        assert_eq!(answer.code(), 49);
        // The envelope, where the message ID stands, is the proxy's own.
        assert_eq!(answer.after_message_id(), direct.after_message_id(), "the result keeps the directory's octets");
    }
    assert_eq!(directory.binds(ALICE), 1);
    let mut client = proxy.endpoint().connect();
    assert_eq!(client.bind(ALICE, ALICE_PASSWORD), 0);
    let frames = client.call(&search(BOB));
    assert_eq!(frames[0].values("uid"), [b"bob"]);
}

/// Garbage in the middle of a search ends it with 52 for whoever is anonymous.
#[test]
fn garbage_to_a_search() {
    let (directory, proxy) = stage();
    directory.script(|script| {
        script.times(1, Match::search().named(ALICE), Behaviour::Garbage(b"\x04junk".to_vec()));
    });
    let mut client = proxy.endpoint().connect();
    let frames = client.call(&search(ALICE));
    assert_eq!((frames.len(), frames[0].code()), (1, 52), "{frames:?}");
    assert_eq!(client.call(&search(ALICE)).len(), 2, "the next one is served");
}

/// A search has the directory's own limits, not `requestTimeoutSeconds`.
#[test]
fn a_slow_search_is_waited_for() {
    let (directory, proxy) = stage();
    directory.script(|script| {
        script.when(Match::search(), Behaviour::Delay(Duration::from_millis(1800)));
    });
    assert_eq!(proxy.endpoint().connect().call(&search(ALICE)).len(), 2);
}
