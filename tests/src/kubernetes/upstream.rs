//! What proxies stand in front of: a real slapd on this machine, outside the pods, whose own counter is the oracle; or the
//! scripted directory, where a directory has to misbehave.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::OnceLock;

use bindproxy::directory::{Directory, Options, RunningDirectory};

use crate::slapd::{Settings, Slapd};

use super::cluster::cluster;

/// A slapd that pods reach.
#[derive(Debug)]
pub struct Upstream {
    /// The server: users, counters, log; `stop` and `start_again`, `process().freeze()` and `thaw()`.
    pub slapd: Slapd,
    host: Ipv4Addr,
}

impl Upstream {
    /// The one that all tests share which do it no harm; each uses users of its own.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Upstream> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Settings::default()))
    }

    /// One of a test's own, to be stopped, frozen or set up otherwise.
    #[must_use]
    pub fn start(settings: Settings) -> Self {
        let host = cluster().host_address();
        let mut names = settings.names.clone();
        names.push(host.to_string());
        let settings = Settings { listens_everywhere: true, names, ..settings };
        let slapd = Slapd::start(&settings).expect("slapd is installed");
        Self { slapd, host }
    }

    /// An item of `spec.upstreams` in YAML's flow style, in clear text: `format!("upstreams: [{}]", dc.clear("dc1"))`.
    #[must_use]
    pub fn clear(&self, name: &str) -> String {
        clear(name, self.address())
    }

    /// An item of `spec.upstreams` with LDAPS, for a ConfigMap `ca` with [`Upstream::ca`] in its key `ca.crt`.
    #[must_use]
    pub fn ldaps(&self, name: &str, ca: &str) -> String {
        let SocketAddr::V4(address) = self.secure_address() else { unreachable!("it is made of an IPv4 address") };
        format!(
            "{{name: {name}, host: {}, port: {}, tls: {{mode: LDAPS, ca: {{kind: ConfigMap, name: {ca}}}}}}}",
            address.ip(),
            address.port()
        )
    }

    /// As [`Upstream::ldaps`], with StartTLS.
    #[must_use]
    pub fn start_tls(&self, name: &str, ca: &str) -> String {
        format!(
            "{{name: {name}, host: {}, port: {}, tls: {{mode: StartTLS, ca: {{kind: ConfigMap, name: {ca}}}}}}}",
            self.host,
            self.address().port()
        )
    }

    /// The authority that signed its certificate, as PEM.
    #[must_use]
    pub fn ca(&self) -> String {
        std::fs::read_to_string(&self.slapd.authority().ca_file).expect("read the authority's file")
    }

    /// Where pods find it in clear text.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((self.host, self.slapd.endpoint().socket_address().port()))
    }

    /// Where pods find it with TLS.
    #[must_use]
    pub fn secure_address(&self) -> SocketAddr {
        SocketAddr::from((self.host, self.slapd.ldaps().socket_address().port()))
    }
}

/// A scripted directory that pods reach: late, silent, resetting or wrong on demand. Its entries are those of
/// `Options::default()`: `uid=alice,ou=people,dc=example,dc=org` has the password `alicepw`.
#[must_use]
pub fn scripted() -> RunningDirectory {
    scripted_with(Options::default())
}

/// As [`scripted`], with options of one's own (TLS, policy, entries). It listens where pods reach it anyway.
#[must_use]
pub fn scripted_with(options: Options) -> RunningDirectory {
    let listen = SocketAddr::from((cluster().host_address(), 0));
    Directory::start_on_thread(Options { listen, ..options }).expect("start the scripted directory")
}

/// An item of `spec.upstreams` in YAML's flow style, in clear text, for any address.
#[must_use]
pub fn clear(name: &str, address: SocketAddr) -> String {
    format!(
        "{{name: {name}, host: {}, port: {}, insecureAllowCleartext: true, tls: {{mode: Disabled}}}}",
        address.ip(),
        address.port()
    )
}
