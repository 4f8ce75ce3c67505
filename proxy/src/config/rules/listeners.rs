//! Rules about where clients connect.

use std::net::SocketAddr;

use super::{name, socket};
use crate::config::cidr::{Cidr, CidrError};
use crate::config::problem::Report;
use crate::config::tree::quoted;
use crate::config::{ClientCertificate, Config, Listener, ListenerTls, ProxyProtocol, ProxyProtocolMode, ServerTls};

/// Checks `listeners`, `serverTLS` and what other fields share addresses with them.
pub(super) fn check(config: &Config, report: &mut Report) {
    if config.listeners.is_empty() {
        let example = "write at least one, as in `- {name: ldap, address: \"127.0.0.1:3389\"}`";
        report.problem("listeners", &[], "there is no listener", example);
    }
    for (index, listener) in config.listeners.iter().enumerate() {
        let earlier = config.listeners.get(..index).unwrap_or_default();
        let path = format!("listeners[{index}]");
        let names: Vec<&str> = earlier.iter().map(|listener| listener.name.as_str()).collect();
        name(report, &format!("{path}.name"), &listener.name, &names);
        place(report, &path, listener);
        taken(report, &path, listener, earlier);
        if listener.tls != ListenerTls::Disabled && config.server_tls.is_none() {
            report.problem(
                format!("{path}.tls"),
                &["serverTLS"],
                "the listener has no certificate to show",
                "write serverTLS with certificateFile and keyFile, or `tls: Disabled`",
            );
        }
        if let Some(proxy_protocol) = &listener.proxy_protocol {
            trust(report, &format!("{path}.proxyProtocol"), listener, proxy_protocol);
        }
    }
    if let Some(tls) = &config.server_tls {
        server_tls(report, tls, &config.listeners);
    }
    for (index, listener) in config.listeners.iter().enumerate() {
        if let Some(address) = listener.address
            && collide(address, config.admin.address)
        {
            report.problem(
                "admin.address",
                &[&format!("listeners[{index}].address")],
                format!("{} is also the address of listener {}", config.admin.address, listener.name),
                "write another port",
            );
        }
    }
}

fn place(report: &mut Report, path: &str, listener: &Listener) {
    match (&listener.address, &listener.socket) {
        (Some(_), Some(_)) => report.problem(
            path,
            &[],
            "both address and socket are given",
            "keep one of them; write a second listener for the other",
        ),
        (None, None) => report.problem(
            path,
            &[],
            "neither address nor socket is given",
            "write `address: \"127.0.0.1:3389\"`, or the path of a unix socket as `socket:`",
        ),
        (Some(_), None) | (None, Some(_)) => {}
    }
    let socket_path = format!("{path}.socket");
    if let Some(file) = &listener.socket {
        socket(report, &socket_path, file);
    }
    if let Some(mode) = &listener.mode {
        let octal = matches!(mode.len(), 3 | 4) && mode.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        if listener.socket.is_none() {
            report.problem(format!("{path}.mode"), &[&socket_path], "only a unix socket has a mode", "remove it");
        } else if !octal || u32::from_str_radix(mode, 8).is_ok_and(|mode| mode > 0o777) {
            report.problem(
                format!("{path}.mode"),
                &[],
                format!("{} is no file mode", quoted(mode)),
                "write three octal digits after a 0 in quotes, as in `\"0660\"`",
            );
        }
    }
}

/// Whether an earlier listener has the same address or socket.
fn taken(report: &mut Report, path: &str, listener: &Listener, earlier: &[Listener]) {
    for (index, other) in earlier.iter().enumerate() {
        if let (Some(address), Some(other_address)) = (listener.address, other.address)
            && collide(address, other_address)
        {
            report.problem(
                format!("{path}.address"),
                &[&format!("listeners[{index}].address")],
                format!("{address} is taken by listener {}, which has {other_address}", other.name),
                "write another port or address",
            );
            return;
        }
        if listener.socket.is_some() && listener.socket == other.socket {
            report.problem(
                format!("{path}.socket"),
                &[&format!("listeners[{index}].socket")],
                format!("it is the socket of listener {}", other.name),
                "write another path",
            );
            return;
        }
    }
}

/// Whether the system would refuse to open both. Port 0 is a new port every time.
pub(super) fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let same_family = one.is_ipv4() == other.is_ipv4();
    let everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (one.ip() == other.ip() || same_family && everywhere)
}

fn trust(report: &mut Report, path: &str, listener: &Listener, proxy_protocol: &ProxyProtocol) {
    let ProxyProtocol { mode: ProxyProtocolMode::V2, trusted_cidrs } = proxy_protocol;
    if listener.socket.is_some() {
        report.problem(
            path,
            &[],
            "a unix socket's clients have no address to be trusted by",
            "remove it, or listen on an address",
        );
    }
    let path = format!("{path}.trustedCIDRs");
    if trusted_cidrs.is_empty() {
        let remedy = "write the networks of the load balancers, as in `[\"10.0.0.0/8\"]`";
        report.problem(&path, &[], "nobody is trusted, so every connection would be closed", remedy);
    }
    for (index, text) in trusted_cidrs.iter().enumerate() {
        let Err(error) = text.parse::<Cidr>() else { continue };
        let remedy = match &error {
            CidrError::NoPrefix(meant) | CidrError::HostBits(meant) => format!("write `\"{meant}\"`"),
            CidrError::PrefixTooLong(_) | CidrError::Unparsable => {
                "write a network as in `\"10.0.0.0/8\"` or `\"2001:db8::/32\"`".into()
            }
        };
        report.problem(format!("{path}[{index}]"), &[], format!("{} {error}", quoted(text)), remedy);
    }
}

fn server_tls(report: &mut Report, tls: &ServerTls, listeners: &[Listener]) {
    if tls.client_certificate != ClientCertificate::None && tls.client_ca_file.is_none() {
        report.problem(
            "serverTLS.clientCertificate",
            &["serverTLS.clientCAFile"],
            "without clientCAFile no client certificate can be verified",
            "write clientCAFile, or `clientCertificate: None`",
        );
    }
    if tls.client_certificate == ClientCertificate::None && tls.client_ca_file.is_some() {
        report.warning(
            "serverTLS.clientCAFile",
            &["serverTLS.clientCertificate"],
            "clients are not asked for a certificate",
            "write `clientCertificate: Optional` or `Required`, or remove the field",
        );
    }
    if listeners.iter().all(|listener| listener.tls == ListenerTls::Disabled) {
        report.warning(
            "serverTLS",
            &["listeners"],
            "no listener uses it",
            "write `tls: LDAPS` or `tls: StartTLS` at a listener, or remove it",
        );
    }
}
