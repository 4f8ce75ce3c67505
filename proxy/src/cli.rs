//! The command line. What a person can type is here; what it does is elsewhere.

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::config::{self, LogLevel, Overrides, overrides};

mod manual;

pub use manual::man;

/// LDAP proxy that answers repeated failed binds itself, so that a stale password cannot lock its
/// owner's account.
#[derive(Clone, Debug, Parser)]
#[command(name = "bindproxy", version, arg_required_else_help = true)]
pub struct Cli {
    /// Form of the log on stderr [default: text on a terminal, else json].
    #[arg(long, global = true, value_enum, env = "BINDPROXY_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Least severe events that are logged; wins over the configuration's logging.level.
    #[arg(long, global = true, value_enum, env = "BINDPROXY_LOG_LEVEL", value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the proxy until SIGTERM or SIGINT; SIGHUP reloads the configuration.
    Run(RunArgs),
    /// Check a configuration and print its hash; on error print every problem.
    Check(CheckArgs),
    /// Show on an embedded directory what a stale password does without and with the proxy.
    Demo(DemoArgs),
    /// Show a running proxy's upstreams, connections and cache.
    Status(AdminArgs),
    /// Show who keeps presenting wrong passwords, to any member of the cluster.
    Offenders(OffendersArgs),
    /// Show what each member of the cluster knows about a name and how it would answer.
    Explain(ExplainArgs),
    /// Forget the failures of a name, or all, at every member of the cluster.
    Flush(FlushArgs),
    /// Read a directory's rootDSE through a proxy, or from the directory itself: 0 when it answers.
    Probe(ProbeArgs),
    /// Print the completions of a shell.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    Man,
    /// Print the JSON schema of the configuration file.
    Schema,
}

/// Arguments of `run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// The configuration file.
    #[arg(long, short, env = "BINDPROXY_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
    /// Threads that serve clients [default: one for each core].
    #[arg(long, env = "BINDPROXY_WORKERS", value_name = "N")]
    pub workers: Option<NonZeroU16>,
    /// File that is told why the process ended with 1 or 2, as /dev/termination-log in Kubernetes.
    #[arg(long, env = TERMINATION_LOG_VARIABLE, value_name = "FILE")]
    pub termination_log: Option<PathBuf>,
    /// Who this member is.
    #[command(flatten)]
    pub member: MemberArgs,
}

/// The variable of `--termination-log`, for a command line that cannot be parsed.
pub const TERMINATION_LOG_VARIABLE: &str = "BINDPROXY_TERMINATION_LOG";

/// What differs between members that share one configuration file.
#[derive(Clone, Debug, Args)]
pub struct MemberArgs {
    /// The name of this member, in place of cluster.nodeName.
    #[arg(long, env = overrides::NODE_NAME_VARIABLE, value_name = "NAME")]
    pub node_name: Option<String>,
    /// Name whose addresses are the members, in place of cluster.discovery; a port may follow.
    #[arg(long, env = overrides::PEERS_DNS_VARIABLE, value_name = "NAME")]
    pub peers_dns: Option<String>,
}

impl From<&MemberArgs> for Overrides {
    fn from(arguments: &MemberArgs) -> Self {
        let MemberArgs { node_name, peers_dns } = arguments.clone();
        Self { node_name, peers_dns }
    }
}

/// Arguments of `check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// The configuration file.
    #[arg(long, short, env = "BINDPROXY_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
    /// Who this member is.
    #[command(flatten)]
    pub member: MemberArgs,
}

/// Arguments of `demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// End after the story instead of serving; so does a standard input that is no terminal.
    #[arg(long, env = "BINDPROXY_ONCE", value_parser = clap::builder::FalseyValueParser::new())]
    pub once: bool,
    /// Where the demo's proxy listens.
    #[arg(long, env = "BINDPROXY_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:3389")]
    pub listen: SocketAddr,
    /// Where the demo's metrics and API listen.
    #[arg(long, env = "BINDPROXY_ADMIN_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:9390")]
    pub admin_listen: SocketAddr,
}

/// How to reach a running proxy's admin address.
#[derive(Clone, Debug, Args)]
pub struct AdminArgs {
    /// The admin address.
    #[arg(long, env = "BINDPROXY_ADMIN", value_name = "URL", default_value = "http://127.0.0.1:9390")]
    pub admin: String,
    /// File with the bearer token (admin.tokenFile of the proxy).
    #[arg(long, env = "BINDPROXY_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Form of the answer on stdout.
    #[arg(long, short, env = "BINDPROXY_OUTPUT", value_enum, value_name = "FORM", default_value_t)]
    pub output: Output,
}

/// Arguments of `offenders`.
#[derive(Clone, Debug, Args)]
pub struct OffendersArgs {
    /// How many, at most 1000.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u32,
    /// The proxy.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// Arguments of `explain`.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// The bind name, as clients write it, or the short hash from a log.
    pub name: String,
    /// The proxy.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// Arguments of `flush`.
#[derive(Clone, Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["name", "all"]))]
pub struct FlushArgs {
    /// The bind name, as clients write it, or the short hash from a log.
    pub name: Option<String>,
    /// Forget everything.
    #[arg(long)]
    pub all: bool,
    /// The proxy.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// Arguments of `probe`.
#[derive(Clone, Debug, Args)]
pub struct ProbeArgs {
    /// Where to ask [default port: 389, with --tls 636].
    #[arg(long, value_name = "HOST:PORT")]
    pub ldap: String,
    /// TLS from the first octet (LDAPS).
    #[arg(long, conflicts_with = "starttls")]
    pub tls: bool,
    /// StartTLS first.
    #[arg(long)]
    pub starttls: bool,
    /// PEM file of the authority that signed the certificate [default: the system's].
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// How long all of it may take.
    #[arg(long, value_name = "N", default_value = "5")]
    pub timeout_seconds: NonZeroU16,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Tables for people.
    #[default]
    Text,
    /// The API's JSON.
    Json,
}

impl ValueEnum for LogLevel {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }))
    }
}

/// How a command ended, as an exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 0: done; for `run`: drained.
    Done,
    /// 1: a fault, nobody answered, or a member did not acknowledge a flush.
    Fault,
    /// 2: the configuration is bad (and, by clap, a bad command line).
    BadConfiguration,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => ExitCode::SUCCESS,
            Outcome::Fault => ExitCode::from(1),
            Outcome::BadConfiguration => ExitCode::from(2),
        }
    }
}

/// `check`: prints the hash of a good configuration to `out`; problems and warnings go to `err`.
///
/// # Errors
/// When `out` or `err` cannot be written.
pub fn check(file: &Path, overrides: &Overrides, out: &mut impl Write, err: &mut impl Write) -> io::Result<Outcome> {
    match config::load_with(file, overrides) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                writeln!(err, "warning: {warning}")?;
            }
            writeln!(out, "{}: good", file.display())?;
            writeln!(out, "effective configuration hash: {}", loaded.hash)?;
            Ok(Outcome::Done)
        }
        Err(problems) => {
            write_problems(file, &problems, err)?;
            Ok(Outcome::BadConfiguration)
        }
    }
}

/// Writes every problem on its own line, then how many there are.
///
/// # Errors
/// When `err` cannot be written.
pub fn write_problems(file: &Path, problems: &config::Problems, err: &mut impl Write) -> io::Result<()> {
    writeln!(err, "{problems}")?;
    let count = problems.0.len();
    writeln!(err, "{}: {count} {}", file.display(), if count == 1 { "problem" } else { "problems" })
}

/// `completions`: a shell's completion script.
pub fn completions(shell: clap_complete::Shell, out: &mut impl Write) {
    clap_complete::generate(shell, &mut Cli::command(), "bindproxy", out);
}

/// Parses a command line (with the program's name first), for tests and for `main`.
///
/// # Errors
/// What clap says, which also covers `--help` and `--version`.
pub fn parse(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(arguments)
}
