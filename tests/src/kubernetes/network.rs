//! Cuts and losses between pods, ways to addresses, and names that the cluster's DNS knows. Only on a cluster that was started on this
//! machine. Clients on this machine still reach every pod.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use parking_lot::Mutex;

use crate::process;

use super::cluster::{cluster, repository};
use super::pods::Pod;

/// All cuts of a test. Dropping it heals every cut on the cluster, so that only a test which is alone makes cuts.
#[must_use]
#[derive(Debug, Default)]
pub struct Cuts(());

impl Cuts {
    /// No cut yet.
    pub fn none() -> Self {
        Self(())
    }

    /// Drops every packet between two pods, both ways.
    pub fn cut(&self, one: &Pod, other: &Pod) {
        self.lose(one, other, 100);
    }

    /// Drops this share of the packets between two pods, both ways.
    pub fn lose(&self, one: &Pod, other: &Pod, percent: u32) {
        let addresses = [one, other].map(|pod| pod.address(0).ip().to_string());
        process::run(script().args(addresses).arg(percent.to_string()));
    }

    /// Drops every packet from a pod to a port somewhere else, such as that of a directory on this machine.
    pub fn cut_from(&self, pod: &Pod, place: SocketAddr) {
        process::run(script().arg("--to").arg(pod.address(0).ip().to_string()).arg(place.to_string()));
    }

    /// Drops this share of the packets from one pod to another; those the other way arrive.
    pub fn lose_towards(&self, from: &Pod, to: &Pod, percent: u32) {
        let addresses = [from, to].map(|pod| pod.address(0).ip().to_string());
        process::run(script().arg("--to").args(addresses).arg(percent.to_string()));
    }

    /// Cuts every pod of `left` from every pod of `right`.
    pub fn partition(&self, left: &[&Pod], right: &[&Pod]) {
        for one in left {
            for other in right {
                self.cut(one, other);
            }
        }
    }

    /// Ends all cuts.
    pub fn heal(self) {
        drop(self);
    }
}

impl Drop for Cuts {
    fn drop(&mut self) {
        process::run(script().arg("--heal"));
    }
}

/// A way from this machine to an address that no interface has, as a router would announce it; gone when this is dropped.
#[must_use]
#[derive(Debug)]
pub struct Route(Ipv4Addr);

impl Route {
    /// Leads `address` to this node.
    pub fn through(address: Ipv4Addr, node: IpAddr) -> Self {
        route("add", address, &["via", &node.to_string()]);
        Self(address)
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        route("del", self.0, &[]);
    }
}

fn route(what: &str, address: Ipv4Addr, way: &[&str]) {
    assert!(cluster().own().is_some(), "a cluster of ours: ask Cluster::own_or_skip first");
    process::run(Command::new("ip").args(["-4", "route", what, &format!("{address}/32")]).args(way));
}

fn script() -> Command {
    Command::new(repository().join("tests/cluster/cut.sh"))
}

/// A name that pods can resolve; gone (`NXDOMAIN`) when this is dropped. A pod's lookup sees a change after at most 6 s.
#[must_use]
#[derive(Debug)]
pub struct Name {
    line: String,
}

/// The file is rewritten as a whole.
static HOSTS: Mutex<()> = Mutex::new(());

impl Name {
    /// Makes `name` known.
    pub fn known(name: &str, address: IpAddr) -> Self {
        let line = format!("{address} {name}");
        rewrite(|lines| lines.push(line.clone()));
        Self { line }
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        rewrite(|lines| lines.retain(|line| *line != self.line));
    }
}

fn rewrite(change: impl FnOnce(&mut Vec<String>)) {
    let file: PathBuf = cluster().own().expect("a cluster of ours: ask Cluster::own_or_skip first").join("hosts");
    let _one_at_a_time = HOSTS.lock();
    let mut lines: Vec<String> = fs::read_to_string(&file).unwrap_or_default().lines().map(str::to_owned).collect();
    change(&mut lines);
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(&file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}
