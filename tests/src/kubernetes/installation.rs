//! Another installation of the operator than the others expect. Only for a test that is alone.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::cluster::{Cluster, OPERATOR_PODS, SYSTEM};
use super::kubectl::must;
use super::namespace::Namespace;
use super::pods::Pod;

/// An installation with other values. The usual one comes back when this is dropped.
#[must_use]
pub struct Changed(&'static Cluster);

/// Changes the installation to these arguments: `&["--set", "operator.replicas=2"]`.
pub fn changed(cluster: &'static Cluster, arguments: &[&str]) -> Changed {
    let changed = Changed(cluster);
    cluster.install(arguments);
    changed
}

impl Changed {
    /// The usual installation.
    pub fn back(self) {
        drop(self);
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A second panic would hide the first.
            let _told = catch_unwind(AssertUnwindSafe(|| self.0.install(&[])));
        } else {
            self.0.install(&[]);
        }
    }
}

/// The pods of the operator that have an address.
#[must_use]
pub fn operators(cluster: &Cluster) -> Vec<Pod> {
    let pods = cluster.operator_pods().into_iter().map(|pod| Pod::new(SYSTEM, pod));
    pods.filter(Pod::has_address).collect()
}

/// Who has the lease; `None` when nobody has.
#[must_use]
pub fn holder() -> Option<String> {
    let leases = must(&["get", "leases", "--namespace", SYSTEM, "-o", "jsonpath={.items[*].spec.holderIdentity}"]);
    Some(leases.trim().to_owned()).filter(|holder| !holder.is_empty())
}

/// All that the operator's pods have logged.
#[must_use]
pub fn log() -> String {
    must(&["logs", "--namespace", SYSTEM, "--selector", OPERATOR_PODS, "--tail=-1"])
}

/// How often the operator's log tells of an apply in this namespace.
#[must_use]
pub fn applies(namespace: &Namespace) -> usize {
    log().lines().filter(|line| line.contains("\"applying\"") && line.contains(namespace.name())).count()
}
