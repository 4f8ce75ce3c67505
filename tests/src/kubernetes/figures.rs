//! What was measured: lines `name value unit` in `target/e2e/figures.txt`, which `.ci/e2e` prints at the end.

use std::fs::{self, File};
use std::io::Write as _;
use std::time::Duration;

use super::cluster::repository;

/// Adds a figure, and prints it.
pub fn record(name: &str, value: f64, unit: &str) {
    println!("figure: {name} {value:.3} {unit}");
    let folder = repository().join("target/e2e");
    fs::create_dir_all(&folder).expect("make target/e2e");
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(folder.join("figures.txt"))
        .expect("open target/e2e/figures.txt");
    // One write, since tests run beside each other.
    file.write_all(format!("{name}\t{value:.3}\t{unit}\n").as_bytes()).expect("write a figure");
}

/// Adds a time in seconds.
pub fn record_seconds(name: &str, time: Duration) {
    record(name, time.as_secs_f64(), "s");
}

/// Adds a time in milliseconds.
pub fn record_milliseconds(name: &str, time: Duration) {
    record(name, time.as_secs_f64() * 1000.0, "ms");
}
