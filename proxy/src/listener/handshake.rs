//! From an accepted socket to a session: PROXY header, then TLS, under one deadline.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::net::{TcpStream, UnixStream};

use super::accept::{self, Accepted, AcceptedSocket};
use super::admission::Admitted;
use super::context::ListenerContext;
use super::proxy_protocol;
use crate::config::ListenerTls;
use crate::core::Core;
use crate::metrics::CloseReason;
use crate::session::Session;
use crate::transport::Transport;

/// Everything that must be undone when a connection ends, however it ends.
struct Guest {
    core: Rc<Core>,
    listener: Arc<ListenerContext>,
    admitted: Admitted,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.listener.metrics.active.dec();
        self.core.load.fetch_sub(1, Ordering::Relaxed);
        if std::thread::panicking() {
            self.core.shared.metrics.panic();
            self.listener.metrics.closed(CloseReason::Panic);
        }
    }
}

/// A client that has completed its handshake.
struct Greeted {
    transport: Transport,
    address: Option<IpAddr>,
}

/// Starts the handshake of a connection on this core, whose `load` already counts it.
pub fn start(core: &Rc<Core>, accepted: Accepted) {
    let Accepted { socket, listener, admitted } = accepted;
    listener.metrics.active.inc();
    let mut guest = Guest { core: core.clone(), listener, admitted };
    // A panic of this task ends this connection alone: the runtime catches it at the task.
    tokio::task::spawn_local(async move {
        let deadline = guest.core.with_settings(|settings| settings.config.limits.handshake_timeout_seconds.duration());
        let greeted = tokio::time::timeout(deadline, greet(&mut guest, socket)).await;
        match greeted.unwrap_or(Err(CloseReason::HandshakeTimeout)) {
            Ok(Greeted { transport, address }) => {
                let session = Session::new(guest.core.clone(), guest.listener.clone(), transport, address);
                // A task of its own, so that the idle session does not keep the room that this
                // handshake's future took.
                tokio::task::spawn_local(async move {
                    let _guest = guest;
                    session.run().await;
                });
            }
            Err(reason) => guest.listener.metrics.closed(reason),
        }
    });
}

async fn greet(guest: &mut Guest, socket: AcceptedSocket) -> Result<Greeted, CloseReason> {
    let (stream, peer) = match socket {
        AcceptedSocket::Unix(stream) => {
            let stream = UnixStream::from_std(stream).map_err(|_| CloseReason::Client)?;
            return Ok(Greeted { transport: Transport::Unix(stream), address: None });
        }
        AcceptedSocket::Tcp(stream, peer) => (TcpStream::from_std(stream).map_err(|_| CloseReason::Client)?, peer),
    };
    let address = match &guest.listener.proxy_protocol {
        None => Some(peer),
        Some(trusted) => {
            if !trusted.iter().any(|network| network.contains(peer)) {
                return Err(CloseReason::UntrustedProxyHeader);
            }
            Some(take_proxy_header(&stream).await?.unwrap_or(peer))
        }
    };
    let limits = accept::limits(&guest.core);
    if let Some(address) = address
        && !guest.admitted.attribute(address, limits)
    {
        return Err(CloseReason::Limit);
    }
    let transport = match guest.listener.tls {
        ListenerTls::Disabled | ListenerTls::StartTLS => Transport::Tcp(stream),
        ListenerTls::LDAPS => {
            let config = guest.core.with_settings(|settings| settings.server_tls.clone());
            let config = config.ok_or(CloseReason::TlsError)?;
            let stream = tokio_rustls::TlsAcceptor::from(config).accept(stream).await.map_err(|error| {
                tracing::debug!(listener = %guest.listener.name, %error, "TLS handshake failed");
                CloseReason::TlsError
            })?;
            Transport::ServerTls(Box::new(stream))
        }
    };
    Ok(Greeted { transport, address })
}

/// Reads the header off the stream and not one octet more: what follows may be a TLS handshake.
async fn take_proxy_header(stream: &TcpStream) -> Result<Option<IpAddr>, CloseReason> {
    let mut peeked = vec![0_u8; proxy_protocol::MAX_HEADER_OCTETS];
    let mut known = 0;
    loop {
        let received = peek_more(stream, &mut peeked, known).await.map_err(|_| CloseReason::Client)?;
        if received == 0 {
            return Err(CloseReason::Client);
        }
        known = received;
        let header = proxy_protocol::parse(&peeked[..received]).map_err(|error| {
            tracing::debug!(%error, "PROXY header refused");
            CloseReason::ProtocolError
        })?;
        if let Some(header) = header {
            let mut taken = 0;
            while taken < header.octets {
                stream.readable().await.map_err(|_| CloseReason::Client)?;
                match stream.try_read(&mut peeked[..header.octets - taken]) {
                    Ok(0) => return Err(CloseReason::Client),
                    Ok(read) => taken += read,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return Err(CloseReason::Client),
                }
            }
            return Ok(header.client);
        }
    }
}

/// Peeks until more than `known` octets are there.
async fn peek_more(stream: &TcpStream, buffer: &mut [u8], known: usize) -> io::Result<usize> {
    loop {
        let received = poll_fn(|cx| stream.poll_peek(cx, &mut tokio::io::ReadBuf::new(buffer))).await?;
        if received == 0 || received > known {
            return Ok(received);
        }
        // The rest of a header that arrives in pieces: there is no event for "more than before",
        // and a header is one packet in practice.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;
    use crate::bind::{Guard, HashKey};
    use crate::clock::Clock;
    use crate::cluster::clock::ClusterClock;
    use crate::core::Shared;
    use crate::listener::admission::{Admission, AdmissionLimits};
    use crate::metrics::Metrics;
    use crate::settings::{self, Settings};
    use crate::status::Status;
    use crate::upstream::resolve::Resolver;

    fn core() -> Rc<Core> {
        let text = "listeners: [{name: ldap, address: '127.0.0.1:0'}]\nupstreams: [{name: a, host: 127.0.0.1}]";
        let loaded = crate::config::load_text(text, std::path::Path::new(".")).unwrap();
        let metrics = Metrics::new(&["ldap".to_owned()], &["a".to_owned()]);
        let settings = Settings::build(&loaded, &metrics, None).unwrap();
        let clock = Clock::start();
        let shared = Shared {
            clock,
            cluster_clock: ClusterClock::alone(clock),
            cluster: OnceLock::new(),
            guard: Guard::new(10, settings::policy(&loaded, &HashKey::from_bytes([7; 32]))),
            metrics: Arc::new(metrics),
            status: Arc::new(Status::new(clock.now())),
            resolver: Resolver::default(),
            admission: Admission::default(),
            offenders: Vec::new(),
            cores: OnceLock::new(),
        };
        Core::new(0, Arc::new(shared), settings, Arc::default())
    }

    #[test]
    fn a_panic_ends_one_connection_is_counted_and_gives_everything_back() {
        let options = tokio::runtime::LocalOptions::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(options).unwrap();
        runtime.block_on(async {
            let core = core();
            let limits = AdmissionLimits { all: 1, per_address: 0 };
            let listener = Arc::new(ListenerContext {
                name: "ldap".into(),
                tls: ListenerTls::Disabled,
                proxy_protocol: None,
                metrics: core.shared.metrics.listener("ldap"),
            });
            core.load.fetch_add(1, Ordering::Relaxed);
            listener.metrics.active.inc();
            let admitted = core.shared.admission.admit(limits).unwrap();
            let guest = Guest { core: core.clone(), listener: listener.clone(), admitted };
            let connection = tokio::task::spawn_local(async move {
                let _guest = guest;
                panic!("on purpose: this is what the test is about");
            });
            assert!(connection.await.unwrap_err().is_panic());
            assert_eq!(listener.metrics.closed_count(CloseReason::Panic), 1);
            assert_eq!((listener.metrics.active.get(), core.load.load(Ordering::Relaxed)), (0, 0));
            assert!(core.shared.admission.admit(limits).is_some(), "its place is free again");
            assert!(core.shared.metrics.render().contains("bindproxy_panics_total 1"));
        });
    }
}
