//! Nodes on a network of queues: everything said arrives, in order, when the test says so.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::super::event::{Count, Direction, Effect, Event, LinkId, Permission};
use super::super::members::State;
use super::super::message::{AskId, KeyId, KeyIds, Message, NodeId, Standing, SyncId};
use super::super::owners::Owner;
use super::join::DIALLED_BACK;
use super::{Node, NodeSettings};
use crate::bind::verdict::tests::verdict;
use crate::bind::{
    Conclusion, Credential, Decision, FlushScope, Guard, HashKey, Keys, Lease, Origin, Outcome, Policy, Release,
    Source, VerdictRules,
};
use crate::clock::Tick;
use crate::config::Verdicts;

const START: u64 = 40_000_000_000;

type Waiter = super::super::waiter::Waiter<u32>;

struct Pod {
    node: Node,
    guard: Guard<Waiter>,
    now: Tick,
    permits: Vec<(AskId, Permission)>,
    sessions: Vec<(Waiter, Release)>,
    gathered: Vec<String>,
    joined: Option<bool>,
    left: bool,
}

/// The far end of a link: whose it is, and what the link is called there.
#[derive(Clone, Copy)]
struct End {
    pod: usize,
    link: LinkId,
}

struct Network {
    pods: Vec<Pod>,
    ends: HashMap<(usize, LinkId), End>,
    queue: VecDeque<(usize, LinkId, Message)>,
    random: ChaCha8Rng,
    links: u64,
    /// Kinds of messages that get lost.
    lose_facts: bool,
    said: Vec<Message>,
}

fn policy() -> Policy {
    Policy {
        ttl: Duration::from_secs(900),
        max_ttl: Duration::from_secs(86_400),
        first_ttl: Duration::from_secs(10),
        rules: VerdictRules::new(&Verdicts::default()),
        keys: Keys::new(&HashKey::from_bytes([3; 32]), None, true),
        forgiveness: Duration::from_millis(10),
    }
}

impl Network {
    fn new() -> Self {
        Self {
            pods: Vec::new(),
            ends: HashMap::new(),
            queue: VecDeque::new(),
            random: ChaCha8Rng::seed_from_u64(1),
            links: 0,
            lose_facts: false,
            said: Vec::new(),
        }
    }

    /// Nodes that have found each other and joined.
    fn of(count: usize) -> Self {
        let mut network = Self::new();
        for number in 0..count {
            network.add(&format!("corp-{number}"), 0);
            network.connect_all(number);
            network.handle(number, Event::Discovered { others: number });
            network.run();
            assert_eq!(network.pods[number].joined, Some(true));
        }
        network
    }

    fn add(&mut self, name: &str, skew: u64) -> usize {
        let number = self.pods.len();
        let settings = NodeSettings {
            cluster: "mail/corp".into(),
            node: NodeId(0x1000 + number as u64 * 0x0101_0101_0101),
            name: name.into(),
            port: 7946,
            keys: KeyIds { current: KeyId(1), previous: None },
            lease_life: Duration::from_secs(12),
        };
        let guard = Guard::new(10_000, policy());
        guard.set_origin(Origin::new(number as u64 + 1));
        let now = Tick(START + skew);
        self.pods.push(Pod {
            node: Node::new(settings),
            guard,
            now,
            permits: Vec::new(),
            sessions: Vec::new(),
            gathered: Vec::new(),
            joined: None,
            left: false,
        });
        number
    }

    fn connect_all(&mut self, pod: usize) {
        for other in 0..self.pods.len() {
            if other != pod && !self.pods[other].left {
                self.connect(pod, other);
                self.connect(other, pod);
            }
        }
    }

    fn connect(&mut self, from: usize, to: usize) {
        let (out, inn) = (LinkId(self.links), LinkId(self.links + 1));
        self.links += 2;
        self.ends.insert((from, out), End { pod: to, link: inn });
        self.ends.insert((to, inn), End { pod: from, link: out });
        let hello = |pod: &Pod| pod.node.hello(&pod.guard, pod.now);
        let (theirs, mine) = (hello(&self.pods[to]), hello(&self.pods[from]));
        self.handle(from, Event::Linked { link: out, direction: Direction::Dialled, hello: theirs });
        self.handle(to, Event::Linked { link: inn, direction: Direction::Accepted, hello: mine });
    }

    fn cut(&mut self, one: usize, other: usize) {
        let links: Vec<_> = self
            .ends
            .iter()
            .filter(|((pod, _), end)| *pod == one && end.pod == other)
            .map(|(&at, &end)| (at, end))
            .collect();
        for ((pod, link), end) in links {
            self.ends.remove(&(pod, link));
            self.ends.remove(&(end.pod, end.link));
            self.queue.retain(|(to, on, _)| (*to, *on) != (pod, link) && (*to, *on) != (end.pod, end.link));
            self.handle(pod, Event::Unlinked { link });
            self.handle(end.pod, Event::Unlinked { link: end.link });
        }
    }

    fn handle(&mut self, at: usize, event: Event) {
        let pod = &mut self.pods[at];
        let mut effects = pod.node.handle(&pod.guard, event, pod.now, &mut self.random);
        // The clock is set before the next call, as the shell does.
        self.perform(at, std::mem::take(&mut effects));
        let pod = &mut self.pods[at];
        let effects = pod.node.flush(&pod.guard, pod.now);
        self.perform(at, effects);
    }

    fn perform(&mut self, at: usize, effects: Vec<Effect<Waiter>>) {
        for effect in effects {
            match effect {
                Effect::Send { links, message, repairable: _ } => {
                    if self.lose_facts && matches!(message, Message::Facts { .. }) {
                        continue;
                    }
                    for link in links {
                        if let Some(&End { pod, link }) = self.ends.get(&(at, link)) {
                            self.queue.push_back((pod, link, message.clone()));
                        }
                    }
                    self.said.push(message);
                }
                Effect::Permit { ask, permission } => self.pods[at].permits.push((ask, permission)),
                Effect::Release(released) => self.pods[at].sessions.extend(released),
                Effect::Gathered { number: _, from, body: _ } => self.pods[at].gathered.push(from),
                Effect::SetClock(now) => self.pods[at].now = now,
                Effect::Joined { complete } => self.pods[at].joined = Some(complete),
                Effect::Left => self.pods[at].left = true,
                Effect::Answer { link, number, query } => {
                    self.handle(at, Event::Answered { link, number, body: query })
                }
                Effect::Close { .. }
                | Effect::Merged(_)
                | Effect::OwnersChanged
                | Effect::MembersChanged
                | Effect::Count(_) => {}
            }
        }
    }

    fn run(&mut self) {
        let mut steps = 0;
        while let Some((pod, link, message)) = self.queue.pop_front() {
            self.handle(pod, Event::Received { link, message });
            steps += 1;
            assert!(steps < 100_000, "the nodes never fall silent");
        }
    }

    fn beat(&mut self, count: u64) {
        for _ in 0..count {
            for at in 0..self.pods.len() {
                self.pods[at].now.0 += 500;
                self.handle(at, Event::Ticked);
            }
            self.run();
        }
    }

    fn credential(&self, name: &str, password: &str) -> Credential {
        self.pods[0].guard.credential(name.as_bytes(), password.as_bytes())
    }

    fn lead(&self, at: usize, credential: &Credential) -> Lease {
        match self.pods[at].guard.decide(credential, Source::local(), self.pods[at].now, || Waiter::Session(0)) {
            Decision::Lead(lease) => lease,
            other => panic!("{other:?}"),
        }
    }

    fn settle(&mut self, at: usize, lease: Lease, code: u8) {
        let pod = &mut self.pods[at];
        pod.now.0 += 1;
        let settled = pod.guard.settle(lease, Outcome::Verdict(verdict(code, b"")), pod.now);
        pod.sessions.extend(settled.released.into_iter().filter(|(waiter, _)| matches!(waiter, Waiter::Session(_))));
        self.handle(at, Event::Learned(settled.effects));
    }

    fn fails(&mut self, at: usize, name: &str, password: &str) {
        let credential = self.credential(name, password);
        let lease = self.lead(at, &credential);
        self.settle(at, lease, 49);
    }

    fn refuses(&self, at: usize, name: &str, password: &str) -> bool {
        let credential = self.credential(name, password);
        let pod = &self.pods[at];
        match pod.guard.decide(&credential, Source::local(), pod.now, || Waiter::Session(0)) {
            Decision::Answer(_) => true,
            Decision::Wait => false,
            Decision::Lead(lease) => {
                let _ = pod.guard.conclude(lease, Conclusion::Fault, pod.now);
                false
            }
        }
    }

    /// A name that pod `owner` owns in the eyes of pod `at`.
    fn name_owned_by(&self, at: usize, owner: usize) -> Credential {
        let node = self.pods[owner].node.settings.node;
        (0..)
            .map(|number| self.credential(&format!("cn=user{number}"), "stale"))
            .find(|credential| self.pods[at].node.owners().owner_of(credential) == Owner::Other(node))
            .unwrap()
    }

    fn ask(&mut self, at: usize, number: u64, credential: Credential) {
        self.handle(at, Event::Ask { ask: AskId(number), credential });
        self.run();
    }

    fn permits(&mut self, at: usize) -> Vec<(u64, Permission)> {
        self.pods[at].permits.drain(..).map(|(ask, permission)| (ask.0, permission)).collect()
    }
}

#[test]
fn what_one_learns_all_know() {
    let mut network = Network::of(5);
    network.fails(2, "cn=alice", "old");
    network.run();
    assert!((0..5).all(|at| network.refuses(at, "cn=alice", "old") && !network.refuses(at, "cn=alice", "new")));
    // A success with it, seen by another one, ends that everywhere.
    let pod = &network.pods[4];
    let effects = pod.guard.password_changed(b"cn=alice", Tick(pod.now.0 + 50));
    network.handle(4, Event::Learned(effects));
    network.run();
    assert!((0..5).all(|at| !network.refuses(at, "cn=alice", "old")));
}

#[test]
fn a_joiner_has_everything_before_it_serves() {
    let mut network = Network::of(3);
    for number in 0..3_000 {
        network.fails(number % 3, &format!("cn=user{number}"), "old");
    }
    network.run();
    network.beat(8);
    let late = network.add("corp-3", 3_600_000);
    network.connect_all(late);
    network.handle(late, Event::Discovered { others: 3 });
    network.run();
    let pod = &network.pods[late];
    assert_eq!((pod.joined, pod.node.standing()), (Some(true), Standing::Joined));
    assert_eq!(pod.guard.stats().live, 3_000);
    assert_eq!(pod.now, network.pods[0].now, "a joiner goes by the time of those whom it joins");
}

#[test]
fn the_first_start_of_a_cluster_waits_for_nobody() {
    let mut network = Network::new();
    for number in 0..3 {
        network.add(&format!("corp-{number}"), number as u64 * 1_000);
    }
    network.connect_all(0);
    network.connect(1, 2);
    network.connect(2, 1);
    for number in 0..3 {
        network.handle(number, Event::Discovered { others: 2 });
    }
    network.run();
    network.beat(8);
    assert!(network.pods.iter().all(|pod| pod.joined == Some(true)));
    assert!(network.pods.iter().all(|pod| pod.now == network.pods[2].now), "all run by the fastest clock");
}

#[test]
fn nobody_is_waited_for_without_end() {
    let mut network = Network::new();
    network.add("corp-0", 0);
    network.handle(0, Event::Discovered { others: 4 });
    network.beat(19);
    assert_eq!(network.pods[0].joined, None);
    network.beat(1);
    assert_eq!(network.pods[0].joined, Some(false));
}

#[test]
fn what_push_lost_a_comparison_finds() {
    let mut network = Network::of(2);
    for number in 0..500 {
        network.fails(number % 2, &format!("cn=both{number}"), "old");
    }
    network.run();
    // The comparisons of those who have just met are over.
    network.beat(9);
    network.lose_facts = true;
    for number in 0..200 {
        network.fails(number % 2, &format!("cn=lost{number}"), "old");
    }
    network.run();
    assert_eq!(network.pods[0].guard.stats().live, 600);
    network.lose_facts = false;
    network.beat(10);
    network.said.clear();
    let links = network.pods[0].node.members.dialled_links();
    network.handle(0, Event::Drained { link: links[0] });
    network.run();
    assert_eq!([0, 1].map(|at| network.pods[at].guard.stats().live), [700, 700]);
    let told: usize = network
        .said
        .iter()
        .map(|message| if let Message::Facts { facts, .. } = message { facts.len() } else { 0 })
        .sum();
    assert_eq!(told, 200, "what both had is not sent again");
}

#[test]
fn a_healed_partition_needs_nobody() {
    let mut network = Network::of(4);
    for (one, other) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        network.cut(one, other);
    }
    network.fails(0, "cn=left", "old");
    network.fails(3, "cn=right", "old");
    network.run();
    assert!(network.refuses(1, "cn=left", "old") && !network.refuses(2, "cn=left", "old"));
    network.beat(10);
    for (one, other) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        network.connect(one, other);
        network.connect(other, one);
    }
    network.run();
    assert!((0..4).all(|at| network.refuses(at, "cn=left", "old") && network.refuses(at, "cn=right", "old")));
}

/// What was learned just before the heal is too young to be compared at once, and nobody was there to push it to.
#[test]
fn a_healed_partition_does_not_wait_for_the_next_comparison_of_all() {
    let mut network = Network::of(2);
    network.beat(9);
    network.cut(0, 1);
    network.fails(0, "cn=left", "old");
    network.fails(1, "cn=right", "old");
    network.connect(0, 1);
    network.fails(0, "cn=between", "old");
    network.fails(1, "cn=between", "other");
    network.connect(1, 0);
    network.run();
    network.beat(9);
    assert_eq!([0, 1].map(|at| network.pods[at].guard.stats().live), [4, 4]);
}

/// Whoever has no connection to a new member would let its clients go beside the new one's.
#[test]
fn who_joins_waits_a_moment_until_it_is_dialled_back() {
    let mut network = Network::of(1);
    for (number, answers) in [(1, true), (2, false)] {
        network.add(&format!("corp-{number}"), 0);
        network.connect(number, 0);
        network.handle(number, Event::Discovered { others: 1 });
        network.run();
        assert_eq!(network.pods[number].joined, None);
        match answers {
            true => network.connect(0, number),
            false => network.beat(DIALLED_BACK),
        }
        network.run();
        assert_eq!(network.pods[number].joined, Some(true));
    }
}

#[test]
fn the_owner_grants_one_and_answers_the_rest() {
    let mut network = Network::of(3);
    let credential = network.name_owned_by(1, 0);
    let (one, two) = (network.lead(1, &credential), network.lead(2, &credential));
    network.ask(1, 7, credential);
    network.ask(2, 8, credential);
    assert_eq!(network.permits(1), [(7, Permission::Granted)]);
    assert_eq!(network.permits(2), [(8, Permission::Waiting)]);
    // A session at the owner itself waits with them.
    let pod = &network.pods[0];
    let parked = pod.guard.decide(&credential, Source::local(), pod.now, || Waiter::Session(5));
    assert!(matches!(parked, Decision::Wait));
    network.settle(1, one, 49);
    network.handle(1, Event::Concluded { ask: AskId(7), conclusion: Conclusion::Verdict(Arc::new(verdict(49, b""))) });
    network.run();
    assert!(matches!(network.permits(2)[..], [(8, Permission::Verdict(_))]));
    assert!(matches!(network.pods[0].sessions[..], [(Waiter::Session(5), Release::Answer(_))]));
    let pod = &network.pods[2];
    let _ = pod.guard.conclude(two, Conclusion::Fault, pod.now);
    assert!(network.pods.iter().all(|pod| pod.guard.stats().in_flight == 0));
    assert!(network.pods[0].node.leases_are_empty());
}

#[test]
fn a_holder_that_dies_frees_its_lease() {
    let mut network = Network::of(3);
    let credential = network.name_owned_by(1, 0);
    network.ask(1, 7, credential);
    network.ask(2, 8, credential);
    assert_eq!(network.permits(2), [(8, Permission::Waiting)]);
    network.cut(0, 1);
    network.run();
    assert_eq!(network.permits(2), [(8, Permission::Granted)]);
    network.handle(2, Event::Concluded { ask: AskId(8), conclusion: Conclusion::Success });
    network.run();
    assert!(network.pods[0].node.leases_are_empty() && network.pods[0].guard.stats().in_flight == 0);
}

#[test]
fn a_holder_that_hangs_frees_its_lease_too() {
    let mut network = Network::of(2);
    let credential = network.name_owned_by(1, 0);
    network.ask(1, 7, credential);
    network.beat(26);
    assert!(network.pods[0].node.leases_are_empty() && network.pods[0].guard.stats().in_flight == 0);
}

#[test]
fn an_owner_that_dies_or_hangs_is_done_without() {
    let mut network = Network::of(3);
    let credential = network.name_owned_by(1, 0);
    let owner = network.pods[0].node.settings.node;
    network.handle(1, Event::Ask { ask: AskId(7), credential });
    network.handle(1, Event::Withdrawn { ask: AskId(7), timed_out: true });
    assert_ne!(network.pods[1].node.owners().owner_of(&credential), Owner::Other(owner), "it is not asked again");
    network.run();
    assert_eq!(network.pods[1].node.owners().owner_of(&credential), Owner::Other(owner), "until it is heard of");
    assert!(network.pods[0].node.leases_are_empty(), "what it granted too late was withdrawn");
    network.permits(1);
    network.handle(1, Event::Ask { ask: AskId(9), credential });
    network.cut(0, 1);
    assert_eq!(network.permits(1), [(9, Permission::NoOwner)]);
}

#[test]
fn who_leaves_hands_over_and_leaves_no_ghost() {
    let mut network = Network::of(3);
    network.fails(0, "cn=alice", "old");
    network.handle(0, Event::Leave);
    network.run();
    assert!(network.pods[0].left);
    network.cut(0, 1);
    network.cut(0, 2);
    assert!(network.refuses(1, "cn=alice", "old") && network.refuses(2, "cn=alice", "old"));
    let states = |network: &Network| {
        network.pods[1].node.members().map(|member| (member.name.clone(), member.state())).collect::<Vec<_>>()
    };
    assert_eq!(states(&network), [("corp-0".into(), State::Left), ("corp-2".into(), State::Alive)]);
    network.beat(120);
    assert_eq!(states(&network), [("corp-2".into(), State::Alive)]);
}

#[test]
fn who_vanishes_is_suspected_and_its_successor_takes_its_place() {
    let mut network = Network::of(2);
    network.cut(0, 1);
    let states = |network: &Network| {
        network.pods[0].node.members().map(|member| (member.node, member.state())).collect::<Vec<_>>()
    };
    assert_eq!(states(&network)[0].1, State::Suspect);
    let successor = network.add("corp-1", 0);
    network.connect(successor, 0);
    network.connect(0, successor);
    assert_eq!(states(&network), [(network.pods[successor].node.settings.node, State::Alive)]);
}

#[test]
fn a_flush_is_acknowledged_after_it_was_taken_in() {
    let mut network = Network::of(3);
    network.fails(1, "cn=alice", "old");
    network.run();
    network.pods[0].now.0 += 10;
    let flushed = network.pods[0].guard.flush(FlushScope::All, network.pods[0].now);
    network.handle(0, Event::Learned(flushed.effects));
    network.handle(0, Event::Gather { number: 4, query: None });
    network.run();
    network.pods[0].gathered.sort();
    assert_eq!(network.pods[0].gathered, ["corp-1", "corp-2"]);
    assert!((0..3).all(|at| !network.refuses(at, "cn=alice", "old")));
}

#[test]
fn clusters_an_hour_apart_that_meet_forgive_rather_than_refuse() {
    let mut network = Network::new();
    network.add("slow", 0);
    network.add("fast", 3_600_000);
    for at in 0..2 {
        network.handle(at, Event::Discovered { others: 0 });
    }
    network.fails(1, "cn=alice", "new");
    // Later, by any true clock, the password is changed to what was wrong before.
    network.pods[0].now.0 += 60_000;
    let pod = &network.pods[0];
    let effects = pod.guard.password_changed(b"cn=alice", pod.now);
    network.handle(0, Event::Learned(effects));
    network.connect(0, 1);
    network.connect(1, 0);
    network.run();
    network.beat(30);
    assert!((0..2).all(|at| !network.refuses(at, "cn=alice", "new")));
}

#[test]
fn members_with_another_key_exchange_nothing() {
    let mut network = Network::of(1);
    let other = network.add("corp-1", 0);
    network.pods[other].node.settings.keys = KeyIds { current: KeyId(9), previous: None };
    network.fails(0, "cn=alice", "old");
    network.connect_all(other);
    network.run();
    network.beat(25);
    assert_eq!(network.pods[other].guard.stats().live, 0);
    // One that asks all the same is told nothing.
    let link = network.pods[0].node.members().find_map(|member| member.accepted).expect("a connection from it");
    for message in [
        Message::SnapshotRequest { cursor: 0 },
        Message::Compare { sync: SyncId(1), cut: Tick(u64::MAX), root: 1 },
        Message::Descend { sync: SyncId(1), cut: Tick(u64::MAX), branches: (0..=255).collect() },
    ] {
        let Pod { node, guard, now, .. } = &mut network.pods[0];
        let random = &mut ChaCha8Rng::seed_from_u64(1);
        let effects = node.handle(guard, Event::Received { link, message }, *now, random);
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Count(Count::RefusedKey))), "{effects:?}");
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Send { .. })), "{effects:?}");
    }
    // With the old key still accepted, they do.
    network.handle(other, Event::Rotated(KeyIds { current: KeyId(9), previous: Some(KeyId(1)) }));
    network.run();
    network.beat(25);
    assert_eq!(network.pods[other].guard.stats().live, 1);
}
