//! The `bindproxy-operator` program: parses the command line and hands over.

use std::process::ExitCode;

fn main() -> ExitCode {
    match bindproxy_operator::crd::crd_text() {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
