//! The cluster's thread: it owns the node, feeds it what happens, and carries out what it wants.
//!
//! Everything of the cluster that has a socket, a task or a clock runs here, on one event loop of its
//! own, so that a bind never waits for it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::LocalRuntime;
use tokio::sync::{Notify, mpsc};

use crate::clock::Tick;
use crate::core::Shared;
use crate::effects;
use crate::held_lease;
use crate::metrics::ClusterMetrics;
use crate::metrics::cluster::{ClusterRejection, MessageDirection, PeerState, SyncResult};
use crate::tls::PeerTls;

use super::dial_plan::DialPlan;
use super::discovery::{self, Place};
use super::event::{Count, Direction, Effect, Event, LinkId, Permission};
use super::greeting::Greeted;
use super::handle::{ClusterHandle, GatherReply, Input};
use super::link::{self, Link, LinkEnd, Stream};
use super::members::State;
use super::message::{AskId, Hello, Message, NodeId};
use super::node::{Node, NodeSettings};
use super::outbox::{Frame, Pushed};
use super::waiter::Waiter;
use super::{accept, report, wire};

/// Inputs of one batch: what comes in between is told in one message.
const BATCH: usize = 1_023;
/// Events of connections that may wait for the node; then connections are read no further.
const EVENTS: usize = 256;
/// How often the node's timers are looked at.
const BEAT: Duration = Duration::from_millis(500);
/// Connections that other members may hold.
const MOST_LINKS: usize = 1_024;

/// Answers a member's query on behalf of its admin API.
pub type AnswerQueries = Box<dyn Fn(Vec<u8>) -> Vec<u8> + Send>;

/// What the cluster's thread begins with.
pub struct Start {
    /// What it shares with the rest of the process.
    pub shared: Arc<Shared>,
    /// Who this node is.
    pub node: NodeSettings,
    /// Where members connect.
    pub listener: std::net::TcpListener,
    /// Where members may be.
    pub places: Vec<Place>,
    /// `limits.handshakeTimeoutSeconds`.
    pub greeting_timeout: Duration,
    /// The admin API of this process.
    pub answer_queries: AnswerQueries,
}

/// Starts the cluster's thread, which runs until [`ClusterHandle::stop`].
///
/// # Errors
/// When the thread or its event loop cannot be had.
pub(super) fn start(
    start: Start,
    handle: Arc<ClusterHandle>,
    inputs: mpsc::UnboundedReceiver<Input>,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("cluster".to_owned()).spawn(move || {
        let runtime: std::io::Result<LocalRuntime> =
            tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
        match runtime {
            Ok(runtime) => runtime.block_on(run(start, handle, inputs)),
            Err(error) => tracing::error!(%error, "cannot start the cluster's event loop"),
        }
    })
}

/// What the tasks of the cluster's thread share.
pub(super) struct Mesh {
    shared: Arc<Shared>,
    handle: Arc<ClusterHandle>,
    node: RefCell<Node>,
    links: RefCell<BTreeMap<LinkId, Rc<Link>>>,
    next_link: Cell<u64>,
    events: mpsc::Sender<Event>,
    /// Sessions that wait for what an owner says.
    asks: RefCell<BTreeMap<AskId, mpsc::UnboundedSender<Permission>>>,
    gathers: RefCell<BTreeMap<u64, mpsc::UnboundedSender<GatherReply>>>,
    next_gather: Cell<u64>,
    greeting_timeout: Duration,
    answer_queries: AnswerQueries,
    others: Cell<Option<usize>>,
    looked: Cell<bool>,
    /// The addresses that are dialled.
    pub(super) plan: RefCell<DialPlan>,
    /// Another address may be due, or an earlier one.
    pub(super) plan_changed: Notify,
    /// A member came or went, so the sources of addresses are to be asked.
    pub(super) ask_again: Notify,
    /// Greetings of others that are under way.
    pub(super) greetings: Cell<usize>,
}

async fn run(start: Start, handle: Arc<ClusterHandle>, mut inputs: mpsc::UnboundedReceiver<Input>) {
    let Start { shared, node, listener, places, greeting_timeout, answer_queries } = start;
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot serve the cluster port"),
    };
    let (events, mut happened) = mpsc::channel(EVENTS);
    let heartbeat = shared.status.heartbeat("cluster", shared.clock.now());
    let mesh = Rc::new(Mesh {
        shared,
        handle,
        node: RefCell::new(Node::new(node)),
        links: RefCell::default(),
        next_link: Cell::new(0),
        events,
        asks: RefCell::default(),
        gathers: RefCell::default(),
        next_gather: Cell::new(0),
        greeting_timeout,
        answer_queries,
        others: Cell::new(None),
        looked: Cell::new(false),
        plan: RefCell::default(),
        plan_changed: Notify::new(),
        ask_again: Notify::new(),
        greetings: Cell::new(0),
    });
    tokio::task::spawn_local(accept::run(mesh.clone(), listener));
    tokio::task::spawn_local(discovery::run(mesh.clone(), places));
    tokio::task::spawn_local(discovery::dial_when_due(mesh.clone()));
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut told, mut heard) = (Vec::with_capacity(BATCH), Vec::with_capacity(EVENTS));
    loop {
        tokio::select! {
            count = inputs.recv_many(&mut told, BATCH) => {
                if count == 0 {
                    return;
                }
                for input in told.drain(..) {
                    if !mesh.take(input) {
                        return;
                    }
                }
            }
            _ = happened.recv_many(&mut heard, EVENTS) => {
                for event in heard.drain(..) {
                    mesh.handle(event);
                }
            }
            _ = beat.tick() => {
                heartbeat.beat(mesh.process_now());
                mesh.look_at_links();
                mesh.handle(Event::Ticked);
            }
        }
        if mesh.handle.take_overrun() {
            mesh.handle(Event::Overran);
        }
        mesh.flush();
    }
}

impl Mesh {
    /// Whether this process still joins.
    pub(super) fn is_joining(&self) -> bool {
        self.handle.has_joined().is_none()
    }

    /// The present tick of the process's own clock, for timers.
    pub(super) fn process_now(&self) -> Tick {
        self.shared.clock.now()
    }

    pub(super) fn metrics(&self) -> &ClusterMetrics {
        self.shared.metrics.cluster()
    }

    pub(super) fn tls(&self) -> Arc<PeerTls> {
        self.handle.tls()
    }

    pub(super) fn greeting_timeout(&self) -> Duration {
        self.greeting_timeout
    }

    /// What this node says of itself now.
    pub(super) fn hello(&self) -> Hello {
        self.node.borrow().hello(&self.shared.guard, self.shared.cluster_clock.now())
    }

    /// Whether there is a connection of this direction with this run of a member.
    pub(super) fn is_linked(&self, node: NodeId, direction: Direction) -> bool {
        self.links.borrow().values().any(|link| link.node == node && link.direction == direction)
    }

    /// Whether others hold as many connections as they may.
    pub(super) fn has_no_room(&self) -> bool {
        self.links.borrow().len() >= MOST_LINKS
    }

    /// Hands an event to the node, when it has come that far.
    pub(super) async fn report(&self, event: Event) -> Result<(), mpsc::error::SendError<Event>> {
        self.events.send(event).await
    }

    /// The sources of addresses have answered.
    pub(super) fn discovered(&self, found: &BTreeSet<SocketAddr>) {
        let learned = self.plan.borrow_mut().learn(found, self.process_now());
        let metrics = self.metrics();
        let ignored = i64::try_from(learned.ignored).unwrap_or(i64::MAX);
        if ignored > 0 && metrics.ignored.get() == 0 {
            tracing::warn!(
                found = found.len(),
                ignored,
                "cluster.discovery names more addresses than are used; name only this cluster's members"
            );
        }
        metrics.ignored.set(ignored);
        self.looked.set(true);
        if learned.changed {
            self.plan_changed.notify_one();
        }
        self.count_others();
    }

    /// Tells the node how many others there should be, if that has changed.
    pub(super) fn count_others(&self) {
        if !self.looked.get() {
            return;
        }
        let others = self.plan.borrow().others();
        if self.others.replace(Some(others)) != Some(others) {
            self.metrics().discovered.set(i64::try_from(others).unwrap_or(i64::MAX));
            self.handle(Event::Discovered { others });
            self.flush();
        }
    }

    /// Serves a connection whose both sides have said hello, to its end.
    pub(super) async fn link<S: Stream>(
        self: &Rc<Self>,
        direction: Direction,
        address: SocketAddr,
        greeted: Greeted<S>,
    ) {
        let Greeted { stream, hello, unread } = greeted;
        let id = LinkId(self.next_link.replace(self.next_link.get() + 1));
        let link = Link::new(id, direction, hello.node, hello.name.clone(), self.process_now());
        // Facts go only over connections that are dialled, and so do questions. It knows us, so it can be found.
        let caller = match direction {
            Direction::Accepted => Some(SocketAddr::new(address.ip().to_canonical(), hello.port)),
            Direction::Dialled => None,
        };
        self.links.borrow_mut().insert(id, link.clone());
        let gauge = self.metrics().links(match direction {
            Direction::Dialled => MessageDirection::Out,
            Direction::Accepted => MessageDirection::In,
        });
        gauge.inc();
        tracing::debug!(member = %link.name, %address, ?direction, "a connection with a member is up");
        if let Some(caller) = caller
            && !self.is_linked(link.node, Direction::Dialled)
        {
            let now = self.process_now();
            let mut plan = self.plan.borrow_mut();
            plan.called(caller, now);
            // It may be elsewhere than it seems.
            plan.hurry(now);
            drop(plan);
            self.plan_changed.notify_one();
            self.ask_again.notify_one();
            self.count_others();
        }
        // The node hears of the connection before anything that comes on it: both take one channel.
        let end = match self.report(Event::Linked { link: id, direction, hello }).await {
            Ok(()) => link::serve(self, &link, stream, unread).await,
            Err(_) => LinkEnd::Ended("the process ends"),
        };
        gauge.dec();
        self.links.borrow_mut().remove(&id);
        if let Some(caller) = caller {
            self.plan.borrow_mut().hung_up(caller);
        }
        tracing::debug!(member = %link.name, %address, ?direction, why = %end, "a connection with a member ended");
        // A node that is gone need not know.
        let _ = self.report(Event::Unlinked { link: id }).await;
    }

    /// Takes one input; `false` is the end.
    fn take(&self, input: Input) -> bool {
        match input {
            Input::Learned(effects) => {
                self.handle.taken();
                self.handle(Event::Learned(effects));
            }
            Input::Ask { ask, credential, replies } => {
                self.asks.borrow_mut().insert(ask, replies);
                self.handle(Event::Ask { ask, credential });
            }
            Input::Event(event) => {
                if let Event::Withdrawn { ask, timed_out: _ } = &event {
                    self.asks.borrow_mut().remove(ask);
                }
                if matches!(event, Event::Rotated(_)) {
                    self.plan.borrow_mut().hurry(self.process_now());
                    self.plan_changed.notify_one();
                }
                self.handle(event);
            }
            Input::Gather { query, replies } => self.gather(query, replies),
            Input::Stop => return false,
        }
        true
    }

    fn gather(&self, query: Option<Vec<u8>>, replies: mpsc::UnboundedSender<GatherReply>) {
        let (mut asked, mut cut_off) = (Vec::new(), Vec::new());
        for member in self.node.borrow().members().filter(|member| member.state() != State::Left) {
            // The node asks on the connections that it dialled, and those that may take in what it tells.
            let node = self.node.borrow();
            let channel = match query {
                Some(_) => member.dialled,
                None => member.channel(&node.settings().keys),
            };
            let list = if channel.is_some() { &mut asked } else { &mut cut_off };
            list.push(member.name.clone());
        }
        // Whoever asked may have gone: the members are asked in vain then.
        let _ = replies.send(GatherReply::Expected { asked, cut_off });
        let number = self.next_gather.replace(self.next_gather.get() + 1);
        self.gathers.borrow_mut().insert(number, replies);
        self.handle(Event::Gather { number, query });
    }

    fn look_at_links(&self) {
        let now = self.process_now();
        for link in self.links.borrow().values() {
            link.look(now);
        }
        self.gathers.borrow_mut().retain(|_, replies| !replies.is_closed());
        self.asks.borrow_mut().retain(|_, replies| !replies.is_closed());
    }

    /// Feeds the node one event, and carries out what it wants, and what comes of that.
    fn handle(&self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let now = self.shared.cluster_clock.now();
            let effects = self.node.borrow_mut().handle(&self.shared.guard, event, now, &mut rand::rng());
            self.perform(effects, &mut events);
        }
    }

    /// Sets the cluster's time. The step that asked for it may have taken longer than this node was behind; a
    /// member that serves never goes back.
    fn set_clock(&self, to: Tick) {
        let clock = &self.shared.cluster_clock;
        if self.is_joining() || to > clock.now() {
            clock.set(to);
        }
    }

    /// Lets the node send what it has gathered.
    fn flush(&self) {
        let now = self.shared.cluster_clock.now();
        let effects = self.node.borrow_mut().flush(&self.shared.guard, now);
        let mut events = VecDeque::new();
        self.perform(effects, &mut events);
        while let Some(event) = events.pop_front() {
            self.handle(event);
        }
    }

    fn perform(&self, effects: Vec<Effect<Waiter>>, events: &mut VecDeque<Event>) {
        for effect in effects {
            match effect {
                Effect::Send { links, message, repairable } => self.send(&links, &message, repairable),
                Effect::Close { link, why } => {
                    if let Some(link) = self.links.borrow().get(&link) {
                        link.close(why, self.process_now());
                    }
                }
                Effect::Permit { ask, permission } => self.permit(ask, permission),
                Effect::Release(released) => held_lease::let_go(&self.shared, released),
                Effect::Merged(learned) => effects::show(&self.shared, &learned, effects::Origin::Cluster),
                Effect::Answer { link, number, query } => {
                    events.push_back(Event::Answered { link, number, body: (self.answer_queries)(query) });
                }
                Effect::Gathered { number, from, body } => {
                    if let Some(replies) = self.gathers.borrow().get(&number) {
                        let _ = replies.send(GatherReply::From(from, body));
                    }
                }
                Effect::SetClock(now) => self.set_clock(now),
                Effect::Joined { complete } => self.joined(complete),
                Effect::OwnersChanged => self.handle.set_owners(self.node.borrow().owners().clone()),
                Effect::MembersChanged => self.show_members(),
                Effect::Left => self.handle.set_left(),
                Effect::Count(count) => self.count(count),
            }
        }
    }

    fn send(&self, links: &[LinkId], message: &Message, repairable: bool) {
        let mut octets = Vec::new();
        if let Err(error) = wire::encode(message, &mut octets) {
            tracing::error!(%error, kind = ?link::kind(message), "a message cannot be written: please report this");
            return;
        }
        let frame: Frame = octets.into();
        let (now, metrics, kind) = (self.process_now(), self.metrics(), link::kind(message));
        for link in links {
            // One that is gone by now is about to be reported as such.
            let Some(link) = self.links.borrow().get(link).cloned() else { continue };
            match link.send(message, &frame, repairable, now) {
                Pushed::Queued => metrics.message(MessageDirection::Out, kind, frame.len()),
                Pushed::Dropped => metrics.dropped.inc(),
                Pushed::Overflowed => {
                    metrics.dropped.inc();
                    link.abort("the member takes in nothing that is sent to it");
                }
            }
        }
    }

    fn permit(&self, ask: AskId, permission: Permission) {
        let mut asks = self.asks.borrow_mut();
        if let Some(replies) = asks.get(&ask) {
            let more = permission == Permission::Waiting;
            // A session that is gone has taken its attempt back, which is on its way.
            let _ = replies.send(permission);
            if !more {
                asks.remove(&ask);
            }
        }
    }

    fn joined(&self, complete: bool) {
        self.metrics().set_joined(complete);
        let members = self.node.borrow().members().count();
        let entries = self.shared.guard.stats().live;
        if complete {
            tracing::info!(members, entries, "joined the cluster");
        } else {
            tracing::warn!(
                members,
                entries,
                "the time for joining the cluster passed: going on with what is known; check that the addresses of \
                 cluster.discovery can be reached and that their certificates are of this cluster"
            );
        }
        self.handle.set_joined(complete);
    }

    /// Shows how the members stand, in the metrics and to the admin API.
    fn show_members(&self) {
        self.handle.set_report(report::of(&self.node.borrow()));
        let mut counts = BTreeMap::from([(State::Alive, 0), (State::Suspect, 0), (State::Left, 0)]);
        for member in self.node.borrow().members() {
            *counts.entry(member.state()).or_insert(0) += 1;
        }
        for (state, count) in counts {
            let state = match state {
                State::Alive => PeerState::Alive,
                State::Suspect => PeerState::Suspect,
                State::Left => PeerState::Left,
            };
            self.metrics().set_peers(state, count);
        }
    }

    fn count(&self, count: Count) {
        let metrics = self.metrics();
        match count {
            Count::Propagated { milliseconds } => metrics.propagated(Duration::from_millis(milliseconds)),
            Count::RefusedFuture => metrics.rejected(ClusterRejection::Future),
            Count::RefusedKey => metrics.rejected(ClusterRejection::Key),
            Count::SyncDiffered => metrics.synced(SyncResult::Differed),
            Count::SyncSame => metrics.synced(SyncResult::Same),
            Count::ClockJumped => {
                metrics.clock_jumps.inc();
                tracing::warn!(
                    "cluster time was far ahead of this member's: its failed binds were dropped and come back from the \
                     others; check the clocks of the machines"
                );
            }
            // Counted where the session goes on.
            Count::Unleased => {}
        }
    }
}
