//! What a member does: events in, effects out. No socket, no clock, no task.
//!
//! Each event is one step of one part: `clock` keeps the members' time together, `push` tells what was
//! learned and takes in what others tell, `lease` grants and asks for attempts, `sync` finds what push
//! missed, `join` and `leave` begin and end a run, `gather` asks everybody for the admin API.

mod clock;
mod gather;
mod join;
mod lease;
mod leave;
mod push;
mod sync;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::bind::Guard;
use crate::clock::Tick;

use super::event::{Count, Direction, Effect, Event, LinkId, Waiting};
use super::members::{self, Beat, Member, Members};
use super::message::{Hello, KeyIds, Message, NodeId, OLDEST_PROTOCOL, PROTOCOL, Standing};
use super::owners::Owners;

/// Beats between two pings on a connection: 2 s.
const PING_EVERY: u64 = 4;

/// Who this node is.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// `cluster.name`.
    pub cluster: String,
    /// This run: random.
    pub node: NodeId,
    /// `cluster.nodeName`.
    pub name: String,
    /// Where it listens.
    pub port: u16,
    /// The hashing keys.
    pub keys: KeyIds,
    /// How long a granted attempt may take; its lease is taken back then.
    pub lease_life: Duration,
}

/// One member of a cluster.
#[derive(Debug)]
pub struct Node {
    settings: NodeSettings,
    standing: Standing,
    members: Members,
    owners: Owners,
    beat: Beat,
    clock: clock::Alignment,
    outbox: push::Outbox,
    leases: lease::Leases,
    syncs: sync::Syncs,
    joining: join::Joining,
    leaving: leave::Leaving,
}

/// One step: what it may look at, and what it wants done.
struct Step<'a, W> {
    guard: &'a Guard<W>,
    now: Tick,
    effects: Vec<Effect<W>>,
}

impl<W> Step<'_, W> {
    fn count(&mut self, count: Count) {
        self.effects.push(Effect::Count(count));
    }
}

impl Node {
    /// A node that knows nobody yet.
    #[must_use]
    pub fn new(settings: NodeSettings) -> Self {
        let owners = Owners::new(settings.node, [], settings.keys, false);
        Self {
            settings,
            standing: Standing::Joining,
            members: Members::default(),
            owners,
            beat: Beat::default(),
            clock: clock::Alignment::default(),
            outbox: push::Outbox::default(),
            leases: lease::Leases::default(),
            syncs: sync::Syncs::default(),
            joining: join::Joining::default(),
            leaving: leave::Leaving::default(),
        }
    }

    /// Takes one event. `now` is cluster time. Call [`Self::flush`] after the last of a batch.
    pub fn handle<W: Waiting>(
        &mut self,
        guard: &Guard<W>,
        event: Event,
        now: Tick,
        random: &mut impl rand::Rng,
    ) -> Vec<Effect<W>> {
        let mut step = Step { guard, now, effects: Vec::new() };
        match event {
            Event::Linked { link, direction, hello } => self.linked(&mut step, link, direction, &hello),
            Event::Received { link, message } => self.received(&mut step, link, message),
            Event::Unlinked { link } => self.unlinked(&mut step, link),
            Event::Drained { link } => self.syncs.want(link),
            Event::Discovered { others } => self.joining.discovered(others),
            Event::Learned(effects) => self.learned(&mut step, effects),
            Event::Overran => self.sync_with_everybody(),
            Event::Ask { ask, credential } => self.ask(&mut step, ask, &credential),
            Event::Withdrawn { ask, timed_out } => self.withdrawn(&mut step, ask, timed_out),
            Event::Concluded { ask, conclusion } => self.concluded(&mut step, ask, conclusion),
            Event::Released { waiter, release } => self.released(&mut step, waiter, release),
            Event::Gather { number, query } => self.gather(&mut step, number, query),
            Event::Answered { link, number, body } => {
                self.say(&mut step, vec![link], Message::Reply { number, body });
            }
            Event::Rotated(keys) => self.rotated(&mut step, keys),
            Event::Ticked => self.ticked(&mut step, random),
            Event::Leave => self.leave(&mut step),
        }
        self.go_on_joining(&mut step);
        self.go_on_syncing(&mut step);
        self.go_on_leaving(&mut step);
        step.effects
    }

    /// Sends the facts that were gathered since.
    pub fn flush<W: Waiting>(&mut self, guard: &Guard<W>, now: Tick) -> Vec<Effect<W>> {
        let mut step = Step { guard, now, effects: Vec::new() };
        self.post(&mut step);
        step.effects
    }

    /// What this node says of itself on a new connection.
    #[must_use]
    pub fn hello<W>(&self, guard: &Guard<W>, now: Tick) -> Hello {
        Hello {
            oldest: OLDEST_PROTOCOL,
            newest: PROTOCOL,
            features: 0,
            cluster: self.settings.cluster.clone(),
            node: self.settings.node,
            name: self.settings.name.clone(),
            keys: self.settings.keys,
            now,
            standing: self.standing,
            entries: live(guard),
            port: self.settings.port,
        }
    }

    /// Who grants leases for which names, as this node sees it now.
    #[must_use]
    pub fn owners(&self) -> &Owners {
        &self.owners
    }

    /// The other members.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// Who this node is.
    #[must_use]
    pub fn settings(&self) -> &NodeSettings {
        &self.settings
    }

    /// How far this node is.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing
    }

    fn linked<W: Waiting>(&mut self, step: &mut Step<'_, W>, link: LinkId, direction: Direction, hello: &Hello) {
        if let Some(replaced) = self.members.linked(link, direction, hello) {
            step.effects.push(Effect::Close { link: replaced, why: "the member opened another connection" });
            self.forget_link(step, replaced, hello.node, direction);
        }
        self.align(step, hello.standing, hello.now);
        step.effects.push(Effect::MembersChanged);
        self.reckon_owners(step);
        // The greeting was written before the connection counted as up, and may be outdated.
        self.say(step, vec![link], Message::Update { standing: self.standing, keys: self.settings.keys });
        // From now on this node tells what it learns; what it learned up to here, a comparison brings.
        if direction == Direction::Dialled && self.standing == Standing::Joined {
            self.syncs.want(link);
        }
    }

    fn unlinked<W: Waiting>(&mut self, step: &mut Step<'_, W>, link: LinkId) {
        let Some((node, direction)) = self.members.unlinked(link, self.beat) else { return };
        self.forget_link(step, link, node, direction);
        step.effects.push(Effect::MembersChanged);
        self.reckon_owners(step);
    }

    /// Ends what hung on a connection that is no more.
    fn forget_link<W: Waiting>(&mut self, step: &mut Step<'_, W>, link: LinkId, node: NodeId, direction: Direction) {
        self.syncs.forget(link);
        self.joining.forget(link);
        self.leaving.forget(link);
        match direction {
            Direction::Dialled => self.leases.owner_lost(step, node),
            Direction::Accepted => self.asker_lost(step, node),
        }
    }

    fn received<W: Waiting>(&mut self, step: &mut Step<'_, W>, link: LinkId, message: Message) {
        let Some(member) = self.members.at_mut(link) else { return };
        let (node, standing) = (member.node, member.standing);
        let shares_a_key = members::share_a_key(&self.settings.keys, &member.keys);
        if std::mem::take(&mut member.unresponsive) {
            self.reckon_owners(step);
        }
        match message {
            // Said before the connection counted as up.
            Message::Hello(_) | Message::Refused(_) | Message::Unknown(_) => {}
            Message::Facts { sent, facts } => {
                self.align(step, standing, sent);
                self.take_in(step, link, sent, &facts);
            }
            // Nothing of what this node holds means anything to it; only a stranger asks all the same.
            Message::SnapshotRequest { .. }
            | Message::Compare { .. }
            | Message::Descend { .. }
            | Message::Leaves { .. }
            | Message::Want { .. }
                if !shares_a_key =>
            {
                step.count(Count::RefusedKey);
            }
            Message::SnapshotRequest { cursor } => self.send_snapshot(step, link, cursor),
            Message::SnapshotPart { sent, facts, next } => {
                self.align(step, standing, sent);
                self.take_snapshot(step, link, &facts, next);
            }
            Message::Compare { sync, cut, root } => self.compare(step, link, sync, cut, root),
            Message::Same { sync } => self.same(step, link, sync),
            Message::Branches { sync, sums } => self.branches(step, link, sync, &sums),
            Message::Descend { sync, cut, branches } => self.descend(step, link, sync, cut, &branches),
            Message::LeafSums { sync, branch, sums, last } => self.leaf_sums(step, link, sync, branch, &sums, last),
            Message::Leaves { sync, cut, leaves } => self.leaves(step, link, sync, cut, &leaves),
            Message::Want { sync, leaves } => self.wanted(step, link, sync, &leaves),
            Message::Ask { ask, key, name, digest } => self.asked(step, link, node, ask, key, name, digest),
            Message::Answer { ask, answer } => self.answered(step, node, ask, answer),
            Message::Concluded { ask, conclusion } => self.conclude(step, node, ask, conclusion),
            Message::Withdraw { ask } => self.withdraw(step, node, ask),
            Message::Barrier { number } => self.say(step, vec![link], Message::Passed { number }),
            Message::Passed { number } => self.passed(step, link, number),
            Message::Query { number, body } => {
                step.effects.push(Effect::Answer { link, number, query: body });
            }
            Message::Reply { number, body } => self.replied(step, link, number, body),
            Message::Ping { now, number } => {
                self.align(step, standing, now);
                let (now, entries) = (step.now, live(step.guard));
                self.say(step, vec![link], Message::Pong { now, number, entries });
            }
            Message::Pong { now, number: _, entries } => {
                if let Some(member) = self.members.at_mut(link)
                    && std::mem::replace(&mut member.entries, entries) != entries
                {
                    step.effects.push(Effect::MembersChanged);
                }
                self.align(step, standing, now);
            }
            Message::Update { standing, keys } => self.updated(step, link, standing, keys),
        }
    }

    fn updated<W: Waiting>(&mut self, step: &mut Step<'_, W>, link: LinkId, standing: Standing, keys: KeyIds) {
        let Some(member) = self.members.at_mut(link) else { return };
        let rotated = member.keys != keys;
        let joined = member.standing == Standing::Joining && standing == Standing::Joined;
        member.standing = member.standing.max(standing);
        member.keys = keys;
        let channel = member.dialled;
        step.effects.push(Effect::MembersChanged);
        self.reckon_owners(step);
        let Some(channel) = channel else { return };
        if rotated {
            // What did not mean anything to it before may do so now.
            self.syncs.want(channel);
        }
        if joined {
            // From now on its time counts: two that start together need not wait for the next ping.
            self.ping(step, vec![channel]);
        }
    }

    fn rotated<W: Waiting>(&mut self, step: &mut Step<'_, W>, keys: KeyIds) {
        self.settings.keys = keys;
        self.tell_standing(step);
        self.reckon_owners(step);
        self.sync_with_everybody();
    }

    /// Looks anew who may own names.
    fn reckon_owners<W: Waiting>(&mut self, step: &mut Step<'_, W>) {
        let keys = self.settings.keys;
        let owners = || self.members.iter().filter(|member| member.owner_channel(&keys).is_some());
        // Also of those who may come back: what they purge must find what is stored.
        let lags = |member: &Member| {
            let lacks = members::share_a_key(&keys, &member.keys) && !member.keys.accepts(keys.current);
            lacks && member.state() != members::State::Left
        };
        let by_previous = self.members.iter().any(lags);
        step.guard.set_by_previous(by_previous);
        self.owners = Owners::new(self.settings.node, owners().map(|member| member.node), keys, by_previous);
        step.effects.push(Effect::OwnersChanged);
    }

    fn tell_standing<W: Waiting>(&mut self, step: &mut Step<'_, W>) {
        let message = Message::Update { standing: self.standing, keys: self.settings.keys };
        let links = self.members.all_links();
        self.say(step, links, message);
    }

    fn ticked<W: Waiting>(&mut self, step: &mut Step<'_, W>, random: &mut impl rand::Rng) {
        self.beat.0 += 1;
        if self.members.forget(self.beat) {
            step.effects.push(Effect::MembersChanged);
        }
        if self.beat.0.is_multiple_of(PING_EVERY) {
            self.ping(step, self.members.dialled_links());
        }
        self.take_back_leases(step);
        self.schedule_sync(step, random);
    }

    fn ping<W: Waiting>(&mut self, step: &mut Step<'_, W>, links: Vec<LinkId>) {
        let (now, number) = (step.now, self.beat.0);
        self.say(step, links, Message::Ping { now, number });
    }

    /// Says something, after all that was learned before.
    fn say<W: Waiting>(&mut self, step: &mut Step<'_, W>, links: Vec<LinkId>, message: Message) {
        self.post(step);
        if !links.is_empty() {
            step.effects.push(Effect::Send { links, message, repairable: false });
        }
    }
}

/// Failed binds that a guard holds.
fn live<W>(guard: &Guard<W>) -> u32 {
    u32::try_from(guard.stats().live).unwrap_or(u32::MAX)
}
