//! One pod.

use bindproxy_tests::simulation::{Report, run};

use super::number;

const SEEDS: u64 = 2000;

#[test]
fn promises_hold_for_every_seed() {
    if let Some(seed) = number("BINDPROXY_SIMULATION_SEED") {
        match run(seed) {
            Ok(report) => println!("seed {seed}: {report:?}"),
            Err(violation) => panic!("{violation}"),
        }
        return;
    }
    let mut sum = Report::default();
    for seed in 0..number("BINDPROXY_SIMULATION_SEEDS").unwrap_or(SEEDS) {
        match run(seed) {
            Ok(report) => sum = sum.plus(report),
            Err(violation) => panic!("{violation}"),
        }
    }
    println!("{sum:?}");
    // Runs in which nothing of interest happens would prove nothing.
    assert!(sum.cached > 100_000 && sum.received > 100_000, "{sum:?}");
    assert!(sum.waited > 1000 && sum.locks > 100 && sum.faults > 1000, "{sum:?}");
    assert!(sum.right_refused > 100 && sum.others_purged > 100 && sum.late > 10, "{sum:?}");
}

#[test]
fn a_seed_replays_the_same_run() {
    assert_eq!(run(42), run(42));
    assert_ne!(run(42), run(43));
}
