//! A directory, an authority, and members that are started and stopped.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bindproxy::config;
use bindproxy::demo::client::Client;
use bindproxy::directory::{Directory, Options, RunningDirectory};
use bindproxy::server::Server;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use tempfile::TempDir;

pub(crate) const CLUSTER: &str = "mail/corp";
pub(crate) const ALICE: &str = "uid=alice,ou=people,dc=example,dc=org";
pub(crate) const BOB: &str = "uid=bob,ou=people,dc=example,dc=org";
const PATIENCE: Duration = Duration::from_secs(20);

/// An authority of members.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }
}

/// The files of one member.
pub(crate) struct Papers {
    pub(crate) directory: TempDir,
}

impl Papers {
    /// Signed by `authority` for `cluster`.
    pub(crate) fn new(authority: &Authority, cluster: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let papers = Self { directory };
        papers.write(authority, cluster);
        let key: Vec<u8> = (1..=32).collect();
        std::fs::write(papers.path("hash.key"), key).unwrap();
        papers
    }

    /// Replaces the certificate, its key and the authority.
    pub(crate) fn write(&self, authority: &Authority, cluster: &str) {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(format!("bindproxy://{cluster}").try_into().unwrap())];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &authority.issuer).unwrap();
        std::fs::write(self.path("ca.crt"), &authority.pem).unwrap();
        std::fs::write(self.path("member.crt"), certificate.pem()).unwrap();
        std::fs::write(self.path("member.key"), key.serialize_pem()).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// A member that runs.
pub(crate) struct Member {
    pub(crate) server: Server,
    pub(crate) papers: Papers,
}

/// What differs between members.
#[derive(Clone)]
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) cluster: &'a str,
    pub(crate) coordination: &'a str,
    pub(crate) address: SocketAddr,
    pub(crate) others: &'a [SocketAddr],
    pub(crate) upstream: SocketAddr,
}

/// Starts a member; it may not have joined yet.
pub(crate) fn start(wanted: &Wanted<'_>, papers: Papers) -> Member {
    let path = write(wanted, &papers);
    let loaded = config::load(&path).unwrap_or_else(|problems| panic!("{problems}"));
    let server = Server::start(&loaded, &path, 1, None).unwrap();
    Member { server, papers }
}

/// Writes a member's configuration to its papers.
pub(crate) fn write(wanted: &Wanted<'_>, papers: &Papers) -> PathBuf {
    let Wanted { name, cluster, coordination, address, others, upstream } = wanted;
    let others: Vec<String> = others.iter().map(|other| format!("'{other}'")).collect();
    let text = format!(
        "listeners: [{{name: ldap, address: '127.0.0.1:0'}}]\n\
         upstreams: [{{name: a, host: 127.0.0.1, port: {port}}}]\n\
         admin: {{address: '127.0.0.1:0'}}\n\
         cache: {{keyFile: hash.key}}\n\
         cluster:\n  name: {cluster}\n  address: '{address}'\n  nodeName: {name}\n  coordination: {coordination}\n  \
         discovery: {{static: [{others}]}}\n  \
         certificateFile: member.crt\n  keyFile: member.key\n  caFile: ca.crt\n",
        port = upstream.port(),
        others = others.join(", "),
    );
    let path = papers.path("bindproxy.yaml");
    std::fs::write(&path, text).unwrap();
    path
}

impl Member {
    pub(crate) fn ldap(&self) -> SocketAddr {
        self.server.addresses()[0].1
    }

    pub(crate) async fn bind(&self, name: &str, password: &str) -> u32 {
        Client::connect(self.ldap()).await.unwrap().bind(name, password).await.unwrap().0
    }

    /// One series of its metrics.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = self.server.shared.metrics.render();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')).map(str::to_owned);
        line.unwrap_or_else(|| panic!("{series} is missing")).parse().unwrap()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.server.shared.status.started()
    }

    pub(crate) fn stop(self) {
        assert!(self.server.drain(Duration::from_secs(5)));
    }
}

/// Addresses that nobody uses now.
pub(crate) fn free_addresses(count: usize) -> Vec<SocketAddr> {
    let sockets: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    sockets.iter().map(|socket| socket.local_addr().unwrap()).collect()
}

pub(crate) async fn directory() -> RunningDirectory {
    Directory::start(Options::default()).await.unwrap()
}

/// `count` members that list all of them, themselves included, and have joined.
pub(crate) async fn cluster(count: usize, coordination: &str, directory: &RunningDirectory) -> Vec<Member> {
    let authority = Authority::new();
    let addresses = free_addresses(count);
    let members: Vec<Member> = addresses
        .iter()
        .enumerate()
        .map(|(index, &address)| {
            let wanted = Wanted {
                name: &format!("corp-{index}"),
                cluster: CLUSTER,
                coordination,
                address,
                others: &addresses,
                upstream: directory.addr(),
            };
            start(&wanted, Papers::new(&authority, CLUSTER))
        })
        .collect();
    eventually("all members are open and see each other", || {
        members.iter().all(|member| {
            member.is_open() && member.metric("bindproxy_cluster_peers{state=\"alive\"}") == (count - 1) as f64
        })
    })
    .await;
    members
}

/// Waits until `holds`.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
