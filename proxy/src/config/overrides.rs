//! What the command line says of this member in place of the file, so that all members may share one file.

use super::Config;
use super::cluster::Discovery;
use super::problem::Report;
use super::rules;

/// Values of `cluster` that the command line gives. They hold over reloads, and without `cluster` in the file
/// they mean nothing. The configuration's hash is that of the file, so it is equal on all members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// In place of `cluster.nodeName`.
    pub node_name: Option<String>,
    /// In place of `cluster.discovery`: as `cluster.discovery.dns`.
    pub peers_dns: Option<String>,
}

/// The variable that [`Overrides::node_name`] comes from.
pub const NODE_NAME_VARIABLE: &str = "BINDPROXY_NODE_NAME";
/// The variable that [`Overrides::peers_dns`] comes from.
pub const PEERS_DNS_VARIABLE: &str = "BINDPROXY_PEERS_DNS";

impl Overrides {
    /// Puts the values into `config`. What is wrong with one is reported under its variable's name, and it is
    /// left out.
    pub(super) fn apply(&self, config: &mut Config, report: &mut Report) {
        let Self { node_name, peers_dns } = self;
        let Some(cluster) = &mut config.cluster else { return };
        if let Some(name) = node_name
            && rules::node_name(NODE_NAME_VARIABLE, name, report)
        {
            cluster.node_name = Some(name.clone());
        }
        if let Some(dns) = peers_dns
            && rules::peers_dns(PEERS_DNS_VARIABLE, dns, cluster.address.port(), report)
        {
            cluster.discovery = Discovery { dns: Some(dns.clone()), srv: None, addresses: None };
        }
    }
}
