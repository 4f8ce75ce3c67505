//! What a run of the generator counted, and the line of JSON that it prints.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{Group, Snapshot};
use crate::process;

/// Longest time that is told apart from longer ones.
const LONGEST_MICROS: u64 = 60_000_000;

/// What one worker saw.
pub(super) struct Tally {
    times: Histogram<u64>,
    operations: u64,
    errors: u64,
    last_error: String,
}

impl Tally {
    pub(super) fn new() -> Result<Self> {
        let times = Histogram::new_with_bounds(1, LONGEST_MICROS, 3).context("histogram")?;
        Ok(Self { times, operations: 0, errors: 0, last_error: String::new() })
    }

    pub(super) fn done(&mut self, took: Duration) {
        self.operations += 1;
        self.times.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    pub(super) fn failed(&mut self, why: &str) {
        self.errors += 1;
        why.clone_into(&mut self.last_error);
    }

    pub(super) fn add(&mut self, other: &Self) -> Result<()> {
        let Self { times, operations, errors, last_error } = other;
        self.times.add(times).context("histogram")?;
        self.operations += operations;
        self.errors += errors;
        if !last_error.is_empty() {
            last_error.clone_into(&mut self.last_error);
        }
        Ok(())
    }
}

/// One measured window.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Length of the window.
    pub seconds: f64,
    /// Operations that ended well inside it; connections held in mode `idle`.
    pub operations: u64,
    /// The same per second.
    pub operations_per_second: f64,
    /// Half of the operations took no longer.
    pub p50_micros: u64,
    /// 99 of 100 operations took no longer.
    pub p99_micros: u64,
    /// 999 of 1,000 operations took no longer.
    pub p999_micros: u64,
    /// The slowest operation.
    pub max_micros: u64,
    /// Operations that failed or had another result than expected.
    pub errors: u64,
    /// What the last of them was.
    pub last_error: String,
    /// CPU time of the generator itself, per operation.
    pub own_cpu_micros: f64,
    /// Cores that somebody who is not watched kept busy; above 0.3 the window is disturbed.
    pub other_cores: f64,
    /// Cores that the hypervisor took away.
    pub stolen_cores: f64,
    /// The processes of `--watch`, by their name.
    pub watched: BTreeMap<String, Watched>,
}

/// What a watched group of processes used in the window.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Watched {
    /// CPU time per operation.
    pub cpu_micros: f64,
    /// The part of it in user space.
    pub user_micros: f64,
    /// Resident memory before the connections were opened (mode `idle`, else 0).
    pub rss_kb_before: u64,
    /// Resident memory at the end.
    pub rss_kb: u64,
}

impl Outcome {
    pub(super) fn new(tally: &Tally, groups: &[Group], before: &Snapshot, after: &Snapshot) -> Self {
        let seconds = after.at.duration_since(before.at).as_secs_f64().max(f64::EPSILON);
        let per_operation = |micros: u64| micros as f64 / tally.operations.max(1) as f64;
        let own = after.own.total_micros().saturating_sub(before.own.total_micros());
        let mut known = own;
        let mut watched = BTreeMap::new();
        for ((group, before), after) in groups.iter().zip(&before.groups).zip(&after.groups) {
            let cpu = after.total_micros().saturating_sub(before.total_micros());
            known += cpu;
            watched.insert(
                group.name.clone(),
                Watched {
                    cpu_micros: per_operation(cpu),
                    user_micros: per_operation(after.user_micros.saturating_sub(before.user_micros)),
                    rss_kb_before: 0,
                    rss_kb: process::resident_kb(&group.pids),
                },
            );
        }
        let cores = |micros: u64| micros as f64 / 1e6 / seconds;
        let busy = after.machine.busy_micros.saturating_sub(before.machine.busy_micros);
        let stolen = after.machine.stolen_micros.saturating_sub(before.machine.stolen_micros);
        Self {
            seconds,
            operations: tally.operations,
            operations_per_second: tally.operations as f64 / seconds,
            p50_micros: tally.times.value_at_quantile(0.5),
            p99_micros: tally.times.value_at_quantile(0.99),
            p999_micros: tally.times.value_at_quantile(0.999),
            max_micros: tally.times.max(),
            errors: tally.errors,
            last_error: tally.last_error.clone(),
            own_cpu_micros: per_operation(own),
            other_cores: cores(busy.saturating_sub(known)),
            stolen_cores: cores(stolen),
            watched,
        }
    }
}
