//! Several proxies that are one cluster, each in a network namespace of its own, on one bridge.
//!
//! The test itself stands in the root namespace, is the bridge's first address, and answers there as
//! the name server ([`names`]) and, through [`crate::slapd`] or a scripted directory, as the
//! directory. What passes between two members can be cut in either direction ([`network`]); what
//! passes between a member and the root namespace never is.

pub mod credentials;
pub mod device;
pub mod impostor;
pub mod names;
pub mod network;
pub mod plan;
pub mod pod;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::scratch::Scratch;
use crate::wait::{self, Stopwatch};

use credentials::Credentials;
use names::Names;
use network::Network;
use plan::{Discovery, Plan};
use pod::Pod;

/// The name that the zone of every lab has for its members.
pub const PEERS: &str = "peers.lab.test";

/// The longest that a start may take: the join is bounded by 10 s.
const START: Duration = Duration::from_secs(40);

/// A cluster.
#[derive(Debug)]
pub struct Lab {
    // Fields are dropped in this order: processes before the namespaces that they run in.
    pods: Vec<Pod>,
    names: Names,
    network: Network,
    credentials: Credentials,
    scratch: Scratch,
}

impl Lab {
    /// The namespaces and the files, with no process running.
    #[must_use]
    pub fn prepare(plan: &Plan) -> Self {
        let network = Network::new(plan.pods);
        let scratch = Scratch::new("lab");
        let credentials = Credentials::new(&scratch, &plan.cluster);
        let names = Names::start(network.root());
        let addresses: Vec<Ipv4Addr> = (0..plan.pods).map(|number| network.address(number)).collect();
        let pods =
            (0..plan.pods).map(|number| Pod::new(number, plan, &network, &scratch, &credentials, &addresses)).collect();
        Self { pods, names, network, credentials, scratch }
    }

    /// A whole cluster: all processes are started at once, and each knows all others when this returns.
    #[must_use]
    pub fn start(plan: &Plan) -> Self {
        let watch = Stopwatch::start();
        let mut lab = Self::prepare(plan);
        if plan.discovery == Discovery::Dns {
            let all: Vec<usize> = (0..plan.pods).collect();
            lab.announce(&all);
        }
        let all: Vec<usize> = (0..plan.pods).collect();
        lab.launch(&all);
        lab.wait_until_whole(START);
        watch.report(&format!("a cluster of {} started", plan.pods));
        lab
    }

    /// Starts the processes of these pods at the same time and waits until all are ready.
    pub fn launch(&mut self, numbers: &[usize]) {
        for &number in numbers {
            self.pods[number].spawn();
        }
        for &number in numbers {
            self.pods[number].wait_until_ready(START);
        }
    }

    /// A pod.
    #[must_use]
    pub fn pod(&self, number: usize) -> &Pod {
        &self.pods[number]
    }

    /// A pod, to start and stop it.
    pub fn pod_mut(&mut self, number: usize) -> &mut Pod {
        &mut self.pods[number]
    }

    /// All pods.
    #[must_use]
    pub fn pods(&self) -> &[Pod] {
        &self.pods
    }

    /// Those of the pods.
    #[must_use]
    pub fn some(&self, numbers: &[usize]) -> Vec<&Pod> {
        numbers.iter().map(|&number| &self.pods[number]).collect()
    }

    /// The pods whose process runs and is not frozen.
    #[must_use]
    pub fn running(&self) -> Vec<&Pod> {
        self.pods.iter().filter(|pod| pod.is_running()).collect()
    }

    /// What is between the pods.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The authority, keys and token of the cluster.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The zone that members look each other up in.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Where files of the test may go.
    #[must_use]
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// An address of the root namespace as the pods see it.
    #[must_use]
    pub fn root(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.network.root(), port))
    }

    /// Makes [`PEERS`] the addresses of exactly these pods.
    pub fn announce(&self, numbers: &[usize]) {
        let addresses = numbers.iter().map(|&number| IpAddr::V4(self.network.address(number))).collect();
        self.names.set_addresses(PEERS, addresses);
    }

    /// Cuts what passes between the two sides, both ways.
    pub fn part(&self, left: &[usize], right: &[usize]) {
        self.network.cut(left, right);
        self.network.cut(right, left);
    }

    /// Waits until every running pod sees all other running ones alive and nobody suspect.
    pub fn wait_until_whole(&self, limit: Duration) {
        let running = self.running();
        let others = running.len() as f64 - 1.0;
        for pod in running {
            wait::until_true(&format!("{} to see {others} peers alive, none suspect", pod.name()), limit, || {
                pod.peers("alive") == others && pod.peers("suspect") == 0.0
            });
        }
    }

    /// What became of the leases of each running pod, for the message of a failure.
    #[must_use]
    pub fn leases(&self) -> String {
        let results = ["granted", "waited", "verdict", "unleased", "busy"];
        let of = |pod: &Pod| {
            let counts =
                results.map(|result| (result, pod.metric("bindproxy_cluster_leases_total", &[("result", result)])));
            format!("{}: {counts:?}", pod.name())
        };
        self.running().into_iter().map(of).collect::<Vec<_>>().join("; ")
    }

    /// Waits until every running pod holds as many entries as every other, and at least `least`.
    pub fn wait_until_equal(&self, least: f64, limit: Duration) -> f64 {
        let running = self.running();
        let mut seen = Vec::new();
        let watch = Stopwatch::start();
        loop {
            let entries: Vec<f64> = running.iter().map(|pod| pod.metric("bindproxy_cache_entries", &[])).collect();
            if entries.iter().all(|&count| count == entries[0] && count >= least) {
                return entries[0];
            }
            assert!(
                watch.elapsed() < limit,
                "waited {limit:?} in vain for equal caches of at least {least} entries; they hold {entries:?}, before that {seen:?}"
            );
            seen = entries;
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
