//! `GET /statusz` of one pod: one connection for each question, bounded in time and in size.

use std::error::Error as _;
use std::net::SocketAddr;
use std::time::Duration;

use bindproxy::admin::PodStatus;
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::reconcile::observation::PodAnswer;

/// How long one question may take in all.
const LIMIT: Duration = Duration::from_secs(2);
/// The longest answer; a pod with 16 directory servers and 14 peers needs less than a tenth of it.
const OCTETS: usize = 256 * 1024;
/// Questions before a pod counts as silent, so that one lost packet says nothing about it.
const ATTEMPTS: usize = 2;

/// Why a pod did not answer. Its text is the same each time, so that it may stand in a status; it holds no address.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("no answer within {} s", LIMIT.as_secs())]
    Timeout,
    #[error("it cannot be reached: {0}")]
    Connect(std::io::ErrorKind),
    #[error("the connection broke")]
    Broken(#[source] hyper::Error),
    #[error("it answered with status {0}")]
    Status(u16),
    #[error("its answer is longer than {OCTETS} octets")]
    TooLong,
    #[error("its answer is no status of a proxy")]
    Foreign(#[source] serde_json::Error),
}

/// Asks the pod at `address`.
pub(super) async fn ask(address: SocketAddr) -> PodAnswer {
    let mut last = AskError::Timeout;
    for _ in 0..ATTEMPTS {
        match tokio::time::timeout(LIMIT, once(address)).await {
            Ok(Ok(status)) => return PodAnswer::Told(Box::new(status)),
            Ok(Err(error)) => last = error,
            Err(_) => last = AskError::Timeout,
        }
    }
    tracing::debug!(%address, error = %last, cause = last.source().map(tracing::field::display), "a pod did not answer");
    PodAnswer::Silent(last.to_string())
}

async fn once(address: SocketAddr) -> Result<PodStatus, AskError> {
    let stream = TcpStream::connect(address).await.map_err(|error| AskError::Connect(error.kind()))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(AskError::Broken)?;
    // Both are polled here: dropping this future, as the limit does, leaves no task behind.
    let exchange = exchange(&mut sender, address);
    let connection = async {
        let ended = connection.await;
        // The exchange tells how it ended; a connection that is merely over leaves it to finish.
        if let Err(error) = ended {
            tracing::trace!(%address, %error, "the connection to a pod broke");
        }
        std::future::pending().await
    };
    tokio::select! {
        answer = exchange => answer,
        never = connection => never,
    }
}

async fn exchange(
    sender: &mut hyper::client::conn::http1::SendRequest<Empty<Bytes>>,
    address: SocketAddr,
) -> Result<PodStatus, AskError> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = hyper::Uri::from_static("/statusz");
    // An address as text has the brackets that IPv6 needs, and is a header value in any case.
    if let Ok(host) = header::HeaderValue::from_str(&address.to_string()) {
        request.headers_mut().insert(header::HOST, host);
    }
    let response = sender.send_request(request).await.map_err(AskError::Broken)?;
    if !response.status().is_success() {
        return Err(AskError::Status(response.status().as_u16()));
    }
    let body = Limited::new(response.into_body(), OCTETS).collect().await.map_err(of_body)?;
    serde_json::from_slice(&body.to_bytes()).map_err(AskError::Foreign)
}

fn of_body(error: Box<dyn std::error::Error + Send + Sync>) -> AskError {
    match error.downcast::<hyper::Error>() {
        Ok(error) => AskError::Broken(*error),
        Err(error) => {
            debug_assert!(error.is::<LengthLimitError>(), "{error}");
            AskError::TooLong
        }
    }
}

#[cfg(test)]
mod tests;
