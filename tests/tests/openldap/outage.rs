//! A real directory that hangs, and TLS that cannot be trusted.

use std::time::Duration;

use bindproxy_tests::certificates::Authority;
use bindproxy_tests::ldap::Endpoint;
use bindproxy_tests::proxy::Configuration;
use bindproxy_tests::scratch::Scratch;
use bindproxy_tests::slapd::{Settings, Slapd};
use bindproxy_tests::stale_device::{hammer_expecting, login};
use bindproxy_tests::wait;

const QUICK: &str = "connectTimeoutSeconds: 1, requestTimeoutSeconds: 1";

/// The process stands still with its sockets open: connections are accepted by the kernel, and
/// nothing is answered.
#[test]
fn a_frozen_directory() {
    let Some(slapd) = Slapd::start(&Settings::default()) else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).section("upstreamPolicy", QUICK).start();
    let dn = slapd.add_user("frozen", "right");
    assert_eq!(login(&proxy.endpoint(), &dn, "stale"), 49);
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
    slapd.process().freeze();
    hammer_expecting(49, &proxy.endpoint(), &dn, "stale");
    assert_eq!(login(&proxy.endpoint(), &dn, "right"), 52);
    assert_eq!(login(&proxy.endpoint(), &dn, "another"), 52);
    slapd.process().thaw();
    wait::until_true("the directory to be used again", Duration::from_secs(20), || {
        login(&proxy.endpoint(), &dn, "right") == 0
    });
    // What was written while it stood still is evaluated now, once each.
    let written = |password: &str| login(&proxy.endpoint(), &dn, password);
    assert_eq!(written("stale"), 49);
    assert!(slapd.failures(&dn) <= 1, "{} failures", slapd.failures(&dn));
    assert!(!slapd.locked(&dn));
}

#[test]
fn a_certificate_that_cannot_be_trusted() {
    let Some(slapd) = Slapd::shared() else { return };
    let scratch = Scratch::new("foreign");
    let foreign = Authority::new(scratch.path()).ca_file;
    let dn = slapd.add_user("untrusted", "right");
    let other_name = |endpoint: Endpoint| Endpoint { server_name: "other.example.org".to_owned(), ..endpoint };
    let foreign_authority = |endpoint: Endpoint| Endpoint { ca_file: Some(foreign.clone()), ..endpoint };
    for (kind, upstream) in [
        ("LDAPS, another name", other_name(slapd.ldaps())),
        ("LDAPS, another authority", foreign_authority(slapd.ldaps())),
        ("StartTLS, another name", other_name(slapd.start_tls())),
        ("StartTLS, another authority", foreign_authority(slapd.start_tls())),
    ] {
        let proxy = Configuration::in_front_of(&upstream).section("upstreamPolicy", QUICK).start();
        assert_eq!(login(&proxy.endpoint(), &dn, "right"), 52, "{kind}");
        assert_eq!(login(&proxy.endpoint(), &dn, "stale"), 52, "{kind}");
        let failed = proxy.metric("bindproxy_upstream_connect_failures_total", &[("upstream", "directory")]);
        assert!(failed >= 1.0, "{kind}");
    }
    assert_eq!(slapd.binds(&dn), 0, "no password was sent");
}

/// The proxy shows a certificate of its own where the directory asks for one.
#[test]
fn a_client_certificate_towards_the_directory() {
    let Some(slapd) = Slapd::start(&Settings { demands_certificates: true, ..Settings::default() }) else { return };
    let dn = slapd.add_user("with-certificate", "right");
    let checked = format!("{QUICK}, healthCheck: {{intervalSeconds: 1}}");
    let without = Configuration::in_front_of(&slapd.ldaps()).section("upstreamPolicy", &checked).start();
    // TLS 1.3 tells only after the handshake that a certificate is missing: connections come about, and are of no use.
    wait::until_true("the directory to be taken for down", Duration::from_secs(20), || {
        assert_eq!(login(&without.endpoint(), &dn, "right"), 52);
        without.metric("bindproxy_upstream_up", &[("upstream", "directory")]) == 0.0
    });
    for _ in 0..20 {
        assert_eq!(login(&without.endpoint(), &dn, "right"), 52);
        assert_eq!(without.metric("bindproxy_upstream_up", &[("upstream", "directory")]), 0.0);
    }
    let identity = slapd.authority().client("proxy", "bindproxy");
    for endpoint in [slapd.ldaps(), slapd.start_tls()] {
        let upstream = Endpoint { identity: Some(identity.clone()), ..endpoint };
        let with = Configuration::in_front_of(&upstream).section("upstreamPolicy", QUICK).start();
        assert_eq!(login(&with.endpoint(), &dn, "right"), 0);
        // A client without a certificate must not act under the proxy's.
        let mut client = with.endpoint().connect();
        let external = bindproxy_tests::request::bind_sasl("EXTERNAL", Some(b""));
        assert_eq!(client.ask(&external).code(), 7);
        assert_eq!(client.who_am_i(), "");
    }
}
