//! Somebody at the test's end of a connection to a member, with credentials of all kinds: what does
//! a member say to whom?

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bindproxy::clock::Tick;
use bindproxy::cluster::message::{Hello, KeyId, KeyIds, Message, NodeId, OLDEST_PROTOCOL, PROTOCOL, Standing};
use bindproxy::cluster::wire;
use bindproxy::tls::{self, Identity, authorities, certificates, private_key};
use parking_lot::Mutex;
use rustls::{ClientConnection, ServerConnection, StreamOwned};

use crate::certificates;

/// How long the other end may be silent before it is taken to have said everything.
const SILENCE: Duration = Duration::from_millis(700);
/// How soon the listening thread sees that it is to end.
const PAUSE: Duration = Duration::from_millis(20);

/// What somebody shows and says.
#[derive(Clone)]
pub struct Impostor {
    tls: tls::PeerTls,
    /// What it says first; its keys, when there are none yet, become those of the other side.
    pub hello: Hello,
    /// Works with the other side's hashing keys, whatever `hello` says.
    pub adopts_keys: bool,
}

/// What came of one connection.
#[derive(Debug, Default)]
pub struct Heard {
    /// Messages in their order.
    pub messages: Vec<Message>,
    /// Their octets as they were before TLS.
    pub octets: Vec<u8>,
    /// How it ended; `None` when it was still open.
    pub end: Option<String>,
}

impl Heard {
    /// The other side's greeting.
    #[must_use]
    pub fn hello(&self) -> Option<&Hello> {
        self.messages.iter().find_map(|message| if let Message::Hello(hello) = message { Some(hello) } else { None })
    }

    /// Messages that tell what somebody's password is not.
    #[must_use]
    pub fn knowledge(&self) -> usize {
        self.messages
            .iter()
            .filter(|message| {
                matches!(
                    message,
                    Message::Facts { .. }
                        | Message::SnapshotPart { .. }
                        | Message::Leaves { .. }
                        | Message::LeafSums { .. }
                        | Message::Branches { .. }
                        | Message::Ask { .. }
                        | Message::Query { .. }
                )
            })
            .count()
    }
}

impl Impostor {
    /// Shows `identity`, believes the authority of `ca_file` when it carries the URI of `believed`, and
    /// says that it belongs to `cluster`.
    #[must_use]
    pub fn new(identity: &certificates::Identity, ca_file: &Path, believed: &str, cluster: &str) -> Self {
        let read = |path: &Path| std::fs::read(path).expect("read a PEM file");
        let shown = Identity::new(
            certificates(&read(&identity.certificate_file)).expect("a certificate"),
            private_key(&read(&identity.key_file)).expect("a key"),
        )
        .expect("a certificate and its key");
        let roots = authorities(certificates(&read(ca_file)).expect("an authority")).expect("a usable authority");
        let node = NodeId(u64::from_le_bytes(super::credentials::random()));
        Self {
            tls: tls::peer_tls(shown, roots, believed).expect("TLS for a member"),
            hello: Hello {
                oldest: OLDEST_PROTOCOL,
                newest: PROTOCOL,
                features: 0,
                cluster: cluster.to_owned(),
                node,
                name: "impostor".to_owned(),
                keys: KeyIds { current: KeyId(1), previous: None },
                now: Tick(0),
                standing: Standing::Joined,
                entries: 0,
                port: 9,
            },
            adopts_keys: false,
        }
    }

    /// Uses the hashing keys of whoever is at the other end.
    #[must_use]
    pub fn with_the_right_keys(mut self) -> Self {
        self.adopts_keys = true;
        self
    }

    /// Connects to a member, greets, says `more`, and listens until it is silent.
    #[must_use]
    pub fn dial(&self, address: SocketAddr, more: &[Message]) -> Heard {
        let stream = TcpStream::connect(address).expect("connect to the member");
        let session =
            ClientConnection::new(Arc::clone(&self.tls.client), tls::peer_server_name()).expect("a TLS session");
        let mut stream = StreamOwned::new(session, stream);
        stream.sock.set_read_timeout(Some(SILENCE)).expect("set a read timeout");
        let mut heard = Heard::default();
        let mut said = say(&mut stream, &Message::Hello(self.hello.clone()));
        for message in more {
            said = said.and_then(|()| say(&mut stream, message));
        }
        match said {
            Ok(()) => listen(&mut stream, &mut heard, |_, _| Ok(())),
            Err(error) => heard.end = Some(error.to_string()),
        }
        heard
    }

    /// Waits at an address where members dial it; what they say on each connection is kept.
    #[must_use]
    pub fn wait_at(self, address: SocketAddr) -> Waiting {
        let listener = TcpListener::bind(address).expect("bind the impostor's port");
        listener.set_nonblocking(true).expect("make a listener that does not block");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let connections = Arc::new(AtomicUsize::new(0));
        let thread = std::thread::spawn({
            let (heard, ended, count) = (Arc::clone(&heard), Arc::clone(&ended), Arc::clone(&connections));
            move || {
                let mut connections = Vec::new();
                while !ended.load(Ordering::Relaxed) {
                    match listener.accept() {
                        Ok((stream, _)) => {
                            count.fetch_add(1, Ordering::Relaxed);
                            let (impostor, heard, ended) = (self.clone(), Arc::clone(&heard), Arc::clone(&ended));
                            connections.push(std::thread::spawn(move || impostor.receive(stream, &heard, &ended)));
                        }
                        Err(_) => std::thread::sleep(PAUSE),
                    }
                }
                for connection in connections {
                    let _panicked = connection.join();
                }
            }
        });
        Waiting { heard, ended, connections, thread: Some(thread) }
    }

    fn receive(&self, stream: TcpStream, all: &Mutex<Vec<Heard>>, ended: &AtomicBool) {
        stream.set_nonblocking(false).expect("make a connection that blocks");
        stream.set_read_timeout(Some(PAUSE)).expect("set a read timeout");
        let session = ServerConnection::new(Arc::clone(&self.tls.server)).expect("a TLS session");
        let mut stream = StreamOwned::new(session, stream);
        let mut heard = Heard::default();
        while heard.end.is_none() && !ended.load(Ordering::Relaxed) {
            listen(&mut stream, &mut heard, |stream, message| match message {
                Message::Hello(theirs) => {
                    let mut mine = self.hello.clone();
                    mine.now = theirs.now;
                    if self.adopts_keys {
                        mine.keys = theirs.keys;
                    }
                    say(stream, &Message::Hello(mine))
                }
                // As alive as anybody.
                Message::Ping { now, number } => say(stream, &Message::Pong { now: *now, number: *number, entries: 0 }),
                _ => Ok(()),
            });
        }
        all.lock().push(heard);
    }
}

/// An [`Impostor`] at its port.
pub struct Waiting {
    heard: Arc<Mutex<Vec<Heard>>>,
    ended: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Waiting {
    /// How many connections came.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Ends it; what came on each connection.
    #[must_use]
    pub fn end(mut self) -> Vec<Heard> {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the impostor's thread");
        }
        std::mem::take(&mut self.heard.lock())
    }
}

fn say(stream: &mut impl Write, message: &Message) -> std::io::Result<()> {
    let mut octets = Vec::new();
    wire::encode(message, &mut octets).map_err(std::io::Error::other)?;
    stream.write_all(&octets)?;
    stream.flush()
}

/// Reads messages until the stream ends or is silent.
fn listen<S: Read + Write>(
    stream: &mut S,
    heard: &mut Heard,
    mut answer: impl FnMut(&mut S, &Message) -> std::io::Result<()>,
) {
    let mut pending = Vec::new();
    loop {
        while let Ok(Some(length)) = wire::frame_length(&pending)
            && pending.len() >= length
        {
            let rest = pending.split_off(length);
            let frame = std::mem::replace(&mut pending, rest);
            heard.octets.extend_from_slice(&frame);
            let message = wire::decode(&frame[wire::LENGTH_OCTETS..]).expect("a member speaks the protocol");
            if let Err(error) = answer(stream, &message) {
                heard.end = Some(error.to_string());
            }
            heard.messages.push(message);
        }
        let mut chunk = [0; 16 << 10];
        match stream.read(&mut chunk) {
            Ok(0) => {
                heard.end = Some("closed".to_owned());
                return;
            }
            Ok(length) => pending.extend_from_slice(&chunk[..length]),
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
                    && pending.is_empty() =>
            {
                return;
            }
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(error) => {
                heard.end = Some(error.to_string());
                return;
            }
        }
    }
}

/// Sends octets as they are to a member; everything that it answers until it closes or is silent.
#[must_use]
pub fn replay(address: SocketAddr, octets: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("connect to the member");
    stream.set_read_timeout(Some(SILENCE)).expect("set a read timeout");
    let _closed_in_the_middle = stream.write_all(octets);
    let mut answer = Vec::new();
    let mut chunk = [0; 16 << 10];
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        answer.extend_from_slice(&chunk[..length]);
    }
    answer
}

/// Passes one connection on to a member and keeps what the dialling side sent.
#[derive(Debug)]
pub struct Recorder {
    /// Where to dial.
    pub address: SocketAddr,
    thread: JoinHandle<Vec<u8>>,
}

impl Recorder {
    /// Waits for one connection.
    #[must_use]
    pub fn before(member: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind the recorder's port");
        let address = listener.local_addr().expect("its address");
        let thread = std::thread::spawn(move || {
            let (mut near, _) = listener.accept().expect("accept a connection");
            let mut far = TcpStream::connect(member).expect("connect to the member");
            let (mut near_out, mut far_in) = (near.try_clone().expect("a socket"), far.try_clone().expect("a socket"));
            let back = std::thread::spawn(move || {
                let _ended = std::io::copy(&mut far_in, &mut near_out);
            });
            let mut recorded = Vec::new();
            let mut chunk = [0; 16 << 10];
            while let Ok(length @ 1..) = near.read(&mut chunk) {
                recorded.extend_from_slice(&chunk[..length]);
                if far.write_all(&chunk[..length]).is_err() {
                    break;
                }
            }
            let _gone_already = far.shutdown(std::net::Shutdown::Both);
            let _panicked = back.join();
            recorded
        });
        Self { address, thread }
    }

    /// What the dialling side sent.
    #[must_use]
    pub fn recorded(self) -> Vec<u8> {
        self.thread.join().expect("the recorder's thread")
    }
}
