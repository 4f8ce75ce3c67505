//! How long a new member takes to know everything, and what an entry takes of memory.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::cpu::resident;
use super::fleet::{Fleet, attempt, handle, live, now, sent, until};
use super::report::{Target, figure};

/// Room beyond the entries, because names fall unevenly into shards.
const ROOM: u32 = 1_200_000;

/// A member joins one that holds a hundred thousand, and a million entries.
pub(crate) fn with_much_to_learn() -> Result<()> {
    for (entries, bound) in [(100_000_u64, 200.0), (1_000_000, 2_000.0)] {
        let mut times = Vec::new();
        let mut seen = String::new();
        for _ in 0..3 {
            let mut fleet = Fleet::prepare(2, ROOM)?;
            let (first, second) = (fleet.address(0), fleet.address(1));
            fleet.launch(0, &[first])?;
            let joined = |fleet: &Fleet, member| {
                fleet.member(member).and_then(handle).is_ok_and(|cluster| cluster.has_joined().is_some())
            };
            until("the first member", Duration::from_millis(1), || joined(&fleet, 0))?;
            let before = resident();
            for number in 0..entries {
                ensure!(fleet.fail(fleet.member(0)?, &attempt(number), false)?, "the entry was there before");
            }
            let each = (resident() - before) / entries as f64;
            let octets = sent(fleet.member(0)?);
            let start = now();
            fleet.launch(1, &[first, second])?;
            until("the join", Duration::from_micros(200), || joined(&fleet, 1))?;
            let took = start.elapsed().as_secs_f64() * 1e3;
            let complete = handle(fleet.member(1)?)?.has_joined() == Some(true);
            ensure!(complete, "the join ended without everything after {took:.0} ms");
            let held = live(fleet.member(1)?);
            ensure!(held as u64 == entries, "{held} of {entries} entries after the join");
            let octets = (sent(fleet.member(0)?) - octets) / entries as f64;
            times.push(took);
            seen = format!("{times:.0?} ms; {octets:.0} octets on the wire and {each:.0} of memory for each entry");
            fleet.end();
            if entries == 1_000_000 && times.len() == 1 {
                let seen = format!("resident memory of {entries} entries in a member, its shared verdict included");
                figure("memory per live entry, octets", Target::AtMost(140.0), each, &seen);
            }
        }
        let median = super::report::quantile(&mut times, 0.5);
        figure(&format!("join with {entries} entries, ms"), Target::AtMost(bound), median, &seen);
    }
    Ok(())
}
