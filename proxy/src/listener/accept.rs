//! The accept loop of one listener.
//!
//! SO_REUSEPORT hashes few long-lived connections badly and unix sockets have none, so one core
//! accepts and hands a connection to whichever core has the fewest.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};

use super::admission::{AdmissionLimits, Admitted};
use super::bind_sockets::BoundSocket;
use super::context::ListenerContext;
use super::handshake;
use crate::codec::{build, code};
use crate::config::ListenerTls;
use crate::core::{Core, CoreMessage};
use crate::metrics::CloseReason;

/// After a fault such as "too many open files" accepting at once again would only spin.
const PAUSE_AFTER_FAULT: Duration = Duration::from_millis(100);

/// A connection on its way to the core that will serve it.
pub struct Accepted {
    /// The socket, not registered with any reactor.
    pub socket: AcceptedSocket,
    /// Where it came in.
    pub listener: Arc<ListenerContext>,
    /// Its place among the connections.
    pub admitted: Admitted,
}

/// A socket between two reactors.
pub enum AcceptedSocket {
    /// TCP, and the peer's address.
    Tcp(std::net::TcpStream, IpAddr),
    /// A unix socket.
    Unix(std::os::unix::net::UnixStream),
}

/// The limits that the present configuration sets.
pub(super) fn limits(core: &Core) -> AdmissionLimits {
    core.with_settings(|settings| AdmissionLimits {
        all: settings.config.limits.max_connections,
        per_address: settings.config.limits.max_connections_per_client,
    })
}

/// Accepts until the task is aborted.
///
/// # Errors
/// When the socket cannot be registered with this core's reactor.
pub async fn run(core: Rc<Core>, socket: BoundSocket, listener: Arc<ListenerContext>) -> io::Result<()> {
    match socket {
        BoundSocket::Tcp(socket, _) => {
            let socket = TcpListener::from_std(socket)?;
            loop {
                match socket.accept().await {
                    Ok((stream, peer)) => {
                        if let Ok(stream) = stream.into_std() {
                            place(&core, AcceptedSocket::Tcp(stream, peer.ip()), &listener);
                        }
                    }
                    Err(error) => fault(&listener, &error).await,
                }
            }
        }
        BoundSocket::Unix(socket, _) => {
            let socket = UnixListener::from_std(socket)?;
            loop {
                match socket.accept().await {
                    Ok((stream, _)) => {
                        if let Ok(stream) = stream.into_std() {
                            place(&core, AcceptedSocket::Unix(stream), &listener);
                        }
                    }
                    Err(error) => fault(&listener, &error).await,
                }
            }
        }
    }
}

async fn fault(listener: &ListenerContext, error: &io::Error) {
    tracing::error!(
        listener = %listener.name,
        %error,
        "cannot accept connections; if these are too many open files, raise LimitNOFILE or lower limits.maxConnections"
    );
    tokio::time::sleep(PAUSE_AFTER_FAULT).await;
}

/// Hands the connection to the least loaded core, or turns it away.
fn place(core: &Rc<Core>, socket: AcceptedSocket, listener: &Arc<ListenerContext>) {
    listener.metrics.accepted.inc();
    let Some(admitted) = core.shared.admission.admit(limits(core)) else {
        turn_away(socket, listener);
        return;
    };
    let accepted = Accepted { socket, listener: listener.clone(), admitted };
    let target = core.least_loaded();
    if target == core.id {
        core.load.fetch_add(1, Ordering::Relaxed);
        handshake::start(core, accepted);
        return;
    }
    if let Some(other) = core.shared.cores.get().and_then(|cores| cores.get(target)) {
        other.sessions.fetch_add(1, Ordering::Relaxed);
        let parcel = Arc::new(parking_lot::Mutex::new(Some(accepted)));
        // A core that is gone drops the parcel, which closes the connection.
        let _ = other.inbox.send(CoreMessage::Accepted(parcel));
    }
}

/// The last word to a client for whom there is no place, where it can be said in clear text.
fn turn_away(socket: AcceptedSocket, listener: &ListenerContext) {
    listener.metrics.closed(CloseReason::Limit);
    if listener.tls == ListenerTls::LDAPS {
        return;
    }
    let notice = build::notice_of_disconnection(code::BUSY, "too many connections");
    // Best effort: the socket's buffer is empty, so a write that would block does not happen.
    let _ = match socket {
        AcceptedSocket::Tcp(mut stream, _) => io::Write::write(&mut stream, &notice),
        AcceptedSocket::Unix(mut stream) => io::Write::write(&mut stream, &notice),
    };
}
