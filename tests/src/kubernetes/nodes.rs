//! A node that a person empties. Only for a test that is alone.

use std::collections::BTreeMap;

use super::kubectl::{Answer, kubectl};
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

/// How many of these pods are on each node that has any.
#[must_use]
pub fn spread(pods: &[Pod]) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for pod in pods {
        *counted.entry(pod.node()).or_insert(0) += 1;
    }
    counted
}
