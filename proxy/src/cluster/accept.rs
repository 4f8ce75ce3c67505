//! Connections that other members open.

use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::metrics::cluster::ClusterRejection;

use super::event::Direction;
use super::greeting::{self, GreetingError};
use super::mesh::Mesh;

/// Accepting at once again after "too many open files" would only spin.
const PAUSE_AFTER_FAULT: Duration = Duration::from_secs(1);
/// Greetings under way at the same time; whoever holds more than these open without a word is
/// turned away.
const MOST_GREETINGS: usize = 256;

/// Accepts until the task is dropped.
pub(super) async fn run(mesh: Rc<Mesh>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let Some(place) = Greeting::begin(&mesh) else {
                    mesh.metrics().rejected(ClusterRejection::Limit);
                    continue;
                };
                let mesh = mesh.clone();
                tokio::task::spawn_local(async move { serve(&mesh, stream, address, place).await });
            }
            Err(error) => {
                mesh.metrics().accept_faults.inc();
                tracing::error!(
                    %error,
                    "cannot accept connections of other members; if these are too many open files, raise LimitNOFILE \
                     or lower limits.maxConnections; connections that are up go on"
                );
                tokio::time::sleep(PAUSE_AFTER_FAULT).await;
            }
        }
    }
}

/// One greeting's place among those under way.
struct Greeting(Rc<Mesh>);

impl Greeting {
    fn begin(mesh: &Rc<Mesh>) -> Option<Self> {
        let under_way = mesh.greetings.get();
        (under_way < MOST_GREETINGS).then(|| {
            mesh.greetings.set(under_way + 1);
            Self(mesh.clone())
        })
    }
}

impl Drop for Greeting {
    fn drop(&mut self) {
        self.0.greetings.set(self.0.greetings.get().saturating_sub(1));
    }
}

async fn serve(mesh: &Rc<Mesh>, stream: TcpStream, address: std::net::SocketAddr, place: Greeting) {
    let greeted = tokio::time::timeout(mesh.greeting_timeout(), greeting::answer(mesh, stream)).await;
    drop(place);
    match greeted.unwrap_or(Err(GreetingError::Timeout)) {
        Ok(greeted) => mesh.link(Direction::Accepted, address, greeted).await,
        Err(error) => {
            if let Some(rejection) = error.rejection() {
                mesh.metrics().rejected(rejection);
                tracing::warn!(%address, %error, "a connection to the cluster port is refused");
            } else {
                tracing::debug!(%address, %error, "a connection to the cluster port came to nothing");
            }
        }
    }
}
