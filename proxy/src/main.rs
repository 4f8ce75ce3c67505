//! The `bindproxy` program: parses the command line and hands over.

use std::io::{self, Write as _};
use std::process::ExitCode;

use bindproxy::cli::{self, Cli, Command, NotBuiltIn, Outcome};
use bindproxy::run::RunError;
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
    match &cli.command {
        Command::Run(arguments) => run(cli, arguments),
        Command::Check(arguments) => Ok(cli::check(&arguments.config, &mut out, &mut io::stderr().lock())?),
        Command::Demo(_) => Err(NotBuiltIn("demo").into()),
        Command::Status(_) => Err(NotBuiltIn("status").into()),
        Command::Offenders(_) => Err(NotBuiltIn("offenders").into()),
        Command::Explain(_) => Err(NotBuiltIn("explain").into()),
        Command::Flush(_) => Err(NotBuiltIn("flush").into()),
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

fn run(cli: &Cli, arguments: &cli::RunArgs) -> anyhow::Result<Outcome> {
    let level = cli.log_level.unwrap_or(bindproxy::config::LogLevel::Info);
    let log = bindproxy::logging::init(cli.log_format, level)?;
    let log = cli.log_level.is_none().then_some(log);
    let workers = arguments.workers.map(|workers| usize::from(workers.get()));
    match bindproxy::run::run(&arguments.config, workers, log) {
        Ok(()) => Ok(Outcome::Done),
        Err(RunError::Configuration(problems)) => {
            cli::write_problems(&arguments.config, &problems, &mut io::stderr().lock())?;
            Ok(Outcome::BadConfiguration)
        }
        Err(error) => Err(error.into()),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
