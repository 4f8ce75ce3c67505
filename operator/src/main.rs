//! The `bindproxy-operator` program: parses the command line and hands over.

use bindproxy_operator::crd;
use clap::{Parser, Subcommand};

/// Runs BindProxies in a Kubernetes cluster.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the definition of the BindProxy resource as YAML.
    Crd {
        /// Print the reference of its fields as Markdown instead.
        #[arg(long, hide = true)]
        reference: bool,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Crd { reference: false } => print!("{}", crd::crd_text()?),
        Command::Crd { reference: true } => print!("{}", crd::reference_text()?),
    }
    Ok(())
}
