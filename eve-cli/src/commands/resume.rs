//! `eve resume`: goes on with a run whose process died, as it was called then.

use std::sync::Arc;

use eve_store::RunState;

use super::{apply, delete};
use crate::cli::{ApplyOutput, Resume};
use crate::exit::Exit;
use crate::halt::Halt;
use crate::journal::{self, Repeated, Wanted};
use crate::output::{Printer, state_word};

pub(super) fn run(args: &Resume, printer: &Arc<Printer>) -> Result<Exit, Halt> {
    let result = go_on(args, printer);
    if let (Err(halt), ApplyOutput::Json) = (&result, args.output) {
        printer.out(&halt.json().to_string());
    }
    result
}

fn go_on(args: &Resume, printer: &Arc<Printer>) -> Result<Exit, Halt> {
    let folder = journal::folder()?;
    let run = journal::choose(&folder, args.run.as_deref(), Wanted::Interrupted)?;
    if let RunState::Finished(_) = run.state {
        let message = format!("run {} is over: it {}", run.header.run, ended(&run.state));
        let hint = format!("see how it went: `eve status {}`", run.header.run);
        return Err(Halt::error(Exit::Refused, message).with_hint(hint));
    }
    // Held from here on: of two that resume a run, one goes on.
    let file = Box::new(folder.resume(&run.header.run).map_err(|error| journal::halt(&error))?);
    match journal::command(file.header(), &args.filenames)? {
        Repeated::Apply(mut apply) => {
            apply.output = args.output;
            apply::resume(&apply, file, printer)
        }
        Repeated::Delete(mut delete) => {
            delete.output = args.output;
            delete::resume(&delete, file, printer)
        }
    }
}

fn ended(state: &RunState) -> String {
    match state_word(state) {
        word @ ("cancelled" | "superseded") => format!("was {word}"),
        word => word.to_owned(),
    }
}
