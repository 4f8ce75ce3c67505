//! Interleaved windows: A B C, A B C, ... so that what disturbs the machine disturbs everybody.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::running::Running;
use super::yard::Yard;
use crate::load::Outcome;

/// Somebody else kept more cores busy than this: the window is disturbed.
pub const DISTURBED_CORES: f64 = 0.3;

/// One system under one kind of load.
pub struct Subject<'run> {
    /// What clients connect to; gives the subject its name.
    pub front: &'run Running,
    /// What runs behind it, if it is not the same.
    pub behind: Option<&'run Running>,
}

/// The outcomes of one round by the name of the subject.
pub type Round = BTreeMap<&'static str, Outcome>;

/// One outcome with what it belongs to, for the results file.
#[derive(Clone, Debug, Serialize)]
pub struct Window {
    /// The work.
    pub work: String,
    /// The subject.
    pub system: String,
    /// From 0.
    pub round: usize,
    /// What the load generator printed.
    pub outcome: Outcome,
}

/// The name under which the front's process is watched.
pub const FRONT: &str = "front";
/// The name under which the process behind it is watched.
pub const BEHIND: &str = "behind";

/// Runs the load generator with these arguments once.
pub fn load(yard: &Yard, arguments: &[String], subject: &Subject<'_>) -> Result<Outcome> {
    let pids = |running: &Running| running.pids().iter().map(u32::to_string).collect::<Vec<_>>().join("+");
    let mut watch = format!("{FRONT}:{}", pids(subject.front));
    if let Some(behind) = subject.behind {
        watch += &format!(",{BEHIND}:{}", pids(behind));
    }
    let output = Command::new(yard.program("loadgen"))
        .args(["--addr", &subject.front.address.to_string(), "--watch", &watch])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .context("cannot start loadgen")?;
    ensure!(output.status.success(), "loadgen {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("loadgen's line")
}

/// Runs `count` rounds over the subjects and tells each window on stderr.
pub fn rounds(
    yard: &Yard,
    work: &str,
    count: usize,
    arguments: &[String],
    subjects: &[Subject<'_>],
    windows: &mut Vec<Window>,
) -> Result<Vec<Round>> {
    let mut all = Vec::with_capacity(count);
    for round in 0..count {
        let mut outcomes = Round::new();
        for subject in subjects {
            let outcome = load(yard, arguments, subject)?;
            tell(work, round, subject, &outcome);
            windows.push(Window {
                work: work.to_owned(),
                system: subject.front.name.to_owned(),
                round,
                outcome: outcome.clone(),
            });
            outcomes.insert(subject.front.name, outcome);
        }
        all.push(outcomes);
    }
    Ok(all)
}

fn tell(work: &str, round: usize, subject: &Subject<'_>, outcome: &Outcome) {
    let cpu = |group: &str| outcome.watched.get(group).map_or(0.0, |watched| watched.cpu_micros);
    eprintln!(
        "{work:<16} {:>2} {:<10} {:>8.0}/s  cpu {:>7.1} us  behind {:>7.1} us  p50 {:>6} us  p99 {:>6} us  errors {}  others {:.2}{}",
        round + 1,
        subject.front.name,
        outcome.operations_per_second,
        cpu(FRONT),
        cpu(BEHIND),
        outcome.p50_micros,
        outcome.p99_micros,
        outcome.errors,
        outcome.other_cores,
        if outcome.last_error.is_empty() { String::new() } else { format!("  ({})", outcome.last_error) },
    );
}
