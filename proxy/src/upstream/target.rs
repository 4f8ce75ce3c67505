//! One upstream as the cores see it: where it is, how TLS starts, and what is known of it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::fault::{Fault, UpstreamReason};
use super::health::{Health, Transition};
use super::idle_limit::IdleLimit;
use super::permits::Permits;
use super::select::Candidate;
use crate::clock::Tick;
use crate::config::HealthCheck;
use crate::metrics::UpstreamMetrics;

/// One upstream of one generation of the configuration.
pub struct Target {
    /// The configured name.
    pub name: Arc<str>,
    /// Where it is.
    pub endpoint: Endpoint,
    /// How TLS starts, if it does.
    pub tls: Option<TargetTls>,
    /// Lower is asked first.
    pub priority: u32,
    /// Share among equals.
    pub weight: u32,
    /// Whether connections to it carry an identity of the proxy's own (a client certificate, or
    /// the peer credentials of a unix socket), which SASL EXTERNAL would lend to any client.
    pub has_own_identity: bool,
    /// Its metrics.
    pub metrics: UpstreamMetrics,
    /// What outlives a reload.
    pub state: Arc<TargetState>,
}

/// Where an upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// An IP address needs no resolver.
    Address(IpAddr, u16),
    /// A host name.
    Name(String, u16),
    /// A unix socket.
    Socket(PathBuf),
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address, port) => write!(f, "{}", std::net::SocketAddr::new(*address, *port)),
            Self::Name(host, port) => write!(f, "{host}:{port}"),
            Self::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

/// TLS towards an upstream.
#[derive(Clone, Debug)]
pub struct TargetTls {
    /// Whether StartTLS comes first.
    pub start_tls: bool,
    /// The client side's settings.
    pub config: Arc<ClientConfig>,
    /// The name that the certificate must carry.
    pub server_name: ServerName<'static>,
}

/// What is known of an upstream over reloads and cores.
pub struct TargetState {
    /// Connections and their queue.
    pub permits: Arc<Permits>,
    health: Mutex<Health>,
    up: AtomicBool,
    /// Whether the rootDSE lists the password policy control. True until it was read: a server that
    /// does not know the control ignores it, and a bind without it may hide that the account is
    /// locked or its password expired.
    password_policy: AtomicBool,
    idle_limit: Mutex<IdleLimit>,
    last_fault: Mutex<Option<Fault>>,
    /// Turns of the round robin.
    turn: AtomicU64,
}

impl TargetState {
    /// A new upstream: believed up until shown otherwise.
    #[must_use]
    pub fn new(max_connections: u32) -> Arc<Self> {
        Arc::new(Self {
            permits: Permits::new(max_connections),
            health: Mutex::new(Health::default()),
            up: AtomicBool::new(true),
            password_policy: AtomicBool::new(true),
            idle_limit: Mutex::new(IdleLimit::default()),
            last_fault: Mutex::new(None),
            turn: AtomicU64::new(0),
        })
    }

    /// Whether it is believed to answer.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Whether the rootDSE lists the password policy control, as far as is known.
    #[must_use]
    pub fn supports_password_policy(&self) -> bool {
        self.password_policy.load(Ordering::Relaxed)
    }

    /// Records what the rootDSE said.
    pub fn set_supports_password_policy(&self, supported: bool) {
        self.password_policy.store(supported, Ordering::Relaxed);
    }

    /// Whether a client may try this upstream although it is down.
    pub fn may_probe(&self, now: Tick) -> bool {
        self.health.lock().may_probe(now)
    }

    /// The server closed a connection that had been idle for this long.
    pub fn observe_idle_close(&self, idle: std::time::Duration) {
        self.idle_limit.lock().observe_close(idle);
    }

    /// How long an idle connection may be kept.
    #[must_use]
    pub fn keep_idle(&self, configured: std::time::Duration) -> std::time::Duration {
        self.idle_limit.lock().keep(configured)
    }

    /// The last fault, for the status page.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.last_fault.lock().as_ref().map(|fault| fault.detail.clone())
    }

    /// Why it is not used and what happened last, in words for anybody.
    #[must_use]
    pub fn verdict(&self) -> (UpstreamReason, Option<String>) {
        if self.is_up() {
            return (UpstreamReason::Healthy, None);
        }
        match &*self.last_fault.lock() {
            Some(fault) => (fault.reason, Some(fault.open_text.clone())),
            // It came up again between the two looks.
            None => (UpstreamReason::Healthy, None),
        }
    }

    /// The next turn of the round robin.
    pub fn next_turn(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }
}

impl Target {
    /// What the choice of an upstream looks at.
    #[must_use]
    pub fn candidate(&self) -> Candidate {
        Candidate {
            priority: self.priority,
            weight: self.weight,
            up: self.state.is_up(),
            connections: self.state.permits.taken(),
        }
    }

    /// Records a success or a fault of a check or of a connection made for a client, and tells
    /// the log when that changes what is believed.
    pub fn record_health(&self, outcome: Result<(), Fault>, policy: &HealthCheck) {
        let transition = self.state.health.lock().record(outcome.is_ok(), policy);
        let error = outcome.as_ref().err().map(|fault| fault.detail.clone()).unwrap_or_default();
        if let Err(fault) = outcome {
            *self.state.last_fault.lock() = Some(fault);
        }
        match transition {
            Some(Transition::Up) => {
                *self.state.last_fault.lock() = None;
                tracing::info!(upstream = %self.name, endpoint = %self.endpoint, "upstream is up again");
            }
            Some(Transition::Down) => {
                tracing::warn!(upstream = %self.name, endpoint = %self.endpoint, error, "upstream is down");
            }
            None => {}
        }
        let up = self.state.health.lock().is_up();
        self.state.up.store(up, Ordering::Relaxed);
        self.metrics.up.set(i64::from(up));
    }
}
