//! Components of the cluster that are taken away: `kube-apiserver`, `kubelet`, `containerd`, `coredns`. Only on a cluster
//! that was started on this machine, and only by a test that is alone.

use std::process::Command;
use std::time::Duration;

use crate::{process, wait};

use super::cluster::repository;
use super::kubectl::kubectl;

/// The node of the control plane.
pub const CONTROL_PLANE: &str = "n1";

/// A component that is not running. It is started again when this is dropped, also by a test that fails.
#[must_use]
#[derive(Debug)]
pub struct Stopped {
    node: String,
    component: String,
}

/// Stops a component by this signal (`KILL`, `TERM`) and waits until it has ended.
pub fn stop(node: &str, component: &str, signal: &str) -> Stopped {
    run(&["stop", node, component, signal]);
    Stopped { node: node.to_owned(), component: component.to_owned() }
}

impl Stopped {
    /// Starts it, and waits until the API server answers.
    pub fn start(self) {
        drop(self);
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        run(&["start", &self.node, &self.component]);
        let ready = || kubectl(&["get", "--raw", "/readyz"]).done;
        if std::thread::panicking() {
            // A second panic would hide the first.
            return;
        }
        wait::until_true("the API server", Duration::from_secs(60), ready);
    }
}

fn run(arguments: &[&str]) {
    process::run(Command::new(repository().join("tests/cluster/component.sh")).args(arguments));
}
