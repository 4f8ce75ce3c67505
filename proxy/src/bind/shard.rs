//! One shard: the names that share a lock, with their failed binds, what else is remembered of
//! them, and their attempts in flight. Every method is one step that nothing can interleave with.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Tick;

use super::effect::{Effect, NotRecorded, PurgeCause};
use super::entries::{Entries, Failure, SOURCE_BUCKETS};
use super::flight::{Flights, Lease, Release};
use super::guard::Decision;
use super::key::{Credential, Digest, NameKey};
use super::life::Lives;
use super::memory::Memory;
use super::rules::Class;
use super::source::Source;
use super::verdict::Verdict;

/// Slots looked at by one hold of a shard's lock while sweeping.
pub(super) const SWEEP_BATCH: usize = 256;

pub(super) struct Shard<W> {
    pub(super) entries: Entries,
    pub(super) memory: Memory,
    pub(super) flights: Flights<W>,
}

/// What an attempt's digest was under the key before the last rotation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Inherited {
    level: Option<u8>,
    last_good: bool,
    removed: bool,
    /// A purge or a success that is known under that key makes the verdict worthless.
    late: bool,
}

impl<W> Shard<W> {
    pub(super) fn new(quota: usize) -> Self {
        Self { entries: Entries::new(quota), memory: Memory::new(quota), flights: Flights::new() }
    }

    /// An answer from the store, or a place among those who wait for an identical attempt.
    /// `waiter` is taken only then.
    pub(super) fn join(
        &mut self,
        name: &NameKey,
        digest: &Digest,
        source: Source,
        now: Tick,
        waiter: &mut Option<impl FnOnce() -> W>,
    ) -> Option<Decision> {
        if let Some(verdict) = self.entries.answer(name, digest, now) {
            return Some(Decision::Answer(verdict));
        }
        let flight = self.flights.open(digest)?;
        flight.waiters.push_back((waiter.take()?(), source));
        Some(Decision::Wait)
    }

    /// Lets the waiters of `lease` go: all with the verdict if it is a failure, each with its own
    /// bind if it is a success.
    pub(super) fn release(
        &mut self,
        lease: &Lease,
        verdict: &Arc<Verdict>,
        success: bool,
        now: Tick,
    ) -> Vec<(W, Release)> {
        let Some(flight) = self.flights.land(lease) else { return Vec::new() };
        let outcome = |source| {
            if success {
                Release::Forward(Lease { credential: lease.credential, source, sent_at: now, flight: None })
            } else {
                Release::Answer(Arc::clone(verdict))
            }
        };
        flight.waiters.into_iter().map(|(waiter, source)| (waiter, outcome(source))).collect()
    }

    /// After a fault of `lease`: its next waiter goes upstream, unless the answer is known by now.
    pub(super) fn fault(&mut self, lease: &Lease, now: Tick) -> Vec<(W, Release)> {
        let Some(flight) = self.flights.land(lease) else { return Vec::new() };
        let Credential { name, digest, previous: _ } = &lease.credential;
        if let Some(verdict) = self.entries.peek(name, digest, now) {
            let answer = |(waiter, _)| (waiter, Release::Answer(Arc::clone(&verdict)));
            return flight.waiters.into_iter().map(answer).collect();
        }
        let promoted = self.flights.hand_over(lease, flight, now);
        promoted.map(|(waiter, lease)| (waiter, Release::Forward(lease))).into_iter().collect()
    }

    /// Learns that the password of `lease` is wrong.
    pub(super) fn learn(
        &mut self,
        lease: &Lease,
        verdict: &Arc<Verdict>,
        short: bool,
        inherited: Inherited,
        lives: &Lives,
        now: Tick,
    ) -> Vec<Effect> {
        let Credential { name, digest, previous: _ } = lease.credential;
        if inherited.late || self.memory.is_late(&name, &digest, lease.sent_at) {
            return vec![Effect::NotRecorded { name, reason: NotRecorded::Late }];
        }
        let stored = self.entries.stored(&name, &digest, lives.max_ttl, now);
        if stored.is_some_and(|stored| stored.live) {
            // Another attempt with the same password was in flight and told already.
            return Vec::new();
        }
        let last_good = inherited.last_good || self.memory.is_last_good(&name, &digest);
        let level = match stored.map(|stored| stored.level).max(inherited.level) {
            _ if last_good => 0,
            Some(level) if short => level,
            Some(level) => level.saturating_add(1),
            None if short => 0,
            None => 1,
        };
        let life = if short { lives.first_ttl } else { lives.of_level(level) };
        let source = lease.source.bucket(SOURCE_BUCKETS);
        if !self.entries.record(&Failure { name, digest, verdict, life, level, source }, now) {
            return vec![Effect::NotRecorded { name, reason: NotRecorded::NoCapacity }];
        }
        let mut effects = vec![Effect::Learned {
            name,
            digest,
            previous: lease.credential.previous,
            stamp: super::fact::Stamp::default(),
            verdict: Arc::clone(verdict),
            life,
            level,
        }];
        if last_good {
            self.memory.forget_last_good(&name);
            if self.memory.may_purge_others(&name, lives.ttl, now) {
                let removed = self.purge_others(&name, &digest, now);
                effects.push(Effect::Purged {
                    name: Some(name),
                    except: Some(digest),
                    cause: PurgeCause::LastGoodFailed,
                    removed,
                    life: lives.max_ttl,
                });
            }
        }
        effects
    }

    /// Gives the name's other passwords another chance. Returns how many entries lived.
    pub(super) fn purge_others(&mut self, name: &NameKey, digest: &Digest, now: Tick) -> usize {
        self.memory.others_purged(name, now);
        self.flights.close(Some(name), Some(digest));
        self.entries.expire(name, digest, now)
    }

    /// Learns that the password of `lease` is right.
    pub(super) fn succeed(&mut self, lease: &Lease, inherited: Inherited, lives: &Lives, now: Tick) -> Effect {
        let Credential { name, digest, previous: _ } = lease.credential;
        let removed = self.entries.remove(&name, &digest).is_some_and(|stored| stored.live) || inherited.removed;
        // A success that a password change overtook is the old password's.
        if !self.memory.is_purged(&name, lease.sent_at) {
            self.memory.succeeded(&name, digest, now);
        }
        Effect::Succeeded { name, digest, removed, told: true, life: lives.max_ttl }
    }

    /// Learns that the password of `lease` was right though the bind failed.
    pub(super) fn was_right(&mut self, lease: &Lease, inherited: Inherited, lives: &Lives) -> Effect {
        let Credential { name, digest, previous: _ } = lease.credential;
        let removed = self.entries.remove(&name, &digest).is_some_and(|stored| stored.live) || inherited.removed;
        Effect::PasswordWasRight { name, digest, removed, told: true, life: lives.max_ttl }
    }

    /// Gives up what is known of a digest under the previous key, for what will be known of it
    /// under the current one.
    pub(super) fn give_up(
        &mut self,
        name: &NameKey,
        digest: &Digest,
        sent_at: Tick,
        class: Class,
        lives: &Lives,
        now: Tick,
    ) -> Inherited {
        let wrong = matches!(class, Class::WrongPassword | Class::WrongPasswordShort);
        let late = self.memory.is_late(name, digest, sent_at);
        if wrong && late {
            return Inherited { late, ..Inherited::default() };
        }
        let level = self.entries.stored(name, digest, lives.max_ttl, now).map(|stored| stored.level);
        let removed = self.entries.remove(name, digest).is_some_and(|stored| stored.live);
        let last_good = wrong && self.memory.is_last_good(name, digest);
        if class == Class::Success {
            // For a failure of the same password that was asked before the rotation.
            self.memory.succeeded(name, *digest, now);
        }
        if last_good || class == Class::Success {
            self.memory.forget_last_good(name);
        }
        Inherited { level, last_good, removed, late }
    }

    /// Forgets the name's failures. Verdicts of attempts sent until now will not be recorded, and
    /// nobody joins those attempts any more.
    pub(super) fn purge(&mut self, name: &NameKey, password_changed: bool, now: Tick) -> usize {
        self.memory.purged(name, now);
        if password_changed {
            self.memory.forget_last_good(name);
        }
        self.flights.close(Some(name), None);
        self.entries.remove_name(name)
    }

    /// Forgets every failure, in the same way.
    pub(super) fn purge_all(&mut self, now: Tick) -> usize {
        self.memory.purged_all(now);
        self.flights.close(None, None);
        self.entries.clear()
    }

    pub(super) fn set_quota(&mut self, quota: usize) {
        self.entries.set_quota(quota);
        self.memory.set_quota(quota);
    }

    pub(super) fn sweep(&mut self, slots: usize, max_ttl: Duration, now: Tick) {
        self.entries.sweep(slots, max_ttl, now);
        self.memory.sweep(slots, max_ttl, now);
        self.flights.drop_lost(now);
    }
}
