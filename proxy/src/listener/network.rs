//! Networks in CIDR notation (RFC 4632, RFC 4291 section 2.3). Pure.

use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: u128,
    mask: u128,
    v4: bool,
}

/// Why a text is no network.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{text:?} is no network; write an address and a prefix length, like 10.0.0.0/8 or fd00::/8")]
pub struct NetworkError {
    text: String,
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || NetworkError { text: text.to_owned() };
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let length: u32 = length.map_or(Ok(width), |length| length.parse().map_err(|_| error()))?;
        if length > width {
            return Err(error());
        }
        let host_bits = width - length;
        let mask = if host_bits == 128 { 0 } else { u128::MAX << host_bits };
        Ok(Self { address: bits(address) & mask, mask, v4: address.is_ipv4() })
    }
}

impl Network {
    /// Whether `address` is in the network. An IPv4 address that arrives on an IPv6 socket
    /// (`::ffff:10.1.2.3`) counts as what it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.v4 && bits(address) & self.mask == self.address
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn membership() {
        let check = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(address.parse().unwrap())
        };
        assert!(check("10.0.0.0/8", "10.255.1.2"));
        assert!(check("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(!check("10.0.0.0/8", "11.0.0.1"));
        assert!(!check("0.0.0.0/0", "::1"));
        assert!(check("::/0", "2001:db8::1"));
        assert!(check("192.0.2.7", "192.0.2.7"));
        for bad in ["10.0.0.0/33", "10.0.0/8", "x", "::/129", "10.0.0.0/"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
