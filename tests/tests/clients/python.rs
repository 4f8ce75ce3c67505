//! python-ldap and ldap3 from PyPI.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use bindproxy_tests::proxy::Configuration;
use bindproxy_tests::slapd::{PEOPLE, Slapd};
use bindproxy_tests::wait::Stopwatch;
use bindproxy_tests::{packages, process};

const PACKAGES: [&str; 2] = ["python-ldap==3.4.8", "ldap3==2.9.1"];

/// The interpreter of a virtual environment with both libraries, kept in `target/` from run to run.
fn interpreter() -> Option<&'static Path> {
    static INTERPRETER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let make = || {
        if !packages::installed(&["/usr/bin/python3", "/usr/include/ldap.h", "/usr/include/sasl/sasl.h"]) {
            return None;
        }
        let executable = std::env::current_exe().expect("the path of this test");
        let target = executable.ancestors().nth(3).expect("a test lies in target/PROFILE/deps");
        let environment = target.join("tests-venv");
        let interpreter = environment.join("bin/python");
        // Written last, with what was installed.
        let marker = environment.join("installed");
        let wanted = PACKAGES.join("\n");
        if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
            return Some(interpreter);
        }
        let watch = Stopwatch::start();
        process::run(Command::new("/usr/bin/python3").args(["-m", "venv", "--clear"]).arg(&environment));
        process::run(
            Command::new(&interpreter)
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                .args(PACKAGES),
        );
        std::fs::write(marker, wanted).expect("write the marker");
        watch.report("Python libraries installed");
        Some(interpreter)
    };
    INTERPRETER.get_or_init(make).as_deref()
}

/// Runs a script; it fails the test by an exception.
fn run(script: &str, arguments: &[&str]) {
    if let Some(interpreter) = interpreter() {
        let output = process::run(Command::new(interpreter).arg("-c").arg(script).args(arguments));
        assert!(output.ends_with("done\n"), "{output}");
    }
}

const PYTHON_LDAP: &str = r#"
import sys, concurrent.futures
import ldap, ldap.modlist
from ldap.controls.ppolicy import PasswordPolicyControl
from ldap.controls.libldap import SimplePagedResultsControl

url, ca, dn, people = sys.argv[1:]

def connect():
    connection = ldap.initialize(url)
    connection.set_option(ldap.OPT_X_TLS_CACERTFILE, ca)
    connection.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
    connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
    connection.set_option(ldap.OPT_NETWORK_TIMEOUT, 20)
    if url.startswith('ldap:'):
        connection.start_tls_s()
    return connection

def stale(number):
    connection = connect()
    try:
        connection.simple_bind_s(dn, 'stale', serverctrls=[PasswordPolicyControl()] if number % 2 else None)
    except ldap.INVALID_CREDENTIALS:
        return True

connection = connect()
connection.simple_bind_s(dn, 'right')
assert connection.whoami_s() == 'dn:' + dn
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    assert all(pool.map(stale, range(20)))
# The same connection goes on: who it is was not touched by the others.
assert connection.whoami_s() == 'dn:' + dn
found = connection.search_s(people, ldap.SCOPE_ONELEVEL, '(uid=python-ldap*)', ['uid'])
assert len(found) >= 1, found
page = SimplePagedResultsControl(True, size=1, cookie='')
identifier = connection.search_ext(people, ldap.SCOPE_ONELEVEL, '(uid=python-ldap*)', ['uid'], serverctrls=[page])
_, entries, _, controls = connection.result3(identifier)
assert len(entries) == 1 and controls[0].controlType == page.controlType
assert connection.compare_s(dn, 'cn', dn.split(',')[0][4:])
try:
    connection.simple_bind_s(dn, 'stale')
    raise SystemExit('the stale password was accepted')
except ldap.INVALID_CREDENTIALS:
    pass
assert connection.whoami_s() == ''
connection.simple_bind_s(dn, 'right')
connection.unbind_s()
print('done')
"#;

const LDAP3: &str = r#"
import sys, ssl, concurrent.futures
import ldap3

host, port, secure, ca, dn, people = sys.argv[1:]
tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=ca)
server = ldap3.Server(host, port=int(port), use_ssl=secure == 'ldaps', tls=tls, get_info=ldap3.ALL)

def connect(password):
    connection = ldap3.Connection(server, dn, password, receive_timeout=20)
    connection.open()
    if secure == 'starttls':
        assert connection.start_tls()
    return connection

def stale(_):
    connection = connect('stale')
    assert not connection.bind()
    return connection.result['result'] == 49

connection = connect('right')
assert connection.bind(), connection.result
assert server.info.naming_contexts
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    assert all(pool.map(stale, range(20)))
assert connection.extend.standard.who_am_i() == 'dn:' + dn
assert connection.search(people, '(uid=ldap3*)', attributes=['*'])
assert not connection.rebind(dn, 'stale')
assert connection.rebind(dn, 'right')
assert connection.extend.standard.modify_password(dn, 'right', 'next') is True
assert connect('next').bind()
assert not connect('right').bind()
connection.unbind()
print('done')
"#;

#[test]
fn python_ldap() {
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.ldaps()).start();
    for (kind, front) in [("ldaps", proxy.ldaps()), ("starttls", proxy.start_tls())] {
        let dn = slapd.add_user(&format!("python-ldap-{kind}"), "right");
        let ca_file = front.ca_file.as_ref().expect("an authority").display().to_string();
        run(PYTHON_LDAP, &[&front.url(), &ca_file, &dn, PEOPLE]);
        if interpreter().is_some() {
            assert_eq!(slapd.binds(&dn), 3, "{kind}: two logins and one failure");
            assert!(!slapd.locked(&dn));
        }
    }
}

#[test]
fn ldap3() {
    let Some(slapd) = Slapd::shared() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    for (kind, front) in [("clear", proxy.endpoint()), ("ldaps", proxy.ldaps()), ("starttls", proxy.start_tls())] {
        let dn = slapd.add_user(&format!("ldap3-{kind}"), "right");
        let ca_file = proxy.authority().ca_file.display().to_string();
        let address = front.socket_address();
        let host = if kind == "clear" { "127.0.0.1" } else { "localhost" };
        run(LDAP3, &[host, &address.port().to_string(), kind, &ca_file, &dn, PEOPLE]);
        if interpreter().is_some() {
            assert_eq!(slapd.binds(&dn), 5, "{kind}: three logins, the stale password and the replaced one");
            assert!(!slapd.locked(&dn));
        }
    }
}
