//! The admin address: health, metrics and the JSON API over HTTP, and the commands that ask it.
//!
//! What the API answers comes through [`AdminApi`], so nothing here knows the cache or the
//! upstreams.

pub mod api;
mod auth;
pub mod client;
pub mod cluster;
mod connections;
mod flush_body;
pub mod pod_status;
mod routes;
mod text;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use arc_swap::ArcSwapOption;

pub use api::AdminApi;
pub use connections::serve;
pub use pod_status::PodStatus;

use crate::clock::Clock;
use crate::config::AdminToken;
use crate::listener::dual_stack::tcp_socket;
use crate::metrics::Metrics;
use crate::status::Status;

/// Connections that the kernel completes before they are accepted.
const BACKLOG: i32 = 128;

/// The bearer token that the API asks for, replaced by a reload. Without one the API answers only
/// to loopback.
pub type SharedToken = Arc<ArcSwapOption<AdminToken>>;

/// What the admin address serves.
#[derive(Clone)]
pub struct AdminState {
    /// Health and configuration.
    pub status: Arc<Status>,
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// What the API answers.
    pub api: Arc<dyn AdminApi>,
    /// Who may ask the API.
    pub token: SharedToken,
    /// The clock that heartbeats are compared with.
    pub clock: Clock,
}

/// Why there is no admin address.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Another process has the port, the address is not this host's, or the port is privileged.
    #[error("admin.address: cannot listen on {address}: {source}; {}", remedy(source))]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Opens the admin address.
///
/// # Errors
/// When it cannot be listened on; nothing changed.
pub fn listen(address: SocketAddr) -> Result<TcpListener, AdminError> {
    try_listen(address).map_err(|source| AdminError::Listen { address, source })
}

fn try_listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let (socket, address) = tcp_socket(address)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn remedy(fault: &std::io::Error) -> &'static str {
    match fault.kind() {
        std::io::ErrorKind::AddrInUse => "stop the process that has this port, or write another one",
        std::io::ErrorKind::AddrNotAvailable => "write an address of this host, or 0.0.0.0 or [::] for all of them",
        std::io::ErrorKind::PermissionDenied => "write a port above 1023, or give the process CAP_NET_BIND_SERVICE",
        _ => "write another address",
    }
}
