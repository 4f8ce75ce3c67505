//! Samba, unlike slapd and 389 DS, goes on as whoever was bound before when a bind fails. Behind a
//! proxy that "before" may have been another client.

use bindproxy_tests::ldap::Connection;
use bindproxy_tests::proxy::Configuration;
use bindproxy_tests::request::{self, Scope};
use bindproxy_tests::samba::{DOMAIN, Samba};
use bindproxy_tests::stale_device::login;

/// The result of a search that only an authenticated client may make.
fn search(connection: &mut Connection) -> u32 {
    let search = request::search(DOMAIN, Scope::Base, &request::present("objectClass"), &["cn"], 0);
    connection.call(&search).last().expect("a result").code()
}

#[test]
fn a_failed_bind_leaves_nobodys_identity() {
    let Some(samba) = Samba::shared() else { return };
    let dn = samba.add_user("identity", "right");
    let fails = [
        ("wrong password", request::bind(&dn, "wrong"), 49),
        ("wrong password again", request::bind(&dn, "wrong"), 49),
        ("unknown name", request::bind("alice", "guess"), 49),
        ("version 4", request::bind_version(4, &dn, "wrong 4"), 49),
        ("unknown mechanism", request::bind_sasl("NONSENSE", None), 1),
        ("SASL garbage", request::bind_sasl("GSS-SPNEGO", Some(b"garbage")), 49),
    ];
    // One connection to the directory, which every client gets in turn.
    let proxy = Configuration::in_front_of(&samba.endpoint()).section("upstreamPolicy", "maxConnections: 1").start();
    for (name, bind, code) in fails {
        let mut direct = samba.endpoint().connect();
        assert_eq!(direct.bind(&dn, "right"), 0);
        assert_eq!(search(&mut direct), 0);

        assert_eq!(login(&proxy.endpoint(), &dn, "right"), 0);
        let mut other = proxy.endpoint().connect();
        assert_eq!(other.ask(&bind).code(), code, "{name}");
        assert_eq!(search(&mut other), 1, "{name}: another client searched as whoever was bound before");

        let mut same = proxy.endpoint().connect();
        assert_eq!(same.bind(&dn, "right"), 0);
        assert_eq!(same.ask(&bind).code(), code, "{name}");
        assert_eq!(search(&mut same), 1, "{name}: the client kept the identity that its failed bind ended");
        assert_eq!(same.bind(&dn, "right"), 0);
        assert_eq!(search(&mut same), 0);
        samba.unlock(&dn);
    }
}
