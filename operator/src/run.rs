//! Starts everything, waits for the end, and ends in order.

use std::sync::Arc;

use kube::runtime::events::{Recorder, Reporter};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::client::client;
use crate::clock::Clock;
use crate::controller::{self, BindProxies};
use crate::http::{self, HttpError};
use crate::identity::FIELD_MANAGER;
use crate::kinds::KindsCache;
use crate::leader::{Candidate, LeaderError};
use crate::metrics::Metrics;
use crate::reconcile::Context;
use crate::reconcile::observe::Observer;
use crate::settings::{RunArgs, SettingsError};

/// Why the operator ended. What it had applied stays; pods go on without it.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The command line.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The API server cannot be found.
    #[error("there is no way to an API server: run inside a cluster, or set KUBECONFIG")]
    Client(#[source] kube::Error),
    /// Signals cannot be waited for.
    #[error("signals cannot be waited for")]
    Signals(#[source] std::io::Error),
    /// The metrics contradict each other.
    #[error("the metrics cannot be registered")]
    Metrics(#[from] prometheus::Error),
    /// Health and metrics cannot be served.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The election.
    #[error(transparent)]
    Leader(#[from] LeaderError),
    /// Another operator has the lease. This one must not go on, and a new start makes it a candidate.
    #[error("the lease was lost to another operator")]
    LostLease,
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When something that it cannot do without is not there, and when the lease is lost.
pub async fn run(arguments: RunArgs) -> Result<(), RunError> {
    arguments.check()?;
    // First, so that an early SIGTERM ends the process as a later one does.
    let mut signals = Signals::new().map_err(RunError::Signals)?;
    let client = client().await.map_err(RunError::Client)?;
    let metrics = Arc::new(Metrics::new()?);
    let reporter = Reporter { controller: FIELD_MANAGER.to_owned(), instance: Some(arguments.pod_name.clone()) };
    let recorder = Recorder::new(client.clone(), reporter);
    let (owned, watches) = controller::watches(&client, &arguments.namespaces(), &recorder, &metrics);
    http::serve(arguments.address, Arc::clone(&metrics), BindProxies::of(&watches)).await?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        namespaces = ?arguments.namespaces(),
        proxy_image = arguments.proxy_image,
        "started"
    );

    let mut candidate = None;
    if arguments.leader_election {
        let mut standing = Candidate::stand(&client, &arguments).await?;
        tokio::select! {
            () = standing.elected() => {}
            () = signals.wait() => {
                standing.release().await;
                return Ok(());
            }
        }
        candidate = Some(standing);
    }
    metrics.set_leader(true);
    tracing::info!("this operator works");

    let context = Arc::new(Context {
        client,
        recorder,
        defaults: arguments.defaults(),
        owned,
        kinds: KindsCache::default(),
        observer: Observer::new(),
        metrics: Arc::clone(&metrics),
        clock: Clock,
        resync: arguments.resync(),
    });
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let work = controller::run(watches, arguments.max_concurrent_reconciles, context, stopping);
    let ended = async {
        let lost = tokio::select! {
            () = signals.wait() => false,
            () = lost(candidate.as_mut()) => true,
        };
        metrics.set_leader(false);
        // What was begun is ended, so that nothing is half done.
        let _ = stop.send(true);
        lost
    };
    let ((), lost) = tokio::join!(work, ended);
    if lost {
        return Err(RunError::LostLease);
    }
    if let Some(candidate) = candidate {
        candidate.release().await;
    }
    tracing::info!("ended");
    Ok(())
}

async fn lost(candidate: Option<&mut Candidate>) {
    match candidate {
        Some(candidate) => candidate.lost().await,
        None => std::future::pending().await,
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
