//! What says nothing about the password is never remembered: after it, the right password works as
//! soon as the directory lets it, and the directory is asked every time.

use std::sync::OnceLock;
use std::time::Duration;

use bindproxy_tests::ldap::Frame;
use bindproxy_tests::proxy::{Configuration, Proxy};
use bindproxy_tests::request::{self, Change, PASSWORD_POLICY};
use bindproxy_tests::slapd::{ADMIN, ADMIN_PASSWORD, MAX_FAILURES, Settings, Slapd};
use bindproxy_tests::stale_device::{cached, login, never_from_the_cache};
use bindproxy_tests::wait::{self, Stopwatch};

struct Setting {
    slapd: Slapd,
    proxy: Proxy,
}

/// A directory that tells a lock by the password policy control (`ppolicy_use_lockout`).
fn telling() -> Option<&'static Setting> {
    static TELLING: OnceLock<Option<Setting>> = OnceLock::new();
    let start = || {
        let settings = Settings { shows_lockout: true, allows_version_2: true, ..Settings::default() };
        let slapd = Slapd::start(&settings)?;
        let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
        Some(Setting { slapd, proxy })
    };
    TELLING.get_or_init(start).as_ref()
}

fn lock(slapd: &Slapd, dn: &str) {
    for attempt in 0..MAX_FAILURES {
        assert_eq!(login(&slapd.endpoint(), dn, &format!("guess {attempt}")), 49);
    }
    assert!(slapd.locked(dn));
}

#[test]
fn locked_and_unlocked() {
    let Some(Setting { slapd, proxy }) = telling() else { return };
    let dn = slapd.add_user("locked", "right");
    lock(slapd, &dn);
    never_from_the_cache(slapd, &proxy.endpoint(), &dn, "right", 49);
    slapd.unlock(&dn);
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
}

#[test]
fn locked_by_an_administrator() {
    let Some(Setting { slapd, proxy }) = telling() else { return };
    let dn = slapd.add_user("locked-by-admin", "right");
    slapd.modify(&dn, &[(Change::Replace, "pwdAccountLockedTime", &[b"000001010000Z"])]);
    never_from_the_cache(slapd, &proxy.endpoint(), &dn, "right", 49);
    never_from_the_cache(slapd, &proxy.endpoint(), &dn, "wrong", 49);
    slapd.unlock(&dn);
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
}

#[test]
fn account_that_has_ended() {
    let Some(Setting { slapd, proxy }) = telling() else { return };
    let dn = slapd.add_user("ended", "right");
    slapd.modify(&dn, &[(Change::Replace, "pwdEndTime", &[b"20200101000000Z"])]);
    never_from_the_cache(slapd, &proxy.endpoint(), &dn, "right", 49);
    slapd.modify(&dn, &[(Change::Delete, "pwdEndTime", &[])]);
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
}

/// A directory that does not tell a lock from a wrong password: the last good password of the name
/// is refused for `firstTTLSeconds` after the unlock at most.
#[test]
fn locked_without_a_sign_and_unlocked_at_the_server() {
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).section("cache", "firstTTLSeconds: 1").start();
    let dn = slapd.add_user("locked-silently", "right");
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
    lock(slapd, &dn);
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 49);
    slapd.unlock(&dn);
    let watch = Stopwatch::start();
    wait::until_true("the right password after the unlock", Duration::from_secs(10), || {
        login(&proxy.endpoint(), &dn, "right") == 0
    });
    watch.report("the right password was refused after an unlock that the proxy could not see");
}

/// An unlock that passes through the proxy is seen.
#[test]
fn locked_without_a_sign_and_unlocked_through_the_proxy() {
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    let dn = slapd.add_user("unlocked-through", "right");
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
    lock(slapd, &dn);
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 49);
    let mut admin = proxy.endpoint().connect();
    assert_eq!(admin.bind(ADMIN, ADMIN_PASSWORD), 0);
    let answer = admin.ask(&request::modify(&dn, &[(Change::Delete, "pwdAccountLockedTime", &[])]));
    assert_eq!(answer.code(), 0, "{answer:?}");
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
}

#[test]
fn expired_password() {
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    let dn = slapd.add_user("expired", "right");
    slapd.modify(&dn, &[(Change::Replace, "pwdChangedTime", &[b"20200101000000Z"])]);
    never_from_the_cache(slapd, &proxy.endpoint(), &dn, "right", 49);
    cached(slapd, &proxy.endpoint(), &dn, "wrong");
    slapd.modify(&dn, &[(Change::Replace, "pwdChangedTime", &[b"20990101000000Z"])]);
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
}

#[test]
fn password_that_must_be_changed() {
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    let dn = slapd.add_user("must-change", "right");
    slapd.modify(&dn, &[(Change::Replace, "pwdReset", &[b"TRUE"])]);
    never_from_the_cache(slapd, &proxy.endpoint(), &dn, "right", 0);
    cached(slapd, &proxy.endpoint(), &dn, "wrong");
    let mut owner = proxy.endpoint().connect();
    let policy = request::control(PASSWORD_POLICY, false, None);
    let answer = owner.ask_with(&request::bind(&dn, "right"), &[policy]);
    assert_eq!(answer.control(PASSWORD_POLICY), Some(vec![0x30, 3, 0x81, 1, 2]), "changeAfterReset: {answer:?}");
    assert_eq!(owner.ask(&request::password_modify(None, Some("right"), "next")).code(), 0);
    assert_eq!(login(&proxy.endpoint(), &dn, "next"), 0);
}

#[test]
fn empty_password() {
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    let dn = slapd.add_user("empty", "right");
    never_from_the_cache(slapd, &proxy.endpoint(), &dn, "", 53);
    assert_eq!(slapd.failures(&dn), 0);
}

#[test]
fn empty_password_that_the_proxy_is_told_to_refuse() {
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).section("cache", "rejectUnauthenticated: true").start();
    let dn = slapd.add_user("empty-refused", "right");
    for _ in 0..3 {
        assert_eq!(login(&proxy.endpoint(), &dn, ""), 53);
    }
    assert_eq!(slapd.binds(&dn), 0);
    assert_eq!(login(&proxy.endpoint(), "", ""), 0, "an anonymous bind is none of these");
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
}

#[test]
fn malformed_name() {
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    for attempt in 1..=3 {
        assert_eq!(login(&proxy.endpoint(), "no-dn-at-all", "right"), 34);
        assert_eq!(slapd.logged("do_bind: invalid dn (no-dn-at-all)"), attempt);
    }
}

/// With an unknown critical control the directory must refuse the operation itself, whatever is
/// known about the password.
#[test]
fn unknown_critical_control() {
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    let dn = slapd.add_user("critical", "right");
    assert_eq!(login(&proxy.endpoint(), &dn, "wrong"), 49);
    // slapd refuses the control before it logs the bind, and logs the refusal after it was sent.
    let refusals = || slapd.logged("RESULT tag=97 err=12");
    let before = refusals();
    for (attempt, password) in ["wrong", "right", "wrong", "right"].into_iter().enumerate() {
        let unknown = request::control("1.2.3.4.5", true, None);
        let answer = proxy.endpoint().connect().ask_with(&request::bind(&dn, password), &[unknown]);
        assert_eq!(answer.code(), 12, "{answer:?}");
        wait::until_true("the refusal in the log", Duration::from_secs(5), || refusals() - before == attempt + 1);
    }
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
    assert_eq!(slapd.failures(&dn), 0);
}

/// A password policy control that is malformed (slapd takes no value) is the directory's to refuse.
#[test]
fn malformed_password_policy_control() {
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    let dn = slapd.add_user("pp-with-value", "right");
    assert_eq!(login(&proxy.endpoint(), &dn, "wrong"), 49);
    let malformed = request::control(PASSWORD_POLICY, false, Some(b"x"));
    for _ in 0..2 {
        let answer =
            proxy.endpoint().connect().ask_with(&request::bind(&dn, "wrong"), std::slice::from_ref(&malformed));
        assert_eq!(answer.code(), 2, "{answer:?}");
    }
}

/// PHP binds with version 2 unless told otherwise; its stale passwords count once as well.
#[test]
fn version_2() {
    let Some(Setting { slapd, proxy }) = telling() else { return };
    let dn = slapd.add_user("version-2", "right");
    let bind = |password| proxy.endpoint().connect().ask(&request::bind_version(2, &dn, password)).code();
    assert_eq!(bind("right"), 0);
    for _ in 0..3 {
        assert_eq!(bind("wrong"), 49);
    }
    assert_eq!(slapd.failures(&dn), 1);
    assert_eq!(bind("right"), 0);
}

#[test]
fn version_2_where_it_is_refused() {
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    let dn = slapd.add_user("historical", "right");
    for _ in 0..2 {
        assert_eq!(proxy.endpoint().connect().ask(&request::bind_version(2, &dn, "right")).code(), 2);
    }
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
}

/// SASL PLAIN failures say 49, and are no simple bind.
#[test]
fn sasl_plain() {
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    slapd.add_user("plain-sasl", "right");
    let bind = |password: &str| {
        let credentials = format!("\0plain-sasl\0{password}");
        let mut connection = proxy.endpoint().connect();
        let answer = connection.ask(&request::bind_sasl("PLAIN", Some(credentials.as_bytes())));
        (answer.code(), if answer.code() == 0 { connection.who_am_i() } else { String::new() })
    };
    let right = (0, format!("dn:{}", Slapd::dn("plain-sasl")));
    let before = slapd.logged(" method=163");
    for _ in 0..3 {
        assert_eq!(bind("wrong").0, 49);
    }
    assert_eq!(slapd.logged(" method=163") - before, 3);
    assert_eq!(bind("right"), right);
}

/// EXTERNAL at the directory's unix socket means the user of the process at the other end, and that
/// is the proxy: a client must not become what the proxy may be.
#[test]
fn sasl_external_never_lends_the_proxys_identity() {
    let Some(slapd) = Slapd::shared() else { return };
    let mut direct = slapd.unix().connect();
    assert_eq!(direct.ask(&request::bind_sasl("EXTERNAL", Some(b""))).code(), 0);
    assert_eq!(direct.who_am_i(), "dn:gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth", "the premise");

    let proxy = Configuration::in_front_of(&slapd.unix()).start();
    for front in [proxy.endpoint(), proxy.ldaps(), proxy.unix()] {
        for credentials in [None, Some(b"".as_slice()), Some(b"dn:cn=admin,dc=example,dc=org")] {
            let mut client = front.connect();
            let answer = client.ask(&request::bind_sasl("EXTERNAL", credentials));
            assert_eq!(answer.code(), 7, "{answer:?}");
            assert_eq!(client.who_am_i(), "");
        }
    }
}

/// The proxy asks for the password policy control to learn more; a client that did not ask for it
/// sees none, in a forwarded answer as in a replay, and one that did sees the directory's own.
#[test]
fn password_policy_response_goes_to_those_who_asked() {
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    let policy = request::control(PASSWORD_POLICY, false, None);
    let ask = |dn: &str, password: &str, asks: bool| -> Frame {
        let controls = if asks { std::slice::from_ref(&policy) } else { &[] };
        proxy.endpoint().connect().ask_with(&request::bind(dn, password), controls)
    };
    for (uid, first_asks) in [("asks-first", true), ("asks-later", false)] {
        let dn = slapd.add_user(uid, "right");
        for password in ["right", "wrong"] {
            for asks in [first_asks, !first_asks, first_asks] {
                let answer = ask(&dn, password, asks);
                assert_eq!(answer.code(), if password == "right" { 0 } else { 49 });
                let shown = answer.control(PASSWORD_POLICY);
                assert_eq!(shown, asks.then(|| vec![0x30, 0]), "{uid} {password} asks: {asks} {answer:?}");
            }
        }
        assert_eq!(slapd.failures(&dn), 1, "both kinds of client share one entry");
    }
}
