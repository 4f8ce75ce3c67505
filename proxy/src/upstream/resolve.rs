//! Host names to addresses, by hickory: libc's resolver would block a core and load NSS modules.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
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
    let mut builder = TokioResolver::builder(TokioRuntimeProvider::default()).map_err(|error| error.to_string())?;
    let options = builder.options_mut();
    options.positive_max_ttl = Some(longest_kept);
    options.negative_max_ttl = Some(LONGEST_KEPT_NEGATIVE);
    options.cache_size = 64;
    builder.build().map_err(|error| error.to_string())
}
