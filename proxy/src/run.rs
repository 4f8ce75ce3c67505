//! `bindproxy run`: start, obey signals, drain.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{self, Overrides, Problems};
use crate::demo::StartedProxy;
use crate::descriptors;
use crate::logging::LogHandle;
use crate::server::{Server, StartError};

/// How long the sessions of the demo may take to end.
const DEMO_DRAIN: Duration = Duration::from_secs(1);

/// Why a run ended other than by a drain.
#[derive(Debug, Error)]
pub enum RunError {
    /// The configuration is bad; nothing was started.
    #[error("{0}")]
    Configuration(#[from] Problems),
    /// Something could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Signals cannot be had.
    #[error("cannot wait for signals: {0}")]
    Signals(#[from] std::io::Error),
}

/// Runs the proxy of the configuration at `path` until SIGTERM or SIGINT, then drains it. SIGHUP
/// reloads. `log` is `None` where the command line fixes the level.
///
/// # Errors
/// [`RunError`].
pub fn run(path: &Path, overrides: &Overrides, workers: Option<usize>, log: Option<LogHandle>) -> Result<(), RunError> {
    // Before anything that may take long: the first process of a container has no default handling of
    // signals, so one that came earlier would be lost, and the container killed at the end of its grace.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _context = runtime.enter();
        Signals::new()?
    };
    let loaded = config::load_with(path, overrides)?;
    if let Some(log) = &log {
        log.set_level(loaded.config.logging.level);
    }
    descriptors::raise_limit(&loaded.config);
    let workers = workers.unwrap_or_else(default_workers);
    let server = Server::start(&loaded, path, workers, log)?;
    for (name, address) in server.addresses() {
        tracing::info!(listener = %name, %address, "listening");
    }
    for listener in loaded.config.listeners.iter().filter(|listener| listener.socket.is_some()) {
        tracing::info!(listener = %listener.name, socket = ?listener.socket, "listening");
    }
    let ready = if loaded.config.cluster.is_some() {
        "bindproxy runs; its listeners open when it has joined its cluster"
    } else {
        "bindproxy is ready"
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        workers,
        admin = %server.admin_address(),
        config = %loaded.hash,
        "{ready}"
    );
    let name = runtime.block_on(signals.wait_for_stop(&server));
    let timeout = server.reloader.drain_timeout();
    tracing::info!(signal = name, timeout_seconds = timeout.as_secs(), "draining");
    let clean = server.drain(timeout);
    tracing::info!(clean, "stopped");
    Ok(())
}

/// Starts the proxy of the demo from a configuration's text; it stops when the result is dropped.
///
/// # Errors
/// What is wrong with the text, or [`StartError`].
pub fn start_for_demo(text: &str) -> anyhow::Result<StartedProxy> {
    struct Stop(Option<Server>);
    impl Drop for Stop {
        fn drop(&mut self) {
            if let Some(server) = self.0.take() {
                let _ = server.drain(DEMO_DRAIN);
            }
        }
    }
    let loaded = config::load_text(text, Path::new("."))?;
    let server = Server::start(&loaded, Path::new("demo"), default_workers(), None)?;
    let listen = server.addresses().first().map(|(_, address)| *address).context("the demo has no TCP listener")?;
    let admin = server.admin_address();
    Ok(StartedProxy { listen, admin, keep: Box::new(Stop(Some(server))) })
}

fn default_workers() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The signals that this process obeys. One that comes before [`Signals::wait_for_stop`] is kept.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn wait_for_stop(&mut self, server: &Server) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hangup.recv() => server.reloader.reload(),
            }
        }
    }
}
