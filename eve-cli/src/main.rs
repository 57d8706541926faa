//! The program `eve`: parse, call, exit.

use std::process::ExitCode;

use clap::Parser;
use eve_cli::cli::Cli;

fn main() -> ExitCode {
    eve_cli::commands::execute(Cli::parse()).into()
}
