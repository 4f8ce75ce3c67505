//! Why the process ended, for whoever starts it: Kubernetes shows this file in the pod's status.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use crate::cli::TERMINATION_LOG_VARIABLE;

/// The kubelet takes no more.
const MOST_OCTETS: usize = 4096;

/// Writes what fits of `told` to `file`. That it cannot be written is only logged: the process ends anyway, and
/// stderr has been told too.
pub fn write(file: &Path, told: &str) {
    if let Err(error) = try_write(file, told) {
        tracing::warn!(file = %file.display(), %error, "the termination log cannot be written");
    }
}

/// The same for a command line of `run` that cannot be parsed, whose own `--termination-log` is not known.
pub fn of_bad_arguments(error: &clap::Error) {
    let runs = std::env::args_os().any(|argument| argument == "run");
    if let Some(file) = std::env::var_os(TERMINATION_LOG_VARIABLE).filter(|_| runs && error.exit_code() != 0) {
        write(Path::new(&file), &error.render().to_string());
    }
}

/// The kubelet makes the file before the process starts and has it mounted, so it is neither replaced nor renamed.
fn try_write(file: &Path, told: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(file)?;
    file.write_all(fitting(told).as_bytes())
}

/// As many whole lines as fit; of a first line that is too long, as many characters.
fn fitting(told: &str) -> &str {
    if told.len() <= MOST_OCTETS {
        return told;
    }
    let most = &told[..told.floor_char_boundary(MOST_OCTETS)];
    most.rfind('\n').map_or(most, |end| &most[..=end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut_between_lines_or_characters() {
        assert_eq!(fitting("a\nb"), "a\nb");
        let lines = format!("{}\n{}\nlast\n", "é".repeat(1000), "x".repeat(2095));
        assert_eq!(lines.len(), 2001 + 2096 + 5);
        assert_eq!(fitting(&lines).len(), 2001);
        let exact = format!("{}\nx", "y".repeat(4095));
        assert_eq!(fitting(&exact).len(), 4096);
        let long = format!("a{}", "é".repeat(3000));
        assert_eq!(fitting(&long).len(), 4095);
        assert_eq!(fitting(&"z".repeat(4096)).len(), 4096);
    }
}
