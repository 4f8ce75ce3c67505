//! A password that was changed, at the server or through the proxy, is accepted at once.

use std::sync::OnceLock;
use std::time::Duration;

use bindproxy_tests::ldap::Endpoint;
use bindproxy_tests::proxy::{Configuration, Proxy};
use bindproxy_tests::request::{self, Change};
use bindproxy_tests::slapd::{ADMIN, ADMIN_PASSWORD, Slapd};
use bindproxy_tests::stale_device::{hammer_expecting, login};
use bindproxy_tests::wait::{self, Stopwatch};

fn proxy(slapd: &Slapd) -> &'static Proxy {
    static PROXY: OnceLock<Proxy> = OnceLock::new();
    PROXY.get_or_init(|| Configuration::in_front_of(&slapd.endpoint()).start())
}

/// The new password was tried too early and is remembered as wrong; the old one was the last good.
fn too_early(slapd: &Slapd, front: &Endpoint, uid: &str) -> String {
    let dn = slapd.add_user(uid, "old");
    assert_eq!(login(front, &dn, "old"), 0);
    assert_eq!(login(front, &dn, "new"), 49);
    let before = slapd.binds(&dn);
    assert_eq!(login(front, &dn, "new"), 49);
    assert_eq!(slapd.binds(&dn), before, "the early attempt is answered from the cache");
    dn
}

#[test]
fn changed_at_the_server() {
    let Some(slapd) = Slapd::shared() else { return };
    let front = proxy(slapd).endpoint();
    let dn = slapd.add_user("changed-at-server", "old");
    assert_eq!(login(&front, &dn, "old"), 0);
    slapd.modify(&dn, &[(Change::Replace, "userPassword", &[b"new"])]);
    assert_eq!(login(&front, &dn, "new"), 0);
    hammer_expecting(49, &front, &dn, "old");
    assert_eq!(slapd.failures(&dn), 1);
    assert_eq!(login(&front, &dn, "new"), 0);
}

/// Nobody tells the proxy. The old password's failure does: it was the last good one.
#[test]
fn changed_at_the_server_to_one_that_was_wrong_before() {
    let Some(slapd) = Slapd::shared() else { return };
    let front = proxy(slapd).endpoint();
    let dn = too_early(slapd, &front, "changed-behind");
    slapd.modify(&dn, &[(Change::Replace, "userPassword", &[b"new"])]);
    assert_eq!(login(&front, &dn, "old"), 49);
    assert_eq!(login(&front, &dn, "new"), 0);
}

/// The failure of the last good password empties the name's other entries once per `ttlSeconds`;
/// what comes back sooner is refused no longer than `firstTTLSeconds`.
#[test]
fn changed_back_and_forth_at_the_server() {
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).section("cache", "firstTTLSeconds: 1").start();
    let front = proxy.endpoint();
    let dn = slapd.add_user("back-and-forth", "a");
    for (now, before) in [("b", "a"), ("a", "b"), ("b", "a")] {
        wait::until_true("the right password", Duration::from_secs(10), || login(&front, &dn, before) == 0);
        slapd.modify(&dn, &[(Change::Replace, "userPassword", &[now.as_bytes()])]);
        assert_eq!(login(&front, &dn, before), 49);
        let watch = Stopwatch::start();
        wait::until_true("the right password", Duration::from_secs(10), || login(&front, &dn, now) == 0);
        watch.report(&format!("{now} after {before}"));
    }
}

#[test]
fn changed_through_the_proxy_by_its_owner_with_password_modify() {
    let Some(slapd) = Slapd::shared() else { return };
    let front = proxy(slapd).endpoint();
    let dn = too_early(slapd, &front, "by-exop");
    let mut owner = front.connect();
    assert_eq!(owner.bind(&dn, "old"), 0);
    let answer = owner.ask(&request::password_modify(None, Some("old"), "new"));
    assert_eq!(answer.code(), 0, "{answer:?}");
    assert_eq!(login(&front, &dn, "new"), 0);
    hammer_expecting(49, &front, &dn, "old");
    assert_eq!(slapd.failures(&dn), 1);
}

#[test]
fn changed_through_the_proxy_by_an_administrator_with_password_modify() {
    let Some(slapd) = Slapd::shared() else { return };
    let front = proxy(slapd).endpoint();
    let dn = too_early(slapd, &front, "by-admin-exop");
    let mut admin = front.connect();
    assert_eq!(admin.bind(ADMIN, ADMIN_PASSWORD), 0);
    let answer = admin.ask(&request::password_modify(Some(&dn), None, "new"));
    assert_eq!(answer.code(), 0, "{answer:?}");
    assert_eq!(login(&front, &dn, "new"), 0);
}

#[test]
fn changed_through_the_proxy_by_its_owner_with_modify() {
    let Some(slapd) = Slapd::shared() else { return };
    let front = proxy(slapd).endpoint();
    let dn = too_early(slapd, &front, "by-modify");
    let mut owner = front.connect();
    assert_eq!(owner.bind(&dn, "old"), 0);
    let answer = owner.ask(&request::modify(&dn, &[(Change::Replace, "userPassword", &[b"new"])]));
    assert_eq!(answer.code(), 0, "{answer:?}");
    assert_eq!(login(&front, &dn, "new"), 0);
}

#[test]
fn changed_through_the_proxy_by_an_administrator_with_modify_in_another_spelling() {
    let Some(slapd) = Slapd::shared() else { return };
    let front = proxy(slapd).endpoint();
    let dn = too_early(slapd, &front, "by-admin-modify");
    let mut admin = front.connect();
    assert_eq!(admin.bind(ADMIN, ADMIN_PASSWORD), 0);
    let spelled = dn.to_uppercase().replace(',', ", ");
    let answer = admin.ask(&request::modify(&spelled, &[(Change::Replace, "USERPASSWORD", &[b"new"])]));
    assert_eq!(answer.code(), 0, "{answer:?}");
    assert_eq!(login(&front, &dn, "new"), 0);
}

/// A change that the directory refused changes nothing: the stale password stays in the cache.
#[test]
fn a_refused_change_forgets_nothing() {
    let Some(slapd) = Slapd::shared() else { return };
    let front = proxy(slapd).endpoint();
    let dn = too_early(slapd, &front, "refused");
    let other = slapd.add_user("refused-other", "other");
    let mut stranger = front.connect();
    assert_eq!(stranger.bind(&other, "other"), 0);
    let answer = stranger.ask(&request::modify(&dn, &[(Change::Replace, "userPassword", &[b"new"])]));
    assert_eq!(answer.code(), 50, "{answer:?}");
    let before = slapd.binds(&dn);
    assert_eq!(login(&front, &dn, "new"), 49);
    assert_eq!(slapd.binds(&dn), before);
}
