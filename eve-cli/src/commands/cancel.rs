//! `eve cancel`: asks the process that drives a run to stop, through the run's journal.

use std::thread;
use std::time::{Duration, Instant};

use eve_core::ids::RunId;
use eve_core::run::{Outcome, StopMode};
use eve_store::{RunFolder, RunState, RunSummary};

use super::ended;
use crate::cli::Cancel;
use crate::duration::show;
use crate::exit::Exit;
use crate::halt::Halt;
use crate::journal::{self, Wanted};
use crate::output::{Board, Printer, effect, state_word};

/// How often is looked whether it has stopped.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

pub(super) fn run(args: &Cancel, printer: &Printer) -> Result<Exit, Halt> {
    let folder = journal::folder()?;
    let run = journal::choose(&folder, args.run.as_deref(), Wanted::Live)?;
    let id = &run.header.run;
    if let RunState::Finished(_) = run.state {
        printer.err(&format!("run {id} is over already: {}", state_word(&run.state)));
        return Ok(exit(&run.state, args.stop_mode()));
    }
    if run.state == RunState::Interrupted
        && let Some(by) = journal::newest_listed_after(&folder, &run.header)?
    {
        printer.err(&format!(
            "run {id} was interrupted and goes on no more, for run {by} of this plan came after it; `eve rollback {id}` \
             undoes what it changed"
        ));
        return Ok(Exit::Succeeded);
    }
    let mode = args.stop_mode();
    let effect = effect(&board(&folder, &run)?, mode);
    let asked = folder.request_stop(id, mode, &who());
    asked.map_err(|error| journal::halt(&error))?;
    if run.state == RunState::Interrupted {
        printer.err(&format!(
            "no process drives run {id}: it stops as soon as it is resumed (`eve resume {id}`): {effect}"
        ));
        return Ok(Exit::Succeeded);
    }
    printer.err(&format!("run {id} was asked to stop: {effect}"));
    if args.timeout.is_zero() {
        return Ok(Exit::Succeeded);
    }
    wait((args.timeout, mode), &folder, &run, printer)
}

/// The run as far as its journal has it.
fn board(folder: &RunFolder, run: &RunSummary) -> Result<Board, Halt> {
    let records = folder.read(&run.header.run).and_then(|reader| reader.records());
    let records = records.map_err(|error| journal::halt(&error))?;
    Ok(Board::of(journal::sketched(&run.header)?, &records))
}

fn wait(
    (timeout, mode): (Duration, StopMode),
    folder: &RunFolder,
    run: &RunSummary,
    printer: &Printer,
) -> Result<Exit, Halt> {
    let (id, begun) = (&run.header.run, Instant::now());
    while begun.elapsed() < timeout {
        let state = folder.state(id).map_err(|error| journal::halt(&error))?;
        if let Some(said) = stopped(id, &state, mode)? {
            printer.out(&said);
            return Ok(exit(&state, mode));
        }
        thread::sleep(LOOK_INTERVAL);
    }
    let message = format!("run {id} has not stopped within {}; it was asked to, and will", show(timeout));
    Err(Halt::error(Exit::Failed, message).with_hint(format!("see what it still does: `eve status {id}`")))
}

/// Whoever asks for a rollback wants to know whether it is one; whoever asks for an end has it, whichever it is.
fn exit(state: &RunState, mode: StopMode) -> Exit {
    match (mode, state) {
        (StopMode::Rollback, RunState::Finished(Outcome::RolledBack)) => Exit::Succeeded,
        (StopMode::Rollback, RunState::Finished(Outcome::RollbackFailed)) => Exit::RollbackFailed,
        (StopMode::Rollback, RunState::Finished(_)) => Exit::Failed,
        _ => Exit::Succeeded,
    }
}

/// How a run ended that was asked to stop; `None` while it goes on.
fn stopped(run: &RunId, state: &RunState, mode: StopMode) -> Result<Option<String>, Halt> {
    match state {
        RunState::Live(_) => Ok(None),
        RunState::Finished(Outcome::Cancelled) => Ok(Some(format!("run {run}: {}", state_word(state)))),
        RunState::Finished(Outcome::RolledBack) if mode == StopMode::Rollback => {
            Ok(Some(format!("run {run}: {}", state_word(state))))
        }
        RunState::Finished(Outcome::RollbackFailed) => Ok(Some(format!(
            "run {run} {}; what is left, and what puts it back: `eve status {run}`",
            ended(state)
        ))),
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
        for (outcome, of_stop, of_rollback) in [
            (Outcome::Cancelled, Exit::Succeeded, Exit::Failed),
            (Outcome::Succeeded, Exit::Succeeded, Exit::Failed),
            (Outcome::RolledBack, Exit::Succeeded, Exit::Succeeded),
            (Outcome::RollbackFailed, Exit::Succeeded, Exit::RollbackFailed),
        ] {
            let state = RunState::Finished(outcome);
            assert_eq!(exit(&state, StopMode::Now), of_stop, "{outcome:?}");
            assert_eq!(exit(&state, StopMode::Rollback), of_rollback, "{outcome:?}");
        }
        let asked = |outcome, mode| stopped(&run, &RunState::Finished(outcome), mode).unwrap().unwrap();
        let said = |outcome| asked(outcome, StopMode::Now);
        assert_eq!(said(Outcome::Cancelled), "run r1: cancelled");
        assert_eq!(said(Outcome::Succeeded), "run r1 came to another end: it succeeded");
        assert_eq!(said(Outcome::Superseded), "run r1 came to another end: it was superseded");
        assert_eq!(said(Outcome::RolledBack), "run r1 came to another end: it was rolled back");
        assert_eq!(asked(Outcome::RolledBack, StopMode::Rollback), "run r1: rolled back");
        let left = said(Outcome::RollbackFailed);
        assert!(left.starts_with("run r1 was to be rolled back, and not all of it is"), "{left}");
        assert_eq!(stopped(&run, &RunState::Live(None), StopMode::Now).unwrap(), None);
        let died = stopped(&run, &RunState::Interrupted, StopMode::Now).unwrap_err();
        assert_eq!(died.exit(), Exit::Failed);
        assert!(died.to_string().contains("stops as soon as it is resumed: `eve resume r1`"), "{died}");
    }
}
