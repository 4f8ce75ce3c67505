//! Networks in CIDR notation.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A network: `10.0.0.0/8`, `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

/// Why a text is no network: what comes after it in a sentence, and what was probably meant, where
/// that can be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// Not `ADDRESS/LENGTH` at all.
    #[error("is no network in CIDR notation")]
    Unparsable,
    /// An address without a prefix length; the network of just that address is given.
    #[error("has no prefix length")]
    NoPrefix(Cidr),
    /// The prefix is longer than the address.
    #[error("has a prefix length above {0}")]
    PrefixTooLong(u8),
    /// Bits beyond the prefix are set; the network that contains the address is given.
    #[error("has address bits set beyond its prefix")]
    HostBits(Cidr),
}

impl Cidr {
    /// Whether `address` belongs to the network. An IPv4 client of a dual-stack socket
    /// (`::ffff:10.0.0.1`) counts as the IPv4 address that it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        mask(address.to_canonical(), self.prefix) == Some(self.network)
    }
}

/// The network of `address` with `prefix` bits; none when the family has fewer bits.
fn mask(address: IpAddr, prefix: u8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => {
            let host_bits = 32_u32.checked_sub(prefix.into())?;
            Some(IpAddr::V4((v4.to_bits() & u32::MAX.checked_shl(host_bits).unwrap_or(0)).into()))
        }
        IpAddr::V6(v6) => {
            let host_bits = 128_u32.checked_sub(prefix.into())?;
            Some(IpAddr::V6((v6.to_bits() & u128::MAX.checked_shl(host_bits).unwrap_or(0)).into()))
        }
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let Some((address, prefix)) = text.split_once('/') else {
            let network: IpAddr = text.parse().map_err(|_| CidrError::Unparsable)?;
            return Err(CidrError::NoPrefix(Self { network, prefix: bits(network) }));
        };
        let address: IpAddr = address.parse().map_err(|_| CidrError::Unparsable)?;
        if prefix.is_empty() || prefix.len() > 3 || !prefix.bytes().all(|octet| octet.is_ascii_digit()) {
            return Err(CidrError::Unparsable);
        }
        let longest = bits(address);
        let prefix =
            prefix.parse().ok().filter(|prefix| *prefix <= longest).ok_or(CidrError::PrefixTooLong(longest))?;
        let network = mask(address, prefix).ok_or(CidrError::PrefixTooLong(longest))?;
        let cidr = Self { network, prefix };
        if network == address { Ok(cidr) } else { Err(CidrError::HostBits(cidr)) }
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn membership() {
        let cases = [
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/33", "2001:db8:8000::", false),
            ("192.0.2.7/32", "192.0.2.7", true),
            ("192.0.2.7/32", "192.0.2.6", false),
        ];
        for (network, address, expected) in cases {
            let network: Cidr = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network} {address}");
        }
    }

    #[test]
    fn errors_say_what_was_meant() {
        let fault = |text: &str| text.parse::<Cidr>().unwrap_err();
        assert!(matches!(fault("10.0.0.1/8"), CidrError::HostBits(meant) if meant.to_string() == "10.0.0.0/8"));
        assert!(matches!(fault("10.0.0.1"), CidrError::NoPrefix(meant) if meant.to_string() == "10.0.0.1/32"));
        assert_eq!(fault("10.0.0.0/33"), CidrError::PrefixTooLong(32));
        assert_eq!(fault("::/129"), CidrError::PrefixTooLong(128));
        for text in ["", "/", "10/8", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8", "host/8", "10.0.0.0/8/8"] {
            assert_eq!(fault(text), CidrError::Unparsable, "{text}");
        }
    }
}
