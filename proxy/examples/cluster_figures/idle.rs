//! What a cluster costs in which nothing happens.

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::cpu::Account;
use super::fleet::{Fleet, attempt, live, sent, until};
use super::report::{Target, figure};

const POD_COUNT: usize = 5;
const ENTRIES: u64 = 100_000;
const WATCHED: Duration = Duration::from_secs(30);

/// Five members that hold 100,000 entries each.
pub(crate) fn with_many_entries() -> Result<()> {
    let fleet = Fleet::start(POD_COUNT, 1_000_000)?;
    for number in 0..ENTRIES {
        let server = fleet.member(number as usize % POD_COUNT)?;
        ensure!(fleet.fail(server, &attempt(number), true)?, "the entry was there before");
        if number % 100 == 0 {
            thread::sleep(Duration::from_millis(5));
        }
    }
    until("the entries", Duration::from_millis(20), || fleet.running().all(|server| live(server) as u64 == ENTRIES))?;
    thread::sleep(Duration::from_secs(12));
    let (cpu, octets) = (Account::now(), fleet.running().map(sent).sum::<f64>());
    thread::sleep(WATCHED);
    let seconds = WATCHED.as_secs_f64();
    let cpu = Account::now().of_proxies_since(&cpu) / seconds / POD_COUNT as f64 * 100.0;
    let octets = (fleet.running().map(sent).sum::<f64>() - octets) / seconds / POD_COUNT as f64;
    let seen = format!("{POD_COUNT} nodes in one process for {seconds} s, their sweeps of the store included");
    figure("idle with 100,000 entries on 5, % of a core per node", Target::AtMost(0.2), cpu, &seen);
    let seen = "before TLS, as bindproxy_cluster_bytes_total counts".to_owned();
    figure("idle with 100,000 entries on 5, octets/s per node", Target::AtMost(2_000.0), octets, &seen);
    fleet.end();
    Ok(())
}
