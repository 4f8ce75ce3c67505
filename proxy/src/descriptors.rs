//! File descriptors: each connection is one, and the limit that a shell or a container gives is
//! often 1,024.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cluster::dial_plan::MOST_ADDRESSES;
use crate::config::Config;

/// Descriptors that are no connection: sockets that listen, event loops, files that are read.
const OTHERS: u64 = 64;

/// Raises the soft limit of open files to the hard one, and warns where even that is too low for
/// the connections that the configuration allows.
pub fn raise_limit(config: &Config) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let needed = needed(config);
    if allowed < needed {
        tracing::warn!(
            allowed,
            needed,
            "the limit of open files is below what limits.maxConnections and upstreamPolicy.maxConnections may take; \
             raise it (LimitNOFILE= in the unit, ulimit -n, the container runtime's default) or lower them"
        );
    }
}

fn needed(config: &Config) -> u64 {
    let upstream = u64::from(config.upstream_policy.max_connections) * config.upstreams.len() as u64;
    // A member of a cluster has two connections with each other one.
    let members = if config.cluster.is_some() { 2 * MOST_ADDRESSES as u64 } else { 0 };
    u64::from(config.limits.max_connections) + upstream + members + OTHERS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_of_either_side_counts() {
        let text = "listeners: [{name: a, address: '127.0.0.1:1389'}]\n\
                    upstreams: [{name: b, host: 127.0.0.1}, {name: c, host: '::1'}]\n\
                    limits: {maxConnections: 1000}\nupstreamPolicy: {maxConnections: 10}";
        assert_eq!(needed(&serde_saphyr::from_str(text).unwrap()), 1000 + 20 + OTHERS);
    }
}
