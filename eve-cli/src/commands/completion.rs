//! `eve completion`.

use clap::CommandFactory;

use crate::cli::{Cli, Completion};
use crate::exit::Exit;
use crate::halt::Halt;
use crate::output::Printer;

#[expect(clippy::unnecessary_wraps, reason = "every command has the same shape")]
pub(super) fn run(args: &Completion, printer: &Printer) -> Result<Exit, Halt> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "eve", &mut script);
    printer.out(String::from_utf8_lossy(&script).trim_end());
    Ok(Exit::Succeeded)
}
