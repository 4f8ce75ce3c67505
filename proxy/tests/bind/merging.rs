//! Facts merge: in any order, any number of times, by any way.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bindproxy::bind::{
    Credential, Decision, Digest, Fact, FailureFact, Guard, Lease, NameFacts, NameKey, Origin, Outcome, Past, Release,
    Stamp, Success,
};
use bindproxy::clock::Tick;
use proptest::prelude::{Just, Strategy, TestCaseError, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::world::{FIRST_TTL, MAX_TTL, TTL, WRONG, host, policy, verdict};

const NOW: Tick = Tick(200_000_000);
/// Everything happens in these milliseconds before now, so that ties are frequent.
const SPAN: u64 = 12;

pub(super) fn name(number: u8) -> NameKey {
    NameKey([number; 16])
}

pub(super) fn digest(number: u8) -> Digest {
    Digest([number; 16])
}

fn past(at: Option<u64>) -> Past {
    at.map_or(Past::NEVER, |at| Past::at(Tick(NOW.0 - SPAN + at)))
}

/// What a stamp says about an attempt is the same wherever it is told.
fn failure(name_of: u8, password: u8, at: u64, origin: u64) -> Fact {
    let life = match (at + origin) % 4 {
        0 => -60_000,
        1 => 60_000,
        _ => TTL as i64 * 1000,
    };
    Fact::Failure(FailureFact {
        name: name(name_of),
        digest: digest(password),
        stamp: Stamp::new(Tick(NOW.0 - SPAN + at), Origin::new(origin)),
        expires: Tick(NOW.0.saturating_add_signed(life)),
        level: (at + 2 * origin) as u8,
        verdict: Arc::new(verdict(49, WRONG)),
    })
}

fn a_failure() -> impl Strategy<Value = Fact> {
    (0..2_u8, 1..5_u8, 0..SPAN, 0..2_u64).prop_map(|(name, password, at, origin)| failure(name, password, at, origin))
}

fn a_time() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![3 => Just(None), 2 => (0..SPAN).prop_map(Some)]
}

fn what_is_known() -> impl Strategy<Value = Fact> {
    let success = || (1..5_u8, a_time());
    (0..2_u8, success(), success(), a_time(), a_time(), a_time(), 1..5_u8).prop_map(
        |(number, first, second, purged, ended, others, except)| {
            let success = |(password, at): (u8, Option<u64>)| Success {
                digest: if at.is_some() { digest(password) } else { digest(0) },
                at: past(at),
            };
            let (first, mut second) = (success(first), success(second));
            if first.digest == second.digest {
                second = success((0, None));
            }
            let mut successes = [first, second];
            successes.sort_by_key(|success| std::cmp::Reverse((success.at, success.digest.0)));
            Fact::Name(NameFacts {
                name: name(number),
                successes,
                // Rarer than the rest, because there is nothing left to look at after one.
                purged: past(purged.filter(|at| at % 3 == 0)),
                last_good_ended: past(ended),
                others_purged: past(others),
                others_except: digest(if others.is_some() { except } else { 0 }),
            })
        },
    )
}

fn a_fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        12 => a_failure(),
        6 => what_is_known(),
        1 => (0..SPAN / 2).prop_map(|at| Fact::FlushedAll(past(Some(at)))),
    ]
}

fn facts_in_two_orders() -> impl Strategy<Value = (Vec<Fact>, Vec<Fact>)> {
    prop::collection::vec(a_fact(), 1..24).prop_flat_map(|facts| {
        let twice: Vec<Fact> = facts.iter().chain(facts.iter().step_by(2)).cloned().collect();
        (Just(facts), Just(twice).prop_shuffle())
    })
}

pub(super) fn empty() -> Guard<u64> {
    Guard::new(10_000, policy())
}

fn merged(facts: &[Fact]) -> Guard<u64> {
    let guard = empty();
    facts.iter().for_each(|fact| drop(guard.merge(fact, NOW)));
    guard
}

pub(super) fn everything(guard: &Guard<u64>, limit: usize, now: Tick) -> Vec<Fact> {
    let mut all = Vec::new();
    let mut cursor = Some(0);
    while let Some(at) = cursor {
        let part = guard.export(at, limit, now);
        assert!(part.facts.len() <= limit.max(2), "{} facts", part.facts.len());
        all.extend(part.facts);
        cursor = part.next;
    }
    all
}

/// How a failure shows: whose, of which password, its stamp, its level, and its end if it lives.
type Shown = ([u8; 16], [u8; 16], u64, u8, Option<Tick>);

fn failures(guard: &Guard<u64>, now: Tick) -> BTreeSet<Shown> {
    let failure = |fact: Fact| match fact {
        Fact::Failure(FailureFact { name, digest, stamp, expires, level, verdict: _ }) => {
            Some((name.0, digest.0, stamp.bits(), level, Some(expires).filter(|&expires| expires > now)))
        }
        Fact::Name(_) | Fact::FlushedAll(_) => None,
    };
    everything(guard, 7, now).into_iter().filter_map(failure).collect()
}

/// Whether `fact` makes a failure worthless, written down a second time.
fn forgives(fact: &Fact, name: &NameKey, password: &Digest, sent: Tick) -> bool {
    let reaches = |past: Past| past.tick().is_some_and(|tick| sent <= tick);
    match fact {
        Fact::Failure(_) => false,
        Fact::FlushedAll(until) => reaches(*until),
        Fact::Name(known) if known.name != *name => false,
        Fact::Name(known) => {
            reaches(known.purged)
                || known.successes.iter().any(|success| success.digest == *password && reaches(success.at))
                || (reaches(known.others_purged) && known.others_except != *password)
        }
    }
}

fn exchange(one: &Guard<u64>, other: &Guard<u64>, now: Tick) -> bool {
    let mut changed = false;
    for (from, to) in [(one, other), (other, one)] {
        for fact in everything(from, 5, now) {
            changed |= to.merge(&fact, now).changed;
        }
    }
    changed
}

fn same(one: &Guard<u64>, other: &Guard<u64>, now: Tick) -> Result<(), TestCaseError> {
    prop_assert_eq!(failures(one, now), failures(other, now));
    prop_assert_eq!(one.tree(now, now), other.tree(now, now));
    Ok(())
}

proptest! {
    #[test]
    fn order_and_repetition_do_not_matter((facts, shuffled) in facts_in_two_orders()) {
        let guard = merged(&facts);
        same(&guard, &merged(&shuffled), NOW)?;
        for fact in &shuffled {
            let again = guard.merge(fact, NOW);
            prop_assert!(!again.changed && again.effects.is_empty(), "{:?}", fact);
        }
    }

    #[test]
    fn what_is_forgiven_never_lives((facts, shuffled) in facts_in_two_orders()) {
        let guard = empty();
        for fact in &shuffled {
            let _ = guard.merge(fact, NOW);
        }
        let forgiven = |fact: &FailureFact| {
            facts.iter().any(|by| forgives(by, &fact.name, &fact.digest, fact.stamp.at()))
        };
        for fact in &facts {
            let Fact::Failure(fact) = fact else { continue };
            let decision = guard.decide(&Credential::of(fact.name, fact.digest), host(1), NOW, || 0);
            let stored = guard.failure(&fact.name, &fact.digest, NOW);
            if let Decision::Answer(_) = decision {
                let stored = stored.unwrap();
                prop_assert!(stored.expires > NOW && stored.stamp >= fact.stamp);
                prop_assert!(!forgiven(&stored), "{:?}", stored);
            } else if let Some(stored) = stored {
                prop_assert!(stored.expires <= NOW);
            } else {
                // Only the forgiveness of a fact can have swallowed the latest attempt, or what two
                // facts forgive together for want of room.
                let names = facts.iter().any(|fact| !matches!(fact, Fact::Failure(_)));
                prop_assert!(names, "{:?} is lost", fact);
            }
        }
    }

    #[test]
    fn guards_that_tell_each_other_everything_are_the_same(
        facts in prop::collection::vec((a_fact(), any::<bool>()), 1..24),
    ) {
        let part = |half| facts.iter().filter(|(_, to)| *to == half).map(|(fact, _)| fact.clone()).collect::<Vec<_>>();
        let (one, other) = (merged(&part(true)), merged(&part(false)));
        let all = merged(&facts.iter().map(|(fact, _)| fact.clone()).collect::<Vec<_>>());
        exchange(&one, &other, NOW);
        prop_assert!(!exchange(&one, &other, NOW));
        same(&one, &other, NOW)?;
        same(&one, &all, NOW)?;
    }

    #[test]
    fn whoever_tells_what_is_forgiven_hears_what_forgives_it(
        known in prop::collection::vec(a_fact(), 1..16), fact in a_fact(),
    ) {
        let guard = merged(&known);
        let sender = merged(std::slice::from_ref(&fact));
        let answer = guard.merge(&fact, NOW);
        if let Some(newer) = answer.newer {
            let _ = sender.merge(&newer, NOW);
            if let Fact::Failure(FailureFact { name, digest, stamp, .. }) = fact {
                let lives = |guard: &Guard<u64>| {
                    guard.failure(&name, &digest, NOW).is_some_and(|fact| fact.expires > NOW && fact.stamp == stamp)
                };
                prop_assert!(!lives(&guard) && !lives(&sender));
            }
        } else if let Fact::Failure(FailureFact { name, digest, stamp, expires, .. }) = fact {
            let stored = guard.failure(&name, &digest, NOW);
            prop_assert_eq!(stored.map(|fact| (fact.stamp, fact.expires)), Some((stamp, expires)));
        }
    }

    #[test]
    fn leaves_hold_what_the_tree_sums(
        facts in prop::collection::vec(a_fact(), 1..24), cut in 0..SPAN, leaf in 0..3_u8,
    ) {
        let guard = merged(&facts);
        let cut = Tick(NOW.0 - SPAN + cut);
        let tree = guard.tree(cut, NOW);
        let all: Vec<u16> = (0..=u16::MAX).collect();
        let mut sums: HashMap<u16, u64> = HashMap::new();
        for (leaf, fingerprint, fact) in guard.on_leaves(&all, cut, NOW) {
            let sum = sums.entry(leaf).or_default();
            *sum = sum.wrapping_add(fingerprint);
            // Another guard with this fact alone sums the same.
            prop_assert_eq!(merged(std::slice::from_ref(&fact)).tree(cut, NOW).leaf(leaf), fingerprint);
        }
        for leaf in all {
            prop_assert_eq!(tree.leaf(leaf), sums.get(&leaf).copied().unwrap_or(0));
        }
        let branches = (0..=u8::MAX).fold(0_u64, |sum, branch| sum.wrapping_add(tree.branch(branch)));
        prop_assert_eq!(tree.root(), branches);
        let leaf = u16::from_be_bytes([leaf, leaf]);
        let one = guard.on_leaves(&[leaf], cut, NOW);
        prop_assert!(one.iter().all(|(of, _, _)| *of == leaf));
        prop_assert_eq!(one.iter().fold(0_u64, |sum, (_, of, _)| sum.wrapping_add(*of)), tree.leaf(leaf));
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Present {
        at: usize,
        password: u8,
    },
    Settle {
        which: usize,
        code: u32,
    },
    Lost {
        which: usize,
    },
    Changed {
        at: usize,
    },
    /// One of the facts on its way arrives; any of them, so they overtake each other.
    Deliver {
        which: usize,
        again: bool,
    },
    Pass {
        milliseconds: u64,
    },
}

fn a_step() -> impl Strategy<Value = Step> {
    let pause = prop_oneof![3 => 0..3_u64, 1 => Just(FIRST_TTL * 1000), 1 => 1..2 * TTL * 1000];
    prop_oneof![
        8 => (0..2_usize, 0..4_u8).prop_map(|(at, password)| Step::Present { at, password }),
        8 => (any::<usize>(), prop_oneof![2 => Just(49), 1 => Just(0)])
            .prop_map(|(which, code)| Step::Settle { which, code }),
        1 => any::<usize>().prop_map(|which| Step::Lost { which }),
        1 => (0..2_usize).prop_map(|at| Step::Changed { at }),
        10 => (any::<usize>(), any::<bool>()).prop_map(|(which, again)| Step::Deliver { which, again }),
        6 => pause.prop_map(|milliseconds| Step::Pass { milliseconds }),
    ]
}

/// Two members with one name, and a network that delivers late, twice and in any order.
struct Pair {
    guards: [Guard<u64>; 2],
    now: Tick,
    /// What each member was told or said itself.
    known: [Vec<Fact>; 2],
    on_the_way: Vec<(usize, Fact)>,
    flying: Vec<(usize, Lease)>,
}

impl Pair {
    fn new() -> Self {
        let guards = [empty(), empty()];
        guards[1].set_origin(Origin::new(1));
        let (known, on_the_way, flying) = <_>::default();
        Self { guards, now: NOW, known, on_the_way, flying }
    }

    fn credential(&self, password: u8) -> Credential {
        self.guards[0].credential(b"cn=a", &[password])
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Present { at, password } => {
                let credential = self.credential(password);
                match self.guards[at].decide(&credential, host(1), self.now, || 0) {
                    Decision::Answer(_) => self.check_answer(at, &credential)?,
                    Decision::Wait => {}
                    Decision::Lead(lease) => self.flying.push((at, lease)),
                }
            }
            Step::Settle { .. } | Step::Lost { .. } if self.flying.is_empty() => {}
            Step::Settle { which, code } => {
                let (at, lease) = self.flying.swap_remove(which % self.flying.len());
                self.settle(at, lease, Outcome::Verdict(verdict(code, WRONG)));
            }
            Step::Lost { which } => {
                let (at, lease) = self.flying.swap_remove(which % self.flying.len());
                self.settle(at, lease, Outcome::Fault);
            }
            Step::Changed { at } => {
                let effects = self.guards[at].password_changed(b"cn=a", self.now);
                self.tell(at, &effects);
            }
            Step::Deliver { .. } if self.on_the_way.is_empty() => {}
            Step::Deliver { which, again } => {
                let which = which % self.on_the_way.len();
                let (to, fact) =
                    if again { self.on_the_way[which].clone() } else { self.on_the_way.swap_remove(which) };
                self.deliver(to, fact);
            }
            Step::Pass { milliseconds } => self.now = self.now.after(Duration::from_millis(milliseconds)),
        }
        Ok(())
    }

    fn settle(&mut self, at: usize, lease: Lease, outcome: Outcome) {
        let settled = self.guards[at].settle(lease, outcome, self.now);
        self.tell(at, &settled.effects);
        for (_, release) in settled.released {
            if let Release::Forward(lease) = release {
                self.flying.push((at, lease));
            }
        }
    }

    /// As the node does.
    fn tell(&mut self, at: usize, effects: &[bindproxy::bind::Effect]) {
        for effect in effects {
            let fact = match effect {
                bindproxy::bind::Effect::Learned { name, digest, .. } => {
                    self.guards[at].failure(name, digest, self.now).map(Fact::Failure)
                }
                effect => effect.name_to_tell().and_then(|name| self.guards[at].name_facts(&name)).map(Fact::Name),
            };
            if let Some(fact) = fact {
                self.known[at].push(fact.clone());
                self.on_the_way.push((1 - at, fact));
            }
        }
    }

    fn deliver(&mut self, to: usize, fact: Fact) {
        let answer = self.guards[to].merge(&fact, self.now);
        self.known[to].push(fact);
        if let Some(newer) = answer.newer {
            self.on_the_way.push((1 - to, newer));
        }
    }

    /// I2: nobody is refused by what a fact that this member has makes worthless.
    fn check_answer(&self, at: usize, credential: &Credential) -> Result<(), TestCaseError> {
        let Credential { name, digest, previous: _ } = credential;
        let Some(fact) = self.guards[at].failure(name, digest, self.now) else {
            return Err(TestCaseError::fail("an answer out of nothing"));
        };
        prop_assert!(fact.expires > self.now && fact.expires <= self.now.after(Duration::from_secs(MAX_TTL)));
        let by = self.known[at].iter().find(|by| forgives(by, name, digest, fact.stamp.at()));
        prop_assert!(by.is_none(), "{:?} is answered though {:?}", fact, by);
        Ok(())
    }
}

/// All that is compared, in an order of its own.
fn all_on_leaves(guard: &Guard<u64>, now: Tick) -> Vec<(u16, u64, Fact)> {
    let leaves: Vec<u16> = (0..=u16::MAX).collect();
    let mut all = guard.on_leaves(&leaves, now, now);
    all.sort_by_key(|(leaf, fingerprint, _)| (*leaf, *fingerprint));
    all
}

proptest! {
    #[test]
    fn two_members_never_answer_what_they_know_to_be_forgiven_and_agree_in_the_end(
        steps in prop::collection::vec(a_step(), 1..150),
    ) {
        let mut pair = Pair::new();
        for step in steps {
            pair.step(step)?;
        }
        while let Some((at, lease)) = pair.flying.pop() {
            pair.settle(at, lease, Outcome::Fault);
        }
        // What was told is enough: no comparison is needed.
        let mut deliveries = 0;
        while let Some((to, fact)) = pair.on_the_way.pop() {
            pair.deliver(to, fact);
            deliveries += 1;
            prop_assert!(deliveries < 1000, "they tell each other for ever");
        }
        let [one, other] = &pair.guards;
        prop_assert_eq!(all_on_leaves(one, pair.now), all_on_leaves(other, pair.now));
        prop_assert_eq!(one.tree(pair.now, pair.now).root(), other.tree(pair.now, pair.now).root());
        prop_assert!(one.stats().waiting + other.stats().waiting + one.stats().in_flight + other.stats().in_flight == 0);
    }
}
