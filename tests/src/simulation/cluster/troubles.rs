//! Connections, and everything that happens to them and to processes.

use std::time::Duration;

use bindproxy::cluster::event::{Direction, Event as NodeEvent, LinkId};
use bindproxy::cluster::message::{Hello, Message};
use rand::RngExt;

use super::Fault;
use super::network::{End, Parcel};
use super::plan::{Deed, MILLISECOND, Micros, SECOND, SLOTS, Trouble};
use super::process::{Clock, Dial, Input, Process, Start};
use super::sessions::REQUEST_TIMEOUT;
use super::world::{Event, WALL, World};
use bindproxy::bind::Fact;
use bindproxy::cluster::wire;

/// A connection on which nothing was heard for so long is given up.
const SILENCE: Micros = 6 * SECOND;
/// How often the node is woken.
const BEAT: Micros = 500 * MILLISECOND;

impl World {
    /// Something is done to an account, at the directory or at some node.
    pub(super) fn deed(&mut self, name: usize, deed: Deed) {
        let serving: Vec<usize> =
            (0..SLOTS).filter(|&slot| self.processes[slot].as_ref().is_some_and(Process::serves)).collect();
        let somewhere = (!serving.is_empty()).then(|| serving[self.random.random_range(0..serving.len())]);
        self.note(|| format!("{deed:?} of {name}"));
        match deed {
            Deed::Change { through } => {
                if self.last_change[name] > 0 && self.now < self.last_change[name] + 10 * SECOND {
                    return;
                }
                self.last_change[name] = self.now.max(1);
                // Half the time to a password that somebody already tries.
                let known = self.random.random_bool(0.5).then(|| self.random.random_range(0..5));
                self.fresh_password += 1;
                self.directory.change(name, known.unwrap_or(self.fresh_password));
                if let Some(slot) = somewhere.filter(|_| through) {
                    let seen = self.random.random_range(200..20 * MILLISECOND);
                    self.later(slot, seen, Input::Changed { name });
                }
            }
            Deed::Unlock => self.directory.unlock(name),
            Deed::Flush | Deed::FlushAll => {
                if let Some(slot) = somewhere {
                    self.later(slot, 0, Input::Wish { name, deed });
                }
            }
        }
    }

    pub(super) fn trouble(&mut self, trouble: Trouble) {
        self.note(|| format!("trouble: {trouble:?}"));
        match trouble {
            Trouble::Partition { side, both, lasts } => {
                let others = (0..SLOTS).filter(|slot| !side.contains(slot));
                let pairs: Vec<_> = others.flat_map(|other| side.iter().map(move |&slot| (slot, other))).collect();
                self.block(pairs, both, lasts);
            }
            Trouble::Split { between, both, lasts } => self.block(vec![between], both, lasts),
            Trouble::Break { between: (one, other) } => {
                for link in self.network.between(one, other) {
                    self.break_link(link);
                }
            }
            Trouble::Kill { slot, silent, again } => {
                self.kill(slot, silent);
                self.start_again(slot, again);
            }
            Trouble::Leave { slot, again } => {
                if self.processes[slot].as_ref().is_some_and(|process| process.joined && !process.leaving) {
                    self.later(slot, 0, Input::Leave);
                    self.start_again(slot, again.map(|again| again + 5 * SECOND));
                }
            }
            Trouble::Join { slot } => self.after(0, Event::Start { slot }),
            Trouble::Hang { slot, lasts } => {
                let Some(process) = self.processes[slot].as_mut().filter(|process| !process.hung) else { return };
                process.hung = true;
                let run = process.run;
                self.disturb_all(slot);
                self.after(lasts, Event::Resume { slot, run });
            }
            Trouble::Rotate { pause } => {
                self.stage = 1;
                for slot in 0..SLOTS {
                    self.later(slot, pause * slot as Micros, Input::Rotate);
                }
            }
            Trouble::Roll { pause } => {
                // One after the other, each when its predecessor is there again, or late enough.
                for slot in 0..SLOTS {
                    if self.processes[slot].is_some() {
                        let at = (pause + 6 * SECOND) * slot as Micros;
                        self.after(at, Event::Trouble(Trouble::Leave { slot, again: Some(pause / 4) }));
                    }
                }
            }
        }
    }

    fn start_again(&mut self, slot: usize, again: Option<Micros>) {
        if let Some(again) = again {
            self.after(again, Event::Start { slot });
        }
    }

    fn block(&mut self, pairs: Vec<(usize, usize)>, both: bool, lasts: Micros) {
        let back: Vec<_> = if both { pairs.iter().map(|&(one, other)| (other, one)).collect() } else { Vec::new() };
        let all: Vec<(usize, usize)> = pairs.into_iter().chain(back).collect();
        for &(from, to) in &all {
            self.network.block(from, to);
            self.disturb(from, to);
        }
        self.views_changed = self.now;
        // Whatever lasts is over when peace comes.
        let until = (self.now + lasts).min(self.plan.duration);
        self.at(until, Event::Heal(all));
    }

    pub(super) fn heal(&mut self, pairs: &[(usize, usize)]) {
        self.note(|| "octets flow again".to_owned());
        self.views_changed = self.now;
        for &(from, to) in pairs {
            self.disturb(from, to);
            for (link, end, parcel) in self.network.unblock(from, to) {
                // TCP tries again in ever longer intervals.
                let wait = self.random.random_range(0..200 * MILLISECOND);
                self.dispatch(link, end, parcel, wait);
            }
        }
    }

    /// A process begins.
    pub(super) fn start(&mut self, slot: usize) {
        if self.processes[slot].is_some() {
            return;
        }
        let run = self.next_run;
        self.next_run += 1;
        let clock = Clock::new(self.now, WALL + self.now + self.plan.skew[slot], self.plan.drift[slot]);
        let process = Process::new(Start {
            slot,
            run,
            node: self.random.random(),
            stage: self.stage,
            clock,
            lives: self.plan.lives,
            now: self.now,
            lease_life: Duration::from_micros(REQUEST_TIMEOUT + 2 * SECOND),
        });
        let hello = process.node.hello(&process.guard, clock.tick(self.now));
        self.note(|| format!("run {run} begins as node {slot}, {hello:?}"));
        self.processes[slot] = Some(process);
        self.listed[slot] = true;
        for other in 0..SLOTS {
            self.look_at_links(slot, other);
            self.look_at_links(other, slot);
        }
        self.disturb_all(slot);
        self.later(slot, self.random_below(BEAT), Input::Beat);
        self.later(slot, self.random_below(20 * MILLISECOND), Input::Resolve);
        self.later(slot, 3 * SECOND, Input::Sweep);
    }

    fn random_below(&self, bound: Micros) -> Micros {
        // Of no consequence for what is checked, so it need not be random.
        (self.now * 7919 + 104_729) % bound
    }

    /// A process ends on its own, and its connections with it.
    pub(super) fn end(&mut self, slot: usize, silent: bool) {
        let Some(process) = self.processes[slot].take() else { return };
        self.note(|| format!("run {} (node {slot}) ends", process.run));
        self.disturb_all(slot);
        for attempt in process.upstream.keys() {
            self.model.abandoned(*attempt, self.now);
        }
        for (link, end) in self.network.of_run(process.run) {
            if let Some(link) = self.network.links.get_mut(&link) {
                link.open[end] = false;
            }
            if !silent {
                self.dispatch(link, end, Parcel::Close, 0);
            }
            // Otherwise the other end does not know yet.
            if self.network.links.get(&link).is_some_and(|link| link.open == [false; 2]) {
                self.unlinked(link);
            }
        }
        self.listed[slot] = self.plan.static_list;
    }

    fn kill(&mut self, slot: usize, silent: bool) {
        self.end(slot, silent);
    }

    pub(super) fn resume(&mut self, slot: usize, run: u32) -> Result<(), String> {
        let Some(process) = self.processes[slot].as_mut().filter(|process| process.run == run) else {
            return Ok(());
        };
        process.hung = false;
        let late = std::mem::take(&mut process.late);
        self.note(|| format!("run {run} (node {slot}) goes on, with {} things to take in", late.len()));
        self.disturb_all(slot);
        for input in late {
            self.input(slot, run, input)?;
        }
        Ok(())
    }

    pub(super) fn beat(&mut self, slot: usize) -> Result<(), String> {
        let Some(process) = &mut self.processes[slot] else { return Ok(()) };
        let run = process.run;
        let silent: Vec<LinkId> = self
            .network
            .of_run(run)
            .into_iter()
            .map(|(link, _)| link)
            .filter(|link| process.heard.get(link).is_some_and(|&heard| self.now > heard + SILENCE))
            .collect();
        for link in silent {
            self.close(slot, link, "nothing is heard")?;
        }
        self.later(slot, BEAT, Input::Beat);
        self.node(slot, NodeEvent::Ticked)
    }

    /// Looks who is there, and dials who is not dialled yet.
    pub(super) fn resolve(&mut self, slot: usize) -> Result<(), String> {
        let others: Vec<usize> = (0..SLOTS).filter(|&other| other != slot && self.listed[other]).collect();
        let Some(process) = &mut self.processes[slot] else { return Ok(()) };
        let fresh: Vec<usize> = others.iter().copied().filter(|other| !process.dials.contains_key(other)).collect();
        for other in fresh {
            self.dial(slot, other);
        }
        let pause = 5 * SECOND + self.random.random_range(0..SECOND);
        self.later(slot, pause, Input::Resolve);
        self.node(slot, NodeEvent::Discovered { others: others.len() })
    }

    pub(super) fn dial(&mut self, slot: usize, other: usize) {
        let there_and_back = 2 * (self.plan.latency[slot][other] + self.plan.latency[other][slot]);
        let flows = self.network.flows(slot, other) && self.network.flows(other, slot);
        let (from, to) = (self.end_of(slot), self.end_of(other));
        let listed = self.listed[other];
        let Some(process) = &mut self.processes[slot] else { return };
        if matches!(process.dials.get(&other), Some(Dial::Up(_))) {
            return;
        }
        if process.leaving || !listed {
            process.dials.remove(&other);
            return;
        }
        process.dials.insert(other, Dial::Trying);
        match (from, to) {
            (Some(from), Some(to)) if flows => self.after(there_and_back, Event::Establish { from, to }),
            _ => self.dial_again(slot, other),
        }
    }

    fn dial_again(&mut self, slot: usize, other: usize) {
        let Some(process) = &mut self.processes[slot] else { return };
        process.failed_dials = (process.failed_dials + 1).min(6);
        let most = ((100 * MILLISECOND) << process.failed_dials).min(5 * SECOND);
        process.dials.insert(other, Dial::Trying);
        let wait = self.random.random_range(most / 2..most);
        self.later(slot, wait, Input::Dial { slot: other });
    }

    /// Both sides have shaken hands, if nothing came between.
    pub(super) fn establish(&mut self, from: End, to: End) {
        if !self.runs(from) {
            return;
        }
        let flows = self.network.flows(from.slot, to.slot) && self.network.flows(to.slot, from.slot);
        let hellos = (self.hello(from.slot), self.hello(to.slot));
        let (true, true, (Some(mine), Some(theirs))) = (flows, self.runs(to), hellos) else {
            return self.dial_again(from.slot, to.slot);
        };
        let link = self.network.connect(from, to);
        if let Some(process) = &mut self.processes[from.slot] {
            process.failed_dials = 0;
            process.dials.insert(to.slot, Dial::Up(link));
        }
        let accepted = Input::Linked { link, direction: Direction::Accepted, hello: mine };
        let dialled = Input::Linked { link, direction: Direction::Dialled, hello: theirs };
        self.travel(link, 0, accepted, 0);
        self.travel(link, 1, dialled, 0);
    }

    /// What a process that answers says of itself.
    fn hello(&self, slot: usize) -> Option<Hello> {
        let process = self.processes[slot].as_ref().filter(|process| !process.hung)?;
        Some(process.node.hello(&process.guard, process.clock.tick(self.now)))
    }

    pub(super) fn link_is_up(
        &mut self,
        slot: usize,
        link: LinkId,
        direction: Direction,
        hello: Hello,
    ) -> Result<(), String> {
        let now = self.now;
        let Some(process) = &mut self.processes[slot] else { return Ok(()) };
        let run = process.run;
        let Some(end) = self.network.end_of(link, run) else { return Ok(()) };
        process.heard.insert(link, now);
        self.note(|| format!("run {run} (node {slot}): link {} is up, {direction:?}: {:?}", link.0, hello.node));
        if let Some(other) = self.network.links.get(&link).map(|link| link.ends[1 - end].slot) {
            self.linked_both(link);
            self.disturb(slot, other);
            self.views_changed = now;
        }
        self.node(slot, NodeEvent::Linked { link, direction, hello })
    }

    /// Marks a connection of which both ends know.
    fn linked_both(&mut self, id: LinkId) {
        let Some(link) = self.network.links.get_mut(&id) else { return };
        link.up += 1;
        let [from, to] = link.ends;
        self.look_at_links(from.slot, to.slot);
    }

    /// Whether what the one dialled leads to the other, at both ends.
    fn look_at_links(&mut self, from: usize, to: usize) {
        let ends = (self.end_of(from), self.end_of(to));
        self.linked[from][to] = match ends {
            (Some(from), Some(to)) => {
                self.network.links.values().any(|link| link.up == 2 && !link.broken && link.ends == [from, to])
            }
            _ => false,
        };
    }

    /// One end or both have closed.
    fn unlinked(&mut self, id: LinkId) {
        let Some(link) = self.network.links.get_mut(&id) else { return };
        let [from, to] = link.ends;
        link.up = 0;
        self.look_at_links(from.slot, to.slot);
        self.views_changed = self.now;
        self.disturb(from.slot, to.slot);
        self.network.forget_closed(id);
    }

    pub(super) fn link_is_down(&mut self, slot: usize, id: LinkId) -> Result<(), String> {
        if self.fault == Some(Fault::EndsAreUnnoticed) {
            return Ok(());
        }
        let Some(run) = self.run_of(slot) else { return Ok(()) };
        let Some(end) = self.network.end_of(id, run) else { return Ok(()) };
        self.note(|| format!("run {run} (node {slot}): link {} is down", id.0));
        if let Some(link) = self.network.links.get_mut(&id) {
            link.open[end] = false;
        }
        self.unlinked(id);
        self.link_is_lost(slot, id)
    }

    /// What follows for a process from the loss of a connection, whoever closed it.
    fn link_is_lost(&mut self, slot: usize, id: LinkId) -> Result<(), String> {
        let Some(process) = &mut self.processes[slot] else { return Ok(()) };
        process.heard.remove(&id);
        let dialled: Vec<usize> =
            process.dials.iter().filter(|&(_, &dial)| dial == Dial::Up(id)).map(|(&other, _)| other).collect();
        for other in dialled {
            self.dial_again(slot, other);
        }
        self.node(slot, NodeEvent::Unlinked { link: id })
    }

    /// A process closes a connection.
    pub(super) fn close(&mut self, slot: usize, id: LinkId, why: &'static str) -> Result<(), String> {
        if self.fault == Some(Fault::EndsAreUnnoticed) {
            return Ok(());
        }
        let Some(run) = self.run_of(slot) else { return Ok(()) };
        let Some(end) = self.network.end_of(id, run) else { return Ok(()) };
        self.note(|| format!("run {run} (node {slot}) closes link {}: {why}", id.0));
        if let Some(link) = self.network.links.get_mut(&id) {
            link.open[end] = false;
        }
        self.dispatch(id, end, Parcel::Close, 0);
        self.unlinked(id);
        self.link_is_lost(slot, id)
    }

    /// A connection breaks: what is on the way is lost, and both ends notice soon.
    fn break_link(&mut self, id: LinkId) {
        let Some(link) = self.network.links.get_mut(&id) else { return };
        let ends = link.ends;
        link.broken = true;
        self.disturb(ends[0].slot, ends[1].slot);
        self.views_changed = self.now;
        for End { slot, run } in ends {
            let wait = self.random.random_range(0..100 * MILLISECOND);
            self.after(wait, Event::Process { slot, run, input: Input::Closed { link: id } });
        }
    }

    /// The node's thread says something to some.
    pub(super) fn send_message(
        &mut self,
        slot: usize,
        links: &[LinkId],
        message: Message,
        repairable: bool,
    ) -> Result<(), String> {
        let Some(run) = self.run_of(slot) else { return Ok(()) };
        if self.lost(&message) {
            return Ok(());
        }
        let message = self.through_octets(message)?;
        self.note_detail(|| format!("node {slot}: to {links:?}: {message:?}"));
        for &id in links {
            let Some(end) = self.network.end_of(id, run) else { continue };
            self.report.messages += 1;
            let full = repairable
                && self.plan.faults.overflow > 0.0
                && !self.peace
                && self.random.random_bool(self.plan.faults.overflow);
            if full {
                self.overflow(slot, id, end);
                continue;
            }
            self.dispatch(id, end, Parcel::Message(Box::new(message.clone())), 0);
            if self.plan.echoes && matches!(message, Message::Facts { .. }) && self.random.random_bool(0.2) {
                self.echo(id, end, message.clone());
            }
        }
        Ok(())
    }

    /// A message arrives once more within some seconds, whatever was said since.
    fn echo(&mut self, id: LinkId, end: usize, message: Message) {
        let Some(link) = self.network.links.get(&id) else { return };
        let End { slot, run } = link.ends[1 - end];
        let wait = self.random.random_range(MILLISECOND..5 * SECOND);
        let input = Input::Message { link: id, message: Box::new(message) };
        self.after(wait, Event::Process { slot, run, input });
    }

    /// Whether a fault that was built in loses a message.
    fn lost(&self, message: &Message) -> bool {
        match self.fault {
            Some(Fault::ConclusionsAreLost) => matches!(message, Message::Concluded { .. }),
            Some(Fault::FactsAreLost) => matches!(message, Message::Facts { .. } | Message::Compare { .. }),
            _ => false,
        }
    }

    /// Writes a message in octets and reads it again, in some seeds.
    fn through_octets(&mut self, message: Message) -> Result<Message, String> {
        if !self.plan.octets {
            return Ok(message);
        }
        let mut octets = Vec::new();
        wire::encode(&message, &mut octets).map_err(|error| format!("{message:?} cannot be written: {error}"))?;
        let frame = octets.get(wire::LENGTH_OCTETS..).unwrap_or_default();
        wire::decode(frame).map_err(|error| format!("{message:?} cannot be read: {error}"))
    }

    fn overflow(&mut self, slot: usize, id: LinkId, end: usize) {
        let Some(link) = self.network.links.get_mut(&id) else { return };
        let other = link.ends[1 - end].slot;
        if !std::mem::replace(&mut link.overflowed[end], true) {
            let wait = self.random.random_range(MILLISECOND..500 * MILLISECOND);
            self.later(slot, wait, Input::Drained { link: id });
        }
        self.note(|| format!("node {slot}: no room for facts on link {}", id.0));
        self.disturb(slot, other);
    }

    pub(super) fn drained(&mut self, slot: usize, id: LinkId) -> Result<(), String> {
        let Some(run) = self.run_of(slot) else { return Ok(()) };
        let Some(end) = self.network.end_of(id, run) else { return Ok(()) };
        if let Some(link) = self.network.links.get_mut(&id) {
            link.overflowed[end] = false;
            let other = link.ends[1 - end].slot;
            self.disturb(slot, other);
        }
        self.node(slot, NodeEvent::Drained { link: id })
    }

    /// Puts something on its way from one end of a connection, unless octets do not flow.
    fn dispatch(&mut self, id: LinkId, end: usize, parcel: Parcel, wait: Micros) {
        if let Some(parcel) = self.network.stall(id, end, parcel) {
            let input = match parcel {
                Parcel::Message(message) => Input::Message { link: id, message },
                Parcel::Close => Input::Closed { link: id },
            };
            self.travel(id, end, input, wait);
        }
    }

    fn travel(&mut self, id: LinkId, end: usize, input: Input, wait: Micros) {
        let Some(link) = self.network.links.get(&id) else { return };
        let (from, to) = (link.ends[end], link.ends[1 - end]);
        if link.broken {
            return;
        }
        let jitter = self.random.random_range(0..=self.plan.jitter);
        let takes = self.plan.latency[from.slot][to.slot] + jitter + wait;
        let at = self.network.arrival(id, end, self.now, takes);
        let End { slot, run } = to;
        self.at(at, Event::Process { slot, run, input });
    }

    /// A process has joined.
    pub(super) fn joined(&mut self, slot: usize, complete: bool) {
        let Some(process) = &mut self.processes[slot] else { return };
        process.joined = true;
        let (run, started) = (process.run, process.started);
        self.note(|| format!("run {run} (node {slot}) has joined, complete: {complete}"));
        let others: Vec<usize> = (0..SLOTS)
            .filter(|&other| other != slot && self.processes[other].as_ref().is_some_and(|other| other.joined))
            .collect();
        if complete && !others.is_empty() && self.told_all(&others, started) {
            let others: Vec<u32> = others.into_iter().filter_map(|other| self.run_of(other)).collect();
            self.model.knows_what_all_know(run, &others, started, self.now);
        }
        self.disturb_all(slot);
    }
}

/// What a fault that was built in makes of a message at its receiver.
pub(super) fn spoil(fault: Option<Fault>, message: &mut Message) {
    let Message::Facts { facts, .. } = message else { return };
    match fault {
        Some(Fault::PardonsAreLost) => facts.retain(|fact| matches!(fact, Fact::Failure(_))),
        Some(Fault::LivesStartAnew) => {
            for fact in facts {
                if let Fact::Failure(failure) = fact {
                    failure.expires = failure.expires.after(Duration::from_secs(5));
                }
            }
        }
        _ => {}
    }
}
