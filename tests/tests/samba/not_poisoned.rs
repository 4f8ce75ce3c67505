//! Every sub-code but `52e` says something else than "the password is wrong", and is never
//! remembered.

use std::sync::OnceLock;

use bindproxy_tests::proxy::{Configuration, Proxy};
use bindproxy_tests::request::{self, Change};
use bindproxy_tests::samba::{MAX_FAILURES, Samba};
use bindproxy_tests::stale_device::{cached, login, never_from_the_cache};

fn setting() -> Option<(&'static Samba, &'static Proxy)> {
    static PROXY: OnceLock<Proxy> = OnceLock::new();
    let samba = Samba::shared()?;
    Some((samba, PROXY.get_or_init(|| Configuration::in_front_of(&samba.endpoint()).start())))
}

/// The sub-code of Active Directory in the answer to a bind sent straight to the directory.
fn sub_code(samba: &Samba, dn: &str, password: &str) -> String {
    let answer = samba.endpoint().connect().ask(&request::bind(dn, password));
    let diagnostic = answer.diagnostic();
    let (_, rest) = diagnostic.split_once("data ").unwrap_or_else(|| panic!("no sub-code in {answer:?}"));
    rest.split(',').next().unwrap_or_default().to_owned()
}

fn refused_and_never_remembered(samba: &Samba, proxy: &Proxy, dn: &str, expected: &str) {
    assert_eq!(sub_code(samba, dn, "right"), expected, "the premise");
    never_from_the_cache(samba, &proxy.endpoint(), dn, "right", 49);
}

#[test]
fn wrong_password_52e() {
    let Some((samba, proxy)) = setting() else { return };
    let dn = samba.add_user("wrong", "right");
    let answer = cached(samba, &proxy.endpoint(), &dn, "wrong");
    assert!(answer.diagnostic().contains("data 52e"), "{answer:?}");
    assert_eq!(samba.failures(&dn), 1);
}

#[test]
fn unknown_user_52e() {
    let Some((samba, proxy)) = setting() else { return };
    cached(samba, &proxy.endpoint(), &Samba::dn("nobody"), "guess");
    cached(samba, &proxy.endpoint(), "nobody@example.test", "guess");
}

#[test]
fn locked_775_and_unlocked() {
    let Some((samba, proxy)) = setting() else { return };
    let dn = samba.add_user("locked", "right");
    for attempt in 0..MAX_FAILURES {
        assert_eq!(login(&samba.endpoint(), &dn, &format!("guess {attempt}")), 49);
    }
    refused_and_never_remembered(samba, proxy, &dn, "775");
    never_from_the_cache(samba, &proxy.endpoint(), &dn, "wrong", 49);
    samba.unlock(&dn);
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
}

#[test]
fn disabled_533_and_enabled() {
    let Some((samba, proxy)) = setting() else { return };
    let dn = samba.add_user("disabled", "right");
    samba.modify(&dn, &[(Change::Replace, "userAccountControl", &[b"514"])]);
    refused_and_never_remembered(samba, proxy, &dn, "533");
    cached(samba, &proxy.endpoint(), &dn, "wrong");
    samba.modify(&dn, &[(Change::Replace, "userAccountControl", &[b"512"])]);
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
}

#[test]
fn account_expired_701_and_extended() {
    let Some((samba, proxy)) = setting() else { return };
    let dn = samba.add_user("account-expired", "right");
    // 2020-01-01 in 100 ns since 1601.
    samba.modify(&dn, &[(Change::Replace, "accountExpires", &[b"132223104000000000"])]);
    refused_and_never_remembered(samba, proxy, &dn, "701");
    cached(samba, &proxy.endpoint(), &dn, "wrong");
    samba.modify(&dn, &[(Change::Replace, "accountExpires", &[b"0"])]);
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
}

#[test]
fn must_change_773_and_changed() {
    let Some((samba, proxy)) = setting() else { return };
    let dn = samba.add_user("must-change", "right");
    samba.modify(&dn, &[(Change::Replace, "pwdLastSet", &[b"0"])]);
    refused_and_never_remembered(samba, proxy, &dn, "773");
    cached(samba, &proxy.endpoint(), &dn, "wrong");
    samba.modify(&dn, &[(Change::Replace, "pwdLastSet", &[b"-1"])]);
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
}

#[test]
fn password_expired_532_and_renewed() {
    let Some((samba, proxy)) = setting() else { return };
    let dn = samba.add_user("expired", "right");
    samba.write_past_the_rules(&dn, "pwdLastSet", "132223104000000000");
    refused_and_never_remembered(samba, proxy, &dn, "532");
    cached(samba, &proxy.endpoint(), &dn, "wrong");
    // "Now" is taken only for a password that was to be changed.
    samba.modify(&dn, &[(Change::Replace, "pwdLastSet", &[b"0"])]);
    samba.modify(&dn, &[(Change::Replace, "pwdLastSet", &[b"-1"])]);
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
}

/// Samba counts a bind with an empty password; Active Directory takes it for anonymous. Either way
/// the directory says it.
#[test]
fn empty_password() {
    let Some((samba, proxy)) = setting() else { return };
    let dn = samba.add_user("empty", "right");
    for expected in 1..=2 {
        assert_eq!(login(&proxy.endpoint(), &dn, ""), 49);
        assert_eq!(samba.failures(&dn), expected);
    }
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
}

/// Samba answers this with an ExtendedResponse under the bind's message ID.
#[test]
fn unknown_critical_control() {
    let Some((samba, proxy)) = setting() else { return };
    let dn = samba.add_user("critical", "right");
    assert_eq!(login(&proxy.endpoint(), &dn, "wrong"), 49);
    for password in ["wrong", "right", "wrong"] {
        let bind = request::bind(&dn, password);
        let unknown = [request::control("1.2.3.4.5", true, None)];
        let direct = samba.endpoint().connect().ask_with(&bind, &unknown);
        let answer = proxy.endpoint().connect().ask_with(&bind, &unknown);
        assert_eq!(answer.octets, direct.octets, "{answer:?}");
        assert_eq!((answer.op(), answer.code()), (0x78, 12), "{answer:?}");
    }
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
    assert_eq!(samba.failures(&dn), 0);
}

/// PHP binds with version 2 unless told otherwise; its stale passwords count once as well.
#[test]
fn version_2() {
    let Some((samba, proxy)) = setting() else { return };
    let dn = samba.add_user("version-2", "right");
    let bind = |password| proxy.endpoint().connect().ask(&request::bind_version(2, &dn, password)).code();
    assert_eq!(bind("right"), 0);
    for _ in 0..3 {
        assert_eq!(bind("wrong"), 49);
    }
    assert_eq!(samba.failures(&dn), 1);
    assert_eq!(bind("right"), 0);
}

/// Clear text is refused with 8 where the domain asks for TLS; that says nothing about the password.
/// `ldap server require strong auth = no` is set here, so the proxy's own configuration shows it:
/// an upstream that refuses SASL PLAIN answers 1, every time.
#[test]
fn sasl_plain_is_refused_every_time() {
    let Some((_, proxy)) = setting() else { return };
    for _ in 0..3 {
        let answer = proxy.endpoint().connect().ask(&request::bind_sasl("PLAIN", Some(b"\0x\0y")));
        assert_eq!(answer.code(), 1, "{answer:?}");
    }
}
