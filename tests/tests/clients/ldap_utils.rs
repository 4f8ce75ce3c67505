//! ldapwhoami, ldapsearch and ldappasswd.

use std::process::Command;
use std::sync::Barrier;
use std::thread;

use bindproxy_tests::ldap::Endpoint;
use bindproxy_tests::proxy::Configuration;
use bindproxy_tests::slapd::{PEOPLE, Slapd};
use bindproxy_tests::stale_device::{ATTEMPTS, CONNECTIONS};
use bindproxy_tests::{packages, process};

fn command(program: &str, front: &Endpoint) -> Command {
    let mut command = Command::new(program);
    command.arg("-x").arg("-H").arg(front.url());
    if let Some(ca_file) = &front.ca_file {
        command.env("LDAPTLS_CACERT", ca_file).env("LDAPTLS_REQCERT", "demand");
    }
    if front.security == bindproxy_tests::ldap::Security::StartTls {
        command.arg("-ZZ");
    }
    command
}

/// Exit code and output of `ldapwhoami`.
fn who_am_i(front: &Endpoint, dn: &str, password: &str, more: &[&str]) -> (Option<i32>, String) {
    let (status, output) = process::outcome(command("ldapwhoami", front).args(["-D", dn, "-w", password]).args(more));
    (status.code(), output)
}

fn setting() -> Option<&'static Slapd> {
    if packages::installed(&["/usr/bin/ldapwhoami", "/usr/bin/ldapsearch"]) { Slapd::shared() } else { None }
}

#[test]
fn a_stale_password_counts_once() {
    let Some(slapd) = setting() else { return };
    let proxy = Configuration::in_front_of(&slapd.ldaps()).start();
    for (kind, front) in [
        ("clear", proxy.endpoint()),
        ("ldaps", proxy.ldaps()),
        ("starttls", proxy.start_tls()),
        ("ldapi", proxy.unix()),
    ] {
        let dn = slapd.add_user(&format!("utils-{kind}"), "right");
        let right = || assert_eq!(who_am_i(&front, &dn, "right", &["-e", "ppolicy"]), (Some(0), format!("dn:{dn}\n")));
        right();
        let barrier = Barrier::new(CONNECTIONS);
        thread::scope(|scope| {
            for device in 0..CONNECTIONS {
                let (barrier, front, dn) = (&barrier, &front, &dn);
                scope.spawn(move || {
                    barrier.wait();
                    for attempt in (device..ATTEMPTS).step_by(CONNECTIONS) {
                        // Some ask for the password policy, some do not.
                        let more: &[&str] = if attempt % 2 == 0 { &["-e", "ppolicy"] } else { &[] };
                        let (code, output) = who_am_i(front, dn, "stale", more);
                        assert_eq!(code, Some(49), "{output}");
                        assert!(output.contains("Invalid credentials"), "{output}");
                    }
                });
            }
        });
        assert_eq!(slapd.failures(&dn), 1, "{kind}");
        right();
        assert!(!slapd.locked(&dn));
    }
}

#[test]
fn search_is_the_same_through_the_proxy() {
    let Some(slapd) = setting() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    let dn = slapd.add_user("searcher", "right");
    let search = |front: &Endpoint, more: &[&str]| {
        process::run(
            command("ldapsearch", front)
                .args(["-LLL", "-D", &dn, "-w", "right", "-b", PEOPLE, "(uid=searcher)"])
                .args(more),
        )
    };
    for more in [&["*"][..], &["+"], &["-E", "pr=1/noprompt", "cn"], &["-E", "!mv=(uid=*)", "uid"]] {
        let expected = search(&slapd.endpoint(), more);
        assert!(expected.contains(&format!("dn: {dn}")), "{expected}");
        for front in [proxy.endpoint(), proxy.ldaps(), proxy.start_tls(), proxy.unix()] {
            assert_eq!(search(&front, more), expected);
        }
    }
}

#[test]
fn a_password_changed_by_ldappasswd_is_accepted_at_once() {
    let Some(slapd) = setting() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    let front = proxy.start_tls();
    let dn = slapd.add_user("changer", "old");
    assert_eq!(who_am_i(&front, &dn, "old", &[]).0, Some(0));
    assert_eq!(who_am_i(&front, &dn, "new", &[]).0, Some(49));
    process::run(command("ldappasswd", &front).args(["-D", &dn, "-w", "old", "-a", "old", "-s", "new"]));
    assert_eq!(who_am_i(&front, &dn, "new", &[]).0, Some(0));
    assert_eq!(who_am_i(&front, &dn, "old", &[]).0, Some(49));
}
