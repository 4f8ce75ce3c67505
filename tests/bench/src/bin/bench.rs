//! The driver of `make bench`.

use anyhow::Result;
use bindproxy_bench::driver::{Settings, run};
use clap::Parser;

fn main() -> Result<()> {
    run(&Settings::parse())
}
