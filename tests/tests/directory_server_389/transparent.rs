//! This directory writes lengths in long form and controls that nobody asked for; they pass octet
//! for octet, in a forwarded answer as in a replay.

use bindproxy_tests::conversation::{Scene, compare, pipelined};
use bindproxy_tests::directory_server_389::{DirectoryServer389, MANAGER, MANAGER_PASSWORD, PEOPLE};
use bindproxy_tests::proxy::Configuration;
use bindproxy_tests::request::{self, Change, PAGED_RESULTS, PASSWORD_POLICY, Scope};

#[test]
fn binds() {
    let Some(server) = DirectoryServer389::shared() else { return };
    let proxy = Configuration::in_front_of(&server.endpoint()).start();
    let policy = || vec![request::control(PASSWORD_POLICY, false, None)];
    let never = || vec![request::control("1.2.3.4", true, None)];
    let expired = server.add_user("t-expired", "right");
    server.modify(&expired, &[(Change::Replace, "passwordExpirationTime", &[b"20200101000000Z"])]);
    let wrong = server.add_user("t-wrong", "right");
    let wrong_with_policy = server.add_user("t-wrong-pp", "right");
    let right = server.add_user("t-right", "right");
    type Control = Vec<u8>;
    let binds: Vec<(&str, Vec<u8>, Vec<Control>)> = vec![
        ("right", request::bind(&right, "right"), vec![]),
        ("wrong", request::bind(&wrong, "wrong"), vec![]),
        ("wrong again", request::bind(&wrong, "wrong"), vec![]),
        ("wrong, policy asked for", request::bind(&wrong_with_policy, "wrong"), policy()),
        ("expired", request::bind(&expired, "right"), vec![]),
        ("expired, policy asked for", request::bind(&expired, "right"), policy()),
        ("anonymous", request::bind("", ""), vec![]),
        ("no password", request::bind(&right, ""), vec![]),
        ("no name", request::bind("", "secret"), vec![]),
        ("no DN", request::bind("alice", "secret"), vec![]),
        ("version 2", request::bind_version(2, &right, "right"), vec![]),
        ("version 4", request::bind_version(4, &right, "right"), vec![]),
        ("unknown critical control", request::bind(&right, "right"), never()),
    ];
    let scenes: Vec<Scene<'_>> = binds
        .into_iter()
        .map(|(name, operation, controls)| -> Scene<'_> {
            (name, Box::new(move |connection| vec![connection.ask_with(&operation, &controls)]))
        })
        .collect();
    compare(&server.endpoint(), &proxy.endpoint(), &scenes);
}

#[test]
fn everything_else() {
    let Some(server) = DirectoryServer389::shared() else { return };
    let proxy = Configuration::in_front_of(&server.endpoint()).start();
    let dn = server.add_user("t-subject", "right");
    let all = || request::present("objectClass");
    let scenes: Vec<Scene<'_>> = vec![
        (
            "as the manager",
            Box::new(|connection| {
                let steps = [
                    request::bind(MANAGER, MANAGER_PASSWORD),
                    request::search(PEOPLE, Scope::One, &request::equals("uid", "t-subject"), &["cn", "sn"], 0),
                    request::search("ou=none,dc=example,dc=org", Scope::Base, &all(), &[], 0),
                    request::search("cn=schema", Scope::Base, &all(), &["attributeTypes", "objectClasses"], 0),
                    request::search("cn=config", Scope::Subtree, &all(), &["cn"], 20),
                    request::modify(&dn, &[(Change::Replace, "description", &[b"one", b"two"])]),
                    request::compare(&dn, "description", "two"),
                    request::compare(&dn, "description", "three"),
                    request::modify(&dn, &[(Change::Delete, "description", &[])]),
                    request::modify(&dn, &[(Change::Delete, "description", &[])]),
                    request::extended(request::WHO_AM_I, None),
                    request::extended("1.2.3.4.5.6", None),
                ];
                steps.iter().flat_map(|step| connection.call(step)).collect()
            }),
        ),
        (
            "a page",
            Box::new(|connection| {
                let page = request::control(PAGED_RESULTS, true, Some(&request::page(2, b"")));
                let search = request::search("cn=schema", Scope::Base, &all(), &["cn"], 0);
                connection.call_with(&search, &[page])
            }),
        ),
        (
            "100 searches in one write",
            Box::new(|connection| {
                let one = request::search(&dn, Scope::Base, &all(), &["cn", "sn", "uid"], 0);
                pipelined(connection, &vec![one; 100])
            }),
        ),
    ];
    compare(&server.endpoint(), &proxy.endpoint(), &scenes);
    compare(&server.ldaps(), &proxy.ldaps(), &scenes);
}
