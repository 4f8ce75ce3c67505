//! Which of several operators works: the one that holds the lease.

use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch::Receiver;
use tokio::task::JoinHandle;

use crate::identity::FIELD_MANAGER;
use crate::settings::RunArgs;

/// Why an operator cannot be elected.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    /// The lease cannot be used.
    #[error(
        "the lease {namespace}/{name} cannot be used; the operator needs get, create and patch on leases in its namespace"
    )]
    Lease {
        /// Where it is.
        namespace: String,
        /// What it is called.
        name: String,
        /// What failed.
        #[source]
        source: Box<LeaseManagerError>,
    },
}

/// A candidate. It renews the lease while it has it, in a task of its own.
pub struct Candidate {
    holds: Receiver<bool>,
    task: JoinHandle<Result<LeaseManager, LeaseManagerError>>,
}

impl Candidate {
    /// Stands for election.
    ///
    /// # Errors
    /// When the lease can neither be read nor made.
    pub async fn stand(client: &Client, arguments: &RunArgs) -> Result<Self, LeaderError> {
        let grace = arguments.lease_seconds.saturating_sub(arguments.lease_renew_seconds);
        let manager = LeaseManagerBuilder::new(client.clone(), &arguments.lease_name)
            .with_namespace(&arguments.namespace)
            .with_identity(&arguments.pod_name)
            .with_duration(arguments.lease_seconds)
            .with_grace(grace)
            // Two operators must be told apart by it, or one could write over the other.
            .with_field_manager(format!("{FIELD_MANAGER}-lease-{}", arguments.pod_name))
            .build()
            .await
            .map_err(|source| LeaderError::Lease {
                namespace: arguments.namespace.clone(),
                name: arguments.lease_name.clone(),
                source: Box::new(source),
            })?;
        let (holds, task) = manager.watch().await;
        Ok(Self { holds, task })
    }

    /// Waits until the lease is held.
    pub async fn elected(&mut self) {
        if self.holds.wait_for(|holds| *holds).await.is_err() {
            // The task ended: it will never be.
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the lease, once held, is lost.
    pub async fn lost(&mut self) {
        // An error means that the task ended, and with it the renewing.
        let _ = self.holds.wait_for(|holds| !*holds).await;
    }

    /// Lets go of the lease, so that another one need not wait until it runs out.
    pub async fn release(self) {
        let Self { holds, task } = self;
        drop(holds);
        match task.await {
            Ok(Ok(_)) => tracing::info!("the lease was released"),
            Ok(Err(error)) => tracing::warn!(error = %error, "the lease could not be released and will run out"),
            Err(error) => tracing::warn!(error = %error, "the task that renews the lease failed"),
        }
    }
}
