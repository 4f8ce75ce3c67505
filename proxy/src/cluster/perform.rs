//! What the node wants done, done: messages are queued, sessions are told, metrics counted.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::clock::Tick;
use crate::metrics::cluster::{ClusterRejection, MessageDirection, PeerState, SyncResult};
use crate::{effects, held_lease};

use super::event::{Count, Effect, Event, LinkId, Permission};
use super::handle::GatherReply;
use super::members::State;
use super::mesh::Mesh;
use super::message::{AskId, Message};
use super::outbox::{Frame, Pushed};
use super::waiter::Waiter;
use super::{link, report, wire};

impl Mesh {
    /// Sets the cluster's time. The step that asked for it may have taken longer than this node was behind; a
    /// member that serves never goes back.
    fn set_clock(&self, to: Tick) {
        let clock = &self.shared.cluster_clock;
        if self.is_joining() || to > clock.now() {
            clock.set(to);
        }
    }

    /// Does all of it; what comes of that goes to the end of `events`.
    pub(super) fn perform(&self, effects: Vec<Effect<Waiter>>, events: &mut VecDeque<Event>) {
        for effect in effects {
            match effect {
                Effect::Send { links, message, repairable } => self.send(&links, &message, repairable),
                Effect::Close { link, why } => {
                    if let Some(link) = self.links.borrow().get(&link) {
                        link.close(why, self.process_now());
                    }
                }
                Effect::Permit { ask, permission } => self.permit(ask, permission),
                Effect::Release(released) => held_lease::let_go(&self.shared, released),
                Effect::Merged(learned) => effects::show(&self.shared, &learned, effects::Origin::Cluster),
                Effect::Answer { link, number, query } => {
                    events.push_back(Event::Answered { link, number, body: (self.answer_queries)(query) });
                }
                Effect::Gathered { number, from, body } => {
                    if let Some(replies) = self.gathers.borrow().get(&number) {
                        let _ = replies.send(GatherReply::From(from, body));
                    }
                }
                Effect::SetClock(now) => self.set_clock(now),
                Effect::Joined { complete } => self.joined(complete),
                Effect::OwnersChanged => self.handle.set_owners(self.node.borrow().owners().clone()),
                Effect::MembersChanged => self.show_members(),
                Effect::Left => self.handle.set_left(),
                Effect::Count(count) => self.count(count),
            }
        }
    }

    fn send(&self, links: &[LinkId], message: &Message, repairable: bool) {
        let mut octets = Vec::new();
        if let Err(error) = wire::encode(message, &mut octets) {
            tracing::error!(%error, kind = ?link::kind(message), "a message cannot be written: please report this");
            return;
        }
        let frame: Frame = octets.into();
        let (now, metrics, kind) = (self.process_now(), self.metrics(), link::kind(message));
        for link in links {
            // One that is gone by now is about to be reported as such.
            let Some(link) = self.links.borrow().get(link).cloned() else { continue };
            match link.send(message, &frame, repairable, now) {
                Pushed::Queued => metrics.message(MessageDirection::Out, kind, frame.len()),
                Pushed::Dropped => metrics.dropped.inc(),
                Pushed::Overflowed => {
                    metrics.dropped.inc();
                    link.abort("the member takes in nothing that is sent to it");
                }
            }
        }
    }

    fn permit(&self, ask: AskId, permission: Permission) {
        let mut asks = self.asks.borrow_mut();
        if let Some(replies) = asks.get(&ask) {
            let more = permission == Permission::Waiting;
            // A session that is gone has taken its attempt back, which is on its way.
            let _ = replies.send(permission);
            if !more {
                asks.remove(&ask);
            }
        }
    }

    fn joined(&self, complete: bool) {
        self.metrics().set_joined(complete);
        let members = self.node.borrow().members().count();
        let entries = self.shared.guard.stats().live;
        if complete {
            tracing::info!(members, entries, "joined the cluster");
        } else {
            tracing::warn!(
                members,
                entries,
                "the time for joining the cluster passed: going on with what is known; check that the addresses of \
                 cluster.discovery can be reached and that their certificates are of this cluster"
            );
        }
        self.handle.set_joined(complete);
    }

    /// Shows how the members stand, in the metrics and to the admin API.
    fn show_members(&self) {
        self.handle.set_report(report::of(&self.node.borrow()));
        let mut counts = BTreeMap::from([(State::Alive, 0), (State::Suspect, 0), (State::Left, 0)]);
        for member in self.node.borrow().members() {
            *counts.entry(member.state()).or_insert(0) += 1;
        }
        for (state, count) in counts {
            let state = match state {
                State::Alive => PeerState::Alive,
                State::Suspect => PeerState::Suspect,
                State::Left => PeerState::Left,
            };
            self.metrics().set_peers(state, count);
        }
    }

    fn count(&self, count: Count) {
        let metrics = self.metrics();
        match count {
            Count::Propagated { milliseconds } => metrics.propagated(Duration::from_millis(milliseconds)),
            Count::RefusedFuture => metrics.rejected(ClusterRejection::Future),
            Count::RefusedKey => metrics.rejected(ClusterRejection::Key),
            Count::SyncDiffered => metrics.synced(SyncResult::Differed),
            Count::SyncSame => metrics.synced(SyncResult::Same),
            Count::ClockJumped => {
                metrics.clock_jumps.inc();
                tracing::warn!(
                    "cluster time was far ahead of this member's: its failed binds were dropped and come back from the \
                     others; check the clocks of the machines"
                );
            }
            // Counted where the session goes on.
            Count::Unleased => {}
        }
    }
}
