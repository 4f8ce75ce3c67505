//! Nodes: where they are, and one that a person empties, which is only for a test that is alone.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::kubectl::{Answer, kubectl, must};
use super::pods::Pod;

/// A node that takes no new pods. It takes them again when this is dropped.
#[must_use]
#[derive(Debug)]
pub struct Emptied {
    node: String,
    /// What kubectl said.
    pub answer: Answer,
}

/// `kubectl drain`, for the pods that `selector` names; it waits until they have gone, or for `seconds`.
pub fn drain(node: &str, selector: &str, seconds: u32) -> Emptied {
    let answer = kubectl(&[
        "drain",
        node,
        "--pod-selector",
        selector,
        "--delete-emptydir-data",
        "--ignore-daemonsets",
        &format!("--timeout={seconds}s"),
    ]);
    Emptied { node: node.to_owned(), answer }
}

impl Drop for Emptied {
    fn drop(&mut self) {
        let answer = kubectl(&["uncordon", &self.node]);
        assert!(answer.done || std::thread::panicking(), "{}", answer.errors);
    }
}

/// The address of each node by its name.
#[must_use]
pub fn addresses() -> BTreeMap<String, IpAddr> {
    let address = "{.status.addresses[?(@.type==\"InternalIP\")].address}";
    let columns = format!("jsonpath={{range .items[*]}}{{.metadata.name}} {address}{{\"\\n\"}}{{end}}");
    let told = must(&["get", "nodes", "-o", &columns]);
    let pairs = told.lines().filter_map(|line| line.split_once(' '));
    pairs.map(|(name, address)| (name.to_owned(), address.parse().expect("an address"))).collect()
}

/// How many of these pods are on each node that has any.
#[must_use]
pub fn spread(pods: &[Pod]) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for pod in pods {
        *counted.entry(pod.node()).or_insert(0) += 1;
    }
    counted
}
