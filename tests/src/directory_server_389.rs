//! 389 Directory Server, without systemd and in a directory of its own.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::ldap::{Connection, Endpoint, Frame, Security};
use crate::process::{self, Process};
use crate::request::{self, Change, Scope};
use crate::scratch::Scratch;
use crate::wait::Stopwatch;
use crate::{packages, ports};

/// Where users live.
pub const PEOPLE: &str = "ou=people,dc=example,dc=org";
/// The root DN; it stands outside the password policy.
pub const MANAGER: &str = "cn=Directory Manager";
/// Its password.
pub const MANAGER_PASSWORD: &str = "manager-password";
/// Wrong binds that lock an account.
pub const MAX_FAILURES: usize = 3;

const PROGRAMS: [&str; 2] = ["/usr/sbin/ns-slapd", "/usr/sbin/dscreate"];

/// Builds an instance below the directory `$1` with the ports `$2` and `$3` (TLS).
///
/// `dscreate` knows one prefix, `/usr`, and asks systemd to start what it made. A private copy of
/// its templates with every path moved below a prefix of ours avoids both. The password policy goes
/// into the template, because a policy that is set later would need one more connection and leaves
/// the access log buffered until then.
const CREATE: &str = r#"set -eu
here=$1 port=$2 secure=$3 prefix=$1/root
umask 022
mkdir -p "$prefix/share" "$prefix/etc/dirsrv" "$prefix/tmp" "$prefix/var/run"
cp -r /usr/share/dirsrv "$prefix/share/"
cp -r /etc/dirsrv/config /etc/dirsrv/schema "$prefix/etc/dirsrv/"
sed -i -e "s, = /\(etc\|var\|run\|dev/shm\|tmp\), = $prefix/\1,; s,^prefix = .*,prefix = $prefix," \
    -e "s,^with_systemd = .*,with_systemd = 0,; s,^user = .*,user = $(id -un),; s,^group = .*,group = $(id -gn)," \
    -e "s,^inst_dir = .*,inst_dir = $prefix/lib/slapd-{instance_name},; s,^data_dir = .*,data_dir = $prefix/share," \
    -e "s,^system_schema_dir = .*,system_schema_dir = $prefix/share/dirsrv/schema," \
    "$prefix/share/dirsrv/inf/defaults.inf"
sed -i "s/^nsslapd-port: .*/&\
\nnsslapd-listenhost: 127.0.0.1\nnsslapd-securelistenhost: 127.0.0.1\nnsslapd-accesslog-logbuffering: off\
\npasswordLockout: on\npasswordMaxFailure: 3\npasswordLockoutDuration: 3600\npasswordResetFailureCount: 3600\
\npasswordUnlock: on\npasswordExp: on\npasswordMaxAge: 31536000\npasswordTrackUpdateTime: on/" \
    "$prefix/share/dirsrv/data/template-dse.ldif"
cat >"$here/ds.inf" <<END
[general]
config_version = 2
full_machine_name = localhost.localdomain
strict_host_checking = False
systemd = False
selinux = False
[slapd]
instance_name = tests
root_dn = cn=Directory Manager
root_password = manager-password
port = $port
secure_port = $secure
self_sign_cert = True
[backend-userroot]
suffix = dc=example,dc=org
create_suffix_entry = True
END
export PREFIX="$prefix" INSTALL_PREFIX="$prefix"
exec dscreate from-file "$here/ds.inf"
"#;

/// A running 389 DS.
#[derive(Debug)]
pub struct DirectoryServer389 {
    scratch: Scratch,
    /// `dscreate` has ended, but the server that it started stays in its process group.
    _group: Process,
    address: SocketAddr,
    secure_address: SocketAddr,
}

impl DirectoryServer389 {
    /// The instance that the tests of one binary share; `None` when it is not installed and that is
    /// allowed. Starting it takes 10 to 25 seconds.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<DirectoryServer389>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    fn start() -> Option<Self> {
        if !packages::installed(&PROGRAMS) {
            return None;
        }
        let watch = Stopwatch::start();
        let scratch = Scratch::new("389");
        // The server runs as `dirsrv`, which must be able to reach and to write the directory.
        std::fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o755)).expect("open the directory");
        process::run(Command::new("chown").arg("dirsrv:dirsrv").arg(scratch.path()));
        let (address, secure_address) = (ports::free_address(), ports::free_address());
        let mut creation = Process::start(
            "dscreate",
            Command::new("setpriv")
                .args(["--reuid", "dirsrv", "--regid", "dirsrv", "--clear-groups", "sh", "-c", CREATE, "sh"])
                .arg(scratch.path())
                .args([address.port().to_string(), secure_address.port().to_string()]),
            &scratch.join("dscreate.log"),
        );
        let status = creation.wait(Duration::from_secs(180));
        assert!(status.success(), "dscreate: {}\n{}", Process::describe(status), creation.log());
        let server = Self { scratch, _group: creation, address, secure_address };
        let add = request::add(
            PEOPLE,
            &[("objectClass", &[b"organizationalUnit"]), ("ou", &[b"people"]), ("aci", &[SELF_WRITE.as_bytes()])],
        );
        let answer = server.admin().ask(&add);
        assert_eq!(answer.code(), 0, "add {PEOPLE}: {answer:?}");
        watch.report("389 DS created and started");
        Some(server)
    }

    /// Clear text over TCP (StartTLS is offered).
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::tcp(self.address)
    }

    /// LDAPS; the certificate is one that the server made, for `localhost.localdomain`.
    #[must_use]
    pub fn ldaps(&self) -> Endpoint {
        self.named(Endpoint::tcp(self.secure_address).secured(Security::Ldaps, &self.ca_file()))
    }

    /// StartTLS on the port of [`DirectoryServer389::endpoint`].
    #[must_use]
    pub fn start_tls(&self) -> Endpoint {
        self.named(self.endpoint().secured(Security::StartTls, &self.ca_file()))
    }

    fn named(&self, endpoint: Endpoint) -> Endpoint {
        Endpoint { server_name: "localhost.localdomain".to_owned(), ..endpoint }
    }

    fn ca_file(&self) -> PathBuf {
        self.scratch.join("root/etc/dirsrv/slapd-tests/ca.crt")
    }

    /// A connection bound as [`MANAGER`].
    #[must_use]
    pub fn admin(&self) -> Connection {
        let mut connection = self.endpoint().connect();
        assert_eq!(connection.bind(MANAGER, MANAGER_PASSWORD), 0);
        connection
    }

    /// The DN of the user `uid`.
    #[must_use]
    pub fn dn(uid: &str) -> String {
        format!("uid={uid},{PEOPLE}")
    }

    /// Adds a user with a password, and returns its DN.
    pub fn add_user(&self, uid: &str, password: &str) -> String {
        let dn = Self::dn(uid);
        let name = uid.as_bytes();
        let add = request::add(
            &dn,
            &[
                ("objectClass", &[b"inetOrgPerson"]),
                ("uid", &[name]),
                ("cn", &[name]),
                ("sn", &[name]),
                ("userPassword", &[password.as_bytes()]),
            ],
        );
        let answer = self.admin().ask(&add);
        assert_eq!(answer.code(), 0, "add {dn}: {answer:?}");
        dn
    }

    /// Modifies an entry as [`MANAGER`].
    pub fn modify(&self, dn: &str, changes: &[(Change, &str, &[&[u8]])]) {
        let answer = self.admin().ask(&request::modify(dn, changes));
        assert_eq!(answer.code(), 0, "modify {dn}: {answer:?}");
    }

    /// Ends a lock, as an administrator does.
    pub fn unlock(&self, dn: &str) {
        self.modify(dn, &[(Change::Delete, "accountUnlockTime", &[])]);
        self.modify(dn, &[(Change::Delete, "passwordRetryCount", &[])]);
    }

    /// Values of one attribute of an entry, read as [`MANAGER`].
    #[must_use]
    pub fn values(&self, dn: &str, attribute: &str) -> Vec<Vec<u8>> {
        let search = request::search(dn, Scope::Base, &request::present("objectClass"), &[attribute], 0);
        let frames = self.admin().call(&search);
        assert_eq!(frames.last().map(Frame::code), Some(0), "{frames:?}");
        frames[0].values(attribute)
    }

    /// `passwordRetryCount`.
    #[must_use]
    pub fn failures(&self, dn: &str) -> usize {
        let values = self.values(dn, "passwordRetryCount");
        values.first().map_or(0, |value| String::from_utf8_lossy(value).parse().expect("a number"))
    }

    /// Whether the account is locked.
    #[must_use]
    pub fn locked(&self, dn: &str) -> bool {
        !self.values(dn, "accountUnlockTime").is_empty()
    }

    /// Simple binds with this name that the access log shows.
    #[must_use]
    pub fn binds(&self, dn: &str) -> usize {
        let part = format!(" BIND dn=\"{dn}\" method=128");
        self.log().lines().filter(|line| line.contains(&part)).count()
    }

    /// The access log.
    #[must_use]
    pub fn log(&self) -> String {
        let path = self.scratch.join("root/var/log/dirsrv/slapd-tests/access");
        String::from_utf8_lossy(&std::fs::read(path).expect("read the access log")).into_owned()
    }
}

const SELF_WRITE: &str = "(targetattr=\"userPassword\")(version 3.0; acl \"own password\"; allow (write) \
                          userdn=\"ldap:///self\";)";
