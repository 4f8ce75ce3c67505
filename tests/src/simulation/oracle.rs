//! What the pod must believe, written down a second time in the plainest way, and what the
//! directory saw. Whoever changes a rule has to change it in two places.

use std::collections::HashMap;
use std::time::Duration;

use bindproxy::bind::Class;
use bindproxy::clock::Tick;

use super::directory::Check;

/// A name and a password, by number.
pub(super) type Pair = (usize, u32);

#[derive(Clone, Copy, Debug)]
pub(super) struct Lives {
    pub(super) ttl: Duration,
    pub(super) max_ttl: Duration,
    pub(super) first_ttl: Duration,
}

impl Lives {
    pub(super) fn of(&self, failures_in_a_row: u32) -> Duration {
        (1..failures_in_a_row).fold(self.ttl, |life, _| (life * 2).min(self.max_ttl)).min(self.max_ttl)
    }
}

/// One attempt, as the pod let it go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) pair: Pair,
    pub(super) started: Tick,
    pub(super) shared: bool,
}

#[derive(Clone, Copy, Debug)]
struct Belief {
    refuse_until: Tick,
    failures: u32,
    /// The attempt that it comes from.
    started: Tick,
}

#[derive(Clone, Debug, Default)]
struct Name {
    last_good: Option<u32>,
    /// Attempts that began up to here are outdated.
    purged: Option<Tick>,
    /// Up to here all are but those with the last good password, which failed then.
    others_purged: Option<(Tick, u32)>,
    /// The last two passwords that were right, and when; the later one first.
    right: Vec<(u32, Tick)>,
    /// When the pod saw the last change of its password pass through.
    changed_through: Option<Tick>,
}

impl Name {
    fn is_purged(&self, password: u32, started: Tick) -> bool {
        self.purged.is_some_and(|purged| started <= purged)
            || self.others_purged.is_some_and(|(purged, except)| started <= purged && password != except)
    }
}

pub(super) struct Oracle {
    lives: Lives,
    beliefs: HashMap<Pair, Belief>,
    names: Vec<Name>,
    in_flight: HashMap<u64, Attempt>,
    /// How often the directory refused, for each pair.
    refused: HashMap<Pair, u64>,
    /// Names and pairs about which the count of attempts cannot be told from the lives alone.
    disturbed_names: Vec<bool>,
    disturbed: HashMap<Pair, ()>,
}

impl Oracle {
    pub(super) fn new(lives: Lives, names: usize) -> Self {
        Self {
            lives,
            beliefs: HashMap::new(),
            names: vec![Name::default(); names],
            in_flight: HashMap::new(),
            refused: HashMap::new(),
            disturbed_names: vec![false; names],
            disturbed: HashMap::new(),
        }
    }

    /// Until when this pair is to be refused without asking.
    pub(super) fn refuses(&self, pair: Pair, now: Tick) -> bool {
        self.beliefs.get(&pair).is_some_and(|belief| belief.refuse_until > now)
    }

    /// I1: an attempt may begin only if nothing is believed and nothing identical is under way.
    pub(super) fn begins(&mut self, id: u64, attempt: Attempt) -> Result<(), String> {
        let Attempt { pair, started, shared } = attempt;
        if shared {
            if self.refuses(pair, started) {
                return Err(format!("I1: {pair:?} goes upstream although it is known to be wrong"));
            }
            if let Some(other) = self.joinable(pair) {
                return Err(format!("I1: {pair:?} goes upstream beside {other:?}"));
            }
        }
        self.in_flight.insert(id, attempt);
        Ok(())
    }

    /// The attempt whose verdict an identical one may wait for.
    pub(super) fn joinable(&self, pair: Pair) -> Option<Attempt> {
        let name = &self.names[pair.0];
        let fresh =
            |attempt: &&Attempt| attempt.shared && attempt.pair == pair && !name.is_purged(pair.1, attempt.started);
        self.in_flight.values().find(fresh).copied()
    }

    pub(super) fn reached(&mut self, pair: Pair, check: Check) {
        if check != Check::Right {
            *self.refused.entry(pair).or_default() += 1;
        }
    }

    /// I3: 49 only for what the directory refused.
    pub(super) fn told_wrong(&self, pair: Pair) -> Result<(), String> {
        if self.refused.contains_key(&pair) {
            return Ok(());
        }
        Err(format!("I3: {pair:?} is told 49 though the directory never refused it"))
    }

    /// I2: a refusal from the store rests on an attempt that began after the last change that
    /// passed through, and ends with the life of that attempt's failure.
    pub(super) fn told_from_store(&self, pair: Pair, now: Tick) -> Result<(), String> {
        let Some(belief) = self.beliefs.get(&pair).filter(|belief| belief.refuse_until > now) else {
            return Err(format!("I2: {pair:?} is refused beyond the life of its failure"));
        };
        match self.names[pair.0].changed_through {
            Some(changed) if belief.started <= changed => {
                Err(format!("I2: {pair:?} is refused after a change that passed through"))
            }
            _ => self.told_wrong(pair),
        }
    }

    /// I2 for those who waited: the verdict is of an attempt that began no earlier than the last
    /// purge before they came.
    pub(super) fn told_as_waiter(&self, pair: Pair, parked: Tick, attempt: Attempt) -> Result<(), String> {
        match self.names[pair.0].changed_through {
            Some(changed) if changed <= parked && attempt.started < changed => {
                Err(format!("I2: {pair:?} waited after a change for a verdict from before it"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn faulted(&mut self, id: u64) {
        if let Some(attempt) = self.in_flight.remove(&id) {
            self.disturbed.insert(attempt.pair, ());
        }
    }

    /// Returns whether a last good password's failure purged the others.
    pub(super) fn settled(&mut self, id: u64, class: Class, now: Tick) -> bool {
        let Some(Attempt { pair, started, .. }) = self.in_flight.remove(&id) else { return false };
        let purged = self.names[pair.0].is_purged(pair.1, started);
        match class {
            Class::NotAboutPassword => {
                self.disturbed.insert(pair, ());
                false
            }
            Class::PasswordWasRight => {
                self.beliefs.remove(&pair);
                false
            }
            Class::Success => {
                let forgives = self.remembered(pair, now).is_some();
                self.disturbed.insert(pair, ());
                if !purged {
                    self.beliefs.remove(&pair);
                    self.was_right(pair, forgives, now);
                }
                false
            }
            Class::WrongPassword | Class::WrongPasswordShort => {
                let right = &self.names[pair.0].right;
                let since_right = right.iter().any(|&(password, at)| password == pair.1 && started <= at);
                let overtaken = self.remembered(pair, now).is_some_and(|belief| started <= belief.started);
                if purged || since_right || overtaken || self.refuses(pair, now) {
                    return false;
                }
                self.failed(pair, started, class == Class::WrongPasswordShort, now)
            }
        }
    }

    fn failed(&mut self, pair: Pair, started: Tick, short: bool, now: Tick) -> bool {
        let Lives { ttl, max_ttl: _, first_ttl } = self.lives;
        let remembered = self.remembered(pair, now);
        let was_good = self.names[pair.0].last_good == Some(pair.1);
        let failures = match remembered {
            _ if was_good => 0,
            Some(belief) => belief.failures + u32::from(!short),
            None => u32::from(!short),
        };
        let life = if short || was_good { first_ttl } else { self.lives.of(failures) };
        self.beliefs.insert(pair, Belief { refuse_until: now.after(life), failures, started });
        let name = &mut self.names[pair.0];
        if !was_good {
            return false;
        }
        name.last_good = None;
        if name.others_purged.is_some_and(|(at, _)| now < at.after(ttl)) {
            return false;
        }
        let earlier = name.others_purged.replace((started, pair.1));
        if let Some((at, _)) = earlier.filter(|&(_, except)| except != pair.1) {
            // Only one exception is remembered.
            self.purge_until(pair.0, at);
        }
        self.disturbed_names[pair.0] = true;
        for ((_, _), belief) in
            self.beliefs.iter_mut().filter(|((name, password), _)| *name == pair.0 && *password != pair.1)
        {
            // What began after the attempt that failed was asked after the change.
            if belief.started <= started {
                belief.refuse_until = belief.refuse_until.min(started);
            }
        }
        true
    }

    fn remembered(&self, pair: Pair, now: Tick) -> Option<&Belief> {
        self.beliefs.get(&pair).filter(|belief| now < belief.refuse_until.after(self.lives.max_ttl))
    }

    fn was_right(&mut self, pair: Pair, forgives: bool, now: Tick) {
        let name = &mut self.names[pair.0];
        let is_third = name.right.len() == 2 && name.right.iter().all(|&(password, _)| password != pair.1);
        if let (true, Some(&(_, earlier))) = (is_third, name.right.last()) {
            let purged = name.purged.is_some_and(|purged| earlier <= purged);
            if !forgives && now < earlier.after(self.lives.ttl) && !purged {
                // More than two right passwords in use at once.
                return;
            }
            self.purge_until(pair.0, earlier);
        }
        let name = &mut self.names[pair.0];
        name.right.retain(|&(password, _)| password != pair.1);
        name.right.insert(0, (pair.1, now));
        name.right.truncate(2);
        name.last_good = Some(pair.1);
    }

    fn purge_until(&mut self, name: usize, until: Tick) {
        self.beliefs.retain(|pair, belief| pair.0 != name || belief.started > until);
        let purged = &mut self.names[name].purged;
        *purged = Some(purged.map_or(until, |purged| purged.max(until)));
        self.disturbed_names[name] = true;
    }

    /// A change passed through.
    pub(super) fn changed_through(&mut self, name: usize, now: Tick) {
        self.beliefs.retain(|pair, _| pair.0 != name);
        self.disturbed_names[name] = true;
        let known = &mut self.names[name];
        known.purged = Some(now);
        known.changed_through = Some(now);
        known.last_good = None;
    }

    /// Somebody asked for it: failures are forgotten, the last good password is not.
    pub(super) fn flushed(&mut self, name: usize, now: Tick) {
        self.beliefs.retain(|pair, _| pair.0 != name);
        self.disturbed_names[name] = true;
        self.names[name].purged = Some(now);
    }

    /// I1 over the whole run, by the directory's own count: where nothing but time let a wrong
    /// password through, it came no oftener than the lives of its entries have room for.
    pub(super) fn totals(&self, duration: Duration) -> Result<(), String> {
        for (pair, &count) in &self.refused {
            if self.disturbed_names[pair.0] || self.disturbed.contains_key(pair) {
                continue;
            }
            let mut room = 0_u64;
            let mut spent = Duration::ZERO;
            while spent <= duration {
                room += 1;
                spent += self.lives.of(u32::try_from(room).unwrap_or(u32::MAX));
            }
            // A device that stays away for long is forgotten and starts from the first life.
            let forgotten = duration.as_millis() / (self.lives.ttl + self.lives.max_ttl).as_millis().max(1);
            if u128::from(count) > u128::from(room) * (1 + forgotten) {
                return Err(format!("I1: {pair:?} reached the directory {count} times, there is room for {room}"));
            }
        }
        if self.in_flight.is_empty() { Ok(()) } else { Err("attempts were never settled".into()) }
    }
}
