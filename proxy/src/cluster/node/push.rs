//! Telling what was learned the moment it is learned, and taking in what others tell.

use crate::bind::{Effect as BindEffect, Fact, FailureFact, Past, Stamp};
use crate::clock::Tick;

use super::super::event::{Count, Effect, LinkId, Waiting};
use super::super::members;
use super::super::message::Message;
use super::super::wire;
use super::clock::BOUND;
use super::{Node, Step};

/// Facts that wait for the end of a batch.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    facts: Vec<Fact>,
}

impl Node {
    /// This node's guard learned something that others should know.
    pub(super) fn learned<W: Waiting>(&mut self, step: &mut Step<'_, W>, effects: Vec<BindEffect>) {
        for effect in effects {
            match effect {
                BindEffect::Learned { name, digest, verdict, life, level, stamp } => {
                    let expires = step.now.after(life);
                    let failure = FailureFact { name, digest, stamp, expires, level, verdict };
                    self.outbox.facts.push(Fact::Failure(failure));
                }
                BindEffect::Purged { name: None, .. } => {
                    self.outbox.facts.push(Fact::FlushedAll(step.guard.flushed_all()));
                }
                other => {
                    let facts = other.name_to_tell().and_then(|name| step.guard.name_facts(&name));
                    self.outbox.facts.extend(facts.map(Fact::Name));
                }
            }
        }
    }

    /// Sends the outbox to all who can make use of it.
    pub(super) fn post<W: Waiting>(&mut self, step: &mut Step<'_, W>) {
        if self.outbox.facts.is_empty() {
            return;
        }
        let facts = std::mem::take(&mut self.outbox.facts);
        let links: Vec<LinkId> = self.members.iter().filter_map(|member| member.channel(&self.settings.keys)).collect();
        if !links.is_empty() {
            send_facts(step, &links, facts);
        }
    }

    /// Takes in what a member tells, and tells it what it lacks.
    pub(super) fn take_in<W: Waiting>(&mut self, step: &mut Step<'_, W>, link: LinkId, sent: Tick, facts: &[Fact]) {
        let news = self.merge(step, link, facts);
        if news {
            let milliseconds = u64::try_from(step.now.since(sent).as_millis()).unwrap_or(u64::MAX);
            step.count(Count::Propagated { milliseconds });
        }
    }

    /// Merges facts. Whether any was new.
    pub(super) fn merge<W: Waiting>(&mut self, step: &mut Step<'_, W>, link: LinkId, facts: &[Fact]) -> bool {
        let Some(member) = self.members.at(link) else { return false };
        let teller = member.node;
        if !members::share_a_key(&self.settings.keys, &member.keys) {
            step.count(Count::RefusedKey);
            return false;
        }
        let latest = step.now.after(BOUND);
        let mut changed = false;
        let mut seen = Vec::new();
        let mut newer = Vec::new();
        for fact in facts {
            if happened(fact) > latest {
                step.count(Count::RefusedFuture);
                continue;
            }
            let merged = step.guard.merge(fact, step.now);
            changed |= merged.changed;
            seen.extend(merged.effects);
            if let (Fact::Failure(failure), Some(_)) = (fact, &merged.newer) {
                self.leases.forgiven(teller, &failure.digest);
            }
            newer.extend(merged.newer);
        }
        if !seen.is_empty() {
            step.effects.push(Effect::Merged(seen));
        }
        if !newer.is_empty() {
            newer.dedup();
            send_facts(step, &[link], newer);
        }
        changed
    }
}

/// Sends facts in messages of a bounded size. What forgives goes ahead and on its own: a queue that is full drops
/// failures, which comparing brings later, and a flush that was acknowledged must have arrived.
pub(super) fn send_facts<W>(step: &mut Step<'_, W>, links: &[LinkId], facts: Vec<Fact>) {
    let (failures, pardons): (Vec<Fact>, Vec<Fact>) =
        facts.into_iter().partition(|fact| matches!(fact, Fact::Failure(_)));
    for (facts, repairable) in [(pardons, false), (failures, true)] {
        let mut rest = facts.as_slice();
        while !rest.is_empty() {
            let (part, more) = rest.split_at(wire::facts_that_fit(rest, wire::PUSH_OCTETS));
            let message = Message::Facts { sent: step.now, facts: part.to_vec() };
            step.effects.push(Effect::Send { links: links.to_vec(), message, repairable });
            rest = more;
        }
    }
}

/// When the latest thing happened that a fact tells of.
fn happened(fact: &Fact) -> Tick {
    let latest = |times: &[Past]| times.iter().filter_map(|past| past.tick()).max().unwrap_or_default();
    match fact {
        Fact::Failure(FailureFact { name: _, digest: _, stamp, expires: _, level: _, verdict: _ }) => Stamp::at(*stamp),
        Fact::Name(facts) => {
            let [one, other] = facts.successes;
            latest(&[one.at, other.at, facts.purged, facts.last_good_ended, facts.others_purged])
        }
        Fact::FlushedAll(at) => latest(&[*at]),
    }
}
