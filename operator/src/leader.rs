//! Which of several operators works: the one that holds the lease.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch::Receiver;
use tokio::task::JoinHandle;

use crate::identity::FIELD_MANAGER;
use crate::reconcile::failure;
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

/// How often one that waits looks whether nobody has the lease any more. The manager of the lease sleeps until it would run
/// out, also when its holder gave it back at once.
const LOOKED_EVERY: Duration = Duration::from_secs(2);

/// A candidate. It renews the lease while it has it, in a task of its own.
pub struct Candidate {
    election: Election,
    standing: Standing,
}

/// What is stood for, and as whom.
struct Election {
    client: Client,
    namespace: String,
    name: String,
    pod_name: String,
    seconds: u64,
    grace_seconds: u64,
}

/// The manager of the lease at work.
struct Standing {
    holds: Receiver<bool>,
    task: JoinHandle<Result<LeaseManager, LeaseManagerError>>,
}

impl Election {
    /// Asks how the lease is, and takes it as soon as the manager finds it free.
    async fn stand(&self) -> Result<Standing, LeaderError> {
        let manager = LeaseManagerBuilder::new(self.client.clone(), &self.name)
            .with_namespace(&self.namespace)
            .with_identity(&self.pod_name)
            .with_duration(self.seconds)
            .with_grace(self.grace_seconds)
            // Two operators must be told apart by it, or one could write over the other.
            .with_field_manager(format!("{FIELD_MANAGER}-lease-{}", self.pod_name))
            .build()
            .await
            .map_err(|source| LeaderError::Lease {
                namespace: self.namespace.clone(),
                name: self.name.clone(),
                source: Box::new(source),
            })?;
        let (holds, task) = manager.watch().await;
        Ok(Standing { holds, task })
    }

    /// Waits until nobody has the lease.
    async fn free(&self) {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
        loop {
            tokio::time::sleep(LOOKED_EVERY).await;
            match leases.get_opt(&self.name).await {
                Ok(lease) if is_free(lease.as_ref()) => return,
                Ok(_) => {}
                Err(error) => tracing::debug!(error = %error, "the lease cannot be looked at"),
            }
        }
    }
}

/// Whether nobody has it. One that is held may have run out, too: of that the manager takes care.
fn is_free(lease: Option<&Lease>) -> bool {
    let holder = lease.and_then(|lease| lease.spec.as_ref()?.holder_identity.as_deref());
    holder.is_none_or(str::is_empty)
}

impl Candidate {
    /// Stands for election.
    ///
    /// # Errors
    /// When the lease can neither be read nor made.
    pub async fn stand(client: &Client, arguments: &RunArgs) -> Result<Self, LeaderError> {
        let election = Election {
            client: client.clone(),
            namespace: arguments.namespace.clone(),
            name: arguments.lease_name.clone(),
            pod_name: arguments.pod_name.clone(),
            seconds: arguments.lease_seconds,
            grace_seconds: arguments.lease_seconds.saturating_sub(arguments.lease_renew_seconds),
        };
        let standing = election.stand().await?;
        Ok(Self { election, standing })
    }

    /// Waits until the lease is held.
    pub async fn elected(&mut self) {
        loop {
            let Self { election, standing } = self;
            tokio::select! {
                // First: a manager that has just taken the lease is not asked anew.
                biased;
                held = standing.holds.wait_for(|holds| *holds) => if held.is_ok() {
                    return;
                } else {
                    // The task ended: it will never be.
                    std::future::pending::<()>().await;
                },
                () = election.free() => {}
            }
            match election.stand().await {
                Ok(anew) => {
                    // A manager that ends in order lets go of the lease, which the next one may hold by now.
                    standing.task.abort();
                    *standing = anew;
                }
                Err(error) => {
                    tracing::warn!(error = failure::chain(&error), "nobody has the lease, and it cannot be had")
                }
            }
        }
    }

    /// Waits until the lease, once held, is lost.
    pub async fn lost(&mut self) {
        // An error means that the task ended, and with it the renewing.
        let _ = self.standing.holds.wait_for(|holds| !*holds).await;
    }

    /// Lets go of the lease, so that another one need not wait until it runs out.
    pub async fn release(self) {
        let Self { election: _, standing: Standing { holds, task } } = self;
        drop(holds);
        match task.await {
            Ok(Ok(_)) => tracing::info!("the lease was released"),
            Ok(Err(error)) => tracing::warn!(error = %error, "the lease could not be released and will run out"),
            Err(error) => tracing::warn!(error = %error, "the task that renews the lease failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::sync::Arc;

    use clap::Parser as _;
    use http_body_util::BodyExt as _;
    use hyper::{Method, Request, Response};
    use k8s_openapi::jiff::Timestamp;
    use kube::client::Body;
    use parking_lot::Mutex;
    use serde_json::{Value, json};
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::settings::{Cli, Command};

    /// An API server that knows one lease, and which of the next requests it will refuse.
    #[derive(Clone)]
    struct Server(Arc<Mutex<(Value, VecDeque<bool>)>>);

    impl Server {
        /// Another operator renewed the lease now, for an hour.
        fn held() -> Self {
            let spec = json!({"holderIdentity": "other", "renewTime": Timestamp::now(), "leaseDurationSeconds": 3600});
            Self(Arc::new(Mutex::new((spec, VecDeque::new()))))
        }

        fn give_back(&self, refused: &[bool]) {
            *self.0.lock() = (json!({"leaseTransitions": 1}), refused.iter().copied().collect());
        }

        fn holder(&self) -> Value {
            self.0.lock().0["holderIdentity"].clone()
        }

        fn answer(&self, method: &Method, request: &[u8]) -> (u16, Value) {
            let mut state = self.0.lock();
            let (spec, refused) = &mut *state;
            if refused.pop_front() == Some(true) {
                return (500, json!({"status": "Failure", "code": 500}));
            }
            if method == Method::PATCH {
                let mut patch: Value = serde_json::from_slice(request).unwrap();
                spec.as_object_mut().unwrap().append(patch["spec"].as_object_mut().unwrap());
            }
            (200, json!({"metadata": {"name": "bindproxy-operator", "namespace": "bindproxy-system"}, "spec": spec}))
        }

        fn client(&self) -> Client {
            let server = self.clone();
            let service = tower::service_fn(move |request: Request<Body>| {
                let server = server.clone();
                async move {
                    let (head, body) = request.into_parts();
                    let (code, body) = server.answer(&head.method, &body.collect().await.unwrap().to_bytes());
                    let body = Body::from(body.to_string().into_bytes());
                    Ok::<_, Infallible>(Response::builder().status(code).body(body).unwrap())
                }
            });
            Client::new(service, "bindproxy-system")
        }
    }

    async fn candidate(server: &Server) -> Candidate {
        let line = "bindproxy-operator run --namespace bindproxy-system --pod-name me --proxy-image registry.example/bindproxy";
        let Command::Run(arguments) = Cli::parse_from(line.split(' ')).command else { panic!("{line}") };
        Candidate::stand(&server.client(), &arguments).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_is_given_back_is_taken_at_once_and_one_that_is_held_is_not() {
        let server = Server::held();
        let mut candidate = candidate(&server).await;
        assert!(timeout(Duration::from_secs(600), candidate.elected()).await.is_err(), "another one has it");
        assert_eq!(server.holder(), "other");
        server.give_back(&[]);
        let began = Instant::now();
        timeout(Duration::from_secs(600), candidate.elected()).await.expect("nobody has it");
        assert!(began.elapsed() <= LOOKED_EVERY, "{:?}", began.elapsed());
        assert_eq!(server.holder(), "me");
        candidate.release().await;
        assert_eq!(server.holder(), Value::Null);
    }

    #[tokio::test(start_paused = true)]
    async fn a_free_lease_is_asked_for_again_when_the_api_server_is_in_trouble() {
        // Looking, asking anew, finding it free, taking it.
        for refused in [
            [true, false, false, false],
            [false, true, false, false],
            [false, false, true, false],
            [false, false, false, true],
        ] {
            let server = Server::held();
            let mut candidate = candidate(&server).await;
            assert!(timeout(Duration::from_secs(1), candidate.elected()).await.is_err(), "another one has it");
            server.give_back(&refused);
            timeout(Duration::from_secs(60), candidate.elected()).await.unwrap_or_else(|_| panic!("{refused:?}"));
            assert_eq!(server.holder(), "me");
        }
    }
}
