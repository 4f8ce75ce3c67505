//! LDAP clients that bind again and again: where, how often and with how much patience. What one bind is says `attempt.rs`,
//! what became of all of them `log.rs`.

mod attempt;
mod log;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::ldap::Connection;
use crate::wait::Stopwatch;

use self::attempt::{bind, connect};

pub use self::attempt::{LDAP_PORT, LDAPS_PORT, Outcome, login};
pub use self::log::{Attempt, Log};

/// How often one attempt is made at most when the connection ends under it: at once, or by a client with patience.
const MOST_TRIES: [u32; 2] = [5, 12];
/// Of a client with patience, from its first try to its second; the next pause is twice as long, up to the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(500)];

/// Clients under construction.
#[derive(Clone, Debug)]
pub struct Clients {
    targets: Vec<SocketAddr>,
    credentials: Vec<(String, String)>,
    count: usize,
    pause: Duration,
    keep: bool,
    retry: bool,
    patience: bool,
}

impl Clients {
    /// One client that binds with this name and password ten times a second, over one connection that it keeps, at the
    /// first of these addresses; the next client begins with the next address. A connection that ends is opened anew.
    #[must_use]
    pub fn at(targets: Vec<SocketAddr>, name: &str, password: &str) -> Self {
        assert!(!targets.is_empty(), "clients need an address");
        Self {
            targets,
            credentials: vec![(name.to_owned(), password.to_owned())],
            count: 1,
            pause: Duration::from_millis(100),
            keep: true,
            retry: false,
            patience: false,
        }
    }

    /// So many at once.
    #[must_use]
    pub fn count(mut self, count: usize) -> Self {
        self.count = count;
        self
    }

    /// Time from one attempt of a client to its next.
    #[must_use]
    pub fn every(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// So many attempts a second of all together.
    #[must_use]
    pub fn per_second(mut self, rate: u32) -> Self {
        self.pause = Duration::from_secs_f64(self.count as f64 / f64::from(rate));
        self
    }

    /// Further accounts: each attempt takes the next.
    #[must_use]
    pub fn also(mut self, name: &str, password: &str) -> Self {
        self.credentials.push((name.to_owned(), password.to_owned()));
        self
    }

    /// A new connection for each attempt, as a login has it.
    #[must_use]
    pub fn connecting_anew(mut self) -> Self {
        self.keep = false;
        self
    }

    /// An attempt whose connection ends (or is refused) is made again, at the next address; the log tells these apart.
    #[must_use]
    pub fn retrying(mut self) -> Self {
        self.retry = true;
        self
    }

    /// As [`Clients::retrying`], with growing pauses, for some seconds in all: until a Service knows that a pod crashed, it
    /// goes on sending connections there.
    #[must_use]
    pub fn patient(mut self) -> Self {
        self.patience = true;
        self.retrying()
    }

    /// Lets them begin.
    #[must_use]
    pub fn start(self) -> Running {
        let shared = Arc::new(Shared {
            watch: Stopwatch::start(),
            stop: AtomicBool::new(false),
            targets: RwLock::new(self.targets.clone()),
            attempts: Mutex::new(Vec::new()),
        });
        let threads = (0..self.count)
            .map(|number| {
                let (plan, shared) = (self.clone(), shared.clone());
                std::thread::Builder::new()
                    .name(format!("client-{number}"))
                    .stack_size(512 << 10)
                    .spawn(move || client(number, &plan, &shared))
                    .expect("start a client's thread")
            })
            .collect();
        Running { shared, threads }
    }

    /// Lets them begin, and stops them after this time.
    #[must_use]
    pub fn run_for(self, time: Duration) -> Log {
        let running = self.start();
        std::thread::sleep(time);
        running.stop()
    }
}

/// Clients at work. They stop when this is dropped.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    watch: Stopwatch,
    stop: AtomicBool,
    targets: RwLock<Vec<SocketAddr>>,
    attempts: Mutex<Vec<Attempt>>,
}

impl Running {
    /// Time since they began: the clock of the log.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.shared.watch.elapsed()
    }

    /// Where they connect from now on. Connections that are open stay.
    pub fn retarget(&self, targets: Vec<SocketAddr>) {
        assert!(!targets.is_empty(), "clients need an address");
        *self.shared.targets.write() = targets;
    }

    /// The log so far.
    #[must_use]
    pub fn log(&self) -> Log {
        Log { attempts: self.shared.attempts.lock().clone() }
    }

    /// Waits until so many attempts have been made.
    pub fn until(&self, attempts: usize) {
        crate::wait::until_true(&format!("{attempts} attempts"), Duration::from_secs(60), || {
            self.shared.attempts.lock().len() >= attempts
        });
    }

    /// Stops them, waits for the attempts under way, and returns the whole log.
    #[must_use]
    pub fn stop(mut self) -> Log {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a client's thread");
        }
        Log { attempts: std::mem::take(&mut self.shared.attempts.lock()) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn client(number: usize, plan: &Clients, shared: &Shared) {
    let mut connection: Option<(SocketAddr, Connection)> = None;
    // Spread over the pause, so that they do not all come in the same moment. The first attempt of each comes at once.
    let phase = plan.pause.mul_f64(number as f64 / plan.count as f64);
    let mut turn = number;
    for round in 0.. {
        if round > 0 {
            let due = phase + plan.pause * round;
            if !sleep_until(due, shared) {
                return;
            }
        } else if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let index = usize::try_from(round).unwrap_or_default() * plan.count + number;
        let (name, password) = &plan.credentials[index % plan.credentials.len()];
        let at = shared.watch.elapsed();
        let mut before = Vec::new();
        let (target, outcome) = loop {
            if !plan.keep && before.is_empty() {
                connection = None;
            }
            let (target, outcome) = attempt(&mut connection, &mut turn, shared, name, password);
            let tries = MOST_TRIES[usize::from(plan.patience)];
            if matches!(outcome, Outcome::Code(_)) || !plan.retry || before.len() as u32 + 1 >= tries {
                break (target, outcome);
            }
            if plan.patience {
                let [first, longest] = PAUSES;
                std::thread::sleep(longest.min(first * (1 << before.len())));
            }
            before.push(outcome);
        };
        let took = shared.watch.elapsed() - at;
        shared.attempts.lock().push(Attempt { at, took, target, name: name.clone(), outcome, before });
    }
}

/// False when the clients were stopped meanwhile.
fn sleep_until(due: Duration, shared: &Shared) -> bool {
    loop {
        if shared.stop.load(Ordering::Relaxed) {
            return false;
        }
        let left = due.saturating_sub(shared.watch.elapsed());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
}

fn attempt(
    connection: &mut Option<(SocketAddr, Connection)>,
    turn: &mut usize,
    shared: &Shared,
    name: &str,
    password: &str,
) -> (SocketAddr, Outcome) {
    if connection.is_none() {
        let target = {
            let targets = shared.targets.read();
            targets[*turn % targets.len()]
        };
        *turn += 1;
        match connect(target) {
            Ok(opened) => *connection = Some((target, opened)),
            Err(outcome) => return (target, outcome),
        }
    }
    let Some((target, open)) = connection.as_mut() else { unreachable!("it was just opened") };
    let (target, outcome) = (*target, bind(open, name, password));
    if !matches!(outcome, Outcome::Code(_)) {
        *connection = None;
    }
    (target, outcome)
}
