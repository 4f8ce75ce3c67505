//! A process's shell: what its sessions, its node's thread and its administrators do.

use bindproxy::bind::{
    Class, Conclusion, Credential, Decision, Effect as BindEffect, FlushScope, Lease, NotRecorded, Outcome, PurgeCause,
    Release, Settled, Source,
};
use bindproxy::cluster::event::{Count, Effect, Event as NodeEvent, Permission};
use bindproxy::cluster::message::AskId;
use bindproxy::cluster::owners::Owner;
use rand::RngExt;
use std::collections::BTreeMap;
use std::time::Duration;

use super::super::directory::Check;
use super::super::oracle::Pair;
use super::Fault;
use super::model::{Attempt, FactId, Noticed, Pardon};
use super::plan::{Coordination, Deed, MILLISECOND, Micros, SECOND};
use super::process::{Asking, Input, Phase, Process, Session, Upstream, Waiter, key_ids, policy, spelling};
use super::world::{Event, World};

/// When a process gives an attempt up, and a session waits for another one no longer.
pub(super) const REQUEST_TIMEOUT: Micros = 10 * SECOND;
/// How long a session waits for the owner's first word.
const LEASE_DEADLINE: Micros = 100 * MILLISECOND;
/// The same with `coordination: Strict`.
const STRICT_DEADLINE: Micros = 2 * SECOND;
/// A process hangs for so long at most; a connection over which nothing comes is closed sooner.
const LONGEST_HOLD: Micros = 13 * SECOND;
/// How soon a session looks again for an owner that there was not.
const LOOK_AGAIN: Micros = 50 * MILLISECOND;
/// Waiting for one's turn, for the owner, for one more turn, and for the directory.
const LONGEST_BIND: Micros = 4 * REQUEST_TIMEOUT;

/// What a client is told.
#[derive(Clone, Copy, Debug)]
enum Told {
    /// From the store.
    Store(u32),
    /// What an identical attempt was told.
    Waited(u32),
    /// By the directory.
    Directory,
    /// Busy or unavailable.
    Nothing,
}

/// The hashes of a name and a password under a process's keys.
pub(super) fn credential(process: &Process, pair: Pair) -> Credential {
    let name = spelling(pair.0, pair.1.is_multiple_of(2));
    process.guard.credential(name.as_bytes(), format!("password {}", pair.1).as_bytes())
}

impl World {
    /// A client presents its password, at one node or at several in the same instant.
    pub(super) fn client(&mut self, client: usize) {
        if self.peace {
            return;
        }
        let super::plan::Client { name, password, every, at_once, spread } = self.plan.clients[client].clone();
        let pair = (name, password.unwrap_or(self.directory.accounts[name].password));
        let serving: Vec<usize> = (0..super::plan::SLOTS)
            .filter(|&slot| self.processes[slot].as_ref().is_some_and(Process::serves))
            .collect();
        if !serving.is_empty() {
            let one = serving[self.random.random_range(0..serving.len())];
            for _ in 0..at_once {
                let slot = if spread { serving[self.random.random_range(0..serving.len())] } else { one };
                let session = self.number();
                let wait = if self.random.random_bool(0.5) { 0 } else { self.random.random_range(0..2 * MILLISECOND) };
                self.later(slot, wait, Input::Present { session, pair });
            }
        }
        let pause = self.random.random_range(every / 2..every * 3 / 2);
        self.after(pause, Event::Client { client });
    }

    pub(super) fn present(&mut self, slot: usize, session: u64, pair: Pair) -> Result<(), String> {
        let now = self.now;
        let tick = self.tick(slot);
        let Some(process) = &mut self.processes[slot] else { return Ok(()) };
        if !process.serves() {
            return Ok(());
        }
        self.report.presented += 1;
        let run = process.run;
        let asked = match self.fault {
            Some(Fault::StrangersAreRefused) if session.is_multiple_of(64) => (pair.0, pair.1 + 1),
            _ => pair,
        };
        let credential = credential(process, asked);
        let decision = process.guard.decide(&credential, Source::local(), tick, || Waiter::Session(session));
        process.sessions.insert(session, Session { pair, since: now, phase: Phase::Parked, leads: now, gone: false });
        self.note(|| format!("run {run} (node {slot}): session {session} presents {pair:?}: {decision:?}"));
        match decision {
            Decision::Answer(verdict) => {
                self.report.cached += 1;
                self.report.cached_elsewhere += u64::from(self.model.was_learned_elsewhere(run, pair));
                let right = self.directory.accounts[pair.0].password == pair.1;
                let directory = Tick0(now).tick();
                self.report.right_refused += u64::from(right && !self.directory.is_locked(pair.0, directory));
                self.told(slot, session, Told::Store(verdict.code()))
            }
            Decision::Wait => {
                self.report.waited += 1;
                self.later(slot, REQUEST_TIMEOUT, Input::Impatient { session });
                if self.plan.faults.directory && self.random.random_bool(0.1) {
                    let wait = self.random.random_range(0..SECOND);
                    self.later(slot, wait, Input::Gone { session });
                }
                Ok(())
            }
            Decision::Lead(lease) => self.lead(slot, session, lease),
        }
    }

    /// A session holds its process's lease: the owner is asked, if that is another one.
    fn lead(&mut self, slot: usize, session: u64, lease: Lease) -> Result<(), String> {
        let (now, tick) = (self.now, self.tick(slot));
        let Some(process) = &mut self.processes[slot] else { return Ok(()) };
        let Some(state) = process.sessions.get_mut(&session) else {
            return Err(format!("session {session} gets a lease but is over"));
        };
        state.leads = now;
        let asks = self.plan.coordination != Coordination::Local
            && self.fault != Some(Fault::NobodyAsks)
            && lease.is_shared()
            && process.node.owners().owner_of(lease.credential()) != Owner::Myself
            && !process.guard.was_right_a_moment_ago(lease.credential(), tick);
        if !asks {
            return self.send(slot, session, lease, None);
        }
        let ask = AskId(self.number());
        let Some(process) = &mut self.processes[slot] else { return Ok(()) };
        if let Some(state) = process.sessions.get_mut(&session) {
            state.phase = Phase::Asking(ask);
        }
        let credential = *lease.credential();
        process.asking.insert(ask, Asking { session, lease, since: now, told_to_wait: false });
        self.tell_node(slot, NodeEvent::Ask { ask, credential });
        let deadline = if self.plan.coordination == Coordination::Strict { STRICT_DEADLINE } else { LEASE_DEADLINE };
        self.later(slot, deadline, Input::Deadline { ask });
        Ok(())
    }

    /// An attempt that waited for the owner may go on, unless its failure was heard of meanwhile.
    fn go_on(&mut self, slot: usize, session: u64, lease: Lease, granted: Option<AskId>) -> Result<(), String> {
        let tick = self.tick(slot);
        let Some(process) = &mut self.processes[slot] else { return Ok(()) };
        let Some(verdict) = process.guard.heard_of(lease.credential(), tick) else {
            return self.send(slot, session, lease, granted);
        };
        let code = verdict.code();
        let conclusion = Conclusion::Verdict(verdict);
        let settled = process.guard.conclude(lease, conclusion.clone(), tick);
        if let Some(ask) = granted {
            self.tell_node(slot, NodeEvent::Concluded { ask, conclusion });
        }
        for (waiter, release) in settled.released {
            self.release(slot, waiter, release)?;
        }
        self.told(slot, session, Told::Waited(code))
    }

    /// An attempt goes to the directory, through whatever becomes of it.
    fn send(&mut self, slot: usize, session: u64, lease: Lease, granted: Option<AskId>) -> Result<(), String> {
        let now = self.now;
        let id = self.number();
        let tick = lease.sent_at();
        let Some(process) = &mut self.processes[slot] else { return Ok(()) };
        let run = process.run;
        let Some(state) = process.sessions.get_mut(&session) else {
            return Err(format!("session {session} goes to the directory but is over"));
        };
        state.phase = Phase::Upstream;
        let (pair, asked) = (state.pair, state.leads);
        // One that waited while the key rolled goes by another key than those who come now, who do not find it.
        let by_this_key = lease.name() == process.guard.name_key(spelling(pair.0, true).as_bytes());
        let shared = lease.is_shared() && by_this_key;
        process.upstream.insert(id, Upstream { session, lease, granted });
        self.note(|| format!("run {run} (node {slot}): attempt {id} of {pair:?} for session {session}, {granted:?}"));
        let attempt = Attempt {
            pair,
            run,
            asked,
            began: now,
            tick,
            shared,
            ended: None,
            check: None,
            code: 0,
            belief: None,
            certain: true,
        };
        let together: BTreeMap<_, _> = (0..super::plan::SLOTS)
            .filter_map(|other| self.run_of(other))
            .filter_map(|other| Some((other, self.together(slot, other)?)))
            .collect();
        self.model.begins(id, attempt, |other| together.get(&other).copied())?;
        let faulty = self.plan.faults.directory;
        if faulty && self.random.random_bool(0.05) {
            let wait = self.random.random_range(0..100 * MILLISECOND);
            self.later(slot, wait, Input::Answer { attempt: id, check: None });
            return Ok(());
        }
        let slow = faulty && self.random.random_bool(0.1);
        let lost = faulty && self.random.random_bool(0.05);
        let there = self.random.random_range(100..if slow { 4 * SECOND } else { 10 * MILLISECOND });
        let back = self.random.random_range(100..if slow { 5 * SECOND } else { 20 * MILLISECOND });
        self.after(there, Event::Arrive { attempt: id, slot, run, lost, back });
        Ok(())
    }

    /// The directory checks and counts, whatever becomes of its answer and of who asked.
    pub(super) fn arrive(&mut self, attempt: u64, slot: usize, run: u32, lost: bool, back: Micros) {
        let Some((pair, began)) = self.model.attempt(attempt).map(|attempt| (attempt.pair, attempt.began)) else {
            return;
        };
        self.report.received += 1;
        let check = self.directory.bind(pair.0, pair.1, Tick0(self.now).tick());
        let (code, _) = self.directory.words(check);
        self.model.reached(attempt, check, code);
        self.note(|| format!("the directory: attempt {attempt} of {pair:?} by run {run}: {check:?}"));
        let (check, at) = if lost { (None, began + REQUEST_TIMEOUT) } else { (Some(check), self.now + back) };
        self.at(at, Event::Process { slot, run, input: Input::Answer { attempt, check } });
    }

    /// The directory's answer, or none, has come.
    pub(super) fn answer(&mut self, slot: usize, attempt: u64, check: Option<Check>) -> Result<(), String> {
        let tick = self.tick(slot);
        let Some(process) = &mut self.processes[slot] else { return Ok(()) };
        let Some(Upstream { session, lease, granted }) = process.upstream.remove(&attempt) else {
            return Err(format!("attempt {attempt} is answered twice"));
        };
        let verdict = check.map(|check| match check {
            Check::Right => &self.verdicts[0],
            Check::Wrong => &self.verdicts[1],
            Check::Locked => &self.verdicts[2],
        });
        if self.fault == Some(Fault::LeasesAreForgotten) && attempt.is_multiple_of(16) {
            self.model.ended(attempt, None, Noticed::default(), self.now, tick)?;
            return self.told(slot, session, Told::Nothing);
        }
        let conclusion = match (check, verdict) {
            (Some(Check::Right), _) => Conclusion::Success,
            (_, Some(verdict)) => Conclusion::Verdict(std::sync::Arc::new(verdict.clone())),
            (_, None) => Conclusion::Fault,
        };
        let outcome = verdict.map_or(Outcome::Fault, |verdict| Outcome::Verdict(verdict.clone()));
        self.report.faults += u64::from(check.is_none());
        let pair = self.model.attempt(attempt).map_or((0, 0), |attempt| attempt.pair);
        let Settled { class, released, effects } = process.guard.settle(lease, outcome, tick);
        let run = process.run;
        self.note(|| format!("run {run} (node {slot}): attempt {attempt} is over: {check:?} {effects:?}"));
        self.learned(slot, attempt, pair, class, &effects)?;
        self.publish(slot, effects);
        for (waiter, release) in released {
            self.release(slot, waiter, release)?;
        }
        if let Some(ask) = granted {
            self.tell_node(slot, NodeEvent::Concluded { ask, conclusion });
        }
        let told = if check.is_some() { Told::Directory } else { Told::Nothing };
        self.told(slot, session, told)
    }

    /// Tells the model what a verdict did.
    fn learned(
        &mut self,
        slot: usize,
        attempt: u64,
        pair: Pair,
        class: Option<Class>,
        effects: &[BindEffect],
    ) -> Result<(), String> {
        let (now, tick) = (self.now, self.tick(slot));
        let (mut noticed, mut others, mut successes) = (Noticed::default(), false, Vec::new());
        for effect in effects {
            match effect {
                BindEffect::Learned { life, level, .. } => noticed.learned = Some((*life, *level)),
                // Under both keys, where there are two.
                BindEffect::Succeeded { told, .. } => successes.push(*told),
                BindEffect::NotRecorded { reason: NotRecorded::Late, .. } => noticed.late = true,
                BindEffect::NotRecorded { reason, .. } => return Err(format!("{pair:?} is not recorded: {reason:?}")),
                BindEffect::Purged { cause: PurgeCause::LastGoodFailed, .. } => others = true,
                _ => {}
            }
        }
        noticed.told = !successes.contains(&false);
        let fact = self.model.ended(attempt, class, noticed, now, tick)?;
        if let Some(fact) = fact {
            self.tell(slot, fact);
        }
        if others {
            // Forgiven is what began no later than the attempt that showed it.
            let (at, tick) = self.model.attempt(attempt).map_or((now, tick), |attempt| (attempt.began, attempt.tick));
            let known = BTreeMap::from([(self.run_of(slot).unwrap_or_default(), now)]);
            let (name, except) = (Some(pair.0), Some(pair.1));
            let what = "the last good password failed after that";
            let fact = self.model.pardon(Pardon { name, only: None, except, at, tick, known, what });
            self.tell(slot, fact);
        }
        Ok(())
    }

    fn pardon(&mut self, slot: usize, name: Option<usize>, what: &'static str) -> FactId {
        let run = self.run_of(slot).unwrap_or_default();
        let known = BTreeMap::from([(run, self.now)]);
        let (at, tick) = (self.now, self.tick(slot));
        let pardon = Pardon { name, only: None, except: None, at, tick, known, what };
        let fact = self.model.pardon(pardon);
        self.tell(slot, fact);
        fact
    }

    /// Hands what the guard did to the node's thread.
    fn publish(&mut self, slot: usize, effects: Vec<BindEffect>) {
        if !effects.is_empty() {
            self.tell_node(slot, NodeEvent::Learned(effects));
        }
    }

    /// The node's thread takes in one thing after the other.
    pub(super) fn tell_node(&mut self, slot: usize, event: NodeEvent) {
        let hop = self.plan.hop;
        let Some(process) = &mut self.processes[slot] else { return };
        process.thread = process.thread.max(self.now + hop);
        let (at, run) = (process.thread, process.run);
        self.at(at, Event::Process { slot, run, input: Input::Node(event) });
    }

    /// Whoever waited goes on.
    pub(super) fn release(&mut self, slot: usize, waiter: Waiter, release: Release) -> Result<(), String> {
        let session = match waiter {
            Waiter::Peer(waiter) => {
                self.tell_node(slot, NodeEvent::Released { waiter, release });
                return Ok(());
            }
            Waiter::Session(session) => session,
        };
        let tick = self.tick(slot);
        let Some(process) = &mut self.processes[slot] else { return Ok(()) };
        let state = process.sessions.get(&session).filter(|state| !state.gone && state.phase == Phase::Parked);
        match (state, release) {
            (None, Release::Answer(_)) => Ok(()),
            (None, Release::Forward(lease)) => {
                // The client hung up while it waited: what it held goes to the next.
                let settled = process.guard.settle(lease, Outcome::Fault, tick);
                settled.released.into_iter().try_for_each(|(waiter, release)| self.release(slot, waiter, release))
            }
            (Some(_), Release::Answer(verdict)) => self.told(slot, session, Told::Waited(verdict.code())),
            (Some(_), Release::Forward(lease)) => self.lead(slot, session, lease),
        }
    }

    /// A client is answered.
    fn told(&mut self, slot: usize, session: u64, told: Told) -> Result<(), String> {
        let now = self.now;
        let Some(process) = &mut self.processes[slot] else { return Ok(()) };
        let run = process.run;
        let Some(Session { pair, since, phase: _, leads: _, gone: _ }) = process.sessions.remove(&session) else {
            return Err(format!("session {session} is answered twice"));
        };
        self.note(|| format!("run {run} (node {slot}): session {session} is told {told:?}"));
        if now - since > LONGEST_BIND {
            return Err(format!("session {session} of node {slot} waited for {} s", (now - since) / SECOND));
        }
        match told {
            Told::Store(code) => self.model.told_from_store(run, pair, code, now),
            Told::Waited(code) => {
                let held = if now > self.views_changed + LONGEST_HOLD { 0 } else { LONGEST_HOLD };
                self.model.told_as_waiter(run, pair, code, since, held, now)
            }
            Told::Directory | Told::Nothing => Ok(()),
        }
    }

    /// Gives a lease back without having asked.
    fn give_back(&mut self, slot: usize, lease: Lease) -> Result<(), String> {
        let tick = self.tick(slot);
        let Some(process) = &mut self.processes[slot] else { return Ok(()) };
        let settled = process.guard.settle(lease, Outcome::Fault, tick);
        settled.released.into_iter().try_for_each(|(waiter, release)| self.release(slot, waiter, release))
    }

    /// The owner has not said a word in time.
    fn deadline(&mut self, slot: usize, ask: AskId) -> Result<(), String> {
        let Some(process) = &mut self.processes[slot] else { return Ok(()) };
        if process.asking.get(&ask).is_none_or(|asking| asking.told_to_wait) {
            return Ok(());
        }
        let Some(Asking { session, lease, .. }) = process.asking.remove(&ask) else { return Ok(()) };
        let run = process.run;
        self.note(|| format!("run {run} (node {slot}): the owner does not answer ask {}", ask.0));
        self.tell_node(slot, NodeEvent::Withdrawn { ask, timed_out: true });
        if self.plan.coordination == Coordination::Strict {
            self.give_back(slot, lease)?;
            return self.told(slot, session, Told::Nothing);
        }
        self.report.unleased += 1;
        self.go_on(slot, session, lease, None)
    }

    /// A session has waited for others for as long as it may.
    fn impatient(&mut self, slot: usize, session: u64, hung_up: bool) -> Result<(), String> {
        let now = self.now;
        let Some(process) = &mut self.processes[slot] else { return Ok(()) };
        let Some(state) = process.sessions.get_mut(&session) else { return Ok(()) };
        match state.phase {
            Phase::Parked if hung_up => {
                state.gone = true;
                Ok(())
            }
            Phase::Parked if state.gone => self.told(slot, session, Told::Nothing),
            Phase::Parked => {
                self.must_have_waited(slot, now)?;
                self.told(slot, session, Told::Nothing)
            }
            Phase::Asking(ask) => {
                let Some(Asking { session, lease, since, .. }) = process.asking.remove(&ask) else { return Ok(()) };
                if !hung_up && now - since < REQUEST_TIMEOUT {
                    // It waited for something else before.
                    process.asking.insert(ask, Asking { session, lease, since, told_to_wait: true });
                    let left = REQUEST_TIMEOUT - (now - since);
                    self.later(slot, left, Input::Impatient { session });
                    return Ok(());
                }
                if !hung_up {
                    self.must_have_waited(slot, now)?;
                }
                self.tell_node(slot, NodeEvent::Withdrawn { ask, timed_out: false });
                self.give_back(slot, lease)?;
                self.told(slot, session, Told::Nothing)
            }
            Phase::Upstream => Ok(()),
        }
    }

    /// Where the directory answers and no member was lost, nobody waits for ten seconds.
    fn must_have_waited(&self, slot: usize, now: Micros) -> Result<(), String> {
        let calm = !self.plan.faults.directory
            && self.plan.coordination != Coordination::Local
            && self.plan.owners_answer_in_time()
            && now > self.views_changed + REQUEST_TIMEOUT + 2 * SECOND;
        if calm { Err(format!("a session of node {slot} waited for ten seconds for nothing")) } else { Ok(()) }
    }

    /// There was no owner, but there may be one now.
    fn look_again(&mut self, slot: usize, ask: AskId) -> Result<(), String> {
        let Some(process) = &mut self.processes[slot] else { return Ok(()) };
        let Some(Asking { session, lease, since, told_to_wait: _ }) = process.asking.remove(&ask) else {
            return Ok(());
        };
        if process.node.owners().owner_of(lease.credential()) == Owner::Myself {
            return self.go_on(slot, session, lease, None);
        }
        let credential = *lease.credential();
        let again = AskId(self.number());
        let Some(process) = &mut self.processes[slot] else { return Ok(()) };
        if let Some(state) = process.sessions.get_mut(&session) {
            state.phase = Phase::Asking(again);
        }
        process.asking.insert(again, Asking { session, lease, since, told_to_wait: false });
        self.tell_node(slot, NodeEvent::Ask { ask: again, credential });
        let left = (since + STRICT_DEADLINE).saturating_sub(self.now);
        self.later(slot, left, Input::Deadline { ask: again });
        Ok(())
    }

    /// What the owner says about an attempt.
    fn permit(&mut self, slot: usize, ask: AskId, permission: Permission) -> Result<(), String> {
        let tick = self.tick(slot);
        let run = self.run_of(slot).unwrap_or_default();
        self.note(|| format!("run {run} (node {slot}): ask {}: {permission:?}", ask.0));
        let Some(process) = &mut self.processes[slot] else { return Ok(()) };
        if permission == Permission::Waiting {
            let Some(asking) = process.asking.get_mut(&ask) else { return Ok(()) };
            asking.told_to_wait = true;
            let session = asking.session;
            self.report.waited_elsewhere += 1;
            self.later(slot, REQUEST_TIMEOUT, Input::Impatient { session });
            return Ok(());
        }
        let Some(Asking { session, lease, since, .. }) = process.asking.remove(&ask) else { return Ok(()) };
        match permission {
            Permission::Granted => {
                self.report.granted += 1;
                self.go_on(slot, session, lease, Some(ask))
            }
            // Looked for again, until there is an owner or no more time.
            Permission::NoOwner if self.plan.coordination == Coordination::Strict => {
                if self.now > since + STRICT_DEADLINE {
                    self.give_back(slot, lease)?;
                    return self.told(slot, session, Told::Nothing);
                }
                let Some(process) = &mut self.processes[slot] else { return Ok(()) };
                process.asking.insert(ask, Asking { session, lease, since, told_to_wait: false });
                self.later(slot, LOOK_AGAIN, Input::LookAgain { ask });
                Ok(())
            }
            Permission::Free | Permission::NoOwner | Permission::Waiting => self.go_on(slot, session, lease, None),
            Permission::Verdict(verdict) => {
                self.report.waited_elsewhere += 1;
                let code = verdict.code();
                let settled = process.guard.conclude(lease, Conclusion::Verdict(verdict), tick);
                for (waiter, release) in settled.released {
                    self.release(slot, waiter, release)?;
                }
                self.told(slot, session, Told::Waited(code))
            }
        }
    }

    /// Does what the node wants done.
    pub(super) fn apply(&mut self, slot: usize, effects: Vec<Effect<Waiter>>) -> Result<(), String> {
        for effect in effects {
            let Some(process) = &mut self.processes[slot] else { return Ok(()) };
            match effect {
                Effect::Send { links, message, repairable } => self.send_message(slot, &links, message, repairable)?,
                Effect::Close { link, why } => self.close(slot, link, why)?,
                Effect::Permit { ask, permission } => self.permit(slot, ask, permission)?,
                Effect::Release(waiters) => {
                    for (waiter, release) in waiters {
                        self.release(slot, waiter, release)?;
                    }
                }
                Effect::Merged(_) | Effect::OwnersChanged | Effect::MembersChanged | Effect::Answer { .. } => {}
                Effect::Gathered { number, from, body: _ } => self.acknowledged(slot, number, &from),
                Effect::SetClock(tick) => {
                    let leaps = process.clock.tick(self.now).until(tick) > Duration::from_secs(5);
                    process.clock.set(self.now, tick);
                    if leaps && process.joined {
                        // Failures are forgotten, and nobody joins attempts from before.
                        self.note(|| format!("node {slot}: its clock was far behind"));
                        self.model.clocks_jumped();
                        self.disturb_all(slot);
                    }
                }
                Effect::Joined { complete } => self.joined(slot, complete),
                Effect::Left => {
                    self.end(slot, false);
                    return Ok(());
                }
                Effect::Count(count) => self.count(slot, count)?,
            }
        }
        Ok(())
    }

    fn count(&mut self, slot: usize, count: Count) -> Result<(), String> {
        match count {
            Count::SyncDiffered => self.report.repaired += 1,
            Count::ClockJumped => self.report.jumped += 1,
            Count::Propagated { milliseconds } => {
                // The clocks of the two are as far apart as anything is on its way. What was held up by a stopped
                // process or a stalled connection may be older.
                let bound = 2 * self.plan.slowest() / MILLISECOND + 2;
                let calm = self.now > self.views_changed + 20 * SECOND;
                if calm && milliseconds > bound {
                    return Err(format!("a fact took {milliseconds} ms to node {slot}, and the network {bound} ms"));
                }
            }
            Count::RefusedFuture | Count::RefusedKey | Count::SyncSame | Count::Unleased => {}
        }
        Ok(())
    }

    /// A member has taken in a flush.
    fn acknowledged(&mut self, slot: usize, number: u64, from: &str) {
        let member = (0..super::plan::SLOTS).find(|&other| super::process::name_of(other) == from);
        let run = member.and_then(|other| self.run_of(other));
        let facts = self.processes[slot].as_ref().and_then(|process| process.gathers.get(&number).cloned());
        if let (Some(run), Some(facts)) = (run, facts) {
            self.report.acknowledged += 1;
            self.note(|| format!("run {run} has taken in a flush"));
            facts.into_iter().for_each(|fact| self.model.knows(fact, run, self.now));
        }
    }

    /// One thing that a process takes in.
    pub(super) fn input(&mut self, slot: usize, run: u32, input: Input) -> Result<(), String> {
        let Some(process) = self.processes[slot].as_mut().filter(|process| process.run == run) else {
            return Ok(());
        };
        if process.hung {
            process.late.push(input);
            return Ok(());
        }
        match input {
            Input::Beat => self.beat(slot),
            Input::Node(event) => self.node(slot, event),
            Input::Flush => {
                process.flush_due = false;
                let tick = process.clock.tick(self.now);
                let effects = process.node.flush(&process.guard, tick);
                self.apply(slot, effects)
            }
            Input::Linked { link, direction, hello } => self.link_is_up(slot, link, direction, hello),
            Input::Message { link, mut message } => {
                process.heard.insert(link, self.now);
                if self.network.end_of(link, run).is_none() {
                    return Ok(());
                }
                super::troubles::spoil(self.fault, &mut message);
                self.node(slot, NodeEvent::Received { link, message: *message })
            }
            Input::Closed { link } => self.link_is_down(slot, link),
            Input::Drained { link } => self.drained(slot, link),
            Input::Present { session, pair } => self.present(slot, session, pair),
            Input::Answer { attempt, check } => self.answer(slot, attempt, check),
            Input::Deadline { ask } => self.deadline(slot, ask),
            Input::LookAgain { ask } => self.look_again(slot, ask),
            Input::Impatient { session } => self.impatient(slot, session, false),
            Input::Gone { session } => self.impatient(slot, session, true),
            Input::Changed { name } => {
                let tick = process.clock.tick(self.now);
                let effects = process.guard.password_changed(spelling(name, true).as_bytes(), tick);
                self.pardon(slot, Some(name), "a password change passed through after that");
                self.note(|| format!("run {run} (node {slot}): the password of {name} was changed through it"));
                self.publish(slot, effects);
                Ok(())
            }
            Input::Wish { name, deed } => self.wish(slot, name, deed),
            Input::Rotate => {
                process.stage = 1;
                process.guard.set_policy(policy(self.plan.lives, 1));
                self.note(|| format!("run {run} (node {slot}): has the new key"));
                self.disturb_all(slot);
                self.tell_node(slot, NodeEvent::Rotated(key_ids(1)));
                Ok(())
            }
            Input::Resolve => self.resolve(slot),
            Input::Dial { slot: other } => {
                self.dial(slot, other);
                Ok(())
            }
            Input::Sweep => {
                let tick = process.clock.tick(self.now);
                process.guard.sweep(tick, 256);
                self.later(slot, 3 * SECOND, Input::Sweep);
                Ok(())
            }
            Input::Leave => {
                process.leaving = true;
                self.note(|| format!("run {run} (node {slot}): leaves"));
                self.disturb_all(slot);
                self.tell_node(slot, NodeEvent::Leave);
                self.later(slot, 4 * SECOND, Input::Overdue);
                Ok(())
            }
            Input::Overdue => Err(format!("node {slot} never gets away")),
        }
    }

    pub(super) fn node(&mut self, slot: usize, event: NodeEvent) -> Result<(), String> {
        let (now, batch) = (self.now, self.plan.batch);
        let Some(process) = &mut self.processes[slot] else { return Ok(()) };
        let tick = process.clock.tick(now);
        let effects = process.node.handle(&process.guard, event, tick, &mut self.random);
        if !std::mem::replace(&mut process.flush_due, true) {
            self.later(slot, batch, Input::Flush);
        }
        self.apply(slot, effects)
    }

    fn wish(&mut self, slot: usize, name: usize, deed: Deed) -> Result<(), String> {
        let tick = self.tick(slot);
        let spelled = spelling(name, false);
        let (scope, of, what) = match deed {
            Deed::FlushAll => (FlushScope::All, None, "everything was flushed after that"),
            _ => (FlushScope::Name(spelled.as_bytes()), Some(name), "it was flushed after that"),
        };
        let Some(process) = &mut self.processes[slot] else { return Ok(()) };
        let flushed = process.guard.flush(scope, tick);
        let run = process.run;
        self.note(|| format!("run {run} (node {slot}): flushes {of:?}"));
        let fact = self.pardon(slot, of, what);
        self.publish(slot, flushed.effects);
        let number = self.number();
        if let Some(process) = &mut self.processes[slot] {
            process.gathers.insert(number, vec![fact]);
        }
        self.tell_node(slot, NodeEvent::Gather { number, query: None });
        Ok(())
    }
}

/// Virtual time as the directory's clock shows it.
struct Tick0(Micros);

impl Tick0 {
    fn tick(&self) -> bindproxy::clock::Tick {
        bindproxy::clock::Tick(3_600_000 + self.0 / MILLISECOND)
    }
}
