//! Measures a cluster of real members in one process, with real TLS over loopback between them:
//! `cargo run --release --example cluster_figures [WORK...]`.
//!
//! One figure in a line, as JSON, on standard output; `make bench ONLY=cluster` puts them into its table.

mod cpu;
mod fleet;
mod heal;
mod idle;
mod join;
mod lease;
mod propagation;
mod report;

use anyhow::{Result, bail};

/// What is measured: its name, and what measures it.
type Work = (&'static str, fn() -> Result<()>);

fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let works: [Work; 7] = [
        ("one", propagation::one_entry),
        ("flood", propagation::flood),
        ("lease", lease::granted_elsewhere),
        ("join", join::with_much_to_learn),
        ("heal", heal::after_a_partition),
        ("idle", idle::with_many_entries),
        ("growth", propagation::growth),
    ];
    if let Some(unknown) = wanted.iter().find(|name| works.iter().all(|(work, _)| work != name)) {
        bail!("no work {unknown}");
    }
    let mut failed = Vec::new();
    for (name, work) in works {
        if wanted.is_empty() || wanted.iter().any(|one| one == name) {
            eprintln!("cluster: {name}");
            if let Err(error) = work() {
                eprintln!("cluster: {name} could not be measured: {error:#}");
                failed.push(name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("could not be measured: {failed:?}") }
}
