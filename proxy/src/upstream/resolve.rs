//! Host names to addresses, by hickory: libc's resolver would block a core and load NSS modules.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use thiserror::Error;

/// Answers are kept no longer than this, so that an upstream that moves is found again soon.
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
}

/// The resolver of the process. Made at the first use, because a proxy whose upstreams are given
/// by address needs none.
#[derive(Default)]
pub struct Resolver {
    inner: std::sync::OnceLock<Result<TokioResolver, String>>,
}

impl Resolver {
    /// All addresses of `host`, in the resolver's order.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        if host.eq_ignore_ascii_case("localhost") {
            // RFC 6761 section 6.3: never asked of a name server, and known without /etc/hosts.
            return Ok(vec![IpAddr::from([127, 0, 0, 1]), IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)]);
        }
        let resolver =
            self.inner.get_or_init(build).as_ref().map_err(|cause| ResolveError::NoResolver(cause.clone()))?;
        let lookup_error = |cause: String| ResolveError::Lookup { host: host.to_owned(), cause };
        let found = resolver.lookup_ip(host).await.map_err(|error| lookup_error(error.to_string()))?;
        let addresses: Vec<IpAddr> = found.iter().collect();
        if addresses.is_empty() { Err(lookup_error("no address".to_owned())) } else { Ok(addresses) }
    }
}

fn build() -> Result<TokioResolver, String> {
    let mut builder = TokioResolver::builder(TokioRuntimeProvider::default()).map_err(|error| error.to_string())?;
    let options = builder.options_mut();
    options.positive_max_ttl = Some(LONGEST_KEPT);
    options.negative_max_ttl = Some(LONGEST_KEPT_NEGATIVE);
    options.cache_size = 64;
    builder.build().map_err(|error| error.to_string())
}
