//! A stale password costs the account one failure, and a changed one is accepted at once.

use bindproxy_tests::ldap::Endpoint;
use bindproxy_tests::proxy::Configuration;
use bindproxy_tests::request::{self, Change};
use bindproxy_tests::samba::{Samba, unicode_password};
use bindproxy_tests::stale_device::{hammer_expecting, login, one_stale_password_counts_once};

#[test]
fn counts_once_over_every_transport() {
    let Some(samba) = Samba::shared() else { return };
    for (kind, upstream) in [("clear", samba.endpoint()), ("ldaps", samba.ldaps()), ("starttls", samba.start_tls())] {
        let proxy = Configuration::in_front_of(&upstream).start();
        for (listener, front) in [("clear", proxy.endpoint()), ("ldaps", proxy.ldaps()), ("unix", proxy.unix())] {
            let dn = samba.add_user(&format!("{listener}-over-{kind}"), "right");
            one_stale_password_counts_once(samba, &front, &dn, "right", "stale");
        }
    }
}

/// One account has many names. Each costs at most one failure, in whatever case it is written.
#[test]
fn names_that_are_no_dn() {
    let Some(samba) = Samba::shared() else { return };
    let proxy = Configuration::in_front_of(&samba.endpoint()).start();
    let dn = samba.add_user("many-names", "right");
    for name in ["EXAMPLE\\many-names", "example\\Many-Names", "Example\\MANY-NAMES"] {
        assert_eq!(login(&proxy.endpoint(), name, "stale"), 49);
    }
    assert_eq!(samba.failures(&dn), 1);
    for name in ["many-names@example.test", "MANY-NAMES@EXAMPLE.TEST"] {
        assert_eq!(login(&proxy.endpoint(), name, "stale"), 49);
    }
    assert_eq!(samba.failures(&dn), 2);
    assert_eq!(login(&proxy.endpoint(), "many-names@example.test", "right"), 0);
    assert_eq!(login(&proxy.endpoint(), "EXAMPLE\\many-names", "right"), 0);
}

/// The new password was tried too early and is remembered as wrong; the old one was the last good.
fn too_early(samba: &Samba, front: &Endpoint, account: &str) -> String {
    let dn = samba.add_user(account, "old");
    assert_eq!(login(front, &dn, "old"), 0);
    assert_eq!(login(front, &dn, "new"), 49);
    let before = samba.binds(&dn);
    assert_eq!(login(front, &dn, "new"), 49);
    assert_eq!(samba.binds(&dn), before, "the early attempt is answered from the cache");
    dn
}

/// The password before the present one is not counted by this directory, so its log is the oracle.
#[test]
fn changed_at_the_server() {
    let Some(samba) = Samba::shared() else { return };
    let proxy = Configuration::in_front_of(&samba.endpoint()).start();
    let front = proxy.endpoint();
    let dn = samba.add_user("changed-at-server", "old");
    assert_eq!(login(&front, &dn, "old"), 0);
    samba.modify(&dn, &[(Change::Replace, "unicodePwd", &[&unicode_password("new")])]);
    assert_eq!(login(&front, &dn, "new"), 0);
    let before = samba.binds(&dn);
    hammer_expecting(49, &front, &dn, "old");
    assert_eq!(samba.binds(&dn) - before, 1);
    assert_eq!(login(&front, &dn, "new"), 0);
}

#[test]
fn changed_at_the_server_to_one_that_was_wrong_before() {
    let Some(samba) = Samba::shared() else { return };
    let proxy = Configuration::in_front_of(&samba.endpoint()).start();
    let front = proxy.endpoint();
    let dn = too_early(samba, &front, "changed-behind");
    samba.modify(&dn, &[(Change::Replace, "unicodePwd", &[&unicode_password("new")])]);
    assert_eq!(login(&front, &dn, "old"), 49);
    assert_eq!(login(&front, &dn, "new"), 0);
}

/// A user deletes the old value of unicodePwd and adds the new one, over TLS on both sides.
#[test]
fn changed_through_the_proxy_by_its_owner() {
    let Some(samba) = Samba::shared() else { return };
    let proxy = Configuration::in_front_of(&samba.ldaps()).start();
    let front = proxy.ldaps();
    let dn = too_early(samba, &front, "by-owner");
    let mut owner = front.connect();
    assert_eq!(owner.bind(&dn, "old"), 0);
    let (old, new) = (unicode_password("old"), unicode_password("new"));
    let change = request::modify(&dn, &[(Change::Delete, "unicodePwd", &[&old]), (Change::Add, "unicodePwd", &[&new])]);
    let answer = owner.ask(&change);
    assert_eq!(answer.code(), 0, "{answer:?}");
    assert_eq!(login(&front, &dn, "new"), 0);
    assert_eq!(login(&front, &dn, "old"), 49);
}

#[test]
fn changed_through_the_proxy_by_an_administrator() {
    let Some(samba) = Samba::shared() else { return };
    let proxy = Configuration::in_front_of(&samba.ldaps()).start();
    let front = proxy.ldaps();
    let dn = too_early(samba, &front, "by-admin");
    let mut admin = front.connect();
    assert_eq!(admin.bind("EXAMPLE\\Administrator", "Adm1n.Passw0rd"), 0);
    let new = unicode_password("new");
    let answer = admin.ask(&request::modify(&dn, &[(Change::Replace, "unicodePwd", &[&new])]));
    assert_eq!(answer.code(), 0, "{answer:?}");
    assert_eq!(login(&front, &dn, "new"), 0);
}
