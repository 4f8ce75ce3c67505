//! A mail server whose users log in with auth binds: one long connection, every user after the
//! other on it.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use bindproxy_tests::ldap::Endpoint;
use bindproxy_tests::process::{self, Process};
use bindproxy_tests::proxy::Configuration;
use bindproxy_tests::scratch::Scratch;
use bindproxy_tests::slapd::{PEOPLE, Slapd};
use bindproxy_tests::{packages, ports};

struct Dovecot {
    process: Process,
    scratch: Scratch,
}

impl Dovecot {
    fn start(front: &Endpoint) -> Self {
        let scratch = Scratch::new("dovecot");
        std::fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o755)).expect("open the directory");
        let ldap = scratch.write(
            "ldap.conf.ext",
            format!(
                "uris = {}\nldap_version = 3\nauth_bind = yes\nauth_bind_userdn = uid=%u,{PEOPLE}\nbase = {PEOPLE}\n",
                front.url()
            ),
        );
        let port = ports::free();
        let directory = scratch.path().display();
        let mut text = format!(
            "protocols = imap\nbase_dir = {directory}/run\nstate_dir = {directory}/state\nlisten = 127.0.0.1\n\
             log_path = /dev/stderr\nssl = no\ndisable_plaintext_auth = no\nauth_mechanisms = plain\n\
             auth_failure_delay = 0\nauth_verbose = yes\nmail_location = maildir:{directory}/mail-%u\n\
             first_valid_uid = 0\n"
        );
        write!(
            text,
            "passdb {{\n  driver = ldap\n  args = {}\n}}\n\
             userdb {{\n  driver = static\n  args = uid=nobody gid=nogroup home={directory}\n}}\n\
             service imap-login {{\n  chroot =\n  inet_listener imap {{\n    port = {port}\n  }}\n  \
             inet_listener imaps {{\n    port = 0\n  }}\n}}\n\
             service anvil {{\n  chroot =\n  unix_listener anvil-auth-penalty {{\n    mode = 0\n  }}\n}}\n\
             service stats {{\n  chroot =\n}}\n",
            ldap.display()
        )
        .expect("write to a string");
        let file = scratch.write("dovecot.conf", text);
        let mut process = Process::start(
            "dovecot",
            Command::new("/usr/sbin/dovecot").arg("-F").arg("-c").arg(file),
            &scratch.join("log"),
        );
        let socket = scratch.join("run/auth-client");
        process.wait_until("its auth socket", Duration::from_secs(30), || socket.exists());
        Self { process, scratch }
    }

    /// Whether a login succeeds, by the server's own word.
    fn login(&self, user: &str, password: &str) -> bool {
        let (_, output) = process::outcome(
            Command::new("/usr/bin/doveadm")
                .arg("-c")
                .arg(self.scratch.join("dovecot.conf"))
                .args(["auth", "test", user, password]),
        );
        let (succeeded, failed) = (output.contains("auth succeeded"), output.contains("auth failed"));
        assert!(succeeded != failed, "{output}\n{}", self.process.log());
        succeeded
    }
}

#[test]
fn a_stale_password_counts_once() {
    if !packages::installed(&[
        "/usr/sbin/dovecot",
        "/usr/bin/doveadm",
        "/usr/lib/dovecot/modules/auth/libauthdb_ldap.so",
    ]) {
        return;
    }
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    let dovecot = Dovecot::start(&proxy.endpoint());
    let dn = slapd.add_user("mailuser", "right");
    assert!(dovecot.login("mailuser", "right"));
    for round in 0..2 {
        thread::scope(|scope| {
            let phones: Vec<_> = (0..4).map(|_| scope.spawn(|| dovecot.login("mailuser", "stale"))).collect();
            for phone in phones {
                assert!(!phone.join().expect("a phone's thread"));
            }
        });
        if round == 0 {
            assert_eq!(slapd.failures(&dn), 1);
        }
        assert!(dovecot.login("mailuser", "right"));
    }
    assert_eq!(slapd.binds(&dn), 4, "three logins and one failure in the directory's log");
    assert!(!slapd.locked(&dn));
}
