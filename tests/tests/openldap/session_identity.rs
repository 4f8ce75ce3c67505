//! What a connection is allowed to do is decided by its last bind, however that was answered.

use bindproxy_tests::proxy::Configuration;
use bindproxy_tests::request::{self, Change, Scope};
use bindproxy_tests::slapd::{PEOPLE, SUFFIX, Slapd};
use bindproxy_tests::stale_device::login;

/// RFC 4511 section 4.2.1: a failed bind leaves the connection anonymous. Behind a proxy that
/// answers from memory the upstream connection would still be somebody.
#[test]
fn a_locally_answered_failure_makes_the_connection_anonymous() {
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    let dn = slapd.add_user("identity", "right");
    assert_eq!(login(&proxy.endpoint(), &dn, "stale"), 49);
    let mut connection = proxy.endpoint().connect();
    for _ in 0..3 {
        assert_eq!(connection.bind(&dn, "right"), 0);
        assert_eq!(connection.who_am_i(), format!("dn:{dn}"));
        let before = slapd.binds(&dn);
        assert_eq!(connection.bind(&dn, "stale"), 49);
        assert_eq!(slapd.binds(&dn), before, "answered from the cache");
        assert_eq!(connection.who_am_i(), "");
    }
}

/// A session never inherits what another one was on the same pooled upstream connection.
#[test]
fn a_new_session_is_anonymous_on_a_reused_upstream_connection() {
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).section("upstreamPolicy", "maxConnections: 1").start();
    let dn = slapd.add_user("inherited", "right");
    for _ in 0..3 {
        let mut connection = proxy.endpoint().connect();
        assert_eq!(connection.who_am_i(), "");
        assert_eq!(connection.bind(&dn, "right"), 0);
        assert_eq!(connection.who_am_i(), format!("dn:{dn}"));
        connection.send(&request::message(99, &request::unbind()));
        assert!(connection.frames_to_end().is_empty());
    }
}

#[test]
fn an_anonymous_bind_ends_an_identity() {
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    let dn = slapd.add_user("reset", "right");
    let mut connection = proxy.endpoint().connect();
    assert_eq!(connection.bind(&dn, "right"), 0);
    assert_eq!(connection.bind("", ""), 0);
    assert_eq!(connection.who_am_i(), "");
}

/// Requests that were sent behind a bind without waiting for it run as whoever that bind makes of
/// the connection, also when the bind is answered from the cache.
#[test]
fn requests_pipelined_after_a_bind_wait_for_its_answer() {
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    let dn = slapd.add_user("pipelined", "right");
    assert_eq!(login(&proxy.endpoint(), &dn, "stale"), 49);
    let who = request::extended(request::WHO_AM_I, None);
    let mut connection = proxy.endpoint().connect();
    for round in 0..5 {
        let first = 1 + round * 4;
        let mut burst = request::message(first, &request::bind(&dn, "right"));
        burst.extend(request::message(first + 1, &who));
        burst.extend(request::message(first + 2, &request::bind(&dn, "stale")));
        burst.extend(request::message(first + 3, &who));
        connection.send(&burst);
        let answers: Vec<_> = (0..4).map(|_| connection.frame()).collect();
        let ids: Vec<u32> = answers.iter().map(bindproxy_tests::ldap::Frame::message_id).collect();
        assert_eq!(ids, [first, first + 1, first + 2, first + 3]);
        assert_eq!((answers[0].code(), answers[2].code()), (0, 49));
        assert_eq!(answers[1].extended_value(), Some(format!("dn:{dn}").as_bytes()));
        assert!(answers[3].extended_value().is_none_or(<[u8]>::is_empty), "{:?}", answers[3]);
    }
}

/// What apache and FreeRADIUS do: search as one identity, bind as the user on the same connection,
/// and go on.
#[test]
fn search_then_bind_then_search_on_one_connection() {
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    let service = slapd.add_user("service", "service");
    let dn = slapd.add_user("customer", "right");
    let mut connection = proxy.endpoint().connect();
    for password in ["right", "stale", "right", "stale", "stale"] {
        assert_eq!(connection.bind(&service, "service"), 0);
        let search = request::search(PEOPLE, Scope::One, &request::equals("uid", "customer"), &["uid"], 0);
        let found = connection.call(&search);
        assert_eq!(found.len(), 2, "one entry and the result: {found:?}");
        assert_eq!(connection.bind(&dn, password), if password == "right" { 0 } else { 49 });
    }
    assert_eq!(slapd.binds(&dn), 3, "two logins and one failure");
}

/// RFC 4511 section 4.2.1: a server may answer outstanding operations before a bind, or drop them.
/// Through the proxy every one of them gets its answer.
#[test]
fn operations_outstanding_before_a_bind_are_answered() {
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    let dn = slapd.add_user("outstanding", "right");
    let search = request::search(SUFFIX, Scope::Subtree, &request::equals("uid", "outstanding"), &["uid"], 0);
    let mut connection = proxy.endpoint().connect();
    for _ in 0..10 {
        let (first, second) = (connection.next_id(), connection.next_id());
        let mut burst = request::message(first, &search);
        burst.extend(request::message(second, &request::bind(&dn, "right")));
        connection.send(&burst);
        let answers: Vec<_> = (0..3).map(|_| connection.frame()).collect();
        let ids: Vec<u32> = answers.iter().map(bindproxy_tests::ldap::Frame::message_id).collect();
        assert_eq!(ids, [first, first, second], "{answers:?}");
    }
}

/// OpenLDAP 2.5 refuses an expired password with 49 and goes on as its owner. Nobody gets that
/// identity through the proxy: neither the client that was refused nor the next one.
#[test]
fn a_refused_expired_password_gives_no_identity() {
    let Some(slapd) = Slapd::shared() else { return };
    let dn = slapd.add_user("identity-expired", "right");
    slapd.modify(&dn, &[(Change::Replace, "pwdChangedTime", &[b"20200101000000Z"])]);
    let mut direct = slapd.endpoint().connect();
    assert_eq!(direct.bind(&dn, "right"), 49);
    println!("directly, after the refusal: {:?}", direct.who_am_i());

    let proxy = Configuration::in_front_of(&slapd.endpoint()).section("upstreamPolicy", "maxConnections: 1").start();
    for _ in 0..2 {
        let mut refused = proxy.endpoint().connect();
        assert_eq!(refused.bind(&dn, "right"), 49);
        assert_eq!(refused.who_am_i(), "");
        assert_eq!(refused.bind(&dn, "right"), 49);
        drop(refused);
        assert_eq!(proxy.endpoint().connect().who_am_i(), "");
    }
}
