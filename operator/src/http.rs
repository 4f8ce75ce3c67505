//! Health and metrics of the operator.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::controller::BindProxies;
use crate::metrics::Metrics;

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address cannot be had.
    #[error("--address {address} cannot be listened on")]
    Listen {
        /// As given.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

#[derive(Clone)]
struct Shared {
    metrics: Arc<Metrics>,
    bind_proxies: BindProxies,
}

/// Serves `/livez`, `/readyz` and `/metrics` in the background.
///
/// An operator that waits for the lease is ready too: it does what it should.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(address: SocketAddr, metrics: Arc<Metrics>, bind_proxies: BindProxies) -> Result<(), HttpError> {
    let listener = TcpListener::bind(address).await.map_err(|source| HttpError::Listen { address, source })?;
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(|| async { "ok\n" }))
        .route("/metrics", get(text))
        .fallback(|| async { (StatusCode::NOT_FOUND, "there are /livez, /readyz and /metrics\n") })
        .with_state(Shared { metrics, bind_proxies });
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(error = %error, "health and metrics are served no more");
        }
    });
    Ok(())
}

async fn text(State(Shared { metrics, bind_proxies }): State<Shared>) -> impl IntoResponse {
    let (ready, not_ready, stopped, rejected) = bind_proxies.count();
    metrics.set_resources(ready, not_ready, stopped, rejected);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.text())
}
