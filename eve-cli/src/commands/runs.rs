//! `eve runs`: the runs that were started on this machine, from their journals alone.

use eve_core::driver::SystemClock;
use eve_core::ports::Clock as _;
use eve_core::time::Timestamp;
use eve_store::{Listed, RunState, RunSummary};
use serde_json::{Value, json};

use super::or_json;
use crate::cli::{GetOutput, Runs};
use crate::duration::show_whole;
use crate::exit::Exit;
use crate::halt::Halt;
use crate::journal;
use crate::output::{Printer, Standing, clean, header_json, style, table};

pub(super) fn run(args: &Runs, printer: &Printer) -> Result<Exit, Halt> {
    or_json(show(args, printer), (args.output, GetOutput::Json), printer)
}

fn show(args: &Runs, printer: &Printer) -> Result<Exit, Halt> {
    let mut runs = Vec::new();
    let mut damaged = Vec::new();
    for listed in journal::folder()?.list().map_err(|error| journal::halt(&error))? {
        match listed {
            Listed::Run(run) => runs.push(*run),
            Listed::Damaged { path, error } => damaged.push((path, error)),
        }
    }
    let wanted = args.namespace.as_deref();
    let is_wanted = |run: &&RunSummary| wanted.is_none_or(|namespace| run.header.namespace == namespace);
    let shown: Vec<&RunSummary> = runs.iter().filter(is_wanted).collect();
    for (path, error) in damaged.iter().filter(|_| !printer.is_quiet()) {
        let (path, error) = (path.display().to_string(), error.to_string());
        printer.err(&format!("{}: {}: {}", style::warning("warning"), clean(&path), clean(&error)));
    }
    match args.output {
        GetOutput::Json => {
            let damaged = damaged.iter().map(
                |(path, error)| json!({ "file": path.display().to_string(), "reason": error.to_string() }),
            );
            let runs = shown.iter().map(|run| json(run, &runs)).collect::<Vec<_>>();
            let all = json!({ "type": "runs", "runs": runs, "damaged": damaged.collect::<Vec<_>>() });
            printer.out(&all.to_string());
        }
        GetOutput::Text if shown.is_empty() => printer.err(&match wanted {
            Some(namespace) => format!("there is no run in namespace {} on this machine", clean(namespace)),
            None => "there is no run on this machine yet".to_owned(),
        }),
        GetOutput::Text => printer.out(&text(&shown, &runs, SystemClock::new().now())),
    }
    Ok(Exit::Succeeded)
}

fn text(shown: &[&RunSummary], all: &[RunSummary], now: Timestamp) -> String {
    let head = ["RUN", "VERB", "PLAN", "NAMESPACE", "STATE", "AGE", "TOOK"].map(str::to_owned).to_vec();
    let rows = shown.iter().map(|run| {
        let header = &run.header;
        let until = match run.state {
            RunState::Live(_) => now,
            RunState::Interrupted | RunState::Finished(_) => {
                run.progress.last_at.unwrap_or(header.started_at)
            }
        };
        vec![
            header.run.to_string(),
            header.verb.clone(),
            header.plan.clone(),
            header.namespace.clone(),
            standing(run, all).word().to_owned(),
            show_whole(now.since(header.started_at)),
            show_whole(until.since(header.started_at)),
        ]
    });
    table(std::iter::once(head).chain(rows).collect())
}

fn standing<'a>(run: &'a RunSummary, all: &'a [RunSummary]) -> Standing<'a> {
    Standing { state: &run.state, newest_after: journal::newest_after(all, &run.header) }
}

fn json(run: &RunSummary, all: &[RunSummary]) -> Value {
    let mut json = header_json(&run.header);
    if let Some(fields) = json.as_object_mut() {
        fields.insert("state".to_owned(), standing(run, all).json());
        fields.insert("records".to_owned(), run.progress.records.into());
    }
    json
}
