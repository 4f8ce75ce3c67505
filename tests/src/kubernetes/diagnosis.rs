//! What a person wants to see when a test on the cluster failed: printed into the test's own output, because a log of the
//! CI is all that there will be.

use std::fmt::Write as _;

use super::cluster::{OPERATOR_PODS, SYSTEM};
use super::kubectl::kubectl;

const POD_LINES: &str = "--tail=40";
/// The operator works for all tests at once: of so many lines, those that are about a namespace are shown.
const OPERATOR_LINES: &str = "--tail=2000";
const SHOWN: usize = 60;

/// Everything about a namespace.
pub(super) fn of(namespace: &str) -> String {
    let mut report = format!("\n=== what is in namespace {namespace} ===\n");
    show(&mut report, &["get", "bindproxies", "--namespace", namespace, "-o", "yaml"]);
    show(
        &mut report,
        &["get", "statefulsets,services,poddisruptionbudgets,pods", "--namespace", namespace, "-o", "wide"],
    );
    show(&mut report, &["get", "events", "--namespace", namespace, "--sort-by=.lastTimestamp"]);
    let pods = kubectl(&["get", "pods", "--namespace", namespace, "-o", "name"]);
    for pod in pods.output.lines() {
        show(&mut report, &["logs", pod, "--namespace", namespace, "--all-containers", "--prefix", POD_LINES]);
        show(&mut report, &["logs", pod, "--namespace", namespace, "--previous", POD_LINES]);
    }
    report.push_str(&operator(|line| line.contains(namespace) || !line.contains("\"level\":\"INFO\"")));
    report
}

/// The operator's pods and their logs.
pub(super) fn of_the_operator() -> String {
    operator(|_| true)
}

fn operator(tells: impl Fn(&str) -> bool) -> String {
    let mut report = String::from("=== the operator ===\n");
    show(&mut report, &["get", "deployments,pods", "--namespace", SYSTEM, "-o", "wide"]);
    show(&mut report, &["get", "events", "--namespace", SYSTEM, "--sort-by=.lastTimestamp"]);
    let log = kubectl(&["logs", "--namespace", SYSTEM, "--selector", OPERATOR_PODS, "--prefix", OPERATOR_LINES]);
    let lines: Vec<&str> = log.output.lines().filter(|line| tells(line)).collect();
    for line in &lines[lines.len().saturating_sub(SHOWN)..] {
        report.push_str(line);
        report.push('\n');
    }
    report.push_str(&log.errors);
    report
}

fn show(report: &mut String, arguments: &[&str]) {
    let answer = kubectl(arguments);
    // A pod that never restarted has no previous log; that is not worth a line.
    if arguments.contains(&"--previous") && !answer.done {
        return;
    }
    let _ok = writeln!(report, "--- kubectl {}\n{}{}", arguments.join(" "), answer.output, answer.errors);
}
