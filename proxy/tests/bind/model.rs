//! The store against a reference that is nothing but maps: any sequence of steps, any timing.

use std::collections::HashMap;
use std::time::Duration;

use bindproxy::bind::{Decision, FlushScope, Lease, NameQuery, Release};
use proptest::prelude::{Just, Strategy, TestCaseError, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::world::{FIRST_TTL, LOCKED, MAX_TTL, MUST_CHANGE, NO_SUCH_USER, TTL, WRONG, World, policy};

#[derive(Clone, Copy, Debug)]
enum Answer {
    Right,
    Wrong,
    NoSuchUser,
    MustChange,
    Locked,
    Fault,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Present {
        name: usize,
        password: usize,
    },
    /// Settles one of the attempts in flight.
    Settle {
        which: usize,
        answer: Answer,
    },
    PasswordChanged {
        name: usize,
    },
    Flush {
        name: usize,
    },
    FlushAll,
    Sweep,
    Pass {
        milliseconds: u64,
    },
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        3 => Just(Answer::Right),
        6 => Just(Answer::Wrong),
        1 => Just(Answer::NoSuchUser),
        1 => Just(Answer::MustChange),
        1 => Just(Answer::Locked),
        2 => Just(Answer::Fault),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let pause = prop_oneof![
        Just(0),
        Just(1),
        1..FIRST_TTL * 1000,
        Just(FIRST_TTL * 1000),
        Just(TTL * 1000),
        1..3 * TTL * 1000,
        Just(MAX_TTL * 1000)
    ];
    prop_oneof![
        8 => (0..2_usize, 0..3_usize).prop_map(|(name, password)| Step::Present { name, password }),
        8 => (any::<usize>(), answer()).prop_map(|(which, answer)| Step::Settle { which, answer }),
        1 => (0..2_usize).prop_map(|name| Step::PasswordChanged { name }),
        1 => (0..2_usize).prop_map(|name| Step::Flush { name }),
        1 => Just(Step::FlushAll),
        1 => Just(Step::Sweep),
        6 => pause.prop_map(|milliseconds| Step::Pass { milliseconds }),
    ]
}

type Pair = (usize, usize);

#[derive(Clone, Copy)]
struct Belief {
    until: u64,
    level: u32,
    /// When its attempt began.
    sent: u64,
}

#[derive(Default)]
struct Model {
    beliefs: HashMap<Pair, Belief>,
    last_good: HashMap<usize, usize>,
    purged: HashMap<usize, u64>,
    /// Up to when attempts are outdated, but for those with the password that failed then.
    others_purged: HashMap<usize, (u64, usize)>,
    /// The last two different passwords that succeeded, and when.
    succeeded: HashMap<usize, Vec<(usize, u64)>>,
}

impl Model {
    fn refuses(&self, pair: Pair, now: u64) -> bool {
        self.beliefs.get(&pair).is_some_and(|belief| now < belief.until)
    }

    fn purged_since(&self, (name, password): Pair, sent: u64) -> bool {
        let others = self.others_purged.get(&name);
        self.purged.get(&name).is_some_and(|&at| sent <= at)
            || others.is_some_and(|&(at, except)| sent <= at && password != except)
    }

    fn failed(&mut self, pair: Pair, sent: u64, short: bool, now: u64) {
        let (name, password) = pair;
        let good_since = self.succeeded.get(&name).and_then(|all| all.iter().find(|(other, _)| *other == password));
        if self.purged_since(pair, sent) || good_since.is_some_and(|&(_, at)| sent <= at) || self.refuses(pair, now) {
            return;
        }
        let remembered = self.beliefs.get(&pair).filter(|belief| now < belief.until + MAX_TTL * 1000);
        if remembered.is_some_and(|belief| sent <= belief.sent) {
            return;
        }
        let was_good = self.last_good.get(&name) == Some(&password);
        let level = match remembered {
            _ if was_good => 0,
            Some(belief) if short => belief.level,
            Some(belief) => belief.level + 1,
            None => u32::from(!short),
        };
        let life = match level {
            _ if short => FIRST_TTL,
            0 => FIRST_TTL,
            level => (TTL << (level - 1)).min(MAX_TTL),
        };
        self.beliefs.insert(pair, Belief { until: now + life * 1000, level, sent });
        if was_good {
            self.last_good.remove(&name);
            let last = self.others_purged.get(&name).copied();
            if last.is_none_or(|(at, _)| at + TTL * 1000 <= now) {
                if let Some((at, except)) = last
                    && except != password
                {
                    // Only one exception is remembered.
                    self.purge_until(name, at);
                }
                self.others_purged.insert(name, (sent, password));
                for (other, belief) in self.beliefs.iter_mut().filter(|(other, _)| other.0 == name) {
                    if *other != pair && belief.sent <= sent {
                        belief.until = belief.until.min(sent);
                    }
                }
            }
        }
    }

    fn purge_until(&mut self, name: usize, at: u64) {
        let purged = self.purged.entry(name).or_default();
        *purged = at.max(*purged);
        self.beliefs.retain(|pair, belief| pair.0 != name || belief.sent > at);
    }

    fn succeeded(&mut self, pair: Pair, sent: u64, now: u64) {
        let (name, password) = pair;
        if self.purged_since(pair, sent) {
            return;
        }
        let forgives = self.beliefs.remove(&pair).is_some_and(|belief| now < belief.until + MAX_TTL * 1000);
        let mut all = self.succeeded.get(&name).cloned().unwrap_or_default();
        let third = all.len() == 2 && all.iter().all(|&(other, _)| other != password);
        if third {
            let earlier = all[1].1;
            let recent = now < earlier + TTL * 1000;
            let purged = self.purged.get(&name).is_some_and(|&at| at >= earlier);
            if !forgives && recent && !purged {
                // More than two in use at once.
                return;
            }
        }
        all.retain(|(other, _)| *other != password);
        all.push((password, now));
        // Of two in the same millisecond it is as good as chance which is the later one.
        all.sort_by_key(|&(password, at)| std::cmp::Reverse((at, order(name, password))));
        if all.len() > 2 {
            all.truncate(3);
            self.purge_until(name, all[2].1);
            all.truncate(2);
        }
        self.last_good.insert(name, all[0].0);
        self.succeeded.insert(name, all);
    }

    /// What is known of a name is forgotten in the end, too, unless a password is good.
    fn sweep(&mut self, now: u64) {
        for name in 0..2 {
            let succeeded = self.succeeded.get(&name).and_then(|all| all.first()).map(|&(_, at)| at);
            let others = self.others_purged.get(&name).map(|&(at, _)| at);
            let touched = [succeeded, others, self.purged.get(&name).copied()].into_iter().flatten().max();
            if !self.last_good.contains_key(&name) && touched.is_none_or(|at| at + MAX_TTL * 1000 <= now) {
                self.succeeded.remove(&name);
                self.others_purged.remove(&name);
            }
        }
    }

    fn forget(&mut self, name: usize, now: u64) {
        self.beliefs.retain(|pair, _| pair.0 != name);
        self.purged.insert(name, now);
    }
}

struct Run {
    world: World,
    model: Model,
    flying: Vec<(Pair, Lease)>,
    waiting: HashMap<u64, Pair>,
}

impl Run {
    fn now(&self) -> u64 {
        self.world.now.0
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let now = self.now();
        match step {
            Step::Present { name, password } => self.present((name, password))?,
            Step::Settle { .. } if self.flying.is_empty() => {}
            Step::Settle { which, answer } => {
                let (pair, lease) = self.flying.swap_remove(which % self.flying.len());
                self.settle(pair, lease, answer)?;
            }
            Step::PasswordChanged { name } => {
                self.model.forget(name, now);
                self.model.last_good.remove(&name);
                self.world.guard.password_changed(text(name).as_bytes(), self.world.now);
            }
            Step::Flush { name } => {
                self.model.forget(name, now);
                self.world.guard.flush(FlushScope::Name(text(name).as_bytes()), self.world.now);
            }
            Step::FlushAll => {
                (0..2).for_each(|name| self.model.forget(name, now));
                self.world.guard.flush(FlushScope::All, self.world.now);
            }
            Step::Sweep => {
                self.model.sweep(now);
                self.world.guard.sweep(self.world.now, 4096);
            }
            Step::Pass { milliseconds } => {
                // Half an hour in flight is a lost lease; no attempt here is.
                if self.flying.is_empty() || milliseconds < 60_000 {
                    self.world.now = self.world.now.after(Duration::from_millis(milliseconds));
                }
            }
        }
        self.agree()
    }

    fn present(&mut self, pair: Pair) -> Result<(), TestCaseError> {
        let now = self.now();
        let joinable = |(other, lease): &&(Pair, Lease)| {
            *other == pair && lease.is_shared() && !self.model.purged_since(pair, lease.sent_at().0)
        };
        let joinable = self.flying.iter().find(joinable).is_some();
        let refused = self.model.refuses(pair, now);
        match self.world.decide(&text(pair.0), &text(pair.1)) {
            Decision::Answer(_) => prop_assert!(refused, "{pair:?} is refused"),
            Decision::Wait => {
                // An attempt that went on after a fault, in the tick of a purge, may be joined too.
                prop_assert!(!refused);
                prop_assert!(self.flying.iter().any(|(other, lease)| *other == pair && lease.is_shared()));
                let waiter = self.world.last_waiter();
                self.waiting.insert(waiter, pair);
            }
            Decision::Lead(lease) => {
                prop_assert!(!refused && !joinable, "{pair:?} is let through: {refused} {joinable}");
                self.flying.push((pair, lease));
            }
        }
        Ok(())
    }

    fn settle(&mut self, pair: Pair, lease: Lease, answer: Answer) -> Result<(), TestCaseError> {
        let (now, sent, shared) = (self.now(), lease.sent_at().0, lease.is_shared());
        let (code, words) = match answer {
            Answer::Right => (0, ""),
            Answer::Wrong => (49, WRONG),
            Answer::NoSuchUser => (49, NO_SUCH_USER),
            Answer::MustChange => (49, MUST_CHANGE),
            Answer::Locked => (49, LOCKED),
            Answer::Fault => (0, ""),
        };
        let settled = match answer {
            Answer::Fault => self.world.fault(lease),
            _ => self.world.answer(lease, code, words),
        };
        match answer {
            Answer::Right | Answer::MustChange => self.model.succeeded(pair, sent, now),
            Answer::Wrong => self.model.failed(pair, sent, false, now),
            Answer::NoSuchUser => self.model.failed(pair, sent, true, now),
            Answer::Locked | Answer::Fault => {}
        }
        prop_assert!(shared || settled.released.is_empty());
        let mut forwarded = 0;
        for (waiter, release) in settled.released {
            prop_assert_eq!(self.waiting.remove(&waiter), Some(pair));
            match (release, answer) {
                (Release::Answer(_), Answer::Right) => prop_assert!(false, "a success is shared"),
                (Release::Answer(_), Answer::Fault) => prop_assert!(self.model.refuses(pair, now)),
                (Release::Answer(verdict), _) => {
                    prop_assert_eq!((verdict.code(), verdict.diagnostic()), (code, words.as_bytes()))
                }
                (Release::Forward(lease), answer) => {
                    prop_assert!(matches!(answer, Answer::Right | Answer::Fault));
                    prop_assert_eq!(lease.is_shared(), matches!(answer, Answer::Fault));
                    prop_assert_eq!(lease.sent_at().0, now);
                    forwarded += 1;
                    self.flying.push((pair, lease));
                }
            }
        }
        prop_assert!(forwarded <= 1 || matches!(answer, Answer::Right));
        Ok(())
    }

    /// What the store tells about itself is what the reference knows.
    fn agree(&self) -> Result<(), TestCaseError> {
        let now = self.now();
        for name in 0..2 {
            let explained = self.world.guard.explain(NameQuery::Name(text(name).as_bytes()), self.world.now);
            let mut stored: Vec<(u64, u32)> = explained
                .iter()
                .flat_map(|explained| &explained.entries)
                .filter(|entry| !entry.remaining.is_zero())
                .map(|entry| (entry.remaining.as_millis() as u64, u32::from(entry.level)))
                .collect();
            let mut known: Vec<(u64, u32)> = (0..3)
                .filter_map(|password| self.model.beliefs.get(&(name, password)))
                .filter(|belief| belief.until > now)
                .map(|belief| (belief.until - now, belief.level))
                .collect();
            stored.sort_unstable();
            known.sort_unstable();
            prop_assert_eq!(stored, known, "name {}", name);
            let last_good = explained.and_then(|explained| explained.last_good);
            prop_assert_eq!(last_good.is_some(), self.model.last_good.contains_key(&name));
        }
        prop_assert_eq!(self.world.guard.stats().waiting, self.waiting.len());
        Ok(())
    }
}

fn order(name: usize, password: usize) -> [u8; 16] {
    policy().keys.credential(text(name).as_bytes(), text(password).as_bytes()).digest.0
}

fn text(number: usize) -> String {
    format!("cn={number}")
}

proptest! {
    #[test]
    fn any_sequence_of_steps_is_what_the_reference_says(steps in prop::collection::vec(step(), 1..120)) {
        let mut run = Run { world: World::new(), model: Model::default(), flying: Vec::new(), waiting: HashMap::new() };
        for step in steps {
            run.step(step)?;
        }
        // Whoever waits is let go in the end, however often the directory fails.
        while let Some((pair, lease)) = run.flying.pop() {
            run.settle(pair, lease, Answer::Fault)?;
        }
        prop_assert!(run.waiting.is_empty());
        prop_assert_eq!(run.world.guard.stats().in_flight, 0);
    }
}
