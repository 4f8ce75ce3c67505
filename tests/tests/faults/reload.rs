//! A changed configuration is taken as a whole or not at all.

use std::time::Duration;

use bindproxy_tests::ldap::Endpoint;
use bindproxy_tests::proxy::{Configuration, Proxy};
use bindproxy_tests::stale_device::login;
use bindproxy_tests::wait;

use crate::stage::{ALICE, ALICE_PASSWORD, QUICK, directory, endpoint};

const REFUSED: [(&str, &str); 1] = [("result", "error")];

fn hash(proxy: &Proxy) -> String {
    let (status, body) = proxy.get("/configz").expect("the admin address answers");
    assert_eq!(status, 200, "{body}");
    let start = body.find("\"hash\"").unwrap_or_else(|| panic!("no hash in {body}"));
    body[start + 6..].split('"').nth(1).expect("the hash").to_owned()
}

fn error(proxy: &Proxy) -> String {
    proxy.get("/configz").expect("the admin address answers").1
}

#[test]
fn another_upstream() {
    let (first, second) = (directory(), directory());
    let configuration = |upstream: &Endpoint| Configuration::in_front_of(upstream).section("upstreamPolicy", QUICK);
    let proxy = configuration(&endpoint(&first)).start();
    assert_eq!(login(&proxy.endpoint(), ALICE, "stale"), 49);
    let mut bound = proxy.endpoint().connect();
    assert_eq!(bound.bind(ALICE, ALICE_PASSWORD), 0);
    let before = hash(&proxy);

    for (by, signal) in [("SIGHUP", true), ("the file alone", false)] {
        let (old, new) = if signal { (&first, &second) } else { (&second, &first) };
        let counts = (old.binds(ALICE), new.binds(ALICE));
        let hash_before = hash(&proxy);
        proxy.write(&configuration(&endpoint(new)));
        if signal {
            proxy.reload();
        }
        wait::until_true(&format!("the reload by {by}"), Duration::from_secs(20), || hash(&proxy) != hash_before);
        assert_eq!(login(&proxy.endpoint(), ALICE, ALICE_PASSWORD), 0);
        assert_eq!((old.binds(ALICE), new.binds(ALICE)), (counts.0, counts.1 + 1), "{by}");
        assert_eq!(login(&proxy.endpoint(), ALICE, "stale"), 49);
        assert_eq!((old.binds(ALICE), new.binds(ALICE)), (counts.0, counts.1 + 1), "what is remembered stays");
        assert_eq!(bound.who_am_i(), format!("dn:{ALICE}"), "a client that is connected stays where it is");
    }
    assert_eq!(hash(&proxy), before, "the same configuration has the same hash");
}

#[test]
fn a_bad_file_is_refused_whole() {
    let directory = directory();
    let good = Configuration::in_front_of(&endpoint(&directory)).section("upstreamPolicy", QUICK);
    let proxy = good.start();
    let before = hash(&proxy);
    let text = std::fs::read_to_string(proxy.file()).expect("read the configuration");
    let bad = [
        ("no YAML", "listeners: [".to_owned()),
        ("an unknown field", format!("{text}nonsense: 1\n")),
        ("a duplicate section", format!("{text}cache: {{ttlSeconds: 1}}\ncache: {{ttlSeconds: 2}}\n")),
        ("TTLs in the wrong order", format!("{text}cache: {{ttlSeconds: 10, maxTTLSeconds: 5}}\n")),
        ("a missing file", format!("{text}cache: {{keyFile: /nonexistent/key}}\n")),
        ("an empty file", String::new()),
    ];
    for (number, (name, content)) in bad.iter().enumerate() {
        proxy.write_text(content);
        proxy.reload();
        let refused = number as f64 + 1.0;
        proxy.wait_for_metric("bindproxy_config_reloads_total", &REFUSED, refused);
        assert_eq!(hash(&proxy), before, "{name}");
        assert!(!error(&proxy).contains("\"error\":null"), "{name}: {}", error(&proxy));
        assert_eq!(login(&proxy.endpoint(), ALICE, ALICE_PASSWORD), 0, "{name}");
    }
    proxy.write(&good);
    proxy.reload();
    wait::until_true("the good file to be taken", Duration::from_secs(20), || error(&proxy).contains("\"error\":null"));
    assert_eq!(hash(&proxy), before);
}

/// A renewed certificate is shown to the next client.
#[test]
fn another_certificate() {
    let directory = directory();
    let good = Configuration::in_front_of(&endpoint(&directory)).section("upstreamPolicy", QUICK);
    let proxy = good.start();
    let mut old = proxy.ldaps().connect();
    assert_eq!(old.bind(ALICE, ALICE_PASSWORD), 0);
    // A new authority in the place of the old one: only a client that sees the new certificate can
    // verify it.
    let directory_of_files = proxy.file().parent().expect("the proxy's directory").to_owned();
    let authority = bindproxy_tests::certificates::Authority::new(&directory_of_files);
    let _identity = authority.server("server", &[]);
    proxy.reload();
    wait::until_true("the new certificate", Duration::from_secs(20), || proxy.ldaps().try_connect().is_ok());
    assert_eq!(login(&proxy.ldaps(), ALICE, ALICE_PASSWORD), 0);
    assert_eq!(old.who_am_i(), format!("dn:{ALICE}"), "a connection that stands is not touched");
}

/// The hashing key is rotated in two steps: while the old one is named as the previous one, what
/// was remembered under it is still answered; afterwards it is asked once more.
#[test]
fn another_hashing_key() {
    let keys = tempfile::tempdir().expect("a directory for the keys");
    let key = |name: &str| keys.path().join(name).display().to_string();
    std::fs::write(key("old"), b"0123456789abcdefghijklmnopqrstuv").expect("write a key");
    std::fs::write(key("new"), b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345").expect("write a key");
    let directory = directory();
    let configuration = |fields: &str| {
        Configuration::in_front_of(&endpoint(&directory)).section("upstreamPolicy", QUICK).section("cache", fields)
    };
    let proxy = configuration(&format!("keyFile: {}", key("old"))).start();
    let rotate = |fields: String| {
        let before = hash(&proxy);
        proxy.write(&configuration(&fields));
        proxy.reload();
        wait::until_true("the reload", Duration::from_secs(20), || hash(&proxy) != before);
    };
    assert_eq!(login(&proxy.endpoint(), ALICE, "stale"), 49);
    assert_eq!(directory.binds(ALICE), 1);

    rotate(format!("keyFile: {}, previousKeyFile: {}", key("new"), key("old")));
    assert_eq!(login(&proxy.endpoint(), ALICE, "stale"), 49);
    assert_eq!(directory.binds(ALICE), 1, "what the old key knows is still answered");
    assert_eq!(login(&proxy.endpoint(), ALICE, "another"), 49);
    assert_eq!(directory.binds(ALICE), 2, "what is new is asked, and remembered under the new key");

    rotate(format!("keyFile: {}", key("new")));
    assert_eq!(login(&proxy.endpoint(), ALICE, "another"), 49);
    assert_eq!(directory.binds(ALICE), 2);
    assert_eq!(login(&proxy.endpoint(), ALICE, "stale"), 49);
    assert_eq!(directory.binds(ALICE), 3, "the old key is gone, and with it what only it knew");
}
