//! A Samba Active Directory domain controller.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::certificates::Authority;
use crate::ldap::{Connection, Endpoint, Frame, Security};
use crate::process::{self, Process};
use crate::request::{self, Change, Scope};
use crate::scratch::Scratch;
use crate::wait::Stopwatch;
use crate::{packages, ports};

/// The domain's naming context.
pub const DOMAIN: &str = "DC=example,DC=test";
/// Wrong binds that lock an account.
pub const MAX_FAILURES: usize = 3;

const PROGRAMS: [&str; 3] = ["/usr/sbin/samba", "/usr/bin/samba-tool", "/usr/bin/ldbmodify"];
const ADMINISTRATOR: &str = "CN=Administrator,CN=Users,DC=example,DC=test";
const ADMINISTRATOR_PASSWORD: &str = "Adm1n.Passw0rd";
/// The ports of a domain controller cannot be chosen; its address can.
const LDAP_PORT: u16 = 389;
const LDAPS_PORT: u16 = 636;
const FIXED_PORTS: [u16; 4] = [LDAP_PORT, LDAPS_PORT, 3268, 3269];

/// A running domain controller.
#[derive(Debug)]
pub struct Samba {
    process: Process,
    scratch: Scratch,
    address: Ipv4Addr,
    ca_file: PathBuf,
}

impl Samba {
    /// The instance that the tests of one binary share; `None` when it is not installed and that is
    /// allowed. Starting it takes 10 to 40 seconds and root's rights.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Samba>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    fn start() -> Option<Self> {
        if !packages::installed(&PROGRAMS) {
            return None;
        }
        let watch = Stopwatch::start();
        let scratch = Scratch::new("samba");
        let authority = Authority::new(&scratch.join("tls"));
        let identity = authority.server("server", &["dc1.example.test"]);
        // Samba refuses to start with a key that others could read.
        std::fs::set_permissions(&identity.key_file, PermissionsExt::from_mode(0o600)).expect("close the key file");
        let address = ports::free_loopback(&FIXED_PORTS);
        provision(&scratch, address, &authority);

        let configuration = scratch.join("etc/smb.conf");
        let mut process = Process::start(
            "samba",
            Command::new("/usr/sbin/samba").arg("-s").arg(configuration).args([
                "-i",
                "-M",
                "single",
                "-d",
                "1 auth_json_audit:3",
                "--debug-stdout",
            ]),
            &scratch.join("log"),
        );
        let endpoint = Endpoint::tcp(SocketAddr::from((address, LDAP_PORT)));
        process.wait_until("accepting binds", Duration::from_secs(60), || {
            endpoint
                .try_connect()
                .is_ok_and(|mut connection| connection.bind(ADMINISTRATOR, ADMINISTRATOR_PASSWORD) == 0)
        });
        watch.report("Samba provisioned and started");
        Some(Self { process, scratch, address, ca_file: authority.ca_file })
    }

    /// Clear text over TCP (StartTLS is offered).
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::tcp(SocketAddr::from((self.address, LDAP_PORT)))
    }

    /// LDAPS.
    #[must_use]
    pub fn ldaps(&self) -> Endpoint {
        Endpoint::tcp(SocketAddr::from((self.address, LDAPS_PORT))).secured(Security::Ldaps, &self.ca_file)
    }

    /// StartTLS on the port of [`Samba::endpoint`].
    #[must_use]
    pub fn start_tls(&self) -> Endpoint {
        self.endpoint().secured(Security::StartTls, &self.ca_file)
    }

    /// A connection bound as the domain's administrator; over TLS, because passwords can be set on
    /// no other.
    #[must_use]
    pub fn admin(&self) -> Connection {
        let mut connection = self.ldaps().connect();
        assert_eq!(connection.bind(ADMINISTRATOR, ADMINISTRATOR_PASSWORD), 0);
        connection
    }

    /// The DN of the user `account`.
    #[must_use]
    pub fn dn(account: &str) -> String {
        format!("CN={account},CN=Users,{DOMAIN}")
    }

    /// Adds a user with a password, and returns its DN.
    pub fn add_user(&self, account: &str, password: &str) -> String {
        self.add_user_with(account, password, &[])
    }

    /// Adds a user with further attributes.
    pub fn add_user_with(&self, account: &str, password: &str, more: &[(&str, &str)]) -> String {
        let dn = Self::dn(account);
        let password = unicode_password(password);
        let values: Vec<(&str, [&[u8]; 1])> = [
            ("objectClass", b"user".as_slice()),
            ("sAMAccountName", account.as_bytes()),
            ("userAccountControl", b"512"),
            ("unicodePwd", &password),
        ]
        .into_iter()
        .chain(more.iter().map(|&(attribute, value)| (attribute, value.as_bytes())))
        .map(|(attribute, value)| (attribute, [value]))
        .collect();
        let attributes: Vec<(&str, &[&[u8]])> = values.iter().map(|(name, values)| (*name, &values[..])).collect();
        let answer = self.admin().ask(&request::add(&dn, &attributes));
        assert_eq!(answer.code(), 0, "add {dn}: {answer:?}");
        dn
    }

    /// Modifies an entry as the administrator.
    pub fn modify(&self, dn: &str, changes: &[(Change, &str, &[&[u8]])]) {
        let answer = self.admin().ask(&request::modify(dn, changes));
        assert_eq!(answer.code(), 0, "modify {dn}: {answer:?}");
    }

    /// Ends a lock, as an administrator does.
    pub fn unlock(&self, dn: &str) {
        self.modify(dn, &[(Change::Replace, "lockoutTime", &[b"0"])]);
    }

    /// Writes an attribute that no LDAP client may write, past the server's rules.
    pub fn write_past_the_rules(&self, dn: &str, attribute: &str, value: &str) {
        let change = format!("dn: {dn}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n");
        let file = self.scratch.write("change.ldif", change);
        let partition = self.scratch.join("private/sam.ldb.d").join(format!("{}.ldb", DOMAIN.to_uppercase()));
        process::run(Command::new("/usr/bin/ldbmodify").arg("-H").arg(partition).arg(file));
    }

    /// Values of one attribute of an entry, read as the administrator.
    #[must_use]
    pub fn values(&self, dn: &str, attribute: &str) -> Vec<Vec<u8>> {
        let search = request::search(dn, Scope::Base, &request::present("objectClass"), &[attribute], 0);
        let frames = self.admin().call(&search);
        assert_eq!(frames.last().map(Frame::code), Some(0), "{frames:?}");
        frames[0].values(attribute)
    }

    fn number(&self, dn: &str, attribute: &str) -> u64 {
        let values = self.values(dn, attribute);
        values.first().map_or(0, |value| String::from_utf8_lossy(value).parse().expect("a number"))
    }

    /// `badPwdCount`.
    #[must_use]
    pub fn failures(&self, dn: &str) -> usize {
        usize::try_from(self.number(dn, "badPwdCount")).expect("a small number")
    }

    /// Whether the account is locked.
    #[must_use]
    pub fn locked(&self, dn: &str) -> bool {
        self.number(dn, "lockoutTime") != 0
    }

    /// Simple binds with this name, written in this way, that the authentication audit shows.
    #[must_use]
    pub fn binds(&self, name: &str) -> usize {
        let accounts = self.process.log().lines().filter_map(simple_bind_account).collect::<Vec<_>>();
        accounts.iter().filter(|account| *account == name).count()
    }

    /// What the server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// A password as `unicodePwd` takes it: quoted, in UTF-16 ([MS-ADTS] 3.1.1.3.1.5).
#[must_use]
pub fn unicode_password(password: &str) -> Vec<u8> {
    format!("\"{password}\"").encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// The name that a simple bind was asked for, when `line` reports one.
fn simple_bind_account(line: &str) -> Option<String> {
    let event: serde_json::Value = serde_json::from_str(line.trim()).ok()?;
    let authentication = &event["Authentication"];
    let simple = authentication["authDescription"].as_str()?.starts_with("simple bind");
    simple.then(|| authentication["clientAccount"].as_str().map(str::to_owned))?
}

fn provision(scratch: &Scratch, address: Ipv4Addr, authority: &Authority) {
    process::run(
        Command::new("/usr/bin/samba-tool")
            .args(["domain", "provision", "--realm=EXAMPLE.TEST", "--domain=EXAMPLE", "--server-role=dc"])
            .args(["--dns-backend=NONE", "--host-name=dc1", "--option=server services=ldap"])
            .arg(format!("--adminpass={ADMINISTRATOR_PASSWORD}"))
            .arg(format!("--targetdir={}", scratch.path().display()))
            .arg(format!("--host-ip={address}"))
            .arg(format!("--option=interfaces={address}/8"))
            .arg("--option=bind interfaces only=yes"),
    );
    let file = scratch.join("etc/smb.conf");
    let provisioned = std::fs::read_to_string(&file).expect("read what the provision wrote");
    let directory = scratch.path().display();
    let ca_file = authority.ca_file.display();
    // Simple binds in clear text are wanted here, and a just replaced password must be wrong at
    // once. Everything that a domain controller writes goes into our directory.
    let global = format!(
        "[global]
    ldap server require strong auth = no
    old password allowed period = 0
    tls enabled = yes
    tls cafile = {ca_file}
    tls certfile = {directory}/tls/server.pem
    tls keyfile = {directory}/tls/server-key.pem
    pid directory = {directory}/run
    ncalrpc dir = {directory}/run/ncalrpc
    winbindd socket directory = {directory}/run/winbindd
    ntp signd socket directory = {directory}/run/ntp_signd
"
    );
    std::fs::create_dir(scratch.join("run")).expect("make the run directory");
    std::fs::write(&file, provisioned.replacen("[global]\n", &global, 1)).expect("write smb.conf");
    process::run(
        Command::new("/usr/bin/samba-tool")
            .args(["domain", "passwordsettings", "set", "--complexity=off", "--min-pwd-length=1", "--min-pwd-age=0"])
            .args(["--max-pwd-age=2", "--account-lockout-threshold=3", "--account-lockout-duration=60"])
            .args(["--reset-account-lockout-after=60", "-H"])
            .arg(scratch.join("private/sam.ldb"))
            .arg("-s")
            .arg(&file),
    );
}
