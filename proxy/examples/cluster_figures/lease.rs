//! What asking another member adds to a bind.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bindproxy::bind::Conclusion;
use bindproxy::cluster::handle::Turn;

use super::fleet::{Fleet, attempt, handle, now};
use super::report::{Target, figure, quantile};

const ASKED: usize = 3_000;

/// Leases granted by another member of five, one at a time.
pub(crate) fn granted_elsewhere() -> Result<()> {
    let fleet = Fleet::start(5, 1_000_000)?;
    let server = fleet.member(0)?;
    let cluster = handle(server)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut times = Vec::new();
    let mut unleased = 0;
    runtime.block_on(async {
        for number in 0.. {
            if times.len() + unleased >= ASKED {
                break;
            }
            let credential = attempt(number);
            if !cluster.must_ask(&server.shared.guard, &credential, server.shared.cluster_clock.now()) {
                continue;
            }
            let start = now();
            match cluster.ask(&credential, Duration::from_secs(10)).await {
                Turn::Go(Some(report)) => {
                    times.push(start.elapsed().as_secs_f64() * 1e3);
                    report.conclude(Conclusion::Fault);
                }
                Turn::Go(None) => unleased += 1,
                other => anyhow::bail!("the owner said {other:?}"),
            }
            if number % 4 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        ensure!(times.len() > ASKED / 2, "only {} leases were granted, {unleased} went on without", times.len());
        Ok(())
    })?;
    let seen = format!("{} leases, {unleased} without an answer in time", times.len());
    figure("lease of another node, added p50 ms", Target::AtMost(0.5), quantile(&mut times, 0.5), &seen);
    figure("lease of another node, added p99 ms", Target::AtMost(5.0), quantile(&mut times, 0.99), &seen);
    times.first().context("a sample")?;
    fleet.end();
    Ok(())
}
