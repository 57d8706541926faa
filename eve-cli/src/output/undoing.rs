//! What the displays know of a rollback: where each component stands in it, and what is said of that. Pure.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use eve_core::failure::{Cause, Failure};
use eve_core::ids::{Attempt, ComponentId};
use eve_core::run::{Change, Event, KeepReason, Phase};
use eve_core::time::Timestamp;
use serde_json::{Value, json};

use super::board::Board;
use super::remedy::{Remedy, is_unseen};
use super::style;
use super::text::{ENTRIES_MAX, clean, count, is_join, unlisted};
use crate::duration::show;

/// A component in a rollback.
#[derive(Clone, Debug)]
pub(crate) struct Undo {
    pub(crate) stage: UndoStage,
    /// Since when it stands there.
    pub(crate) since: Timestamp,
    /// When its first attempt began; `None` for one that has none.
    pub(crate) began_at: Option<Timestamp>,
    pub(crate) attempt: Attempt,
    /// What the attempt under way waits for, as far as it has told this process.
    pub(crate) cause: Option<Cause>,
    /// Why its last failed attempt failed, or the fresh look afterwards.
    pub(crate) failure: Option<(Phase, Box<Failure>)>,
    pub(crate) retry_at: Option<Timestamp>,
    /// What the undo changed.
    pub(crate) change: Option<Change>,
    /// What of it is not as before, though it is put back.
    pub(crate) notes: Vec<String>,
    /// Why it is left alone.
    pub(crate) because: Option<KeepReason>,
}

/// Where a component stands in a rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UndoStage {
    /// Its turn is to come.
    Pending,
    /// It is being put back.
    Undoing,
    /// An attempt failed, the next is to come.
    Pausing,
    /// It is as it was before the run.
    Undone,
    /// It is put back, and the fresh look at it was cut off.
    Unseen,
    /// It could not be put back.
    Failed,
    /// It is left alone: nobody looks at it either.
    Kept,
}

impl UndoStage {
    pub(crate) const fn is_open(self) -> bool {
        matches!(self, Self::Undoing | Self::Pausing)
    }

    /// Whether it is put back, looked at again or not.
    const fn is_back(self) -> bool {
        matches!(self, Self::Undone | Self::Unseen)
    }

    /// For programs, and at the end of a line.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Undoing | Self::Pausing => "undoing",
            Self::Undone => "undone",
            Self::Unseen => "unseen",
            Self::Failed => "failed",
            Self::Kept => "kept",
        }
    }
}

impl Undo {
    pub(crate) const fn pending(since: Timestamp) -> Self {
        Self {
            stage: UndoStage::Pending,
            since,
            began_at: None,
            attempt: Attempt::FIRST,
            cause: None,
            failure: None,
            retry_at: None,
            change: None,
            notes: Vec::new(),
            because: None,
        }
    }

    /// Takes over what an event says of this component.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others say nothing of a rollback")]
    pub(crate) fn record(&mut self, event: &Event, at: Timestamp) {
        self.stage = match event {
            Event::UndoStarted { attempt, .. } => {
                self.attempt = *attempt;
                self.began_at.get_or_insert(at);
                UndoStage::Undoing
            }
            Event::Undone { report, .. } => {
                self.change = Some(report.change);
                self.notes.clone_from(&report.notes);
                UndoStage::Undone
            }
            Event::UndoFailed { attempt, phase, failure, retry_at, .. } => {
                self.attempt = *attempt;
                self.failure = Some((*phase, failure.clone()));
                self.retry_at = *retry_at;
                match retry_at {
                    Some(_) => UndoStage::Pausing,
                    None if *phase == Phase::Verify && is_unseen(failure) => UndoStage::Unseen,
                    None => UndoStage::Failed,
                }
            }
            Event::Kept { because, .. } => {
                self.because = Some(*because);
                UndoStage::Kept
            }
            _ => return,
        };
        self.cause = None;
        self.since = at;
    }
}

/// The component that an event of a rollback is about.
#[expect(clippy::wildcard_enum_match_arm, reason = "all others say nothing of a rollback")]
pub(crate) const fn component(event: &Event) -> Option<ComponentId> {
    match event {
        Event::UndoStarted { component, .. }
        | Event::Undone { component, .. }
        | Event::UndoFailed { component, .. }
        | Event::Kept { component, .. } => Some(*component),
        _ => None,
    }
}

/// How many components stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) total: usize,
    pub(crate) open: usize,
    pub(crate) undone: usize,
    /// Of those that are put back, which nobody has looked at again.
    pub(crate) unseen: usize,
    pub(crate) failed: usize,
    pub(crate) kept: usize,
}

impl Tally {
    pub(crate) fn of(board: &Board) -> Self {
        let mut tally = Self::default();
        for (id, undo) in &board.undos {
            if is_join(&board.graph, *id) {
                continue;
            }
            tally.total += 1;
            tally.open += usize::from(undo.stage.is_open());
            tally.undone += usize::from(undo.stage.is_back());
            tally.unseen += usize::from(undo.stage == UndoStage::Unseen);
            tally.failed += usize::from(undo.stage == UndoStage::Failed);
            tally.kept += usize::from(undo.stage == UndoStage::Kept);
        }
        tally
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!("{} of {} put back", self.undone, self.total);
        for (number, word) in [
            (self.unseen, "not looked at again"),
            (self.open, "under way"),
            (self.failed, "not undone"),
            (self.kept, "left alone"),
        ] {
            if number > 0 {
                let _ = write!(text, ", {number} {word}");
            }
        }
        text
    }
}

/// What an undo changed, in a word.
pub(crate) const fn changed(change: Option<Change>) -> &'static str {
    match change {
        Some(Change::None) => "was as before",
        Some(Change::Create) => "made again",
        Some(Change::Update) => "changed back",
        Some(Change::Replace) => "replaced",
        Some(Change::Delete) => "removed",
        Some(Change::Unknown) | None => "put back",
    }
}

/// Why a component is left alone.
pub(crate) fn why(board: &Board, because: KeepReason) -> String {
    because.told(|component| clean(board.name(component)).into_owned())
}

/// What an event of a rollback says to people about its component.
#[expect(clippy::wildcard_enum_match_arm, reason = "all others say nothing of a rollback")]
pub(crate) fn line(board: &Board, event: &Event) -> Option<String> {
    Some(match event {
        Event::UndoStarted { attempt, .. } if attempt.get() > 1 => format!("undoing, attempt {attempt}"),
        Event::UndoStarted { .. } => "undoing".to_owned(),
        Event::Undone { component, report } => {
            let took = board.undos.get(component).and_then(|undo| undo.began_at);
            let took = took.map_or(String::new(), |at| format!(" after {}", show(board.last_at.since(at))));
            let change = changed(Some(report.change));
            let done = if report.change == Change::None { "as before" } else { "put back" };
            let word = if report.change == Change::None { String::new() } else { format!(" ({change})") };
            let notes = report.notes.iter().fold(String::new(), |text, note| text + "; " + &clean(note));
            format!("{}{word}{took}{notes}", style::good(done))
        }
        Event::UndoFailed { attempt, failure, retry_at: Some(at), .. } => format!(
            "{} to be undone: {}; next try in {}",
            style::warning(format!("attempt {attempt} failed")),
            clean(&failure.message),
            show(at.since(board.last_at)),
        ),
        Event::UndoFailed { phase, failure, retry_at: None, .. } => {
            let what = match phase {
                Phase::Verify if is_unseen(failure) => "not looked at again",
                Phase::Verify => "not as before",
                _ => "not undone",
            };
            format!("{}: {}", style::error(what), clean(&failure.message))
        }
        Event::Kept { because, .. } => {
            format!("{}: {}", style::warning("left alone"), why(board, *because))
        }
        _ => return None,
    })
}

/// Components that a rollback has not put back, in plan order.
fn left(board: &Board) -> impl Iterator<Item = (ComponentId, &Undo)> {
    let is_left =
        |(id, undo): &(&ComponentId, &Undo)| undo.stage != UndoStage::Undone && !is_join(&board.graph, **id);
    board.undos.iter().filter(is_left).map(|(id, undo)| (*id, undo))
}

/// Components that are put back, and of which something does not come back, in plan order.
fn lacking(board: &Board) -> impl Iterator<Item = (ComponentId, &Undo)> {
    let lacks = |(_, undo): &(&ComponentId, &Undo)| undo.stage.is_back() && !undo.notes.is_empty();
    board.undos.iter().filter(lacks).map(|(id, undo)| (*id, undo))
}

/// The command that undoes what the run changed, or the run that this one undoes; of one that is not over, the command that
/// goes on with it.
fn rollback(board: &Board) -> String {
    if let (None, Some(run)) = (board.outcome, &board.run) {
        return format!("eve resume {run}");
    }
    let run = board.undoes.as_ref().or(board.run.as_ref()).map_or("RUN", |run| run.as_str());
    format!("eve rollback {run}")
}

/// The command that finishes a rollback, once what stands in its way is mended; `None` where no rollback puts back the rest.
pub(crate) fn command(board: &Board) -> Option<String> {
    let helps = |(_, undo): (ComponentId, &Undo)| Remedy::of(board, undo) != Remedy::Nothing;
    left(board).any(helps).then(|| rollback(board))
}

/// What a rollback that has not put everything back leaves, each object with its state, and what puts it back; empty where
/// it leaves nothing.
pub(crate) fn remains(board: &Board) -> String {
    let mut text = String::new();
    if board.rolling_back.is_none() {
        return text;
    }
    let is_back =
        |undo: &Undo| matches!(undo.change, Some(Change::Create | Change::Update | Change::Replace));
    if board.undos.values().any(is_back) {
        text.push_str("what was put back is as it was written before; its pods are not waited for\n");
    }
    let lacking: Vec<(ComponentId, &Undo)> = lacking(board).collect();
    if !lacking.is_empty() {
        let number = count(lacking.len(), "component");
        let _ = writeln!(text, "{}, {number}:", style::warning("put back, but not all is as before"));
    }
    for (id, undo) in lacking.iter().take(ENTRIES_MAX) {
        let _ = writeln!(text, "  {}: {}", style::strong(board.name(*id)), clean(&undo.notes.join("; ")));
    }
    if let Some(more) = unlisted(lacking.len()) {
        let _ = writeln!(text, "  {more}");
    }
    let all: Vec<(ComponentId, &Undo)> = left(board).collect();
    if all.is_empty() {
        return text;
    }
    let unseen = Tally::of(board).unseen;
    let heading = match all.len() - unseen {
        0 => "put back, but not looked at again",
        _ if unseen > 0 => "not put back, or not looked at again",
        _ => "not put back",
    };
    let _ = writeln!(text, "{}, {}:", style::error(heading), count(all.len(), "component"));
    for (id, undo) in all.iter().take(ENTRIES_MAX) {
        let did = did(board, *id);
        let state = match (&undo.failure, undo.because) {
            (_, Some(because)) => why(board, because),
            (Some((_, failure)), None) => clean(&failure.message).into_owned(),
            (None, None) if undo.stage.is_open() => "it was being put back".to_owned(),
            (None, None) => "its turn has not come".to_owned(),
        };
        let _ = writeln!(text, "  {}, {did}: {state}", style::strong(board.name(*id)));
        let Some((_, failure)) = undo.failure.as_ref().filter(|_| undo.because.is_none()) else { continue };
        for line in failure.lines().flat_map(str::lines) {
            let _ = writeln!(text, "      {}", clean(line));
        }
        if let Some(hint) = &failure.hint {
            let _ = writeln!(text, "    {} {}", style::hint("hint:"), clean(hint));
        }
    }
    if let Some(more) = unlisted(all.len()) {
        let _ = writeln!(text, "  {more}");
    }
    if all.iter().any(|(_, undo)| undo.stage == UndoStage::Kept) {
        let _ = writeln!(
            text,
            "  what is left alone was not looked at: it is as the run last saw it, unless somebody has changed it since"
        );
    }
    if board.outcome.is_none() {
        // How to go on with a run that is not over is said of the whole of it.
        return text;
    }
    let remedies: BTreeSet<Remedy> = all.iter().map(|(_, undo)| Remedy::of(board, undo)).collect();
    for remedy in remedies {
        let _ = writeln!(text, "{} {}", style::hint("hint:"), remedy.hint(&rollback(board)));
    }
    text
}

/// What the run did to a component.
fn did(board: &Board, id: ComponentId) -> &'static str {
    match board.row(id).change.filter(|_| board.row(id).is_written()) {
        Some(Change::Create) => "created by the run",
        Some(Change::Update | Change::Replace) => "changed by the run",
        Some(Change::Delete) => "deleted by the run",
        Some(Change::None | Change::Unknown) | None => "written by the run",
    }
}

/// The rollback for programs; `null` where there is none.
pub(crate) fn json(board: &Board, failure: impl Fn(&Failure) -> Value) -> Value {
    if board.rolling_back.is_none() {
        return Value::Null;
    }
    let left = left(board).map(|(id, undo)| {
        json!({
            "component": board.name(id), "state": undo.stage.word(), "attempt": undo.attempt,
            "change": board.row(id).change,
            "failure": undo.failure.as_ref().map(|(_, why)| failure(why)),
            "because": undo.because.map(|because| reason(board, because)),
            "remedy": Remedy::of(board, undo).word(),
        })
    });
    let left: Vec<Value> = left.collect();
    let lacking: Vec<Value> = lacking(board)
        .map(|(id, undo)| json!({ "component": board.name(id), "notes": undo.notes }))
        .collect();
    let tally = Tally::of(board);
    json!({
        "components": tally.total, "undone": tally.undone, "unseen": tally.unseen, "failed": tally.failed, "kept": tally.kept,
        "left": left, "lacking": lacking, "command": command(board),
    })
}

/// A [`KeepReason`] for programs.
pub(crate) fn reason(board: &Board, because: KeepReason) -> Value {
    let mut json = json!(because);
    if let (KeepReason::Dependant { component }, Some(fields)) = (because, json.as_object_mut()) {
        fields.insert("component".to_owned(), board.name(component).into());
    }
    json
}

#[cfg(test)]
mod tests {
    use eve_core::ids::Seq;
    use eve_core::run::{Applied, Prepared, Record, RunOptions, RunStart, UndoReport};
    use eve_core::testing::sample_rollback_graph;

    use super::*;

    #[test]
    fn what_comes_back_in_part_and_what_was_under_way_are_said_of_a_rollback_that_was_broken_off() {
        let graph = sample_rollback_graph();
        let id = |name: &str| graph.find(name).unwrap();
        let (db, web, attempt) = (id("db"), id("web"), Attempt::FIRST);
        let start = RunStart {
            id: eve_core::ids::RunId::new("run-1"),
            plan: "shop".into(),
            namespace: "shop".into(),
            components: 4,
            options: RunOptions::default(),
            undoes: None,
        };
        let mut report = UndoReport::new(Change::Create);
        report.notes.push("its data is not back".to_owned());
        let written = |component, change| {
            let (prepared, applied) = (Prepared::new(change), Applied::new(change));
            [
                Event::Prepared { component, prepared },
                Event::Started { component, attempt },
                Event::Applied { component, attempt, applied },
            ]
        };
        let events = [Event::RunStarted { run: Box::new(start) }]
            .into_iter()
            .chain(written(db, Change::Update))
            .chain(written(web, Change::Delete))
            .chain([
                Event::RollingBack,
                Event::UndoStarted { component: web, attempt },
                Event::Undone { component: web, report: Box::new(report) },
                Event::UndoStarted { component: db, attempt },
            ]);
        let mut board = Board::new(graph.clone());
        for (number, event) in (1..).zip(events) {
            board.record(&Record { seq: Seq::new(number), at: Timestamp::EPOCH, event });
        }
        assert_eq!(
            anstream::adapter::strip_str(&remains(&board)).to_string(),
            "what was put back is as it was written before; its pods are not waited for\n\
             put back, but not all is as before, 1 component:\n  web: its data is not back\n\
             not put back, 1 component:\n  db, changed by the run: it was being put back\n"
        );
        let held = Cause::new("k8s.delete.finalizer", "held by a finalizer");
        assert!(!board.undo_waits_anew(web, &held), "it is put back");
        assert!(board.undo_waits_anew(db, &held));
        board.waits_for(db, &held, Timestamp::EPOCH);
        assert!(!board.undo_waits_anew(db, &held), "it was told");
        let told = json(&board, |_| Value::Null);
        assert_eq!(told["lacking"], json!([{ "component": "web", "notes": ["its data is not back"] }]));
        assert_eq!(told["command"], "eve resume run-1", "it is not over");
        board.record(&Record {
            seq: Seq::new(99),
            at: Timestamp::EPOCH,
            event: Event::Finished { outcome: eve_core::run::Outcome::RollbackFailed },
        });
        assert_eq!(json(&board, |_| Value::Null)["command"], "eve rollback run-1");
    }

    #[test]
    fn what_is_put_back_and_was_not_looked_at_again_counts_as_put_back_and_is_named() {
        let graph = sample_rollback_graph();
        let component = graph.find("db").unwrap();
        let mut board = Board::new(graph.clone());
        let attempt = Attempt::FIRST;
        let cut = Failure::new(eve_core::failure::FailureClass::Cancelled, "run.cancelled", "told to stop");
        let mut undo = Undo::pending(Timestamp::EPOCH);
        for event in [
            Event::Undone { component, report: Box::new(UndoReport::new(Change::Update)) },
            Event::UndoFailed {
                component,
                attempt,
                phase: Phase::Verify,
                failure: Box::new(cut),
                retry_at: None,
            },
        ] {
            undo.record(&event, Timestamp::EPOCH);
        }
        assert_eq!(undo.stage.word(), "unseen");
        board.rolling_back = Some(Timestamp::EPOCH);
        board.undos.insert(component, undo);
        assert_eq!(Tally::of(&board).text(), "1 of 1 put back, 1 not looked at again");
        let said = anstream::adapter::strip_str(&remains(&board)).to_string();
        assert!(said.contains("put back, but not looked at again, 1 component:\n  db, "), "{said}");
        assert!(!said.contains("not put back"), "{said}");
    }
}
