//! What says nothing about the password is never remembered.

use std::sync::OnceLock;

use bindproxy_tests::directory_server_389::{DirectoryServer389, MAX_FAILURES};
use bindproxy_tests::proxy::{Configuration, Proxy};
use bindproxy_tests::request::{self, Change};
use bindproxy_tests::stale_device::{cached, login, never_from_the_cache};

fn setting() -> Option<(&'static DirectoryServer389, &'static Proxy)> {
    static PROXY: OnceLock<Proxy> = OnceLock::new();
    let server = DirectoryServer389::shared()?;
    Some((server, PROXY.get_or_init(|| Configuration::in_front_of(&server.endpoint()).start())))
}

#[test]
fn locked_and_unlocked() {
    let Some((server, proxy)) = setting() else { return };
    let dn = server.add_user("locked", "right");
    for attempt in 0..MAX_FAILURES {
        assert_eq!(login(&server.endpoint(), &dn, &format!("guess {attempt}")), 49);
    }
    assert!(server.locked(&dn));
    never_from_the_cache(server, &proxy.endpoint(), &dn, "right", 19);
    never_from_the_cache(server, &proxy.endpoint(), &dn, "wrong", 19);
    server.unlock(&dn);
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
}

#[test]
fn disabled_and_enabled() {
    let Some((server, proxy)) = setting() else { return };
    let dn = server.add_user("disabled", "right");
    server.modify(&dn, &[(Change::Replace, "nsAccountLock", &[b"true"])]);
    never_from_the_cache(server, &proxy.endpoint(), &dn, "right", 53);
    never_from_the_cache(server, &proxy.endpoint(), &dn, "wrong", 53);
    server.modify(&dn, &[(Change::Delete, "nsAccountLock", &[])]);
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
}

/// 49 with a diagnostic message: the password was right, and too old.
#[test]
fn expired_password() {
    let Some((server, proxy)) = setting() else { return };
    let dn = server.add_user("expired", "right");
    server.modify(&dn, &[(Change::Replace, "passwordExpirationTime", &[b"20200101000000Z"])]);
    let direct = server.endpoint().connect().ask(&request::bind(&dn, "right"));
    assert_eq!((direct.code(), direct.diagnostic().as_str()), (49, "password expired!"), "the premise");
    never_from_the_cache(server, &proxy.endpoint(), &dn, "right", 49);
    cached(server, &proxy.endpoint(), &dn, "wrong");
    server.modify(&dn, &[(Change::Replace, "passwordExpirationTime", &[b"20990101000000Z"])]);
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
}

#[test]
fn empty_password() {
    let Some((server, proxy)) = setting() else { return };
    let dn = server.add_user("empty", "right");
    never_from_the_cache(server, &proxy.endpoint(), &dn, "", 53);
    assert_eq!(server.failures(&dn), 0);
}

#[test]
fn unknown_critical_control() {
    let Some((server, proxy)) = setting() else { return };
    let dn = server.add_user("critical", "right");
    assert_eq!(login(&proxy.endpoint(), &dn, "wrong"), 49);
    for password in ["wrong", "right", "wrong"] {
        let unknown = request::control("1.2.3.4.5", true, None);
        let answer = proxy.endpoint().connect().ask_with(&request::bind(&dn, password), &[unknown]);
        assert_eq!(answer.code(), 12, "{answer:?}");
    }
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
    assert_eq!(server.failures(&dn), 0);
}

/// PHP binds with version 2 unless told otherwise; its stale passwords count once as well.
#[test]
fn version_2() {
    let Some((server, proxy)) = setting() else { return };
    let dn = server.add_user("version-2", "right");
    let bind = |password| proxy.endpoint().connect().ask(&request::bind_version(2, &dn, password)).code();
    assert_eq!(bind("right"), 0);
    for _ in 0..3 {
        assert_eq!(bind("wrong"), 49);
    }
    assert_eq!(server.failures(&dn), 1);
    assert_eq!(bind("right"), 0);
}

#[test]
fn sasl_plain() {
    let Some((server, proxy)) = setting() else { return };
    let dn = server.add_user("plain-sasl", "right");
    let bind = |password: &str| {
        let credentials = format!("\0dn:{dn}\0{password}");
        proxy.endpoint().connect().ask(&request::bind_sasl("PLAIN", Some(credentials.as_bytes()))).code()
    };
    let counted = || server.log().lines().filter(|line| line.contains(" method=sasl ")).count();
    let before = counted();
    for _ in 0..3 {
        assert_eq!(bind("wrong"), 49);
    }
    assert_eq!(counted() - before, 3);
    assert_eq!(bind("right"), 0);
}

/// Any name that is no DN gets 49, as an unknown one does: remembered, and harmless.
#[test]
fn unknown_name() {
    let Some((server, proxy)) = setting() else { return };
    cached(server, &proxy.endpoint(), "uid=nobody,ou=people,dc=example,dc=org", "guess");
}

/// An anonymous bind with a password is anonymous at this directory, and stays allowed.
#[test]
fn empty_name_with_a_password() {
    let Some((server, proxy)) = setting() else { return };
    assert_eq!(login(&proxy.endpoint(), "", "guess"), login(&server.endpoint(), "", "guess"));
}
