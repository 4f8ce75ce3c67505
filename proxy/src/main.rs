//! The `bindproxy` program: parses the command line and hands over.

use std::io::{self, Write as _};
use std::process::ExitCode;

use bindproxy::admin::client::{Verb, run_verb};
use bindproxy::cli::{self, Cli, Command, NotBuiltIn, Outcome};
use clap::Parser as _;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(&cli) {
        Ok(outcome) => outcome.into(),
        // A reader that closed the pipe (`bindproxy man | head`) has seen what it wanted.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Where even stderr is gone, the exit status still tells.
            let _ = writeln!(io::stderr(), "bindproxy: {error:#}");
            Outcome::Fault.into()
        }
    }
}

fn dispatch(cli: &Cli) -> anyhow::Result<Outcome> {
    let mut out = io::stdout().lock();
    if let Some((verb, options)) = Verb::of(&cli.command) {
        return run_verb(&verb, &options, &mut out);
    }
    match &cli.command {
        Command::Run(_) => Err(NotBuiltIn("run").into()),
        Command::Check(arguments) => Ok(cli::check(&arguments.config, &mut out, &mut io::stderr().lock())?),
        Command::Demo(_) => Err(NotBuiltIn("demo").into()),
        // `Verb::of` has taken these.
        Command::Status(_) | Command::Offenders(_) | Command::Explain(_) | Command::Flush(_) => Ok(Outcome::Fault),
        Command::Completions { shell } => {
            cli::completions(*shell, &mut out);
            Ok(Outcome::Done)
        }
        Command::Man => {
            cli::man(&mut out)?;
            Ok(Outcome::Done)
        }
        Command::Schema => {
            write!(out, "{}", bindproxy::config::schema_text())?;
            Ok(Outcome::Done)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
