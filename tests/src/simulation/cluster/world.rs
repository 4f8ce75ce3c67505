//! The virtual world: time, the queue of what will happen, and what is checked at the end.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use bindproxy::bind::{Decision, Outcome, Source, Verdict};
use bindproxy::clock::Tick;
use bindproxy::cluster::members::State;
use bindproxy::settings::CLOCKS_APART;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::Violation;
use super::super::directory::{Check, Directory};
use super::super::oracle::Pair;
use super::super::pod::verdict;
use super::model::{FactId, Model, Run, Tolerance};
use super::network::{End, Network};
use super::plan::{Deed, MILLISECOND, Micros, Plan, SECOND, SLOTS, Trouble};
use super::process::{Input, Process};
use super::{Fault, Report};

/// Something that will happen.
#[derive(Debug)]
pub(super) enum Event {
    Process {
        slot: usize,
        run: Run,
        input: Input,
    },
    /// A stopped process goes on.
    Resume {
        slot: usize,
        run: Run,
    },
    /// A client presents its password.
    Client {
        client: usize,
    },
    /// An attempt reaches the directory.
    Arrive {
        attempt: u64,
        slot: usize,
        run: Run,
        lost: bool,
        back: Micros,
    },
    Deed {
        name: usize,
        deed: Deed,
    },
    Trouble(Trouble),
    /// Octets flow again between these.
    Heal(Vec<(usize, usize)>),
    Start {
        slot: usize,
    },
    /// Two processes have shaken hands.
    Establish {
        from: End,
        to: End,
    },
    /// What one run told must have arrived at the other.
    Told {
        fact: FactId,
        from: End,
        to: End,
        since: Micros,
    },
    /// Two runs have had the time to compare since they were disturbed.
    Repaired {
        one: End,
        other: End,
        since: Micros,
    },
    /// No more troubles and clients.
    Peace,
}

struct Due {
    at: Micros,
    number: u64,
    event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    /// The earliest is the greatest, for the heap.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// Events that a violation tells, unless `BINDPROXY_SIMULATION_EVENTS` asks for more; then it tells of
/// messages, too.
const HISTORY: usize = 40;
/// What stands before a cluster's first clock: a year or so.
pub(super) const WALL: Micros = 30_000_000 * SECOND;
/// For so long after the last disturbance members may not agree about owners.
const VIEWS_SETTLE: Micros = 3 * SECOND;

pub(super) struct World {
    seed: u64,
    pub(super) fault: Option<Fault>,
    pub(super) plan: Plan,
    pub(super) random: ChaCha8Rng,
    pub(super) now: Micros,
    queue: BinaryHeap<Due>,
    numbers: u64,
    pub(super) network: Network,
    pub(super) processes: [Option<Process>; SLOTS],
    pub(super) next_run: Run,
    /// Which slots discovery tells of.
    pub(super) listed: [bool; SLOTS],
    pub(super) stage: u8,
    pub(super) directory: Directory,
    pub(super) verdicts: [Verdict; 3],
    pub(super) model: Model,
    /// Whether what the first dialled leads to the second, at both ends.
    pub(super) linked: [[bool; SLOTS]; SLOTS],
    /// When two slots were disturbed last in telling each other.
    disturbed: [[Micros; SLOTS]; SLOTS],
    /// When anything happened last about which members may think differently for a while.
    pub(super) views_changed: Micros,
    pub(super) fresh_password: u32,
    pub(super) last_change: Vec<Micros>,
    pub(super) peace: bool,
    pub(super) report: Report,
    history: Option<VecDeque<String>>,
    remembers: usize,
}

impl World {
    pub(super) fn new(seed: u64, fault: Option<Fault>, writes: bool) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let plan = Plan::new(seed, &mut random);
        let directory = Directory::new(plan.directory, plan.names);
        let verdicts = [Check::Right, Check::Wrong, Check::Locked].map(|check| verdict(directory.words(check)));
        let forgiveness = u64::try_from(CLOCKS_APART.as_micros()).unwrap_or(u64::MAX);
        let nothing_is_dropped = plan.faults.overflow == 0.0;
        let tolerance = Tolerance { apart: plan.slowest(), forgiveness, nothing_is_dropped };
        let asked_for = std::env::var("BINDPROXY_SIMULATION_EVENTS").ok().and_then(|number| number.parse().ok());
        let mut world = Self {
            seed,
            fault,
            random,
            now: 0,
            queue: BinaryHeap::new(),
            numbers: 0,
            network: Network::new(),
            processes: Default::default(),
            next_run: 0,
            listed: [plan.static_list; SLOTS],
            stage: 0,
            directory,
            verdicts,
            model: Model::new(plan.lives, tolerance),
            linked: [[false; SLOTS]; SLOTS],
            disturbed: [[0; SLOTS]; SLOTS],
            views_changed: 0,
            fresh_password: 100,
            last_change: vec![0; plan.names],
            peace: false,
            report: Report::default(),
            history: writes.then(VecDeque::new),
            remembers: asked_for.unwrap_or(HISTORY),
            plan,
        };
        world.prepare();
        world
    }

    fn prepare(&mut self) {
        for slot in 0..self.plan.first {
            let wait = if self.plan.staggered { slot as u64 * 1500 * MILLISECOND } else { 0 };
            let wait = wait + self.random.random_range(0..100 * MILLISECOND);
            self.listed[slot] |= !self.plan.staggered;
            self.after(wait, Event::Start { slot });
        }
        for (at, trouble) in self.plan.troubles.clone() {
            self.after(at, Event::Trouble(trouble));
        }
        for (at, name, deed) in self.plan.deeds.clone() {
            self.after(at, Event::Deed { name, deed });
        }
        for client in 0..self.plan.clients.len() {
            let at = self.random.random_range(0..self.plan.clients[client].every);
            self.after(at, Event::Client { client });
        }
        self.after(self.plan.duration, Event::Peace);
    }

    pub(super) fn run(mut self) -> Result<Report, Violation> {
        let end = self.plan.duration + self.plan.peace;
        while let Some(Due { at, number: _, event }) = self.queue.pop() {
            if at > end {
                break;
            }
            self.now = at;
            self.report.events += 1;
            self.step(event).map_err(|what| self.violation(what))?;
        }
        self.now = end;
        self.finish().map_err(|what| self.violation(what))?;
        self.report.seeds = 1;
        self.report.locks = self.directory.locks;
        Ok(self.report)
    }

    fn violation(&self, what: String) -> Violation {
        let events = self.history.iter().flatten().fold(String::new(), |text, line| text + "\n  " + line);
        let what = if events.is_empty() { what } else { format!("{what}\nthe last events:{events}\n") };
        Violation { seed: self.seed, at: self.now / MILLISECOND, what }
    }

    /// Writes down what happens, if this run does.
    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(history) = &mut self.history {
            if history.len() >= self.remembers {
                history.pop_front();
            }
            history.push_back(format!("{:>10.3} ms  {}", now as f64 / 1000.0, what()));
        }
    }

    /// The same for what happens too often to be of interest.
    pub(super) fn note_detail(&mut self, what: impl FnOnce() -> String) {
        if self.remembers > HISTORY {
            self.note(what);
        }
    }

    fn step(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Process { slot, run, input } => self.input(slot, run, input),
            Event::Resume { slot, run } => self.resume(slot, run),
            Event::Client { client } => {
                self.client(client);
                Ok(())
            }
            Event::Arrive { attempt, slot, run, lost, back } => {
                self.arrive(attempt, slot, run, lost, back);
                Ok(())
            }
            Event::Deed { name, deed } => {
                self.deed(name, deed);
                Ok(())
            }
            Event::Trouble(trouble) => {
                if !self.peace {
                    self.trouble(trouble);
                }
                Ok(())
            }
            Event::Heal(pairs) => {
                self.heal(&pairs);
                Ok(())
            }
            Event::Start { slot } => {
                self.start(slot);
                Ok(())
            }
            Event::Establish { from, to } => {
                self.establish(from, to);
                Ok(())
            }
            Event::Told { fact, from, to, since } => {
                let in_touch = self.disturbed[from.slot][to.slot] < since && self.runs(from) && self.runs(to);
                if in_touch {
                    self.model.knows(fact, to.run, self.now);
                }
                Ok(())
            }
            Event::Repaired { one, other, since } => {
                let in_touch = self.disturbed[one.slot][other.slot] == since && self.in_touch(one.slot, other.slot);
                if in_touch && self.runs(one) && self.runs(other) {
                    self.model.knows_all_of(one.run, other.run, since, self.now);
                    self.model.knows_all_of(other.run, one.run, since, self.now);
                }
                Ok(())
            }
            Event::Peace => {
                self.note(|| "peace".to_owned());
                self.peace = true;
                Ok(())
            }
        }
    }

    pub(super) fn after(&mut self, wait: Micros, event: Event) {
        self.at(self.now + wait, event);
    }

    pub(super) fn at(&mut self, at: Micros, event: Event) {
        self.numbers += 1;
        self.queue.push(Due { at, number: self.numbers, event });
    }

    /// Hands something to the present process of a slot.
    pub(super) fn later(&mut self, slot: usize, wait: Micros, input: Input) {
        if let Some(run) = self.run_of(slot) {
            self.after(wait, Event::Process { slot, run, input });
        }
    }

    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn run_of(&self, slot: usize) -> Option<Run> {
        self.processes[slot].as_ref().map(|process| process.run)
    }

    pub(super) fn end_of(&self, slot: usize) -> Option<End> {
        self.run_of(slot).map(|run| End { slot, run })
    }

    pub(super) fn runs(&self, end: End) -> bool {
        self.run_of(end.slot) == Some(end.run)
    }

    pub(super) fn tick(&self, slot: usize) -> Tick {
        self.processes[slot].as_ref().map_or(Tick(0), |process| process.clock.tick(self.now))
    }

    /// Whether two slots have processes that hear each other.
    fn in_touch(&self, one: usize, other: usize) -> bool {
        let well = |slot: usize| self.processes[slot].as_ref().is_some_and(|process| process.joined && !process.hung);
        let hears = |from: usize, to: usize| self.linked[from][to] && self.network.flows(from, to);
        well(one) && well(other) && hears(one, other) && hears(other, one)
    }

    /// Two slots cannot count on having told each other everything, until they had the time to compare.
    pub(super) fn disturb(&mut self, one: usize, other: usize) {
        self.disturbed[one][other] = self.now;
        self.disturbed[other][one] = self.now;
        if let (Some(a), Some(b)) = (self.end_of(one), self.end_of(other)) {
            let wait = super::model::REPAIR + 10 * self.plan.slowest();
            self.after(wait, Event::Repaired { one: a, other: b, since: self.now });
        }
    }

    /// Whether these had told each other everything before, and were not disturbed since.
    pub(super) fn told_all(&self, slots: &[usize], before: Micros) -> bool {
        let wait = super::model::REPAIR + 10 * self.plan.slowest();
        let well = |one: usize, other: usize| {
            one == other || (self.disturbed[one][other] + wait < before && self.in_touch(one, other))
        };
        slots.iter().all(|&one| slots.iter().all(|&other| well(one, other)))
    }

    /// The same of a slot and all others; and members may think differently of who owns what.
    pub(super) fn disturb_all(&mut self, slot: usize) {
        self.views_changed = self.now;
        (0..SLOTS).filter(|&other| other != slot).for_each(|other| self.disturb(slot, other));
    }

    /// A run has learned something that others must hear of.
    pub(super) fn tell(&mut self, slot: usize, fact: FactId) {
        let Some(from) = self.end_of(slot) else { return };
        // Two hops on the way, and all clocks within one.
        let wait = 2 * self.plan.slowest();
        for other in (0..SLOTS).filter(|&other| other != slot) {
            if let Some(to) = self.end_of(other).filter(|_| self.in_touch(slot, other)) {
                self.after(wait, Event::Told { fact, from, to, since: self.now });
            }
        }
    }

    /// Since when these two stand in a group in which everybody sees everybody and the owner of a name grants;
    /// `None` if they do not.
    pub(super) fn together(&self, one: usize, other: Run) -> Option<Micros> {
        let since = self.views_changed + VIEWS_SETTLE + 10 * self.plan.slowest();
        let asks = self.plan.coordination != super::plan::Coordination::Local && self.plan.owners_answer_in_time();
        // Somebody may still take one for a member that is gone without a word.
        let alive = |end: &End| self.runs(*end);
        let haunted = self
            .network
            .links
            .values()
            .any(|link| (0..2).any(|end| link.open[end] && alive(&link.ends[end]) && !alive(&link.ends[1 - end])));
        let other = (0..SLOTS).find(|&slot| self.run_of(slot) == Some(other))?;
        let sees = |slot: usize| -> Vec<usize> {
            (0..SLOTS).filter(|&to| to == slot || self.linked[slot][to] || self.linked[to][slot]).collect()
        };
        let group = sees(one);
        // While a key rolls, members agree after some time by which one they find an owner.
        let hashes = |slot: usize| self.processes[slot].as_ref().map(|process| process.guard.name_key(b"probe"));
        let by = hashes(one);
        let stays =
            |slot: usize| hashes(slot) == by && self.processes[slot].as_ref().is_some_and(|process| !process.leaving);
        let whole = group.iter().all(|&slot| {
            stays(slot) && sees(slot) == group && group.iter().all(|&to| to == slot || self.in_touch(slot, to))
        });
        (asks && !haunted && self.now > since && whole && group.contains(&other)).then_some(since)
    }

    /// What must hold when everything has been in peace for long.
    fn finish(&mut self) -> Result<(), String> {
        let alive: Vec<usize> = (0..SLOTS).filter(|&slot| self.processes[slot].is_some()).collect();
        let runs: Vec<Run> = alive.iter().filter_map(|&slot| self.run_of(slot)).collect();
        self.model.finish(|run| runs.contains(&run))?;
        for &slot in &alive {
            self.settled(slot)?;
            self.sees_exactly(slot, &alive)?;
        }
        self.clocks_agree(&alive)?;
        self.hold_the_same(&alive)?;
        self.answer_the_same(&alive)
    }

    fn settled(&self, slot: usize) -> Result<(), String> {
        let Some(process) = &self.processes[slot] else { return Ok(()) };
        let stats = process.guard.stats();
        if !process.joined {
            return Err(format!("node {slot} never joined"));
        }
        if stats.leases_lost + (stats.in_flight + stats.waiting) as u64 != 0 {
            return Err(format!("node {slot} holds leases for ever: {stats:?}"));
        }
        if let Some((session, waits)) = process.sessions.iter().next() {
            return Err(format!("session {session} of node {slot} was never answered: {waits:?}"));
        }
        if process.asking.len() + process.upstream.len() != 0 {
            return Err(format!("node {slot} has attempts without sessions"));
        }
        Ok(())
    }

    fn sees_exactly(&self, slot: usize, alive: &[usize]) -> Result<(), String> {
        let Some(process) = &self.processes[slot] else { return Ok(()) };
        let mut seen: Vec<&str> = process
            .node
            .members()
            .filter(|member| member.state() == State::Alive)
            .map(|member| &*member.name)
            .collect();
        seen.sort_unstable();
        let others: Vec<String> =
            alive.iter().filter(|&&other| other != slot).map(|&other| super::process::name_of(other)).collect();
        if seen != others {
            return Err(format!("node {slot} sees {seen:?} alive, and {others:?} are"));
        }
        let all = process.node.members().count();
        if self.now - self.views_changed > 70 * SECOND && all != others.len() {
            return Err(format!("node {slot} remembers {all} members of which only {} are left", others.len()));
        }
        Ok(())
    }

    fn clocks_agree(&self, alive: &[usize]) -> Result<(), String> {
        let ticks: BTreeMap<usize, u64> = alive.iter().map(|&slot| (slot, self.tick(slot).0)).collect();
        let (low, high) = (ticks.values().min().copied().unwrap_or(0), ticks.values().max().copied().unwrap_or(0));
        if high - low > self.plan.slowest() / MILLISECOND + 2 {
            return Err(format!("clocks are {} ms apart: {ticks:?}", high - low));
        }
        Ok(())
    }

    fn hold_the_same(&self, alive: &[usize]) -> Result<(), String> {
        let now = alive.iter().map(|&slot| self.tick(slot)).max().unwrap_or_default();
        let cut = Tick(now.0.saturating_sub(20_000));
        let roots: Vec<u64> = alive
            .iter()
            .filter_map(|&slot| self.processes[slot].as_ref())
            .map(|process| process.guard.tree(cut, now).root())
            .collect();
        if roots.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(format!("nodes {alive:?} do not hold the same: {}", self.differences(alive, cut, now)));
        }
        Ok(())
    }

    fn differences(&self, alive: &[usize], cut: Tick, now: Tick) -> String {
        let leaves: Vec<u16> = (0..=u16::MAX).collect();
        let mut text = String::new();
        for &slot in alive {
            if let Some(process) = &self.processes[slot] {
                let facts = process.guard.on_leaves(&leaves, cut, now);
                text += &format!("\n  node {slot} (run {}) at {now:?}: {facts:?}", process.run);
            }
        }
        text
    }

    /// What one node refuses, all refuse. Only failures that end about now are not asked about.
    fn answer_the_same(&mut self, alive: &[usize]) -> Result<(), String> {
        let pairs: Vec<Pair> = self.model.pairs().collect();
        let now = alive.iter().map(|&slot| self.tick(slot)).max().unwrap_or_default();
        let soon = now.after(Duration::from_secs(1));
        for pair in pairs {
            let mut answers = Vec::new();
            for &slot in alive {
                answers.push((slot, self.refuses(slot, pair, now), self.refuses(slot, pair, soon)));
            }
            let firmly = answers.iter().find(|(_, now, soon)| *now && *soon);
            let not = answers.iter().find(|(_, now, soon)| !*now && !*soon);
            if let (Some((one, ..)), Some((other, ..))) = (firmly, not) {
                return Err(format!("node {one} refuses {pair:?} and node {other} does not"));
            }
            self.report.agreed += u64::from(firmly.is_some() && alive.len() > 1);
        }
        Ok(())
    }

    fn refuses(&self, slot: usize, pair: Pair, now: Tick) -> bool {
        let Some(process) = &self.processes[slot] else { return false };
        let credential = super::sessions::credential(process, pair);
        match process.guard.decide(&credential, Source::local(), now, || super::process::Waiter::Session(0)) {
            Decision::Answer(_) => true,
            Decision::Wait => false,
            Decision::Lead(lease) => {
                let settled = process.guard.settle(lease, Outcome::Fault, now);
                debug_assert!(settled.released.is_empty());
                false
            }
        }
    }
}
