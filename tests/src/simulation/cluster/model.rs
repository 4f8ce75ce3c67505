//! What the cluster must believe, written down a second time in the plainest way: who knows what, what
//! forgives what, and what the directory was asked and said. It sees attempts, verdicts and purges as the
//! sessions and administrators see them, never a message between nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use bindproxy::bind::Class;
use bindproxy::clock::Tick;

use super::super::directory::Check;
use super::super::oracle::{Lives, Pair};
use super::plan::{MILLISECOND, Micros, SECOND};

/// For so long after it was right, a password is presented to the directory without a lease.
const A_MOMENT: Micros = SECOND;

/// A run of a process: they are counted over all slots.
pub(super) type Run = u32;

/// One attempt that was let go to the directory.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) pair: Pair,
    pub(super) run: Run,
    /// When the owner was asked, or would have been.
    pub(super) asked: Micros,
    /// When it began, in virtual time and as its node's guard stamped it.
    pub(super) began: Micros,
    pub(super) tick: Tick,
    /// Whether identical ones must wait for it.
    pub(super) shared: bool,
    /// When its node learned what came of it.
    pub(super) ended: Option<Micros>,
    /// What the directory said, and the code that it was said with.
    pub(super) check: Option<Check>,
    pub(super) code: u32,
    /// What its node made of it.
    pub(super) belief: Option<Belief>,
    /// Whether nothing but the end of its life can make a node forget the failure.
    pub(super) certain: bool,
}

/// A failure that was recorded.
#[derive(Clone, Debug)]
pub(super) struct Belief {
    pub(super) life: Duration,
    /// The runs that must have it, and since when.
    pub(super) known: BTreeMap<Run, Micros>,
}

/// What a node did when an attempt was over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Noticed {
    /// It recorded a failure, with this life and level.
    pub(super) learned: Option<(Duration, u8)>,
    /// It recorded none because something had made it worthless.
    pub(super) late: bool,
    /// It took note of a success that was news.
    pub(super) told: bool,
}

/// Something that makes failures worthless whose attempts began no later.
#[derive(Clone, Debug)]
pub(super) struct Pardon {
    /// Of which name; of all without.
    pub(super) name: Option<usize>,
    /// Only of this password (it succeeded).
    pub(super) only: Option<u32>,
    /// Not of this password (it was the last good one and failed).
    pub(super) except: Option<u32>,
    pub(super) at: Micros,
    pub(super) tick: Tick,
    /// The runs that must know of it, and since when.
    pub(super) known: BTreeMap<Run, Micros>,
    pub(super) what: &'static str,
}

impl Pardon {
    fn concerns(&self, pair: Pair) -> bool {
        self.name.is_none_or(|name| name == pair.0)
            && self.only.is_none_or(|password| password == pair.1)
            && self.except != Some(pair.1)
    }

    /// Whether this forgives that attempt for certain.
    fn forgives(&self, attempt: &Attempt, forgiveness: Micros) -> bool {
        // An attempt that waited for its owner is stamped with the time when it began to wait.
        let purges = self.only.is_none() && self.except.is_none();
        let until = if purges { self.tick.0 + forgiveness / MILLISECOND } else { self.tick.0 };
        self.concerns(attempt.pair) && attempt.tick.0 <= until && attempt.began <= self.at
    }
}

/// Something that the runs tell each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FactId {
    Belief(u64),
    Pardon(u64),
}

/// What is allowed for between nodes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerance {
    /// How far clocks of nodes in touch may be apart, with the time that anything is on its way.
    pub(super) apart: Micros,
    /// How far ahead of its own clock a purge reaches.
    pub(super) forgiveness: Micros,
    /// Whether queues have room for all facts, so that an owner has every failure that it granted.
    pub(super) nothing_is_dropped: bool,
}

#[derive(Debug)]
pub(super) struct Model {
    lives: Lives,
    tolerance: Tolerance,
    attempts: BTreeMap<u64, Attempt>,
    /// The attempts of each pair, in order.
    of_pair: BTreeMap<Pair, Vec<u64>>,
    pardons: BTreeMap<u64, Pardon>,
    next_pardon: u64,
    /// The passwords that succeeded, for each name, the latest last.
    successes: BTreeMap<usize, Vec<u32>>,
}

impl Model {
    pub(super) fn new(lives: Lives, tolerance: Tolerance) -> Self {
        Self {
            lives,
            tolerance,
            attempts: BTreeMap::new(),
            of_pair: BTreeMap::new(),
            pardons: BTreeMap::new(),
            next_pardon: 0,
            successes: BTreeMap::new(),
        }
    }

    fn of(&self, pair: Pair) -> impl DoubleEndedIterator<Item = &Attempt> {
        self.of_pair.get(&pair).into_iter().flatten().filter_map(|id| self.attempts.get(id))
    }

    /// How much longer than its life an entry may be seen: what was on its way, and the drift of clocks.
    fn grace(&self, life: Micros) -> Micros {
        2 * self.tolerance.apart + life / 4000 + 2 * MILLISECOND
    }

    /// I1: whether an attempt may begin. `together` tells, for another run, since when both have stood in a
    /// cluster in which everybody sees everybody, so that one owner grants.
    pub(super) fn begins(
        &mut self,
        id: u64,
        attempt: Attempt,
        together: impl Fn(Run) -> Option<Micros>,
    ) -> Result<(), String> {
        let (pair, now) = (attempt.pair, attempt.began);
        for other in self.of(pair).filter(|_| attempt.shared).filter(|other| other.shared) {
            let since = if other.run == attempt.run { Some(0) } else { together(other.run) };
            let one_owner = since.is_some_and(|since| other.asked.min(attempt.asked) > since);
            if self.may_be_forgiven(other) {
                continue;
            }
            let unleased = || self.needs_no_lease(&attempt) || self.needs_no_lease(other);
            match (other.ended, &other.belief) {
                (None, _) if other.certain && one_owner && !unleased() => {
                    return Err(format!("I1: {pair:?} goes to the directory beside {other:?}"));
                }
                (Some(ended), Some(belief)) if other.certain => {
                    let life = micros(belief.life);
                    let lives = now + self.grace(life) < ended + life && !self.is_superseded(other, now);
                    let knows = || {
                        belief.known.contains_key(&attempt.run)
                            || (one_owner && self.tolerance.nothing_is_dropped && !unleased())
                    };
                    if lives && knows() {
                        return Err(format!(
                            "I1: {pair:?} goes to the directory from run {} though it is known to be wrong by {other:?}",
                            attempt.run
                        ));
                    }
                }
                _ => {}
            }
        }
        self.of_pair.entry(pair).or_default().push(id);
        self.attempts.insert(id, attempt);
        Ok(())
    }

    /// Whether a failure that began later, and counts instead, is over: one that was taken for the last good
    /// one's has a short life.
    fn is_superseded(&self, attempt: &Attempt, now: Micros) -> bool {
        self.of(attempt.pair).filter(|other| other.tick >= attempt.tick).any(|other| {
            match (&other.belief, other.ended) {
                (Some(belief), Some(ended)) => ended + micros(belief.life) < now + self.grace(micros(belief.life)),
                _ => false,
            }
        })
    }

    /// Whether the password was right so shortly before, that an attempt may be let go without a lease.
    fn needs_no_lease(&self, attempt: &Attempt) -> bool {
        let moment = A_MOMENT + self.grace(A_MOMENT);
        let mut right = self.of(attempt.pair).filter(|other| other.check == Some(Check::Right));
        right.any(|other| other.ended.is_none_or(|ended| ended + moment > attempt.asked))
    }

    /// Whether anything may have made an attempt's failure worthless.
    fn may_be_forgiven(&self, attempt: &Attempt) -> bool {
        let reach = self.tolerance.forgiveness + self.tolerance.apart;
        self.pardons.values().filter(|pardon| pardon.concerns(attempt.pair)).any(|pardon| {
            attempt.tick <= Tick(pardon.tick.0 + reach / MILLISECOND + 1) || attempt.began <= pardon.at + reach
        })
    }

    pub(super) fn reached(&mut self, id: u64, check: Check, code: u32) {
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.check = Some(check);
            attempt.code = code;
        }
    }

    pub(super) fn attempt(&self, id: u64) -> Option<&Attempt> {
        self.attempts.get(&id)
    }

    /// What came of an attempt, as its node sees it. Returns what is known since.
    pub(super) fn ended(
        &mut self,
        id: u64,
        class: Option<Class>,
        noticed: Noticed,
        now: Micros,
        tick: Tick,
    ) -> Result<Option<FactId>, String> {
        let Noticed { learned, late, told } = noticed;
        let Some(attempt) = self.attempts.get_mut(&id) else { return Err("an attempt that never began ended".into()) };
        attempt.ended = Some(now);
        let attempt = attempt.clone();
        let Attempt { pair, run, .. } = attempt;
        match class {
            None | Some(Class::NotAboutPassword | Class::PasswordWasRight) => Ok(None),
            Some(Class::Success) if !told => {
                // It is the last good one still, or a change overtook it: nobody need know, but its own node may
                // have forgotten a failure.
                let (name, only) = (Some(pair.0), Some(pair.1));
                let known = BTreeMap::new();
                self.pardon(Pardon { name, only, except: None, at: now, tick, known, what: "a success" });
                Ok(None)
            }
            Some(Class::Success) => {
                let successes = self.successes.entry(pair.0).or_default();
                successes.retain(|&password| password != pair.1);
                successes.push(pair.1);
                // Two successes are remembered for each name; an older one forgives nothing any more.
                let forgotten = successes.len().checked_sub(3).map(|at| successes[at]);
                if let Some(forgotten) = forgotten {
                    self.pardons.retain(|_, pardon| {
                        pardon.name != Some(pair.0) || pardon.only.is_none_or(|only| only != forgotten)
                    });
                }
                Ok(Some(self.pardon(Pardon {
                    name: Some(pair.0),
                    only: Some(pair.1),
                    except: None,
                    at: now,
                    tick,
                    known: BTreeMap::from([(run, now)]),
                    what: "a success",
                })))
            }
            Some(Class::WrongPassword | Class::WrongPasswordShort) => {
                let Some((life, level)) = learned else {
                    return self.must_not_be_recorded(&attempt, late).map(|()| None);
                };
                let failures = self.of(pair).filter(|other| other.check.is_some_and(|check| check != Check::Right));
                let failures = u32::try_from(failures.count()).unwrap_or(u32::MAX);
                if u32::from(level) > failures || life > self.lives.of(failures) {
                    return Err(format!("{pair:?} is believed {life:?} at level {level} after {failures} failures"));
                }
                if let Some(attempt) = self.attempts.get_mut(&id) {
                    attempt.belief = Some(Belief { life, known: BTreeMap::from([(run, now)]) });
                }
                Ok(Some(FactId::Belief(id)))
            }
        }
    }

    /// A failure that was not recorded must be forgiven, or known already.
    fn must_not_be_recorded(&self, attempt: &Attempt, late: bool) -> Result<(), String> {
        // One that began later and was told already is the one that counts.
        let mut others = self.of(attempt.pair).filter(|other| other.belief.is_some());
        let may_be_late = !attempt.certain || self.may_be_forgiven(attempt);
        if late && !may_be_late && !others.any(|other| other.tick >= attempt.tick) {
            return Err(format!("nothing makes the verdict of {attempt:?} worthless, but it was not recorded"));
        }
        if !late && !self.of(attempt.pair).any(|other| other.belief.is_some()) {
            return Err(format!("the failure of {attempt:?} is recorded nowhere"));
        }
        Ok(())
    }

    pub(super) fn pardon(&mut self, pardon: Pardon) -> FactId {
        self.next_pardon += 1;
        self.pardons.insert(self.next_pardon, pardon);
        FactId::Pardon(self.next_pardon)
    }

    /// I3 and I2: whether a node may give this answer without asking.
    pub(super) fn told_from_store(&self, run: Run, pair: Pair, code: u32, now: Micros) -> Result<(), String> {
        let mut reasons = Vec::new();
        for attempt in self.of(pair).rev() {
            let Some(belief) = &attempt.belief else { continue };
            match self.supports(run, attempt, belief, code, now, now) {
                Ok(()) => return Ok(()),
                Err(reason) => reasons.push(format!("{attempt:?}: {reason}")),
            }
        }
        reasons.truncate(5);
        let last = self.of(pair).next_back();
        Err(format!("I2/I3: run {run} refuses {pair:?} from its store without a reason: {reasons:#?}, last {last:?}"))
    }

    fn supports(
        &self,
        run: Run,
        attempt: &Attempt,
        belief: &Belief,
        code: u32,
        now: Micros,
        known_before: Micros,
    ) -> Result<(), &'static str> {
        let Some(ended) = attempt.ended else { return Err("its attempt is not over") };
        let life = micros(belief.life);
        if attempt.check.is_none_or(|check| check == Check::Right) || attempt.code != code {
            return Err("the directory did not say that");
        }
        if now > ended + life + self.grace(life) {
            return Err("the life of its failure is over");
        }
        match self.forgiven_at(run, attempt, known_before) {
            Some(pardon) => Err(pardon.what),
            None => Ok(()),
        }
    }

    /// What forgives an attempt and was known to a run before.
    fn forgiven_at(&self, run: Run, attempt: &Attempt, before: Micros) -> Option<&Pardon> {
        let knows = |pardon: &&Pardon| pardon.known.get(&run).is_some_and(|&since| since <= before);
        let forgiveness = self.tolerance.forgiveness;
        self.pardons.values().filter(knows).find(|pardon| pardon.forgives(attempt, forgiveness))
    }

    /// The same for a bind that waited since `parked` for an identical one, of which the owner may have heard late
    /// because octets or a process were `held` up.
    pub(super) fn told_as_waiter(
        &self,
        run: Run,
        pair: Pair,
        code: u32,
        parked: Micros,
        held: Micros,
        now: Micros,
    ) -> Result<(), String> {
        if code == 0 {
            return Err(format!("a success of {pair:?} is shared"));
        }
        let supported = self.of(pair).any(|attempt| {
            let in_time = attempt.ended.is_some_and(|ended| ended + held + 2 * self.tolerance.apart >= parked);
            let said = attempt.check.is_some_and(|check| check != Check::Right) && attempt.code == code;
            // One that waits may have come after a success of the same password; the later answer counts.
            let before = parked.saturating_sub(1);
            in_time && said && self.forgiven_at(run, attempt, before).is_none_or(|pardon| pardon.only.is_some())
        });
        if supported { Ok(()) } else { self.told_from_store(run, pair, code, now) }
    }

    /// A run is told a fact, or must have been by now.
    pub(super) fn knows(&mut self, fact: FactId, run: Run, now: Micros) {
        match fact {
            FactId::Belief(id) => {
                if let Some(belief) = self.attempts.get_mut(&id).and_then(|attempt| attempt.belief.as_mut()) {
                    belief.known.entry(run).or_insert(now);
                }
            }
            FactId::Pardon(id) => {
                if let Some(pardon) = self.pardons.get_mut(&id) {
                    pardon.known.entry(run).or_insert(now);
                }
            }
        }
    }

    /// Two runs have compared since then: each knows what the other one knew at that time.
    pub(super) fn knows_all_of(&mut self, run: Run, other: Run, since: Micros, now: Micros) {
        let knew = |known: &BTreeMap<Run, Micros>| known.get(&other).is_some_and(|&at| at <= since);
        for pardon in self.pardons.values_mut().filter(|pardon| knew(&pardon.known)) {
            pardon.known.entry(run).or_insert(now);
        }
        // What ends soon is not compared.
        let long = |attempt: &&mut Attempt| match (attempt.ended, &attempt.belief) {
            (Some(ended), Some(belief)) => ended + micros(belief.life) > now + ENDS_SOON,
            _ => false,
        };
        let beliefs = self.attempts.values_mut().filter(long).filter_map(|attempt| attempt.belief.as_mut());
        for belief in beliefs.filter(|belief| knew(&belief.known)) {
            belief.known.entry(run).or_insert(now);
        }
    }

    /// A run has joined, and has everything that all of `others` had before it began.
    pub(super) fn knows_what_all_know(&mut self, run: Run, others: &[Run], before: Micros, now: Micros) {
        let all_know = |known: &BTreeMap<Run, Micros>| {
            others.iter().all(|other| known.get(other).is_some_and(|&since| since <= before))
        };
        for pardon in self.pardons.values_mut().filter(|pardon| all_know(&pardon.known)) {
            pardon.known.entry(run).or_insert(now);
        }
        let beliefs = self.attempts.values_mut().filter_map(|attempt| attempt.belief.as_mut());
        for belief in beliefs.filter(|belief| all_know(&belief.known)) {
            belief.known.entry(run).or_insert(now);
        }
    }

    /// The process that made an attempt is gone; what the directory says is lost.
    pub(super) fn abandoned(&mut self, id: u64, now: Micros) {
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.ended = Some(now);
        }
    }

    /// Whether the last failure that was recorded was another run's.
    pub(super) fn was_learned_elsewhere(&self, run: Run, pair: Pair) -> bool {
        self.of(pair).rev().find(|attempt| attempt.belief.is_some()).is_some_and(|attempt| attempt.run != run)
    }

    /// Clocks that had never met were brought together: failures of before may be forgotten anywhere.
    pub(super) fn clocks_jumped(&mut self) {
        for attempt in self.attempts.values_mut() {
            attempt.certain = false;
        }
    }

    /// Every attempt is over.
    pub(super) fn finish(&self, lives: impl Fn(Run) -> bool) -> Result<(), String> {
        match self.attempts.values().find(|attempt| attempt.ended.is_none() && lives(attempt.run)) {
            Some(attempt) => Err(format!("an attempt was never settled: {attempt:?}")),
            None => Ok(()),
        }
    }

    /// Every name and password that was ever presented to the directory.
    pub(super) fn pairs(&self) -> impl Iterator<Item = Pair> {
        self.of_pair.keys().copied()
    }
}

fn micros(duration: Duration) -> Micros {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Failures that live no longer are left out of comparisons.
const ENDS_SOON: Micros = 6 * SECOND;
/// How long a comparison may take to repair what push missed, once two nodes see each other again.
pub(super) const REPAIR: Micros = 5 * SECOND;
