//! Network namespaces on a bridge, and what is cut between them.
//!
//! The bridge stands in a namespace of its own, so that no packet filter of the machine has a say in
//! what passes between two members. Names begin with `PREFIX` and the process ID of the test: the
//! [`reaper`] removes them when that process has ended, and the next run removes what even the
//! reaper could not.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::{packages, process, reaper};

/// How the names of all namespaces begin.
const PREFIX: &str = "bindproxy-lab-";

const PROGRAMS: [&str; 2] = ["/sbin/ip", "/usr/sbin/nft"];

/// The host part of the first member's address.
const FIRST_HOST: u8 = 10;

/// The packet filter of the bridge: what is in the set is dropped.
const FILTER: &str = "table bridge lab {
  set cut {
    type ipv4_addr . ipv4_addr
  }
  chain passing {
    type filter hook forward priority 0; policy accept;
    ip saddr . ip daddr @cut drop
  }
}
";

/// The namespaces of one lab.
#[derive(Debug)]
pub struct Network {
    hub: String,
    members: Vec<String>,
    subnet: [u8; 3],
    /// The interface in the root namespace.
    interface: String,
}

impl Network {
    /// Makes the namespaces; panics with the reason when this machine does not let us.
    #[must_use]
    pub fn new(members: usize) -> Self {
        assert!(packages::installed(&PROGRAMS), "the suite of the cluster has nothing to run without {PROGRAMS:?}");
        static SWEPT: Once = Once::new();
        SWEPT.call_once(sweep);
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let hub = format!("{PREFIX}{process}-{number}");
        add_namespace(&hub);
        let members: Vec<String> = (0..members).map(|member| format!("{hub}-{member}")).collect();
        let interface = format!("bp{process:x}.{number:x}");

        // One lab after the other: the address must be taken before the next one looks for a free one.
        static MAKING: Mutex<()> = Mutex::new(());
        let making = MAKING.lock();
        let subnet = free_subnet();
        let network = Self { hub, members, subnet, interface };
        let Self { hub, interface, .. } = &network;
        ip(&["-n", hub, "link", "add", "bridge", "type", "bridge"]);
        ip(&["-n", hub, "link", "set", "bridge", "up"]);
        ip(&["link", "add", interface, "type", "veth", "peer", "name", "root", "netns", hub]);
        ip(&["-n", hub, "link", "set", "root", "master", "bridge", "up"]);
        ip(&["address", "add", &format!("{}/24", network.root()), "dev", interface]);
        ip(&["link", "set", interface, "up"]);
        drop(making);

        for (number, member) in network.members.iter().enumerate() {
            add_namespace(member);
            let port = format!("member{number}");
            ip(&["-n", hub, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", member]);
            ip(&["-n", hub, "link", "set", &port, "master", "bridge", "up"]);
            ip(&["-n", member, "address", "add", &format!("{}/24", network.address(number)), "dev", "eth0"]);
            ip(&["-n", member, "link", "set", "lo", "up"]);
            ip(&["-n", member, "link", "set", "eth0", "up"]);
            let files = Path::new("/etc/netns").join(member);
            std::fs::create_dir_all(&files).expect("make a directory in /etc/netns");
            let resolver = format!("nameserver {}\noptions timeout:1 attempts:2\n", network.root());
            std::fs::write(files.join("resolv.conf"), resolver).expect("write the resolver's configuration");
        }
        network.filter(FILTER);
        network
    }

    /// The address of the root namespace.
    #[must_use]
    pub fn root(&self) -> Ipv4Addr {
        self.host(1)
    }

    /// The address of a member.
    #[must_use]
    pub fn address(&self, member: usize) -> Ipv4Addr {
        self.host(FIRST_HOST + u8::try_from(member).expect("a lab has few members"))
    }

    /// The namespace of a member.
    #[must_use]
    pub fn namespace(&self, member: usize) -> &str {
        &self.members[member]
    }

    /// Drops from now on what any of `from` sends to any of `to`. The other direction stays open.
    pub fn cut(&self, from: &[usize], to: &[usize]) {
        let pairs: Vec<String> = from
            .iter()
            .flat_map(|&from| to.iter().map(move |&to| (from, to)))
            .map(|(from, to)| format!("{} . {}", self.address(from), self.address(to)))
            .collect();
        self.filter(&format!("add element bridge lab cut {{ {} }}\n", pairs.join(", ")));
    }

    /// Lets everything pass again.
    pub fn heal(&self) {
        self.filter("flush set bridge lab cut\n");
    }

    fn host(&self, host: u8) -> Ipv4Addr {
        let [a, b, c] = self.subnet;
        Ipv4Addr::new(a, b, c, host)
    }

    fn filter(&self, rules: &str) {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.hub, "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("start nft");
        child.stdin.take().expect("a pipe").write_all(rules.as_bytes()).expect("write to nft");
        let status = child.wait().expect("wait for nft");
        assert!(status.success(), "nft ended with {status} on\n{rules}");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in self.members.iter().chain([&self.hub]) {
            remove(name);
        }
        // The kernel takes a deleted namespace down some time later; a new lab must not meet its address.
        let _gone_with_its_peer = Command::new("ip").args(["link", "delete", &self.interface]).output();
    }
}

fn ip(arguments: &[&str]) {
    process::run(Command::new("ip").args(arguments));
}

fn add_namespace(name: &str) {
    reaper::remove_namespace(name);
    let (status, said) = process::outcome(Command::new("ip").args(["netns", "add", name]));
    assert!(
        status.success(),
        "this suite needs network namespaces, and `ip netns add {name}` says: {said}\
         Run it as root, in a container with the capabilities SYS_ADMIN and NET_ADMIN if it is one. \
         It is not skipped, because what it shows no other suite shows."
    );
}

/// A network of the range for benchmarks (RFC 2544) of which this machine has no address yet.
fn free_subnet() -> [u8; 3] {
    let taken = process::run(Command::new("ip").args(["-4", "-o", "address", "show"]));
    let seed = std::process::id();
    (0..512)
        .map(|step| {
            let [high, low] = [(seed + step) / 256 % 2, (seed + step) % 256].map(|part| part as u8);
            [198, 18 + high, low]
        })
        .find(|[a, b, c]| !taken.contains(&format!(" {a}.{b}.{c}.")))
        .expect("a free network in 198.18.0.0/15")
}

fn remove(name: &str) {
    let pids = Command::new("ip").args(["netns", "pids", name]).output();
    for pid in pids.iter().flat_map(|output| {
        String::from_utf8_lossy(&output.stdout).into_owned().lines().map(str::to_owned).collect::<Vec<_>>()
    }) {
        if let Some(pid) = pid.parse().ok().and_then(rustix::process::Pid::from_raw) {
            let _ended_already = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    let _gone_already = Command::new("ip").args(["netns", "delete", name]).output();
    let _gone_already = std::fs::remove_dir_all(Path::new("/etc/netns").join(name));
}

/// Removes what runs left whose process is gone.
fn sweep() {
    let Ok(output) = Command::new("ip").args(["netns", "list"]).output() else { return };
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let Some(process) = rest.split('-').next() else { continue };
        if !Path::new("/proc").join(process).exists() {
            println!("removing {name}, which an earlier run left behind");
            remove(name);
        }
    }
}
