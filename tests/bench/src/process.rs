//! CPU time and memory of processes, from `/proc` (Linux).
//!
//! CPU time comes in steps of 10 ms, so a window of two seconds is good to half a percent of a core.

use std::fs;

use anyhow::{Context, Result};

/// One step of the kernel's process accounting (`USER_HZ` is 100 on every Linux).
const TICK_MICROS: u64 = 10_000;

/// CPU time of one process with all its threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// In user space, microseconds.
    pub user_micros: u64,
    /// In the kernel, microseconds.
    pub kernel_micros: u64,
}

impl Cpu {
    /// Both together.
    #[must_use]
    pub fn total_micros(self) -> u64 {
        self.user_micros + self.kernel_micros
    }
}

/// The CPU time of these processes, summed. One that has ended counts nothing.
#[must_use]
pub fn cpu(pids: &[u32]) -> Cpu {
    pids.iter().filter_map(|pid| cpu_of(*pid)).fold(Cpu::default(), |sum, one| Cpu {
        user_micros: sum.user_micros + one.user_micros,
        kernel_micros: sum.kernel_micros + one.kernel_micros,
    })
}

fn cpu_of(pid: u32) -> Option<Cpu> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, and may hold spaces and parentheses.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let kernel: u64 = fields.next()?.parse().ok()?;
    Some(Cpu { user_micros: user * TICK_MICROS, kernel_micros: kernel * TICK_MICROS })
}

/// Resident memory of these processes, summed, in KB. One that has ended counts nothing.
#[must_use]
pub fn resident_kb(pids: &[u32]) -> u64 {
    let of = |pid: &u32| -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    pids.iter().filter_map(of).sum()
}

/// The children of a process that are alive.
#[must_use]
pub fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_ascii_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// What all processors of the machine did since it started.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Busy with anything, microseconds.
    pub busy_micros: u64,
    /// Taken by the hypervisor, microseconds.
    pub stolen_micros: u64,
}

/// Reads `/proc/stat`.
pub fn machine() -> Result<Machine> {
    let stat = fs::read_to_string("/proc/stat").context("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<u64> = line.split_ascii_whitespace().skip(1).map_while(|field| field.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = ticks[..] else {
        anyhow::bail!("/proc/stat has an unknown form: {line}")
    };
    Ok(Machine {
        busy_micros: (user + nice + system + irq + softirq) * TICK_MICROS,
        stolen_micros: steal * TICK_MICROS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_seen() {
        let before = cpu(&[std::process::id()]).total_micros();
        let start = std::time::Instant::now();
        let mut sum = 0u64;
        while start.elapsed().as_millis() < 100 {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(cpu(&[std::process::id()]).total_micros() > before, "{sum} additions took no CPU time");
        assert!(resident_kb(&[std::process::id()]) > 100);
    }

    #[test]
    fn a_process_that_never_was_counts_nothing() {
        assert_eq!(cpu(&[u32::MAX]).total_micros() + resident_kb(&[u32::MAX]), 0);
        assert!(machine().unwrap().busy_micros > 0);
    }
}
