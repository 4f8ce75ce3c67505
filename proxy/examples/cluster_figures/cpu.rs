//! CPU time by thread, from the kernel's own account.

use std::collections::BTreeMap;
use std::fs;

/// How the names of the threads begin that measure.
pub(crate) const MEASURING: &str = "bench";

/// Nanoseconds that each living thread of this process has been on a core, by thread ID.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account(BTreeMap<u64, (String, u64)>);

impl Account {
    /// As of now.
    pub(crate) fn now() -> Self {
        let mut account = Self::default();
        for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            let Some(id) = task.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default().trim().to_owned();
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let on_core = text.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or(0);
            account.0.insert(id, (name, on_core));
        }
        account
    }

    /// Seconds that the proxies' threads have been on a core since `earlier`: all but the main one and
    /// those that measure.
    pub(crate) fn of_proxies_since(&self, earlier: &Self) -> f64 {
        let main = u64::from(std::process::id());
        let proxies = self.0.iter().filter(|(id, (name, _))| **id != main && !name.starts_with(MEASURING));
        proxies.map(|(id, (_, now))| now - earlier.0.get(id).map_or(0, |(_, then)| *then)).sum::<u64>() as f64 / 1e9
    }
}

/// Resident memory, octets.
pub(crate) fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(f64::NAN) * 1024.0
}
