//! The directories start, count and lock as the other suites assume. What fails here says nothing
//! about the proxy.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

use bindproxy_tests::counter::Counter;
use bindproxy_tests::directory_server_389::DirectoryServer389;
use bindproxy_tests::ldap::Endpoint;
use bindproxy_tests::samba::Samba;
use bindproxy_tests::slapd::Slapd;

/// Three wrong binds are three failures and a lock, and the right password says who one is.
fn counts_and_locks(counter: &dyn Counter, name: &str, endpoint: &Endpoint) {
    let mut connection = endpoint.connect();
    assert_eq!(connection.bind(name, "right"), 0);
    for expected in 1..=3 {
        assert!(!counter.locked(name));
        assert_eq!(connection.bind(name, "wrong"), 49);
        assert_eq!(counter.failures(name), expected);
    }
    assert!(counter.locked(name));
    assert_eq!(counter.binds(name), 4);
}

#[test]
fn slapd_counts_and_locks() {
    let Some(slapd) = Slapd::shared() else { return };
    for (uid, endpoint) in
        [("plain", slapd.endpoint()), ("ldaps", slapd.ldaps()), ("starttls", slapd.start_tls()), ("unix", slapd.unix())]
    {
        let dn = slapd.add_user(uid, "right");
        counts_and_locks(slapd, &dn, &endpoint);
        assert_ne!(endpoint.connect().bind(&dn, "right"), 0);
        slapd.unlock(&dn);
        assert_eq!(endpoint.connect().bind(&dn, "right"), 0);
    }
}

#[test]
fn directory_server_389_counts_and_locks() {
    let Some(server) = DirectoryServer389::shared() else { return };
    for (uid, endpoint) in [("plain", server.endpoint()), ("ldaps", server.ldaps()), ("starttls", server.start_tls())] {
        let dn = server.add_user(uid, "right");
        counts_and_locks(server, &dn, &endpoint);
        assert_ne!(endpoint.connect().bind(&dn, "right"), 0);
        server.unlock(&dn);
        assert_eq!(endpoint.connect().bind(&dn, "right"), 0);
    }
}

#[test]
fn samba_counts_and_locks() {
    let Some(samba) = Samba::shared() else { return };
    for (account, endpoint) in [("plain", samba.endpoint()), ("ldaps", samba.ldaps()), ("starttls", samba.start_tls())]
    {
        let dn = samba.add_user(account, "right");
        counts_and_locks(samba, &dn, &endpoint);
        assert_ne!(endpoint.connect().bind(&dn, "right"), 0);
        samba.unlock(&dn);
        assert_eq!(endpoint.connect().bind(&dn, "right"), 0);
    }
}
