//! The systems that are compared, with their configurations.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::running::Running;
use super::yard::Yard;
use crate::canned::BindAnswer;

/// Where a proxy sends what it does not answer.
#[derive(Clone, Copy)]
pub struct Behind {
    /// The directory's address.
    pub address: SocketAddr,
    /// With TLS.
    pub tls: bool,
}

/// What the proxy is configured to do.
#[derive(Clone, Copy)]
pub struct Front {
    /// LDAPS towards the clients.
    pub tls: bool,
    /// The directory.
    pub behind: Behind,
    /// The bound on cache entries.
    pub entries: u32,
}

/// The default bound on cache entries.
pub const DEFAULT_ENTRIES: u32 = 1_000_000;

/// The proxy itself, or with `stand_in` the forwarder in its place.
pub fn bindproxy(yard: &Yard, front: Front, stand_in: bool) -> Result<Running> {
    let Front { tls, behind, entries } = front;
    let address = yard.address()?;
    if stand_in {
        return start_forwarder(yard, "bindproxy", address, tls, behind);
    }
    let (listener, server) = if tls {
        (
            ", tls: LDAPS",
            format!("serverTLS: {{certificateFile: {:?}, keyFile: {:?}}}\n", yard.certificate(), yard.key()),
        )
    } else {
        ("", String::new())
    };
    let upstream = if behind.tls {
        format!(", tls: {{mode: LDAPS, caFile: {:?}, serverName: localhost}}", yard.authority())
    } else {
        String::new()
    };
    let admin = yard.address()?;
    // The policy control would make the bind that is forwarded longer than the one that the others forward.
    let config = yard.write(
        "bindproxy.yaml",
        &format!(
            "listeners:\n- {{name: bench, address: \"{address}\"{listener}}}\n{server}upstreams:\n\
             - {{name: directory, host: \"{}\", port: {}{upstream}}}\n\
             cache: {{maxEntries: {entries}, requestPasswordPolicy: Never}}\n\
             admin: {{address: \"{admin}\"}}\nlogging: {{level: warn}}\n",
            behind.address.ip(),
            behind.address.port(),
        ),
    )?;
    let program = std::env::var_os("BINDPROXY_BIN").map_or_else(|| yard.program("bindproxy"), Into::into);
    Running::start(yard, "bindproxy", address, Command::new(program).arg("run").arg("--config").arg(config))
}

/// A proxy that is a member of a cluster.
pub const CLUSTERED: &str = "clustered";
/// The same proxy without a cluster.
pub const ALONE: &str = "alone";

/// Three proxies that are one cluster, each in front of the same directory.
pub fn members(yard: &Yard, behind: Behind) -> Result<Vec<Running>> {
    let addresses: Vec<SocketAddr> = (0..3).map(|_| yard.address()).collect::<Result<_>>()?;
    let list: Vec<String> = addresses.iter().map(|address| format!("{:?}", address.to_string())).collect();
    let (certificate, key) = yard.member_of("bench/cluster")?;
    let names = [CLUSTERED, "second member", "third member"];
    let member = |(name, address): (&'static str, &SocketAddr)| {
        let section = format!(
            "cluster: {{name: bench/cluster, address: \"{address}\", nodeName: {name:?}, discovery: {{static: [{}]}}, \
             certificateFile: {certificate:?}, keyFile: {key:?}, caFile: {:?}}}\n",
            list.join(", "),
            yard.authority(),
        );
        of_cluster_work(yard, name, behind, &section)
    };
    names.into_iter().zip(&addresses).map(member).collect()
}

/// What [`members`] are compared with.
pub fn alone(yard: &Yard, behind: Behind) -> Result<Running> {
    of_cluster_work(yard, ALONE, behind, "")
}

fn of_cluster_work(yard: &Yard, name: &'static str, behind: Behind, section: &str) -> Result<Running> {
    let (address, admin) = (yard.address()?, yard.address()?);
    let hash_key = yard.write("hash.key", "a hashing key of 32 octets: 012.")?;
    let config = yard.write(
        &format!("{name}.yaml"),
        &format!(
            "listeners:\n- {{name: bench, address: \"{address}\"}}\nupstreams:\n\
             - {{name: directory, host: \"{}\", port: {}}}\n\
             cache: {{keyFile: {hash_key:?}, requestPasswordPolicy: Never}}\n\
             admin: {{address: \"{admin}\"}}\nlogging: {{level: warn}}\n{section}",
            behind.address.ip(),
            behind.address.port(),
        ),
    )?;
    let program = std::env::var_os("BINDPROXY_BIN").map_or_else(|| yard.program("bindproxy"), Into::into);
    Running::start(yard, name, address, Command::new(program).arg("run").arg("--config").arg(config))
}

/// A directory that answers with fixed octets, on so many cores.
pub fn canned(yard: &Yard, name: &'static str, cores: usize, tls: bool, answer: BindAnswer) -> Result<Running> {
    let address = yard.address()?;
    let answer = match answer {
        BindAnswer::Refuse => "refuse",
        BindAnswer::Accept => "accept",
        BindAnswer::ByLastOctet => "by-last-octet",
    };
    let mut command = Command::new(yard.program("canned"));
    command.args(["--listen", &address.to_string(), "--cores", &cores.to_string(), "--answer", answer]);
    if tls {
        command.arg("--cert").arg(yard.certificate()).arg("--key").arg(yard.key());
    }
    Running::start(yard, name, address, &mut command)
}

/// The same with one core and a list of the binds that contain `name`, in the file `binds.log`.
pub fn canned_watching(yard: &Yard, name: &str) -> Result<Running> {
    let address = yard.address()?;
    let mut command = Command::new(yard.program("canned"));
    command.args(["--listen", &address.to_string(), "--watch-name", name, "--watch-log"]).arg(yard.file("binds.log"));
    Running::start(yard, "directory", address, &mut command)
}

/// The forwarder that understands nothing.
pub fn forwarder(yard: &Yard, behind: Behind) -> Result<Running> {
    start_forwarder(yard, "copy", yard.address()?, false, behind)
}

fn start_forwarder(yard: &Yard, name: &'static str, address: SocketAddr, tls: bool, behind: Behind) -> Result<Running> {
    let mut command = Command::new(yard.program("fwd"));
    command.args(["--listen", &address.to_string(), "--upstream", &behind.address.to_string()]);
    if tls {
        command.arg("--cert").arg(yard.certificate()).arg("--key").arg(yard.key());
    }
    if behind.tls {
        command.arg("--upstream-tls");
    }
    Running::start(yard, name, address, &mut command)
}

/// HAProxy in mode tcp, its defaults otherwise.
pub fn haproxy(yard: &Yard, tls: bool, behind: Behind) -> Result<Running> {
    let address = yard.address()?;
    let bind = if tls {
        let both = fs::read_to_string(yard.certificate())? + &fs::read_to_string(yard.key())?;
        format!(" ssl crt {}", yard.write("haproxy.pem", &both)?.display())
    } else {
        String::new()
    };
    let server = if behind.tls {
        format!(" ssl verify required ca-file {} sni str(localhost) verifyhost localhost", yard.authority().display())
    } else {
        String::new()
    };
    let config = yard.write(
        "haproxy.cfg",
        &format!(
            "global\n  maxconn 9000\ndefaults\n  mode tcp\n  timeout connect 3s\n  timeout client 900s\n  timeout server 900s\n\
             listen bench\n  bind {address}{bind}\n  server directory {}{server}\n",
            behind.address
        ),
    )?;
    Running::start(yard, "haproxy", address, Command::new("haproxy").arg("-db").arg("-f").arg(config))
}

/// nginx with its stream module, a worker for each core.
pub fn nginx(yard: &Yard, behind: Behind) -> Result<Running> {
    let address = yard.address()?;
    let config = yard.write(
        "nginx.conf",
        &format!(
            "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\nuser root;\nworker_processes auto;\ndaemon off;\n\
             pid {pid};\nerror_log stderr error;\nevents {{ worker_connections 9000; }}\n\
             stream {{ server {{ listen {address}; proxy_pass {}; }} }}\n",
            behind.address,
            pid = yard.file("nginx.pid").display(),
        ),
    )?;
    Running::start(yard, "nginx", address, Command::new("nginx").arg("-c").arg(config))
}

/// Users in the real directory.
pub const USERS: usize = 10_000;

/// OpenLDAP with [`USERS`] users and no overlay; clients reach it by LDAPS.
pub fn slapd(yard: &Yard) -> Result<Running> {
    let database = yard.file("slapd-db");
    fs::create_dir_all(&database)?;
    let config = yard.write(
        "slapd.conf",
        &format!(
            "modulepath /usr/lib/ldap\nmoduleload back_mdb\n\
             include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n\
             include /etc/ldap/schema/inetorgperson.schema\npidfile {pid}\nloglevel none\n\
             TLSCACertificateFile {authority}\nTLSCertificateFile {certificate}\nTLSCertificateKeyFile {key}\n\
             TLSVerifyClient never\n\
             database mdb\nmaxsize 1073741824\nsuffix dc=example,dc=org\nrootdn cn=admin,dc=example,dc=org\n\
             directory {database}\nindex objectClass,uid eq\naccess to * by * read\n",
            pid = yard.file("slapd.pid").display(),
            authority = yard.authority().display(),
            certificate = yard.certificate().display(),
            key = yard.key().display(),
            database = database.display(),
        ),
    )?;
    let ldif = yard.write("users.ldif", &users()?)?;
    let added = Command::new("/usr/sbin/slapadd")
        .args(["-q", "-f"])
        .arg(&config)
        .args(["-b", "dc=example,dc=org", "-l"])
        .arg(&ldif)
        .output()
        .context("slapadd")?;
    ensure!(added.status.success(), "slapadd: {}", String::from_utf8_lossy(&added.stderr));
    let address = yard.address()?;
    let mut command = Command::new("/usr/sbin/slapd");
    command.arg("-f").arg(config).args(["-h", &format!("ldaps://{address}"), "-d", "0"]);
    Running::start(yard, "slapd", address, &mut command)
}

/// The users as LDIF, with salted SHA-1 passwords as OpenLDAP stores them by default.
fn users() -> Result<String> {
    let mut ldif = "dn: dc=example,dc=org\nobjectClass: domain\ndc: example\n\n\
                    dn: ou=people,dc=example,dc=org\nobjectClass: organizationalUnit\nou: people\n\n"
        .to_owned();
    for number in 0..USERS {
        let salt = u32::try_from(number)?.to_be_bytes();
        let salted = [format!("pw{number:05}").as_bytes(), &salt].concat();
        let hash = [digest(&SHA1_FOR_LEGACY_USE_ONLY, &salted).as_ref(), &salt].concat();
        write!(
            ldif,
            "dn: uid=u{number:05},ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: u{number:05}\n\
             cn: User Number {number:05}\nsn: Number{number:05}\nmail: u{number:05}@example.org\n\
             telephoneNumber: +49 30 1234567\ntitle: Engineer\nl: Berlin\nou: Engineering\n\
             description: a synthetic user entry with a description of moderate length, like real ones\n\
             userPassword: {{SSHA}}{}\n\n",
            STANDARD.encode(hash)
        )?;
    }
    Ok(ldif)
}
