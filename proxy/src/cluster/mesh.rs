//! The cluster's thread: it owns the node, feeds it what happens, and does what it wants (`perform`).
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
use crate::metrics::ClusterMetrics;
use crate::metrics::cluster::MessageDirection;
use crate::tls::PeerTls;

use super::accept;
use super::dial_plan::DialPlan;
use super::discovery::{self, Place};
use super::event::{Direction, Event, LinkId, Permission};
use super::greeting::Greeted;
use super::handle::{ClusterHandle, GatherReply, Input};
use super::link::{self, Link, LinkEnd, Stream};
use super::members::State;
use super::message::{AskId, Hello, NodeId};
use super::node::{Node, NodeSettings};

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
    pub(super) shared: Arc<Shared>,
    pub(super) handle: Arc<ClusterHandle>,
    pub(super) node: RefCell<Node>,
    pub(super) links: RefCell<BTreeMap<LinkId, Rc<Link>>>,
    next_link: Cell<u64>,
    events: mpsc::Sender<Event>,
    /// Sessions that wait for what an owner says.
    pub(super) asks: RefCell<BTreeMap<AskId, mpsc::UnboundedSender<Permission>>>,
    pub(super) gathers: RefCell<BTreeMap<u64, mpsc::UnboundedSender<GatherReply>>>,
    next_gather: Cell<u64>,
    greeting_timeout: Duration,
    pub(super) answer_queries: AnswerQueries,
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

    /// A member has opened a connection: facts go only over connections that are dialled, and so do questions. It knows
    /// this process, so it can be found. Where, if it is to be forgotten when the connection ends.
    fn called(&self, hello: &Hello, from: SocketAddr) -> Option<SocketAddr> {
        let listens = SocketAddr::new(from.ip().to_canonical(), hello.port);
        let (reached, now) = (self.is_linked(hello.node, Direction::Dialled), self.process_now());
        let remembered = self.plan.borrow_mut().called(listens, reached, now);
        if !reached {
            // It may be elsewhere than it seems.
            self.plan.borrow_mut().hurry(now);
            self.plan_changed.notify_one();
            self.ask_again.notify_one();
            self.count_others();
        }
        remembered.then_some(listens)
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
        let caller = match direction {
            Direction::Accepted => self.called(&hello, address),
            Direction::Dialled => None,
        };
        self.links.borrow_mut().insert(id, link.clone());
        let gauge = self.metrics().links(match direction {
            Direction::Dialled => MessageDirection::Out,
            Direction::Accepted => MessageDirection::In,
        });
        gauge.inc();
        tracing::debug!(member = %link.name, %address, ?direction, "a connection with a member is up");
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
}
