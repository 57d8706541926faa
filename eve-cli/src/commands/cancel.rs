//! `eve cancel`: asks the process that drives a run to stop, through the run's journal.

use std::thread;
use std::time::{Duration, Instant};

use eve_core::run::StopMode;
use eve_store::{RunFolder, RunState, RunSummary};

use crate::cli::Cancel;
use crate::duration::show;
use crate::exit::Exit;
use crate::halt::Halt;
use crate::journal::{self, Wanted};
use crate::output::{Printer, state_word};

/// How often is looked whether it has stopped.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

pub(super) fn run(args: &Cancel, printer: &Printer) -> Result<Exit, Halt> {
    let folder = journal::folder()?;
    let run = journal::choose(&folder, args.run.as_deref(), Wanted::Live)?;
    let id = &run.header.run;
    if let RunState::Finished(_) = run.state {
        printer.err(&format!("run {id} is over already: {}", state_word(&run.state)));
        return Ok(Exit::Succeeded);
    }
    let asked = folder.request_stop(id, StopMode::from(args.mode), &who());
    asked.map_err(|error| journal::halt(&error))?;
    if run.state == RunState::Interrupted {
        printer.err(&format!(
            "no process drives run {id}: it stops as soon as it is resumed (`eve resume {id}`)"
        ));
        return Ok(Exit::Succeeded);
    }
    if args.timeout.is_zero() {
        printer.err(&format!("run {id} was asked to stop"));
        return Ok(Exit::Succeeded);
    }
    wait(args.timeout, &folder, &run, printer)
}

fn wait(timeout: Duration, folder: &RunFolder, run: &RunSummary, printer: &Printer) -> Result<Exit, Halt> {
    let (id, begun) = (&run.header.run, Instant::now());
    while begun.elapsed() < timeout {
        match folder.state(id).map_err(|error| journal::halt(&error))? {
            RunState::Live(_) => thread::sleep(LOOK_INTERVAL),
            state @ (RunState::Finished(_) | RunState::Interrupted) => {
                printer.out(&format!("run {id}: {}", state_word(&state)));
                return Ok(Exit::Succeeded);
            }
        }
    }
    let message = format!("run {id} has not stopped within {}; it was asked to, and will", show(timeout));
    Err(Halt::error(Exit::Failed, message).with_hint(format!("see what it still does: `eve status {id}`")))
}

/// This user and this machine, for people.
fn who() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let process = std::process::id();
    user.map_or_else(|_| format!("process {process}"), |user| format!("{user} (process {process})"))
}
