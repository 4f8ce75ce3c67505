//! The same promises with real threads and real locks.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use bindproxy::bind::{Credential, Decision, Guard, Lease, Outcome, Release, Verdict};
use bindproxy::clock::Tick;

use super::world::{WRONG, host, policy, verdict};

const THREADS: u64 = 4;
const ROUNDS: u64 = 3000;
const NAMES: usize = 3;

struct Stage {
    guard: Guard<mpsc::Sender<Release>>,
    credentials: Vec<Credential>,
    /// Shared attempts under way, for each credential.
    in_flight: Vec<AtomicU32>,
    clock: AtomicU64,
    waited: AtomicU64,
    right: Verdict,
    wrong: Verdict,
}

impl Stage {
    /// Time passes with every step, so that entries expire while others look.
    fn now(&self) -> Tick {
        Tick(self.clock.fetch_add(60_000, Ordering::Relaxed))
    }

    fn bind(&self, which: usize, dice: u64) {
        let (sender, receiver) = mpsc::channel();
        match self.guard.decide(&self.credentials[which], host(1), self.now(), || sender) {
            Decision::Answer(_) => {}
            Decision::Lead(lease) => self.attempt(which, lease, dice),
            Decision::Wait => {
                self.waited.fetch_add(1, Ordering::Relaxed);
                match receiver.recv_timeout(Duration::from_secs(60)) {
                    Ok(Release::Answer(_)) => {}
                    Ok(Release::Forward(lease)) => self.attempt(which, lease, dice),
                    Err(error) => panic!("nobody lets the waiter go: {error}"),
                }
            }
        }
    }

    fn attempt(&self, which: usize, lease: Lease, dice: u64) {
        let shared = lease.is_shared();
        if shared {
            assert_eq!(self.in_flight[which].fetch_add(1, Ordering::SeqCst), 0, "two identical attempts in flight");
        }
        // Long enough for the other threads to find it in flight.
        std::thread::sleep(Duration::from_micros(100));
        let outcome = match dice % 4 {
            0 => Outcome::Fault,
            1 => Outcome::Verdict(self.right.clone()),
            _ => Outcome::Verdict(self.wrong.clone()),
        };
        if shared {
            self.in_flight[which].fetch_sub(1, Ordering::SeqCst);
        }
        for (waiter, release) in self.guard.settle(lease, outcome, self.now()).released {
            waiter.send(release).expect("the waiter is there");
        }
    }
}

#[test]
fn identical_attempts_of_many_threads_are_one_at_a_time_and_nobody_is_left_behind() {
    let guard = Guard::new(1000, policy());
    let credentials = (0..NAMES).map(|name| guard.credential(format!("cn={name}").as_bytes(), b"p")).collect();
    let stage = Stage {
        guard,
        credentials,
        in_flight: (0..NAMES).map(|_| AtomicU32::new(0)).collect(),
        clock: AtomicU64::new(3_600_000),
        waited: AtomicU64::new(0),
        right: verdict(0, ""),
        wrong: verdict(49, WRONG),
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let stage = &stage;
            scope.spawn(move || {
                let mut dice = thread + 1;
                for _ in 0..ROUNDS {
                    dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    stage.bind((dice >> 33) as usize % NAMES, dice >> 40);
                }
            });
        }
    });
    let waited = stage.waited.load(Ordering::Relaxed);
    assert!(waited > 20, "only {waited} had to wait: nothing was tested");
    let stats = stage.guard.stats();
    assert_eq!((stats.in_flight, stats.waiting), (0, 0));
    assert!(stats.live + stats.dormant <= NAMES);
}
