//! A web server with basic authentication: every request binds anonymously, searches, and binds as
//! the user, eight at a time.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use bindproxy_tests::ldap::Endpoint;
use bindproxy_tests::process::{self, Process};
use bindproxy_tests::proxy::Configuration;
use bindproxy_tests::scratch::Scratch;
use bindproxy_tests::slapd::{PEOPLE, Slapd};
use bindproxy_tests::stale_device::CONNECTIONS;
use bindproxy_tests::{packages, ports};

const REQUESTS: usize = 16;

struct Apache {
    _process: Process,
    _scratch: Scratch,
    port: u16,
}

impl Apache {
    fn start(front: &Endpoint) -> Self {
        let scratch = Scratch::new("apache");
        std::fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o755)).expect("open the directory");
        scratch.write("htdocs/index.html", "welcome\n");
        let port = ports::free();
        let directory = scratch.path().display();
        let modules: String =
            ["mpm_event", "authn_core", "auth_basic", "authz_core", "authz_user", "ldap", "authnz_ldap"]
                .iter()
                .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
                .collect();
        let url = front.url();
        let file = scratch.write(
            "httpd.conf",
            format!(
                "ServerRoot {directory}\nListen 127.0.0.1:{port}\nPidFile {directory}/pid\nMutex pthread default\n\
                 DefaultRuntimeDir {directory}\nErrorLog /dev/stderr\nServerName localhost\n\
                 User www-data\nGroup www-data\n{modules}DocumentRoot {directory}/htdocs\n\
                 <Location />\n AuthType Basic\n AuthName tests\n AuthBasicProvider ldap\n \
                 AuthLDAPURL {url}/{PEOPLE}?uid?one NONE\n Require valid-user\n</Location>\n"
            ),
        );
        let mut process = Process::start(
            "apache2",
            Command::new("/usr/sbin/apache2").arg("-DFOREGROUND").arg("-f").arg(file),
            &scratch.join("log"),
        );
        process.wait_until("accepting connections", Duration::from_secs(30), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self { _process: process, _scratch: scratch, port }
    }

    /// The status of a request as this user.
    fn get(&self, user: &str, password: &str) -> String {
        process::run(
            Command::new("curl")
                .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-u"])
                .arg(format!("{user}:{password}"))
                .arg(format!("http://127.0.0.1:{}/index.html", self.port)),
        )
    }
}

#[test]
fn a_stale_password_counts_once() {
    if !packages::installed(&["/usr/sbin/apache2", "/usr/lib/apache2/modules/mod_authnz_ldap.so", "/usr/bin/curl"]) {
        return;
    }
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    let apache = Apache::start(&proxy.endpoint());
    let dn = slapd.add_user("webuser", "right");
    thread::scope(|scope| {
        let browsers: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                scope.spawn(|| (0..REQUESTS / CONNECTIONS).map(|_| apache.get("webuser", "stale")).collect::<Vec<_>>())
            })
            .collect();
        for browser in browsers {
            assert_eq!(browser.join().expect("a browser's thread"), ["401"; REQUESTS / CONNECTIONS]);
        }
    });
    assert_eq!(slapd.failures(&dn), 1);
    assert_eq!(slapd.binds(&dn), 1);
    assert_eq!(apache.get("webuser", "right"), "200");
    assert_eq!(apache.get("webuser", "stale"), "401");
    assert_eq!(slapd.binds(&dn), 2);
    assert!(!slapd.locked(&dn));
}
