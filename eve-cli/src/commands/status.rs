//! `eve status`: how a run stands, or how it ended, from its journal alone.

use eve_core::driver::SystemClock;
use eve_core::ids::RunId;
use eve_core::ports::Clock as _;
use eve_store::{RunState, RunSummary, StopRequest};
use serde_json::Value;

use super::or_json;
use crate::cli::{GetOutput, Status};
use crate::exit::Exit;
use crate::halt::Halt;
use crate::journal::{self, Wanted};
use crate::output::{
    Printer, Standing, Timeline, header_json, requests_json, rollback_json, status, summary_json,
};

pub(super) fn run(args: &Status, printer: &Printer) -> Result<Exit, Halt> {
    or_json(show(args, printer), (args.output, GetOutput::Json), printer)
}

fn show(args: &Status, printer: &Printer) -> Result<Exit, Halt> {
    let Recorded { run, newest_after, timeline, requests } = recorded(args.run.as_deref())?;
    let standing = Standing { state: &run.state, newest_after: newest_after.as_ref() };
    let board = timeline.board();
    match args.output {
        GetOutput::Text => {
            let (run, now) = ((&run, newest_after.as_ref()), SystemClock::new().now());
            printer.out(&status(run, board, &requests, now));
        }
        GetOutput::Json => {
            let exit = match run.state {
                RunState::Finished(outcome) if board.undoes.is_some() => Some(Exit::of_undoing(outcome)),
                RunState::Finished(outcome) => Some(Exit::from(outcome)),
                RunState::Live(_) | RunState::Interrupted => None,
            };
            let mut json = header_json(&run.header);
            if let Some(fields) = json.as_object_mut() {
                fields.insert("type".to_owned(), "status".into());
                fields.insert("state".to_owned(), standing.json());
                fields.insert("stopRequests".to_owned(), requests_json(&requests));
                fields.insert("rollback".to_owned(), rollback_json(board));
                fields
                    .insert("summary".to_owned(), exit.map_or(Value::Null, |exit| summary_json(board, exit)));
            }
            printer.out(&json.to_string());
        }
    }
    Ok(Exit::Succeeded)
}

/// A run as its journal has it at this moment.
pub(super) struct Recorded {
    pub(super) run: RunSummary,
    /// The newest run of the same plan that came after it.
    pub(super) newest_after: Option<RunId>,
    pub(super) timeline: Timeline,
    /// What was asked of it.
    requests: Vec<StopRequest>,
}

/// The run of this name, or the newest.
pub(super) fn recorded(name: Option<&str>) -> Result<Recorded, Halt> {
    let folder = journal::folder()?;
    let run = journal::choose(&folder, name, Wanted::Newest)?;
    let read = folder.read(&run.header.run).and_then(|reader| Ok((reader.records()?, reader.requests()?)));
    let (records, requests) = read.map_err(|error| journal::halt(&error))?;
    let timeline = Timeline::of(journal::sketched(&run.header)?, &records);
    let newest_after = journal::newest_listed_after(&folder, &run.header)?;
    Ok(Recorded { run, newest_after, timeline, requests })
}
