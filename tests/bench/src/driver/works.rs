//! The works that are measured, each with the figures that it is about.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::figure::{Figure, Target, Unit, number};
use super::rounds::{BEHIND, FRONT, Round, Subject, Window, load, rounds};
use super::running::Running;
use super::systems::{self, Behind, DEFAULT_ENTRIES, Front, USERS};
use super::yard::Yard;
use crate::canned::BindAnswer;
use crate::load::Outcome;

/// What all works need, and where they leave what they saw.
pub struct Bench {
    /// Files, ports and programs.
    pub yard: Yard,
    /// Rounds of every comparison.
    pub rounds: usize,
    /// Length of a window, seconds.
    pub secs: f64,
    /// The forwarder runs in the proxy's place.
    pub stand_in: bool,
    /// Lines of the table.
    pub figures: Vec<Figure>,
    /// Every window.
    pub windows: Vec<Window>,
    /// Remarks for below the table.
    pub notes: Vec<String>,
}

/// Resident memory is read so long after a system listens.
const SETTLE: Duration = Duration::from_millis(1000);

/// Connections that are held idle.
const IDLE_CONNECTIONS: u32 = 8_000;

const PROXY: &str = "bindproxy";

pub(super) fn cpu_of(group: &'static str) -> impl Fn(&Outcome) -> f64 {
    move |outcome| outcome.watched.get(group).map_or(f64::NAN, |watched| watched.cpu_micros)
}

pub(super) fn rate(outcome: &Outcome) -> f64 {
    outcome.operations_per_second
}

fn p50(outcome: &Outcome) -> f64 {
    outcome.p50_micros as f64
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

impl Bench {
    /// A failed bind that the proxy remembers, against a server that answers without looking.
    pub fn cached(&mut self) -> Result<()> {
        let directory = systems::canned(&self.yard, "directory", 1, false, BindAnswer::ByLastOctet)?;
        let limit = systems::canned(&self.yard, "canned", cores(), false, BindAnswer::Refuse)?;
        let limit_one_core = systems::canned(&self.yard, "canned-1", 1, false, BindAnswer::Refuse)?;
        let proxy = self.proxy(false, Behind { address: directory.address, tls: false })?;
        let subjects = [
            Subject { front: &limit, behind: None },
            Subject { front: &limit_one_core, behind: None },
            Subject { front: &proxy, behind: Some(&directory) },
        ];
        let seen = self.run("cached c32", &["--mode", "bad-bind", "--conns", "32"], &subjects)?;
        let ours = [PROXY, "canned"];
        self.ratio("cached c32", ("ops/s", Unit::Rate), Target::AtLeast(0.90), &seen, ours, rate);
        self.ratio("cached c32", ("CPU us", Unit::CpuTime), Target::AtMost(1.15), &seen, ours, cpu_of(FRONT));
        self.ratio("cached c32", ("CPU us", Unit::CpuTime), Target::Shown, &seen, [PROXY, "canned-1"], cpu_of(FRONT));
        self.asked_nobody("cached c32", &seen);
        let seen = self.run("cached c1", &["--mode", "bad-bind", "--conns", "1"], &subjects)?;
        self.ratio("cached c1", ("p50 us", Unit::Latency), Target::AtMost(1.2), &seen, ours, p50);
        self.ratio("cached c1", ("CPU us", Unit::CpuTime), Target::Shown, &seen, ours, cpu_of(FRONT));
        Ok(())
    }

    /// A search passed through one to one, with a directory that costs next to nothing.
    pub fn search(&mut self) -> Result<()> {
        let directory = systems::canned(&self.yard, "directory", 1, false, BindAnswer::Accept)?;
        let behind = Behind { address: directory.address, tls: false };
        let proxy = self.proxy(false, behind)?;
        let haproxy = systems::haproxy(&self.yard, false, behind)?;
        let nginx = systems::nginx(&self.yard, behind)?;
        let copy = systems::forwarder(&self.yard, behind)?;
        let subjects = [&proxy, &haproxy, &nginx, &copy].map(|front| Subject { front, behind: Some(&directory) });
        for (work, conns, depth) in
            [("search c32 d1", "32", "1"), ("search c32 d16", "32", "16"), ("search c8 d16", "8", "16")]
        {
            let seen = self.run(work, &["--mode", "search", "--conns", conns, "--depth", depth], &subjects)?;
            self.ratio(work, ("CPU us", Unit::CpuTime), Target::AtMost(1.0), &seen, [PROXY, "haproxy"], cpu_of(FRONT));
            self.ratio(work, ("ops/s", Unit::Rate), Target::Shown, &seen, [PROXY, "haproxy"], rate);
            self.ratio(work, ("CPU us", Unit::CpuTime), Target::Shown, &seen, [PROXY, "nginx"], cpu_of(FRONT));
            self.ratio(work, ("CPU us", Unit::CpuTime), Target::Shown, &seen, [PROXY, "copy"], cpu_of(FRONT));
        }
        Ok(())
    }

    /// Connect, bind, unbind over LDAPS: OpenLDAP directly, and through the proxy's pooled connections.
    pub fn login(&mut self) -> Result<()> {
        let slapd = systems::slapd(&self.yard)?;
        let behind = Behind { address: slapd.address, tls: true };
        let proxy = self.proxy(true, behind)?;
        let haproxy = systems::haproxy(&self.yard, true, behind)?;
        let limit = systems::canned(&self.yard, "canned-tls", 1, true, BindAnswer::Accept)?;
        let subjects = [
            Subject { front: &slapd, behind: None },
            Subject { front: &proxy, behind: Some(&slapd) },
            Subject { front: &haproxy, behind: Some(&slapd) },
            Subject { front: &limit, behind: None },
        ];
        let users = USERS.to_string();
        let arguments = ["--mode", "login", "--conns", "16", "--tls", "--users", users.as_str()];
        let seen = self.run("login ldaps", &arguments, &subjects)?;
        let direct = [PROXY, "slapd"];
        // For slapd asked directly the front is slapd itself.
        let slapd_cpu = |outcome: &Outcome| {
            outcome.watched.get(BEHIND).or(outcome.watched.get(FRONT)).map_or(f64::NAN, |watched| watched.cpu_micros)
        };
        let all_cpu = |outcome: &Outcome| outcome.watched.values().map(|watched| watched.cpu_micros).sum();
        self.ratio("login ldaps", ("logins/s", Unit::Rate), Target::AtLeast(1.6), &seen, direct, rate);
        self.ratio("login ldaps", ("slapd CPU us", Unit::CpuTime), Target::AtMost(0.2), &seen, direct, slapd_cpu);
        self.ratio("login ldaps", ("CPU us of all", Unit::CpuTime), Target::Shown, &seen, direct, all_cpu);
        self.ratio("login ldaps", ("logins/s", Unit::Rate), Target::Shown, &seen, [PROXY, "haproxy"], rate);
        self.ratio(
            "login ldaps",
            ("CPU us", Unit::CpuTime),
            Target::Shown,
            &seen,
            [PROXY, "canned-tls"],
            cpu_of(FRONT),
        );
        Ok(())
    }

    /// What a connection costs that does nothing.
    pub fn idle(&mut self) -> Result<()> {
        let directory = systems::canned(&self.yard, "directory", 1, false, BindAnswer::Accept)?;
        let behind = Behind { address: directory.address, tls: false };
        for (tls, what, wanted) in [(false, "plain", 2.0), (true, "TLS", 10.0)] {
            let proxy = self.proxy(tls, behind)?;
            thread::sleep(SETTLE);
            if !tls {
                let megabytes = proxy.resident_kb() as f64 / 1024.0;
                let seen = "one listener, one upstream, nobody connected".to_owned();
                self.figures.push(Figure::single("idle", "base RSS, MB", Target::AtMost(10.0), megabytes, seen));
            }
            self.held(&proxy, tls, &format!("{what} connection, KB, {PROXY}"), Target::AtMost(wanted))?;
            drop(proxy);
            let haproxy = systems::haproxy(&self.yard, tls, behind)?;
            thread::sleep(SETTLE);
            self.held(&haproxy, tls, &format!("{what} connection, KB, haproxy"), Target::Shown)?;
        }
        Ok(())
    }

    fn held(&mut self, front: &Running, tls: bool, what: &str, target: Target) -> Result<()> {
        let conns = IDLE_CONNECTIONS.to_string();
        let mut arguments = vec!["--mode", "idle", "--conns", conns.as_str(), "--secs", "1"];
        arguments.extend(tls.then_some("--tls"));
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let outcome = load(&self.yard, &arguments, &Subject { front, behind: None })?;
        let watched = outcome.watched.get(FRONT).context("nothing was watched")?;
        let kilobytes = watched.rss_kb as f64 - watched.rss_kb_before as f64;
        let seen = format!(
            "{} held, {} refused; RSS {} to {} MB",
            outcome.operations,
            outcome.errors,
            number(watched.rss_kb_before as f64 / 1024.0),
            number(watched.rss_kb as f64 / 1024.0),
        );
        self.figures.push(Figure::single("idle", what, target, kilobytes / outcome.operations.max(1) as f64, seen));
        self.keep("idle", front, 0, outcome);
        Ok(())
    }

    /// A million wrong passwords of names that nobody has, from 16 addresses, while one device
    /// hammers with its old password: memory stays bounded and the device's entry stays in.
    pub fn spray(&mut self) -> Result<()> {
        const CHUNKS: usize = 20;
        const CHUNK_BINDS: u64 = 50_000;
        const ENTRIES: u32 = 100_000;
        const DEVICE: &str = "uid=hammering-device,";
        let directory = systems::canned_watching(&self.yard, DEVICE)?;
        let front = Front { tls: false, behind: Behind { address: directory.address, tls: false }, entries: ENTRIES };
        let mut proxy = systems::bindproxy(&self.yard, front, self.stand_in)?;
        let device =
            format!("--mode bad-bind --conns 1 --warm 0 --secs 1 --pace-us 5000 --dn {DEVICE}dc=example,dc=org");
        let device: Vec<String> = device.split(' ').map(str::to_owned).collect();
        let subject = Subject { front: &proxy, behind: None };
        // The device is known before the spray starts, as a phone is that has hammered for days.
        load(&self.yard, &device, &subject)?;

        let stop = AtomicBool::new(false);
        let (sprayed, hammered) = thread::scope(|scope| {
            let hammer = scope.spawn(|| {
                let (mut answered, mut failed, mut slowest_p50) = (0, 0, 0);
                while !stop.load(Ordering::Relaxed) {
                    let outcome = load(&self.yard, &device, &subject)?;
                    answered += outcome.operations;
                    failed += outcome.errors;
                    slowest_p50 = slowest_p50.max(outcome.p50_micros);
                }
                anyhow::Ok((answered, failed, slowest_p50))
            });
            let spray = || {
                let mut windows = Vec::new();
                for chunk in 0..CHUNKS {
                    let arguments = format!(
                        "--mode bad-bind --conns 48 --sources 16 --rotate --users 1000000 --operations {CHUNK_BINDS} \
                         --dn uid=s{chunk}-{{}},ou=people,dc=example,dc=org"
                    );
                    let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
                    let outcome = load(&self.yard, &arguments, &subject)?;
                    eprintln!(
                        "spray {:>2}/{CHUNKS}  {:>6.0}/s  errors {}  RSS {} KB",
                        chunk + 1,
                        outcome.operations_per_second,
                        outcome.errors,
                        proxy.resident_kb()
                    );
                    windows.push((outcome, proxy.resident_kb()));
                }
                anyhow::Ok(windows)
            };
            let sprayed = spray();
            stop.store(true, Ordering::Relaxed);
            (sprayed, hammer.join())
        });
        let sprayed = sprayed?;
        let Ok(hammered) = hammered else { anyhow::bail!("the thread of the hammering device panicked") };
        let (answered, failed, slowest_p50) = hammered?;

        // Twice the bound has gone by after a fifth of the binds: from there on nothing may grow.
        let at_bound = sprayed.get(CHUNKS / 5 - 1).map_or(f64::NAN, |(_, resident)| *resident as f64);
        let at_end = sprayed.last().map_or(f64::NAN, |(_, resident)| *resident as f64);
        let done: u64 = sprayed.iter().map(|(outcome, _)| outcome.operations).sum();
        let lost: u64 = sprayed.iter().map(|(outcome, _)| outcome.errors).sum();
        let seen = format!("RSS {} to {} MB, bound {ENTRIES}", number(at_bound / 1024.0), number(at_end / 1024.0));
        let growth = at_end / at_bound;
        self.figures.push(Figure::single("spray", "RSS at the end / at the bound", Target::AtMost(1.10), growth, seen));
        let asked = std::fs::read_to_string(self.yard.file("binds.log"))?.lines().count() as f64;
        let seen = format!("{answered} binds of the device answered, {failed} failed, p50 at most {slowest_p50} us");
        let what = "device's binds at the directory";
        self.figures.push(Figure::single("spray", what, Target::AtMost(1.0), asked, seen));
        let seen = format!("{done} answered 49, {lost} not answered so");
        let alive = f64::from(u8::from(proxy.is_alive()));
        self.figures.push(Figure::single("spray", "process alive", Target::AtLeast(1.0), alive, seen));
        for (number, (outcome, _)) in sprayed.into_iter().enumerate() {
            self.windows.push(Window { work: "spray".into(), system: PROXY.into(), round: number, outcome });
        }
        Ok(())
    }

    /// The store by itself: the proxy's own example measures and prints it.
    pub fn store(&mut self) -> Result<()> {
        // cargo may have to build it first, and shows that on stderr.
        let output = Command::new("cargo")
            .args(["run", "--locked", "--release", "--package", "bindproxy", "--example", "store_figures"])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start cargo")?;
        ensure!(output.status.success(), "store_figures ended: {}", output.status);
        let said = String::from_utf8_lossy(&output.stdout);
        let grown = said.lines().find_map(|line| line.trim().strip_prefix("RSS growth"));
        let grown = grown.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok());
        let grown = grown.context("store_figures does not say how much the resident memory grew")?;
        let seen = "times are below the table".to_owned();
        self.figures.push(Figure::single("store", "1,000,000 live entries, MB", Target::AtMost(140.0), grown, seen));
        self.notes.push(format!("The store by itself (example store_figures):\n{}", said.trim_end()));
        Ok(())
    }

    /// The largest p50 of the proxy in any window, against the 40 ms of a delayed acknowledgement.
    pub fn no_delayed_acknowledgement(&mut self) {
        let ours = self.windows.iter().filter(|window| window.system == PROXY && window.work != "idle");
        if let Some(worst) = ours.max_by_key(|window| window.outcome.p50_micros) {
            let milliseconds = worst.outcome.p50_micros as f64 / 1000.0;
            let seen = format!("in {}", worst.work);
            self.figures.push(Figure::single("all", "largest p50, ms", Target::AtMost(30.0), milliseconds, seen));
        }
    }

    fn proxy(&self, tls: bool, behind: Behind) -> Result<Running> {
        systems::bindproxy(&self.yard, Front { tls, behind, entries: DEFAULT_ENTRIES }, self.stand_in)
    }

    pub(super) fn run(&mut self, work: &str, load: &[&str], subjects: &[Subject<'_>]) -> Result<Vec<Round>> {
        let mut arguments: Vec<String> = load.iter().map(|&argument| argument.to_owned()).collect();
        arguments.extend(["--secs".to_owned(), self.secs.to_string()]);
        rounds(&self.yard, work, self.rounds, &arguments, subjects, &mut self.windows)
    }

    pub(super) fn ratio(
        &mut self,
        work: &str,
        what: (&str, Unit),
        target: Target,
        rounds: &[Round],
        systems: [&str; 2],
        of: impl Fn(&Outcome) -> f64,
    ) {
        self.figures.push(Figure::ratio(work, what, target, rounds, systems, of));
    }

    /// What is answered from the cache costs the directory nothing; else the comparison is void.
    fn asked_nobody(&mut self, work: &str, rounds: &[Round]) {
        self.asked_nobody_of(PROXY, work, rounds);
    }

    pub(super) fn asked_nobody_of(&mut self, system: &str, work: &str, rounds: &[Round]) {
        let samples = rounds.iter().filter_map(|round| Some(cpu_of(BEHIND)(round.get(system)?))).collect();
        self.figures.push(Figure {
            work: work.to_owned(),
            what: "CPU us of the directory".to_owned(),
            target: Target::AtMost(0.1),
            samples,
            seen: "more would mean that the cache did not answer".to_owned(),
        });
    }

    fn keep(&mut self, work: &str, front: &Running, round: usize, outcome: Outcome) {
        self.windows.push(Window { work: work.to_owned(), system: front.name.to_owned(), round, outcome });
    }
}
