//! `eve cancel`: asks the process that drives a run to stop, through the run's journal.

use std::thread;
use std::time::{Duration, Instant};

use eve_core::ids::RunId;
use eve_core::run::Outcome;
use eve_store::{RunFolder, RunState, RunSummary};

use super::ended;
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
    let asked = folder.request_stop(id, args.stop_mode(), &who());
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
        let state = folder.state(id).map_err(|error| journal::halt(&error))?;
        if let Some(said) = stopped(id, &state)? {
            printer.out(&said);
            return Ok(Exit::Succeeded);
        }
        thread::sleep(LOOK_INTERVAL);
    }
    let message = format!("run {id} has not stopped within {}; it was asked to, and will", show(timeout));
    Err(Halt::error(Exit::Failed, message).with_hint(format!("see what it still does: `eve status {id}`")))
}

/// How a run ended that was asked to stop; `None` while it goes on.
fn stopped(run: &RunId, state: &RunState) -> Result<Option<String>, Halt> {
    match state {
        RunState::Live(_) => Ok(None),
        RunState::Finished(Outcome::Cancelled) => Ok(Some(format!("run {run}: {}", state_word(state)))),
        RunState::Finished(_) => Ok(Some(format!("run {run} came to another end: it {}", ended(state)))),
        RunState::Interrupted => {
            let message = format!("the process of run {run} is gone before the run has stopped");
            let hint = format!("it stops as soon as it is resumed: `eve resume {run}`");
            Err(Halt::error(Exit::Failed, message).with_hint(hint))
        }
    }
}

/// This user and this machine, for people.
fn who() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let process = std::process::id();
    user.map_or_else(|_| format!("process {process}"), |user| format!("{user} (process {process})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_says_how_the_run_ended_and_fails_where_its_process_died() {
        let run = RunId::new("r1");
        let said = |outcome| stopped(&run, &RunState::Finished(outcome)).unwrap().unwrap();
        assert_eq!(said(Outcome::Cancelled), "run r1: cancelled");
        assert_eq!(said(Outcome::Succeeded), "run r1 came to another end: it succeeded");
        assert_eq!(said(Outcome::Superseded), "run r1 came to another end: it was superseded");
        assert_eq!(stopped(&run, &RunState::Live(None)).unwrap(), None);
        let died = stopped(&run, &RunState::Interrupted).unwrap_err();
        assert_eq!(died.exit(), Exit::Failed);
        assert!(died.to_string().contains("stops as soon as it is resumed: `eve resume r1`"), "{died}");
    }
}
