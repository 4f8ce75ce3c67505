//! `bindproxy demo`: a stale password hammers a directory twice, once directly and once through
//! bindproxy, and the directory's own count tells the difference.
//!
//! The directory is [`crate::directory`], the device is [`client`]; the proxy is whatever
//! `start_proxy` starts, so that the story shows the very proxy that `bindproxy run` is.

pub mod client;
mod screen;
mod story;

use std::any::Any;
use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use thiserror::Error;

use crate::directory::{Directory, StartError};
use client::ClientError;
use screen::Screen;

/// The command's options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where the proxy serves LDAP.
    pub listen: SocketAddr,
    /// Where the proxy serves metrics and its API.
    pub admin: SocketAddr,
    /// End after the story.
    pub once: bool,
}

impl Default for Options {
    /// `127.0.0.1:3389` and `127.0.0.1:9390`; goes on serving when there is a terminal to stop it
    /// from.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 3389)),
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, 9390)),
            once: !io::stdin().is_terminal(),
        }
    }
}

/// A proxy that serves until this is dropped.
pub struct StartedProxy {
    /// Where it serves LDAP.
    pub listen: SocketAddr,
    /// Where it serves metrics and its API.
    pub admin: SocketAddr,
    /// Whatever must live for the proxy to go on.
    pub keep: Box<dyn Any + Send>,
}

/// Why the demo ended early. Whatever it had started has stopped.
#[derive(Debug, Error)]
pub enum DemoError {
    /// A port is in use.
    #[error("cannot listen on {address} (choose another with {flag} ADDRESS:PORT)")]
    Port {
        /// The address.
        address: SocketAddr,
        /// The flag that changes it.
        flag: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The embedded directory did not start.
    #[error("the embedded directory did not start")]
    Directory(#[from] StartError),
    /// The proxy did not start.
    #[error("the proxy did not start")]
    Proxy(#[source] anyhow::Error),
    /// A bind of the story got no answer.
    #[error("{who} got no answer")]
    Client {
        /// Who asked whom.
        who: &'static str,
        /// Why.
        source: ClientError,
    },
    /// The proxy did not keep its promise.
    #[error("the story did not end as it should: {0}")]
    Promise(String),
    /// The output is gone.
    #[error("cannot write the story")]
    Output(#[from] io::Error),
}

/// Tells the story on `out`, then serves until Ctrl-C or SIGTERM unless `options.once`.
///
/// `start_proxy` gets a configuration file's text and returns when the proxy listens.
///
/// # Errors
/// [`DemoError`].
pub async fn run<S, F>(
    options: Options,
    out: &mut (dyn Write + Send),
    colours: bool,
    start_proxy: S,
) -> Result<(), DemoError>
where
    S: FnOnce(String) -> F,
    F: Future<Output = anyhow::Result<StartedProxy>>,
{
    run_until(stop_signal(), options, out, colours, start_proxy).await
}

/// As [`run`], but serves until `stop` completes.
///
/// # Errors
/// [`DemoError`].
pub async fn run_until<S, F>(
    stop: impl Future<Output = io::Result<()>>,
    options: Options,
    out: &mut (dyn Write + Send),
    colours: bool,
    start_proxy: S,
) -> Result<(), DemoError>
where
    S: FnOnce(String) -> F,
    F: Future<Output = anyhow::Result<StartedProxy>>,
{
    let Options { listen, admin, once } = options;
    // Found out before anything is started, so that the message can name the flag.
    free(listen, "--listen")?;
    free(admin, "--admin-listen")?;
    let mut screen = Screen::new(out, colours);
    let directory = Directory::start(story::directory()).await?;
    story::introduce(&mut screen, &directory)?;
    let direct = story::without_proxy(&mut screen, &directory).await?;
    story::unlock(&mut screen, &directory, listen)?;
    let upstream = directory.addr();
    let proxy = start_proxy(configuration(listen, admin, upstream)).await.map_err(DemoError::Proxy)?;
    story::with_proxy(&mut screen, &directory, proxy.listen, direct).await?;
    if !once {
        story::invite(&mut screen, &proxy)?;
        tokio::select! {
            stopped = stop => stopped?,
            watched = story::watch(&mut screen, &directory) => watched?,
        }
        screen.line("")?;
    }
    drop(proxy);
    directory.stop().await;
    Ok(())
}

async fn stop_signal() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt,
        _ = terminate.recv() => Ok(()),
    }
}

/// Whether coloured output is fit for standard output: a terminal, and nobody who says no
/// (<https://no-color.org>).
#[must_use]
pub fn colours_on_stdout() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn free(address: SocketAddr, flag: &'static str) -> Result<(), DemoError> {
    TcpListener::bind(address).map(drop).map_err(|source| DemoError::Port { address, flag, source })
}

/// The configuration of the proxy of the demo, as a person would write it.
fn configuration(listen: SocketAddr, admin: SocketAddr, directory: SocketAddr) -> String {
    let (host, port) = (directory.ip(), directory.port());
    format!(
        "listeners:\n- {{name: ldap, address: \"{listen}\"}}\n\
         upstreams:\n- {{name: directory, host: \"{host}\", port: {port}}}\n\
         admin: {{address: \"{admin}\"}}\n\
         logging: {{level: warn}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_one() {
        let text = configuration(
            "127.0.0.1:3389".parse().unwrap(),
            "[::1]:9390".parse().unwrap(),
            "127.0.0.1:1389".parse().unwrap(),
        );
        let config: crate::config::Config = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(config.upstreams[0].effective_port(), 1389);
        assert_eq!(config.listeners[0].address, Some("127.0.0.1:3389".parse().unwrap()));
    }

    #[test]
    fn a_port_in_use_is_named_with_its_flag() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let message = free(address, "--admin").unwrap_err().to_string();
        assert!(message.contains(&address.to_string()) && message.contains("--admin"), "{message}");
    }
}
