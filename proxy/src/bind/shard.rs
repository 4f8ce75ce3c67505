//! One shard: the names that share a lock, with their failed binds, what else is remembered of
//! them, and their attempts in flight. Every method is one step that nothing can interleave with.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Tick;

use super::effect::{Effect, NotRecorded, PurgeCause};
use super::entries::{Entries, Failure, Forgiven, PEERS, SOURCE_BUCKETS};
use super::exchange::Merged;
use super::fact::{Fact, FailureFact, NameFacts, Stamp};
use super::flight::{Flights, Lease, Release};
use super::guard::Decision;
use super::join::Cover;
use super::key::{Credential, Digest, NameKey};
use super::life::{Lives, Past};
use super::memory::{Joined, Memory};
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
    pub(super) last_good: bool,
    /// A purge or a success that is known under that key makes the verdict worthless.
    late: bool,
}

/// That a password is wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wrong<'a> {
    pub(super) verdict: &'a Arc<Verdict>,
    /// Whether it is not to be believed for long.
    pub(super) short: bool,
    pub(super) stamp: Stamp,
    pub(super) lives: &'a Lives,
}

/// What came of a right password.
#[derive(Clone, Copy, Debug)]
pub(super) struct Right {
    /// Whether a failure of it lived.
    pub(super) removed: bool,
    /// Whether peers must hear of it.
    pub(super) told: bool,
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

    /// Lets the waiters of `lease` go, each with the failing verdict.
    pub(super) fn release(&mut self, lease: &Lease, verdict: &Arc<Verdict>) -> Vec<(W, Release)> {
        let Some(flight) = self.flights.land(lease) else { return Vec::new() };
        let answer = |(waiter, _)| (waiter, Release::Answer(Arc::clone(verdict)));
        flight.waiters.into_iter().map(answer).collect()
    }

    /// Lets the waiters of `lease` go after a success, each with its own bind.
    pub(super) fn release_to_bind(&mut self, lease: &Lease, now: Tick) -> Vec<(W, Release)> {
        let Some(flight) = self.flights.land(lease) else { return Vec::new() };
        let forward = |(waiter, source)| {
            let lease = Lease { credential: lease.credential, source, sent_at: now, flight: None };
            (waiter, Release::Forward(lease))
        };
        flight.waiters.into_iter().map(forward).collect()
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
    pub(super) fn learn(&mut self, lease: &Lease, wrong: &Wrong<'_>, inherited: Inherited, now: Tick) -> Vec<Effect> {
        let Credential { name, digest, previous: _ } = lease.credential;
        let &Wrong { verdict, short, stamp, lives } = wrong;
        if inherited.late || self.memory.is_late(&name, &digest, lease.sent_at) {
            return vec![Effect::NotRecorded { name, reason: NotRecorded::Late }];
        }
        let stored = self.entries.stored(&name, &digest, lives.max_ttl, now);
        if stored.is_some_and(|stored| stored.live) {
            // Another attempt with the same password was in flight and told already.
            return Vec::new();
        }
        if stored.is_some_and(|stored| stored.stamp >= stamp) {
            return vec![Effect::NotRecorded { name, reason: NotRecorded::Late }];
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
        let expires = now.after(life);
        if !self.entries.record(&Failure { name, digest, verdict, stamp, since: now, expires, level, source }, now) {
            return vec![Effect::NotRecorded { name, reason: NotRecorded::NoCapacity }];
        }
        let verdict = Arc::clone(verdict);
        let mut effects = vec![Effect::Learned { name, digest, stamp, verdict, life, level }];
        if last_good {
            self.memory.last_good_failed(&name, lease.sent_at);
            effects.push(if self.memory.may_purge_others(&name, lives.ttl, now) {
                self.purge_others(&name, &digest, lease.sent_at, lives)
            } else {
                Effect::LastGoodEnded { name }
            });
        }
        effects
    }

    /// Gives the name's other passwords another chance, because the last good one failed in an
    /// attempt that was sent at `sent`: what began later was asked after the password was changed.
    pub(super) fn purge_others(&mut self, name: &NameKey, digest: &Digest, sent: Tick, lives: &Lives) -> Effect {
        self.memory.others_purged(name, *digest, Past::at(sent));
        let forgiven = self.forgive(name);
        Effect::Purged {
            name: Some(*name),
            except: Some(*digest),
            cause: PurgeCause::LastGoodFailed,
            removed: forgiven.purged + forgiven.ended,
            life: lives.max_ttl,
        }
    }

    /// Does to the name's failures and flights what is known of it.
    pub(super) fn forgive(&mut self, name: &NameKey) -> Forgiven {
        let Self { entries, memory, flights } = self;
        // Of a password that was right meanwhile, the attempt under way may as well be joined.
        flights.close(Some(name), |digest, sent| memory.is_purged(name, digest, sent));
        entries.forgive(name, |digest, sent| memory.cover(name, digest, sent))
    }

    /// Learns that a password was right in an attempt that was sent at `sent`.
    pub(super) fn right(&mut self, name: &NameKey, digest: &Digest, sent: Tick, lives: &Lives, now: Tick) -> Right {
        if self.memory.is_purged(name, digest, sent) {
            // A success that a password change overtook is the old password's: what failed since, fails.
            return Right { removed: false, told: false };
        }
        let stored = self.entries.stored(name, digest, lives.max_ttl, now);
        self.entries.remove(name, digest);
        // A failure by a clock ahead of this one is forgiven as well.
        let at = stored.map_or(now, |stored| stored.stamp.at().max(now));
        let told = self.memory.succeeded(name, *digest, stored.is_some(), lives.ttl, at);
        if told {
            // What was known of a third password may have become a purge.
            self.entries.forgive(name, |digest, sent| self.memory.cover(name, digest, sent));
        }
        Right { removed: stored.is_some_and(|stored| stored.live), told }
    }

    /// Gives up what is known of a digest under the previous key, for what will be known of it
    /// under the current one.
    pub(super) fn give_up(
        &mut self,
        name: &NameKey,
        digest: &Digest,
        sent_at: Tick,
        wrong: &Wrong<'_>,
        now: Tick,
    ) -> Inherited {
        let stored = self.entries.stored(name, digest, wrong.lives.max_ttl, now);
        let overtaken = stored.is_some_and(|stored| !stored.live && stored.stamp >= wrong.stamp);
        if overtaken || self.memory.is_late(name, digest, sent_at) {
            return Inherited { late: true, ..Inherited::default() };
        }
        self.entries.remove(name, digest);
        let last_good = self.memory.is_last_good(name, digest);
        if last_good {
            self.memory.last_good_failed(name, sent_at);
        }
        Inherited { level: stored.map(|stored| stored.level), last_good, late: false }
    }

    /// Forgets the name's failures. Verdicts of attempts sent until `until` will not be recorded,
    /// and nobody joins those attempts any more.
    pub(super) fn purge(&mut self, name: &NameKey, password_changed: bool, until: Tick) -> usize {
        let (removed, latest) = self.entries.remove_name(name);
        self.memory.purged(name, Past::at(until.max(latest.at())), password_changed);
        self.forgive(name);
        removed
    }

    /// Forgets every failure up to then, in the same way.
    pub(super) fn purge_all(&mut self, until: Past) -> usize {
        self.memory.purged_all(until);
        self.flights.close(None, |_, sent| until.covers(sent));
        self.entries.remove_until(until)
    }

    /// Learns of a failure from a peer.
    pub(super) fn merge_failure(&mut self, fact: &FailureFact, lives: &Lives, now: Tick) -> Merged {
        let FailureFact { name, digest, stamp, expires, level, verdict } = fact;
        let known = |newer| Merged { newer, ..Merged::default() };
        let sent = stamp.at();
        if self.memory.flushed_all().covers(sent) {
            return known(Some(Fact::FlushedAll(self.memory.flushed_all())));
        }
        let cover = self.memory.cover(name, digest, sent);
        if matches!(cover, Cover::Purged | Cover::Right) {
            return known(self.memory.tell(name).map(Fact::Name));
        }
        if self.memory.is_beyond(sent) {
            return known(None);
        }
        let ended = match cover {
            Cover::Ended(tick) => Some(tick),
            Cover::Open | Cover::Purged | Cover::Right => None,
        };
        let newer = ended.and_then(|_| self.memory.tell(name)).map(Fact::Name);
        let stored = self.entries.stored(name, digest, lives.max_ttl, now).map(|stored| stored.stamp);
        if let Some(stored) = stored.filter(|stored| stored >= stamp) {
            let fact = || self.entries.fact(name, digest, lives.max_ttl, now).map(Fact::Failure);
            return known(newer.or_else(|| if stored > *stamp { fact() } else { None }));
        }
        let expires = (*expires).min(now.after(lives.max_ttl)).min(ended.unwrap_or(*expires));
        let failure = Failure {
            name: *name,
            digest: *digest,
            verdict,
            stamp: *stamp,
            since: sent,
            expires,
            level: *level,
            source: PEERS,
        };
        if expires.after(lives.max_ttl) <= now || !self.entries.record(&failure, now) {
            return known(newer);
        }
        let learned = Effect::Learned {
            name: *name,
            digest: *digest,
            stamp: *stamp,
            verdict: Arc::clone(verdict),
            life: now.until(expires),
            level: *level,
        };
        Merged { changed: true, effects: if expires > now { vec![learned] } else { Vec::new() }, newer }
    }

    /// Learns what a peer knows of a name.
    pub(super) fn merge_name(&mut self, facts: &NameFacts, lives: &Lives) -> Merged {
        let name = facts.name;
        let Some(Joined { before, after }) = self.memory.join(facts) else { return Merged::default() };
        let newer = (after != *facts).then_some(Fact::Name(after));
        if after == before {
            return Merged { newer, ..Merged::default() };
        }
        let life = lives.max_ttl;
        let Forgiven { purged, ended, right } = self.forgive(&name);
        let mut effects: Vec<Effect> = right
            .into_iter()
            .map(|digest| Effect::Succeeded { name, digest, removed: true, told: false, life })
            .collect();
        if purged > 0 {
            let changed = after.last_good_ended > before.last_good_ended;
            let cause = if changed { PurgeCause::PasswordChanged } else { PurgeCause::Flush };
            effects.push(Effect::Purged { name: Some(name), except: None, cause, removed: purged, life });
        }
        if ended > 0 {
            let (except, cause) = (Some(after.others_except), PurgeCause::LastGoodFailed);
            effects.push(Effect::Purged { name: Some(name), except, cause, removed: ended, life });
        }
        Merged { changed: true, effects, newer }
    }

    /// Drops all failures and takes every purge for one of `now`. Returns how many lived.
    pub(super) fn leap(&mut self, now: Tick) -> usize {
        self.memory.restamp(now);
        self.flights.close(None, |_, _| true);
        self.flights.restamp(now);
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
