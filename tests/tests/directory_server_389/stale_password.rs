//! A stale password costs the account one failure, and a changed one is accepted at once.

use bindproxy_tests::directory_server_389::{DirectoryServer389, MANAGER, MANAGER_PASSWORD};
use bindproxy_tests::ldap::Endpoint;
use bindproxy_tests::proxy::Configuration;
use bindproxy_tests::request::{self, Change};
use bindproxy_tests::stale_device::{hammer_expecting, login, one_stale_password_counts_once};

#[test]
fn counts_once_over_every_transport() {
    let Some(server) = DirectoryServer389::shared() else { return };
    for (kind, upstream) in [("clear", server.endpoint()), ("ldaps", server.ldaps()), ("starttls", server.start_tls())]
    {
        let proxy = Configuration::in_front_of(&upstream).start();
        for (listener, front) in [("clear", proxy.endpoint()), ("ldaps", proxy.ldaps()), ("unix", proxy.unix())] {
            let dn = server.add_user(&format!("{listener}-over-{kind}"), "right");
            one_stale_password_counts_once(server, &front, &dn, "right", "stale");
        }
    }
}

/// This directory takes `password NUL` for `password`, so the two must not share an entry.
#[test]
fn a_trailing_nul_is_another_password() {
    let Some(server) = DirectoryServer389::shared() else { return };
    let proxy = Configuration::in_front_of(&server.endpoint()).start();
    let dn = server.add_user("nul", "right");
    assert_eq!(login(&proxy.endpoint(), &dn, "wrong"), 49);
    assert_eq!(login(&proxy.endpoint(), &dn, "right\0"), login(&server.endpoint(), &dn, "right\0"));
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
}

/// The new password was tried too early and is remembered as wrong; the old one was the last good.
fn too_early(server: &DirectoryServer389, front: &Endpoint, uid: &str) -> String {
    let dn = server.add_user(uid, "old-password");
    assert_eq!(login(front, &dn, "old-password"), 0);
    assert_eq!(login(front, &dn, "new-password"), 49);
    let before = server.binds(&dn);
    assert_eq!(login(front, &dn, "new-password"), 49);
    assert_eq!(server.binds(&dn), before, "the early attempt is answered from the cache");
    dn
}

#[test]
fn changed_at_the_server() {
    let Some(server) = DirectoryServer389::shared() else { return };
    let proxy = Configuration::in_front_of(&server.endpoint()).start();
    let front = proxy.endpoint();
    let dn = server.add_user("changed-at-server", "old-password");
    assert_eq!(login(&front, &dn, "old-password"), 0);
    server.modify(&dn, &[(Change::Replace, "userPassword", &[b"new-password"])]);
    assert_eq!(login(&front, &dn, "new-password"), 0);
    hammer_expecting(49, &front, &dn, "old-password");
    assert_eq!(server.failures(&dn), 1);
    assert_eq!(login(&front, &dn, "new-password"), 0);
}

#[test]
fn changed_at_the_server_to_one_that_was_wrong_before() {
    let Some(server) = DirectoryServer389::shared() else { return };
    let proxy = Configuration::in_front_of(&server.endpoint()).start();
    let front = proxy.endpoint();
    let dn = too_early(server, &front, "changed-behind");
    server.modify(&dn, &[(Change::Replace, "userPassword", &[b"new-password"])]);
    assert_eq!(login(&front, &dn, "old-password"), 49);
    assert_eq!(login(&front, &dn, "new-password"), 0);
}

/// Password Modify needs TLS at this directory.
#[test]
fn changed_through_the_proxy() {
    let Some(server) = DirectoryServer389::shared() else { return };
    let proxy = Configuration::in_front_of(&server.ldaps()).start();
    let front = proxy.ldaps();

    let dn = too_early(server, &front, "by-exop");
    let mut owner = front.connect();
    assert_eq!(owner.bind(&dn, "old-password"), 0);
    let answer = owner.ask(&request::password_modify(None, Some("old-password"), "new-password"));
    assert_eq!(answer.code(), 0, "{answer:?}");
    assert_eq!(login(&front, &dn, "new-password"), 0);

    let dn = too_early(server, &front, "by-modify");
    let mut owner = front.connect();
    assert_eq!(owner.bind(&dn, "old-password"), 0);
    let answer = owner.ask(&request::modify(&dn, &[(Change::Replace, "userPassword", &[b"new-password"])]));
    assert_eq!(answer.code(), 0, "{answer:?}");
    assert_eq!(login(&front, &dn, "new-password"), 0);

    let dn = too_early(server, &front, "by-manager");
    let mut manager = front.connect();
    assert_eq!(manager.bind(MANAGER, MANAGER_PASSWORD), 0);
    let answer = manager.ask(&request::modify(&dn, &[(Change::Replace, "userPassword", &[b"new-password"])]));
    assert_eq!(answer.code(), 0, "{answer:?}");
    assert_eq!(login(&front, &dn, "new-password"), 0);
}
