//! Bounds on what clients may take.

use std::time::Duration;

use bindproxy_tests::ldap::{Connection, Endpoint};
use bindproxy_tests::wait::{self, Stopwatch};

use crate::stage::{ALICE, ALICE_PASSWORD, stage_with};

/// Whether a fresh connection is served, rather than closed.
fn served(front: &Endpoint) -> Option<Connection> {
    let mut connection = front.try_connect().ok()?;
    connection.try_send(&bindproxy_tests::request::message(1, &bindproxy_tests::request::bind("", ""))).ok()?;
    let answer = connection.try_frame().ok()??;
    (answer.message_id() == 1 && answer.code() == 0).then_some(connection)
}

#[test]
fn connections_in_all() {
    let (_directory, proxy) = stage_with(|c| c.section("limits", "maxConnections: 3"));
    let mut held: Vec<Connection> = (0..3).map(|_| served(&proxy.endpoint()).expect("within the limit")).collect();
    for front in [proxy.endpoint(), proxy.ldaps(), proxy.unix()] {
        assert!(served(&front).is_none(), "a fourth connection is served");
    }
    let closed = proxy.metric("bindproxy_connections_closed_total", &[("reason", "limit")]);
    assert!(closed >= 3.0, "{closed}");
    drop(held.pop());
    wait::until_true("a place to come free", Duration::from_secs(5), || served(&proxy.endpoint()).is_some());
}

#[test]
fn connections_of_one_client() {
    let (_directory, proxy) = stage_with(|c| c.section("limits", "maxConnectionsPerClient: 2"));
    let held: Vec<Connection> = (0..2).map(|_| served(&proxy.endpoint()).expect("within the limit")).collect();
    assert!(served(&proxy.endpoint()).is_none(), "a third connection of one address is served");
    drop(held);
    wait::until_true("a place to come free", Duration::from_secs(5), || served(&proxy.endpoint()).is_some());
}

#[test]
fn a_handshake_that_does_not_come() {
    let (_directory, proxy) = stage_with(|c| c.section("limits", "handshakeTimeoutSeconds: 1"));
    let silent = Endpoint::tcp(proxy.ldaps().socket_address());
    let watch = Stopwatch::start();
    let mut connection = silent.connect();
    assert!(connection.frames_to_end().is_empty());
    assert!((800..5000).contains(&watch.elapsed().as_millis()), "{:?}", watch.elapsed());
    let reason = [("listener", "secure"), ("reason", "handshake_timeout")];
    proxy.wait_for_metric("bindproxy_connections_closed_total", &reason, 1.0);
    assert!(served(&proxy.ldaps()).is_some());
}

/// No TLS where TLS is due.
#[test]
fn a_handshake_that_is_none() {
    let (_directory, proxy) = stage_with(|c| c);
    let mut connection = Endpoint::tcp(proxy.ldaps().socket_address()).connect();
    connection.send(&bindproxy_tests::request::message(1, &bindproxy_tests::request::bind("", "")));
    // A TLS alert may precede the end; an LDAP message must not.
    if let Ok(Some(frame)) = connection.try_frame() {
        panic!("{frame:?}");
    }
    let reason = [("listener", "secure"), ("reason", "tls_error")];
    proxy.wait_for_metric("bindproxy_connections_closed_total", &reason, 1.0);
}

#[test]
fn an_idle_client() {
    let (_directory, proxy) = stage_with(|c| c.section("limits", "idleTimeoutSeconds: 1"));
    for front in [proxy.endpoint(), proxy.ldaps(), proxy.unix()] {
        let mut silent = front.connect();
        let mut bound = front.connect();
        assert_eq!(bound.bind(ALICE, ALICE_PASSWORD), 0);
        let watch = Stopwatch::start();
        for client in [&mut silent, &mut bound] {
            for frame in client.frames_to_end() {
                assert_eq!(frame.message_id(), 0, "{frame:?}");
            }
        }
        assert!((500..8000).contains(&watch.elapsed().as_millis()), "{:?}", watch.elapsed());
    }
    proxy.wait_for_metric("bindproxy_connections_closed_total", &[("reason", "idle")], 6.0);
}

#[test]
fn an_old_connection() {
    let (_directory, proxy) = stage_with(|c| c.section("limits", "maxConnectionAgeSeconds: 1"));
    let mut client = proxy.endpoint().connect();
    assert_eq!(client.bind(ALICE, ALICE_PASSWORD), 0);
    for frame in client.frames_to_end() {
        assert_eq!(frame.message_id(), 0, "{frame:?}");
    }
    proxy.wait_for_metric("bindproxy_connections_closed_total", &[("reason", "max_age")], 1.0);
}

/// More requests in one write than may be outstanding: they are left unread for a while, and all
/// answered.
#[test]
fn many_requests_in_one_write() {
    let (_directory, proxy) = stage_with(|c| c.section("limits", "maxPipelinedRequests: 4"));
    let mut client = proxy.endpoint().connect();
    let who = bindproxy_tests::request::extended(bindproxy_tests::request::WHO_AM_I, None);
    let frames = bindproxy_tests::conversation::pipelined(&mut client, &vec![who; 500]);
    assert_eq!(frames.len(), 500);
    assert!(frames.iter().all(|frame| frame.code() == 0));
}

#[test]
fn client_certificates() {
    let (_directory, proxy) = stage_with(|c| c.server_tls("clientCAFile: {ca}, clientCertificate: Required"));
    assert!(served(&proxy.ldaps()).is_none(), "a client without a certificate is served");
    let identity = proxy.authority().client("client", "somebody");
    let mut with = Endpoint { identity: Some(identity), ..proxy.ldaps() };
    assert!(served(&with).is_some());
    let elsewhere = bindproxy_tests::scratch::Scratch::new("foreign");
    let foreign = bindproxy_tests::certificates::Authority::new(elsewhere.path()).client("client", "somebody");
    with.identity = Some(foreign);
    assert!(served(&with).is_none(), "a client with a foreign certificate is served");
}
