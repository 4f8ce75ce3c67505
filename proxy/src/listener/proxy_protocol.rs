//! The PROXY protocol, version 2 (HAProxy's specification, section 2.2). Pure.

use std::net::IpAddr;

use thiserror::Error;

/// The fixed part: signature, version and command, family, length.
const FIXED_OCTETS: usize = 16;
/// Addresses and TLVs together; the specification asks receivers to take at least 216, and real
/// balancers add TLVs of a few hundred octets.
pub const MAX_HEADER_OCTETS: usize = 4_096;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// What the header says of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Octets of the whole header.
    pub octets: usize,
    /// The client's address; `None` for the balancer's own health checks and for unix sockets.
    pub client: Option<IpAddr>,
}

/// Why octets are no header. The connection is closed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ProxyHeaderError {
    /// The connection does not start with the signature of version 2.
    #[error("no PROXY protocol v2 signature")]
    NoSignature,
    /// The header is longer than [`MAX_HEADER_OCTETS`].
    #[error("a header of {0} octets")]
    TooLong(usize),
    /// What the parser says.
    #[error("{0}")]
    Malformed(String),
}

/// Reads the header at the start of `octets`; `Ok(None)` when more are needed.
///
/// # Errors
/// [`ProxyHeaderError`], as soon as the octets at hand rule a header out.
pub fn parse(octets: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    let known = octets.len().min(SIGNATURE.len());
    if octets[..known] != SIGNATURE[..known] {
        return Err(ProxyHeaderError::NoSignature);
    }
    let Some(fixed) = octets.get(..FIXED_OCTETS) else { return Ok(None) };
    let total = FIXED_OCTETS + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if total > MAX_HEADER_OCTETS {
        return Err(ProxyHeaderError::TooLong(total));
    }
    let Some(header) = octets.get(..total) else { return Ok(None) };
    let header = ppp::v2::Header::try_from(header).map_err(|error| ProxyHeaderError::Malformed(error.to_string()))?;
    let client = match (header.command, header.addresses) {
        (ppp::v2::Command::Local, _) => None,
        (ppp::v2::Command::Proxy, ppp::v2::Addresses::IPv4(addresses)) => Some(IpAddr::V4(addresses.source_address)),
        (ppp::v2::Command::Proxy, ppp::v2::Addresses::IPv6(addresses)) => {
            Some(IpAddr::V6(addresses.source_address).to_canonical())
        }
        (ppp::v2::Command::Proxy, ppp::v2::Addresses::Unspecified | ppp::v2::Addresses::Unix(_)) => None,
    };
    Ok(Some(ProxyHeader { octets: total, client }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Vec<u8> {
        let mut octets = SIGNATURE.to_vec();
        octets.extend([0x21, 0x11, 0, 12, 192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0x01, 0x85]);
        octets
    }

    #[test]
    fn a_header_is_read_and_its_prefixes_ask_for_more() {
        let octets = header();
        for end in 0..octets.len() {
            assert_eq!(parse(&octets[..end]), Ok(None), "{end}");
        }
        let client = "192.0.2.7".parse().unwrap();
        assert_eq!(parse(&octets), Ok(Some(ProxyHeader { octets: 28, client: Some(client) })));
    }

    #[test]
    fn health_checks_of_the_balancer_have_no_client() {
        let mut octets = SIGNATURE.to_vec();
        octets.extend([0x20, 0, 0, 0]);
        assert_eq!(parse(&octets), Ok(Some(ProxyHeader { octets: 16, client: None })));
    }

    #[test]
    fn anything_else_is_refused() {
        assert_eq!(parse(&[0x30, 12]), Err(ProxyHeaderError::NoSignature));
        assert_eq!(parse(b"PROXY TCP4"), Err(ProxyHeaderError::NoSignature));
        let mut long = SIGNATURE.to_vec();
        long.extend([0x21, 0x11, 0xFF, 0xFF]);
        assert_eq!(parse(&long), Err(ProxyHeaderError::TooLong(16 + 65_535)));
        let mut version = header();
        version[12] = 0x31;
        assert!(matches!(parse(&version), Err(ProxyHeaderError::Malformed(_))));
    }
}
