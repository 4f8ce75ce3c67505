//! Host names to addresses, by hickory: libc's resolver would block a core and load NSS modules.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::system_conf::read_system_conf;
use thiserror::Error;

/// Answers are kept no longer than this unless [`Resolver::keeping`] says otherwise, so that an upstream that
/// moves is found again soon.
const LONGEST_KEPT: Duration = Duration::from_secs(30);
/// A missing name is asked for again after this.
const LONGEST_KEPT_NEGATIVE: Duration = Duration::from_secs(2);

/// Why a name has no address. Nothing changed.
#[derive(Debug, Error)]
pub enum ResolveError {
    /// There is no usable resolver configuration (no `/etc/resolv.conf`).
    #[error("no resolver: {0}; write /etc/resolv.conf or give an IP address as `host`")]
    NoResolver(String),
    /// The name service does not know the name or does not answer.
    #[error("cannot resolve {host}: {cause}")]
    Lookup {
        /// The name that was asked for.
        host: String,
        /// The resolver's words.
        cause: String,
    },
    /// The name service does not answer in time.
    #[error("cannot resolve {host}: no answer of the name service within {:.1} s", limit.as_secs_f32())]
    Timeout {
        /// The host that was asked for.
        host: String,
        /// How long was waited.
        limit: Duration,
    },
}

/// The resolver of the process. Made at the first use, because a proxy whose upstreams are given
/// by address needs none.
pub struct Resolver {
    inner: std::sync::OnceLock<Result<TokioResolver, String>>,
    longest_kept: Duration,
}

impl Default for Resolver {
    fn default() -> Self {
        Self::keeping(LONGEST_KEPT)
    }
}

impl Resolver {
    /// A resolver that keeps no answer longer than `longest_kept`, whatever the answer says.
    #[must_use]
    pub fn keeping(longest_kept: Duration) -> Self {
        Self { inner: std::sync::OnceLock::new(), longest_kept }
    }

    /// The targets of the SRV records of `name` (RFC 2782), with their ports. Priorities and weights
    /// are left alone: whoever asks wants all of them.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub async fn services(&self, name: &str) -> Result<Vec<(String, u16)>, ResolveError> {
        let lookup_error = |cause: String| ResolveError::Lookup { host: name.to_owned(), cause };
        let found = self.inner()?.srv_lookup(name).await.map_err(|error| lookup_error(error.to_string()))?;
        let targets = found.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(service) => Some((service.target.to_utf8(), service.port)),
            _ => None,
        });
        let targets: Vec<_> = targets.collect();
        if targets.is_empty() { Err(lookup_error("no SRV record".to_owned())) } else { Ok(targets) }
    }

    fn inner(&self) -> Result<&TokioResolver, ResolveError> {
        let inner = self.inner.get_or_init(|| build(self.longest_kept));
        inner.as_ref().map_err(|cause| ResolveError::NoResolver(cause.clone()))
    }

    /// All addresses of `host`, in the resolver's order.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        if host.eq_ignore_ascii_case("localhost") {
            // RFC 6761 section 6.3: never asked of a name server, and known without /etc/hosts.
            return Ok(vec![IpAddr::from([127, 0, 0, 1]), IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)]);
        }
        let resolver = self.inner()?;
        let lookup_error = |cause: String| ResolveError::Lookup { host: host.to_owned(), cause };
        let found = resolver.lookup_ip(host).await.map_err(|error| lookup_error(error.to_string()))?;
        let addresses: Vec<IpAddr> = found.iter().collect();
        if addresses.is_empty() { Err(lookup_error("no address".to_owned())) } else { Ok(addresses) }
    }
}

fn build(longest_kept: Duration) -> Result<TokioResolver, String> {
    let (config, options) = read_system_conf().map_err(|error| error.to_string())?;
    with(config, options, longest_kept)
}

fn with(config: ResolverConfig, options: ResolverOpts, longest_kept: Duration) -> Result<TokioResolver, String> {
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    let options = builder.options_mut();
    options.positive_max_ttl = Some(longest_kept);
    options.negative_max_ttl = Some(LONGEST_KEPT_NEGATIVE);
    options.cache_size = 64;
    builder.build().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};
    use std::sync::Arc;

    use hickory_resolver::proto::op::{Message, ResponseCode};
    use hickory_resolver::proto::rr::rdata::{A, SRV};
    use hickory_resolver::proto::rr::{Name, Record, RecordType};
    use hickory_resolver::system_conf::parse_resolv_conf;
    use parking_lot::Mutex;

    use super::*;

    const PEERS: &str = "corp-peers.mail.svc.cluster.local.";
    const SERVICE: &str = "_peers._tcp.corp-peers.mail.svc.cluster.local.";

    /// A name server that knows one headless Service, and what it was asked.
    fn name_server() -> (u16, Arc<Mutex<Vec<String>>>) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        std::thread::spawn(move || {
            let mut octets = [0; 1500];
            while let Ok((length, client)) = socket.recv_from(&mut octets) {
                let request = Message::from_vec(&octets[..length]).unwrap();
                let query = request.queries[0].clone();
                let name = query.name().to_string();
                let mut answer = Message::response(request.metadata.id, request.metadata.op_code);
                let record = |data| Record::from_rdata(query.name().clone(), 5, data);
                match (name.as_str(), query.query_type()) {
                    (PEERS, RecordType::A) => {
                        for last in [5, 6] {
                            answer.add_answer(record(RData::A(A(Ipv4Addr::new(10, 244, 0, last)))));
                        }
                    }
                    // It has the name, and no address of this kind.
                    (PEERS, _) => {}
                    (SERVICE, RecordType::SRV) => {
                        let target = Name::from_ascii(format!("corp-0.{PEERS}")).unwrap();
                        answer.add_answer(record(RData::SRV(SRV::new(0, 50, 7946, target))));
                    }
                    _ => answer.metadata.response_code = ResponseCode::NXDomain,
                }
                log.lock().push(name);
                answer.add_query(query);
                socket.send_to(&answer.to_vec().unwrap(), client).unwrap();
            }
        });
        (port, asked)
    }

    /// A resolver with the resolv.conf that the kubelet writes for a pod of the namespace `mail`.
    fn in_a_pod(port: u16) -> Resolver {
        let text = "search mail.svc.cluster.local svc.cluster.local cluster.local\n\
                    nameserver 127.0.0.1\noptions ndots:5\n";
        let (mut config, options) = parse_resolv_conf(text).unwrap();
        for connection in config.name_servers.iter_mut().flat_map(|server| &mut server.connections) {
            connection.port = port;
        }
        let resolver = Resolver::keeping(Duration::from_secs(1));
        assert!(resolver.inner.set(with(config, options, Duration::from_secs(1))).is_ok());
        resolver
    }

    #[tokio::test(flavor = "current_thread")]
    async fn short_names_of_a_cluster_are_completed() {
        let (port, asked) = name_server();
        let resolver = in_a_pod(port);
        let pods = [5, 6].map(|last| IpAddr::from([10, 244, 0, last]));
        let service = "corp-peers.mail.svc.cluster.local";
        for name in ["corp-peers", "corp-peers.mail", "corp-peers.mail.svc", service, PEERS] {
            let mut found = resolver.addresses(name).await.unwrap_or_else(|error| panic!("{name}: {error}"));
            found.sort();
            assert_eq!(found, pods, "{name}");
        }
        let services = resolver.services("_peers._tcp.corp-peers.mail.svc").await.unwrap();
        assert_eq!(services, [(format!("corp-0.{PEERS}"), 7946)]);
        let error = resolver.addresses("nobody.mail.svc").await.unwrap_err().to_string();
        assert!(error.starts_with("cannot resolve nobody.mail.svc: "), "{error}");
        asked.lock().clear();
        let fresh = in_a_pod(port);
        fresh.addresses(PEERS).await.unwrap();
        assert!(asked.lock().iter().all(|name| name == PEERS), "a final dot ends the search: {:?}", asked.lock());
    }
}
