//! One event loop: the sessions, idle upstream connections and buffers of one core.
//!
//! Cores share nothing on the path of a bind but the store and the metrics, so a session never
//! leaves the core that it was handed to and nothing here is locked.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::bind::{Guard, NameMemo, Offenders};
use crate::clock::{Clock, Tick};
use crate::cluster::clock::ClusterClock;
use crate::cluster::handle::ClusterHandle;
pub use crate::cluster::waiter::Waiter;
use crate::listener::accept::{self, Accepted};
use crate::listener::admission::Admission;
use crate::listener::bind_sockets::BoundSocket;
use crate::listener::context::ListenerContext;
use crate::listener::handshake;
use crate::metrics::Metrics;
use crate::session::table::SessionTable;
use crate::settings::Settings;
use crate::status::{Heartbeat, Status};
use crate::upstream::pool::Pool;
use crate::upstream::resolve::Resolver;

/// Octets of one read. A read never takes more, so neither does the answer of one pass.
pub const READ_BYTES: usize = 64 * 1024;
/// How often idle sessions and connections are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What all cores share.
pub struct Shared {
    /// The clock of this process, for timers, heartbeats and pools.
    pub clock: Clock,
    /// The time that the guard and the report of offenders go by.
    pub cluster_clock: ClusterClock,
    /// How to reach the cluster; set once where there is one.
    pub cluster: OnceLock<Arc<ClusterHandle>>,
    /// The bind decision and the failed-bind store.
    pub guard: Guard<Waiter>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Readiness, draining, heartbeats.
    pub status: Arc<Status>,
    /// The resolver.
    pub resolver: Resolver,
    /// Who may connect.
    pub admission: Admission,
    /// The sketch of which device keeps presenting which dead password.
    pub offenders: Vec<parking_lot::Mutex<Offenders>>,
    /// Where to reach each core; set once when all run.
    pub cores: OnceLock<Vec<CoreHandle>>,
}

/// How another thread reaches a core.
#[derive(Clone)]
pub struct CoreHandle {
    /// Its inbox.
    pub inbox: mpsc::UnboundedSender<CoreMessage>,
    /// Its open sessions, handshakes included.
    pub sessions: Arc<AtomicU32>,
}

/// What a core is told.
#[derive(Clone)]
pub enum CoreMessage {
    /// A connection that another core accepted for it.
    Accepted(Arc<parking_lot::Mutex<Option<Accepted>>>),
    /// A listener that this core is to accept connections of.
    Open(Arc<parking_lot::Mutex<Option<Listening>>>),
    /// A new generation of the configuration.
    Settings(Arc<Settings>),
    /// Close one idle connection to this upstream.
    ShedIdle(Arc<str>),
    /// Close the listeners; whoever is connected is served.
    StopAccepting,
    /// Finish what is in flight and say goodbye to the rest.
    Drain,
    /// Say goodbye to everybody.
    Close,
    /// End the event loop.
    Stop,
}

/// A listener on its way to the core that accepts its connections.
pub struct Listening {
    /// Its socket.
    pub socket: BoundSocket,
    /// What its connections have in common.
    pub listener: Arc<ListenerContext>,
}

/// One event loop's own things.
pub struct Core {
    /// Its number, from 0.
    pub id: usize,
    /// What it shares with the others.
    pub shared: Arc<Shared>,
    /// Idle upstream connections.
    pub pool: Pool,
    /// Open sessions.
    pub sessions: SessionTable,
    /// Hashes of the names that this core saw last.
    pub name_memo: RefCell<NameMemo>,
    /// Buffers that a session uses for one pass and never keeps.
    pub scratch: RefCell<Scratch>,
    /// Open sessions, for whoever hands out connections.
    pub load: Arc<AtomicU32>,
    settings: RefCell<Arc<Settings>>,
    heartbeat: Heartbeat,
    draining: Cell<bool>,
    accepting: RefCell<Vec<tokio::task::AbortHandle>>,
}

/// Buffers of one pass. Shared by all sessions of a core, so an idle session owns none.
pub struct Scratch {
    /// Where octets are read to.
    pub read: Box<[u8]>,
    /// Answers for the client.
    pub to_client: Vec<u8>,
    /// Requests for the directory.
    pub to_upstream: Vec<u8>,
}

impl Core {
    /// A core with `settings`.
    #[must_use]
    pub fn new(id: usize, shared: Arc<Shared>, settings: Arc<Settings>, load: Arc<AtomicU32>) -> Rc<Self> {
        let heartbeat = shared.status.heartbeat(&format!("core-{id}"), shared.clock.now());
        Rc::new(Self {
            id,
            shared,
            pool: Pool::default(),
            sessions: SessionTable::default(),
            name_memo: RefCell::default(),
            scratch: RefCell::new(Scratch {
                read: vec![0; READ_BYTES].into_boxed_slice(),
                to_client: Vec::new(),
                to_upstream: Vec::new(),
            }),
            load,
            settings: RefCell::new(settings),
            heartbeat,
            draining: Cell::new(false),
            accepting: RefCell::new(Vec::new()),
        })
    }

    /// The present tick.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.shared.clock.now()
    }

    /// The present generation of the configuration.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.borrow().clone()
    }

    /// Looks at the present generation without counting a reference.
    pub fn with_settings<T>(&self, look: impl FnOnce(&Settings) -> T) -> T {
        look(&self.settings.borrow())
    }

    /// Whether the process is going down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Tells every other core.
    pub fn tell_others(&self, message: &CoreMessage) {
        let Some(cores) = self.shared.cores.get() else { return };
        for (id, core) in cores.iter().enumerate() {
            if id != self.id {
                // A core that is gone has nothing left to do.
                let _ = core.inbox.send(message.clone());
            }
        }
    }

    /// Starts an accept loop, which a drain ends.
    pub fn accept<F>(
        self: &Rc<Self>,
        socket: BoundSocket,
        listener: Arc<ListenerContext>,
        run: impl FnOnce(Rc<Self>, BoundSocket, Arc<ListenerContext>) -> F,
    ) where
        F: Future<Output = std::io::Result<()>> + 'static,
    {
        let name = listener.name.clone();
        let accepting = run(self.clone(), socket, listener);
        let task = tokio::task::spawn_local(async move {
            if let Err(error) = accepting.await {
                tracing::error!(listener = %name, %error, "a listener ended");
            }
        });
        self.accepting.borrow_mut().push(task.abort_handle());
    }

    /// Runs until the inbox closes: messages, and a sweep every second.
    pub async fn run(self: Rc<Self>, mut inbox: mpsc::UnboundedReceiver<CoreMessage>) {
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = inbox.recv() => match message {
                    None | Some(CoreMessage::Stop) => return,
                    Some(message) => self.handle(message),
                },
                _ = sweep.tick() => self.sweep(),
            }
        }
    }

    fn handle(self: &Rc<Self>, message: CoreMessage) {
        match message {
            CoreMessage::Accepted(accepted) => {
                if let Some(accepted) = accepted.lock().take() {
                    handshake::start(self, accepted);
                }
            }
            CoreMessage::Settings(settings) => {
                *self.settings.borrow_mut() = settings;
            }
            CoreMessage::Open(listening) => {
                // A process that goes down opens nothing any more.
                if let Some(Listening { socket, listener }) = listening.lock().take()
                    && !self.shared.status.is_draining()
                {
                    self.accept(socket, listener, accept::run);
                }
            }
            CoreMessage::ShedIdle(upstream) => self.pool.shed(&upstream),
            // Handled by the loop.
            CoreMessage::Stop => {}
            CoreMessage::StopAccepting => {
                for accepting in self.accepting.take() {
                    accepting.abort();
                }
            }
            CoreMessage::Drain => {
                self.draining.set(true);
                self.sweep();
            }
            CoreMessage::Close => {
                self.draining.set(true);
                self.sessions.close_all();
                self.pool.close_all();
            }
        }
    }

    fn sweep(self: &Rc<Self>) {
        let now = self.now();
        self.heartbeat.beat(now);
        self.pool.sweep(self);
        self.sessions.sweep(self, now);
    }

    /// Wakes the least loaded core's inbox or this one: where a new connection should live.
    #[must_use]
    pub fn least_loaded(&self) -> usize {
        let Some(cores) = self.shared.cores.get() else { return self.id };
        let load = |core: &CoreHandle| core.sessions.load(Ordering::Relaxed);
        let mine = cores.get(self.id).map_or(0, load);
        cores
            .iter()
            .enumerate()
            .map(|(id, core)| (load(core), id))
            .filter(|&(load, _)| load < mine)
            .min()
            .map_or(self.id, |(_, id)| id)
    }
}
