//! The commands. Exit codes: 0 done, 1 something failed while it ran, 2 the command line or the configuration is wrong.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use eve_core::plan::diagnostic::Source;

use crate::cli::{Cli, Command};
use crate::config::{self, Config, Variables};
use crate::validate::{self, Files};
use crate::{problems, run};

/// The exit code of what was refused before anything was done.
const REFUSED: u8 = 2;

/// Carries out what the command line asks for.
pub fn execute(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Run { config } => match read(&config, Files::Here) {
            Ok(config) => run::run(&config).unwrap_or_else(|error| {
                complain(&error.render());
                ExitCode::FAILURE
            }),
            Err(code) => code,
        },
        Command::Check { config, without_files } => {
            let files = if without_files { Files::Elsewhere } else { Files::Here };
            match read(&config, files) {
                Ok(_) => {
                    print(&format!("{}: no problem found\n", config.display()));
                    ExitCode::SUCCESS
                }
                Err(code) => code,
            }
        }
        Command::Schema => {
            print(&format!("{:#}\n", config::schema()));
            ExitCode::SUCCESS
        }
    }
}

/// Reads the configuration; tells what is wrong with it, whoever asks.
fn read(path: &Path, files: Files) -> Result<Config, ExitCode> {
    let refused = |text: &str| {
        complain(text);
        ExitCode::from(REFUSED)
    };
    let bytes = std::fs::read(path)
        .map_err(|error| refused(&format!("{}: error: cannot be read: {error}\n", path.display())))?;
    let environment = std::env::vars_os();
    let texts =
        environment.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let source = Source::from_bytes(path.display().to_string(), bytes);
    let judge = |config: &Config| validate::problems(config, files);
    let read = config::read(source, folder, &Variables::of(texts), &judge);
    read.map_err(|found| refused(&problems::render(&found)))
}

/// A reader that has gone away is no failure of ours.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn complain(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
