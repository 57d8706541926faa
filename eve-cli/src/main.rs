//! The program `eve`: parse, call, exit.

use std::process::ExitCode;

use clap::Parser;
use eve_cli::cli::Cli;

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    eve_cli::commands::execute(Cli::parse(), arguments.collect()).into()
}
