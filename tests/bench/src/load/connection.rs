//! One LDAP connection of the generator.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, anyhow, bail};
use rustls::pki_types::{DnsName, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::Shared;
use crate::wire;

/// Either kind of transport.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A response as far as it is looked at.
pub(super) struct Response {
    pub(super) id: u32,
    pub(super) tag: u8,
    /// `None` in an entry or a reference.
    pub(super) code: Option<u8>,
}

/// An open connection and what was read of it ahead.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Connection {
    /// Connects for the worker of this number; `buffer_bytes` is what one read may bring.
    pub(super) async fn open(shared: &Shared, worker: usize, buffer_bytes: usize) -> Result<Self> {
        let socket = connect(shared.plan.addr, shared.source(worker)).await?;
        let stream: Box<dyn Stream> = match &shared.tls {
            None => Box::new(socket),
            Some(tls) => {
                let name = ServerName::DnsName(DnsName::try_from("localhost")?);
                Box::new(tls.connect(name, socket).await.context("handshake")?)
            }
        };
        Ok(Self { stream, buffer: vec![0; buffer_bytes], start: 0, end: 0 })
    }

    pub(super) async fn write(&mut self, octets: &[u8]) -> Result<()> {
        self.stream.write_all(octets).await.context("write")?;
        self.stream.flush().await.context("write")
    }

    /// A bind and its result code.
    pub(super) async fn bind(&mut self, id: u32, name: &str, password: &str) -> Result<u8> {
        self.write(&wire::message(id, &wire::simple_bind(name, password))).await?;
        let response = loop {
            match self.buffered()? {
                Some(response) => break response,
                None => self.read_more().await?,
            }
        };
        if response.id != id {
            // Notice of Disconnection, or an answer to nothing.
            bail!("unexpected message with id {} and tag {:#x}", response.id, response.tag);
        }
        response.code.context("an entry answers a bind")
    }

    /// The next response that was read already.
    pub(super) fn buffered(&mut self) -> Result<Option<Response>> {
        let garbage = |wire::Garbage| anyhow!("garbage");
        let octets = &self.buffer[self.start..self.end];
        let frame = match wire::frame_length(octets).map_err(garbage)? {
            Some(length) if length <= octets.len() => &octets[..length],
            _ => return Ok(None),
        };
        let (id, operation) = wire::id_and_operation(frame).map_err(garbage)?;
        let tag = frame[operation];
        let code = match tag {
            wire::SEARCH_ENTRY | wire::SEARCH_REFERENCE => None,
            _ => Some(wire::result_code(frame, operation).map_err(garbage)?),
        };
        self.start += frame.len();
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        Ok(Some(Response { id, tag, code }))
    }

    /// Waits for more octets.
    pub(super) async fn read_more(&mut self) -> Result<()> {
        if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.end == self.buffer.len() {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
        }
        match self.stream.read(&mut self.buffer[self.end..]).await.context("read")? {
            0 => bail!("closed by the server"),
            count => self.end += count,
        }
        Ok(())
    }
}

async fn connect(server: SocketAddr, source: Option<IpAddr>) -> Result<tokio::net::TcpStream> {
    let socket = if server.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0)).with_context(|| format!("source address {source}"))?;
    }
    let socket = socket.connect(server).await.context("connect")?;
    socket.set_nodelay(true)?;
    Ok(socket)
}
