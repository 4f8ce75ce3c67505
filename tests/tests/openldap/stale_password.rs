//! A stale password costs the account one failure, over every kind of transport on both sides.

use std::sync::OnceLock;

use bindproxy_tests::proxy::{Configuration, Proxy};
use bindproxy_tests::slapd::Slapd;
use bindproxy_tests::stale_device::{cached, hammer_expecting, login, one_stale_password_counts_once};

/// One proxy for each way to the directory, with a listener of every kind.
fn proxies(slapd: &Slapd) -> &'static [(&'static str, Proxy)] {
    static PROXIES: OnceLock<Vec<(&'static str, Proxy)>> = OnceLock::new();
    PROXIES.get_or_init(|| {
        [
            ("clear", slapd.endpoint()),
            ("ldaps", slapd.ldaps()),
            ("starttls", slapd.start_tls()),
            ("ldapi", slapd.unix()),
        ]
        .map(|(kind, upstream)| (kind, Configuration::in_front_of(&upstream).start()))
        .into()
    })
}

#[test]
fn counts_once_over_every_transport_on_both_sides() {
    let Some(slapd) = Slapd::shared() else { return };
    for (upstream, proxy) in proxies(slapd) {
        for (listener, front) in [
            ("clear", proxy.endpoint()),
            ("ldaps", proxy.ldaps()),
            ("starttls", proxy.start_tls()),
            ("unix", proxy.unix()),
        ] {
            let dn = slapd.add_user(&format!("{listener}-over-{upstream}"), "right");
            one_stale_password_counts_once(slapd, &front, &dn, "right", "stale");
        }
    }
}

#[test]
fn counts_once_however_the_name_is_spelled() {
    let Some(slapd) = Slapd::shared() else { return };
    let (_, proxy) = &proxies(slapd)[0];
    let dn = slapd.add_user("spelled", "right");
    for spelling in [
        "uid=spelled,ou=people,dc=example,dc=org",
        "UID=Spelled,OU=People,DC=Example,DC=Org",
        "uid = spelled , ou = people , dc = example , dc = org",
        "uid=\\73pelled,ou=people,dc=example,dc=org",
    ] {
        assert_eq!(login(&proxy.endpoint(), spelling, "stale"), 49, "{spelling}");
    }
    assert_eq!(slapd.failures(&dn), 1);
    assert_eq!(login(&proxy.endpoint(), "UID=spelled,ou=people, dc=example,dc=org", "right"), 0);
}

#[test]
fn several_stale_passwords_count_once_each() {
    let Some(slapd) = Slapd::shared() else { return };
    let (_, proxy) = &proxies(slapd)[0];
    let dn = slapd.add_user("two-devices", "right");
    for _ in 0..2 {
        hammer_expecting(49, &proxy.endpoint(), &dn, "phone");
        hammer_expecting(49, &proxy.endpoint(), &dn, "tablet");
    }
    assert_eq!(slapd.failures(&dn), 2);
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
}

/// The passwords are compared octet by octet: neither case nor a trailing space or NUL may fold.
#[test]
fn passwords_that_differ_in_one_octet_are_different() {
    let Some(slapd) = Slapd::shared() else { return };
    let (_, proxy) = &proxies(slapd)[0];
    let dn = slapd.add_user("exact", "Right");
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 49);
    assert_eq!(login(&proxy.endpoint(), &dn, "Right"), 0);
    assert_eq!(login(&proxy.endpoint(), &dn, "Right "), 49);
    assert_eq!(login(&proxy.endpoint(), &dn, "Right\0"), 49);
    assert_eq!(login(&proxy.endpoint(), &dn, "Right"), 0);
}

#[test]
fn unknown_names_are_answered_from_the_cache_too() {
    let Some(slapd) = Slapd::shared() else { return };
    let (_, proxy) = &proxies(slapd)[0];
    cached(slapd, &proxy.endpoint(), "uid=nobody,ou=people,dc=example,dc=org", "guess");
}

/// The device goes on hammering after the directory locked the account for other reasons, and after
/// an unlock: its password stays wrong, and is still not asked again.
#[test]
fn the_cache_outlives_lock_and_unlock_at_the_server() {
    let Some(slapd) = Slapd::shared() else { return };
    let (_, proxy) = &proxies(slapd)[0];
    let dn = slapd.add_user("locked-elsewhere", "right");
    hammer_expecting(49, &proxy.endpoint(), &dn, "stale");
    for attempt in 0..2 {
        assert_eq!(login(&slapd.endpoint(), &dn, &format!("guess {attempt}")), 49);
    }
    assert!(slapd.locked(&dn));
    hammer_expecting(49, &proxy.endpoint(), &dn, "stale");
    slapd.unlock(&dn);
    let before = slapd.binds(&dn);
    hammer_expecting(49, &proxy.endpoint(), &dn, "stale");
    assert_eq!(slapd.binds(&dn), before);
    assert_eq!(slapd.failures(&dn), 0);
}

#[test]
fn what_the_proxy_prevented_is_counted() {
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    let dn = slapd.add_user("counted", "right");
    hammer_expecting(49, &proxy.endpoint(), &dn, "stale");
    let forwarded =
        proxy.metric("bindproxy_binds_total", &[("decision", "upstream"), ("result", "invalid_credentials")]);
    let from_cache = proxy.metric("bindproxy_binds_total", &[("result", "invalid_credentials")]) - forwarded;
    assert_eq!((forwarded, from_cache), (1.0, 19.0));
    assert_eq!(proxy.metric("bindproxy_lockout_attempts_prevented_total", &[]), 19.0);
    proxy.wait_for_metric("bindproxy_cache_entries", &[], 1.0);
    let to_upstream = [("upstream", "directory"), ("op", "bind"), ("result", "invalid_credentials")];
    assert_eq!(proxy.metric("bindproxy_upstream_requests_total", &to_upstream), 1.0);
}

/// Promise I4: nothing from which the password or, by default, the name could be read.
#[test]
fn no_password_and_no_name_is_logged() {
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).section("logging", "level: trace").start();
    let dn = slapd.add_user("discreet", "right-as-rain");
    hammer_expecting(49, &proxy.endpoint(), &dn, "stale-as-bread");
    assert_eq!(login(&proxy.endpoint(), &dn, "right-as-rain"), 0);
    let (_, metrics) = proxy.get("/metrics").expect("metrics");
    for text in [proxy.log(), metrics] {
        for secret in ["right-as-rain", "stale-as-bread", "discreet"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
