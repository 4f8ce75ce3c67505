//! Whole proxies in this process, as a cluster over loopback.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bindproxy::bind::{Credential, Decision, Digest, NameKey, Outcome, Source, Verdict};
use bindproxy::cluster::handle::ClusterHandle;
use bindproxy::cluster::waiter::Waiter;
use bindproxy::config;
use bindproxy::server::Server;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use tempfile::TempDir;

const CLUSTER: &str = "bench/cluster";
/// Longer than anything that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The moment, for durations.
#[expect(clippy::disallowed_methods, reason = "this program measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Polls until `condition` holds; how long that took.
pub(crate) fn until(what: &str, pause: Duration, mut condition: impl FnMut() -> bool) -> Result<Duration> {
    let start = now();
    while !condition() {
        ensure!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(pause);
    }
    Ok(start.elapsed())
}

/// Files and addresses of a cluster, and the members that run.
pub(crate) struct Fleet {
    /// The members, by number.
    pub(crate) members: Vec<Option<Server>>,
    addresses: Vec<SocketAddr>,
    directory: TempDir,
    max_entries: u32,
    verdict: Verdict,
}

impl Fleet {
    /// Room for so many members, none of which runs.
    pub(crate) fn prepare(members: usize, max_entries: u32) -> Result<Self> {
        let directory = TempDir::new()?;
        certificates(&directory)?;
        std::fs::write(directory.path().join("hash.key"), std::array::from_fn::<u8, 32, _>(|at| at as u8))?;
        let sockets: Vec<TcpListener> =
            (0..members).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
        let addresses = sockets.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
        // The operation of a BindResponse that says invalidCredentials.
        let verdict = Verdict::from_octets(&[0x61, 7, 0x0A, 1, 49, 4, 0, 4, 0])?;
        Ok(Self { members: (0..members).map(|_| None).collect(), addresses, directory, max_entries, verdict })
    }

    /// All members running and knowing each other.
    pub(crate) fn start(members: usize, max_entries: u32) -> Result<Self> {
        let mut fleet = Self::prepare(members, max_entries)?;
        let all = fleet.addresses.clone();
        for member in 0..members {
            fleet.launch(member, &all)?;
        }
        fleet.wait_until_whole()?;
        Ok(fleet)
    }

    /// Where a member is reached.
    pub(crate) fn address(&self, member: usize) -> SocketAddr {
        self.addresses[member]
    }

    /// Starts a member that looks for others at these addresses; does not wait for the join.
    pub(crate) fn launch(&mut self, member: usize, others: &[SocketAddr]) -> Result<()> {
        let list: Vec<String> = others.iter().map(|address| format!("\"{address}\"")).collect();
        let text = format!(
            "listeners:\n- {{name: bench, address: \"127.0.0.1:0\"}}\n\
             upstreams:\n- {{name: nobody, host: \"127.0.0.1\", port: 1}}\n\
             upstreamPolicy: {{healthCheck: {{enabled: false}}}}\n\
             cache: {{keyFile: hash.key, maxEntries: {}}}\nadmin: {{address: \"127.0.0.1:0\"}}\n\
             cluster: {{name: {CLUSTER}, address: \"{}\", nodeName: node-{member}, discovery: {{static: [{}]}}, \
             certificateFile: node.pem, keyFile: node.key, caFile: ca.pem}}\n",
            self.max_entries,
            self.addresses[member],
            list.join(", "),
        );
        let path: PathBuf = self.directory.path().join(format!("node-{member}.yaml"));
        std::fs::write(&path, text)?;
        let loaded = config::load(&path).map_err(|problems| anyhow::anyhow!("{problems}"))?;
        self.members[member] = Some(Server::start(&loaded, &path, 1, None)?);
        Ok(())
    }

    /// Waits until each running member sees all others alive.
    pub(crate) fn wait_until_whole(&self) -> Result<()> {
        let running = self.running().count();
        until("all members to meet", Duration::from_millis(5), || {
            self.running().all(|server| {
                handle(server).is_ok_and(|handle| handle.has_joined().is_some())
                    && metric(server, "bindproxy_cluster_peers{state=\"alive\"}") as usize == running - 1
                    && metric(server, "bindproxy_cluster_links{direction=\"out\"}") as usize == running - 1
            })
        })?;
        Ok(())
    }

    /// The members that run.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Server> {
        self.members.iter().flatten()
    }

    /// A member that runs.
    pub(crate) fn member(&self, member: usize) -> Result<&Server> {
        self.members[member].as_ref().context("the member runs")
    }

    /// A bind of this attempt fails at `server`, which tells the others when `tells`. False when it was known already.
    pub(crate) fn fail(&self, server: &Server, credential: &Credential, tells: bool) -> Result<bool> {
        let shared = &server.shared;
        let source = Source::from(IpAddr::V4(Ipv4Addr::from_bits(credential.name.short())));
        let Decision::Lead(lease) = shared.guard.decide(credential, source, shared.cluster_clock.now(), nobody_waits)
        else {
            return Ok(false);
        };
        let outcome = Outcome::Verdict(self.verdict.clone());
        let settled = shared.guard.settle(lease, outcome, shared.cluster_clock.now());
        if tells {
            handle(server)?.publish(settled.effects);
        }
        Ok(true)
    }

    /// Ends all members.
    pub(crate) fn end(self) {
        thread::scope(|scope| {
            for server in self.members.into_iter().flatten() {
                scope.spawn(|| server.drain(Duration::from_secs(1)));
            }
        });
    }
}

/// The cluster of a member.
pub(crate) fn handle(server: &Server) -> Result<&Arc<ClusterHandle>> {
    server.shared.cluster.get().context("the member has a cluster")
}

/// Whether a member knows the failure, without asking as a client would.
pub(crate) fn knows(server: &Server, credential: &Credential) -> bool {
    let shared = &server.shared;
    shared.guard.failure(&credential.name, &credential.digest, shared.cluster_clock.now()).is_some()
}

/// Whether a member answers a client from the cache.
pub(crate) fn answers(server: &Server, credential: &Credential) -> bool {
    let shared = &server.shared;
    match shared.guard.decide(credential, Source::local(), shared.cluster_clock.now(), nobody_waits) {
        Decision::Answer(_) => true,
        Decision::Wait => false,
        Decision::Lead(lease) => {
            let _ = shared.guard.settle(lease, Outcome::Fault, shared.cluster_clock.now());
            false
        }
    }
}

/// Failures that a member holds.
pub(crate) fn live(server: &Server) -> usize {
    server.shared.guard.stats().live
}

/// A sample of the metrics, by its whole name; 0 of none.
pub(crate) fn metric(server: &Server, name: &str) -> f64 {
    let text = server.shared.metrics.render();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.trim().parse().ok()).unwrap_or_default()
}

/// Octets that a member has sent to others.
pub(crate) fn sent(server: &Server) -> f64 {
    metric(server, "bindproxy_cluster_bytes_total{direction=\"out\"}")
}

/// An attempt of a name of its own.
pub(crate) fn attempt(number: u64) -> Credential {
    let mix = |seed: u64| {
        let mut bits = (number << 8 | seed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        bits = (bits ^ bits >> 31).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits ^ bits >> 29
    };
    let wide = |seed: u64| {
        let mut octets = [0; 16];
        octets[..8].copy_from_slice(&mix(seed).to_le_bytes());
        octets[8..].copy_from_slice(&mix(seed + 1).to_le_bytes());
        octets
    };
    Credential { name: NameKey(wide(1)), digest: Digest(wide(3)), previous: None }
}

fn nobody_waits() -> Waiter {
    let (sender, _) = tokio::sync::oneshot::channel();
    Waiter::Session(sender)
}

fn certificates(directory: &TempDir) -> Result<()> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    std::fs::write(directory.path().join("ca.pem"), authority.self_signed(&authority_key)?.pem())?;
    let key = KeyPair::generate()?;
    let mut member = CertificateParams::default();
    member.subject_alt_names = vec![SanType::URI(format!("bindproxy://{CLUSTER}").try_into()?)];
    let issuer = Issuer::from_params(&authority, &authority_key);
    std::fs::write(directory.path().join("node.pem"), member.signed_by(&key, &issuer)?.pem())?;
    std::fs::write(directory.path().join("node.key"), key.serialize_pem())?;
    Ok(())
}
