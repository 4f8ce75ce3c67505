//! `make bench`: starts the systems, runs the rounds, prints the table.
//!
//! Order of the files: [`yard`] (files, ports), [`running`] (programs), [`systems`] (what is
//! compared and how it is configured), [`rounds`] (interleaved windows), [`works`] (what is
//! measured), [`figure`] (ratios and the table).

mod cluster;
pub mod figure;
pub mod rounds;
pub mod running;
pub mod systems;
pub mod works;
pub mod yard;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};
use serde::Serialize;

use figure::{Figure, number, table};
use rounds::{DISTURBED_CORES, Window};
use works::Bench;
use yard::Yard;

/// The group of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Work {
    /// A failed bind that is remembered.
    Cached,
    /// A search that is passed on.
    Search,
    /// Connect, bind, unbind with TLS on both sides.
    Login,
    /// Connections that do nothing.
    Idle,
    /// A million random wrong passwords.
    Spray,
    /// The store by itself.
    Store,
    /// Several proxies as one.
    Cluster,
}

/// Measures bindproxy against its peers: one table on stdout, progress on stderr.
#[derive(Parser, Debug)]
#[command(name = "bench")]
pub struct Settings {
    /// Rounds of every comparison.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Length of a window, seconds.
    #[arg(long, default_value_t = 2.0)]
    pub secs: f64,
    /// Only these works.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Work>,
    /// Where the results go; the configurations and logs of the run are in `work` below it.
    #[arg(long, default_value = "target/bench")]
    pub out: PathBuf,
    /// Put the forwarder in the proxy's place, to try this tool by itself.
    #[arg(long, hide = true)]
    pub stand_in: bool,
}

/// What `results.json` holds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Results<'run> {
    taken_at_unix_seconds: u64,
    machine: Machine,
    rounds: usize,
    window_seconds: f64,
    figures: &'run [Figure],
    notes: &'run [String],
    windows: &'run [Window],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Machine {
    cores: usize,
    processor: String,
    kernel: String,
    haproxy: String,
    nginx: String,
    slapd: String,
}

/// Runs the works; an error says which of them could not be measured, after the others were.
pub fn run(settings: &Settings) -> Result<()> {
    let Settings { rounds, secs, only, out, stand_in } = settings;
    allow_many_files().context("cannot raise the limit on open files")?;
    // Best effort: without root the windows are more disturbed, and that is reported.
    setpriority_process(None, -10).ok();
    let yard = Yard::new(&out.join("work"))?;
    let mut bench = Bench {
        yard,
        rounds: (*rounds).max(1),
        secs: *secs,
        stand_in: *stand_in,
        figures: Vec::new(),
        windows: Vec::new(),
        notes: Vec::new(),
    };
    let mut failed = Vec::new();
    for work in Work::value_variants() {
        if !only.is_empty() && !only.contains(work) {
            continue;
        }
        let measured = match work {
            Work::Cached => bench.cached(),
            Work::Search => bench.search(),
            Work::Login => bench.login(),
            Work::Idle => bench.idle(),
            Work::Spray => bench.spray(),
            Work::Store => bench.store(),
            Work::Cluster => bench.cluster(),
        };
        if let Err(error) = measured {
            failed.push(format!("{work:?} could not be measured: {error:#}"));
        }
    }
    bench.no_delayed_acknowledgement();
    bench.notes.extend(remarks(&bench.windows));
    bench.notes.extend(failed.iter().cloned());
    report(&bench, out)?;
    anyhow::ensure!(failed.is_empty(), "{} works could not be measured", failed.len());
    Ok(())
}

fn allow_many_files() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

/// What a reader must know about the windows before believing them.
fn remarks(windows: &[Window]) -> Vec<String> {
    let mut remarks = Vec::new();
    // Where memory is measured not every program of the run is watched, and CPU time is not the question.
    let timed: Vec<_> = windows.iter().filter(|window| !["idle", "spray"].contains(&window.work.as_str())).collect();
    let disturbed = timed.iter().filter(|window| window.outcome.other_cores > DISTURBED_CORES).count();
    if disturbed > 0 {
        remarks.push(format!(
            "DISTURBED: in {disturbed} of {} windows somebody else kept more than {DISTURBED_CORES} cores busy; \
             ratios bear that better than absolute figures, and CPU better than rates",
            timed.len()
        ));
    }
    for window in windows.iter().filter(|window| window.outcome.errors > 0) {
        let Window { work, system, round, outcome } = window;
        remarks.push(format!(
            "errors: {work}, {system}, round {}: {} ({})",
            round + 1,
            outcome.errors,
            outcome.last_error
        ));
    }
    remarks
}

fn report(bench: &Bench, out: &std::path::Path) -> Result<()> {
    let machine = Machine {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        processor: line_of("/proc/cpuinfo", "model name"),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        haproxy: first_line(Command::new("haproxy").arg("-v")),
        nginx: first_line(Command::new("nginx").arg("-v")),
        slapd: first_line(Command::new("/usr/sbin/slapd").arg("-VV")),
    };
    println!(
        "{} cores, {}, Linux {}; {} rounds, windows of {} s; ratios are of one round, then their median\n",
        machine.cores,
        machine.processor,
        machine.kernel,
        bench.rounds,
        number(bench.secs)
    );
    print!("{}", table(&bench.figures));
    for note in &bench.notes {
        println!("\n{note}");
    }
    let results = Results {
        taken_at_unix_seconds: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
        machine,
        rounds: bench.rounds,
        window_seconds: bench.secs,
        figures: &bench.figures,
        notes: &bench.notes,
        windows: &bench.windows,
    };
    let path = out.join("results.json");
    fs::write(&path, serde_json::to_vec_pretty(&results)?).with_context(|| path.display().to_string())
}

fn line_of(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(':'));
    line.map_or_else(|| "unknown processor".to_owned(), |(_, value)| value.trim().to_owned())
}

/// The first line that a program says about itself, on whichever stream.
fn first_line(command: &mut Command) -> String {
    let Ok(output) = command.output() else { return "not installed".to_owned() };
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said).lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}
