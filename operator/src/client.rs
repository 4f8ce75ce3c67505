//! The client of the API server.

use std::time::Duration;

use kube::client::ClientBuilder;
use kube::{Client, Config};
use tower::timeout::TimeoutLayer;

/// How long the API server may take to begin an answer; one that works says within a minute that it cannot. Without this, a
/// request on a connection that is dead and not closed waits until the kernel gives up, a quarter of an hour.
const BEGINS_WITHIN: Duration = Duration::from_secs(30);

/// A client of the API server that is found as every tool finds it: in the cluster, or by `KUBECONFIG`.
///
/// # Errors
/// When none is found, or when what is told of it contradicts itself.
pub async fn client() -> Result<Client, kube::Error> {
    let config = Config::infer().await.map_err(kube::Error::InferConfig)?;
    with_limit(config, BEGINS_WITHIN)
}

/// The limit is on the beginning of an answer alone: a watch is one long answer, and bounds its silences by itself. That a
/// look is not held up by an answer that begins and does not end is the look's own limit.
///
/// The client tells at once what the API server says. By itself it would try again what is answered with 429 or 503, which
/// an API server says while it starts, in steps that double up to 1000 s: a watch would be deaf for minutes after an
/// outage. Watches and looks have steps of their own.
fn with_limit(mut config: Config, limit: Duration) -> Result<Client, kube::Error> {
    config.default_retry = false;
    Ok(ClientBuilder::try_from(config)?.with_layer(&TimeoutLayer::new(limit)).build())
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::Api;
    use kube::api::WatchParams;
    use kube::core::WatchEvent;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);

    /// ConfigMaps of an API server that takes one connection and a request, and goes on as `then` says.
    async fn config_maps<F: Future<Output = ()> + Send>(
        then: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) -> Api<ConfigMap> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            then(stream).await;
        });
        Api::namespaced(with_limit(Config::new(uri), LIMIT).unwrap(), "mail")
    }

    #[tokio::test]
    async fn a_request_that_nobody_answers_ends() {
        let api = config_maps(async |mut stream| {
            // Until the client hangs up: a connection with an answer that is owed must not be used again.
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        })
        .await;
        let asked = tokio::time::timeout(10 * LIMIT, api.get_opt("corp-config")).await;
        let error = asked.expect("the limit").expect_err("nobody answered");
        let told = crate::reconcile::failure::chain(&error);
        assert!(told.contains("timed out"), "{told}");
    }

    #[tokio::test]
    async fn a_watch_may_be_silent_for_longer() {
        let api = config_maps(async |mut stream| {
            let event = r#"{"type":"ADDED","object":{"metadata":{"name":"corp-config","namespace":"mail"}}}"#;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
            stream.write_all(head.as_bytes()).await.unwrap();
            tokio::time::sleep(LIMIT + LIMIT / 2).await;
            stream.write_all(format!("{event}\n").as_bytes()).await.unwrap();
        })
        .await;
        let mut events = Box::pin(api.watch(&WatchParams::default(), "1").await.unwrap());
        let event = events.try_next().await.unwrap();
        assert!(matches!(event, Some(WatchEvent::Added(_))), "{event:?}");
    }
}
