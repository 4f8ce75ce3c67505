//! How long news takes, one at a time and in a flood.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bindproxy::bind::Credential;

use super::cpu::{Account, MEASURING};
use super::fleet::{Fleet, answers, attempt, knows, live, now, until};
use super::report::{Target, figure, quantile};

const POD_COUNT: usize = 5;
/// Single entries that are timed.
const SINGLE: u64 = 2_000;
/// Between two looks at the others.
const LOOK: Duration = Duration::from_micros(10);

/// One entry, written on one of five, usable on all.
pub(crate) fn one_entry() -> Result<()> {
    let fleet = Fleet::start(POD_COUNT, 1_000_000)?;
    let mut times = one_at_a_time(&fleet, SINGLE)?;
    let (p50, p99) = (quantile(&mut times, 0.5), quantile(&mut times, 0.99));
    let seen = format!("{SINGLE} entries, the slowest {:.2} ms", quantile(&mut times, 1.0));
    figure("one entry on all of 5, p50 ms", Target::AtMost(1.0), p50, &seen);
    figure("one entry on all of 5, p99 ms", Target::AtMost(5.0), p99, &seen);
    fleet.end();
    Ok(())
}

/// Milliseconds from the verdict at one member to the moment when all others have it.
fn one_at_a_time(fleet: &Fleet, count: u64) -> Result<Vec<f64>> {
    let servers: Vec<_> = fleet.running().collect();
    let mut times = Vec::new();
    for number in 0..count {
        let writer = number as usize % servers.len();
        let credential = attempt(number);
        let start = now();
        ensure!(fleet.fail(servers[writer], &credential, true)?, "the entry was there before");
        let others = || servers.iter().enumerate().filter(|(member, _)| *member != writer);
        until("an entry", LOOK, || others().all(|(_, server)| knows(server, &credential)))?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        ensure!(others().all(|(_, server)| answers(server, &credential)), "known, and not answered with");
        thread::sleep(Duration::from_millis(1));
    }
    Ok(times)
}

/// Ten thousand entries a second for ten seconds.
pub(crate) fn flood() -> Result<()> {
    const RATE: u64 = 10_000;
    const SECONDS: u64 = 10;
    let fleet = Fleet::start(POD_COUNT, 1_000_000)?;
    let mut flood = pour(&fleet, RATE, SECONDS)?;
    let all = (RATE * SECONDS) as usize;
    let held: Vec<usize> = fleet.running().map(live).collect();
    let lost = all - held.iter().copied().min().unwrap_or(0).min(all);
    let seen = format!(
        "{all} entries in {:.1} s, p50 {:.2} ms, the slowest {:.1} ms; the members hold {held:?}",
        flood.took.as_secs_f64(),
        quantile(&mut flood.times, 0.5),
        quantile(&mut flood.times, 1.0)
    );
    figure("10,000 entries/s for 10 s on 5: entries lost", Target::AtMost(0.0), lost as f64, &seen);
    let p99 = quantile(&mut flood.times, 0.99);
    figure("10,000 entries/s for 10 s on 5: p99 ms", Target::AtMost(20.0), p99, &seen);
    let each = flood.cpu * 1e6 / all as f64;
    let seen = format!("{:.2} s of CPU of all five, threads that measure left out", flood.cpu);
    figure("10,000 entries/s for 10 s on 5: CPU us per entry, all nodes", Target::Shown, each, &seen);
    fleet.end();
    Ok(())
}

struct Flood {
    /// Milliseconds, of a sample of the entries.
    times: Vec<f64>,
    took: Duration,
    /// Seconds of CPU of the proxies.
    cpu: f64,
}

/// Writes `rate` entries a second, each at the next member, for so many seconds.
fn pour(fleet: &Fleet, rate: u64, seconds: u64) -> Result<Flood> {
    const SAMPLED: u64 = 50;
    let before = Account::now();
    let start = now();
    let (written, to_see) = mpsc::channel::<(Instant, usize, Credential)>();
    let times = thread::scope(|scope| {
        let watch = thread::Builder::new().name(format!("{MEASURING}-watch")).spawn_scoped(scope, move || {
            let servers: Vec<_> = fleet.running().collect();
            let mut times = Vec::new();
            let mut open: Vec<(Instant, usize, Credential)> = Vec::new();
            let mut more = true;
            while more || !open.is_empty() {
                loop {
                    match to_see.try_recv() {
                        Ok(entry) => open.push(entry),
                        Err(mpsc::TryRecvError::Empty) => break,
                        Err(mpsc::TryRecvError::Disconnected) => {
                            more = false;
                            break;
                        }
                    }
                }
                open.retain(|(since, writer, credential)| {
                    let mut others = servers.iter().enumerate().filter(|(member, _)| member != writer);
                    let everywhere = others.all(|(_, server)| knows(server, credential));
                    // What is lost for good is said by the number that is held.
                    let over = everywhere || since.elapsed() > Duration::from_secs(20);
                    if over {
                        times.push(since.elapsed().as_secs_f64() * 1e3);
                    }
                    !over
                });
                thread::sleep(Duration::from_micros(100));
            }
            times
        })?;
        let pour = thread::Builder::new().name(format!("{MEASURING}-pour")).spawn_scoped(scope, move || {
            let servers: Vec<_> = fleet.running().collect();
            for number in 0..rate * seconds {
                let due = start + Duration::from_nanos(number * 1_000_000_000 / rate);
                while now() < due {
                    thread::sleep(Duration::from_micros(200));
                }
                let writer = number as usize % servers.len();
                let credential = attempt(1 << 40 | number);
                let began = now();
                ensure!(fleet.fail(servers[writer], &credential, true)?, "the entry was there before");
                if number % SAMPLED == 0 {
                    written.send((began, writer, credential)).ok().context("the watching thread is there")?;
                }
            }
            Ok(())
        })?;
        match pour.join() {
            Ok(poured) => poured?,
            Err(_) => anyhow::bail!("the writing thread panicked"),
        }
        watch.join().map_err(|_| anyhow::anyhow!("the watching thread panicked"))
    })?;
    let all = (rate * seconds) as usize;
    // Those that no sample covers; what is still missing then is lost.
    let _late = until("the last entries", Duration::from_millis(10), || {
        fleet.running().all(|server| live(server) >= all) || start.elapsed() > Duration::from_secs(seconds + 30)
    });
    Ok(Flood { times, took: start.elapsed(), cpu: Account::now().of_proxies_since(&before) })
}

/// The same with more and more members.
pub(crate) fn growth() -> Result<()> {
    const RATE: u64 = 500;
    const SECONDS: u64 = 4;
    for members in [3, 5, 10, 30] {
        let fleet = Fleet::start(members, 1_000_000)?;
        let mut single = one_at_a_time(&fleet, 300)?;
        let mut flood = pour(&fleet, RATE, SECONDS)?;
        let seen = format!(
            "p99 {:.2} ms; at {RATE} entries/s p50 {:.2}, p99 {:.2} ms",
            quantile(&mut single, 0.99),
            quantile(&mut flood.times, 0.5),
            quantile(&mut flood.times, 0.99)
        );
        figure(&format!("one entry on all of {members}, p50 ms"), Target::Shown, quantile(&mut single, 0.5), &seen);
        let each = flood.cpu * 1e6 / (RATE * SECONDS) as f64;
        let seen = format!("at {RATE} entries/s, what is spent without any among it");
        figure(&format!("CPU us per entry, all of {members} together"), Target::Shown, each, &seen);
        fleet.end();
    }
    Ok(())
}
