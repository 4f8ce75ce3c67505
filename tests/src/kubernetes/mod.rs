//! Harness of the suite on a real cluster: that of `KUBECONFIG`, else the one that `make cluster-up` started.
//!
//! Tests are ordinary blocking functions, as in every suite here: the LDAP clients are threads, and the client of the
//! API server runs on a runtime of its own ([`cluster::Cluster::ask`]). `tests/tests/kubernetes/README.md` shows a test
//! from its first line to its last.
//!
//! ```text
//! cluster ── namespace ── bind_proxy ── pods          what is on the cluster
//!               upstream (slapd on this machine)      what the proxies stand in front of, and the oracle
//!               clients                               who binds, and what became of each attempt
//!               components, network                   what is taken away
//!               figures                               what was measured
//! ```

pub mod bind_proxy;
pub mod clients;
pub mod cluster;
pub mod components;
pub mod definitions;
mod diagnosis;
pub mod extent;
pub mod figures;
pub mod installation;
pub mod kubectl;
pub mod namespace;
pub mod network;
pub mod nodes;
pub mod pods;
pub mod secrecy;
pub mod upstream;

pub use bind_proxy::Proxies;
pub use clients::{Clients, Log, Running};
pub use cluster::{Cluster, cluster};
pub use namespace::{Namespace, alone_with_namespace, with_namespace};
pub use pods::Pod;
pub use upstream::Upstream;
