//! The load generator: connections that do one kind of work as fast as the other side lets them,
//! and an account of the window that was measured.

mod bad_bind;
mod connection;
mod idle;
mod login;
mod outcome;
mod search;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use tokio_rustls::TlsConnector;

pub use outcome::{Outcome, Watched};

use crate::{process, tls};
use outcome::Tally;

/// How long a connection that failed waits before it is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// How long the workers have after the window to finish what is in flight.
const STOP_DEADLINE: Duration = Duration::from_secs(2);

/// The work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Binds that fail, one after the other on each connection.
    BadBind,
    /// Connect, bind, unbind.
    Login,
    /// Searches for one entry after one bind.
    Search,
    /// Connections that are held and do nothing.
    Idle,
}

/// What the generator is asked to do.
#[derive(Args, Clone, Debug)]
pub struct Plan {
    /// The server.
    #[arg(long)]
    pub addr: SocketAddr,
    /// The work.
    #[arg(long, value_enum)]
    pub mode: Mode,
    /// Connections at once.
    #[arg(long, default_value_t = 32)]
    pub conns: usize,
    /// Searches in flight on each connection.
    #[arg(long, default_value_t = 1)]
    pub depth: usize,
    /// Length of the measured window, seconds.
    #[arg(long, default_value_t = 2.0)]
    pub secs: f64,
    /// Time before the window, seconds.
    #[arg(long, default_value_t = 0.5)]
    pub warm: f64,
    /// End after so many operations instead of after `--secs` (0 = no).
    #[arg(long, default_value_t = 0)]
    pub operations: u64,
    /// TLS from the first byte; the certificate is not looked at.
    #[arg(long)]
    pub tls: bool,
    /// Bind name; `{}` becomes the user's number in five digits.
    #[arg(long, default_value = "uid=u{},ou=people,dc=example,dc=org")]
    pub dn: String,
    /// The right password; `{}` as in `--dn`.
    #[arg(long, default_value = "pw{}")]
    pub pw: String,
    /// Users that exist.
    #[arg(long, default_value_t = 10_000)]
    pub users: usize,
    /// The wrong password.
    #[arg(long, default_value = "wrong-passwordX")]
    pub badpw: String,
    /// Every failing bind another name and another password.
    #[arg(long)]
    pub rotate: bool,
    /// Spread the connections over so many source addresses of 127.0.1.0/24 (0 = do not choose).
    #[arg(long, default_value_t = 0)]
    pub sources: u8,
    /// Pause before every failing bind, microseconds.
    #[arg(long, default_value_t = 0)]
    pub pace_us: u64,
    /// The result code that a failing bind must have.
    #[arg(long, default_value_t = 49)]
    pub expect: u8,
    /// Processes whose CPU time and memory are reported: `name:pid[+pid...]`, separated by commas.
    #[arg(long, default_value = "", value_delimiter = ',')]
    pub watch: Vec<String>,
}

/// The same for every user of a plan.
struct Shared {
    plan: Plan,
    tls: Option<TlsConnector>,
    phase: AtomicU8,
    sequence: AtomicU64,
    left: Option<AtomicU64>,
}

/// Where a run is. Operations count while it measures.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Warm,
    Measure,
    Stop,
}

impl Shared {
    fn new(plan: Plan) -> Result<Self> {
        Ok(Self {
            tls: plan.tls.then(tls::connector).transpose()?,
            phase: AtomicU8::new(0),
            sequence: AtomicU64::new(0),
            left: (plan.operations > 0).then(|| AtomicU64::new(plan.operations)),
            plan,
        })
    }

    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Warm,
            1 => Phase::Measure,
            _ => Phase::Stop,
        }
    }

    fn enter(&self, phase: Phase) {
        let value = match phase {
            Phase::Warm => 0,
            Phase::Measure => 1,
            Phase::Stop => 2,
        };
        self.phase.store(value, Ordering::Relaxed);
    }

    fn next(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes one of the `--operations`; false when none is left.
    fn take(&self) -> bool {
        let Some(left) = &self.left else { return true };
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    fn name(&self, user: u64) -> String {
        fill(&self.plan.dn, user)
    }

    fn password(&self, user: u64) -> String {
        fill(&self.plan.pw, user)
    }

    fn user(&self, number: u64) -> u64 {
        number % (self.plan.users.max(1) as u64)
    }

    fn source(&self, worker: usize) -> Option<IpAddr> {
        let sources = usize::from(self.plan.sources);
        let host = u8::try_from(worker.checked_rem(sources)? + 1).ok()?;
        Some(Ipv4Addr::new(127, 0, 1, host).into())
    }
}

fn fill(template: &str, user: u64) -> String {
    template.replace("{}", &format!("{user:05}"))
}

/// A named group of processes.
struct Group {
    name: String,
    pids: Vec<u32>,
}

impl Group {
    fn parse(text: &str) -> Result<Self> {
        let (name, pids) = text.split_once(':').with_context(|| format!("--watch {text}: name:pid is wanted"))?;
        let pids =
            pids.split('+').map(str::parse).collect::<Result<_, _>>().with_context(|| format!("--watch {text}"))?;
        Ok(Self { name: name.to_owned(), pids })
    }
}

/// Runs the plan to its end.
pub async fn run(plan: Plan) -> Result<Outcome> {
    let groups = plan.watch.iter().filter(|text| !text.is_empty()).map(|text| Group::parse(text));
    let groups = groups.collect::<Result<Vec<_>>>()?;
    let shared = Arc::new(Shared::new(plan)?);
    match shared.plan.mode {
        Mode::Idle => idle::hold(&shared, &groups).await,
        Mode::BadBind | Mode::Login | Mode::Search => window(&shared, &groups).await,
    }
}

/// CPU time of everybody at one moment.
struct Snapshot {
    at: Instant,
    own: process::Cpu,
    groups: Vec<process::Cpu>,
    machine: process::Machine,
}

impl Snapshot {
    fn take(groups: &[Group]) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            own: process::cpu(&[std::process::id()]),
            groups: groups.iter().map(|group| process::cpu(&group.pids)).collect(),
            machine: process::machine()?,
        })
    }
}

async fn window(shared: &Arc<Shared>, groups: &[Group]) -> Result<Outcome> {
    let workers: Vec<_> =
        (0..shared.plan.conns).map(|number| tokio::spawn(worker(Arc::clone(shared), number))).collect();
    // With a number of operations the whole run is the window.
    if shared.left.is_none() {
        tokio::time::sleep(Duration::from_secs_f64(shared.plan.warm)).await;
    }
    shared.enter(Phase::Measure);
    let before = Snapshot::take(groups)?;
    if shared.left.is_none() {
        tokio::time::sleep(Duration::from_secs_f64(shared.plan.secs)).await;
        shared.enter(Phase::Stop);
    }
    let mut after = Snapshot::take(groups)?;
    let mut tally = Tally::new()?;
    for worker in workers {
        if shared.left.is_some() {
            tally.add(&worker.await.context("a worker panicked")??)?;
        } else {
            match tokio::time::timeout(STOP_DEADLINE, worker).await {
                Ok(one) => tally.add(&one.context("a worker panicked")??)?,
                Err(_) => tally.failed("a worker did not end: no answer"),
            }
        }
    }
    if shared.left.is_some() {
        after = Snapshot::take(groups)?;
    }
    Ok(Outcome::new(&tally, groups, &before, &after))
}

async fn worker(shared: Arc<Shared>, number: usize) -> Result<Tally> {
    let mut tally = Tally::new()?;
    while shared.phase() != Phase::Stop {
        let ended = match shared.plan.mode {
            Mode::BadBind => bad_bind::work(&shared, number, &mut tally).await,
            Mode::Login => login::work(&shared, &mut tally).await,
            Mode::Search => search::work(&shared, number, &mut tally).await,
            Mode::Idle => return Ok(tally),
        };
        match ended {
            Ok(()) => break,
            // What breaks because the run is over is no error.
            Err(_) if shared.phase() == Phase::Stop => break,
            Err(error) => {
                tally.failed(&format!("{error:#}"));
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
    Ok(tally)
}
