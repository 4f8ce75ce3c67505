//! How the event loops that serve clients reach the cluster's thread. Nothing here waits but
//! [`ClusterHandle::ask`] and [`ClusterHandle::gather`], and those for a bounded time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{mpsc, watch};

use crate::admin::cluster::{Awaited, ClusterReport, Gathered, Peers};
use crate::bind::{Conclusion, Credential, Effect as BindEffect, Guard, Release, Verdict};
use crate::clock::Tick;
use crate::config::Coordination;
use crate::metrics::ClusterMetrics;
use crate::metrics::cluster::LeaseResult;
use crate::tls::PeerTls;

use super::event::{Event, PeerWaiter, Permission};
use super::message::{AskId, KeyIds};
use super::owners::{Owner, Owners};
use super::waiter::Waiter;

/// How long an owner may take for its first reply before a session goes on without it
/// (`coordination: Lease`): many times what a network within one site takes.
pub const LEASE_DEADLINE: Duration = Duration::from_millis(100);
/// How long a session waits for the owner of a name to be reachable (`coordination: Strict`).
pub const STRICT_DEADLINE: Duration = Duration::from_secs(2);
/// Under `Strict`, a session looks again after this whether there is an owner.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// What may wait to be told. The cluster's thread takes a thousand at a time; one that is this far
/// behind compares with the others instead.
const MOST_UNTOLD: usize = 65_536;

/// What the cluster's thread is told.
pub(super) enum Input {
    /// This process's guard learned or forgot something.
    Learned(Vec<BindEffect>),
    /// A session asks the owner of a name.
    Ask { ask: AskId, credential: Credential, replies: mpsc::UnboundedSender<Permission> },
    /// Anything that needs no more than the event.
    Event(Event),
    /// Every member is to be asked.
    Gather { query: Option<Vec<u8>>, replies: mpsc::UnboundedSender<GatherReply> },
    /// The thread is to end.
    Stop,
}

/// What comes back of a question to every member.
pub(super) enum GatherReply {
    /// Who is asked, and who cannot be, by node name.
    Expected { asked: Vec<String>, cut_off: Vec<String> },
    /// What one of them says.
    From(String, Option<Vec<u8>>),
}

/// What a session may do with its attempt.
#[derive(Debug)]
pub enum Turn {
    /// Ask the directory, and report what came of it when the owner waits for that.
    Go(Option<Report>),
    /// Answer with this.
    Answer(Arc<Verdict>),
    /// There is no owner to be had, and nobody may go on without one.
    Busy,
    /// An identical attempt at another member took longer than a request may.
    TimedOut,
}

/// The duty to tell the owner of a name what came of an attempt. Dropped without a word it is
/// a fault, so the next one gets its turn.
#[derive(Debug)]
pub struct Report {
    cluster: Arc<ClusterHandle>,
    ask: Option<AskId>,
}

impl Report {
    /// Tells the owner.
    pub fn conclude(mut self, conclusion: Conclusion) {
        if let Some(ask) = self.ask.take() {
            self.cluster.tell(Event::Concluded { ask, conclusion });
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if let Some(ask) = self.ask.take() {
            self.cluster.tell(Event::Concluded { ask, conclusion: Conclusion::Fault });
        }
    }
}

/// The first reply of an owner.
enum Asked {
    Turn(Turn),
    Wait(Asking),
}

/// An attempt that the owner was asked about. Dropped before it is decided, it is taken back.
struct Asking {
    cluster: Arc<ClusterHandle>,
    ask: Option<AskId>,
    replied: mpsc::UnboundedReceiver<Permission>,
    waited: bool,
}

impl Asking {
    /// Waits for the turn; `None` when the owner is gone.
    async fn turn(mut self) -> Option<Turn> {
        loop {
            match self.replied.recv().await {
                Some(Permission::Waiting) => {}
                reply => return self.end(reply),
            }
        }
    }

    fn end(mut self, reply: Option<Permission>) -> Option<Turn> {
        let ask = self.ask.take();
        let go = if self.waited { LeaseResult::Waited } else { LeaseResult::Granted };
        let (result, turn) = match reply {
            Some(Permission::Granted) => (go, Turn::Go(Some(Report { cluster: self.cluster.clone(), ask }))),
            Some(Permission::Free) => (go, Turn::Go(None)),
            Some(Permission::Verdict(verdict)) => (LeaseResult::Verdict, Turn::Answer(verdict)),
            Some(Permission::NoOwner | Permission::Waiting) | None => return None,
        };
        Some(self.cluster.count(result, turn))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(ask) = self.ask.take() {
            // Nobody stops asking before the first reply but at the deadline.
            self.cluster.tell(Event::Withdrawn { ask, timed_out: !self.waited });
        }
    }
}

/// How the rest of the process reaches the cluster's thread.
pub struct ClusterHandle {
    inputs: mpsc::UnboundedSender<Input>,
    /// [`Input::Learned`]s on their way; the other inputs are bounded by those who wait for them.
    untold: AtomicUsize,
    overran: AtomicBool,
    next_ask: AtomicU64,
    owners: ArcSwapOption<Owners>,
    coordination: ArcSwap<Coordination>,
    tls: ArcSwap<PeerTls>,
    joined: watch::Sender<Option<bool>>,
    /// What the admin API shows.
    report: ArcSwap<ClusterReport>,
    left: AtomicBool,
    metrics: ClusterMetrics,
}

impl std::fmt::Debug for ClusterHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterHandle").field("joined", &*self.joined.borrow()).finish_non_exhaustive()
    }
}

impl ClusterHandle {
    /// A handle, and what comes out of it for the cluster's thread.
    pub(super) fn new(
        coordination: Coordination,
        tls: PeerTls,
        report: ClusterReport,
        metrics: ClusterMetrics,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Input>) {
        let (inputs, receiver) = mpsc::unbounded_channel();
        let handle = Self {
            inputs,
            untold: AtomicUsize::new(0),
            overran: AtomicBool::new(false),
            next_ask: AtomicU64::new(1),
            owners: ArcSwapOption::empty(),
            coordination: ArcSwap::from_pointee(coordination),
            tls: ArcSwap::from_pointee(tls),
            joined: watch::Sender::new(None),
            report: ArcSwap::from_pointee(report),
            left: AtomicBool::new(false),
            metrics,
        };
        (Arc::new(handle), receiver)
    }

    /// Tells the other members what this process's guard learned or forgot. Never waits: what has
    /// no room is counted, and repaired by comparing with everybody.
    pub fn publish(&self, effects: Vec<BindEffect>) {
        let worth_telling = |effect: &BindEffect| {
            matches!(effect, BindEffect::Learned { .. } | BindEffect::Purged { .. }) || effect.name_to_tell().is_some()
        };
        if !effects.iter().any(worth_telling) {
            return;
        }
        // What forgives is never left out: who acknowledges a flush later has heard of it.
        let failures_only = effects.iter().all(|effect| matches!(effect, BindEffect::Learned { .. }));
        if self.untold.fetch_add(1, Ordering::Relaxed) >= MOST_UNTOLD && failures_only {
            self.untold.fetch_sub(1, Ordering::Relaxed);
            self.metrics.dropped.inc_by(effects.len() as u64);
            self.overran.store(true, Ordering::Release);
            return;
        }
        // A thread that is gone has nobody left to tell.
        let _ = self.inputs.send(Input::Learned(effects));
    }

    /// Whether a session has to ask another member before it asks the directory.
    #[must_use]
    pub fn must_ask(&self, guard: &Guard<Waiter>, credential: &Credential, now: Tick) -> bool {
        !matches!(**self.coordination.load(), Coordination::Local)
            && self.other_owns(credential)
            && !guard.was_right_a_moment_ago(credential, now)
    }

    fn other_owns(&self, credential: &Credential) -> bool {
        let owners = self.owners.load();
        owners.as_ref().is_some_and(|owners| matches!(owners.owner_of(credential), Owner::Other(_)))
    }

    /// Asks the owner of the name for the right to ask the directory. An attempt that is told to
    /// wait for an identical one waits up to `limit`.
    pub async fn ask(self: &Arc<Self>, credential: &Credential, limit: Duration) -> Turn {
        let waiting = async {
            loop {
                let strict = matches!(**self.coordination.load(), Coordination::Strict);
                let asked = if strict {
                    tokio::time::timeout(STRICT_DEADLINE, self.ask_whoever_owns(credential)).await.ok()
                } else {
                    tokio::time::timeout(LEASE_DEADLINE, self.ask_once(credential)).await.ok().flatten()
                };
                let turn = match asked {
                    Some(Asked::Turn(turn)) => Some(turn),
                    Some(Asked::Wait(wait)) => wait.turn().await,
                    None if strict => return self.count(LeaseResult::Busy, Turn::Busy),
                    None => None,
                };
                match turn {
                    Some(turn) => return turn,
                    // The owner went away while this attempt waited: there will be another one.
                    None if strict => {}
                    None => return self.count(LeaseResult::Unleased, Turn::Go(None)),
                }
            }
        };
        match tokio::time::timeout(limit, waiting).await {
            Ok(turn) => turn,
            Err(_) => self.count(LeaseResult::Waited, Turn::TimedOut),
        }
    }

    fn count(&self, result: LeaseResult, turn: Turn) -> Turn {
        self.metrics.lease(result);
        turn
    }

    /// Asks until some owner replies, or this process owns the name itself.
    async fn ask_whoever_owns(self: &Arc<Self>, credential: &Credential) -> Asked {
        while self.other_owns(credential) {
            if let Some(asked) = self.ask_once(credential).await {
                return asked;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Asked::Turn(Turn::Go(None))
    }

    /// One question and its first reply; `None` when there is no owner that could reply.
    async fn ask_once(self: &Arc<Self>, credential: &Credential) -> Option<Asked> {
        let ask = AskId(self.next_ask.fetch_add(1, Ordering::Relaxed));
        let (replies, replied) = mpsc::unbounded_channel();
        self.inputs.send(Input::Ask { ask, credential: *credential, replies }).ok()?;
        let mut asking = Asking { cluster: self.clone(), ask: Some(ask), replied, waited: false };
        match asking.replied.recv().await {
            Some(Permission::Waiting) => {
                asking.waited = true;
                Some(Asked::Wait(asking))
            }
            reply => asking.end(reply).map(Asked::Turn),
        }
    }

    /// Lets a waiter go that is an attempt at another member.
    pub fn released(&self, waiter: PeerWaiter, release: Release) {
        self.tell(Event::Released { waiter, release });
    }

    /// Asks every member on behalf of the admin API, or (without a query) whether it has taken in
    /// what this process has told so far. Waits up to `limit`.
    pub async fn gather(&self, query: Option<Vec<u8>>, limit: Duration) -> Gathered {
        let (replies, mut replied) = mpsc::unbounded_channel();
        let mut gathered = Gathered::default();
        // Nobody waits for those.
        let mut unreachable = Vec::new();
        if self.inputs.send(Input::Gather { query, replies }).is_err() {
            return gathered;
        }
        // The end of the time is no failure: who is missing then is said.
        let _ = tokio::time::timeout(limit, async {
            let mut expected = false;
            while !expected || !gathered.missing.is_empty() {
                match replied.recv().await {
                    Some(GatherReply::Expected { asked, cut_off }) => {
                        expected = true;
                        gathered.missing = asked;
                        unreachable = cut_off;
                    }
                    Some(GatherReply::From(name, body)) => {
                        if let Some(at) = gathered.missing.iter().position(|missing| *missing == name) {
                            gathered.missing.swap_remove(at);
                        }
                        gathered.answers.push((name, body));
                    }
                    None => return,
                }
            }
        })
        .await;
        gathered.missing.append(&mut unreachable);
        gathered.missing.sort();
        gathered
    }

    /// New certificates, authorities or hashing keys are in force. Connections that are up stay.
    pub fn rotate(&self, tls: PeerTls, keys: KeyIds, coordination: Coordination) {
        self.tls.store(Arc::new(tls));
        self.coordination.store(Arc::new(coordination));
        self.tell(Event::Rotated(keys));
    }

    /// Waits until this process has joined; whether it has everything that the others hold.
    pub async fn joined(&self) -> bool {
        let mut joined = self.joined.subscribe();
        let complete = joined.wait_for(Option::is_some).await.ok().and_then(|complete| *complete);
        complete.unwrap_or(false)
    }

    /// Whether this process has joined, and whether it has everything.
    #[must_use]
    pub fn has_joined(&self) -> Option<bool> {
        *self.joined.borrow()
    }

    /// Begins to leave: hands over and says goodbye. [`Self::has_left`] tells the end.
    pub fn leave(&self) {
        self.tell(Event::Leave);
    }

    /// Whether everything has been handed over, or nobody is left who could.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire) || self.inputs.is_closed()
    }

    /// Ends the cluster's thread.
    pub fn stop(&self) {
        let _ = self.inputs.send(Input::Stop);
    }

    /// What this process shows to members and expects of them.
    pub(super) fn tls(&self) -> Arc<PeerTls> {
        self.tls.load_full()
    }

    /// A [`Input::Learned`] was taken.
    pub(super) fn taken(&self) {
        self.untold.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether something had no room since this was asked last.
    pub(super) fn take_overrun(&self) -> bool {
        self.overran.swap(false, Ordering::AcqRel)
    }

    pub(super) fn set_owners(&self, owners: Owners) {
        self.owners.store(Some(Arc::new(owners)));
    }

    /// What the admin API shows from now on.
    pub(super) fn set_report(&self, report: ClusterReport) {
        self.report.store(Arc::new(report));
    }

    pub(super) fn set_joined(&self, complete: bool) {
        // The bound of the caller may have spoken first; the first word stands.
        self.joined.send_if_modified(|joined| {
            let first = joined.is_none();
            joined.get_or_insert(complete);
            first
        });
    }

    pub(super) fn set_left(&self) {
        self.left.store(true, Ordering::Release);
    }

    fn tell(&self, event: Event) {
        // A thread that is gone has ended the cluster for this process.
        let _ = self.inputs.send(Input::Event(event));
    }
}

impl Peers for ClusterHandle {
    fn own_name(&self) -> Option<String> {
        Some(self.report.load().node.clone())
    }

    fn gather(&self, query: Option<Vec<u8>>, limit: Duration) -> Awaited<'_, Gathered> {
        Box::pin(self.gather(query, limit))
    }

    fn report(&self) -> Option<ClusterReport> {
        Some(ClusterReport::clone(&self.report.load()))
    }
}
