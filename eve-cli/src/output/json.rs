//! The machine's display: one JSON object per record, one at the end. `docs/reference/apply-json.md` describes them.

use std::sync::{Arc, Mutex, PoisonError};

use eve_core::failure::Failure;
use eve_core::plan::graph::Graph;
use eve_core::ports::Reporter;
use eve_core::run::{Event, Record, RunView, SkipReason, StopMode, StopReason};
use eve_core::secret::SecretPins;
use eve_core::time::Timestamp;
use serde_json::{Map, Value, json};

use super::board::Board;
use super::summary::Summary;
use super::{Ending, Printer, effect, undoing};
use crate::exit::Exit;
use crate::wiring::LeftOver;

/// Writes JSON lines to stdout.
#[derive(Debug)]
pub(crate) struct JsonReporter {
    printer: Arc<Printer>,
    board: Mutex<Board>,
}

impl JsonReporter {
    pub(crate) fn new(printer: Arc<Printer>, graph: Arc<Graph>) -> Self {
        Self { printer, board: Mutex::new(Board::new(graph)) }
    }

    /// Takes over what happened before, and says nothing of it.
    pub(crate) fn recall(&self, records: &[Record]) {
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            board.record(record);
        }
    }

    fn take(&self, record: &Record) {
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        board.record(record);
        self.printer.out(&line(&board, record).to_string());
    }
}

impl Reporter for JsonReporter {
    fn record(&self, record: &Record, _view: &RunView<'_>) {
        self.take(record);
    }
}

impl Ending for JsonReporter {
    fn effect(&self, mode: StopMode) -> &'static str {
        effect(&self.board.lock().unwrap_or_else(PoisonError::into_inner), mode)
    }

    fn end(&self, exit: Exit, left: &[LeftOver]) {
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        let mut summary = summary(&board, exit);
        if let Some(summary) = summary.as_object_mut() {
            summary.insert("notInInput".to_owned(), left_over(left));
        }
        self.printer.out(&summary.to_string());
    }
}

/// The object of one record.
pub(super) fn line(board: &Board, record: &Record) -> Value {
    let mut line = event(board, &record.event);
    if let Some(object) = line.as_object_mut() {
        object.insert("run".into(), json!(board.run.as_ref().map(eve_core::ids::RunId::as_str)));
        object.insert("seq".into(), json!(record.seq.get()));
        object.insert("at".into(), at(record.at));
    }
    line
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all others are about a rollback, or not known")]
fn event(board: &Board, event: &Event) -> Value {
    let name = |component| board.name(component);
    match event {
        Event::RunStarted { run } => json!({
            "type": "runStarted", "plan": run.plan, "namespace": run.namespace, "components": board.total,
            "undoes": run.undoes.as_ref().map(eve_core::ids::RunId::as_str),
            "secrets": secrets(run.options.pins()),
        }),
        Event::Resumed => json!({"type": "resumed"}),
        Event::Prepared { component, prepared } => json!({
            "type": "prepared", "component": name(*component), "change": prepared.change,
        }),
        Event::Announced { component } => json!({"type": "announced", "component": name(*component)}),
        Event::Started { component, attempt } => json!({
            "type": "started", "component": name(*component), "attempt": attempt,
        }),
        Event::Applied { component, attempt, applied } => json!({
            "type": "applied", "component": name(*component), "attempt": attempt, "change": applied.change,
        }),
        Event::Waiting { component, cause } => json!({
            "type": "waiting", "component": name(*component), "code": cause.code, "message": cause.message,
        }),
        Event::Ready { component, outputs } => json!({
            "type": "ready", "component": name(*component), "change": board.row(*component).change,
            "outputs": outputs.iter().collect::<std::collections::BTreeMap<_, _>>(),
        }),
        Event::AttemptFailed { component, attempt, phase, failure: why, retry_at } => json!({
            "type": "attemptFailed", "component": name(*component), "attempt": attempt, "phase": phase,
            "failure": failure(why), "retryAt": retry_at.map(at),
        }),
        Event::Interrupted { component, attempt } => json!({
            "type": "interrupted", "component": name(*component), "attempt": attempt,
        }),
        Event::Skipped { component, because } => json!({
            "type": "skipped", "component": name(*component), "because": skip_reason(board, *because),
        }),
        Event::Stopping { reason } => json!({"type": "stopping", "reason": stop_reason(board, *reason)}),
        Event::Finished { outcome } => json!({"type": "finished", "outcome": outcome}),
        event => rollback_event(board, event),
    }
}

/// Where the secrets of a run are, and in which versions.
fn secrets(pins: &SecretPins) -> Map<String, Value> {
    pins.iter().map(|(name, pin)| (name.to_owned(), pin.reference.to_string().into())).collect()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what this version does not know it does not show")]
fn rollback_event(board: &Board, event: &Event) -> Value {
    let name = |component| board.name(component);
    match event {
        Event::Verifying => json!({"type": "verifying"}),
        Event::RollingBack => json!({"type": "rollingBack"}),
        Event::Inherited { component, applied, .. } => json!({
            "type": "inherited", "component": name(*component), "change": applied.as_ref().map(|done| done.change),
        }),
        Event::UndoStarted { component, attempt } => json!({
            "type": "undoStarted", "component": name(*component), "attempt": attempt,
        }),
        Event::Undone { component, report } => json!({
            "type": "undone", "component": name(*component), "change": report.change, "notes": report.notes,
        }),
        Event::UndoFailed { component, attempt, phase, failure: why, retry_at } => json!({
            "type": "undoFailed", "component": name(*component), "attempt": attempt, "phase": phase,
            "failure": failure(why), "retryAt": retry_at.map(at),
        }),
        Event::Kept { component, because } => json!({
            "type": "kept", "component": name(*component), "because": undoing::reason(board, *because),
        }),
        _ => json!({"type": "unknown"}),
    }
}

fn skip_reason(board: &Board, reason: SkipReason) -> Value {
    match reason {
        SkipReason::Dependency { component } => {
            json!({"type": "dependency", "component": board.name(component)})
        }
        SkipReason::Stopping | _ => json!({"type": "stopping"}),
    }
}

fn stop_reason(board: &Board, reason: StopReason) -> Value {
    match reason {
        StopReason::Failure { component } => json!({"type": "failure", "component": board.name(component)}),
        StopReason::Asked { mode } => json!({"type": "asked", "mode": mode}),
        StopReason::Deadline => json!({"type": "deadline"}),
        _ => json!({"type": "unknown"}),
    }
}

fn failure(failure: &Failure) -> Value {
    json!({
        "code": failure.code, "class": failure.class, "message": failure.message, "notes": failure.lines().collect::<Vec<_>>(),
        "hint": failure.hint,
    })
}

/// What is of the plan, and not in the input.
pub(crate) fn left_over(left: &[LeftOver]) -> Value {
    let object = |one: &LeftOver| json!({ "kind": one.kind, "namespace": one.namespace, "name": one.name });
    left.iter().map(object).collect()
}

/// The rollback as far as it has come; `null` where there is none.
pub(crate) fn rollback(board: &Board) -> Value {
    undoing::json(board, failure)
}

/// The object at the end. Its fields are those of [`Summary`].
pub(crate) fn summary(board: &Board, exit: Exit) -> Value {
    let summary = Summary::of(board);
    let names =
        |ids: &[eve_core::ids::ComponentId]| -> Vec<&str> { ids.iter().map(|id| board.name(*id)).collect() };
    let path = summary
        .critical_path
        .iter()
        .map(|(id, took)| json!({"component": board.name(*id), "seconds": took.as_secs_f64()}));
    let failures = summary.failures.iter().filter_map(|id| {
        let row = board.row(*id);
        let (phase, why) = row.failure.as_ref()?;
        let skipped = summary.skips.get(&Some(*id)).map(|ids| names(ids)).unwrap_or_default();
        Some(json!({
            "component": board.name(*id), "attempt": row.attempt, "phase": phase, "failure": failure(why),
            "skipped": skipped,
        }))
    });
    json!({
        "type": "summary",
        "run": board.run.as_ref().map(eve_core::ids::RunId::as_str),
        "at": at(board.last_at),
        "plan": board.graph.name(),
        "namespace": board.graph.namespace(),
        "outcome": board.outcome,
        "exitCode": exit.code(),
        "components": summary.components,
        "created": summary.created,
        "changed": summary.changed,
        "unchanged": summary.unchanged,
        "deleted": summary.deleted,
        "absent": summary.absent,
        "kept": summary.kept.iter().map(|(id, why)| json!({"component": board.name(*id), "reason": why})).collect::<Vec<_>>(),
        "takenOver": summary.taken_over.iter().map(|(id, taken)| json!({"component": board.name(*id), "fields": taken})).collect::<Vec<_>>(),
        "ready": summary.ready,
        "failed": summary.failed,
        "cancelled": summary.cancelled,
        "skipped": summary.skipped,
        "wallSeconds": summary.wall.as_secs_f64(),
        "criticalPath": path.collect::<Vec<_>>(),
        "failures": failures.collect::<Vec<_>>(),
        "undoes": board.undoes.as_ref().map(eve_core::ids::RunId::as_str),
        "rollback": rollback(board),
        "givenUp": names(&summary.given_up),
        "underWay": names(&board.open.iter().copied().collect::<Vec<_>>()),
        "notStarted": summary.skips.get(&None).map(|ids| names(ids)).unwrap_or_default(),
    })
}

/// RFC 3339 in UTC with microseconds.
fn at(time: Timestamp) -> Value {
    json!(super::text::rfc3339(time, super::text::Precision::Microseconds))
}
