//! `eve rollback`: a run of its own that puts back what another one changed, from that one's journal alone.

use std::sync::Arc;

use eve_core::ids::RunId;
use eve_core::run::{Outcome, Record};
use eve_core::secret::PinnedSecrets;
use eve_store::{Listed, RunFile, RunFolder, RunHeader, RunState, RunSummary};

use super::drive::{self, Deadline, Limits, Place, Task, Work};
use super::{ended, or_json};
use crate::cli::{ApplyOutput, Rollback};
use crate::exit::Exit;
use crate::halt::Halt;
use crate::journal::{self, Call, Origin, Reach, Wanted};
use crate::output::{Board, Printer};
use crate::sketch::Specs;
use crate::wiring;

pub(super) fn run(args: &Rollback, arguments: Vec<String>, printer: &Arc<Printer>) -> Result<Exit, Halt> {
    let result = begin(args, arguments, printer);
    or_json(result, (args.output, ApplyOutput::Json), printer)
}

fn begin(args: &Rollback, arguments: Vec<String>, printer: &Arc<Printer>) -> Result<Exit, Halt> {
    let folder = journal::folder()?;
    let undone = Undone::find(&folder, &args.run)?;
    undone.may_be_undone(&folder)?;
    // Whoever resumes it finds the same run, whatever others have come to be called since.
    let arguments =
        arguments.into_iter().map(|word| if word == args.run { undone.header.run.to_string() } else { word });
    let call =
        Call { verb: "rollback", arguments: arguments.collect(), sources: Vec::new(), specs: Specs::Left };
    drive::block_on(on_cluster(args, printer, undone, Origin::Call(call)))
}

/// The same rollback, from its journal on. What it needs of the other run is in its first records; where it has none, that
/// run is read again.
pub(super) fn resume(args: &Rollback, file: Box<RunFile>, printer: &Arc<Printer>) -> Result<Exit, Halt> {
    let undone = Undone::find(&journal::folder()?, &args.run)?;
    drive::block_on(on_cluster(args, printer, undone, Origin::Journal(file)))
}

/// The run that is undone.
struct Undone {
    header: RunHeader,
    state: RunState,
    records: Vec<Record>,
    /// What its cluster is known again by, where that was ever said.
    cluster: Option<String>,
}

impl Undone {
    /// The run of this name; where that one undoes another itself, the other.
    fn find(folder: &RunFolder, name: &str) -> Result<Self, Halt> {
        let found = Self::read(folder, journal::choose(folder, Some(name), Wanted::Newest)?)?;
        match found.board()?.undoes {
            None => Ok(found),
            Some(other) => Self::read(folder, journal::choose(folder, Some(other.as_str()), Wanted::Newest)?),
        }
    }

    fn read(folder: &RunFolder, run: RunSummary) -> Result<Self, Halt> {
        let read = folder.read(&run.header.run);
        let read = read.and_then(|reader| Ok((reader.records()?, reader.cluster()?)));
        let (records, cluster) = read.map_err(|error| journal::halt(&error))?;
        Ok(Self { header: run.header, state: run.state, records, cluster })
    }

    /// Whether this is the cluster on which the run changed something.
    fn is_on(&self, place: Place<'_>) -> Result<(), Halt> {
        journal::is_on(&self.header, place.server)?;
        match (&self.cluster, place.identity) {
            (Some(known), Some(found)) if known != found => {
                Err(journal::of_another_cluster(&self.header, known, found))
            }
            _ => Ok(()),
        }
    }

    fn board(&self) -> Result<Board, Halt> {
        Ok(Board::of(journal::sketched(&self.header)?, &self.records))
    }

    fn may_be_undone(&self, folder: &RunFolder) -> Result<(), Halt> {
        let run = &self.header.run;
        let refused =
            |message: String, hint: String| Err(Halt::error(Exit::Refused, message).with_hint(hint));
        match self.state {
            RunState::Live(_) => {
                let hint = format!("stop it and have it undo what it changed: `eve cancel {run} --rollback`");
                return refused(format!("run {run} is still under way"), hint);
            }
            RunState::Interrupted if journal::newest_listed_after(folder, &self.header)?.is_none() => {
                let hint = format!(
                    "go on with it: `eve resume {run}`; so that it undoes what it changed, say `eve cancel {run} \
                     --rollback` before"
                );
                return refused(format!("run {run} was interrupted and is not over"), hint);
            }
            // Nobody can go on with it any more.
            RunState::Interrupted | RunState::Finished(_) => {}
        }
        if self.header.verb == "delete" && self.state == RunState::Finished(Outcome::Succeeded) {
            let message =
                format!("run {run} deleted the plan, and what was there before is not kept after that");
            return refused(message, "apply the plan again".to_owned());
        }
        let board = self.board()?;
        if board.left_by().is_empty() {
            let message = format!("there is nothing to undo: run {run} {}", ended(&self.state));
            let hint = format!("see what it changed: `eve status {run}`");
            return refused(message, hint);
        }
        if !board.has_kept() {
            let message = format!("run {run} kept nothing of what was before: it had no policy `rollback`");
            let hint =
                "apply the plan as it was before, or use `--on-failure rollback` from now on".to_owned();
            return refused(message, hint);
        }
        self.nothing_came_after(folder, &board)
    }

    /// Runs of the same plan that came after this one, with what they did.
    fn later(&self, folder: &RunFolder) -> Result<Vec<(Self, Board)>, Halt> {
        let mut later = Vec::new();
        for listed in folder.list().map_err(|error| journal::halt(&error))? {
            if let Listed::Run(other) = listed
                && journal::is_later(&other.header, &self.header)
            {
                let other = Self::read(folder, *other)?;
                let board = other.board()?;
                later.push((other, board));
            }
        }
        Ok(later)
    }

    /// A later run of the same plan that wrote the same objects: what was before this one is no more what was before that.
    fn nothing_came_after(&self, folder: &RunFolder, board: &Board) -> Result<(), Halt> {
        let own = board.left_by();
        let later = self.later(folder)?;
        let run = &self.header.run;
        let by = later.iter().find(|(_, board)| {
            board.undoes.as_ref() == Some(run) && board.outcome == Some(Outcome::RolledBack)
        });
        if let Some((by, _)) = by {
            let message = format!("run {run} is undone already, by run {}", by.header.run);
            return Err(Halt::error(Exit::Refused, message));
        }
        let is_undone = |run: &RunId| {
            later.iter().any(|(_, board)| {
                board.undoes.as_ref() == Some(run) && board.outcome == Some(Outcome::RolledBack)
            })
        };
        for (other, theirs) in &later {
            // What an earlier try to undo the same run has done is what this one goes on with.
            if theirs.undoes.as_ref() == Some(&self.header.run) || is_undone(&other.header.run) {
                continue;
            }
            let both: Vec<String> = own.intersection(&theirs.left_by()).cloned().collect();
            if let Some((first, rest)) = both.split_first() {
                let (run, later) = (&self.header.run, &other.header.run);
                let message =
                    format!("run {run} cannot be undone: run {later} of this plan changed {first} after it");
                let hint = format!("undo that one first: `eve rollback {later}`");
                return Err(Halt::error(Exit::Refused, message)
                    .with_notes(rest.iter().map(|name| format!("also {name}")).collect())
                    .with_hint(hint));
            }
        }
        Ok(())
    }
}

async fn on_cluster(
    args: &Rollback,
    printer: &Arc<Printer>,
    undone: Undone,
    origin: Origin,
) -> Result<Exit, Halt> {
    let mut signals = drive::signals()?;
    let deadline = Deadline::of(args.timeout);
    let begins = matches!(origin, Origin::Call(_));
    let graph = journal::sketched(&undone.header)?;
    let Reach { cluster, allow_namespaces, allow_cluster_scoped } = journal::reach(&undone.header)?;
    let connecting = wiring::connect(&cluster, &allow_namespaces, &allow_cluster_scoped);
    let connecting = Box::pin(deadline.hold(connecting));
    let connected = drive::unless_stopped(&mut signals, connecting).await?;
    let asking = Box::pin(deadline.hold(connected.identity().found()));
    let identity = drive::unless_stopped(&mut signals, asking).await?;
    let place = Place { server: connected.server(), identity: identity.as_deref() };
    undone.is_on(place)?;
    let journal = drive::journal(origin, &cluster, place, &graph, &mut signals).await?;
    let undone = if begins {
        match drive::unless_stopped(&mut signals, found_again(undone.header.run)).await {
            Ok(undone) => undone,
            Err(halt) => {
                journal::discard(journal);
                return Err(halt);
            }
        }
    } else {
        undone
    };
    let no_progress = args.no_progress_timeout;
    let limits = Limits { deadline, no_progress, concurrency: args.concurrency, output: args.output };
    let task = Task::Undo(undone.header.run, undone.records);
    let objects = connected.executor(&[], &[]);
    let secrets = PinnedSecrets::default();
    drive::run(&limits, printer, Work { graph, objects, journal, secrets, task }, &mut signals).await
}

/// The run that is undone as it is now that the plan is held: until then others might go on with it, or come after it.
async fn found_again(run: RunId) -> Result<Undone, Halt> {
    drive::apart(move || {
        let folder = journal::folder()?;
        let undone = Undone::find(&folder, run.as_str())?;
        undone.may_be_undone(&folder)?;
        Ok(undone)
    })
    .await
}
