//! A cluster, in a network that breaks.

use std::sync::atomic::{AtomicU64, Ordering};

use bindproxy_tests::simulation::Violation;
use bindproxy_tests::simulation::cluster::{Fault, Report, run};

use super::number;

const SEEDS: u64 = 10_000;
/// What a test machine has at least.
const THREADS: usize = 2;

/// Runs seeds on two threads, up to the first violation; past it if `BINDPROXY_SIMULATION_ALL` is set, from
/// `BINDPROXY_SIMULATION_FIRST` on.
fn run_all(seeds: u64) -> Result<Report, Violation> {
    let first = number("BINDPROXY_SIMULATION_FIRST").unwrap_or_default();
    let goes_on = number("BINDPROXY_SIMULATION_ALL").is_some();
    let seeds = first + seeds;
    let next = AtomicU64::new(first);
    let work = || {
        let mut sum = Report::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return Ok(sum);
            }
            match run(seed, None) {
                Ok(report) => sum = sum.plus(report),
                Err(violation) if goes_on => println!("{violation}"),
                Err(violation) => {
                    next.store(seeds, Ordering::Relaxed);
                    return Err(violation);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .try_fold(Report::default(), |sum, thread| Ok(sum.plus(thread.join().expect("a run does not panic")?)))
    })
}

#[test]
fn promises_hold_in_a_cluster_for_every_seed() {
    if let Some(seed) = number("BINDPROXY_SIMULATION_SEED") {
        match run(seed, None) {
            Ok(report) => println!("seed {seed}: {report:?}"),
            Err(violation) => panic!("{violation}"),
        }
        return;
    }
    let sum = match run_all(number("BINDPROXY_SIMULATION_SEEDS").unwrap_or(SEEDS)) {
        Ok(sum) => sum,
        Err(violation) => panic!("{violation}"),
    };
    println!("{sum:?}");
    if sum.seeds < 1000 {
        return;
    }
    // Runs in which nothing of interest happens would prove nothing.
    let each = |count: u64, of_seeds: u64| assert!(count * of_seeds > sum.seeds, "{sum:?}");
    each(sum.cached_elsewhere, 1);
    each(sum.waited_elsewhere, 1);
    each(sum.granted, 1);
    each(sum.repaired, 1);
    each(sum.received, 1);
    each(sum.faults, 2);
    each(sum.unleased, 5);
    each(sum.right_refused, 20);
    each(sum.acknowledged, 20);
    each(sum.agreed, 20);
    each(sum.jumped, 200);
}

/// Tries seeds until one fails, for a fault that is built in.
fn is_found(fault: Fault) {
    let found = (0..200).find_map(|seed| run(seed, Some(fault)).err());
    let violation = found.unwrap_or_else(|| panic!("{fault:?} is not noticed"));
    println!("{fault:?}: {}", violation.what.lines().next().unwrap_or_default());
}

#[test]
fn faults_that_are_built_in_are_found() {
    for fault in [
        Fault::LivesStartAnew,
        Fault::PardonsAreLost,
        Fault::NobodyAsks,
        Fault::ConclusionsAreLost,
        Fault::FactsAreLost,
        Fault::EndsAreUnnoticed,
        Fault::LeasesAreForgotten,
        Fault::StrangersAreRefused,
    ] {
        is_found(fault);
    }
}

#[test]
fn a_seed_replays_the_same_run_of_a_cluster() {
    assert_eq!(run(42, None), run(42, None));
    assert_ne!(run(42, None), run(43, None));
}
