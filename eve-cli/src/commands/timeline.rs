//! `eve timeline`: what each component of a run did, when, and what it waited for.

use super::or_json;
use super::status::{Recorded, recorded};
use crate::cli::{self, GetOutput};
use crate::exit::Exit;
use crate::halt::Halt;
use crate::output::{Printer, state_word};

pub(super) fn run(args: &cli::Timeline, printer: &Printer) -> Result<Exit, Halt> {
    or_json(show(args, printer), (args.output, GetOutput::Json), printer)
}

fn show(args: &cli::Timeline, printer: &Printer) -> Result<Exit, Halt> {
    let Recorded { run, timeline, .. } = recorded(args.run.as_deref())?;
    match args.output {
        GetOutput::Text => {
            let header = &run.header;
            printer.err(&format!(
                "run {}: {} of plan {} in namespace {}, {}",
                header.run,
                header.verb,
                header.plan,
                header.namespace,
                state_word(&run.state)
            ));
            printer.out(&timeline.text());
        }
        GetOutput::Json => printer.out(&timeline.json().to_string()),
    }
    Ok(Exit::Succeeded)
}
