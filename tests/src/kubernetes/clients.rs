//! LDAP clients that bind again and again, and a log of what became of each attempt.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::ldap::{Connection, Endpoint};
use crate::request;
use crate::wait::Stopwatch;

/// The port of a pod for the Service's 389.
pub const LDAP_PORT: u16 = 3389;
/// The port of a pod for the Service's 636.
pub const LDAPS_PORT: u16 = 3636;

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

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The server's answer.
    Code(u32),
    /// Notice of Disconnection with this code instead of an answer.
    Notice(u32),
    /// The connection ended before the answer.
    Ended,
    /// Nobody listens.
    Refused,
    /// No answer, or no connection, in time.
    TimedOut,
    /// Anything else.
    Other(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "result {code}"),
            Self::Notice(code) => write!(f, "notice of disconnection {code}"),
            Self::Ended => f.write_str("connection ended"),
            Self::Refused => f.write_str("connection refused"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Other(error) => f.write_str(error),
        }
    }
}

/// One attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// When it began, since the clients did.
    pub at: Duration,
    /// How long it took, with connecting where that was part of it, and with all tries.
    pub took: Duration,
    /// Where the last try went.
    pub target: SocketAddr,
    /// The name that was bound.
    pub name: String,
    /// Of the last try.
    pub outcome: Outcome,
    /// What became of the tries before that.
    pub before: Vec<Outcome>,
}

/// Every attempt, in the order in which they ended.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// The attempts.
    pub attempts: Vec<Attempt>,
}

impl Log {
    /// How many attempts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.attempts.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// Those that fit.
    #[must_use]
    pub fn filter(&self, fits: impl Fn(&Attempt) -> bool) -> Self {
        Self { attempts: self.attempts.iter().filter(|attempt| fits(attempt)).cloned().collect() }
    }

    /// Those with this name.
    #[must_use]
    pub fn of(&self, name: &str) -> Self {
        self.filter(|attempt| attempt.name == name)
    }

    /// Those that began in this span.
    #[must_use]
    pub fn between(&self, from: Duration, to: Duration) -> Self {
        self.filter(|attempt| (from..to).contains(&attempt.at))
    }

    /// Outcomes with how often each came.
    #[must_use]
    pub fn outcomes(&self) -> BTreeMap<Outcome, usize> {
        count(self.attempts.iter().map(|attempt| &attempt.outcome))
    }

    /// Attempts that ended with this result code.
    #[must_use]
    pub fn with_code(&self, code: u32) -> usize {
        self.attempts.iter().filter(|attempt| attempt.outcome == Outcome::Code(code)).count()
    }

    /// What became of tries that were made again, with how often each came.
    #[must_use]
    pub fn tries_before(&self) -> BTreeMap<Outcome, usize> {
        count(self.attempts.iter().flat_map(|attempt| &attempt.before))
    }

    /// Attempts that came to their answer only by a further try.
    #[must_use]
    pub fn retried(&self) -> usize {
        self.attempts.iter().filter(|attempt| !attempt.before.is_empty()).count()
    }

    /// Fails unless there are attempts and each ended with this result code. Earlier tries may have ended otherwise,
    /// though never with another code: that would have been the answer.
    pub fn expect_only(&self, code: u32) -> &Self {
        let strangers = self.filter(|attempt| attempt.outcome != Outcome::Code(code));
        assert!(!self.is_empty(), "no attempt was made");
        assert!(
            strangers.is_empty(),
            "not every attempt ended with result {code}: {self}\nfirst: {:?}",
            strangers.attempts[0]
        );
        self
    }

    /// The time that this share of the attempts took at most: `percentile(99.0)`.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Duration {
        let mut times: Vec<Duration> = self.attempts.iter().map(|attempt| attempt.took).collect();
        times.sort_unstable();
        assert!(!times.is_empty(), "no attempt was made");
        let rank = (percent / 100.0 * times.len() as f64).ceil() as usize;
        times[rank.clamp(1, times.len()) - 1]
    }

    /// The longest time between two neighbours among the attempts that ended with this code: for how long nobody got that
    /// answer.
    #[must_use]
    pub fn longest_gap(&self, code: u32) -> Duration {
        let mut ends: Vec<Duration> = self
            .attempts
            .iter()
            .filter(|attempt| attempt.outcome == Outcome::Code(code))
            .map(|attempt| attempt.at + attempt.took)
            .collect();
        ends.sort_unstable();
        ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} attempts", self.len())?;
        for (outcome, times) in self.outcomes() {
            write!(f, ", {times} x {outcome}")?;
        }
        let healed = self.tries_before();
        if !healed.is_empty() {
            write!(f, "; {} tried again after", self.retried())?;
            for (outcome, times) in healed {
                write!(f, " {times} x {outcome}")?;
            }
        }
        if !self.is_empty() {
            write!(f, "; p50 {:?}, p99 {:?}", self.percentile(50.0), self.percentile(99.0))?;
        }
        Ok(())
    }
}

fn count<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> BTreeMap<Outcome, usize> {
    let mut counted = BTreeMap::new();
    for outcome in outcomes {
        *counted.entry(outcome.clone()).or_insert(0) += 1;
    }
    counted
}

/// One bind on a connection of its own, without a panic.
#[must_use]
pub fn login(target: SocketAddr, name: &str, password: &str) -> Outcome {
    match connect(target) {
        Ok(mut connection) => bind(&mut connection, name, password),
        Err(outcome) => outcome,
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

fn connect(target: SocketAddr) -> Result<Connection, Outcome> {
    Endpoint::tcp(target).try_connect().map_err(|error| failed(&error))
}

fn bind(connection: &mut Connection, name: &str, password: &str) -> Outcome {
    let id = connection.next_id();
    if let Err(error) = connection.try_send(&request::message(id, &request::bind(name, password))) {
        return failed(&error);
    }
    match connection.try_frame() {
        Ok(Some(frame)) if frame.message_id() == id => Outcome::Code(frame.code()),
        Ok(Some(frame)) if frame.message_id() == 0 => Outcome::Notice(frame.code()),
        Ok(Some(frame)) => Outcome::Other(format!("an answer to something else: {frame:?}")),
        Ok(None) => Outcome::Ended,
        Err(error) => failed(&error),
    }
}

fn failed(error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Outcome::Refused,
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Outcome::TimedOut,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::UnexpectedEof => Outcome::Ended,
        _ => Outcome::Other(error.to_string()),
    }
}
