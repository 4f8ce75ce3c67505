//! One pod's shell, reduced to events on a virtual clock.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use bindproxy::bind::{
    Class, Credential, Decision, Effect, FlushScope, Guard, HashKey, Keys, Lease, NotRecorded, Outcome, Policy,
    Release, Source, Verdict, VerdictRules,
};
use bindproxy::clock::Tick;
use bindproxy::codec::{build, frame};
use bindproxy::config::Verdicts;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::directory::{Check, Directory, Kind, Settings};
use super::oracle::{Attempt, Lives, Oracle, Pair};
use super::{Report, Violation};

const START: Tick = Tick(3_600_000);
/// When the pod gives an attempt up.
const REQUEST_TIMEOUT: u64 = 10_000;

/// Something that will happen.
enum Event {
    /// A client presents its password, this many times at once.
    Present {
        client: usize,
    },
    /// An attempt reaches the directory.
    Arrive {
        id: u64,
        lost: bool,
        back: u64,
    },
    /// Its answer, or the end of waiting for it, reaches the pod.
    Settle {
        id: u64,
        check: Option<Check>,
    },
    /// Somebody sets a password at the directory; through the proxy if so.
    Change {
        name: usize,
        through: bool,
    },
    /// The proxy sees the change succeed.
    ChangeSeen {
        name: usize,
    },
    /// An administrator ends a lock at the directory.
    Unlock {
        name: usize,
    },
    /// An administrator flushes a name at the proxy.
    Flush {
        name: usize,
    },
    /// The cluster gets a new hashing key; the one before stays accepted.
    Rotate,
    /// The directory goes down or comes back.
    Outage {
        down: bool,
    },
    Sweep,
}

/// A device, program or person.
struct Client {
    name: usize,
    /// A password of its own, or whatever is right when it presents it.
    password: Option<u32>,
    every: u64,
    at_once: u32,
}

struct Parked {
    pair: Pair,
    since: Tick,
    gone: bool,
}

pub(super) struct Simulation {
    seed: u64,
    random: ChaCha8Rng,
    now: Tick,
    duration: u64,
    queue: BinaryHeap<Reverse<(Tick, u64)>>,
    events: HashMap<u64, Event>,
    numbers: u64,
    guard: Guard<u64>,
    lives: Lives,
    directory: Directory,
    oracle: Oracle,
    clients: Vec<Client>,
    leases: HashMap<u64, (Lease, Attempt)>,
    parked: HashMap<u64, Parked>,
    credentials: HashMap<Pair, Credential>,
    fresh_password: u32,
    last_change: Vec<Tick>,
    down: bool,
    faulty: bool,
    verdicts: [Verdict; 3],
    report: Report,
}

impl Simulation {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let ttl = [20, 60, 300][random.random_range(0..3)];
        let max_ttl = ttl * [1, 4, 16, 96][random.random_range(0..4)];
        let first_ttl = [2, 5, 10][random.random_range(0..3)];
        let lives = Lives {
            ttl: Duration::from_secs(ttl),
            max_ttl: Duration::from_secs(max_ttl),
            first_ttl: Duration::from_secs(first_ttl),
        };
        let window = Duration::from_secs([30, 600, 3600][random.random_range(0..3)]);
        let kind = match random.random_range(0..4) {
            0 => Kind::OpenLdap { window: None },
            1 => Kind::OpenLdap { window: Some(window) },
            2 => Kind::ActiveDirectory { window },
            _ => Kind::DirectoryServer389 { window },
        };
        let lock = [None, Some(Duration::from_secs(60)), Some(Duration::from_secs(900))][random.random_range(0..3)];
        let settings = Settings { kind, threshold: random.random_range(3..11), lock };
        let names = random.random_range(1..4);
        let directory = Directory::new(settings, names);
        let verdicts = [Check::Right, Check::Wrong, Check::Locked].map(|check| verdict(directory.words(check)));
        let mut simulation = Self {
            seed,
            now: START,
            duration: ttl * 1000 * random.random_range(5..40),
            queue: BinaryHeap::new(),
            events: HashMap::new(),
            numbers: 0,
            guard: Guard::new(2048, policy(lives, 3, None)),
            lives,
            oracle: Oracle::new(lives, names),
            clients: Vec::new(),
            leases: HashMap::new(),
            parked: HashMap::new(),
            credentials: HashMap::new(),
            fresh_password: 100,
            last_change: vec![START; names],
            down: false,
            faulty: random.random_bool(0.5),
            directory,
            verdicts,
            report: Report::default(),
            random,
        };
        simulation.populate(names);
        simulation
    }

    /// Clients, and what will happen to their accounts.
    fn populate(&mut self, names: usize) {
        let changes = self.random.random_bool(0.6);
        for name in 0..names {
            for _ in 0..self.random.random_range(1..4) {
                // Passwords 0 to 4: 0 is the right one at first, others may become it.
                let stale = self.random.random_bool(0.7);
                let password = stale.then(|| self.random.random_range(0..5));
                let every = self.duration / self.random.random_range(8..50);
                let at_once = if self.random.random_bool(0.3) { self.random.random_range(2..9) } else { 1 };
                self.clients.push(Client { name, password, every: every.max(50), at_once });
            }
            for _ in 0..if changes { self.random.random_range(0..4) } else { 0 } {
                let at = self.random.random_range(0..self.duration);
                let through = self.random.random_bool(0.5);
                self.after(at, Event::Change { name, through });
            }
            for _ in 0..self.random.random_range(0..3) {
                let at = self.random.random_range(0..self.duration);
                self.after(at, Event::Unlock { name });
            }
        }
        for client in 0..self.clients.len() {
            let at = self.random.random_range(0..self.clients[client].every);
            self.after(at, Event::Present { client });
        }
        if self.random.random_bool(0.2) {
            let (name, at) = (self.random.random_range(0..names), self.random.random_range(0..self.duration));
            self.after(at, Event::Flush { name });
        }
        if self.random.random_bool(0.2) {
            let at = self.random.random_range(0..self.duration);
            self.after(at, Event::Rotate);
        }
        if self.faulty && self.random.random_bool(0.5) {
            let at = self.random.random_range(0..self.duration);
            self.after(at, Event::Outage { down: true });
            self.after(at + self.duration / 10, Event::Outage { down: false });
        }
        self.after(1000, Event::Sweep);
    }

    pub(super) fn run(mut self) -> Result<Report, Violation> {
        let end = START.after(Duration::from_millis(self.duration));
        while let Some(Reverse((at, number))) = self.queue.pop() {
            self.now = at;
            let Some(event) = self.events.remove(&number) else { continue };
            // After the end nobody begins anything, but what is under way is waited for.
            let begins = matches!(event, Event::Present { .. } | Event::Sweep | Event::Change { .. });
            if !(begins && at > end) {
                self.step(event).map_err(|what| self.violation(what))?;
            }
        }
        self.finish().map_err(|what| self.violation(what))?;
        self.report.locks = self.directory.locks;
        Ok(self.report)
    }

    fn violation(&self, what: String) -> Violation {
        Violation { seed: self.seed, at: self.now.0 - START.0, what }
    }

    fn step(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Present { client } => {
                let Client { name, password, every, at_once } = self.clients[client];
                let pair = (name, password.unwrap_or(self.directory.accounts[name].password));
                for _ in 0..at_once {
                    self.present(pair)?;
                }
                let pause = self.random.random_range(every / 2..every * 3 / 2);
                self.after(pause, Event::Present { client });
                Ok(())
            }
            Event::Arrive { id, lost, back } => self.arrive(id, lost, back),
            Event::Settle { id, check } => self.settle(id, check),
            Event::Change { name, through } => {
                // Real changes are not seconds apart; the store remembers two successes a name.
                if self.now.since(self.last_change[name]) < Duration::from_secs(60) {
                    return Ok(());
                }
                self.last_change[name] = self.now;
                // Half the time to a password that somebody already tries.
                let known = self.random.random_bool(0.5).then(|| self.random.random_range(0..5));
                self.fresh_password += 1;
                self.directory.change(name, known.unwrap_or(self.fresh_password));
                if through {
                    let seen = self.random.random_range(1..50);
                    self.after(seen, Event::ChangeSeen { name });
                }
                Ok(())
            }
            Event::ChangeSeen { name } => {
                self.oracle.changed_through(name, self.now);
                let effects = self.guard.password_changed(spelling(name, true).as_bytes(), self.now);
                if effects.is_empty() { Err("a purge without an effect".into()) } else { Ok(()) }
            }
            Event::Unlock { name } => {
                self.directory.unlock(name);
                Ok(())
            }
            Event::Flush { name } => {
                self.oracle.flushed(name, self.now);
                let _ = self.guard.flush(FlushScope::Name(spelling(name, false).as_bytes()), self.now);
                Ok(())
            }
            Event::Rotate => {
                self.guard.set_policy(policy(self.lives, 4, Some(3)));
                self.credentials.clear();
                Ok(())
            }
            Event::Outage { down } => {
                self.down = down;
                Ok(())
            }
            Event::Sweep => {
                self.guard.sweep(self.now, 256);
                let pause = self.duration / 20;
                self.after(pause.max(1000), Event::Sweep);
                Ok(())
            }
        }
    }

    fn present(&mut self, pair: Pair) -> Result<(), String> {
        self.report.presented += 1;
        let credential = self.credential(pair);
        let waiter = self.number();
        let decision = self.guard.decide(&credential, Source::local(), self.now, || waiter);
        let refuses = self.oracle.refuses(pair, self.now);
        match decision {
            Decision::Answer(answer) => {
                self.report.cached += 1;
                if answer.code() != 49 {
                    return Err(format!("{pair:?} is answered {} from the store", answer.code()));
                }
                let right = self.directory.accounts[pair.0].password == pair.1;
                self.report.right_refused += u64::from(right && !self.directory.is_locked(pair.0, self.now));
                self.oracle.told_from_store(pair, self.now)
            }
            _ if refuses => Err(format!("I1: {pair:?} is not answered from the store though it is known to be wrong")),
            Decision::Wait => {
                self.report.waited += 1;
                if self.oracle.joinable(pair).is_none() {
                    return Err(format!("{pair:?} waits for nothing"));
                }
                let gone = self.faulty && self.random.random_bool(0.1);
                self.parked.insert(waiter, Parked { pair, since: self.now, gone });
                Ok(())
            }
            Decision::Lead(lease) => self.send(lease, pair),
        }
    }

    /// Lets an attempt go, through whatever becomes of it.
    fn send(&mut self, lease: Lease, pair: Pair) -> Result<(), String> {
        let id = self.number();
        if lease.sent_at() != self.now {
            return Err("a lease of another time".into());
        }
        let attempt = Attempt { pair, started: self.now, shared: lease.is_shared() };
        self.oracle.begins(id, attempt)?;
        self.leases.insert(id, (lease, attempt));
        let refused = self.down || (self.faulty && self.random.random_bool(0.05));
        if refused {
            let after = self.random.random_range(0..100);
            self.after(after, Event::Settle { id, check: None });
            return Ok(());
        }
        let slow = self.faulty && self.random.random_bool(0.1);
        let lost = self.faulty && self.random.random_bool(0.05);
        let there = self.random.random_range(0..if slow { 4000 } else { 10 });
        let back = self.random.random_range(0..if slow { 5000 } else { 20 });
        self.after(there, Event::Arrive { id, lost, back });
        Ok(())
    }

    /// The directory checks and counts whatever becomes of its answer and of the client.
    fn arrive(&mut self, id: u64, lost: bool, back: u64) -> Result<(), String> {
        let Some((_, Attempt { pair, started, .. })) = self.leases.get(&id) else {
            return Err("an attempt without a lease".into());
        };
        let (pair, started) = (*pair, *started);
        self.report.received += 1;
        let check = self.directory.bind(pair.0, pair.1, self.now);
        self.oracle.reached(pair, check);
        if lost {
            let left = started.after(Duration::from_millis(REQUEST_TIMEOUT));
            let wait = self.now.until(left).as_millis() as u64;
            self.after(wait, Event::Settle { id, check: None });
        } else {
            self.after(back, Event::Settle { id, check: Some(check) });
        }
        Ok(())
    }

    fn settle(&mut self, id: u64, check: Option<Check>) -> Result<(), String> {
        let Some((lease, attempt)) = self.leases.remove(&id) else { return Err("settled twice".into()) };
        let outcome = match check {
            None => Outcome::Fault,
            Some(Check::Right) => Outcome::Verdict(self.verdicts[0].clone()),
            Some(Check::Wrong) => Outcome::Verdict(self.verdicts[1].clone()),
            Some(Check::Locked) => Outcome::Verdict(self.verdicts[2].clone()),
        };
        let settled = self.guard.settle(lease, outcome, self.now);
        let mut others = false;
        for effect in &settled.effects {
            match effect {
                Effect::Purged { .. } => others = true,
                Effect::NotRecorded { reason: NotRecorded::Late, .. } => self.report.late += 1,
                Effect::NotRecorded { reason, .. } => return Err(format!("not recorded: {reason:?}")),
                Effect::Learned { .. }
                | Effect::Succeeded { .. }
                | Effect::PasswordWasRight { .. }
                | Effect::LastGoodEnded { .. } => {}
            }
        }
        match settled.class {
            None => {
                self.report.faults += 1;
                self.oracle.faulted(id);
            }
            Some(class) => {
                if self.oracle.settled(id, class, self.now) != others {
                    return Err(format!("{:?}: the others are purged when they should not be, or not", attempt.pair));
                }
            }
        }
        self.report.others_purged += u64::from(others);
        let forwarded = settled.released.iter().filter(|(_, release)| matches!(release, Release::Forward(_))).count();
        if settled.class.is_none() && forwarded > 1 {
            return Err("after a fault more than one waiter goes on".into());
        }
        for (waiter, release) in settled.released {
            self.release(waiter, release, settled.class, attempt)?;
        }
        Ok(())
    }

    fn release(&mut self, waiter: u64, release: Release, class: Option<Class>, by: Attempt) -> Result<(), String> {
        let Some(Parked { pair, since, gone }) = self.parked.remove(&waiter) else {
            return Err("somebody is let go who does not wait".into());
        };
        if pair != by.pair {
            return Err(format!("{pair:?} gets what is for {:?}", by.pair));
        }
        match release {
            Release::Answer(_) if class == Some(Class::Success) => Err("a success is shared".into()),
            Release::Answer(answer) => {
                if class.is_some() {
                    self.oracle.told_as_waiter(pair, since, by)?;
                }
                if answer.code() == 49 { self.oracle.told_wrong(pair) } else { Ok(()) }
            }
            Release::Forward(lease) if gone => {
                // The client hung up while it waited: what it held goes to the next.
                let solo = !lease.is_shared();
                let settled = self.guard.settle(lease, Outcome::Fault, self.now);
                if solo && !settled.released.is_empty() {
                    return Err("a lease for one lets others go".into());
                }
                settled.released.into_iter().try_for_each(|(waiter, release)| self.release(waiter, release, None, by))
            }
            Release::Forward(lease) => self.send(lease, pair),
        }
    }

    fn finish(&mut self) -> Result<(), String> {
        let stats = self.guard.stats();
        if stats.in_flight + stats.waiting + self.parked.len() + self.leases.len() != 0 {
            return Err(format!("somebody waits for ever: {stats:?}"));
        }
        self.oracle.totals(Duration::from_millis(self.duration))
    }

    fn credential(&mut self, pair: Pair) -> Credential {
        let Self { credentials, guard, .. } = self;
        *credentials.entry(pair).or_insert_with(|| {
            guard.credential(
                spelling(pair.0, pair.1.is_multiple_of(2)).as_bytes(),
                format!("password {}", pair.1).as_bytes(),
            )
        })
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn after(&mut self, milliseconds: u64, event: Event) {
        let number = self.number();
        self.queue.push(Reverse((self.now.after(Duration::from_millis(milliseconds)), number)));
        self.events.insert(number, event);
    }
}

/// The policy with the hashing keys of these two generations.
fn policy(lives: Lives, current: u8, previous: Option<u8>) -> Policy {
    let key = |octet| HashKey::from_bytes([octet; 32]);
    Policy {
        ttl: lives.ttl,
        max_ttl: lives.max_ttl,
        first_ttl: lives.first_ttl,
        forgiveness: Duration::ZERO,
        rules: VerdictRules::new(&Verdicts::default()),
        keys: Keys::new(&key(current), previous.map(key).as_ref(), true),
    }
}

/// A name in one of two spellings.
fn spelling(name: usize, plain: bool) -> String {
    if plain { format!("uid=user{name},dc=example") } else { format!("UID=User{name}, DC=Example") }
}

pub(super) fn verdict((code, diagnostic): (u32, &str)) -> Verdict {
    let bytes = build::bind_response(1, code, diagnostic);
    let bytes = if code == 19 { constraint_violation(diagnostic) } else { bytes };
    match frame::peek(&bytes, 1 << 20) {
        Ok(Some(peek)) => Verdict::from_response(&bytes, &peek),
        other => panic!("a BindResponse of our own can be read: {other:?}"),
    }
    .unwrap_or_else(|error| panic!("a BindResponse of our own can be read: {error}"))
}

/// [`build::bind_response`] knows only the codes that the proxy itself answers.
fn constraint_violation(diagnostic: &str) -> Vec<u8> {
    let mut body = vec![0x0A, 1, 19, 4, 0, 4, diagnostic.len() as u8];
    body.extend_from_slice(diagnostic.as_bytes());
    let mut operation = vec![0x61, body.len() as u8];
    operation.append(&mut body);
    bindproxy::codec::edit::assemble(1, &operation, std::iter::empty())
}
