//! OpenLDAP slapd with the ppolicy overlay.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::certificates::Authority;
use crate::ldap::{Connection, Endpoint, Security};
use crate::process::{self, Process};
use crate::request::{self, Change, Scope};
use crate::scratch::Scratch;
use crate::wait::Stopwatch;
use crate::{packages, ports};

/// The suffix of the database.
pub const SUFFIX: &str = "dc=example,dc=org";
/// Where users live.
pub const PEOPLE: &str = "ou=people,dc=example,dc=org";
/// The root DN; it stands outside the password policy.
pub const ADMIN: &str = "cn=admin,dc=example,dc=org";
/// Its password.
pub const ADMIN_PASSWORD: &str = "admin-password";
/// Wrong binds that lock an account.
pub const MAX_FAILURES: usize = 3;

const CONFIGURATION: &str = "slapd.conf";
const PROGRAMS: [&str; 2] = ["/usr/sbin/slapd", "/usr/sbin/slapadd"];

/// What differs between the instances that suites need.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `ppolicy_use_lockout`: a locked account shows in the password policy response.
    pub shows_lockout: bool,
    /// `allow bind_v2`.
    pub allows_version_2: bool,
    /// `TLSVerifyClient demand`: no TLS without a certificate of the client.
    pub demands_certificates: bool,
    /// Further entries, as LDIF.
    pub entries: String,
    /// The provider side of syncrepl (RFC 4533).
    pub provides_sync: bool,
    /// Listens on all addresses, for clients in other network namespaces.
    pub listens_everywhere: bool,
    /// Further names and addresses in the server's certificate, besides `localhost` and 127.0.0.1.
    pub names: Vec<String>,
}

/// A running slapd.
#[derive(Debug)]
pub struct Slapd {
    process: Process,
    scratch: Scratch,
    address: SocketAddr,
    secure_address: SocketAddr,
    everywhere: bool,
    authority: Authority,
}

impl Slapd {
    /// The instance that the tests of one binary share; `None` when it is not installed and that is
    /// allowed. Each test uses users of its own.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Slapd>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&Settings::default())).as_ref()
    }

    /// Starts an instance with an empty `ou=people`.
    #[must_use]
    pub fn start(settings: &Settings) -> Option<Self> {
        if !packages::installed(&PROGRAMS) {
            return None;
        }
        let watch = Stopwatch::start();
        let scratch = Scratch::new("slapd");
        let authority = Authority::new(&scratch.join("tls"));
        let names: Vec<&str> = settings.names.iter().map(String::as_str).collect();
        let _identity = authority.server("server", &names);
        std::fs::create_dir(scratch.join("db")).expect("make the database's directory");
        let configuration = scratch.write(CONFIGURATION, configuration(scratch.path(), settings));
        let seed = scratch.write("seed.ldif", format!("{SEED}\n{}", settings.entries));
        process::run(Command::new("/usr/sbin/slapadd").args(["-q", "-f"]).arg(&configuration).arg("-l").arg(seed));

        let (address, secure_address) = (ports::free_address(), ports::free_address());
        let everywhere = settings.listens_everywhere;
        let process = launch(&scratch, address, secure_address, everywhere);
        watch.report("slapd started");
        Some(Self { process, scratch, address, secure_address, everywhere, authority })
    }

    /// Ends it at once: connecting is refused from then on.
    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`Slapd::stop`], on the same ports, with what it knew; its log goes on.
    pub fn start_again(&mut self) {
        self.process = launch(&self.scratch, self.address, self.secure_address, self.everywhere);
    }

    /// Clear text over TCP (StartTLS is offered).
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::tcp(self.address)
    }

    /// LDAPS.
    #[must_use]
    pub fn ldaps(&self) -> Endpoint {
        Endpoint::tcp(self.secure_address).secured(Security::Ldaps, &self.authority.ca_file)
    }

    /// StartTLS on the port of [`Slapd::endpoint`].
    #[must_use]
    pub fn start_tls(&self) -> Endpoint {
        self.endpoint().secured(Security::StartTls, &self.authority.ca_file)
    }

    /// The unix socket.
    #[must_use]
    pub fn unix(&self) -> Endpoint {
        Endpoint::unix(&self.scratch.join("ldapi"))
    }

    /// The authority that signed the server's certificate, and whose clients it trusts.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The process, for stopping and continuing it.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// A connection bound as [`ADMIN`].
    #[must_use]
    pub fn admin(&self) -> Connection {
        let mut connection = self.endpoint().connect();
        assert_eq!(connection.bind(ADMIN, ADMIN_PASSWORD), 0);
        connection
    }

    /// The DN of the user `uid`.
    #[must_use]
    pub fn dn(uid: &str) -> String {
        format!("uid={uid},{PEOPLE}")
    }

    /// Adds a user with a password, and returns its DN.
    pub fn add_user(&self, uid: &str, password: &str) -> String {
        self.add_user_with(uid, password, &[])
    }

    /// Adds a user with further attributes, operational ones among them.
    pub fn add_user_with(&self, uid: &str, password: &str, more: &[(&str, &str)]) -> String {
        let dn = Self::dn(uid);
        let values: Vec<(&str, [&[u8]; 1])> =
            [("objectClass", "inetOrgPerson"), ("uid", uid), ("cn", uid), ("sn", uid), ("userPassword", password)]
                .iter()
                .chain(more)
                .map(|&(attribute, value)| (attribute, [value.as_bytes()]))
                .collect();
        let attributes: Vec<(&str, &[&[u8]])> = values.iter().map(|(name, values)| (*name, &values[..])).collect();
        let relax = request::control(request::RELAX, true, None);
        let answer = self.admin().ask_with(&request::add(&dn, &attributes), &[relax]);
        assert_eq!(answer.code(), 0, "add {dn}: {answer:?}");
        dn
    }

    /// Modifies an entry as [`ADMIN`].
    pub fn modify(&self, dn: &str, changes: &[(Change, &str, &[&[u8]])]) {
        let relax = request::control(request::RELAX, true, None);
        let answer = self.admin().ask_with(&request::modify(dn, changes), &[relax]);
        assert_eq!(answer.code(), 0, "modify {dn}: {answer:?}");
    }

    /// Ends a lock, as an administrator does.
    pub fn unlock(&self, dn: &str) {
        self.modify(dn, &[(Change::Delete, "pwdAccountLockedTime", &[])]);
    }

    /// Values of one attribute of an entry, read as [`ADMIN`].
    #[must_use]
    pub fn values(&self, dn: &str, attribute: &str) -> Vec<Vec<u8>> {
        let search = request::search(dn, Scope::Base, &request::present("objectClass"), &[attribute], 0);
        let frames = self.admin().call(&search);
        assert_eq!(frames.last().map(crate::ldap::Frame::code), Some(0), "{frames:?}");
        frames[0].values(attribute)
    }

    /// Failed binds that the password policy recorded (it stops counting at the lock).
    #[must_use]
    pub fn failures(&self, dn: &str) -> usize {
        self.values(dn, "pwdFailureTime").len()
    }

    /// Whether the account is locked.
    #[must_use]
    pub fn locked(&self, dn: &str) -> bool {
        !self.values(dn, "pwdAccountLockedTime").is_empty()
    }

    /// Simple binds with this name that the server's log shows. `dn` must be written as slapd
    /// normalises it.
    #[must_use]
    pub fn binds(&self, dn: &str) -> usize {
        let line = format!(" BIND dn=\"{dn}\" method=128");
        self.process.log().lines().filter(|logged| logged.ends_with(&line)).count()
    }

    /// How many lines of the log contain `text`.
    #[must_use]
    pub fn logged(&self, text: &str) -> usize {
        self.process.log().lines().filter(|line| line.contains(text)).count()
    }

    /// What the server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}

fn launch(scratch: &Scratch, address: SocketAddr, secure_address: SocketAddr, everywhere: bool) -> Process {
    let [plain, secure] = [address, secure_address]
        .map(|address| if everywhere { SocketAddr::from(([0, 0, 0, 0], address.port())) } else { address });
    let unix = Endpoint::unix(&scratch.join("ldapi")).url();
    let mut process = Process::start(
        "slapd",
        Command::new("/usr/sbin/slapd")
            .arg("-f")
            .arg(scratch.join(CONFIGURATION))
            .arg("-h")
            .arg(format!("ldap://{plain} ldaps://{secure} {unix}"))
            .args(["-d", "256"]),
        &scratch.join("log"),
    );
    let endpoint = Endpoint::tcp(address);
    process.wait_until("accepting connections", Duration::from_secs(30), || endpoint.try_connect().is_ok());
    process
}

fn configuration(directory: &Path, settings: &Settings) -> String {
    let directory = directory.display();
    let lockout = if settings.shows_lockout { "ppolicy_use_lockout" } else { "" };
    let certificates = if settings.demands_certificates { "demand" } else { "try" };
    let sync_module = if settings.provides_sync { "moduleload syncprov" } else { "" };
    let sync = if settings.provides_sync { "overlay syncprov" } else { "" };
    let version_2 = if settings.allows_version_2 { "allow bind_v2" } else { "" };
    format!(
        "modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
{sync_module}
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile {directory}/slapd.pid
TLSCACertificateFile {directory}/tls/ca.pem
TLSCertificateFile {directory}/tls/server.pem
TLSCertificateKeyFile {directory}/tls/server-key.pem
TLSVerifyClient {certificates}
sasl-secprops none
sizelimit unlimited
{version_2}
authz-regexp uid=([^,]*),cn=[^,]*,cn=auth uid=$1,{PEOPLE}
database mdb
suffix {SUFFIX}
rootdn {ADMIN}
rootpw {ADMIN_PASSWORD}
directory {directory}/db
maxsize 268435456
dbnosync
index objectClass,uid eq
access to attrs=userPassword by self write by anonymous auth by * none
access to dn.subtree=ou=scratch,{SUFFIX} by users write by * read
access to * by * read
overlay ppolicy
ppolicy_default cn=default,ou=policies,{SUFFIX}
{lockout}
{sync}
"
    )
}

const SEED: &str = "dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: ou=scratch,dc=example,dc=org
objectClass: organizationalUnit
ou: scratch

dn: ou=policies,dc=example,dc=org
objectClass: organizationalUnit
ou: policies

dn: cn=default,ou=policies,dc=example,dc=org
objectClass: device
objectClass: pwdPolicy
cn: default
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMaxFailure: 3
pwdLockoutDuration: 0
pwdFailureCountInterval: 0
pwdMaxAge: 31536000
pwdMustChange: TRUE
pwdAllowUserChange: TRUE
pwdGraceAuthnLimit: 0
";
