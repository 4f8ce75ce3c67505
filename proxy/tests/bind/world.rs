//! A guard, a clock and a directory that answers what the test says.

use std::time::Duration;

use bindproxy::bind::{
    Class, Decision, Effect, Guard, HashKey, Keys, Lease, Outcome, Policy, Release, Settled, Source, Verdict,
    VerdictRules,
};
use bindproxy::clock::Tick;
use bindproxy::codec::{build, frame};
use bindproxy::config::Verdicts;

pub(crate) const TTL: u64 = 900;
pub(crate) const MAX_TTL: u64 = 86_400;
pub(crate) const FIRST_TTL: u64 = 10;

pub(crate) const WRONG: &str = "";
pub(crate) const NO_SUCH_USER: &str =
    "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 525, v1db1";
pub(crate) const MUST_CHANGE: &str =
    "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 773, v1db1";
pub(crate) const LOCKED: &str =
    "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 775, v1db1";

pub(crate) fn verdict(code: u32, diagnostic: &str) -> Verdict {
    let bytes = build::bind_response(1, code, diagnostic);
    let peek = frame::peek(&bytes, 1 << 20).unwrap().unwrap();
    Verdict::from_response(&bytes, &peek).unwrap()
}

pub(crate) fn policy() -> Policy {
    Policy {
        ttl: Duration::from_secs(TTL),
        max_ttl: Duration::from_secs(MAX_TTL),
        first_ttl: Duration::from_secs(FIRST_TTL),
        forgiveness: Duration::ZERO,
        rules: VerdictRules::new(&Verdicts::default()),
        keys: Keys::new(&HashKey::from_bytes([1; 32]), None, true),
    }
}

pub(crate) fn host(number: u32) -> Source {
    Source::from(std::net::IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0A00_0000 + number)))
}

/// What `present` came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Cached,
    Upstream,
}

pub(crate) struct World {
    pub(crate) guard: Guard<u64>,
    pub(crate) now: Tick,
    waiters: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_capacity(10_000)
    }

    pub(crate) fn with_capacity(max_entries: u32) -> Self {
        Self { guard: Guard::new(max_entries, policy()), now: Tick(3_600_000), waiters: 0 }
    }

    /// The waiter of the last [`Decision::Wait`].
    pub(crate) fn last_waiter(&self) -> u64 {
        self.waiters
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
    }

    /// One millisecond, so that what comes next is after what came before.
    pub(crate) fn tick(&mut self) {
        self.now = Tick(self.now.0 + 1);
    }

    pub(crate) fn decide(&mut self, name: &str, password: &str) -> Decision {
        self.decide_from(name, password, host(1))
    }

    pub(crate) fn decide_from(&mut self, name: &str, password: &str, source: Source) -> Decision {
        let credential = self.guard.credential(name.as_bytes(), password.as_bytes());
        let waiter = self.waiters + 1;
        let decision = self.guard.decide(&credential, source, self.now, || waiter);
        if matches!(decision, Decision::Wait) {
            self.waiters = waiter;
        }
        decision
    }

    pub(crate) fn lead(&mut self, name: &str, password: &str) -> Lease {
        match self.decide(name, password) {
            Decision::Lead(lease) => lease,
            other => panic!("{name} {password}: {other:?} instead of a lease"),
        }
    }

    pub(crate) fn answer(&mut self, lease: Lease, code: u32, diagnostic: &str) -> Settled<u64> {
        self.guard.settle(lease, Outcome::Verdict(verdict(code, diagnostic)), self.now)
    }

    pub(crate) fn fault(&mut self, lease: Lease) -> Settled<u64> {
        self.guard.settle(lease, Outcome::Fault, self.now)
    }

    /// One bind from beginning to end, a millisecond after the last step; the directory gives
    /// this answer if it is asked.
    pub(crate) fn present(&mut self, name: &str, password: &str, code: u32, diagnostic: &str) -> Seen {
        self.tick();
        match self.decide(name, password) {
            Decision::Answer(_) => Seen::Cached,
            Decision::Wait => panic!("nothing is in flight"),
            Decision::Lead(lease) => {
                self.tick();
                let settled = self.answer(lease, code, diagnostic);
                assert!(settled.released.is_empty());
                Seen::Upstream
            }
        }
    }

    pub(crate) fn fail(&mut self, name: &str, password: &str) -> Seen {
        self.present(name, password, 49, WRONG)
    }

    pub(crate) fn succeed(&mut self, name: &str, password: &str) -> Seen {
        self.present(name, password, 0, "")
    }

    /// The life in seconds and the level of the entry that the answer made.
    pub(crate) fn learned(settled: &Settled<u64>) -> Option<(u64, u8)> {
        settled.effects.iter().find_map(|effect| match effect {
            Effect::Learned { life, level, .. } => Some((life.as_secs(), *level)),
            _ => None,
        })
    }

    /// Fails once and returns the life of the entry in seconds.
    pub(crate) fn life_after_failure(&mut self, name: &str, password: &str) -> u64 {
        self.tick();
        let lease = self.lead(name, password);
        self.tick();
        let settled = self.answer(lease, 49, WRONG);
        assert_eq!(settled.class, Some(Class::WrongPassword));
        Self::learned(&settled).expect("the failure is recorded").0
    }
}

/// The waiters that were let go, told apart by what they got.
pub(crate) fn released(settled: Settled<u64>) -> (Vec<u64>, Vec<(u64, Lease)>) {
    let (mut answered, mut forwarded) = (Vec::new(), Vec::new());
    for (waiter, release) in settled.released {
        match release {
            Release::Answer(_) => answered.push(waiter),
            Release::Forward(lease) => forwarded.push((waiter, lease)),
        }
    }
    (answered, forwarded)
}
