//! One member: a real `bindproxy` in a network namespace of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::certificates::Identity;
use crate::ldap::Endpoint;
use crate::process::Process;
use crate::proxy::binary;
use crate::scratch::Scratch;
use crate::{scrape, wait};

use super::PEERS;
use super::credentials::{Credentials, TOKEN};
use super::network::Network;
use super::plan::{Discovery, Plan};

/// Where clients connect.
const LDAP: u16 = 3389;
/// The admin port.
const ADMIN: u16 = 9390;
/// Where peers connect.
pub const CLUSTER: u16 = 7946;

/// A member of a [`super::Lab`].
#[derive(Debug)]
pub struct Pod {
    name: String,
    address: Ipv4Addr,
    namespace: String,
    directory: PathBuf,
    configuration: Written,
    process: Option<Process>,
    frozen: bool,
    /// Commands that the program is started through (`prlimit ...`).
    wrapper: Vec<String>,
}

/// What the configuration is written from.
#[derive(Debug)]
struct Written {
    upstream: SocketAddr,
    cluster: String,
    discovery: String,
    coordination: String,
    cache: String,
    sections: Vec<String>,
    token: PathBuf,
    has_previous_key: bool,
}

impl Pod {
    pub(super) fn new(
        number: usize,
        plan: &Plan,
        network: &Network,
        scratch: &Scratch,
        credentials: &Credentials,
        addresses: &[Ipv4Addr],
    ) -> Self {
        let name = format!("pod-{number}");
        let directory = scratch.join(&name);
        std::fs::create_dir(&directory).expect("make the pod's directory");
        let discovery = match &plan.discovery {
            Discovery::Dns => format!("{{dns: {PEERS}}}"),
            Discovery::Static => {
                let all: Vec<String> = addresses.iter().map(|address| format!("\"{address}:{CLUSTER}\"")).collect();
                format!("{{static: [{}]}}", all.join(", "))
            }
            Discovery::Written(text) => text.clone(),
        };
        let pod = Self {
            name,
            address: network.address(number),
            namespace: network.namespace(number).to_owned(),
            directory,
            configuration: Written {
                upstream: SocketAddr::from((network.root(), plan.directory_port)),
                cluster: plan.cluster.clone(),
                discovery,
                coordination: plan.coordination.clone(),
                cache: plan.cache.clone(),
                sections: plan.sections.clone(),
                token: scratch.join("admin.token"),
                has_previous_key: false,
            },
            process: None,
            frozen: false,
            wrapper: Vec::new(),
        };
        let identity = credentials.authority.member(&pod.name, &plan.cluster);
        pod.set_identity(&identity);
        pod.put("ca.pem", &std::fs::read(&credentials.authority.ca_file).expect("read the authority's file"));
        pod.put("hash.key", &credentials.hash_key);
        pod.write_configuration();
        pod
    }

    /// `cluster.nodeName`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where peers connect.
    #[must_use]
    pub fn cluster_address(&self) -> SocketAddr {
        SocketAddr::from((self.address, CLUSTER))
    }

    /// Where clients connect.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::tcp(SocketAddr::from((self.address, LDAP)))
    }

    /// The admin port.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        SocketAddr::from((self.address, ADMIN))
    }

    /// Puts a file into the place of another as a whole, as an editor or the kubelet does.
    pub fn put(&self, file: &str, content: &[u8]) {
        let new = self.directory.join(format!("{file}.new"));
        std::fs::write(&new, content).unwrap_or_else(|error| panic!("write {}: {error}", new.display()));
        std::fs::rename(&new, self.directory.join(file)).expect("rename a file");
    }

    /// The octets of one of its files.
    #[must_use]
    pub fn file(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.directory.join(file)).expect("read a file of the pod")
    }

    /// Gives it another certificate; it takes effect with a reload.
    pub fn set_identity(&self, identity: &Identity) {
        let read = |path: &Path| std::fs::read(path).expect("read a certificate or its key");
        self.put("node-key.pem", &read(&identity.key_file));
        self.put("node.pem", &read(&identity.certificate_file));
    }

    /// Gives it another hashing key and keeps the one before; takes effect with a reload.
    pub fn rotate_hash_key(&mut self, new: &[u8; 32]) {
        self.put("previous.key", &self.file("hash.key"));
        self.put("hash.key", new);
        self.configuration.has_previous_key = true;
        self.write_configuration();
    }

    /// Another `cluster.discovery`; takes effect with the next start.
    pub fn set_discovery(&mut self, discovery: &str) {
        self.configuration.discovery = discovery.to_owned();
        self.write_configuration();
    }

    /// Starts the program through another one from the next start on.
    pub fn set_wrapper(&mut self, command: &[&str]) {
        self.wrapper = command.iter().map(|&word| word.to_owned()).collect();
    }

    /// Writes the configuration file anew.
    pub fn write_configuration(&self) {
        let Written { upstream, cluster, discovery, coordination, cache, sections, token, has_previous_key } =
            &self.configuration;
        let address = self.address;
        let previous = if *has_previous_key { ", previousKeyFile: previous.key" } else { "" };
        let mut text = format!(
            "listeners:\n\
             - {{name: ldap, address: \"{address}:{LDAP}\"}}\n\
             upstreams:\n\
             - {{name: directory, host: \"{}\", port: {}, insecureAllowCleartext: true}}\n\
             cache: {{keyFile: hash.key{previous}{cache}}}\n\
             admin: {{address: \"{address}:{ADMIN}\", tokenFile: {}}}\n\
             cluster:\n  name: {cluster}\n  address: \"{address}:{CLUSTER}\"\n  nodeName: {}\n  discovery: {discovery}\n  \
             certificateFile: node.pem\n  keyFile: node-key.pem\n  caFile: ca.pem\n  coordination: {coordination}\n",
            upstream.ip(),
            upstream.port(),
            token.display(),
            self.name,
        );
        for section in sections {
            text.push_str(section);
            text.push('\n');
        }
        self.put("bindproxy.yaml", text.as_bytes());
    }

    /// Starts the process without waiting for it.
    pub fn spawn(&mut self) {
        assert!(self.process.is_none(), "{} runs already", self.name);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).args(&self.wrapper).arg(binary());
        command.args(["run", "--config"]).arg(self.directory.join("bindproxy.yaml"));
        self.process = Some(Process::start(&self.name, &mut command, &self.directory.join("log")));
        self.frozen = false;
    }

    /// Waits until it serves.
    pub fn wait_until_ready(&mut self, limit: Duration) {
        let admin = self.admin();
        let process = self.process.as_mut().expect("the process was started");
        process.wait_until("ready", limit, || scrape::get(admin, "/readyz").is_some_and(|(status, _)| status == 200));
    }

    /// Starts the process and waits until it serves.
    pub fn start(&mut self) {
        self.spawn();
        self.wait_until_ready(Duration::from_secs(40));
    }

    /// Whether the process was started, was not ended and is not frozen.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.is_some() && !self.frozen
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.process().signal(Signal::TERM);
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.terminate();
        self.wait_for_end(Duration::from_secs(40))
    }

    /// Waits for the end of a process that was told to end.
    pub fn wait_for_end(&mut self, limit: Duration) -> ExitStatus {
        let mut process = self.process.take().expect("the process runs");
        process.wait(limit)
    }

    /// SIGKILL: it says goodbye to nobody.
    pub fn kill(&mut self) {
        self.process.take().expect("the process runs").kill();
    }

    /// SIGSTOP, and waits until every thread stands still.
    pub fn freeze(&mut self) {
        self.process().freeze();
        self.frozen = true;
        let tasks = PathBuf::from(format!("/proc/{}/task", self.process().id()));
        wait::until_true("all threads to stand still", Duration::from_secs(10), || {
            let tasks = std::fs::read_dir(&tasks).expect("the process's threads");
            tasks.flatten().all(|task| {
                let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
                status.lines().any(|line| line.starts_with("State:\tT"))
            })
        });
    }

    /// SIGCONT.
    pub fn thaw(&mut self) {
        self.process().thaw();
        self.frozen = false;
    }

    /// SIGHUP, and waits until the new configuration serves.
    pub fn reload(&self) {
        let reloads = || self.metric("bindproxy_config_reloads_total", &[("result", "success")]);
        let before = reloads();
        self.process().signal(Signal::HUP);
        wait::until_true(&format!("{} to reload", self.name), Duration::from_secs(20), || reloads() > before);
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("the process runs")
    }

    /// Everything that it has logged, over all its starts.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.file("log")).into_owned()
    }

    /// A metric; see [`scrape::metric`].
    #[must_use]
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        scrape::metric(self.admin(), name, labels)
    }

    /// `bindproxy_cluster_peers` in this state.
    #[must_use]
    pub fn peers(&self, state: &str) -> f64 {
        self.metric("bindproxy_cluster_peers", &[("state", state)])
    }

    /// `bindproxy_cluster_links` in this direction: `in` or `out`.
    #[must_use]
    pub fn links(&self, direction: &str) -> f64 {
        self.metric("bindproxy_cluster_links", &[("direction", direction)])
    }

    /// Remembered failures.
    #[must_use]
    pub fn entries(&self) -> f64 {
        self.metric("bindproxy_cache_entries", &[])
    }

    /// Forgets one name, everywhere; who acknowledged and who did not.
    #[must_use]
    pub fn flush(&self, name: &str) -> Flushed {
        self.flush_as(&serde_json::json!({ "name": name }))
    }

    /// Forgets everything, everywhere.
    #[must_use]
    pub fn flush_all(&self) -> Flushed {
        self.flush_as(&serde_json::json!({ "all": true }))
    }

    fn flush_as(&self, body: &Value) -> Flushed {
        let (status, body) =
            scrape::post_as(self.admin(), TOKEN, "/api/v1/flush", body).expect("the admin port answers");
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).expect("an answer in JSON");
        let list = |field: &str| {
            let mut names: Vec<String> = answer[field]
                .as_array()
                .unwrap_or_else(|| panic!("no list {field} in {answer}"))
                .iter()
                .map(|name| name.as_str().expect("a node name").to_owned())
                .collect();
            names.sort();
            names
        };
        Flushed { acknowledged: list("acknowledged"), unreachable: list("unreachable") }
    }

    /// The answer of a GET with the token.
    #[must_use]
    pub fn ask_api(&self, path: &str) -> Value {
        let (status, body) = scrape::get_as(self.admin(), TOKEN, path).expect("the admin port answers");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("an answer in JSON")
    }
}

/// The answer to a flush.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// Node names, sorted.
    pub acknowledged: Vec<String>,
    /// Node names, sorted.
    pub unreachable: Vec<String>,
}
