//! One pod: what the API server says of it, what it says of itself, and ways to end it. Nothing is executed in it; there
//! is no shell in its image.

use std::fmt;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, LogParams};
use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::ldap::Endpoint;
use crate::{process, scrape, wait};

use super::clients::LDAP_PORT;
use super::cluster::{ADMIN_PORT, cluster};
use super::kubectl::kubectl;

/// A pod as it was when it was asked for.
#[derive(Clone)]
pub struct Pod {
    namespace: String,
    object: core::Pod,
}

impl Pod {
    /// A pod that was listed or got.
    pub fn new(namespace: &str, object: core::Pod) -> Self {
        Self { namespace: namespace.to_owned(), object }
    }

    /// The object.
    pub fn object(&self) -> &core::Pod {
        &self.object
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.object.name_any()
    }

    /// The number at the end of its name.
    pub fn ordinal(&self) -> u32 {
        self.name().rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or_default()
    }

    /// Another pod under the same name has another.
    pub fn uid(&self) -> String {
        self.object.uid().unwrap_or_default()
    }

    /// The node that it is on.
    pub fn node(&self) -> String {
        self.object.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default()
    }

    /// Whether it had an address.
    pub fn has_address(&self) -> bool {
        self.ip().is_some()
    }

    fn ip(&self) -> Option<IpAddr> {
        self.object.status.as_ref()?.pod_ip.as_ref()?.parse().ok()
    }

    /// A port of it.
    pub fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip().unwrap_or_else(|| panic!("{self} has no address")), port)
    }

    /// It as an LDAP client is told of it, in clear text.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::tcp(self.address(LDAP_PORT))
    }

    /// Whether it was Ready.
    pub fn ready(&self) -> bool {
        let conditions = self.object.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
    }

    /// How often its container was started again.
    pub fn restarts(&self) -> i32 {
        self.container().map_or(0, |container| container.restart_count)
    }

    fn container(&self) -> Option<&core::ContainerStatus> {
        self.object.status.as_ref()?.container_statuses.as_ref()?.first()
    }

    /// The same pod as it is now; `None` when it has gone, or another has its name.
    pub fn again(&self) -> Option<Self> {
        let object = cluster().ask(self.api().get_opt(&self.name())).expect("get a pod")?;
        (object.uid() == self.object.uid()).then(|| Self::new(&self.namespace, object))
    }

    /// Status and body of a path on the admin port: `/readyz`, `/metrics`; `None` when nobody answers.
    pub fn http(&self, path: &str) -> Option<(u16, String)> {
        scrape::get(self.address(ADMIN_PORT), path)
    }

    /// The sum of all samples of a metric whose labels contain `labels`.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        scrape::metric(self.address(ADMIN_PORT), name, labels)
    }

    /// How many of the others it has in this state: `peers("alive")`.
    pub fn peers(&self, state: &str) -> f64 {
        self.metric("bindproxy_cluster_peers", &[("state", state)])
    }

    /// `/statusz`, which the operator reads.
    pub fn statusz(&self) -> Value {
        let (status, body) = self.http("/statusz").unwrap_or_else(|| panic!("{self} does not answer"));
        assert_eq!(status, 200, "{self}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error} in {body}"))
    }

    /// What its container has logged since it was last started.
    pub fn log(&self) -> String {
        let parameters = LogParams { container: self.first_container(), ..LogParams::default() };
        cluster().ask(self.api().logs(&self.name(), &parameters)).unwrap_or_else(|error| panic!("{self}: {error}"))
    }

    /// Follows that log until the container ends, from now on; what was logged comes when the thread is joined. It is how
    /// the last words of a pod are heard, whose log goes with it.
    pub fn follow_log(&self) -> JoinHandle<String> {
        let (namespace, name) = (self.namespace.clone(), self.name());
        std::thread::spawn(move || {
            let answer = kubectl(&["logs", "--follow", "--container", "bindproxy", "--namespace", &namespace, &name]);
            answer.output + &answer.errors
        })
    }

    /// What its container had logged before it was last started again; `None` when it never was.
    pub fn previous_log(&self) -> Option<String> {
        let parameters = LogParams { container: self.first_container(), previous: true, ..LogParams::default() };
        (self.restarts() > 0).then(|| cluster().ask(self.api().logs(&self.name(), &parameters)).ok()).flatten()
    }

    /// Others may have been injected after it.
    fn first_container(&self) -> Option<String> {
        self.object.spec.as_ref()?.containers.first().map(|container| container.name.clone())
    }

    /// Deletes it as `kubectl delete pod` does; does not wait.
    pub fn delete(&self) {
        self.delete_with(&DeleteParams::default());
    }

    /// `kubectl delete pod --grace-period=0 --force`; does not wait.
    pub fn delete_at_once(&self) {
        self.delete_with(&DeleteParams::default().grace_period(0));
    }

    fn delete_with(&self, parameters: &DeleteParams) {
        cluster().ask(self.api().delete(&self.name(), parameters)).unwrap_or_else(|error| panic!("{self}: {error}"));
    }

    /// Waits until it is no longer there.
    pub fn until_gone(&self, limit: Duration) {
        wait::until_true(&format!("the end of {self}"), limit, || self.again().is_none());
    }

    /// The ID of its first process on this machine; only on a cluster that was started here.
    pub fn process(&self) -> Pid {
        let own = cluster().own().expect("a cluster of ours: ask Cluster::own_or_skip first");
        let container = self.container().and_then(|container| container.container_id.clone()).unwrap_or_default();
        let container = container.strip_prefix("containerd://").unwrap_or_else(|| panic!("{self} runs nothing"));
        let socket = own.join(self.node()).join("containerd.sock");
        let tasks = process::run(Command::new("ctr").arg("--address").arg(socket).args([
            "--namespace",
            "k8s.io",
            "tasks",
            "list",
        ]));
        let line = tasks.lines().find(|line| line.starts_with(container));
        let id = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).and_then(Pid::from_raw);
        id.unwrap_or_else(|| panic!("no process of {self} in\n{tasks}"))
    }

    /// What its process takes now; only on a cluster that was started here.
    pub fn usage(&self) -> Usage {
        Usage::of(self.process()).unwrap_or_else(|| panic!("{self} ended while it was looked at"))
    }

    /// Signals its process: SIGKILL is a crash, SIGSTOP a pod that hangs with its sockets open.
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.process(), signal).unwrap_or_else(|error| panic!("{self}: {error}"));
    }

    fn api(&self) -> Api<core::Pod> {
        Api::namespaced(cluster().client(), &self.namespace)
    }
}

/// Ticks of a second in /proc: `USER_HZ`, which is the same on every architecture that programs in Rust run on.
const TICKS: u64 = 100;

/// What a process takes, as the kernel tells (`/proc`).
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Resident memory, in octets (`VmRSS`).
    pub resident: u64,
    /// Time on a processor since it began, of all its threads.
    pub processor: Duration,
    /// Open files and sockets.
    pub descriptors: usize,
}

impl Usage {
    /// `None` when there is no such process.
    #[must_use]
    pub fn of(process: Pid) -> Option<Self> {
        let folder = Path::new("/proc").join(process.as_raw_nonzero().to_string());
        let status = fs::read_to_string(folder.join("status")).ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?;
        let stat = fs::read_to_string(folder.join("stat")).ok()?;
        // The name in parentheses may hold anything; user and system time are the 12th and 13th field after it.
        let ticks: u64 = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(2).flat_map(str::parse::<u64>).sum();
        Some(Self {
            resident: resident.parse::<u64>().ok()? * 1024,
            processor: Duration::from_millis(ticks * (1000 / TICKS)),
            descriptors: fs::read_dir(folder.join("fd")).ok()?.count(),
        })
    }
}

impl fmt::Display for Pod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ready = if self.ready() { "ready" } else { "not ready" };
        let phase = self.object.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
        write!(f, "pod {} ({phase}, {ready}, {} restarts, on {})", self.name(), self.restarts(), self.node())?;
        let waiting = self.container().and_then(|container| container.state.as_ref()?.waiting.clone());
        if let Some(waiting) = waiting {
            let message = waiting.message.unwrap_or_default();
            write!(f, " waits: {} {message}", waiting.reason.unwrap_or_default())?;
        }
        Ok(())
    }
}
