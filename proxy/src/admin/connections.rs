//! The connections of the admin address. A client that is slow, silent or many must neither hold
//! the control thread nor keep a health check out.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::AdminState;
use super::routes::{self, AdminRequest};
use crate::drain::LAST_ANSWERS;

/// One more pushes out the oldest, so that clients who hold connections keep nobody out.
const MAX_CONNECTIONS: usize = 64;
/// From the connection, or the last answer, to the end of a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// From a request's head to its answer, its body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// After this a connection ends with the request that it is at.
const CONNECTION_LIFE: Duration = Duration::from_secs(300);
/// What such a request may still take.
const GRACE: Duration = Duration::from_secs(5);
/// Room for a head with a long name in its query.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// After a failed accept (no file descriptor), so as not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Serves the admin address until `shutdown` is done, then lets requests in progress end, for at most
/// [`LAST_ANSWERS`]. The listener is closed when this returns.
pub async fn serve(listener: TcpListener, state: AdminState, shutdown: impl Future) {
    let router = routes::router(state);
    let (ending, ended) = watch::channel(());
    let mut connections = Connections::default();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            _ = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => connections.admit(connection(stream, peer, router.clone(), ended.clone())),
            Err(fault) => {
                tracing::warn!(%fault, "the admin address could not take a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    drop(ending);
    let _ = timeout(LAST_ANSWERS, connections.all_ended()).await;
}

#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    /// The oldest first.
    by_age: VecDeque<AbortHandle>,
}

impl Connections {
    fn admit(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.by_age.retain(|task| !task.is_finished());
        if self.by_age.len() >= MAX_CONNECTIONS
            && let Some(oldest) = self.by_age.pop_front()
        {
            tracing::debug!("more than {MAX_CONNECTIONS} connections to the admin address: the oldest is closed");
            oldest.abort();
        }
        self.by_age.push_back(self.tasks.spawn(connection));
    }

    async fn all_ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, mut ended: watch::Receiver<()>) {
    // Answers are small and written at once; a failure costs some milliseconds and nothing else.
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: AdminRequest| {
        request.extensions_mut().insert(Peer(peer));
        let answer = router.call(request);
        async move { Ok::<Response, Infallible>(answered(timeout(REQUEST_TIMEOUT, answer).await)) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    let fault = tokio::select! {
        done = serving.as_mut() => done.err(),
        _ = ended.changed() => ended_gracefully(serving).await,
        () = sleep(CONNECTION_LIFE) => ended_gracefully(serving).await,
    };
    if let Some(fault) = fault {
        tracing::debug!(%peer, %fault, "a connection to the admin address ended early");
    }
}

fn answered(answer: Result<Result<Response, Infallible>, tokio::time::error::Elapsed>) -> Response {
    match answer {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => routes::too_slow(),
    }
}

async fn ended_gracefully<S>(
    mut serving: std::pin::Pin<&mut http1::Connection<TokioIo<TcpStream>, S>>,
) -> Option<hyper::Error>
where
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = axum::body::Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    serving.as_mut().graceful_shutdown();
    timeout(GRACE, serving).await.ok().and_then(Result::err)
}
