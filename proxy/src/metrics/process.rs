//! The `process_*` metrics, read from `/proc/self` when somebody asks.

use std::fs;

use prometheus::{Counter, Gauge};
use rustix::process::{Resource, getrlimit};

use super::register::Registrar;
use super::table;

/// What `/proc` counts CPU time and start times in: USER_HZ, fixed at 100 by the kernel's ABI on
/// every platform this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// The metrics of the process itself.
#[derive(Debug)]
pub(super) struct ProcessMetrics {
    cpu: Counter,
    resident: Gauge,
    virtual_size: Gauge,
    threads: Gauge,
    open_fds: Gauge,
    max_fds: Gauge,
}

impl ProcessMetrics {
    pub(super) fn new(registrar: &Registrar<'_>) -> Self {
        let gauge = |family| registrar.float_gauges(family).with_label_values::<&str>(&[]);
        let start = gauge(&table::PROCESS_START_TIME);
        if let (Some(stat), Some(boot)) = (Stat::read(), boot_time()) {
            start.set(boot + stat.start_ticks / TICKS_PER_SECOND);
        }
        Self {
            cpu: registrar.float_counters(&table::PROCESS_CPU).with_label_values::<&str>(&[]),
            resident: gauge(&table::PROCESS_RSS),
            virtual_size: gauge(&table::PROCESS_VIRTUAL),
            threads: gauge(&table::PROCESS_THREADS),
            open_fds: gauge(&table::PROCESS_OPEN_FDS),
            max_fds: gauge(&table::PROCESS_MAX_FDS),
        }
    }

    /// Reads the present values. What cannot be read keeps its last value.
    pub(super) fn refresh(&self) {
        if let Some(stat) = Stat::read() {
            let grown = stat.cpu_ticks / TICKS_PER_SECOND - self.cpu.get();
            if grown > 0.0 {
                self.cpu.inc_by(grown);
            }
            self.threads.set(stat.threads);
        }
        if let Ok(status) = fs::read_to_string("/proc/self/status") {
            if let Some(kib) = status_kib(&status, "VmRSS:") {
                self.resident.set(kib * 1024.0);
            }
            if let Some(kib) = status_kib(&status, "VmSize:") {
                self.virtual_size.set(kib * 1024.0);
            }
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // One of them is the directory that is being read.
            self.open_fds.set((open.count() as f64 - 1.0).max(0.0));
        }
        if let Some(limit) = getrlimit(Resource::Nofile).current {
            self.max_fds.set(limit as f64);
        }
    }
}

/// What is used of `/proc/self/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_ticks: f64,
    threads: f64,
    start_ticks: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// Fields are counted after the command's closing bracket, because a command may hold spaces
    /// and brackets itself.
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<f64>().ok();
        Some(Self { cpu_ticks: number(11)? + number(12)?, threads: number(17)?, start_ticks: number(19)? })
    }
}

fn status_kib(status: &str, key: &str) -> Option<f64> {
    status.lines().find_map(|line| line.strip_prefix(key))?.split_ascii_whitespace().next()?.parse().ok()
}

fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Stat, status_kib};

    #[test]
    fn stat_survives_a_command_with_brackets_and_spaces() {
        let line =
            "42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 7 0 12345 1000 200 18446744073709551615";
        assert_eq!(Stat::parse(line), Some(Stat { cpu_ticks: 200.0, threads: 7.0, start_ticks: 12345.0 }));
        assert_eq!(Stat::parse("42 (a) S 1"), None);
    }

    #[test]
    fn memory_is_found_by_its_whole_key() {
        let status = "Name:\tx\nVmSize:\t  2048 kB\nVmRSS:\t    64 kB\n";
        assert_eq!(status_kib(status, "VmRSS:"), Some(64.0));
        assert_eq!(status_kib(status, "VmSwap:"), None);
    }
}
