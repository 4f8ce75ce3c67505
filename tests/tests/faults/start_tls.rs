//! StartTLS on a listener (RFC 4511 section 4.14).

use std::time::Duration;

use bindproxy::directory::{Behaviour, Match};
use bindproxy_tests::request::{self, Scope};

use crate::stage::{ALICE, ALICE_PASSWORD, assert_notice, stage};

fn start_tls() -> Vec<u8> {
    request::extended(request::START_TLS, None)
}

#[test]
fn not_twice() {
    let (_directory, proxy) = stage();
    let mut client = proxy.start_tls().connect();
    assert_eq!(client.ask(&start_tls()).code(), 1);
    assert_eq!(client.bind(ALICE, ALICE_PASSWORD), 0);
    let mut client = proxy.ldaps().connect();
    assert_eq!(client.ask(&start_tls()).code(), 1);
}

#[test]
fn not_while_something_is_outstanding() {
    let (directory, proxy) = stage();
    directory.script(|script| {
        script.when(Match::search(), Behaviour::Delay(Duration::from_millis(300)));
    });
    let mut client = proxy.endpoint().connect();
    let mut burst = request::message(1, &request::search(ALICE, Scope::Base, &request::present("uid"), &["uid"], 0));
    burst.extend(request::message(2, &start_tls()));
    client.send(&burst);
    let mut frames = vec![client.frame(), client.frame(), client.frame()];
    frames.sort_by_key(bindproxy_tests::ldap::Frame::message_id);
    assert_eq!((frames[2].message_id(), frames[2].code()), (2, 1), "{frames:?}");
    assert_eq!(client.bind(ALICE, ALICE_PASSWORD), 0, "the connection goes on in clear text");
}

/// Octets behind the request would be taken for those of the other side of the handshake: a man in
/// the middle could put them there.
#[test]
fn nothing_may_follow_the_request() {
    let (directory, proxy) = stage();
    let mut client = proxy.endpoint().connect();
    let mut burst = request::message(1, &start_tls());
    burst.extend(request::message(2, &request::bind(ALICE, ALICE_PASSWORD)));
    client.send(&burst);
    let frames = client.frames_to_end();
    assert!(frames.iter().all(|frame| frame.message_id() < 2), "the injected bind is answered: {frames:?}");
    assert_eq!(directory.binds(ALICE), 0, "the injected bind reached the directory");
    if let Some(last) = frames.last()
        && last.message_id() == 0
    {
        assert_notice(last, 2);
    }
}

/// A bind in clear text does not survive into the TLS session (RFC 4513 section 3.1.5 allows it;
/// what must not happen is that another identity appears).
#[test]
fn after_a_bind() {
    let (_directory, proxy) = stage();
    let mut client = proxy.endpoint().connect();
    assert_eq!(client.bind(ALICE, ALICE_PASSWORD), 0);
    let answer = client.ask(&start_tls());
    if answer.code() == 0 {
        let mut client = client.upgrade(&proxy.start_tls()).expect("the handshake");
        let who = client.who_am_i();
        assert!(who.is_empty() || who == format!("dn:{ALICE}"), "{who}");
        assert_eq!(client.bind(ALICE, ALICE_PASSWORD), 0);
    } else {
        assert_eq!(client.who_am_i(), format!("dn:{ALICE}"));
    }
}
