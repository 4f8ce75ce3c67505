//! Running kubectl.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::cluster;

/// What kubectl said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Whether it exited with 0.
    pub done: bool,
    /// What it printed.
    pub output: String,
    /// Errors and warnings.
    pub errors: String,
}

/// Runs kubectl with these arguments: that of `KUBECTL`, of the cluster that was started here, or of the path.
#[must_use]
pub fn kubectl(arguments: &[&str]) -> Answer {
    kubectl_with_input(arguments, "")
}

/// As [`kubectl`], with something to read (`apply -f -`).
#[must_use]
pub fn kubectl_with_input(arguments: &[&str], input: &str) -> Answer {
    let program = cluster::program("KUBECTL", "kubectl");
    let mut command = Command::new(&program);
    if let Some(kubeconfig) = cluster::kubeconfig() {
        command.env("KUBECONFIG", kubeconfig);
    }
    let mut child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{} does not start (set KUBECTL to its path): {error}", program.display()));
    let mut stdin = child.stdin.take().expect("its standard input is a pipe");
    // Whoever reads nothing closes it before; that is no error.
    let _unread = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("wait for kubectl");
    Answer {
        done: output.status.success(),
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// As [`kubectl`], where nothing may go wrong and nothing may be warned of.
pub fn must(arguments: &[&str]) -> String {
    let answer = kubectl(arguments);
    assert!(answer.done && answer.errors.is_empty(), "kubectl {arguments:?}: {}{}", answer.output, answer.errors);
    answer.output
}
