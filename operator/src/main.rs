//! The `bindproxy-operator` program: parses the command line and hands over.

use std::io::{self, Write as _};
use std::process::ExitCode;

use bindproxy_operator::settings::{Cli, Command, RunArgs};
use bindproxy_operator::{crd, run};
use clap::Parser as _;

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let result = match command {
        Command::Run(arguments) => run_operator(*arguments),
        Command::Crd { reference: false } => print_text(crd::crd_text()),
        Command::Crd { reference: true } => print_text(crd::reference_text()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where even stderr is gone, the exit status still tells.
            let _ = writeln!(io::stderr(), "bindproxy-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_operator(arguments: RunArgs) -> anyhow::Result<()> {
    bindproxy::logging::init(arguments.log_format, arguments.log_level)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?;
    runtime.block_on(run::run(arguments))?;
    Ok(())
}

fn print_text(text: anyhow::Result<String>) -> anyhow::Result<()> {
    io::stdout().lock().write_all(text?.as_bytes())?;
    Ok(())
}
