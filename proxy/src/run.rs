//! `bindproxy run`: start, obey signals, drain.

use std::path::PathBuf;
use std::thread;

use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{self, Problems};
use crate::logging::LogHandle;
use crate::server::{Server, StartError};

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
pub fn run(path: &PathBuf, workers: Option<usize>, log: Option<LogHandle>) -> Result<(), RunError> {
    let loaded = config::load(path)?;
    if let Some(log) = &log {
        log.set_level(loaded.config.logging.level);
    }
    let workers = workers.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let server = Server::start(&loaded, path, workers, log)?;
    for (name, address) in server.addresses() {
        tracing::info!(listener = %name, %address, "listening");
    }
    for listener in loaded.config.listeners.iter().filter(|listener| listener.socket.is_some()) {
        tracing::info!(listener = %listener.name, socket = ?listener.socket, "listening");
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        workers,
        admin = %server.admin_address(),
        config = %loaded.hash,
        "bindproxy is ready"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let name = runtime.block_on(wait_for_stop(&server))?;
    let timeout = server.reloader.drain_timeout();
    tracing::info!(signal = name, timeout_seconds = timeout.as_secs(), "draining");
    let clean = server.drain(timeout);
    tracing::info!(clean, "stopped");
    Ok(())
}

async fn wait_for_stop(server: &Server) -> std::io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok("SIGTERM"),
            _ = interrupt.recv() => return Ok("SIGINT"),
            _ = hangup.recv() => server.reloader.reload(),
        }
    }
}
