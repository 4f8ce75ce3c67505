//! Who presented a credential, as far as quotas and reports tell sources apart.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// A client's network address, or "this machine" for unix sockets.
///
/// An IPv6 host has a whole /64 to choose addresses from, so the /64 is the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source(Option<IpAddr>);

impl Source {
    /// A client on a unix socket.
    #[must_use]
    pub fn local() -> Self {
        Self(None)
    }

    /// Spreads sources over `buckets` (a power of two): quotas count buckets, so that their
    /// memory does not grow with the number of sources.
    pub(super) fn bucket(self, buckets: usize) -> usize {
        let bits = match self.0 {
            None => 0,
            Some(IpAddr::V4(address)) => 1 << 32 | u64::from(address.to_bits()),
            Some(IpAddr::V6(address)) => (address.to_bits() >> 64) as u64,
        };
        // Fibonacci hashing: the high bits of the product depend on every bit of the address.
        (bits.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize & (buckets - 1)
    }
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        Self(Some(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
            v4 @ IpAddr::V4(_) => v4,
        }))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("local"),
            Some(address @ IpAddr::V4(_)) => address.fmt(f),
            Some(prefix @ IpAddr::V6(_)) => write!(f, "{prefix}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn an_ipv6_network_and_a_mapped_address_are_one_source() {
        assert_eq!(source("2001:db8:1:2::5"), source("2001:db8:1:2:ffff::1"));
        assert_ne!(source("2001:db8:1:2::5"), source("2001:db8:1:3::5"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_eq!(source("2001:db8:1:2::5").to_string(), "2001:db8:1:2::/64");
        assert_eq!(Source::local().to_string(), "local");
    }

    #[test]
    fn neighbouring_addresses_fall_into_different_buckets() {
        let mut seen = [0_u32; 1024];
        for host in 0..=255_u32 {
            seen[Source::from(IpAddr::from(0x0A00_0000_u32.wrapping_add(host).to_be_bytes())).bucket(1024)] += 1;
        }
        assert!(seen.iter().all(|&count| count <= 3), "{:?}", seen.iter().max());
    }
}
