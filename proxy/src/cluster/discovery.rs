//! Where other members may be: asked again and again, and dialled.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use rand::RngExt as _;

use crate::clock::Tick;
use crate::upstream::resolve::{ResolveError, Resolver};

use super::dial_plan::{Failure, MOST_ADDRESSES};
use super::event::Direction;
use super::greeting::{self, GreetingError};
use super::mesh::Mesh;

/// How often the sources are asked, on average.
const INTERVAL: Duration = Duration::from_secs(5);
/// How often while this process joins and shortly after. Of a new StatefulSet, names come one by one, and name
/// servers keep for some seconds that there was none: who joined alone must meet the others soon.
const AT_FIRST: Duration = Duration::from_millis(500);
/// How long that is, from the start.
const FIRST_TIME: Duration = Duration::from_secs(20);
/// They are not asked more often than this, however many connections are lost at once.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(250);
/// Answers are kept no longer than this, whatever they say: members come and go within seconds.
const LONGEST_KEPT: Duration = Duration::from_secs(1);
/// A source that fails again and again is logged so often.
const LOGGED_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Where addresses of members come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// An address.
    Address(SocketAddr),
    /// Every address that a host name has, with this port.
    Host(String, u16),
    /// The hosts and ports of an SRV record (RFC 2782).
    Service(String),
}

impl Place {
    /// A host name or an IP address, with a port.
    #[must_use]
    pub fn host(host: &str, port: u16) -> Self {
        match host.parse::<IpAddr>() {
            Ok(address) => Self::Address(SocketAddr::new(address, port)),
            Err(_) => Self::Host(host.to_owned(), port),
        }
    }
}

/// Asks the sources for addresses until the task is dropped.
pub(super) async fn run(mesh: Rc<Mesh>, places: Vec<Place>) {
    let resolver = Resolver::keeping(LONGEST_KEPT);
    let mut sources = Sources::default();
    let started = mesh.process_now();
    loop {
        sources.ask(&mesh, &resolver, &places).await;
        if let Some(found) = sources.addresses() {
            mesh.discovered(&found);
        }
        let is_first = mesh.is_joining() || mesh.process_now().since(started) < FIRST_TIME;
        let often = if is_first { AT_FIRST } else { INTERVAL };
        let interval = often.mul_f64(rand::rng().random_range(0.8..1.2));
        // A connection that is lost may tell of a member that is elsewhere now, and one that is accepted of
        // a new member. A hundred of them together are one reason to ask.
        if tokio::time::timeout(interval, mesh.ask_again.notified()).await.is_ok() {
            tokio::time::sleep(SHORTEST_INTERVAL).await;
        }
    }
}

/// Dials whatever address is due until the task is dropped.
pub(super) async fn dial_when_due(mesh: Rc<Mesh>) {
    loop {
        let due = mesh.plan.borrow_mut().due(mesh.process_now());
        for address in due {
            let mesh = mesh.clone();
            tokio::task::spawn_local(async move { dial(&mesh, address).await });
        }
        let next = mesh.plan.borrow().next_due();
        match next {
            Some(next) => {
                let wait = mesh.process_now().until(next);
                // Whether the time has come or something has changed, the plan knows.
                let _ = tokio::time::timeout(wait, mesh.plan_changed.notified()).await;
            }
            None => mesh.plan_changed.notified().await,
        }
    }
}

/// What the sources said last.
#[derive(Default)]
struct Sources {
    answers: BTreeMap<Place, BTreeSet<SocketAddr>>,
    /// When the failure of a source was logged last.
    complained: BTreeMap<Place, Tick>,
}

impl Sources {
    async fn ask(&mut self, mesh: &Mesh, resolver: &Resolver, places: &[Place]) {
        for place in places {
            match addresses(resolver, place).await {
                Ok(found) => {
                    self.complained.remove(place);
                    self.answers.insert(place.clone(), found);
                }
                // What was known stays: a name server that is away for a moment ends no cluster.
                Err(error) => self.complain(mesh, place, &error),
            }
        }
    }

    fn complain(&mut self, mesh: &Mesh, place: &Place, error: &ResolveError) {
        let now = mesh.process_now();
        if self.complained.get(place).is_some_and(|last| now.since(*last) < LOGGED_AGAIN_AFTER) {
            return;
        }
        self.complained.insert(place.clone(), now);
        tracing::warn!(
            %error,
            "members of the cluster cannot be looked up; check cluster.discovery, and in Kubernetes that the headless \
             Service exists and has publishNotReadyAddresses: true; asked again every {} s",
            INTERVAL.as_secs()
        );
    }

    /// All of them together; `None` while no source has answered.
    fn addresses(&self) -> Option<BTreeSet<SocketAddr>> {
        (!self.answers.is_empty()).then(|| self.answers.values().flatten().copied().collect())
    }
}

async fn addresses(resolver: &Resolver, place: &Place) -> Result<BTreeSet<SocketAddr>, ResolveError> {
    let hosts = match place {
        Place::Address(address) => return Ok([*address].into()),
        Place::Host(host, port) => vec![(host.clone(), *port)],
        Place::Service(name) => resolver.services(name).await?,
    };
    let mut found = BTreeSet::new();
    let mut failed = None;
    // Each target of a service is a question of its own.
    for (host, port) in hosts.into_iter().take(MOST_ADDRESSES) {
        match resolver.addresses(&host).await {
            Ok(addresses) => found.extend(addresses.into_iter().map(|address| SocketAddr::new(address, port))),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if found.is_empty() => Err(error),
        Some(_) | None => Ok(found),
    }
}

async fn dial(mesh: &Rc<Mesh>, address: SocketAddr) {
    let greeted = tokio::time::timeout(mesh.greeting_timeout(), greeting::dial(mesh, address)).await;
    match greeted.unwrap_or(Err(GreetingError::Timeout)) {
        Ok(greeted) => {
            mesh.plan.borrow_mut().linked(address);
            mesh.link(Direction::Dialled, address, greeted).await;
            mesh.plan.borrow_mut().lost(address, mesh.process_now(), &mut rand::rng());
            mesh.ask_again.notify_one();
        }
        Err(error) => {
            let failure = error.failure();
            match failure {
                Failure::Stranger => {
                    if let Some(rejection) = error.rejection() {
                        mesh.metrics().rejected(rejection);
                    }
                    tracing::warn!(%address, %error, "an address of cluster.discovery leads to a stranger; left alone for a minute");
                }
                Failure::Unreachable => tracing::debug!(%address, %error, "a member cannot be reached"),
                Failure::Myself | Failure::Alias => {
                    tracing::debug!(%address, %error, "an address is not dialled again")
                }
            }
            mesh.plan.borrow_mut().failed(address, failure, mesh.process_now(), &mut rand::rng());
        }
    }
    // Whether there are fewer others than there seemed to be is known now.
    mesh.count_others();
    mesh.plan_changed.notify_one();
}
