//! One attempt at a time over all members: the owner of a name grants it.
//!
//! The owner uses the guard's own single flight: an attempt of another member is one that leads or waits
//! there like a session's. What came of it is told by facts; the conclusion only lets the others go.

use std::collections::{BTreeMap, HashSet};

use crate::bind::{Conclusion, Credential, Decision, Digest, Fact, Lease, NameKey, Release, Source};

use super::super::event::{Effect, LinkId, PeerWaiter, Permission, Waiting};
use super::super::members::Beat;
use super::super::message::{AskId, KeyId, LeaseAnswer, Message, NodeId, Standing};
use super::super::owners::Owner;
use super::{Node, Step};

/// Leases that an owner holds for others; one who asks for more goes on without.
const MAX_GRANTS: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct Leases {
    /// What this node's sessions asked others for.
    asked: BTreeMap<AskId, Asked>,
    /// What others' sessions do with this node's leave.
    granted: BTreeMap<Holder, Grant>,
    /// Whose attempts wait in this node's guard.
    parked: HashSet<PeerWaiter>,
}

#[derive(Debug)]
struct Asked {
    owner: NodeId,
    /// Of which password, as the owner knows it.
    digest: Digest,
    granted: bool,
    /// The owner knows a failure of it that something here forgives: what it answers from its store is outdated.
    forgiven: bool,
}

/// Ordered by member first, so that all grants of one are found at once.
type Holder = (NodeId, AskId);

#[derive(Debug)]
struct Grant {
    lease: Lease,
    since: Beat,
}

impl Leases {
    /// A member tells of a failure that something forgives here.
    pub(super) fn forgiven(&mut self, teller: NodeId, digest: &Digest) {
        for asked in self.asked.values_mut().filter(|asked| asked.owner == teller && asked.digest == *digest) {
            asked.forgiven = true;
        }
    }

    /// The owner of some attempts is out of reach. Those that were granted are under way already.
    pub(super) fn owner_lost<W>(&mut self, step: &mut Step<'_, W>, owner: NodeId) {
        self.asked.retain(|&ask, asked| {
            let lost = asked.owner == owner;
            if lost && !asked.granted {
                step.effects.push(Effect::Permit { ask, permission: Permission::NoOwner });
            }
            !lost
        });
    }
}

impl Node {
    /// A session of this node wants to ask the directory.
    pub(super) fn ask<W: Waiting>(&mut self, step: &mut Step<'_, W>, ask: AskId, credential: &Credential) {
        let permission = match self.owners.owner_of(credential) {
            // Its own lease is held already.
            Owner::Myself => Permission::Free,
            Owner::Other(owner) => match self.members.get(owner).and_then(|member| member.dialled) {
                None => Permission::NoOwner,
                Some(link) => {
                    let shared = self.owners.shared(credential);
                    let asked = Asked { owner, digest: shared.digest, granted: false, forgiven: false };
                    self.leases.asked.insert(ask, asked);
                    let message = Message::Ask { ask, key: shared.key, name: shared.name, digest: shared.digest };
                    return self.say(step, vec![link], message);
                }
            },
        };
        step.effects.push(Effect::Permit { ask, permission });
    }

    /// A session waits no longer.
    pub(super) fn withdrawn<W: Waiting>(&mut self, step: &mut Step<'_, W>, ask: AskId, timed_out: bool) {
        let Some(Asked { owner, .. }) = self.leases.asked.remove(&ask) else { return };
        let Some(member) = self.members.get_mut(owner) else { return };
        let link = member.dialled;
        if timed_out && !std::mem::replace(&mut member.unresponsive, true) {
            // Until it is heard of again, nobody here waits for it.
            self.reckon_owners(step);
        }
        if let Some(link) = link {
            self.say(step, vec![link], Message::Withdraw { ask });
        }
    }

    /// What came of an attempt of this node's that another member granted.
    pub(super) fn concluded<W: Waiting>(&mut self, step: &mut Step<'_, W>, ask: AskId, conclusion: Conclusion) {
        let Some(Asked { owner, .. }) = self.leases.asked.remove(&ask) else { return };
        if let Some(link) = self.members.get(owner).and_then(|member| member.dialled) {
            self.say(step, vec![link], Message::Concluded { ask, conclusion });
        }
    }

    /// The owner's answer to this node.
    pub(super) fn answered<W: Waiting>(
        &mut self,
        step: &mut Step<'_, W>,
        owner: NodeId,
        ask: AskId,
        answer: LeaseAnswer,
    ) {
        // What is not asked any more was withdrawn, which the owner knows or will know.
        let Some(asked) = self.leases.asked.get_mut(&ask).filter(|asked| asked.owner == owner) else { return };
        let permission = match answer {
            LeaseAnswer::Granted => {
                asked.granted = true;
                Permission::Granted
            }
            LeaseAnswer::Waiting => Permission::Waiting,
            LeaseAnswer::Free => Permission::Free,
            LeaseAnswer::Verdict(_) if asked.forgiven => Permission::NoOwner,
            LeaseAnswer::Verdict(verdict) => Permission::Verdict(verdict),
            LeaseAnswer::Unable => Permission::NoOwner,
        };
        if !matches!(permission, Permission::Granted | Permission::Waiting) {
            self.leases.asked.remove(&ask);
        }
        step.effects.push(Effect::Permit { ask, permission });
    }

    /// Another member's session wants to ask the directory about a name that this node owns, or seems to.
    #[expect(clippy::too_many_arguments, reason = "the fields of one message")]
    pub(super) fn asked<W: Waiting>(
        &mut self,
        step: &mut Step<'_, W>,
        link: LinkId,
        node: NodeId,
        ask: AskId,
        key: KeyId,
        name: NameKey,
        digest: Digest,
    ) {
        let credential = Credential { name, digest, previous: None };
        let full = self.leases.granted.len() + self.leases.parked.len() >= MAX_GRANTS;
        // Two that took each other for the owner would wait for each other.
        let owner = self.standing == Standing::Joined && self.owners.owner_of(&credential) == Owner::Myself;
        if full || !owner || !self.settings.keys.accepts(key) {
            return self.say(step, vec![link], Message::Answer { ask, answer: LeaseAnswer::Unable });
        }
        let waiter = PeerWaiter { node, ask };
        let decision = step.guard.decide(&credential, Source::local(), step.now, || W::from(waiter));
        let answer = match decision {
            Decision::Answer(verdict) => {
                // It would not ask if it had the failure: what was pushed got lost. With this one it can tell whether
                // the verdict is outdated there, so it may not be lost again.
                if let Some(failure) = step.guard.failure(&name, &digest, step.now) {
                    let facts = vec![Fact::Failure(failure)];
                    self.say(step, vec![link], Message::Facts { sent: step.now, facts });
                }
                LeaseAnswer::Verdict(verdict)
            }
            Decision::Wait => {
                self.leases.parked.insert(waiter);
                LeaseAnswer::Waiting
            }
            Decision::Lead(lease) => self.grant((node, ask), lease),
        };
        self.say(step, vec![link], Message::Answer { ask, answer });
    }

    /// Hands a lease of this node's guard to another member.
    fn grant(&mut self, holder: Holder, lease: Lease) -> LeaseAnswer {
        if !lease.is_shared() {
            return LeaseAnswer::Free;
        }
        self.leases.granted.insert(holder, Grant { lease, since: self.beat });
        LeaseAnswer::Granted
    }

    /// A member tells what came of an attempt.
    pub(super) fn conclude<W: Waiting>(
        &mut self,
        step: &mut Step<'_, W>,
        node: NodeId,
        ask: AskId,
        conclusion: Conclusion,
    ) {
        if let Some(Grant { lease, since: _ }) = self.leases.granted.remove(&(node, ask)) {
            self.let_go(step, lease, conclusion);
        }
    }

    /// A member's session waits no longer, and if it was granted, did not ask.
    pub(super) fn withdraw<W: Waiting>(&mut self, step: &mut Step<'_, W>, node: NodeId, ask: AskId) {
        self.leases.parked.remove(&PeerWaiter { node, ask });
        self.conclude(step, node, ask, Conclusion::Fault);
    }

    /// A member that holds leases, or waits for some, is out of reach.
    pub(super) fn asker_lost<W: Waiting>(&mut self, step: &mut Step<'_, W>, node: NodeId) {
        self.leases.parked.retain(|waiter| waiter.node != node);
        let held = (node, AskId(0))..=(node, AskId(u64::MAX));
        let asks: Vec<AskId> = self.leases.granted.range(held).map(|(&(_, ask), _)| ask).collect();
        for ask in asks {
            self.conclude(step, node, ask, Conclusion::Fault);
        }
    }

    /// Takes back what was granted for too long.
    pub(super) fn take_back_leases<W: Waiting>(&mut self, step: &mut Step<'_, W>) {
        let beats = u64::try_from(self.settings.lease_life.as_millis() / 500).unwrap_or(u64::MAX).saturating_add(1);
        let beat = self.beat;
        let overdue = |grant: &Grant| beat.since(grant.since) > beats;
        let holders: Vec<Holder> =
            self.leases.granted.iter().filter(|(_, grant)| overdue(grant)).map(|(&holder, _)| holder).collect();
        for (node, ask) in holders {
            self.conclude(step, node, ask, Conclusion::Fault);
        }
    }

    /// This node's guard lets another member's attempt go on.
    pub(super) fn released<W: Waiting>(&mut self, step: &mut Step<'_, W>, waiter: PeerWaiter, release: Release) {
        let channel = self.members.get(waiter.node).and_then(|member| member.accepted);
        let waits = self.leases.parked.remove(&waiter);
        match (channel.filter(|_| waits), release) {
            // One that is too long to travel is written as `Free`.
            (Some(link), Release::Answer(verdict)) => {
                let answer = LeaseAnswer::Verdict(verdict);
                self.say(step, vec![link], Message::Answer { ask: waiter.ask, answer });
            }
            (Some(link), Release::Forward(lease)) => {
                let answer = self.grant((waiter.node, waiter.ask), lease);
                self.say(step, vec![link], Message::Answer { ask: waiter.ask, answer });
            }
            (None, Release::Answer(_)) => {}
            (None, Release::Forward(lease)) => self.let_go(step, lease, Conclusion::Fault),
        }
    }

    /// Ends an attempt in this node's guard, and lets those go who wait for it.
    fn let_go<W: Waiting>(&mut self, step: &mut Step<'_, W>, lease: Lease, conclusion: Conclusion) {
        let settled = step.guard.conclude(lease, conclusion, step.now);
        let mut sessions = Vec::new();
        for (waiter, release) in settled.released {
            match waiter.into_peer() {
                Ok(peer) => self.released(step, peer, release),
                Err(session) => sessions.push((session, release)),
            }
        }
        if !sessions.is_empty() {
            step.effects.push(Effect::Release(sessions));
        }
    }
}

#[cfg(test)]
impl Node {
    /// Whether nothing is asked, granted or parked.
    pub(super) fn leases_are_empty(&self) -> bool {
        let Leases { asked, granted, parked } = &self.leases;
        asked.is_empty() && granted.is_empty() && parked.is_empty()
    }
}
