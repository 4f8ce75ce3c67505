//! Opening a connection: resolve, TCP or unix socket, then StartTLS or LDAPS as configured.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::connection::{ExchangeError, UpstreamConnection};
use super::permits::Permit;
use super::resolve::{ResolveError, Resolver};
use super::target::{Endpoint, Target, TargetTls};
use crate::clock::Clock;
use crate::codec::{build, code, oid, result};
use crate::metrics::ConnectFailure;
use crate::transport::Transport;

/// Unacknowledged octets for so long mean that the directory's host is gone (tcp(7),
/// TCP_USER_TIMEOUT). Searches may last for days, so the socket must tell a dead peer.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const START_TLS_MESSAGE_ID: u32 = 1;

/// Why no connection was made. Nothing was asked of the directory, so another one may be tried.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The host's name has no address.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// Nobody listens there, or the network is unreachable.
    #[error("cannot connect to {address}: {cause}")]
    Refused {
        /// What was dialled.
        address: String,
        /// What the system said.
        cause: io::Error,
    },
    /// No connection within the time allowed.
    #[error("no connection within {:.1} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// The TLS handshake failed.
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// The directory does not start TLS.
    #[error("StartTLS was refused with result {code}: {diagnostic}")]
    StartTlsRefused {
        /// The result code.
        code: u32,
        /// What the directory said.
        diagnostic: String,
    },
    /// The exchange before TLS failed.
    #[error("StartTLS: {0}")]
    StartTls(#[from] ExchangeError),
}

impl ConnectError {
    /// The label of the metric.
    #[must_use]
    pub fn kind(&self) -> ConnectFailure {
        match self {
            Self::Resolve(_) => ConnectFailure::Dns,
            Self::Refused { .. } => ConnectFailure::Refused,
            Self::Timeout(_) => ConnectFailure::Timeout,
            Self::Tls(_) | Self::StartTlsRefused { .. } | Self::StartTls(_) => ConnectFailure::Tls,
        }
    }
}

/// Opens a connection to `target` within `limit`, over all addresses of its host.
///
/// # Errors
/// [`ConnectError`]; `permit` is given back then.
pub async fn connect(
    target: &Arc<Target>,
    permit: Permit,
    resolver: &Resolver,
    clock: &Clock,
    limit: Duration,
) -> Result<UpstreamConnection, ConnectError> {
    let deadline = clock.now().after(limit);
    // Apart from the rest, so that a name service that does not answer is not taken for a dead directory.
    let addresses = match &target.endpoint {
        Endpoint::Socket(_) => Vec::new(),
        Endpoint::Address(address, _) => vec![*address],
        Endpoint::Name(host, _) => tokio::time::timeout(limit, resolver.addresses(host))
            .await
            .unwrap_or_else(|_| Err(ResolveError::Timeout { host: host.clone(), limit }))?,
    };
    let opening = async {
        let transport = match &target.endpoint {
            Endpoint::Socket(path) => Transport::Unix(
                UnixStream::connect(path)
                    .await
                    .map_err(|cause| ConnectError::Refused { address: path.display().to_string(), cause })?,
            ),
            Endpoint::Address(_, port) | Endpoint::Name(_, port) => {
                dial(&addresses, *port, clock, clock.now().until(deadline)).await?
            }
        };
        let mut connection = UpstreamConnection::new(transport, target.clone(), permit);
        if let Some(tls) = &target.tls {
            start_tls(&mut connection, tls, limit).await?;
        }
        Ok(connection)
    };
    let opened = tokio::time::timeout(clock.now().until(deadline), opening).await;
    opened.unwrap_or(Err(ConnectError::Timeout(limit)))
}

/// Tries each address with its share of what is left of `limit`, so that one black hole does not
/// take all of it.
async fn dial(addresses: &[IpAddr], port: u16, clock: &Clock, limit: Duration) -> Result<Transport, ConnectError> {
    let deadline = clock.now().after(limit);
    let mut last = ConnectError::Timeout(limit);
    for (index, &address) in addresses.iter().enumerate() {
        let address = SocketAddr::new(address, port);
        let left = clock.now().until(deadline);
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        last = match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => match prepare(&stream) {
                Ok(()) => return Ok(Transport::Tcp(stream)),
                Err(cause) => ConnectError::Refused { address: address.to_string(), cause },
            },
            Ok(Err(cause)) => ConnectError::Refused { address: address.to_string(), cause },
            Err(_) => ConnectError::Timeout(limit),
        };
    }
    Err(last)
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    socket
        .set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL))?;
    socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT))
}

async fn start_tls(connection: &mut UpstreamConnection, tls: &TargetTls, limit: Duration) -> Result<(), ConnectError> {
    if tls.start_tls {
        let request = build::extended_request(START_TLS_MESSAGE_ID, oid::START_TLS);
        let (answer, peek) = connection.exchange(&request, START_TLS_MESSAGE_ID, limit).await?;
        let refused = match result::parse(&answer, &peek) {
            Ok(result) if result.code == code::SUCCESS => None,
            Ok(result) => Some((result.code, String::from_utf8_lossy(result.diagnostic).into_owned())),
            Err(error) => Some((code::PROTOCOL_ERROR, error.to_string())),
        };
        if let Some((code, diagnostic)) = refused {
            return Err(ConnectError::StartTlsRefused { code, diagnostic });
        }
        if !connection.unread.is_empty() {
            // Octets that came in clear text behind the answer would be taken for encrypted ones.
            return Err(ConnectError::Tls(io::Error::other("clear text after the StartTLS answer")));
        }
    }
    let Transport::Tcp(stream) = std::mem::replace(&mut connection.transport, Transport::Taken) else {
        return Err(ConnectError::Tls(io::Error::other("TLS needs a TCP connection")));
    };
    let stream = TlsConnector::from(tls.config.clone())
        .connect(tls.server_name.clone(), stream)
        .await
        .map_err(ConnectError::Tls)?;
    connection.transport = Transport::ClientTls(Box::new(stream));
    Ok(())
}
