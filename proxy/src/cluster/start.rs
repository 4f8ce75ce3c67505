//! Putting the cluster's part of a process together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rand::Rng as _;
use thiserror::Error;

use crate::admin::cluster::ClusterReport;
use crate::bind::Origin;
use crate::config::{Cluster, Loaded, Peers};
use crate::core::Shared;
use crate::listener::dual_stack::tcp_socket;
use crate::tls::PeerTls;

use super::discovery::Place;
use super::handle::ClusterHandle;
use super::mesh::{self, AnswerQueries, Start};
use super::message::{KeyId, KeyIds, NodeId};
use super::node::NodeSettings;

/// Connections of members that the kernel completes before they are accepted.
const BACKLOG: i32 = 1_024;
/// A lease at another member is taken back when its request must be over for so long.
const LEASE_GRACE: Duration = Duration::from_secs(5);

/// Why a process does not become a member. Nothing is left running.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The cluster port.
    #[error("cluster.address: cannot listen on {0}: {1}; choose an address of this machine and a port that is free")]
    Listen(SocketAddr, std::io::Error),
    /// What the loader refuses.
    #[error("cluster: {0}")]
    Configuration(&'static str),
    /// The cluster's thread.
    #[error("cannot start the cluster's thread: {0}")]
    Thread(std::io::Error),
}

/// A cluster port that is bound, and nobody listens there yet.
pub struct Bound {
    listener: std::net::TcpListener,
    settings: Cluster,
    tls: PeerTls,
    places: Vec<Place>,
    /// Where members connect: what port 0 became.
    pub address: SocketAddr,
}

/// Binds the cluster port of a configuration that has one.
///
/// # Errors
/// [`ClusterError`].
pub fn bind(loaded: &Loaded) -> Result<Option<Bound>, ClusterError> {
    let Some(settings) = loaded.config.cluster.clone() else { return Ok(None) };
    let tls = loaded.material.cluster.clone().ok_or(ClusterError::Configuration("no certificate was loaded"))?;
    let peers = settings.peers().ok_or(ClusterError::Configuration("discovery has none of its fields"))?;
    let (listener, address) =
        listen(settings.address).map_err(|cause| ClusterError::Listen(settings.address, cause))?;
    Ok(Some(Bound { listener, tls, places: places(peers), address, settings }))
}

fn listen(address: SocketAddr) -> std::io::Result<(std::net::TcpListener, SocketAddr)> {
    let (socket, address) = tcp_socket(address)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = std::net::TcpListener::from(socket);
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

fn places(peers: Peers) -> Vec<Place> {
    match peers {
        Peers::Dns { name, port } => vec![Place::host(&name, port)],
        Peers::Srv { name } => vec![Place::Service(name)],
        Peers::Static(members) => members.iter().map(|member| Place::host(&member.host, member.port)).collect(),
    }
}

/// Starts the cluster's thread and makes it known to the rest of the process.
///
/// # Errors
/// [`ClusterError::Thread`].
pub fn start(
    shared: &Arc<Shared>,
    bound: Bound,
    loaded: &Loaded,
    answer_queries: AnswerQueries,
) -> Result<JoinHandle<()>, ClusterError> {
    let Bound { listener, settings, tls, places, address } = bound;
    let name = settings.effective_node_name();
    let report = ClusterReport { name: settings.name.clone(), node: name.clone(), joined: false, members: Vec::new() };
    let (handle, inputs) = ClusterHandle::new(settings.coordination, tls, report, shared.metrics.cluster().clone());
    // A new run is somebody new: whatever the one before left behind at others is not this one's.
    let node = NodeId(rand::rng().next_u64());
    shared.guard.set_origin(Origin::new(node.0));
    tracing::info!(cluster = %settings.name, node = %name, %address, "joining the cluster");
    let request_timeout = loaded.config.upstream_policy.request_timeout_seconds.duration();
    let start = Start {
        shared: shared.clone(),
        node: NodeSettings {
            cluster: settings.name,
            node,
            name,
            port: address.port(),
            keys: key_ids(shared),
            lease_life: request_timeout + LEASE_GRACE,
        },
        listener,
        places,
        greeting_timeout: loaded.config.limits.handshake_timeout_seconds.duration(),
        answer_queries,
    };
    let thread = mesh::start(start, handle.clone(), inputs).map_err(ClusterError::Thread)?;
    // Nobody else sets it: this function runs once for a `Shared`.
    let _ = shared.cluster.set(handle);
    Ok(thread)
}

/// Which hashing keys are in force, for members.
#[must_use]
pub fn key_ids(shared: &Shared) -> KeyIds {
    let (current, previous) = shared.guard.key_ids();
    KeyIds { current: KeyId(current), previous: previous.map(KeyId) }
}
