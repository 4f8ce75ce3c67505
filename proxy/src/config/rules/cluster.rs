//! Rules about the other proxies.

use super::listeners::collide;
use crate::config::cluster::{HostPort, HostPortError};
use crate::config::problem::Report;
use crate::config::tree::quoted;
use crate::config::{Cluster, Config, Discovery};

/// The longest `cluster.name`, in characters.
const LONGEST_NAME: usize = 200;
/// The longest `cluster.nodeName`, in octets: what the members' protocol has room for.
const LONGEST_NODE_NAME: usize = 255;

const HOST_AND_PORT: &str =
    "write a name or an IP address with a port, as in `\"proxy2.example:7946\"` or `\"[2001:db8::8]:7946\"`";

/// Checks `cluster`, and what other fields must hold when there is one.
pub(super) fn check(config: &Config, report: &mut Report) {
    let Some(cluster) = &config.cluster else { return };
    names(cluster, report);
    address(config, cluster, report);
    discovery(cluster, report);
    if config.cache.key_file.is_none() {
        report.problem(
            "cache.keyFile",
            &["cluster"],
            "every member would make a key of its own, and could not use what the others know",
            "make one key with `head -c 32 /dev/urandom | base64`, and give its file to every member",
        );
    }
}

/// What a URI in a certificate has room for (RFC 5280 section 4.2.1.6: an IA5String), without spaces.
pub(in crate::config) fn is_cluster_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(|c| c.is_ascii_graphic())
}

fn names(cluster: &Cluster, report: &mut Report) {
    let name = &cluster.name;
    if !is_cluster_name(name) {
        report.problem(
            "cluster.name",
            &[],
            format!("{} cannot be the name of a cluster", quoted(name)),
            format!(
                "write 1 to {LONGEST_NAME} ASCII characters without spaces, as in `mail/corp`; certificates carry it"
            ),
        );
    }
    if let Some(name) = &cluster.node_name {
        node_name("cluster.nodeName", name, report);
    }
}

/// Whether `name` can be a member's; says under `path` why not.
pub(in crate::config) fn node_name(path: &str, name: &str, report: &mut Report) -> bool {
    let sound = !name.is_empty() && name.len() <= LONGEST_NODE_NAME && !name.chars().any(char::is_control);
    if !sound {
        report.problem(
            path,
            &[],
            format!("{} cannot be the name of a member", quoted(name)),
            format!(
                "write 1 to {LONGEST_NODE_NAME} octets without control characters, or remove it to use the host name"
            ),
        );
    }
    sound
}

fn address(config: &Config, cluster: &Cluster, report: &mut Report) {
    let mut others: Vec<_> = config
        .listeners
        .iter()
        .enumerate()
        .filter_map(|(index, listener)| {
            Some((listener.address?, format!("listeners[{index}].address"), format!("of listener {}", listener.name)))
        })
        .collect();
    others.push((config.admin.address, "admin.address".into(), "of admin".into()));
    for (other, path, whose) in others {
        if collide(cluster.address, other) {
            report.problem(
                "cluster.address",
                &[&path],
                format!("{} is also the address {whose}", cluster.address),
                "write another port, as in 7946",
            );
            return;
        }
    }
}

fn discovery(cluster: &Cluster, report: &mut Report) {
    let Discovery { dns, srv, addresses } = &cluster.discovery;
    match usize::from(dns.is_some()) + usize::from(srv.is_some()) + usize::from(addresses.is_some()) {
        1 => {}
        0 => report.problem(
            "cluster.discovery",
            &[],
            "nothing says how the other members are found",
            "write one of `dns:` with a name, `srv:` with a name of SRV records, or `static:` with a list",
        ),
        _ => report.problem(
            "cluster.discovery",
            &[],
            "there is more than one way to find the other members",
            "keep one of `dns`, `srv` and `static`",
        ),
    }
    if let Some(dns) = dns {
        peers_dns("cluster.discovery.dns", dns, cluster.address.port(), report);
    }
    if let Some(srv) = srv {
        srv_name(srv, report);
    }
    if let Some(addresses) = addresses {
        listed(addresses, report);
    }
}

/// Whether members can be found by the addresses of `dns`, under `port` where it has none; says under `path` why not.
pub(in crate::config) fn peers_dns(path: &str, dns: &str, port: u16, report: &mut Report) -> bool {
    match HostPort::parse(dns, Some(port)) {
        Ok(peer) if peer.host.parse::<std::net::IpAddr>().is_ok() => {
            report.problem(
                path,
                &[],
                format!("{} is an address, not a name", quoted(dns)),
                "list addresses in `static:`",
            );
        }
        Ok(_) => return true,
        Err(HostPortError::PortZero | HostPortError::NoPort) => report.problem(
            path,
            &["cluster.address"],
            "there is no port to find the other members at",
            "write it behind the name, as in `peers.example:7946`, or write the port in cluster.address",
        ),
        Err(HostPortError::Host) => report.problem(
            path,
            &[],
            format!("{} is no host name", quoted(dns)),
            "write a name as in `peers.example`, with a port behind it if that of cluster.address is not meant",
        ),
    }
    false
}

/// `_SERVICE._PROTOCOL.NAME` (RFC 2782).
fn srv_name(srv: &str, report: &mut Report) {
    let labels: Vec<&str> = srv.strip_suffix('.').unwrap_or(srv).split('.').collect();
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let sound = |label: &&str| (1..=63).contains(&label.len()) && label.chars().all(known);
    let service = matches!(labels.as_slice(), [service, protocol, _, ..]
        if service.starts_with('_') && protocol.starts_with('_'));
    if !service || !labels.iter().all(sound) || srv.len() > 253 {
        report.problem(
            "cluster.discovery.srv",
            &[],
            format!("{} is no name of SRV records", quoted(srv)),
            "write service, protocol and name, as in `_peers._tcp.corp-peers.mail.svc.cluster.local`",
        );
    }
}

fn listed(addresses: &[String], report: &mut Report) {
    let path = "cluster.discovery.static";
    if addresses.is_empty() {
        report.warning(
            path,
            &[],
            "the list is empty, so nobody is ever found",
            "list the members, each as `HOST:PORT`",
        );
    }
    let mut earlier: Vec<HostPort> = Vec::new();
    for (index, text) in addresses.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let mut peer = match HostPort::parse(text, None) {
            Ok(peer) => peer,
            Err(error) => {
                report.problem(path, &[], format!("{} {error}", quoted(text)), HOST_AND_PORT);
                continue;
            }
        };
        peer.host.make_ascii_lowercase();
        if let Some(first) = earlier.iter().position(|known| *known == peer) {
            let cause = format!("{} is listed already", quoted(text));
            report.problem(path, &[&format!("cluster.discovery.static[{first}]")], cause, "remove one of them");
        }
        earlier.push(peer);
    }
}
