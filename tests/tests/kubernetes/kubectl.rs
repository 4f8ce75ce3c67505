//! Running kubectl.

use std::env;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// What kubectl said.
pub(crate) struct Answer {
    /// Whether it exited with 0.
    pub(crate) done: bool,
    /// What it printed.
    pub(crate) output: String,
    /// Errors and warnings.
    pub(crate) errors: String,
}

/// Runs the kubectl of `KUBECTL`, or else of the path, with these arguments.
pub(crate) fn kubectl(arguments: &[&str]) -> Answer {
    let program = env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into());
    let output = Command::new(&program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program:?} does not start (set KUBECTL to its path): {error}"));
    Answer {
        done: output.status.success(),
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// As [`kubectl`], where nothing may go wrong and nothing may be warned of.
pub(crate) fn must(arguments: &[&str]) -> String {
    let answer = kubectl(arguments);
    assert!(answer.done && answer.errors.is_empty(), "kubectl {arguments:?}: {}{}", answer.output, answer.errors);
    answer.output
}

/// A namespace of a test's own, that goes with it.
pub(crate) struct Namespace(pub(crate) String);

impl Namespace {
    pub(crate) fn new(purpose: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("{purpose}-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        must(&["create", "namespace", &name]);
        Self(name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Objects go before it, so that they also go where nothing collects the contents of namespaces.
        kubectl(&["delete", "bindproxies", "--all", "--namespace", &self.0, "--wait=false"]);
        kubectl(&["delete", "namespace", &self.0, "--wait=false"]);
    }
}
