//! The sockets of the listeners, bound before anything runs, so that a busy port is an error at
//! the start and not a silent hole. Nobody can connect before [`listen`]: a member of a cluster that
//! has not joined yet refuses clients, and they go to another one.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::dual_stack::tcp_socket;
use crate::config::Listener;

/// Connections that the kernel completes before they are accepted.
const BACKLOG: i32 = 4_096;

const KEEPALIVE_IDLE: Duration = Duration::from_secs(120);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// A bound socket.
#[derive(Debug)]
pub enum BoundSocket {
    /// TCP, and the address that the system gave it.
    Tcp(std::net::TcpListener, SocketAddr),
    /// A unix socket and its path.
    Unix(std::os::unix::net::UnixListener, PathBuf),
}

/// Why a listener cannot be opened. Nothing is left behind.
#[derive(Debug, Error)]
#[error("{field}: cannot listen on {address}: {cause}{remedy}")]
pub struct BindError {
    field: String,
    address: String,
    cause: io::Error,
    remedy: &'static str,
}

/// Lets clients connect to the socket of the listener at `index`.
///
/// # Errors
/// [`BindError`].
pub fn listen(index: usize, socket: &BoundSocket) -> Result<(), BindError> {
    match socket {
        BoundSocket::Tcp(socket, address) => rustix::net::listen(socket, BACKLOG)
            .map_err(|cause| error(format!("listeners[{index}].address"), address.to_string(), cause.into())),
        BoundSocket::Unix(socket, path) => rustix::net::listen(socket, BACKLOG)
            .map_err(|cause| error(format!("listeners[{index}].socket"), path.display().to_string(), cause.into())),
    }
}

/// Binds the sockets of all listeners.
///
/// # Errors
/// [`BindError`] with the field of the first one that cannot be opened.
pub fn bind_all(listeners: &[Listener]) -> Result<Vec<BoundSocket>, BindError> {
    listeners.iter().enumerate().map(|(index, listener)| bind(index, listener)).collect()
}

fn bind(index: usize, listener: &Listener) -> Result<BoundSocket, BindError> {
    match (&listener.address, &listener.socket) {
        (_, Some(path)) => bind_unix(path, listener.mode.as_deref())
            .map(|socket| BoundSocket::Unix(socket, path.clone()))
            .map_err(|cause| error(format!("listeners[{index}].socket"), path.display().to_string(), cause)),
        (Some(address), None) => bind_tcp(*address)
            .map(|(socket, bound)| BoundSocket::Tcp(socket, bound))
            .map_err(|cause| error(format!("listeners[{index}].address"), address.to_string(), cause)),
        (None, None) => Err(error(
            format!("listeners[{index}]"),
            "nothing".to_owned(),
            io::Error::other("neither address nor socket"),
        )),
    }
}

fn error(field: String, address: String, cause: io::Error) -> BindError {
    let remedy = match cause.kind() {
        io::ErrorKind::AddrInUse => "; another process listens there: stop it or choose another one",
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need CAP_NET_BIND_SERVICE, and a socket a folder that may be written"
        }
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has that address",
        _ => "",
    };
    BindError { field, address, cause, remedy }
}

fn bind_tcp(address: SocketAddr) -> io::Result<(std::net::TcpListener, SocketAddr)> {
    let (socket, address) = tcp_socket(address)?;
    prepare(&socket)?;
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    let listener = std::net::TcpListener::from(socket);
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// Sets what every accepted connection inherits (tcp(7); Linux copies these options from the socket
/// that listens), so that no connection pays for it.
///
/// A client that vanishes without a word must be noticed even while it waits for a search that may
/// last for days, and answers must not wait for Nagle's algorithm.
fn prepare(socket: &socket2::Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL))
}

fn bind_unix(path: &Path, mode: Option<&str>) -> io::Result<std::os::unix::net::UnixListener> {
    // A socket that a crashed process left behind is in the way of every later start; one that
    // somebody answers on is not ours to remove.
    if path.exists() && std::os::unix::net::UnixStream::connect(path).is_err() {
        let kind = std::fs::symlink_metadata(path)?.file_type();
        if std::os::unix::fs::FileTypeExt::is_socket(&kind) {
            std::fs::remove_file(path)?;
        }
    }
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    let listener = std::os::unix::net::UnixListener::from(std::os::fd::OwnedFd::from(socket));
    let mode = mode.and_then(|mode| u32::from_str_radix(mode, 8).ok()).unwrap_or(0o660);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_connections_inherit_the_options() {
        let (listener, address) = bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let refused = std::net::TcpStream::connect(address).expect_err("nobody listens yet");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        rustix::net::listen(&listener, BACKLOG).unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let accepted = loop {
            match listener.accept() {
                Ok((accepted, _)) => break accepted,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        };
        let socket = socket2::SockRef::from(&accepted);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
        assert!(!socket2::SockRef::from(&client).keepalive().unwrap(), "the check could fail");
    }
}
