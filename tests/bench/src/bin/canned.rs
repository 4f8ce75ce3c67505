//! An LDAP server with fixed answers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use bindproxy_bench::canned::{BindAnswer, Canned};
use bindproxy_bench::{listen, tls};
use clap::Parser;

/// Answers binds and searches with fixed octets: the limit of what a cache can do, and a free directory.
#[derive(Parser)]
struct Arguments {
    #[arg(long)]
    listen: SocketAddr,
    /// What a bind gets.
    #[arg(long, value_enum, default_value = "by-last-octet")]
    answer: BindAnswer,
    /// Runtimes, each on a core of its own.
    #[arg(long, default_value_t = 1)]
    cores: usize,
    /// PEM file; with `--key`: TLS from the first byte.
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
    /// Note every bind whose request contains this text, with `--watch-log`.
    #[arg(long, requires = "watch_log")]
    watch_name: Option<String>,
    #[arg(long, requires = "watch_name")]
    watch_log: Option<PathBuf>,
}

fn main() -> Result<()> {
    let Arguments { listen, answer, cores, cert, key, watch_name, watch_log } = Arguments::parse();
    let mut canned = Canned::new(answer);
    if let (Some(name), Some(log)) = (watch_name, watch_log) {
        canned = canned.watching(&name, &log)?;
    }
    let canned = Arc::new(canned);
    let acceptor = match (cert, key) {
        (Some(cert), Some(key)) => Some(tls::acceptor(&cert, &key)?),
        _ => None,
    };
    listen::serve(listen, cores, move |socket| {
        let (canned, acceptor) = (Arc::clone(&canned), acceptor.clone());
        async move {
            match acceptor {
                None => canned.serve(socket).await,
                Some(tls) => {
                    if let Ok(socket) = tls.accept(socket).await {
                        canned.serve(socket).await;
                    }
                }
            }
        }
    })
}
