//! The sockets that the directory listens on.

use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::answer::Directory;
use super::connection;
use super::entry::{Entry, default_entries};
use super::lockout::Policy;
use super::running::{Announcement, Command, RunningDirectory};
use super::script::Script;
use super::stream::Stream;
use super::verdict::Flavour;
use crate::clock::{Clock, Tick};

/// How to start a directory.
#[derive(Clone, Debug)]
pub struct Options {
    /// Clear text, with StartTLS when there is a TLS configuration. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// TLS from the first byte; needs `tls`.
    pub listen_ldaps: Option<SocketAddr>,
    /// A unix socket as well.
    pub socket: Option<PathBuf>,
    /// Certificate and key.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// When accounts lock.
    pub policy: Policy,
    /// Whose answers to imitate.
    pub flavour: Flavour,
    /// What is in the directory.
    pub entries: Vec<Entry>,
    /// Answer a simple bind with the password `rc52` by result code 52.
    pub results_from_passwords: bool,
}

impl Default for Options {
    /// A free port of the loopback address, slapd's way, three failures lock, the default entries.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            listen_ldaps: None,
            socket: None,
            tls: None,
            policy: Policy::default(),
            flavour: Flavour::default(),
            entries: default_entries(),
            results_from_passwords: false,
        }
    }
}

/// Why a directory does not listen. Nothing is left behind.
#[derive(Debug, Error)]
pub enum StartError {
    /// A TCP port is taken or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The unix socket cannot be made.
    #[error("cannot listen on the unix socket {}", path.display())]
    Socket {
        /// The path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// `listen_ldaps` without `tls`.
    #[error("an LDAPS listener needs a TLS configuration")]
    NoTls,
    /// The thread or its runtime could not be made.
    #[error("cannot start a thread for the directory")]
    Thread(#[source] io::Error),
    /// It stopped already.
    #[error("the directory has stopped")]
    Stopped,
}

pub(super) struct Shared {
    pub(super) directory: Mutex<Directory>,
    pub(super) script: Mutex<Script>,
    pub(super) script_changed: watch::Sender<()>,
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    clock: Clock,
    pub(super) advanced_ms: AtomicU64,
}

impl Shared {
    pub(super) fn now(&self) -> Tick {
        self.clock.now().after(Duration::from_millis(self.advanced_ms.load(Ordering::Relaxed)))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Addresses {
    pub(super) plain: SocketAddr,
    pub(super) ldaps: Option<SocketAddr>,
    pub(super) socket: Option<PathBuf>,
}

struct Listeners {
    plain: TcpListener,
    ldaps: Option<TcpListener>,
    socket: Option<UnixListener>,
}

impl Directory {
    /// Starts a directory on the current runtime.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(options: Options) -> Result<RunningDirectory, StartError> {
        let (running, serving) = Self::listen(options).await?;
        tokio::spawn(serving);
        Ok(running)
    }

    /// Starts a directory on a thread of its own, for callers that block theirs (or have none that
    /// runs tokio).
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start_on_thread(options: Options) -> Result<RunningDirectory, StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
        let (running, serving) = runtime.block_on(Self::listen(options))?;
        let thread = std::thread::Builder::new().name("directory".to_owned());
        thread.spawn(move || runtime.block_on(serving)).map_err(StartError::Thread)?;
        Ok(running)
    }

    /// The handle of a directory that listens, and what must run for it to answer.
    async fn listen(options: Options) -> Result<(RunningDirectory, impl Future<Output = ()> + Send), StartError> {
        let Options { listen, listen_ldaps, socket, tls, policy, flavour, entries, results_from_passwords } = options;
        if listen_ldaps.is_some() && tls.is_none() {
            return Err(StartError::NoTls);
        }
        let mut addresses = Addresses { plain: listen, ldaps: listen_ldaps, socket };
        let listeners = listen_on(&addresses).await?;
        let local = |listener: &TcpListener, address| {
            listener.local_addr().map_err(|source| StartError::Listen { address, source })
        };
        addresses.plain = local(&listeners.plain, listen)?;
        if let (Some(listener), Some(address)) = (&listeners.ldaps, listen_ldaps) {
            addresses.ldaps = Some(local(listener, address)?);
        }
        let shared = Arc::new(Shared {
            directory: Mutex::new(Directory::new(entries, policy, flavour, results_from_passwords)),
            script: Mutex::new(Script::default()),
            script_changed: watch::Sender::new(()),
            tls,
            clock: Clock::start(),
            advanced_ms: AtomicU64::new(0),
        });
        let (commands, orders) = mpsc::channel(4);
        let announcements = broadcast::Sender::new(16);
        let acceptor =
            Acceptor { shared: shared.clone(), addresses: addresses.clone(), announcements: announcements.clone() };
        Ok((RunningDirectory { shared, addresses, commands, announcements }, acceptor.run(listeners, orders)))
    }
}

async fn listen_on(addresses: &Addresses) -> Result<Listeners, StartError> {
    let tcp = async |address: SocketAddr| {
        TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
    };
    let plain = tcp(addresses.plain).await?;
    let ldaps = match addresses.ldaps {
        Some(address) => Some(tcp(address).await?),
        None => None,
    };
    let socket = match &addresses.socket {
        Some(path) => {
            // What a run before this one left behind; when it is something else the bind says so.
            let _ = std::fs::remove_file(path);
            let socket = UnixListener::bind(path);
            Some(socket.map_err(|source| StartError::Socket { path: path.clone(), source })?)
        }
        None => None,
    };
    Ok(Listeners { plain, ldaps, socket })
}

struct Acceptor {
    shared: Arc<Shared>,
    addresses: Addresses,
    announcements: broadcast::Sender<Announcement>,
}

impl Acceptor {
    async fn run(self, listeners: Listeners, mut orders: mpsc::Receiver<Command>) {
        let mut listeners = Some(listeners);
        let mut connections = JoinSet::new();
        let stopped = loop {
            tokio::select! {
                (stream, ldaps) = accept(listeners.as_ref()) => {
                    let announcements = self.announcements.subscribe();
                    connections.spawn(connection::serve(self.shared.clone(), stream, ldaps, announcements));
                }
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                order = orders.recv() => match order {
                    None => break None,
                    Some(Command::Stop(done)) => break Some(done),
                    Some(Command::Refuse(done)) => {
                        listeners = None;
                        acknowledge(done, ());
                    }
                    Some(Command::Accept(done)) => {
                        let outcome = if listeners.is_some() {
                            Ok(())
                        } else {
                            listen_on(&self.addresses).await.map(|again| listeners = Some(again))
                        };
                        acknowledge(done, outcome);
                    }
                    Some(Command::Drop(done)) => {
                        connections.shutdown().await;
                        acknowledge(done, ());
                    }
                },
            }
        };
        drop(listeners);
        connections.shutdown().await;
        if let Some(path) = &self.addresses.socket {
            // Gone already when somebody cleaned up before us.
            let _ = std::fs::remove_file(path);
        }
        if let Some(done) = stopped {
            acknowledge(done, ());
        }
    }
}

/// Answers a command; whoever asked may have stopped waiting.
fn acknowledge<T>(done: oneshot::Sender<T>, outcome: T) {
    let _ = done.send(outcome);
}

/// The next connection on any listener, and whether it begins with TLS.
async fn accept(listeners: Option<&Listeners>) -> (Stream, bool) {
    let Some(Listeners { plain, ldaps, socket }) = listeners else { return pending().await };
    loop {
        let accepted = tokio::select! {
            accepted = plain.accept() => accepted.map(|(tcp, _)| (Stream::Tcp(tcp), false)),
            accepted = async { match ldaps { Some(ldaps) => ldaps.accept().await, None => pending().await } } =>
                accepted.map(|(tcp, _)| (Stream::Tcp(tcp), true)),
            accepted = async { match socket { Some(socket) => socket.accept().await, None => pending().await } } =>
                accepted.map(|(unix, _)| (Stream::Unix(unix), false)),
        };
        match accepted {
            Ok((stream, ldaps)) => {
                if let Stream::Tcp(tcp) = &stream {
                    // Only latency suffers when it fails.
                    let _ = tcp.set_nodelay(true);
                }
                return (stream, ldaps);
            }
            // Out of descriptors, or a client gone before it was accepted: neither is for good.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
