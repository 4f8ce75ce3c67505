//! One byte stream to a client or a directory, whatever carries it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connected stream.
///
/// TLS streams are boxed, so that a clear-text session does not pay for the size of theirs.
#[derive(Debug)]
pub enum Transport {
    /// Clear-text TCP.
    Tcp(TcpStream),
    /// A unix socket (`ldapi`).
    Unix(UnixStream),
    /// TLS where the proxy is the server.
    ServerTls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
    /// TLS where the proxy is the client.
    ClientTls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    /// Taken out for a moment, while StartTLS turns one kind into another.
    Taken,
}

/// What a look at a socket finds without consuming anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// Nothing to read: open and quiet.
    Quiet,
    /// There are octets to read.
    Readable,
    /// The peer has closed, or the socket is broken.
    Closed,
}

impl Transport {
    /// Whether octets on this stream are encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::ServerTls(_) | Self::ClientTls(_))
    }

    /// Looks at the socket itself, past the reactor's cached readiness: a server may have closed
    /// an idle connection in the very moment in which it is about to be used again.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        let mut octet = [0_u8; 1];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let received = match self {
            Self::Tcp(stream) => rustix::net::recv(stream, &mut octet, flags),
            Self::Unix(stream) => rustix::net::recv(stream, &mut octet, flags),
            Self::ServerTls(stream) => rustix::net::recv(stream.get_ref().0, &mut octet, flags),
            Self::ClientTls(stream) => rustix::net::recv(stream.get_ref().0, &mut octet, flags),
            Self::Taken => return Liveness::Closed,
        };
        match received {
            Ok((0, _)) => Liveness::Closed,
            Ok(_) => Liveness::Readable,
            Err(rustix::io::Errno::AGAIN) => Liveness::Quiet,
            Err(_) => Liveness::Closed,
        }
    }

    /// Reads into `buffer`; `Ready(Ok(0))` is the end of the stream.
    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        match Pin::new(self).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(buffer.filled().len())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Writes as much of `octets` as the stream takes now; what is left is the caller's to keep.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>, mut octets: &[u8]) -> Poll<io::Result<usize>> {
        let whole = octets.len();
        while !octets.is_empty() {
            match Pin::new(&mut *self).poll_write(cx, octets) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => octets = &octets[written..],
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if octets.len() == whole => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(whole - octets.len()))
    }
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Transport::Tcp($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Transport::Unix($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Transport::ServerTls($stream) => {
                let $stream = Pin::new(&mut **$stream);
                $call
            }
            Transport::ClientTls($stream) => {
                let $stream = Pin::new(&mut **$stream);
                $call
            }
            Transport::Taken => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, stream => stream.poll_write(cx, octets))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_shutdown(cx))
    }
}
