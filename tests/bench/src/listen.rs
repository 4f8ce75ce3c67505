//! Accepting connections on several cores, each with a runtime of its own: the thread model of the
//! proxy, so that a limit server measures the work and not the scheduler.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;

/// A runtime on the calling thread.
pub fn runtime() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("cannot start a runtime")
}

/// Accepts on `address` for ever and hands the connections to `cores` runtimes in turn; each
/// connection is one task that runs `serve`.
pub fn serve<F, S>(address: SocketAddr, cores: usize, serve: S) -> Result<()>
where
    F: Future<Output = ()> + Send + 'static,
    S: Fn(TcpStream) -> F + Send + Sync + 'static,
{
    let serve = Arc::new(serve);
    let mut others = Vec::new();
    for _ in 1..cores.max(1) {
        let (sender, mut receiver) = mpsc::unbounded_channel::<std::net::TcpStream>();
        others.push(sender);
        let serve = serve.clone();
        let runtime = runtime()?;
        thread::spawn(move || {
            runtime.block_on(async move {
                while let Some(socket) = receiver.recv().await {
                    if let Ok(socket) = TcpStream::from_std(socket) {
                        tokio::spawn(serve(socket));
                    }
                }
            });
        });
    }
    runtime()?.block_on(async move {
        let listener = TcpListener::from_std(bind(address)?).context("cannot register the listener")?;
        let mut next = 0;
        loop {
            let Ok((socket, _)) = listener.accept().await else { continue };
            socket.set_nodelay(true).ok();
            match others.get(next) {
                None => {
                    tokio::spawn(serve(socket));
                    next = 0;
                }
                Some(other) => {
                    if let Ok(socket) = socket.into_std() {
                        other.send(socket).ok();
                    }
                    next += 1;
                }
            }
        }
    })
}

fn bind(address: SocketAddr) -> Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).context("cannot make a socket")?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into()).with_context(|| format!("cannot listen on {address}"))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
