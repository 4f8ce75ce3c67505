//! From a connected socket to a connection of two members: TLS, then who each of them is.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::metrics::cluster::{ClusterRejection, MessageDirection};
use crate::tls::{PeerError, peer_server_name};

use super::dial_plan::Failure;
use super::event::Direction;
use super::hello::negotiate;
use super::link::{Frames, Stream, kind};
use super::mesh::Mesh;
use super::message::{Hello, Message, Refusal};
use super::wire::{self, DecodeError, EncodeError};

/// An idle member is pinged by the protocol; this finds those that vanished without a word while
/// nothing is said, and gives up what they never acknowledge.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const UNACKNOWLEDGED: Duration = Duration::from_secs(15);

/// Why two processes do not talk to each other. The connection is closed.
#[derive(Debug, Error)]
pub(super) enum GreetingError {
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("no greeting within limits.handshakeTimeoutSeconds")]
    Timeout,
    #[error("{0}; check cluster.certificateFile and cluster.caFile of both")]
    Tls(PeerError),
    #[error("the connection was lost: {0}")]
    Lost(#[from] io::Error),
    #[error("the connection was closed before a greeting")]
    Closed,
    #[error("what it says is no greeting: {0}")]
    Malformed(#[from] DecodeError),
    #[error("it began with something else than a greeting")]
    NoGreeting,
    #[error("our greeting cannot be written: {0}")]
    Unwritable(#[from] EncodeError),
    #[error("refused: {0:?}")]
    Refused(Refusal),
    #[error("it is connected already")]
    Alias,
}

impl GreetingError {
    /// What an address is good for that led here.
    pub(super) fn failure(&self) -> Failure {
        match self {
            Self::Tls(_)
            | Self::Malformed(_)
            | Self::NoGreeting
            | Self::Refused(Refusal::OtherCluster | Refusal::Protocol) => Failure::Stranger,
            Self::Connect(_)
            | Self::Timeout
            | Self::Lost(_)
            | Self::Closed
            | Self::Unwritable(_)
            | Self::Refused(Refusal::TooMany | Refusal::Other(_)) => Failure::Unreachable,
            Self::Refused(Refusal::Myself) => Failure::Myself,
            Self::Alias => Failure::Alias,
        }
    }

    /// What it is counted as; `None` when nobody did anything that is not to be done.
    pub(super) fn rejection(&self) -> Option<ClusterRejection> {
        match self {
            Self::Tls(PeerError::OtherIdentity) => Some(ClusterRejection::Identity),
            Self::Tls(_) => Some(ClusterRejection::Auth),
            Self::Malformed(_) | Self::NoGreeting => Some(ClusterRejection::Malformed),
            Self::Refused(Refusal::OtherCluster) => Some(ClusterRejection::Cluster),
            Self::Refused(Refusal::Protocol) => Some(ClusterRejection::Version),
            Self::Refused(Refusal::TooMany) => Some(ClusterRejection::Limit),
            Self::Timeout => Some(ClusterRejection::Timeout),
            Self::Connect(_)
            | Self::Lost(_)
            | Self::Closed
            | Self::Unwritable(_)
            | Self::Refused(Refusal::Myself | Refusal::Other(_))
            | Self::Alias => None,
        }
    }
}

/// A stream with a member at its other end, and what has come of its frames behind the greeting.
pub(super) struct Greeted<S> {
    pub(super) stream: S,
    pub(super) hello: Hello,
    pub(super) unread: Vec<u8>,
}

/// Opens a connection, and says who we are first.
pub(super) async fn dial(mesh: &Rc<Mesh>, address: SocketAddr) -> Result<Greeted<impl Stream>, GreetingError> {
    let stream = TcpStream::connect(address).await.map_err(GreetingError::Connect)?;
    prepare(&stream).map_err(GreetingError::Connect)?;
    let connector = tokio_rustls::TlsConnector::from(mesh.tls().client.clone());
    let mut stream = connector.connect(peer_server_name(), stream).await.map_err(tls_error)?;
    let mine = mesh.hello();
    say(mesh, &mut stream, &Message::Hello(mine.clone())).await?;
    let (answer, unread) = hear(mesh, &mut stream).await?;
    match answer {
        Message::Hello(hello) => {
            negotiate(&mine, &hello).map_err(GreetingError::Refused)?;
            if mesh.is_linked(hello.node, Direction::Dialled) {
                return Err(GreetingError::Alias);
            }
            Ok(Greeted { stream, hello, unread })
        }
        Message::Refused(refusal) => Err(GreetingError::Refused(refusal)),
        _ => Err(GreetingError::NoGreeting),
    }
}

/// Takes a connection that another process opened, and says who we are when it has.
pub(super) async fn answer(mesh: &Rc<Mesh>, stream: TcpStream) -> Result<Greeted<impl Stream>, GreetingError> {
    prepare(&stream)?;
    let acceptor = tokio_rustls::TlsAcceptor::from(mesh.tls().server.clone());
    let mut stream = acceptor.accept(stream).await.map_err(tls_error)?;
    let (greeting, unread) = hear(mesh, &mut stream).await?;
    let Message::Hello(hello) = greeting else { return Err(GreetingError::NoGreeting) };
    let mine = mesh.hello();
    let refusal = negotiate(&mine, &hello).err().or_else(|| mesh.has_no_room().then_some(Refusal::TooMany));
    match refusal {
        None => {
            say(mesh, &mut stream, &Message::Hello(mine)).await?;
            Ok(Greeted { stream, hello, unread })
        }
        Some(refusal) => {
            say(mesh, &mut stream, &Message::Refused(refusal)).await?;
            // What it heard is the same whether it hears the end of the stream or not.
            let _ = stream.shutdown().await;
            Err(GreetingError::Refused(refusal))
        }
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket
        .set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL))?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))
}

async fn say(mesh: &Mesh, stream: &mut (impl AsyncWrite + Unpin), message: &Message) -> Result<(), GreetingError> {
    let mut octets = Vec::new();
    wire::encode(message, &mut octets)?;
    mesh.metrics().message(MessageDirection::Out, kind(message), octets.len());
    stream.write_all(&octets).await?;
    stream.flush().await?;
    Ok(())
}

async fn hear(mesh: &Mesh, stream: &mut (impl AsyncRead + Unpin)) -> Result<(Message, Vec<u8>), GreetingError> {
    let mut frames = Frames::default();
    loop {
        if let Some((message, octets)) = frames.next()? {
            mesh.metrics().message(MessageDirection::In, kind(&message), octets);
            return Ok((message, frames.into_rest()));
        }
        // With TLS 1.3 whoever dialled hears only now that its certificate was refused.
        if frames.fill(stream).await.map_err(tls_error)? == 0 {
            return Err(GreetingError::Closed);
        }
    }
}

fn tls_error(error: io::Error) -> GreetingError {
    match PeerError::of(&error) {
        PeerError::Connection(_) => GreetingError::Lost(error),
        refused => GreetingError::Tls(refused),
    }
}
