//! A raw LDAP client: sends any octets, returns whole messages.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bindproxy::codec::{element, frame, op, result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::certificates::Identity;
use crate::request;

/// How long an answer is waited for. Far above what a busy machine needs; only a failing test
/// waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longer than any message of the suites.
const MESSAGE_LIMIT: usize = 64 << 20;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// Whether and when a connection becomes TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Never.
    Clear,
    /// From the first octet.
    Ldaps,
    /// By the StartTLS operation, right after connecting.
    StartTls,
}

/// A server as a client is told of it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where it listens.
    pub address: Address,
    /// How it is spoken to.
    pub security: Security,
    /// The authority that signed the server's certificate.
    pub ca_file: Option<PathBuf>,
    /// The name that the server's certificate must carry.
    pub server_name: String,
    /// The client's own certificate.
    pub identity: Option<Identity>,
}

impl Endpoint {
    /// Clear text over TCP.
    #[must_use]
    pub fn tcp(address: SocketAddr) -> Self {
        Self {
            address: Address::Tcp(address),
            security: Security::Clear,
            ca_file: None,
            server_name: "localhost".to_owned(),
            identity: None,
        }
    }

    /// Clear text over a unix socket.
    #[must_use]
    pub fn unix(path: &Path) -> Self {
        Self { address: Address::Unix(path.to_owned()), ..Self::tcp(SocketAddr::from(([0, 0, 0, 0], 0))) }
    }

    /// The same place, spoken to with TLS.
    #[must_use]
    pub fn secured(mut self, security: Security, ca_file: &Path) -> Self {
        self.security = security;
        self.ca_file = Some(ca_file.to_owned());
        self
    }

    /// The TCP address.
    #[must_use]
    pub fn socket_address(&self) -> SocketAddr {
        match &self.address {
            Address::Tcp(address) => *address,
            Address::Unix(path) => panic!("{} is not a TCP address", path.display()),
        }
    }

    /// `ldap://`, `ldaps://` or `ldapi://` for command line clients. The host is an address, because
    /// libldap checks a certificate for `localhost` against the machine's full name.
    #[must_use]
    pub fn url(&self) -> String {
        match (&self.address, self.security) {
            (Address::Unix(path), _) => format!("ldapi://{}", path.display().to_string().replace('/', "%2F")),
            (Address::Tcp(address), Security::Ldaps) => format!("ldaps://{address}"),
            (Address::Tcp(address), _) => format!("ldap://{address}"),
        }
    }

    /// Connects, with TLS where it is asked for; panics when that fails.
    #[must_use]
    pub fn connect(&self) -> Connection {
        self.try_connect().unwrap_or_else(|error| panic!("connect to {:?}: {error}", self.address))
    }

    /// Connects, with TLS where it is asked for.
    ///
    /// # Errors
    /// Whatever connecting, StartTLS or the handshake says.
    pub fn try_connect(&self) -> io::Result<Connection> {
        let socket = Socket::open(&self.address)?;
        match self.security {
            Security::Clear => Ok(Connection::over(Stream::Clear(socket))),
            Security::Ldaps => self.handshake(socket),
            Security::StartTls => {
                let mut clear = Connection::over(Stream::Clear(socket));
                clear.send(&request::message(1, &request::extended(request::START_TLS, None)));
                let answer = clear.try_frame()?.ok_or(io::ErrorKind::UnexpectedEof)?;
                if answer.code() != 0 {
                    return Err(io::Error::other(format!("StartTLS was answered {answer:?}")));
                }
                clear.upgrade(self)
            }
        }
    }

    fn handshake(&self, socket: Socket) -> io::Result<Connection> {
        let name = ServerName::try_from(self.server_name.clone()).map_err(io::Error::other)?;
        let session = ClientConnection::new(self.tls(), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Connection::over(Stream::Tls(Box::new(stream))))
    }

    fn tls(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let ca_file = self.ca_file.as_ref().expect("an endpoint with TLS has an authority");
        for certificate in CertificateDer::pem_file_iter(ca_file).expect("read the authority's file") {
            roots.add(certificate.expect("PEM")).expect("a usable authority");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has the default versions")
            .with_root_certificates(roots);
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = CertificateDer::pem_file_iter(&identity.certificate_file)
                    .expect("read the client's certificate")
                    .collect::<Result<Vec<_>, _>>()
                    .expect("PEM");
                let key = PrivateKeyDer::from_pem_file(&identity.key_file).expect("read the client's key");
                builder.with_client_auth_cert(chain, key).expect("a certificate that matches its key")
            }
        };
        Arc::new(config)
    }
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn open(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, PATIENCE)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Ok(Self::Tcp(stream))
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Ok(Self::Unix(stream))
            }
        }
    }

    fn set_read_timeout(&self, limit: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(limit)),
            Self::Unix(stream) => stream.set_read_timeout(Some(limit)),
        }
    }

    fn shutdown(&self, how: std::net::Shutdown) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(how),
            Self::Unix(stream) => stream.shutdown(how),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(buffer),
            Self::Unix(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
enum Stream {
    Clear(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Stream {
    fn socket(&self) -> &Socket {
        match self {
            Self::Clear(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

/// One client connection.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    pending: Vec<u8>,
    last_id: u32,
}

impl Connection {
    fn over(stream: Stream) -> Self {
        Self { stream, pending: Vec::new(), last_id: 0 }
    }

    /// The next message ID: 1, 2, 3 ...
    pub fn next_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }

    /// Runs the TLS handshake on a connection whose server agreed to StartTLS.
    ///
    /// # Errors
    /// Whatever the handshake says.
    pub fn upgrade(self, endpoint: &Endpoint) -> io::Result<Self> {
        let Stream::Clear(socket) = self.stream else { panic!("the connection has TLS already") };
        assert!(self.pending.is_empty(), "octets in clear text after the answer to StartTLS: {:02x?}", self.pending);
        endpoint.handshake(socket)
    }

    /// Writes octets as they are; panics when the connection is gone.
    pub fn send(&mut self, octets: &[u8]) {
        self.try_send(octets).expect("write to the server");
    }

    /// Writes octets as they are.
    ///
    /// # Errors
    /// Whatever the socket says.
    pub fn try_send(&mut self, octets: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Clear(socket) => socket.write_all(octets),
            Stream::Tls(stream) => {
                stream.write_all(octets)?;
                stream.flush()
            }
        }
    }

    /// How long reads wait from now on.
    pub fn set_patience(&self, limit: Duration) {
        self.stream.socket().set_read_timeout(limit).expect("set a read timeout");
    }

    /// Sends FIN and keeps reading.
    pub fn half_close(&self) {
        self.stream.socket().shutdown(std::net::Shutdown::Write).expect("shut the sending side down");
    }

    /// Makes the end of this connection a reset: what the server writes afterwards meets a closed
    /// port.
    pub fn reset(self) {
        if let Socket::Tcp(stream) = self.stream.socket() {
            let socket = socket2::SockRef::from(stream);
            socket.set_linger(Some(Duration::ZERO)).expect("set SO_LINGER");
        }
    }

    /// The next message; panics when the connection ends or nothing comes in time.
    pub fn frame(&mut self) -> Frame {
        match self.try_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => panic!("the server closed the connection where an answer was due"),
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// The next message; `None` when the server closed the connection in an orderly way.
    ///
    /// # Errors
    /// A reset or a time-out.
    pub fn try_frame(&mut self) -> io::Result<Option<Frame>> {
        loop {
            let peek = frame::peek(&self.pending, MESSAGE_LIMIT).map_err(io::Error::other)?;
            if let Some(peek) = peek
                && self.pending.len() >= peek.total
            {
                let rest = self.pending.split_off(peek.total);
                let octets = std::mem::replace(&mut self.pending, rest);
                return Ok(Some(Frame { octets, peek }));
            }
            let mut chunk = [0; 64 << 10];
            let read = match &mut self.stream {
                Stream::Clear(socket) => socket.read(&mut chunk),
                Stream::Tls(stream) => stream.read(&mut chunk),
            };
            match read {
                Ok(0) if self.pending.is_empty() => return Ok(None),
                Ok(0) => return Err(io::Error::other("the connection ended inside a message")),
                Ok(length) => self.pending.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A peer that closes TCP without close_notify has closed all the same.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && self.pending.is_empty() => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Every message until the server closes the connection, by FIN or by reset.
    pub fn frames_to_end(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            match self.try_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return frames,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return frames,
                Err(error) => panic!("the server neither closed the connection nor wrote: {error}"),
            }
        }
    }

    /// Sends `operation` under the next message ID and returns the messages up to and with its
    /// final answer. Panics when a message with another ID comes.
    pub fn call(&mut self, operation: &[u8]) -> Vec<Frame> {
        self.call_with(operation, &[])
    }

    /// [`Connection::call`] with controls.
    pub fn call_with(&mut self, operation: &[u8], controls: &[Vec<u8>]) -> Vec<Frame> {
        let id = self.next_id();
        self.send(&request::message_with(id, operation, controls));
        let mut frames = Vec::new();
        loop {
            let frame = self.frame();
            assert_eq!(frame.message_id(), id, "an answer to something else: {frame:?}");
            let last = frame.is_final();
            frames.push(frame);
            if last {
                return frames;
            }
        }
    }

    /// [`Connection::call`] for operations with one answer.
    pub fn ask(&mut self, operation: &[u8]) -> Frame {
        self.ask_with(operation, &[])
    }

    /// [`Connection::ask`] with controls.
    pub fn ask_with(&mut self, operation: &[u8], controls: &[Vec<u8>]) -> Frame {
        let mut frames = self.call_with(operation, controls);
        assert_eq!(frames.len(), 1, "one answer was expected: {frames:?}");
        frames.remove(0)
    }

    /// A simple bind; its result code.
    pub fn bind(&mut self, name: &str, password: impl AsRef<[u8]>) -> u32 {
        self.ask(&request::bind(name, password)).code()
    }

    /// The identity that the server says the connection has (RFC 4532), `""` when anonymous.
    pub fn who_am_i(&mut self) -> String {
        let answer = self.ask(&request::extended(request::WHO_AM_I, None));
        assert_eq!(answer.code(), 0, "{answer:?}");
        answer.extended_value().map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    }
}

/// One whole message.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// The message as it came.
    pub octets: Vec<u8>,
    peek: frame::Peek,
}

impl Frame {
    /// The message ID.
    #[must_use]
    pub fn message_id(&self) -> u32 {
        self.peek.message_id
    }

    /// The tag of the operation.
    #[must_use]
    pub fn op(&self) -> u8 {
        self.peek.op
    }

    /// Whether no further message follows for the same request.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self.op(), op::SEARCH_RESULT_ENTRY | op::SEARCH_RESULT_REFERENCE | op::INTERMEDIATE_RESPONSE)
    }

    /// The LDAPResult; panics for a message that has none.
    #[must_use]
    pub fn result(&self) -> result::LdapResult<'_> {
        result::parse(&self.octets, &self.peek).unwrap_or_else(|error| panic!("{self:?} has no result: {error}"))
    }

    /// The result code; panics for a message that has none.
    #[must_use]
    pub fn code(&self) -> u32 {
        self.result().code
    }

    /// The diagnostic message.
    #[must_use]
    pub fn diagnostic(&self) -> String {
        String::from_utf8_lossy(self.result().diagnostic).into_owned()
    }

    /// The value of the response control `oid`: `None` when it is absent, empty without a value.
    #[must_use]
    pub fn control(&self, oid: &str) -> Option<Vec<u8>> {
        let result = self.result();
        result.controls.find(oid.as_bytes()).map(|control| control.value.unwrap_or_default().to_vec())
    }

    /// The octets after the message ID, for comparing answers to requests with different IDs.
    #[must_use]
    pub fn after_message_id(&self) -> &[u8] {
        &self.octets[self.peek.op_offset..]
    }

    /// The responseValue of an ExtendedResponse.
    #[must_use]
    pub fn extended_value(&self) -> Option<&[u8]> {
        let mut rest = &self.octets[self.peek.op_offset..];
        let mut body = element::expect(&mut rest, op::EXTENDED_RESPONSE).ok()?.body;
        while !body.is_empty() {
            let component = element::take(&mut body).ok()?;
            if component.tag == 0x8B {
                return Some(component.body);
            }
        }
        None
    }

    /// The values of `attribute` in a SearchResultEntry.
    #[must_use]
    pub fn values(&self, attribute: &str) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let mut rest = &self.octets[self.peek.op_offset..];
        let Ok(entry) = element::expect(&mut rest, op::SEARCH_RESULT_ENTRY) else { return found };
        let mut body = entry.body;
        element::expect(&mut body, 0x04).expect("the entry's name");
        let mut attributes = element::expect(&mut body, 0x30).expect("the entry's attributes").body;
        while !attributes.is_empty() {
            let mut one = element::expect(&mut attributes, 0x30).expect("an attribute").body;
            let name = element::expect(&mut one, 0x04).expect("the attribute's name").body;
            let mut values = element::expect(&mut one, 0x31).expect("the attribute's values").body;
            while !values.is_empty() {
                let value = element::expect(&mut values, 0x04).expect("a value").body;
                if name.eq_ignore_ascii_case(attribute.as_bytes()) {
                    found.push(value.to_vec());
                }
            }
        }
        found
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "message {} operation {:#04x}", self.peek.message_id, self.peek.op)?;
        if let Ok(result) = result::parse(&self.octets, &self.peek) {
            write!(f, " result {} {:?}", result.code, String::from_utf8_lossy(result.diagnostic))?;
            for control in result.controls.iter() {
                write!(f, " [{} {:02x?}]", String::from_utf8_lossy(control.oid), control.value)?;
            }
        }
        let shown = &self.octets[..self.octets.len().min(200)];
        write!(f, " ({} octets: {})", self.octets.len(), shown.escape_ascii())
    }
}
