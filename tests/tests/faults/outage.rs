//! Promise I3: an outage of the directory is 52 to the client and never 49, what is remembered is
//! answered all the same, and failover happens only before a bind was written.

use std::time::Duration;

use bindproxy::codec::op;
use bindproxy::directory::{Behaviour, Match, OnAccept, RunningDirectory};
use bindproxy_tests::ldap::Endpoint;
use bindproxy_tests::ports;
use bindproxy_tests::proxy::Configuration;
use bindproxy_tests::request::{self, Scope};
use bindproxy_tests::scratch::Scratch;
use bindproxy_tests::stale_device::{hammer_expecting, login};
use bindproxy_tests::wait;

use crate::stage::{ALICE, ALICE_PASSWORD, BOB, BOB_PASSWORD, QUICK, block_on, endpoint, stage, stage_with, two};

fn fail(directory: &RunningDirectory) {
    block_on(directory.refuse_connections());
    block_on(directory.drop_connections());
}

#[test]
fn remembered_failures_are_answered_while_every_directory_is_down() {
    let (directory, proxy) = stage();
    assert_eq!(login(&proxy.endpoint(), ALICE, "stale"), 49);
    fail(&directory);
    hammer_expecting(49, &proxy.endpoint(), ALICE, "stale");
    assert_eq!(login(&proxy.endpoint(), ALICE, ALICE_PASSWORD), 52);
    assert_eq!(login(&proxy.endpoint(), ALICE, "another"), 52);
    let search = request::search("", Scope::Base, &request::present("objectClass"), &[], 0);
    let answer = proxy.endpoint().connect().call(&search);
    assert_eq!((answer.len(), answer[0].code()), (1, 52), "{answer:?}");
    assert_eq!(proxy.get("/readyz").map(|(status, _)| status), Some(200), "readiness is the proxy's own");

    block_on(directory.accept_connections()).expect("listen again");
    wait::until_true("the directory to be used again", Duration::from_secs(20), || {
        login(&proxy.endpoint(), ALICE, ALICE_PASSWORD) == 0
    });
    assert_eq!(directory.failures(ALICE), 1);
}

#[test]
fn a_refused_connection_fails_over() {
    let (first, second, proxy) = two();
    fail(&first);
    assert_eq!(login(&proxy.endpoint(), ALICE, ALICE_PASSWORD), 0);
    assert_eq!(login(&proxy.endpoint(), ALICE, "stale"), 49);
    hammer_expecting(49, &proxy.endpoint(), ALICE, "stale");
    assert_eq!((first.binds(ALICE), second.binds(ALICE)), (0, 2));
    assert!(proxy.metric("bindproxy_upstream_failovers_total", &[("from", "first"), ("to", "second")]) >= 1.0);
}

/// The lower priority serves again once it is back.
#[test]
fn the_preferred_directory_is_used_again() {
    let (first, second) = (crate::stage::directory(), crate::stage::directory());
    let proxy = Configuration::default()
        .upstream("first", &endpoint(&first), "priority: 0")
        .upstream("second", &endpoint(&second), "priority: 1")
        .section(
            "upstreamPolicy",
            "connectTimeoutSeconds: 2, healthCheck: {intervalSeconds: 1, failureThreshold: 1, successThreshold: 1}",
        )
        .start();
    fail(&first);
    wait::until_true("the health check to notice", Duration::from_secs(20), || {
        proxy.metric("bindproxy_upstream_up", &[("upstream", "first")]) == 0.0
    });
    assert_eq!(login(&proxy.endpoint(), ALICE, ALICE_PASSWORD), 0);
    assert_eq!((first.binds(ALICE), second.binds(ALICE)), (0, 1));
    block_on(first.accept_connections()).expect("listen again");
    wait::until_true("the health check to notice", Duration::from_secs(20), || {
        proxy.metric("bindproxy_upstream_up", &[("upstream", "first")]) == 1.0
    });
    assert_eq!(login(&proxy.endpoint(), ALICE, ALICE_PASSWORD), 0);
    assert_eq!((first.binds(ALICE), second.binds(ALICE)), (1, 1));
}

/// Whatever a directory does with a fresh connection, a bind reaches one directory at most, and the
/// client never hears that its password is wrong.
#[test]
fn connections_that_end_at_once() {
    for on_accept in [OnAccept::Close, OnAccept::Reset, OnAccept::Say(b"junk".to_vec()), OnAccept::Hang] {
        let (first, second, proxy) = two();
        first.script(|script| script.on_accept = on_accept.clone());
        for attempt in 1..=3 {
            let code = login(&proxy.endpoint(), ALICE, ALICE_PASSWORD);
            assert!([0, 52].contains(&code), "{on_accept:?}: {code}");
            assert!(first.binds(ALICE) + second.binds(ALICE) <= attempt, "{on_accept:?}");
        }
    }
}

/// Faults of TLS towards the directory are found before the bind is written.
#[test]
fn tls_that_does_not_come_about_fails_over() {
    let (plain, good) = (crate::stage::directory(), crate::stage::directory());
    let scratch = Scratch::new("ca");
    let ca_file = bindproxy_tests::certificates::Authority::new(scratch.path()).ca_file;
    for security in [bindproxy_tests::ldap::Security::Ldaps, bindproxy_tests::ldap::Security::StartTls] {
        let before = good.binds(ALICE);
        let proxy = Configuration::default()
            .upstream("plain", &endpoint(&plain).secured(security, &ca_file), "priority: 0")
            .upstream("good", &endpoint(&good), "priority: 1")
            .section("upstreamPolicy", QUICK)
            .start();
        assert_eq!(login(&proxy.endpoint(), ALICE, ALICE_PASSWORD), 0, "{security:?}");
        assert_eq!((plain.binds(ALICE), good.binds(ALICE) - before), (0, 1), "{security:?}");
    }
}

#[test]
fn nobody_listens_anywhere() {
    let nowhere = Endpoint::tcp(ports::free_address());
    let proxy = Configuration::default()
        .upstream("first", &nowhere, "")
        .upstream("second", &Endpoint::tcp(ports::free_address()), "")
        .upstream("third", &Endpoint::unix("/nonexistent/ldapi".as_ref()), "")
        .section("upstreamPolicy", QUICK)
        .start();
    for front in [proxy.endpoint(), proxy.ldaps(), proxy.unix()] {
        let mut client = front.connect();
        assert_eq!(client.bind(ALICE, ALICE_PASSWORD), 52);
        assert_eq!(client.bind("", ""), 52);
        let answer = client.ask(&request::compare(ALICE, "uid", "alice"));
        assert_eq!((answer.op(), answer.code()), (0x6F, 52), "{answer:?}");
        let answer = client.ask(&request::extended(request::WHO_AM_I, None));
        assert_eq!((answer.op(), answer.code()), (0x78, 52), "{answer:?}");
    }
}

/// The connection to the directory dies under a client that is bound: outstanding operations get
/// 52, then Notice of Disconnection, because nobody can bind again without the password.
#[test]
fn a_bound_client_is_told_when_its_connection_is_lost() {
    let (directory, proxy) = stage();
    let mut bound = proxy.endpoint().connect();
    assert_eq!(bound.bind(ALICE, ALICE_PASSWORD), 0);
    directory.script(|script| {
        script.when(Match::operation(op::COMPARE_REQUEST), Behaviour::Silence { evaluated: false });
    });
    let id = bound.next_id();
    bound.send(&request::message(id, &request::compare(ALICE, "uid", "alice")));
    wait::until_true("the request to arrive", Duration::from_secs(10), || {
        directory.log(|log| log.requests(op::COMPARE_REQUEST)) == 1
    });
    block_on(directory.drop_connections());
    let frames = bound.frames_to_end();
    assert_eq!(frames.len(), 2, "{frames:?}");
    assert_eq!(
        (frames[0].message_id(), frames[0].op(), frames[0].code()),
        (id, op::COMPARE_RESPONSE, 52),
        "{frames:?}"
    );
    crate::stage::assert_notice(&frames[1], 52);
}

/// An anonymous client notices nothing.
#[test]
fn an_anonymous_client_goes_on_with_another_connection() {
    let (directory, proxy) = stage_with(|c| c.section("upstreamPolicy", QUICK));
    let mut client = proxy.endpoint().connect();
    assert_eq!(client.who_am_i(), "");
    block_on(directory.drop_connections());
    let idle = [("upstream", "directory"), ("state", "idle")];
    wait::until_true("the proxy to notice", Duration::from_secs(10), || {
        proxy.metric("bindproxy_upstream_connections", &idle) == 0.0
    });
    assert_eq!(client.who_am_i(), "");
    assert_eq!(client.bind(BOB, BOB_PASSWORD), 0);
}
