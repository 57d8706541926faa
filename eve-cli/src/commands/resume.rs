//! `eve resume`: goes on with a run whose process died, as it was called then.

use std::sync::Arc;

use eve_core::ids::RunId;
use eve_store::{RunFile, RunFolder, RunHeader, RunState};

use super::{apply, delete, ended, or_json, rollback};
use crate::cli::{ApplyOutput, Resume};
use crate::exit::Exit;
use crate::halt::Halt;
use crate::journal::{self, Repeated, Wanted};
use crate::output::Printer;

pub(super) fn run(args: &Resume, printer: &Arc<Printer>) -> Result<Exit, Halt> {
    let result = go_on(args, printer);
    or_json(result, (args.output, ApplyOutput::Json), printer)
}

fn go_on(args: &Resume, printer: &Arc<Printer>) -> Result<Exit, Halt> {
    let folder = journal::folder()?;
    let run = journal::choose(&folder, args.run.as_deref(), Wanted::Interrupted)?;
    not_over(&run.header.run, &run.state)?;
    let file = Box::new(take_over(&folder, &run.header.run)?);
    match journal::command(file.header(), &args.filenames)? {
        Repeated::Apply(mut apply) => {
            apply.output = args.output;
            apply::resume(&apply, file, printer)
        }
        Repeated::Delete(mut delete) => {
            delete.output = args.output;
            delete::resume(&delete, file, printer)
        }
        Repeated::Rollback(mut rollback) => {
            rollback.output = args.output;
            rollback::resume(&rollback, file, printer)
        }
    }
}

/// Holds the run from here on: of two that resume it, one goes on. What was found before may have changed since.
fn take_over(folder: &RunFolder, run: &RunId) -> Result<RunFile, Halt> {
    let file = folder.resume(run).map_err(|error| journal::halt(&error))?;
    let state = folder.state(run).map_err(|error| journal::halt(&error))?;
    not_over(run, &state)?;
    nothing_came_after(folder, file.header())?;
    Ok(file)
}

fn not_over(run: &RunId, state: &RunState) -> Result<(), Halt> {
    let RunState::Finished(_) = state else { return Ok(()) };
    let message = format!("run {run} is over: it {}", ended(state));
    Err(Halt::error(Exit::Refused, message).with_hint(format!("see how it went: `eve status {run}`")))
}

/// A later run of the plan may have changed what this one takes for done.
fn nothing_came_after(folder: &RunFolder, header: &RunHeader) -> Result<(), Halt> {
    let Some(later) = journal::newest_listed_after(folder, header)? else { return Ok(()) };
    let run = &header.run;
    let message = format!("run {run} cannot go on: run {later} of this plan came after it");
    let hint = format!(
        "start a new run, `eve apply` starts from what the cluster has; or undo what this one changed: `eve rollback {run}`"
    );
    Err(Halt::error(Exit::Refused, message).with_hint(hint))
}

#[cfg(test)]
mod tests {
    use eve_core::ids::Seq;
    use eve_core::ports::{RecordBatch, RunStore as _};
    use eve_core::run::{Event, Outcome, Record};
    use eve_core::time::Timestamp;
    use tempfile::TempDir;

    use super::*;

    fn folder() -> (TempDir, RunFolder) {
        let temporary = TempDir::new().unwrap();
        let folder = RunFolder::open(temporary.path().join("eve")).unwrap();
        (temporary, folder)
    }

    fn header(folder: &RunFolder, run: &str, micros: u64) -> RunHeader {
        RunHeader {
            run: RunId::new(run),
            plan: "shop".to_owned(),
            namespace: "prod".to_owned(),
            cluster: "https://one:6443".to_owned(),
            context: None,
            kubeconfigs: Vec::new(),
            verb: "apply".to_owned(),
            sources: Vec::new(),
            arguments: Vec::new(),
            digest: folder.key().unwrap().hash(["plan"]),
            graph: String::new(),
            started_at: Timestamp::from_micros(micros),
            eve_version: "0.1.0".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_run_that_finished_before_it_was_held_is_over() {
        let (_keep, folder) = folder();
        let file = folder.create(&header(&folder, "r1", 1)).unwrap();
        let run = RunId::new("r1");
        let event = Event::Finished { outcome: Outcome::Cancelled };
        let records = vec![Record { seq: Seq::FIRST, at: Timestamp::from_micros(2), event }];
        file.append(vec![RecordBatch { run: run.clone(), records }]).await.unwrap();
        drop(file);
        let refused = take_over(&folder, &run).unwrap_err();
        assert_eq!(refused.exit(), Exit::Refused);
        assert!(refused.to_string().contains("is over: it was cancelled"), "{refused}");
    }

    #[test]
    fn only_a_later_run_of_the_same_plan_namespace_and_cluster_is_in_the_way() {
        let (_keep, folder) = folder();
        let own = header(&folder, "r2", 2);
        let others = [
            header(&folder, "r1", 1),
            RunHeader { plan: "other".to_owned(), ..header(&folder, "r3", 3) },
            RunHeader { namespace: "test".to_owned(), ..header(&folder, "r4", 3) },
            RunHeader { cluster: "https://two:6443".to_owned(), ..header(&folder, "r5", 3) },
        ];
        for header in others.iter().chain([&own]) {
            drop(folder.create(header).unwrap());
        }
        drop(take_over(&folder, &own.run).unwrap());
        drop(folder.create(&header(&folder, "r6", 3)).unwrap());
        let refused = take_over(&folder, &own.run).unwrap_err();
        assert_eq!(refused.exit(), Exit::Refused);
        assert!(refused.to_string().contains("run r6 of this plan came after it"), "{refused}");
    }
}
