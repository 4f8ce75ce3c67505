//! The failed-bind cache as the shell sees it: ask before a bind is forwarded, tell what came of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};

use crate::clock::Tick;

use super::effect::{Effect, PurgeCause};
use super::explain::{Explanation, NameQuery};
use super::fact::{Origin, Stamp};
use super::flight::{Lease, Release};
use super::intern::Interner;
use super::key::{Credential, Keys, NameKey, NameKeys};
use super::life::{Lives, Past};
use super::memo::NameMemo;
use super::rules::{Class, VerdictRules};
use super::seal::NameSeal;
use super::shard::{Inherited, Right, SWEEP_BATCH, Shard, Wrong};
use super::source::Source;
use super::verdict::Verdict;

/// Shards of a store of any size that matters; a small one has fewer, so that its names spread.
const MAX_SHARDS: usize = 64;
/// A shard is not made for fewer entries than this.
const MIN_QUOTA: usize = 64;

/// What to pass to [`Guard::sweep`] once a second: a store of 30,000 entries is seen whole, one of a million in
/// half a minute. Nothing that is answered depends on it; an idle store should cost next to nothing.
pub const SWEEP_SLOTS: usize = 512;

/// What may change while the guard runs.
#[derive(Clone, Debug)]
pub struct Policy {
    /// First life of an entry.
    pub ttl: Duration,
    /// Ceiling of the doubling, and life of what must be remembered of purges.
    pub max_ttl: Duration,
    /// Life after the last good password failed once.
    pub first_ttl: Duration,
    /// How far ahead of the own clock a purge made here reaches: what members began whose clocks are
    /// ahead by a network delay is outdated by it, too.
    pub forgiveness: Duration,
    /// What answers mean.
    pub rules: VerdictRules,
    /// The hashing keys in force.
    pub keys: Keys,
}

impl Policy {
    pub(super) fn lives(&self) -> Lives {
        Lives { ttl: self.ttl, max_ttl: self.max_ttl, first_ttl: self.first_ttl }
    }
}

/// The decision about one bind.
#[derive(Debug)]
pub enum Decision {
    /// Give this answer; ask nobody.
    Answer(Arc<Verdict>),
    /// An identical attempt is on its way: the waiter gets a [`Release`].
    Wait,
    /// Forward the bind, and settle the lease with what comes of it.
    Lead(Lease),
}

/// What came of an attempt.
#[derive(Debug)]
pub enum Outcome {
    /// The directory's answer.
    Verdict(Verdict),
    /// No answer is known: nothing was sent, or the answer never came.
    Fault,
}

/// What settling a lease did.
#[derive(Debug)]
#[must_use = "waiters stay parked until they are told"]
pub struct Settled<W> {
    /// What the verdict said; none after a fault.
    pub class: Option<Class>,
    /// Who goes on now, and how.
    pub released: Vec<(W, Release)>,
    /// What was learned or forgotten.
    pub effects: Vec<Effect>,
}

/// What to flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushScope<'a> {
    /// Everything.
    All,
    /// One name, as a client presents it.
    Name(&'a [u8]),
    /// The names whose short form, as logs show it, is this.
    Short(u32),
}

/// What a flush did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// How many living entries went.
    pub removed: usize,
    /// The purges, for peers.
    pub effects: Vec<Effect>,
}

/// How full the store is, and what it had to give up. Counters count from the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries that answer, as far as the last sweep knows.
    pub live: usize,
    /// Expired entries that only remember how often they failed.
    pub dormant: usize,
    /// Hard bound on `live + dormant`.
    pub capacity: usize,
    /// Names of which something is remembered besides entries, bounded by `capacity` as well.
    pub names: usize,
    /// Attempts that others may wait for.
    pub in_flight: usize,
    /// Those who wait for one.
    pub waiting: usize,
    /// Different answers that entries share.
    pub verdicts: usize,
    /// Entries that had to make room.
    pub evicted: u64,
    /// Entries whose life was seen to have ended.
    pub expired: u64,
    /// Leases that were never settled: each one is a bug of the shell.
    pub leases_lost: u64,
}

/// The failed-bind cache. `W` is whatever lets the shell find a parked client again.
pub struct Guard<W> {
    pub(super) shards: Box<[Mutex<Shard<W>>]>,
    pub(super) policy: ArcSwap<Policy>,
    pub(super) verdicts: Mutex<Interner>,
    /// This member's [`Origin`] in the stamps of what it learns.
    origin: AtomicU32,
    by_previous: AtomicBool,
}

impl<W> Guard<W> {
    /// An empty store of at most `max_entries` failed binds. 0 stores nothing, but identical
    /// attempts still wait for each other.
    #[must_use]
    pub fn new(max_entries: u32, policy: Policy) -> Self {
        let wanted = (max_entries as usize / MIN_QUOTA).clamp(1, MAX_SHARDS);
        // A power of two, so that bits of the name's hash choose the shard.
        let count = 1 << wanted.ilog2();
        let quota = max_entries as usize / count;
        Self {
            shards: (0..count).map(|_| Mutex::new(Shard::new(quota))).collect(),
            policy: ArcSwap::from_pointee(policy),
            verdicts: Mutex::new(Interner::default()),
            origin: AtomicU32::new(0),
            by_previous: AtomicBool::new(false),
        }
    }

    /// Sets what tells this member's stamps from those of others. Before, it is the default one.
    pub fn set_origin(&self, origin: Origin) {
        self.origin.store(origin.bits(), Ordering::Relaxed);
    }

    fn origin(&self) -> Origin {
        Origin::new(u64::from(self.origin.load(Ordering::Relaxed)))
    }

    /// Replaces the policy. Entries keep the lives they have.
    pub fn set_policy(&self, policy: Policy) {
        self.policy.store(Arc::new(policy));
    }

    /// What tells the hashing keys in force from others ([`Keys::ids`]).
    #[must_use]
    pub fn key_ids(&self) -> (u64, Option<u64>) {
        self.policy.load().keys.ids()
    }

    /// Replaces the bound. What is over a lower one goes with the next sweeps. The number of shards
    /// stays, so a store that was made tiny and is to be huge is better made anew.
    pub fn set_max_entries(&self, max_entries: u32) {
        let quota = max_entries as usize / self.shards.len();
        for shard in &self.shards {
            shard.lock().set_quota(quota);
        }
    }

    /// As [`Self::credential`], with the hashes of names that a core saw a moment ago at hand.
    #[must_use]
    pub fn credential_with(&self, memo: &mut NameMemo, name: &[u8], password: &[u8]) -> Credential {
        self.in_order(self.policy.load().keys.credential_with(memo, name, password))
    }

    /// The hashes of one attempt under the current keys.
    #[must_use]
    pub fn credential(&self, name: &[u8], password: &[u8]) -> Credential {
        self.in_order(self.policy.load().keys.credential(name, password))
    }

    /// Whether new entries are hashed with the key before the last rotation, because some member does not
    /// have the current one yet: a purge of that member's would not reach them otherwise.
    pub fn set_by_previous(&self, by_previous: bool) {
        self.by_previous.store(by_previous, Ordering::Relaxed);
    }

    fn in_order(&self, credential: Credential) -> Credential {
        match credential.previous {
            Some((name, digest)) if self.by_previous.load(Ordering::Relaxed) => {
                Credential { name, digest, previous: Some((credential.name, credential.digest)) }
            }
            _ => credential,
        }
    }

    /// Decides about one attempt. `waiter` is called, under a lock, only for [`Decision::Wait`].
    pub fn decide(&self, credential: &Credential, source: Source, now: Tick, waiter: impl FnOnce() -> W) -> Decision {
        // `join` calls it at most once, and then decides.
        let mut waiter = Some(waiter);
        if let Some((name, digest)) = &credential.previous {
            // One lock after the other: an attempt that was let go under the previous key in the
            // very moment of a rotation may be doubled, once.
            if let Some(decision) = self.shard(name).join(name, digest, source, now, &mut waiter) {
                return decision;
            }
        }
        let mut shard = self.shard(&credential.name);
        let decision = shard.join(&credential.name, &credential.digest, source, now, &mut waiter);
        decision.unwrap_or_else(|| Decision::Lead(shard.flights.lead(*credential, source, now)))
    }

    /// Learns what came of an attempt, and lets go those who wait for it.
    pub fn settle(&self, lease: Lease, outcome: Outcome, now: Tick) -> Settled<W> {
        let verdict = match outcome {
            Outcome::Fault => {
                let released = self.fault(&lease, now);
                return Settled { class: None, released, effects: Vec::new() };
            }
            Outcome::Verdict(verdict) => Arc::new(verdict),
        };
        let policy = self.policy.load();
        let lives = policy.lives();
        let class = policy.rules.classify(&verdict);
        let Credential { name, digest, previous } = lease.credential;
        let (released, effects) = match class {
            Class::WrongPassword | Class::WrongPasswordShort => {
                return self.settle_wrong(&lease, class, &verdict, &lives, now);
            }
            Class::Success | Class::PasswordWasRight => {
                let effect = |name, digest, Right { removed, told }| match class {
                    Class::Success => Effect::Succeeded { name, digest, removed, told, life: lives.max_ttl },
                    _ => Effect::PasswordWasRight { name, digest, removed, told, life: lives.max_ttl },
                };
                let mut effects = Vec::new();
                if let Some((name, digest)) = previous {
                    let right = self.shard(&name).right(&name, &digest, lease.sent_at, &lives, now);
                    if right.removed || right.told {
                        effects.push(effect(name, digest, right));
                    }
                }
                let mut shard = self.shard(&name);
                let right = shard.right(&name, &digest, lease.sent_at, &lives, now);
                effects.push(effect(name, digest, right));
                let released = match class {
                    Class::Success => shard.release_to_bind(&lease, now),
                    _ => shard.release(&lease, &verdict),
                };
                (released, effects)
            }
            Class::NotAboutPassword => (self.shard(&name).release(&lease, &verdict), Vec::new()),
        };
        Settled { class: Some(class), released, effects }
    }

    fn settle_wrong(
        &self,
        lease: &Lease,
        class: Class,
        verdict: &Arc<Verdict>,
        lives: &Lives,
        now: Tick,
    ) -> Settled<W> {
        let Credential { name, digest: _, previous } = lease.credential;
        let stamp = Stamp::new(lease.sent_at, self.origin());
        let wrong = Wrong { verdict, short: class == Class::WrongPasswordShort, stamp, lives };
        let inherited = previous.map_or_else(Inherited::default, |(name, digest)| {
            self.shard(&name).give_up(&name, &digest, lease.sent_at, &wrong, now)
        });
        let interned = self.verdicts.lock().intern(verdict);
        let mut shard = self.shard(&name);
        let mut effects = match &interned {
            Err(reason) => vec![Effect::NotRecorded { name, reason: *reason }],
            Ok(verdict) => shard.learn(lease, &Wrong { verdict, ..wrong }, inherited, now),
        };
        let released = shard.release(lease, verdict);
        drop(shard);
        if let Some((name, digest)) = previous {
            if effects.iter().any(|effect| matches!(effect, Effect::Purged { .. })) {
                effects.push(self.shard(&name).purge_others(&name, &digest, lease.sent_at, lives));
            } else if inherited.last_good {
                effects.push(Effect::LastGoodEnded { name });
            }
        }
        Settled { class: Some(class), released, effects }
    }

    /// Lets those who wait go after a fault. Their answer may be known by now, under either key.
    pub(super) fn fault(&self, lease: &Lease, now: Tick) -> Vec<(W, Release)> {
        let previous = lease.credential.previous;
        let known = previous.and_then(|(name, digest)| self.shard(&name).entries.peek(&name, &digest, now));
        let mut shard = self.shard(&lease.credential.name);
        match known {
            Some(verdict) => shard.release(lease, &verdict),
            None => shard.fault(lease, now),
        }
    }

    /// The key of a name, as effects, logs and reports call it.
    #[must_use]
    pub fn name_key(&self, name: &[u8]) -> NameKey {
        self.name_keys(name).current
    }

    /// The keys of a name, while two generations are accepted.
    #[must_use]
    pub fn name_keys(&self, name: &[u8]) -> NameKeys {
        let NameKeys { current, previous } = self.policy.load().keys.name_keys(name);
        match previous {
            Some(previous) if self.by_previous.load(Ordering::Relaxed) => {
                NameKeys { current: previous, previous: Some(current) }
            }
            previous => NameKeys { current, previous },
        }
    }

    /// What hides names on their way to another member.
    #[must_use]
    pub fn name_seal(&self) -> NameSeal {
        self.policy.load().keys.name_seal()
    }

    /// A password change for `name`, or the end of a lock, was seen to succeed: whatever was
    /// wrong may be right from now on.
    pub fn password_changed(&self, name: &[u8], now: Tick) -> Vec<Effect> {
        self.purge(self.keys_of(name), PurgeCause::PasswordChanged, now).effects
    }

    /// Forgets failures because somebody asks for it.
    pub fn flush(&self, scope: FlushScope<'_>, now: Tick) -> Flushed {
        match scope {
            FlushScope::Name(name) => self.purge(self.keys_of(name), PurgeCause::Flush, now),
            FlushScope::Short(short) => {
                let found = self.shards[self.shard_of(short)].lock().entries.find_short(short);
                self.purge(found, PurgeCause::Flush, now)
            }
            FlushScope::All => {
                let policy = self.policy.load();
                let until = Past::at(now.after(policy.forgiveness));
                let removed = self.shards.iter().map(|shard| shard.lock().purge_all(until)).sum();
                let life = policy.max_ttl;
                let effect = Effect::Purged { name: None, except: None, cause: PurgeCause::Flush, removed, life };
                Flushed { removed, effects: vec![effect] }
            }
        }
    }

    fn keys_of(&self, name: &[u8]) -> impl Iterator<Item = NameKey> + use<W> {
        let NameKeys { current, previous } = self.name_keys(name);
        std::iter::once(current).chain(previous)
    }

    fn purge(&self, names: impl IntoIterator<Item = NameKey>, cause: PurgeCause, now: Tick) -> Flushed {
        let policy = self.policy.load();
        let until = now.after(policy.forgiveness);
        let mut flushed = Flushed { removed: 0, effects: Vec::new() };
        for name in names {
            let removed = self.shard(&name).purge(&name, cause == PurgeCause::PasswordChanged, until);
            flushed.removed += removed;
            flushed.effects.push(Effect::Purged {
                name: Some(name),
                except: None,
                cause,
                removed,
                life: policy.max_ttl,
            });
        }
        flushed
    }

    /// Frees what has expired: looks at `slots_per_shard` slots of every shard, a few at a time
    /// under its lock. Call it every second with [`SWEEP_SLOTS`].
    pub fn sweep(&self, now: Tick, slots_per_shard: usize) {
        let max_ttl = self.policy.load().max_ttl;
        for shard in &self.shards {
            let mut left = slots_per_shard;
            while left > 0 {
                let batch = left.min(SWEEP_BATCH);
                shard.lock().sweep(batch, max_ttl, now);
                left -= batch;
            }
        }
    }

    /// How full the store is.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats { verdicts: self.verdicts.lock().len(), ..Stats::default() };
        for shard in &self.shards {
            let shard = shard.lock();
            stats.live += shard.entries.live();
            stats.dormant += shard.entries.len() - shard.entries.live();
            stats.capacity += shard.entries.quota();
            stats.names += shard.memory.len();
            stats.in_flight += shard.flights.len();
            stats.waiting += shard.flights.waiting();
            stats.evicted += shard.entries.evicted();
            stats.expired += shard.entries.expired();
            stats.leases_lost += shard.flights.lost();
        }
        stats
    }

    /// What is known about a name; `None` when nothing is.
    #[must_use]
    pub fn explain(&self, query: NameQuery<'_>, now: Tick) -> Option<Explanation> {
        match query {
            NameQuery::Name(name) => {
                let keys: Vec<NameKey> = self.keys_of(name).collect();
                self.explain(NameQuery::Keys(&keys), now)
            }
            NameQuery::Keys(keys) => {
                keys.iter().filter_map(|key| self.explain_key(*key, now)).reduce(Explanation::merged)
            }
            NameQuery::Short(short) => {
                let name = self.shards[self.shard_of(short)].lock().entries.find_short(short)?;
                self.explain_key(name, now)
            }
        }
    }

    fn explain_key(&self, name: NameKey, now: Tick) -> Option<Explanation> {
        let shard = self.shard(&name);
        let explanation = Explanation {
            name,
            entries: shard.entries.explain(&name, now),
            last_good: shard.memory.last_good_at(&name).map(|at| now.since(at)),
            in_flight: shard.flights.in_flight(&name),
        };
        (!explanation.is_empty()).then_some(explanation)
    }

    pub(super) fn shard(&self, name: &NameKey) -> MutexGuard<'_, Shard<W>> {
        self.shards[self.shard_of(name.short())].lock()
    }

    fn shard_of(&self, short: u32) -> usize {
        short as usize & (self.shards.len() - 1)
    }
}

impl<W> std::fmt::Debug for Guard<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
