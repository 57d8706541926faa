//! Flags and commands.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Takes plans from a source, deploys them to one cluster, tells how they ended.
#[derive(Debug, Parser)]
#[command(name = "eve-daemon", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Takes plans and deploys them until it is told to end by SIGTERM or Ctrl-C.
    Run {
        /// The configuration, a YAML file.
        config: PathBuf,
    },
    /// Says everything for which `run` would refuse a configuration; asks no server.
    Check {
        /// The files that it names are elsewhere, and so is the kubeconfig: they are not looked at.
        #[arg(long)]
        without_files: bool,
        /// The configuration, a YAML file.
        config: PathBuf,
    },
    /// Prints the JSON Schema of a configuration.
    Schema,
}
