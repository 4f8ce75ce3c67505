//! The Debian packages that the suites need; `packages.txt` lists them for `make test`.

use std::path::Path;

/// The list itself, one package in a line, `#` starts a comment.
pub const LIST: &str = include_str!("../packages.txt");

/// Set to `1` to skip suites whose programs are not installed, instead of failing.
pub const SKIP_VARIABLE: &str = "BINDPROXY_TESTS_SKIP_MISSING";

/// Whether all of `programs` (paths) are installed.
///
/// Panics with the command that installs them when one is missing, unless [`SKIP_VARIABLE`] is
/// `1`: a suite that silently did not run would pass for one that did.
#[must_use]
pub fn installed(programs: &[&str]) -> bool {
    let missing: Vec<&str> = programs.iter().copied().filter(|program| !Path::new(program).exists()).collect();
    if missing.is_empty() {
        return true;
    }
    let packages: Vec<&str> =
        LIST.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).filter(|p| !p.is_empty()).collect();
    let command = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
    assert!(
        std::env::var(SKIP_VARIABLE).is_ok_and(|value| value == "1"),
        "{missing:?} not found. Install what the suites need, as `make test` does:\n  {command}\n\
         or set {SKIP_VARIABLE}=1 to leave out what cannot run"
    );
    println!("skipped, because {missing:?} is not installed and {SKIP_VARIABLE}=1");
    false
}
