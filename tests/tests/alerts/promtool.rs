//! Prometheus' checker of rules, configurations and cases.

use std::path::Path;
use std::process::Command;

use bindproxy_tests::{packages, process};

const PROMTOOL: &str = "/usr/bin/promtool";

/// Whether it is there; panics with how to install it when it is not and may not be left out.
pub(crate) fn installed() -> bool {
    packages::installed(&[PROMTOOL])
}

/// Checks a file of rules, in `directory`: names, PromQL, templates of annotations.
pub(crate) fn check_rules(directory: &Path, file: &str) {
    run(directory, &["check", "rules", file]);
}

/// Runs files of cases, in `directory`.
pub(crate) fn test_rules(directory: &Path, files: &[String]) {
    let files = files.iter().map(String::as_str);
    run(directory, &["test", "rules"].into_iter().chain(files).collect::<Vec<_>>());
}

/// Checks a configuration of Prometheus and the rules that it names, in `directory`.
pub(crate) fn check_config(directory: &Path, file: &str) {
    run(directory, &["check", "config", file]);
}

fn run(directory: &Path, arguments: &[&str]) {
    process::run(Command::new(PROMTOOL).args(arguments).current_dir(directory));
}
