//! What the types cannot say: fields that need, exclude or bound each other.
//!
//! Every rule reports and goes on; none reads a file.

mod bounds;
mod cluster;
mod listeners;
mod upstreams;
mod verdicts;

pub(super) use cluster::{is_cluster_name, node_name, peers_dns};
pub(super) use upstreams::is_host;

use super::problem::Report;
use super::{Cache, Config};

/// Checks every rule of `config`, whose paths must be absolute.
pub(crate) fn check(config: &Config, report: &mut Report) {
    listeners::check(config, report);
    upstreams::check(config, report);
    bounds::check(config, report);
    lives(&config.cache, report);
    verdicts::check(&config.cache.verdicts, report);
    cluster::check(config, report);
    if config.cache.previous_key_file.is_some() && config.cache.key_file.is_none() {
        report.problem(
            "cache.previousKeyFile",
            &["cache.keyFile"],
            "there is no cache.keyFile that it could precede",
            "write the present key's file as cache.keyFile, or remove this field",
        );
    }
}

/// `firstTTLSeconds <= ttlSeconds <= maxTTLSeconds`.
fn lives(cache: &Cache, report: &mut Report) {
    let (first, ttl, max) = (cache.first_ttl_seconds, cache.ttl_seconds, cache.max_ttl_seconds);
    // A zero is reported as such; an order with it would ask for another zero.
    if first > ttl && ttl.0 > 0 {
        report.problem(
            "cache.firstTTLSeconds",
            &["cache.ttlSeconds"],
            format!("{} is above ttlSeconds, which is {}", first.0, ttl.0),
            format!("write at most {}, or raise ttlSeconds", ttl.0),
        );
    }
    if ttl > max && max.0 > 0 {
        report.problem(
            "cache.maxTTLSeconds",
            &["cache.ttlSeconds"],
            format!("{} is below ttlSeconds, which is {}", max.0, ttl.0),
            format!("write at least {}, or lower ttlSeconds", ttl.0),
        );
    }
}

/// A name that can be a metric label, a log field and a DNS label: letters, digits, `-`, `_`, `.`.
fn name(report: &mut Report, path: &str, name: &str, earlier: &[&str]) {
    const LONGEST: usize = 63;
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > LONGEST || !name.chars().all(known) {
        report.problem(
            path,
            &[],
            format!("{} cannot be a name", super::tree::quoted(name)),
            format!("write 1 to {LONGEST} letters, digits, `-`, `_` or `.`"),
        );
    } else if earlier.contains(&name) {
        report.problem(path, &[], format!("the name {name} is taken by an earlier one"), "write another name");
    }
}

/// A unix socket's address has room for 107 bytes (unix(7)).
fn socket(report: &mut Report, path: &str, socket: &std::path::Path) {
    const LONGEST: usize = 107;
    let length = socket.as_os_str().len();
    if length == 0 {
        report.problem(path, &[], "the path is empty", "write the path of the socket");
    } else if length > LONGEST {
        let cause = format!("{} has {length} bytes", socket.display());
        report.problem(path, &[], cause, format!("choose a path of at most {LONGEST} bytes"));
    }
}
