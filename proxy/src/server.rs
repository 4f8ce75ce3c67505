//! The composition root: binds what must be bound, starts the cores and the control thread, and
//! stops them again. Everything is wired here and nowhere else.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::runtime::LocalRuntime;
use tokio::sync::mpsc;

use crate::admin::cluster::{Alone, Peers};
use crate::admin::{self, AdminError};
use crate::api::{self, Api};
use crate::bind::offenders::Offenders;
use crate::bind::{Guard, HashKey, SWEEP_SLOTS, Stats};
use crate::clock::Clock;
use crate::cluster;
use crate::cluster::clock::ClusterClock;
use crate::cluster::start::ClusterError;
use crate::config::Loaded;
use crate::config::cidr::Cidr;
use crate::core::{Core, CoreHandle, CoreMessage, Listening, Shared};
use crate::drain::DrainTimes;
use crate::listener::admission::Admission;
use crate::listener::bind_sockets::{self, BindError, BoundSocket};
use crate::listener::context::ListenerContext;
use crate::logging::LogHandle;
use crate::metrics::{Metrics, Removal};
use crate::reload::Reloader;
use crate::settings::{self, Settings, SettingsError};
use crate::status::Status;
use crate::upstream::checker;
use crate::upstream::resolve::Resolver;

/// Pairs of name and source that the report of one core remembers.
const OFFENDERS_PER_CORE: usize = 2_048;
/// How often the store is swept.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// How often a drain looks whether everybody has gone.
const DRAIN_POLL: Duration = Duration::from_millis(20);
/// How often a drain looks whether the other members have taken in everything.
const GOODBYE_POLL: Duration = Duration::from_millis(2);
/// Listeners open after this even if the cluster's thread has not said that it has joined, which it
/// does itself after ten seconds at the latest.
const LONGEST_JOIN: Duration = Duration::from_secs(12);

/// A running proxy.
pub struct Server {
    /// What all cores share.
    pub shared: Arc<Shared>,
    /// Applies new generations of the configuration.
    pub reloader: Arc<Reloader>,
    addresses: Vec<(String, SocketAddr)>,
    admin_address: SocketAddr,
    sockets: Vec<PathBuf>,
    threads: Vec<JoinHandle<()>>,
    cluster_thread: Option<JoinHandle<()>>,
    cluster_address: Option<SocketAddr>,
    stop_control: Option<tokio::sync::oneshot::Sender<()>>,
}

/// Why the proxy did not start. Nothing is left running.
#[derive(Debug, Error)]
pub enum StartError {
    /// A listener's socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The admin port.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The configuration cannot be run.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A thread or an event loop.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The system's random numbers.
    #[error("no random key: {0}")]
    Random(String),
}

impl Server {
    /// Starts a proxy with `workers` event loops.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(loaded: &Loaded, path: &Path, workers: usize, log: Option<LogHandle>) -> Result<Self, StartError> {
        let listeners = bind_sockets::bind_all(&loaded.config.listeners)?;
        let admin_socket = admin::listen(loaded.config.admin.address)?;
        let admin_address = admin_socket.local_addr()?;
        let membership = cluster::start::bind(loaded)?;
        let names = |socket: &[crate::config::Listener]| {
            socket.iter().map(|listener| listener.name.clone()).collect::<Vec<_>>()
        };
        let upstream_names: Vec<String> =
            loaded.config.upstreams.iter().map(|upstream| upstream.name.clone()).collect();
        let metrics = Metrics::new(&names(&loaded.config.listeners), &upstream_names);
        let random_key = random_key()?;
        let first = Settings::build(loaded, &metrics, None)?;
        let guard = Guard::new(loaded.config.cache.max_entries, settings::policy(loaded, &random_key));
        let clock = Clock::start();
        let shared = Arc::new(Shared {
            status: Arc::new(Status::new(clock.now())),
            clock,
            cluster_clock: if membership.is_some() { ClusterClock::seeded(clock) } else { ClusterClock::alone(clock) },
            cluster: OnceLock::new(),
            guard,
            metrics: Arc::new(metrics),
            resolver: Resolver::default(),
            admission: Admission::default(),
            offenders: (0..workers).map(|_| parking_lot::Mutex::new(Offenders::new(OFFENDERS_PER_CORE))).collect(),
            cores: OnceLock::new(),
        });
        let settings = Arc::new(ArcSwap::from(first));
        let reloader =
            Arc::new(Reloader::new(shared.clone(), settings.clone(), path.to_owned(), random_key, log, loaded));
        let addresses = addresses_of(&listeners, &loaded.config.listeners);
        let sockets = listeners
            .iter()
            .filter_map(|socket| match socket {
                BoundSocket::Unix(_, path) => Some(path.clone()),
                BoundSocket::Tcp(..) => None,
            })
            .collect();
        let mut threads = start_cores(&shared, &settings, workers)?;
        let (stop_control, stopped) = tokio::sync::oneshot::channel();
        let shown = shown_addresses(&loaded.config.listeners, &addresses);
        let cluster_address = membership.as_ref().map(|bound| bound.address);
        let cluster_thread = match membership {
            Some(bound) => {
                let asked = shared.clone();
                let answer = Box::new(move |query: Vec<u8>| api::answer_member(&asked, &query));
                Some(cluster::start::start(&shared, bound, loaded, answer)?)
            }
            None => None,
        };
        let opening = Opening { sockets: listeners, listeners: loaded.config.listeners.clone() };
        let opening = if cluster_thread.is_some() {
            // The control thread opens them when the process has joined.
            Some(opening)
        } else {
            if let Err(error) = open_listeners(&shared, opening) {
                for core in shared.cores.get().into_iter().flatten() {
                    let _ = core.inbox.send(CoreMessage::Stop);
                }
                return Err(error.into());
            }
            None
        };
        threads.push(start_control(&shared, &settings, &reloader, admin_socket, shown, opening, stopped)?);
        Ok(Self {
            shared,
            reloader,
            addresses,
            admin_address,
            sockets,
            threads,
            cluster_thread,
            cluster_address,
            stop_control: Some(stop_control),
        })
    }

    /// The address of the cluster port, if there is one.
    #[must_use]
    pub fn cluster_address(&self) -> Option<SocketAddr> {
        self.cluster_address
    }

    /// The address of each TCP listener, by name: what `port: 0` became.
    #[must_use]
    pub fn addresses(&self) -> &[(String, SocketAddr)] {
        &self.addresses
    }

    /// The address of the admin port.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Stops within `timeout`: not ready any more, no new connections, what was learned is handed over, whoever is
    /// idle gets a notice of disconnection, what is in flight finishes, and the cluster is left. The admin address
    /// answers until then. Blocks until all threads have ended; `false` when something was cut short.
    #[must_use]
    pub fn drain(mut self, timeout: Duration) -> bool {
        self.shared.status.set_draining();
        self.shared.metrics.draining(true);
        self.tell_cores(&CoreMessage::StopAccepting);
        let times = DrainTimes::of(timeout, self.shared.cluster.get().is_some());
        let deadline = self.shared.clock.now().after(times.clients);
        // Before clients are sent to other members, which would ask the directory about what only this one knows.
        self.hand_over(times.hand_over);
        self.tell_cores(&CoreMessage::Drain);
        while self.open_sessions() > 0 && self.shared.clock.now() < deadline {
            std::thread::sleep(DRAIN_POLL);
        }
        let clean = self.open_sessions() == 0;
        if !clean {
            tracing::warn!(sessions = self.open_sessions(), "the drain's deadline passed; closing what is left");
            self.tell_cores(&CoreMessage::Close);
            let deadline = self.shared.clock.now().after(times.last_words);
            while self.open_sessions() > 0 && self.shared.clock.now() < deadline {
                std::thread::sleep(DRAIN_POLL);
            }
        }
        self.leave_cluster(times.goodbye);
        self.tell_cores(&CoreMessage::Stop);
        drop(self.stop_control.take());
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("an event loop ended by a panic");
            }
        }
        for path in &self.sockets {
            // Gone already is as good.
            let _ = std::fs::remove_file(path);
        }
        clean
    }

    /// Waits until the other members have taken in what this one has learned so far, or `limit` is over.
    fn hand_over(&self, limit: Duration) {
        let Some(cluster) = self.shared.cluster.get() else { return };
        let asking = || {
            if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() {
                let gathered = runtime.block_on(cluster.gather(None, limit));
                tracing::info!(others = gathered.answers.len(), missing = ?gathered.missing, "handed over");
            }
        };
        // A thread of its own, because the caller's may be that of an event loop.
        std::thread::scope(|scope| {
            if let Err(error) = std::thread::Builder::new().name("hand-over".to_owned()).spawn_scoped(scope, asking) {
                tracing::error!(%error, "cannot start a thread; members compare with each other later");
            }
        });
    }

    /// Hands over what the other members have not taken in, and says goodbye; bounded by `limit`.
    fn leave_cluster(&mut self, limit: Duration) {
        let Some(cluster) = self.shared.cluster.get() else { return };
        cluster.leave();
        let deadline = self.shared.clock.now().after(limit);
        while !cluster.has_left() && self.shared.clock.now() < deadline {
            std::thread::sleep(GOODBYE_POLL);
        }
        if !cluster.has_left() {
            tracing::warn!("not every member of the cluster has taken in everything; they compare with each other");
        }
        cluster.stop();
        if self.cluster_thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the cluster's thread ended by a panic");
        }
    }

    fn tell_cores(&self, message: &CoreMessage) {
        for core in self.shared.cores.get().into_iter().flatten() {
            let _ = core.inbox.send(message.clone());
        }
    }

    fn open_sessions(&self) -> u32 {
        self.shared.cores.get().into_iter().flatten().map(|core| core.sessions.load(Ordering::Relaxed)).sum()
    }
}

fn random_key() -> Result<HashKey, StartError> {
    let mut octets = [0_u8; 32];
    rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut octets)
        .map_err(|error| StartError::Random(error.to_string()))?;
    Ok(HashKey::from_bytes(octets))
}

fn addresses_of(sockets: &[BoundSocket], listeners: &[crate::config::Listener]) -> Vec<(String, SocketAddr)> {
    sockets
        .iter()
        .zip(listeners)
        .filter_map(|(socket, listener)| match socket {
            BoundSocket::Tcp(_, address) => Some((listener.name.clone(), *address)),
            BoundSocket::Unix(..) => None,
        })
        .collect()
}

/// Every listener's name and where it is, for the status report.
fn shown_addresses(listeners: &[crate::config::Listener], bound: &[(String, SocketAddr)]) -> Vec<(String, String)> {
    let shown = |listener: &crate::config::Listener| match &listener.socket {
        Some(path) => path.display().to_string(),
        None => bound
            .iter()
            .find(|(name, _)| *name == listener.name)
            .map(|(_, address)| address.to_string())
            .unwrap_or_default(),
    };
    listeners.iter().map(|listener| (listener.name.clone(), shown(listener))).collect()
}

/// Listeners whose sockets are bound and which nobody can connect to yet.
struct Opening {
    sockets: Vec<BoundSocket>,
    listeners: Vec<crate::config::Listener>,
}

/// Opens the listeners and spreads them over the cores, which run already.
fn open_listeners(shared: &Shared, opening: Opening) -> Result<(), BindError> {
    let cores = shared.cores.get().map(Vec::as_slice).unwrap_or_default();
    for (index, (socket, listener)) in opening.sockets.into_iter().zip(&opening.listeners).enumerate() {
        bind_sockets::listen(index, &socket)?;
        let listening = Listening { socket, listener: listener_context(shared, listener) };
        if let Some(core) = cores.get(index % cores.len().max(1)) {
            let _ = core.inbox.send(CoreMessage::Open(Arc::new(parking_lot::Mutex::new(Some(listening)))));
        }
    }
    shared.status.set_listening();
    Ok(())
}

/// Opens the listeners when the process has joined its cluster, or has tried for long enough.
async fn open_when_joined(shared: Arc<Shared>, opening: Opening) {
    if let Some(cluster) = shared.cluster.get()
        && tokio::time::timeout(LONGEST_JOIN, cluster.joined()).await.is_err()
    {
        tracing::error!("the cluster's thread does not answer: opening the listeners without it");
    }
    if shared.status.is_draining() {
        return;
    }
    match open_listeners(&shared, opening) {
        Ok(()) => tracing::info!("the listeners are open"),
        Err(error) => tracing::error!(%error, "a listener cannot be opened; restart the process"),
    }
}

fn start_cores(
    shared: &Arc<Shared>,
    settings: &Arc<ArcSwap<Settings>>,
    workers: usize,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    let mut handles = Vec::with_capacity(workers);
    let mut inboxes = Vec::with_capacity(workers);
    for _ in 0..workers {
        let (sender, inbox) = mpsc::unbounded_channel();
        handles.push(CoreHandle { inbox: sender, sessions: Arc::new(AtomicU32::new(0)) });
        inboxes.push(inbox);
    }
    let loads: Vec<_> = handles.iter().map(|handle| handle.sessions.clone()).collect();
    // Nobody else sets it: this function runs once for a `Shared`.
    let _ = shared.cores.set(handles);
    let mut threads = Vec::with_capacity(workers + 1);
    for (id, (inbox, load)) in inboxes.into_iter().zip(loads).enumerate() {
        let runtime_settings = settings.load_full();
        let shared = shared.clone();
        let thread = std::thread::Builder::new().name(format!("core-{id}")).spawn(move || {
            let runtime = match new_runtime() {
                Ok(runtime) => runtime,
                Err(error) => {
                    tracing::error!(%error, core = id, "cannot start an event loop");
                    return;
                }
            };
            runtime.block_on(async move {
                let core = Core::new(id, shared, runtime_settings, load);
                core.run(inbox).await;
            });
        })?;
        threads.push(thread);
    }
    Ok(threads)
}

fn listener_context(shared: &Shared, listener: &crate::config::Listener) -> Arc<ListenerContext> {
    let trusted = listener.proxy_protocol.as_ref().map(|proxy_protocol| {
        // Checked when the file was loaded; what is no network trusts nobody.
        proxy_protocol.trusted_cidrs.iter().filter_map(|network| network.parse::<Cidr>().ok()).collect()
    });
    Arc::new(ListenerContext {
        name: listener.name.as_str().into(),
        tls: listener.tls,
        proxy_protocol: trusted,
        metrics: shared.metrics.listener(&listener.name),
    })
}

fn start_control(
    shared: &Arc<Shared>,
    settings: &Arc<ArcSwap<Settings>>,
    reloader: &Arc<Reloader>,
    admin_socket: std::net::TcpListener,
    addresses: Vec<(String, String)>,
    opening: Option<Opening>,
    stopped: tokio::sync::oneshot::Receiver<()>,
) -> Result<JoinHandle<()>, StartError> {
    let (shared, settings, reloader) = (shared.clone(), settings.clone(), reloader.clone());
    let thread = std::thread::Builder::new().name("control".to_owned()).spawn(move || {
        let runtime = match new_runtime() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "cannot start the control thread's event loop");
                return;
            }
        };
        runtime.block_on(async move {
            tokio::spawn(checker::run(shared.clone(), settings.clone()));
            tokio::spawn(reloader.clone().watch());
            tokio::spawn(sweep_store(shared.clone()));
            if let Some(opening) = opening {
                tokio::spawn(open_when_joined(shared.clone(), opening));
            }
            let peers: Arc<dyn Peers> = match shared.cluster.get() {
                Some(cluster) => cluster.clone(),
                None => Arc::new(Alone),
            };
            let api = Arc::new(Api::new(shared.clone(), settings, addresses, peers));
            let state = admin::AdminState {
                status: shared.status.clone(),
                metrics: shared.metrics.clone(),
                api,
                token: reloader.admin_token(),
                clock: shared.clock,
            };
            let socket = match tokio::net::TcpListener::from_std(admin_socket) {
                Ok(socket) => socket,
                Err(error) => {
                    tracing::error!(%error, "cannot serve the admin port");
                    return;
                }
            };
            admin::serve(socket, state, async {
                // Closed without a message is the message.
                let _ = stopped.await;
            })
            .await;
        });
    })?;
    Ok(thread)
}

/// Frees what has expired, away from the cores that serve clients.
async fn sweep_store(shared: Arc<Shared>) {
    let heartbeat = shared.status.heartbeat("control", shared.clock.now());
    let cache = shared.metrics.cache();
    let mut before = Stats::default();
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        heartbeat.beat(shared.clock.now());
        shared.guard.sweep(shared.cluster_clock.now(), SWEEP_SLOTS);
        let stats = shared.guard.stats();
        cache.removed(Removal::Expired, stats.expired - before.expired);
        cache.removed(Removal::Capacity, stats.evicted - before.evicted);
        if stats.leases_lost > before.leases_lost {
            tracing::error!(lost = stats.leases_lost, "binds whose outcome nobody reported: please report this");
        }
        before = stats;
    }
}

fn new_runtime() -> std::io::Result<LocalRuntime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build_local(tokio::runtime::LocalOptions::default())
}
