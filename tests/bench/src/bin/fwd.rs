//! A forwarder that understands nothing.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use bindproxy_bench::forward::Forward;
use bindproxy_bench::{listen, tls};
use clap::Parser;

/// Copies octets between clients and one upstream.
#[derive(Parser)]
struct Arguments {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    upstream: SocketAddr,
    /// Runtimes, each on a core of its own.
    #[arg(long, default_value_t = 1)]
    cores: usize,
    /// PEM file; with `--key`: TLS towards the clients.
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
    /// TLS towards the upstream.
    #[arg(long)]
    upstream_tls: bool,
}

fn main() -> Result<()> {
    let Arguments { listen, upstream, cores, cert, key, upstream_tls } = Arguments::parse();
    let accept = match (cert, key) {
        (Some(cert), Some(key)) => Some(tls::acceptor(&cert, &key)?),
        _ => None,
    };
    let connect = upstream_tls.then(tls::connector).transpose()?;
    let forward = Forward { upstream, accept, connect };
    listen::serve(listen, cores, move |socket| forward.clone().serve(socket))
}
