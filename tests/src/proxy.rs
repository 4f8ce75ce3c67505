//! The real `bindproxy` binary, with a configuration file and free ports.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::Signal;

use crate::certificates::{Authority, Identity};
use crate::ldap::{Address, Endpoint, Security};
use crate::process::Process;
use crate::scratch::Scratch;
use crate::{ports, scrape, wait};

/// The binary to test; default: the one beside the test's own executable.
const BINARY_VARIABLE: &str = "BINDPROXY_BIN";

/// Set to `1`, clients of the proxy talk to its first upstream instead: whether a suite's
/// expectations of the directory hold, and whether its expectations of the proxy can fail.
const DIRECT_VARIABLE: &str = "BINDPROXY_TESTS_DIRECT";

/// A configuration under construction. Listens in clear text with StartTLS, with LDAPS and on a
/// unix socket.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    upstreams: Vec<Upstream>,
    /// Top level lines: `cache: {...}`.
    sections: Vec<String>,
    /// Further lines of `listeners`.
    listeners: Vec<String>,
    /// Further fields of `serverTLS`.
    server_tls: String,
    arguments: Vec<String>,
}

#[derive(Clone, Debug)]
struct Upstream {
    name: String,
    endpoint: Endpoint,
    more: String,
}

impl Configuration {
    /// A proxy in front of one server.
    #[must_use]
    pub fn in_front_of(server: &Endpoint) -> Self {
        Self::default().upstream("directory", server, "")
    }

    /// Adds an upstream; `more` are further fields (`priority: 1`).
    #[must_use]
    pub fn upstream(mut self, name: &str, server: &Endpoint, more: &str) -> Self {
        self.upstreams.push(Upstream { name: name.to_owned(), endpoint: server.clone(), more: more.to_owned() });
        self
    }

    /// Adds a top level section in YAML's flow style: `section("cache", "ttlSeconds: 60")`.
    #[must_use]
    pub fn section(mut self, name: &str, fields: &str) -> Self {
        self.sections.push(format!("{name}: {{{fields}}}"));
        self
    }

    /// Adds a listener.
    #[must_use]
    pub fn listener(mut self, fields: &str) -> Self {
        self.listeners.push(format!("- {{{fields}}}"));
        self
    }

    /// Adds fields to `serverTLS`; `{ca}` stands for the authority's file.
    #[must_use]
    pub fn server_tls(mut self, fields: &str) -> Self {
        self.server_tls = fields.to_owned();
        self
    }

    /// Adds an argument to the command line.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Starts the proxy and waits until it is ready.
    #[must_use]
    pub fn start(&self) -> Proxy {
        let scratch = Scratch::new("proxy");
        let authority = Authority::new(scratch.path());
        let identity = authority.server("server", &[]);
        let mut proxy = Proxy {
            process: None,
            configuration: self.clone(),
            plain: ports::free_address(),
            secure: ports::free_address(),
            admin: ports::free_address(),
            identity,
            authority,
            scratch,
        };
        proxy.write(self);
        if std::env::var(DIRECT_VARIABLE).is_ok_and(|value| value == "1") {
            return proxy;
        }
        let mut process = Process::start(
            "bindproxy",
            Command::new(binary()).args(["run", "--config"]).arg(proxy.file()).args(&self.arguments),
            &proxy.scratch.join("log"),
        );
        let admin = proxy.admin;
        process.wait_until("ready", Duration::from_secs(30), || {
            scrape::get(admin, "/readyz").is_some_and(|(status, _)| status == 200)
        });
        proxy.process = Some(process);
        proxy
    }
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    process: Option<Process>,
    configuration: Configuration,
    plain: SocketAddr,
    secure: SocketAddr,
    admin: SocketAddr,
    identity: Identity,
    authority: Authority,
    scratch: Scratch,
}

impl Proxy {
    /// The listener in clear text.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        self.or_direct(Endpoint::tcp(self.plain))
    }

    /// The LDAPS listener.
    #[must_use]
    pub fn ldaps(&self) -> Endpoint {
        self.or_direct(Endpoint::tcp(self.secure).secured(Security::Ldaps, &self.authority.ca_file))
    }

    /// The listener in clear text, with StartTLS.
    #[must_use]
    pub fn start_tls(&self) -> Endpoint {
        self.or_direct(Endpoint::tcp(self.plain).secured(Security::StartTls, &self.authority.ca_file))
    }

    /// The unix socket.
    #[must_use]
    pub fn unix(&self) -> Endpoint {
        self.or_direct(Endpoint::unix(&self.scratch.join("ldapi")))
    }

    fn or_direct(&self, endpoint: Endpoint) -> Endpoint {
        if self.process.is_some() { endpoint } else { self.configuration.upstreams[0].endpoint.clone() }
    }

    /// The authority that signed the proxy's certificate.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The configuration file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.scratch.join("bindproxy.yaml")
    }

    /// `http://` and the admin address.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("the suite needs a proxy")
    }

    /// What the proxy has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process().log()
    }

    /// Writes the configuration file anew, for the same ports.
    pub fn write(&self, configuration: &Configuration) {
        let Identity { certificate_file, key_file } = &self.identity;
        let mut text = String::from("listeners:\n");
        let (plain, secure) = (self.plain, self.secure);
        let socket = self.scratch.join("ldapi");
        let ca_file = self.authority.ca_file.display();
        writeln!(text, "- {{name: plain, address: \"{plain}\", tls: StartTLS}}").expect("write to a string");
        writeln!(text, "- {{name: secure, address: \"{secure}\", tls: LDAPS}}").expect("write to a string");
        writeln!(text, "- {{name: local, socket: {}, mode: \"0600\"}}", socket.display()).expect("write to a string");
        for listener in &configuration.listeners {
            writeln!(text, "{listener}").expect("write to a string");
        }
        writeln!(
            text,
            "serverTLS: {{certificateFile: {}, keyFile: {}, {}}}\nupstreams:",
            certificate_file.display(),
            key_file.display(),
            configuration.server_tls.replace("{ca}", &ca_file.to_string())
        )
        .expect("write to a string");
        for Upstream { name, endpoint, more } in &configuration.upstreams {
            writeln!(text, "- {{name: {name}, {}, {more}}}", upstream_fields(endpoint)).expect("write to a string");
        }
        for section in &configuration.sections {
            writeln!(text, "{section}").expect("write to a string");
        }
        writeln!(text, "admin: {{address: \"{}\"}}", self.admin).expect("write to a string");
        self.write_text(&text);
    }

    /// Puts `text` in the place of the configuration file, as an editor or the kubelet does: by
    /// renaming a whole new file over it.
    pub fn write_text(&self, text: &str) {
        let new = self.scratch.write("bindproxy.yaml.new", text);
        std::fs::rename(new, self.file()).expect("rename the configuration file");
    }

    /// Sends SIGHUP.
    pub fn reload(&self) {
        self.process().signal(Signal::HUP);
    }

    /// Sends SIGTERM without waiting for the end.
    pub fn terminate(&self) {
        self.process().signal(Signal::TERM);
    }

    /// Waits for the end of the process.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        self.process.as_mut().expect("the suite needs a proxy").wait(limit)
    }

    /// Status and body of `GET path` at the admin address; `None` when nobody answers.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        scrape::get(self.admin, path)
    }

    /// The sum of all samples of a metric whose labels contain `labels`. Panics when there is none:
    /// every counter exists from the start.
    #[must_use]
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        scrape::metric(self.admin, name, labels)
    }

    /// Waits until a metric is at least `value`.
    pub fn wait_for_metric(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        wait::until_true(&format!("{name}{labels:?} >= {value}"), Duration::from_secs(20), || {
            self.metric(name, labels) >= value
        });
    }
}

fn upstream_fields(endpoint: &Endpoint) -> String {
    let Endpoint { address, security, ca_file, server_name, identity } = endpoint;
    let place = match address {
        Address::Tcp(address) => format!("host: \"{}\", port: {}", address.ip(), address.port()),
        Address::Unix(path) => format!("socket: {}", path.display()),
    };
    let mode = match security {
        Security::Clear => return place,
        Security::Ldaps => "LDAPS",
        Security::StartTls => "StartTLS",
    };
    let mut tls = format!("mode: {mode}, serverName: {server_name}");
    if let Some(ca_file) = ca_file {
        write!(tls, ", caFile: {}", ca_file.display()).expect("write to a string");
    }
    if let Some(Identity { certificate_file, key_file }) = identity {
        write!(tls, ", certificateFile: {}, keyFile: {}", certificate_file.display(), key_file.display())
            .expect("write to a string");
    }
    format!("{place}, tls: {{{tls}}}")
}

/// Where the binary under test lies.
///
/// Panics with what to do when it is not there.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os(BINARY_VARIABLE) {
        return path.into();
    }
    let executable = std::env::current_exe().expect("the path of this test");
    // target/debug/deps/suite-0123456789abcdef
    let directory = executable.parent().and_then(Path::parent).expect("a test lies in target/PROFILE/deps");
    let path = directory.join("bindproxy");
    assert!(
        path.exists(),
        "{} is not there: run `cargo build -p bindproxy` first, or set {BINARY_VARIABLE}",
        path.display()
    );
    path
}
