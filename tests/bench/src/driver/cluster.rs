//! Several proxies as one: what the example `cluster_figures` of the proxy measures between whole members in one
//! process, and what the cluster costs a bind that is answered from the cache.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::figure::{Figure, Target, Unit};
use super::rounds::{FRONT, Subject};
use super::systems::{self, Behind};
use super::works::{Bench, cpu_of, rate};
use crate::canned::BindAnswer;

/// A line of the example.
#[derive(Deserialize)]
struct Line {
    what: String,
    target: Wanted,
    value: f64,
    seen: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Wanted {
    AtMost(f64),
    Shown,
}

impl Bench {
    /// The cluster.
    pub fn cluster(&mut self) -> Result<()> {
        self.cached_in_a_cluster()?;
        // cargo may have to build it first, and shows that on stderr.
        let mut example = Command::new("cargo")
            .args(["run", "--locked", "--release", "--package", "bindproxy", "--example", "cluster_figures"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start cargo")?;
        let output = example.stdout.take().context("a pipe")?;
        for line in BufReader::new(output).lines() {
            let line = line?;
            let Line { what, target, value, seen } = serde_json::from_str(&line).with_context(|| line.clone())?;
            let target = match target {
                Wanted::AtMost(bound) => Target::AtMost(bound),
                Wanted::Shown => Target::Shown,
            };
            self.figures.push(Figure::single("cluster", &what, target, value, seen));
        }
        let status = example.wait()?;
        ensure!(status.success(), "cluster_figures ended: {status}");
        Ok(())
    }

    /// The same proxy with two others that know what it knows, and alone.
    fn cached_in_a_cluster(&mut self) -> Result<()> {
        let directory = systems::canned(&self.yard, "directory", 1, false, BindAnswer::ByLastOctet)?;
        let behind = Behind { address: directory.address, tls: false };
        let alone = systems::alone(&self.yard, behind)?;
        let members = systems::members(&self.yard, behind)?;
        let Some(clustered) = members.first() else { return Ok(()) };
        let subjects = [
            Subject { front: clustered, behind: Some(&directory) },
            Subject { front: &alone, behind: Some(&directory) },
        ];
        let seen = self.run("cluster cached", &["--mode", "bad-bind", "--conns", "32"], &subjects)?;
        let both = [systems::CLUSTERED, systems::ALONE];
        self.ratio("cluster cached", ("ops/s", Unit::Rate), Target::AtLeast(0.95), &seen, both, rate);
        self.ratio("cluster cached", ("CPU us", Unit::CpuTime), Target::Shown, &seen, both, cpu_of(FRONT));
        self.asked_nobody_of(systems::CLUSTERED, "cluster cached", &seen);
        Ok(())
    }
}
