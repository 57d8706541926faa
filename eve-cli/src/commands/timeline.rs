//! `eve timeline`: what each component of a run did, when, and what it waited for.

use super::or_json;
use super::status::{Recorded, recorded};
use crate::cli::{self, GetOutput};
use crate::exit::Exit;
use crate::halt::Halt;
use crate::output::{Printer, Standing};

pub(super) fn run(args: &cli::Timeline, printer: &Printer) -> Result<Exit, Halt> {
    or_json(show(args, printer), (args.output, GetOutput::Json), printer)
}

fn show(args: &cli::Timeline, printer: &Printer) -> Result<Exit, Halt> {
    let Recorded { run, newest_after, timeline, .. } = recorded(args.run.as_deref())?;
    let standing = Standing { state: &run.state, newest_after: newest_after.as_ref() };
    match args.output {
        GetOutput::Text => {
            let header = &run.header;
            printer.err(&format!(
                "run {}: {} of plan {} in namespace {}, {}",
                header.run,
                header.verb,
                header.plan,
                header.namespace,
                standing.word()
            ));
            printer.out(&timeline.text());
        }
        GetOutput::Json => printer.out(&timeline.json().to_string()),
    }
    Ok(Exit::Succeeded)
}
