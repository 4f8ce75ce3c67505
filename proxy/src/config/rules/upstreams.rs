//! Rules about the directory servers.

use std::net::IpAddr;

use super::{name, socket};
use crate::config::problem::Report;
use crate::config::tree::quoted;
use crate::config::{Config, TlsVersion, Upstream, UpstreamTls, UpstreamTlsMode};
use crate::tls;

/// Checks `upstreams`.
pub(super) fn check(config: &Config, report: &mut Report) {
    if config.upstreams.is_empty() {
        let example = "write at least one, as in `- {name: dc1, host: dc1.corp.example, tls: {mode: LDAPS}}`";
        report.problem("upstreams", &[], "there is no upstream", example);
    }
    for (index, upstream) in config.upstreams.iter().enumerate() {
        let earlier = config.upstreams.get(..index).unwrap_or_default();
        let path = format!("upstreams[{index}]");
        let names: Vec<&str> = earlier.iter().map(|upstream| upstream.name.as_str()).collect();
        name(report, &format!("{path}.name"), &upstream.name, &names);
        place(report, &path, upstream);
        transport(report, &path, upstream);
    }
}

fn place(report: &mut Report, path: &str, upstream: &Upstream) {
    match (&upstream.host, &upstream.socket) {
        (Some(_), Some(_)) => report.problem(
            path,
            &[],
            "both host and socket are given",
            "keep one of them; write a second upstream for the other",
        ),
        (None, None) => report.problem(
            path,
            &[],
            "neither host nor socket is given",
            "write `host:` with a name or an IP address, or the path of a unix socket as `socket:`",
        ),
        (Some(_), None) | (None, Some(_)) => {}
    }
    if let Some(file) = &upstream.socket {
        socket(report, &format!("{path}.socket"), file);
        if upstream.port.is_some() {
            report.problem(format!("{path}.port"), &[], "a unix socket has no port", "remove it");
        }
    }
    if upstream.port == Some(0) {
        report.problem(
            format!("{path}.port"),
            &[],
            "0 is no port",
            "write a port from 1 to 65535, or remove the field",
        );
    }
    if let Some(host) = &upstream.host {
        host_name(report, path, host);
    }
}

fn host_name(report: &mut Report, path: &str, host: &str) {
    let host_path = format!("{path}.host");
    if host.is_empty() {
        report.problem(host_path, &[], "the host is empty", "write a name or an IP address");
        return;
    }
    if let Some((scheme, rest)) = host.split_once("://") {
        let bare = rest.split(['/', ':']).next().unwrap_or_default();
        let remedy = match scheme {
            "ldaps" => format!("write `host: {bare}` and `tls: {{mode: LDAPS}}`"),
            _ => format!("write `host: {bare}`; the port is a field of its own"),
        };
        report.problem(host_path, &[], format!("{} is a URL", quoted(host)), remedy);
        return;
    }
    let unbracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = unbracketed.filter(|address| address.parse::<IpAddr>().is_ok()) {
        let cause = format!("{} has brackets", quoted(host));
        report.problem(host_path, &[], cause, format!("write `host: \"{address}\"`"));
        return;
    }
    if let Some((bare, port)) = host.rsplit_once(':')
        && host.parse::<IpAddr>().is_err()
        && port.parse::<u16>().is_ok()
    {
        let cause = format!("{} carries a port", quoted(host));
        report.problem(host_path, &[], cause, format!("write `host: {bare}` and `port: {port}`"));
        return;
    }
    if !is_host(host) {
        let cause = format!("{} is neither a host name nor an IP address", quoted(host));
        report.problem(host_path, &[], cause, "write a name as in `dc1.corp.example`, or an IP address");
    }
}

/// Whether `host` is a host name or an IP address.
pub(in crate::config) fn is_host(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
        || rustls::pki_types::DnsName::try_from(host.strip_suffix('.').unwrap_or(host)).is_ok()
}

/// Clear text, TLS, and the fields that belong to one of them.
fn transport(report: &mut Report, path: &str, upstream: &Upstream) {
    let tls = &upstream.tls;
    let tls_path = format!("{path}.tls");
    match tls.mode {
        UpstreamTlsMode::Disabled => {
            clear_text(report, path, upstream);
            for (name, given) in tls_fields(tls) {
                if given {
                    report.problem(
                        format!("{tls_path}.{name}"),
                        &[&format!("{tls_path}.mode")],
                        "it has no effect, because tls.mode is Disabled",
                        "write `mode: LDAPS` or `mode: StartTLS`, or remove it",
                    );
                }
            }
            return;
        }
        UpstreamTlsMode::StartTLS | UpstreamTlsMode::LDAPS => {}
    }
    if upstream.socket.is_some() {
        report.problem(
            format!("{tls_path}.mode"),
            &[&format!("{path}.socket")],
            "a unix socket needs no TLS, for its octets never leave this host",
            "remove tls",
        );
        return;
    }
    match (&tls.certificate_file, &tls.key_file) {
        (Some(_), None) => report.problem(
            format!("{tls_path}.certificateFile"),
            &[&format!("{tls_path}.keyFile")],
            "the certificate has no key",
            "write keyFile too",
        ),
        (None, Some(_)) => report.problem(
            format!("{tls_path}.keyFile"),
            &[&format!("{tls_path}.certificateFile")],
            "the key has no certificate",
            "write certificateFile too",
        ),
        (Some(_), Some(_)) | (None, None) => {}
    }
    // An unusable host is reported as such; here it is only about a name that was chosen.
    if tls.server_name.is_some()
        && let Err(error) = tls::server_name(upstream)
    {
        report.problem(
            format!("{tls_path}.serverName"),
            &[],
            error.to_string(),
            "write the name that the server's certificate carries, as in `dc1.corp.example`",
        );
    }
}

fn tls_fields(tls: &UpstreamTls) -> [(&'static str, bool); 5] {
    let UpstreamTls { mode: _, ca_file, server_name, min_version, certificate_file, key_file } = tls;
    [
        ("caFile", ca_file.is_some()),
        ("serverName", server_name.is_some()),
        // The default cannot be told from absence, and is harmless.
        ("minVersion", *min_version != TlsVersion::V12),
        ("certificateFile", certificate_file.is_some()),
        ("keyFile", key_file.is_some()),
    ]
}

/// Passwords in clear text stay on this host unless somebody says that they need not.
fn clear_text(report: &mut Report, path: &str, upstream: &Upstream) {
    let Some(host) = &upstream.host else { return };
    if upstream.insecure_allow_cleartext || is_loopback(host) {
        return;
    }
    report.problem(
        format!("{path}.tls.mode"),
        &[&format!("{path}.host"), &format!("{path}.insecureAllowCleartext")],
        format!("passwords would go to {} in clear text", quoted(host)),
        "write `tls: {mode: LDAPS}` or `{mode: StartTLS}`, or consent with `insecureAllowCleartext: true`",
    );
}

/// Only literal loopback addresses and `localhost` (RFC 6761 section 6.3): any other name could
/// resolve to loopback today and elsewhere tomorrow.
fn is_loopback(host: &str) -> bool {
    if let Ok(address) = host.parse::<IpAddr>() {
        return address.to_canonical().is_loopback();
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    name == "localhost"
}
