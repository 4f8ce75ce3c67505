//! What a cluster is made of.

use std::net::SocketAddr;

/// How members find each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// A list of all members' addresses, their own among them.
    Static,
    /// The addresses of [`super::PEERS`].
    Dns,
    /// The field as it is written in the configuration.
    Written(String),
}

/// A cluster under construction.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) pods: usize,
    pub(super) cluster: String,
    pub(super) coordination: String,
    pub(super) discovery: Discovery,
    pub(super) directory_port: u16,
    pub(super) cache: String,
    pub(super) sections: Vec<String>,
}

impl Plan {
    /// So many pods in front of the directory that listens on this port of all addresses.
    #[must_use]
    pub fn new(pods: usize, directory: SocketAddr) -> Self {
        Self {
            pods,
            cluster: "lab/corp".to_owned(),
            coordination: "Lease".to_owned(),
            discovery: Discovery::Static,
            directory_port: directory.port(),
            cache: String::new(),
            sections: Vec::new(),
        }
    }

    /// `cluster.coordination`.
    #[must_use]
    pub fn coordination(mut self, coordination: &str) -> Self {
        self.coordination = coordination.to_owned();
        self
    }

    /// `cluster.discovery`.
    #[must_use]
    pub fn discovery(mut self, discovery: Discovery) -> Self {
        self.discovery = discovery;
        self
    }

    /// Further fields of `cache`.
    #[must_use]
    pub fn cache(mut self, fields: &str) -> Self {
        self.cache = format!(", {fields}");
        self
    }

    /// Adds a top level section.
    #[must_use]
    pub fn section(mut self, name: &str, fields: &str) -> Self {
        self.sections.push(format!("{name}: {{{fields}}}"));
        self
    }
}
