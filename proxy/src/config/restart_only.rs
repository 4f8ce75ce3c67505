//! The part of a configuration that only a restart can change.

use std::net::SocketAddr;

use serde::Serialize;

use super::{Cluster, Config, Discovery, Listener};

/// What a running process cannot take over: where it listens, and who it is among the others.
///
/// A reload is refused when this differs; whoever replaces processes does so when this differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestartOnly<'a> {
    listeners: &'a [Listener],
    admin_address: SocketAddr,
    cluster: Option<Membership<'a>>,
}

/// Who a process is among the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Membership<'a> {
    name: &'a str,
    address: SocketAddr,
    node_name: Option<&'a str>,
    discovery: &'a Discovery,
}

impl<'a> RestartOnly<'a> {
    /// That part of `config`.
    #[must_use]
    pub fn of(config: &'a Config) -> Self {
        let Config {
            listeners,
            server_tls: _,
            upstreams: _,
            upstream_policy: _,
            cache: _,
            limits: _,
            drain: _,
            admin,
            logging: _,
            cluster,
        } = config;
        Self { listeners, admin_address: admin.address, cluster: cluster.as_ref().map(Membership::of) }
    }

    /// The first field that differs from `other`, in words.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        if self.listeners != other.listeners {
            return Some("listeners");
        }
        if self.admin_address != other.admin_address {
            return Some("admin.address");
        }
        match (&self.cluster, &other.cluster) {
            (Some(this), Some(other)) => this.difference(other),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => Some("whether there is a cluster"),
        }
    }
}

impl<'a> Membership<'a> {
    /// The rest of the block, certificates and `coordination`, is taken over while members talk.
    fn of(cluster: &'a Cluster) -> Self {
        let Cluster {
            name,
            address,
            node_name,
            discovery,
            certificate_file: _,
            key_file: _,
            ca_file: _,
            coordination: _,
        } = cluster;
        Self { name, address: *address, node_name: node_name.as_deref(), discovery }
    }

    fn difference(&self, other: &Self) -> Option<&'static str> {
        let fields = [
            ("cluster.name", self.name == other.name),
            ("cluster.address", self.address == other.address),
            ("cluster.nodeName", self.node_name == other.node_name),
            ("cluster.discovery", self.discovery == other.discovery),
        ];
        fields.into_iter().find_map(|(field, same)| (!same).then_some(field))
    }
}
