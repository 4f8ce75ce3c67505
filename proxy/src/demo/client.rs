//! A small LDAP client on one connection, one request at a time: the stale device of the demo, and
//! the tests' hands.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::codec::control::Controls;
use crate::codec::frame::{self, FrameError, Peek};
use crate::codec::{build, element, op, result};

/// The longest answer that is read.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// Why there is no answer. The connection is of no use any more.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// The server wrote something that is not LDAP.
    #[error("the server wrote something that is not LDAP")]
    Frame(#[from] FrameError),
    /// The server wrote another message than the answer.
    #[error("the server wrote another message than the answer")]
    Unexpected,
}

/// A connection.
#[derive(Debug)]
pub struct Client<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
    last_id: u32,
}

/// A message that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The whole message.
    pub frame: Vec<u8>,
    /// Where its parts are.
    pub peek: Peek,
}

impl Received {
    /// The result code and the diagnostic message, if it is a response that has them.
    #[must_use]
    pub fn result(&self) -> Option<(u32, String)> {
        let result = result::parse(&self.frame, &self.peek).ok()?;
        Some((result.code, String::from_utf8_lossy(result.diagnostic).into_owned()))
    }

    /// The controls of a response with a result.
    #[must_use]
    pub fn controls(&self) -> Controls<'_> {
        result::parse(&self.frame, &self.peek).map(|result| result.controls).unwrap_or_default()
    }

    /// The octets of the operation, tag included.
    #[must_use]
    pub fn operation(&self) -> &[u8] {
        &self.frame[self.peek.op_offset..]
    }
}

impl Client<TcpStream> {
    /// Connects.
    ///
    /// # Errors
    /// [`ClientError::Io`].
    pub async fn connect(address: SocketAddr) -> Result<Self, ClientError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// A client on a stream that is connected already.
    pub fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), last_id: 0 }
    }

    /// The stream, for TLS to be started on. Octets read beyond the last answer are lost.
    pub fn into_stream(self) -> S {
        self.stream
    }

    /// A message ID that was not used yet.
    pub fn next_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }

    /// Writes octets as they are.
    ///
    /// # Errors
    /// [`ClientError::Io`].
    pub async fn send(&mut self, octets: &[u8]) -> Result<(), ClientError> {
        self.stream.write_all(octets).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// Reads the next message, whatever it is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn receive(&mut self) -> Result<Received, ClientError> {
        loop {
            if let Some(peek) = frame::peek(&self.buffer, MAX_MESSAGE)?
                && self.buffer.len() >= peek.total
            {
                let rest = self.buffer.split_off(peek.total);
                return Ok(Received { frame: std::mem::replace(&mut self.buffer, rest), peek });
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(ClientError::Closed);
            }
        }
    }

    /// A simple bind; the result code and the diagnostic message.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn bind(&mut self, name: &str, password: &str) -> Result<(u32, String), ClientError> {
        let id = self.next_id();
        self.send(&build::simple_bind(id, name, password.as_bytes())).await?;
        let answer = self.receive().await?;
        if answer.peek.message_id != id || answer.peek.op != op::BIND_RESPONSE {
            return Err(ClientError::Unexpected);
        }
        answer.result().ok_or(ClientError::Unexpected)
    }

    /// An extended request; its response.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn extended(&mut self, oid: &[u8], value: Option<&[u8]>) -> Result<Received, ClientError> {
        let id = self.next_id();
        let mut body = Vec::new();
        element::put_header(&mut body, 0x80, oid.len());
        body.extend_from_slice(oid);
        if let Some(value) = value {
            element::put_header(&mut body, 0x81, value.len());
            body.extend_from_slice(value);
        }
        let mut operation = Vec::new();
        element::put_header(&mut operation, op::EXTENDED_REQUEST, body.len());
        operation.extend_from_slice(&body);
        self.send(&crate::codec::edit::assemble(id, &operation, std::iter::empty())).await?;
        let answer = self.receive().await?;
        if answer.peek.message_id == id { Ok(answer) } else { Err(ClientError::Unexpected) }
    }

    /// "Who am I?" (RFC 4532): the authorization identity, empty when anonymous.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn who_am_i(&mut self) -> Result<String, ClientError> {
        let answer = self.extended(crate::codec::oid::WHO_AM_I, None).await?;
        let mut operation = answer.operation();
        let mut body = element::take(&mut operation).map_err(|_| ClientError::Unexpected)?.body;
        while let Ok(field) = element::take(&mut body) {
            if field.tag == 0x8B {
                return Ok(String::from_utf8_lossy(field.body).into_owned());
            }
        }
        Err(ClientError::Unexpected)
    }

    /// A search, told as an encoded request; everything that comes for it, the done message last.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn search(&mut self, request: &[u8]) -> Result<Vec<Received>, ClientError> {
        self.send(request).await?;
        let mut all = Vec::new();
        loop {
            let message = self.receive().await?;
            let done = message.peek.op == op::SEARCH_RESULT_DONE;
            all.push(message);
            if done {
                return Ok(all);
            }
        }
    }

    /// Takes its leave and closes.
    ///
    /// # Errors
    /// [`ClientError::Io`].
    pub async fn unbind(mut self) -> Result<(), ClientError> {
        let id = self.next_id();
        self.send(&build::unbind(id)).await?;
        self.stream.shutdown().await?;
        Ok(())
    }
}
