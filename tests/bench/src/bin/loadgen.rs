//! Puts load on an LDAP server and prints one line of JSON.

use anyhow::Result;
use bindproxy_bench::listen::runtime;
use bindproxy_bench::load::{Plan, run};
use clap::Parser;

/// An LDAP load generator: one line of JSON, times in microseconds.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    plan: Plan,
}

fn main() -> Result<()> {
    let Arguments { plan } = Arguments::parse();
    let outcome = runtime()?.block_on(run(plan))?;
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}
