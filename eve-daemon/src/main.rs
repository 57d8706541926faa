//! The program `eve-daemon`: parse, call, exit.

use std::process::ExitCode;

use clap::Parser as _;
use eve_daemon::cli::Cli;

fn main() -> ExitCode {
    eve_daemon::commands::execute(Cli::parse())
}
