//! The `bindproxy` program: parses the command line and hands over.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use bindproxy::admin::client::{self, Verb};
use bindproxy::cli::{self, Cli, Command, Outcome};
use bindproxy::config::LogLevel;
use bindproxy::demo;
use bindproxy::run::{self, RunError};
use bindproxy::termination_log;
use clap::Parser as _;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            termination_log::of_bad_arguments(&error);
            error.exit();
        }
    };
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
        Command::Check(arguments) => {
            Ok(cli::check(&arguments.config, &(&arguments.member).into(), &mut out, &mut io::stderr().lock())?)
        }
        Command::Demo(arguments) => demo(cli, arguments),
        Command::Status(_) | Command::Offenders(_) | Command::Explain(_) | Command::Flush(_) => {
            match Verb::of(&cli.command) {
                Some((verb, options)) => client::run_verb(&verb, &options, &mut out),
                None => Ok(Outcome::Fault),
            }
        }
        Command::Probe(arguments) => {
            writeln!(out, "{}", bindproxy::probe::probe(arguments)?)?;
            Ok(Outcome::Done)
        }
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

fn demo(cli: &Cli, arguments: &cli::DemoArgs) -> anyhow::Result<Outcome> {
    // The story is told on stdout; the log would only interrupt it.
    bindproxy::logging::init(cli.log_format, cli.log_level.unwrap_or(LogLevel::Warn))?;
    let options = demo::Options {
        listen: arguments.listen,
        admin: arguments.admin_listen,
        once: arguments.once || !io::stdin().is_terminal(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let start_proxy = |text: String| async move { run::start_for_demo(&text) };
    runtime.block_on(demo::run(options, &mut io::stdout(), demo::colours_on_stdout(), start_proxy))?;
    Ok(Outcome::Done)
}

fn run(cli: &Cli, arguments: &cli::RunArgs) -> anyhow::Result<Outcome> {
    let ended = run_logging(cli, arguments);
    let told = match &ended {
        Ok((_, told)) => told.clone(),
        Err(error) => format!("bindproxy: {error:#}\n"),
    };
    if let Some(file) = arguments.termination_log.as_deref().filter(|_| !told.is_empty()) {
        termination_log::write(file, &told);
    }
    ended.map(|(outcome, _)| outcome)
}

/// Runs the proxy; how it ended, and what stderr was told of it.
fn run_logging(cli: &Cli, arguments: &cli::RunArgs) -> anyhow::Result<(Outcome, String)> {
    let level = cli.log_level.unwrap_or(LogLevel::Info);
    let log = bindproxy::logging::init(cli.log_format, level)?;
    let log = cli.log_level.is_none().then_some(log);
    let workers = arguments.workers.map(|workers| usize::from(workers.get()));
    match run::run(&arguments.config, &(&arguments.member).into(), workers, log) {
        Ok(()) => Ok((Outcome::Done, String::new())),
        Err(RunError::Configuration(problems)) => {
            let mut told = Vec::new();
            cli::write_problems(&arguments.config, &problems, &mut told)?;
            // Where even stderr is gone, the exit status and the termination log still tell.
            let _ = io::stderr().lock().write_all(&told);
            Ok((Outcome::BadConfiguration, String::from_utf8_lossy(&told).into_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
