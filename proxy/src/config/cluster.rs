//! `cluster`: the other proxies that know what this one knows.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The other proxies that know what this one knows. Without this block a proxy is alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// Which cluster this is, as in `mail/corp`; certificates of its members carry the URI `bindproxy://NAME`.
    pub name: String,
    /// IP address and port where other members connect.
    #[schemars(extend("format" = "socket-address"))]
    pub address: SocketAddr,
    /// The name of this member in logs and in the API; absent = the host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// How the other members are found; exactly one of its fields.
    pub discovery: Discovery,
    /// PEM file: this member's certificate, then its chain.
    pub certificate_file: PathBuf,
    /// PEM file: the private key.
    pub key_file: PathBuf,
    /// PEM file: the authority of all members' certificates; two generations during a rotation.
    pub ca_file: PathBuf,
    /// What a bind does whose name belongs to another member.
    #[serde(default)]
    pub coordination: Coordination,
}

/// How the other members are found. Whoever runs under one of the addresses is dialled; its certificate
/// decides whether it is a member, and this proxy itself may be among them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Discovery {
    /// Every address of this name is a member, as in `corp-peers.mail.svc.cluster.local`; port as in `NAME:PORT`, else that of `cluster.address`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<String>,
    /// The SRV records of this name (RFC 2782), as in `_peers._tcp.corp-peers.mail.svc.cluster.local`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub srv: Option<String>,
    /// All members, each as `HOST:PORT`; the same list may be written for everyone.
    #[serde(rename = "static", skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Vec<String>>,
}

/// What a bind does whose name belongs to another member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Coordination {
    /// Ask that member whether the same password is being tried; go on without it when it does not answer in 100 ms.
    #[default]
    Lease,
    /// As `Lease`, but refuse the bind (51, busy) when that member does not answer in 2 s.
    Strict,
    /// Do not ask: what is learned is shared, but members may try one password at the same time.
    Local,
}

impl Cluster {
    /// `nodeName`, else the host name.
    #[must_use]
    pub fn effective_node_name(&self) -> String {
        match &self.node_name {
            Some(name) => name.clone(),
            None => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        }
    }

    /// How the other members are found, with every port. `None` only for a block that the rules refuse.
    #[must_use]
    pub fn peers(&self) -> Option<Peers> {
        let Discovery { dns, srv, addresses } = &self.discovery;
        match (dns, srv, addresses) {
            (Some(dns), None, None) => {
                let HostPort { host, port } = HostPort::parse(dns, Some(self.address.port())).ok()?;
                Some(Peers::Dns { name: host, port })
            }
            (None, Some(srv), None) => Some(Peers::Srv { name: srv.clone() }),
            (None, None, Some(addresses)) => {
                addresses.iter().map(|text| HostPort::parse(text, None).ok()).collect::<Option<_>>().map(Peers::Static)
            }
            _ => None,
        }
    }
}

/// How the other members are found, as it was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peers {
    /// By the addresses of a name.
    Dns {
        /// The name, never an address.
        name: String,
        /// The port of all of them.
        port: u16,
    },
    /// By the SRV records of a name.
    Srv {
        /// The name.
        name: String,
    },
    /// They are listed.
    Static(Vec<HostPort>),
}

/// A host name or IP address, with a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Without the brackets of an IPv6 address.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

/// Why a text is no [`HostPort`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostPortError {
    /// Neither a host name nor an IP address.
    #[error("is no host name or IP address with a port")]
    Host,
    /// No port, where one is needed.
    #[error("has no port")]
    NoPort,
    /// 0, which nobody can be reached at.
    #[error("has the port 0")]
    PortZero,
}

impl HostPort {
    /// Reads `HOST:PORT`, `ADDRESS:PORT` or `[ADDRESS]:PORT`, or any of them without a port when there is a
    /// `default`.
    ///
    /// # Errors
    /// [`HostPortError`].
    pub fn parse(text: &str, default: Option<u16>) -> Result<Self, HostPortError> {
        let (host, port) = split(text)?;
        let port = port.or(default).ok_or(HostPortError::NoPort)?;
        if port == 0 {
            return Err(HostPortError::PortZero);
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

fn split(text: &str) -> Result<(&str, Option<u16>), HostPortError> {
    let port_of = |text: &str| match text.bytes().all(|octet| octet.is_ascii_digit()) {
        true => text.parse::<u16>().map_err(|_| HostPortError::Host),
        false => Err(HostPortError::Host),
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or(HostPortError::Host)?;
        if !address.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6()) {
            return Err(HostPortError::Host);
        }
        return match rest.strip_prefix(':') {
            Some(port) => Ok((address, Some(port_of(port)?))),
            None if rest.is_empty() => Ok((address, None)),
            None => Err(HostPortError::Host),
        };
    }
    if text.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6()) {
        return Ok((text, None));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port_of(port)?)),
        None => (text, None),
    };
    if super::rules::is_host(host) { Ok((host, port)) } else { Err(HostPortError::Host) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_in_every_spelling() {
        let parsed = |text| HostPort::parse(text, Some(7946)).map(|peer| peer.to_string());
        for (text, expected) in [
            ("peers.example", "peers.example:7946"),
            ("peers.example.", "peers.example.:7946"),
            ("peers.example:1", "peers.example:1"),
            ("10.0.0.7:65535", "10.0.0.7:65535"),
            ("10.0.0.7", "10.0.0.7:7946"),
            ("[2001:db8::1]:5", "[2001:db8::1]:5"),
            ("[2001:db8::1]", "[2001:db8::1]:7946"),
            ("2001:db8::1", "[2001:db8::1]:7946"),
        ] {
            assert_eq!(parsed(text).as_deref(), Ok(expected), "{text}");
        }
        for text in
            ["", ":1", "a:b", "a:1:2", "a:+1", "a:", "a:65536", "[10.0.0.1]:1", "[::1", "[::1]x", "a b:1", "a/b"]
        {
            assert_eq!(parsed(text), Err(HostPortError::Host), "{text}");
        }
        assert_eq!(HostPort::parse("a", None), Err(HostPortError::NoPort));
        assert_eq!(HostPort::parse("a:0", None), Err(HostPortError::PortZero));
        assert_eq!(HostPort::parse("a", Some(0)), Err(HostPortError::PortZero));
    }
}
