//! The optional kinds: what others' resource definitions add to the API server.

use std::time::Duration;

use kube::Client;
use kube::core::{ApiResource, GroupVersionKind};
use kube::discovery::pinned_kind;
use parking_lot::Mutex;
use tokio::time::Instant;

/// How long an answer is good for: a kind that is installed later is found without a restart.
const FRESH: Duration = Duration::from_secs(60);

/// The optional kinds that the API server has.
#[derive(Clone, Debug, Default)]
pub struct Kinds {
    /// Of the Prometheus operator.
    pub pod_monitor: Option<ApiResource>,
    /// Of the Prometheus operator.
    pub service_monitor: Option<ApiResource>,
    /// Of the Prometheus operator.
    pub prometheus_rule: Option<ApiResource>,
    /// Of cert-manager.
    pub certificate: Option<ApiResource>,
}

/// Remembers what the API server said.
#[derive(Default)]
pub struct KindsCache {
    known: Mutex<Option<(Instant, Kinds)>>,
}

impl KindsCache {
    /// The optional kinds, as they were at most a minute ago.
    ///
    /// # Errors
    /// When the API server cannot be asked; that a kind is not there is no error.
    pub async fn get(&self, client: &Client) -> Result<Kinds, kube::Error> {
        let now = Instant::now();
        if let Some((at, kinds)) = self.known.lock().as_ref()
            && now.duration_since(*at) < FRESH
        {
            return Ok(kinds.clone());
        }
        let kinds = Kinds {
            pod_monitor: kind(client, "monitoring.coreos.com", "v1", "PodMonitor").await?,
            service_monitor: kind(client, "monitoring.coreos.com", "v1", "ServiceMonitor").await?,
            prometheus_rule: kind(client, "monitoring.coreos.com", "v1", "PrometheusRule").await?,
            certificate: kind(client, "cert-manager.io", "v1", "Certificate").await?,
        };
        *self.known.lock() = Some((now, kinds.clone()));
        Ok(kinds)
    }
}

async fn kind(client: &Client, group: &str, version: &str, kind: &str) -> Result<Option<ApiResource>, kube::Error> {
    match pinned_kind(client, &GroupVersionKind::gvk(group, version, kind)).await {
        Ok((resource, _)) => Ok(Some(resource)),
        Err(kube::Error::Discovery(_)) => Ok(None),
        // The API server has no such group; it says so in plain text, which has a code and no reason.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}
