//! Copies octets between a client and an upstream, with TLS on either side: what a proxy costs that
//! understands nothing.

use std::net::SocketAddr;

use rustls::pki_types::{DnsName, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Where to, and with TLS where.
#[derive(Clone)]
pub struct Forward {
    /// The server behind.
    pub upstream: SocketAddr,
    /// TLS towards the client.
    pub accept: Option<TlsAcceptor>,
    /// TLS towards the server.
    pub connect: Option<TlsConnector>,
}

impl Forward {
    /// Forwards one connection until either side ends it.
    pub async fn serve(self, client: TcpStream) {
        let Some(client) = self.client_side(client).await else { return };
        let Some(upstream) = self.upstream_side().await else { return };
        pump(client, upstream).await;
    }

    async fn client_side(&self, socket: TcpStream) -> Option<Box<dyn Stream>> {
        match &self.accept {
            None => Some(Box::new(socket)),
            Some(tls) => Some(Box::new(tls.accept(socket).await.ok()?)),
        }
    }

    async fn upstream_side(&self) -> Option<Box<dyn Stream>> {
        let socket = TcpStream::connect(self.upstream).await.ok()?;
        socket.set_nodelay(true).ok()?;
        match &self.connect {
            None => Some(Box::new(socket)),
            Some(tls) => {
                let name = ServerName::DnsName(DnsName::try_from("localhost").ok()?);
                Some(Box::new(tls.connect(name, socket).await.ok()?))
            }
        }
    }
}

/// Either kind of connection.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

async fn pump(mut client: Box<dyn Stream>, mut upstream: Box<dyn Stream>) {
    // An end or a reset of either side ends both, and there is nobody to tell.
    copy_bidirectional(&mut client, &mut upstream).await.ok();
}
