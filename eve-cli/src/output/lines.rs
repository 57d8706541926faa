//! What a record says to people, in one line. Pure; who shows it adds the time.

use eve_core::failure::FailureClass;
use eve_core::ids::ComponentId;
use eve_core::plan::UndoRule;
use eve_core::run::{Change, Event, Record, SkipReason, StopMode, StopReason};

use super::board::Board;
use super::report::to_do;
use super::style;
use super::text::{clean, count, is_delete, is_join};
use super::undoing;
use crate::duration::show;

/// A line, and whether it matters even to somebody who sees the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) weight: Weight,
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// A step on the way, which the frame or the report shows as well.
    Step,
    /// An end, a failure, a turn.
    Landmark,
}

/// What the record says; `board` has taken it over already. `None` where it says nothing to people.
#[expect(clippy::wildcard_enum_match_arm, reason = "all others are about a component")]
pub(crate) fn line(board: &Board, record: &Record) -> Option<Line> {
    let (text, weight) = match &record.event {
        Event::RunStarted { run } => {
            let components = count(board.total, "component");
            let text = format!("{}: {components} for namespace {}", style::strong(&run.plan), run.namespace);
            (text, Weight::Landmark)
        }
        Event::Resumed => ("the run was taken over by a new process".to_owned(), Weight::Landmark),
        Event::Verifying => ("looking at everything once more".to_owned(), Weight::Step),
        Event::RollingBack => (rolling_back(board), Weight::Landmark),
        // Who asked knows it.
        Event::Stopping { reason: reason @ StopReason::Asked { .. } } => {
            (stopping(board, *reason), Weight::Step)
        }
        Event::Stopping { reason } => (stopping(board, *reason), Weight::Landmark),
        event => {
            let (id, text, weight) = of_component(board, event)?;
            if is_join(&board.graph, id) {
                return None;
            }
            (format!("{}: {text}", style::strong(board.name(id))), weight)
        }
    };
    Some(Line { text, weight })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all others are about a rollback, or not known")]
fn of_component(board: &Board, event: &Event) -> Option<(ComponentId, String, Weight)> {
    Some(match event {
        Event::Started { component, attempt } => {
            let again = if attempt.get() > 1 { format!(", attempt {attempt}") } else { String::new() };
            let doing = if is_delete(&board.graph, *component) { "deleting" } else { "applying" };
            let stays = if is_never_undone(board, *component) {
                "; no rollback puts it back (`undo: never`)"
            } else {
                ""
            };
            (*component, format!("{doing}{again}{stays}"), Weight::Step)
        }
        Event::Applied { component, .. } if is_delete(&board.graph, *component) => {
            (*component, "deletion accepted".to_owned(), Weight::Step)
        }
        Event::Applied { component, .. } => {
            let change = board.row(*component).change;
            // That nothing had to be changed is said when it is ready.
            if change == Some(Change::None) {
                return None;
            }
            (*component, changed(change).to_owned(), Weight::Step)
        }
        Event::Waiting { component, cause } => {
            (*component, format!("waiting: {}", clean(&cause.message)), Weight::Step)
        }
        Event::Ready { component, .. } => (*component, ready(board, *component), Weight::Landmark),
        Event::AttemptFailed { component, attempt, phase, failure, retry_at } => {
            let message = clean(&failure.message);
            let text = match (retry_at, failure.class) {
                (Some(at), _) => format!(
                    "{} {}: {message}; next try in {}",
                    style::warning(format!("attempt {attempt} failed")),
                    to_do(board, *component, *phase),
                    show(at.since(board.last_at)),
                ),
                (None, FailureClass::Cancelled) => style::warning(message).to_string(),
                (None, _) => {
                    format!("{} {}: {message}", style::error("failed"), to_do(board, *component, *phase))
                }
            };
            let is_cancelled = retry_at.is_none() && failure.class == FailureClass::Cancelled;
            (*component, text, if is_cancelled { Weight::Step } else { Weight::Landmark })
        }
        Event::Interrupted { component, .. } => {
            (*component, "goes on where the last process stopped".to_owned(), Weight::Step)
        }
        Event::Skipped { component, because } => {
            let why = match because {
                SkipReason::Dependency { component } => format!("because {} failed", board.name(*component)),
                SkipReason::Stopping | _ => "because the run is stopping".to_owned(),
            };
            (*component, format!("{} {why}", style::warning("skipped")), Weight::Step)
        }
        event => {
            let component = undoing::component(event)?;
            let is_step = matches!(event, Event::UndoStarted { .. });
            let weight = if is_step { Weight::Step } else { Weight::Landmark };
            (component, undoing::line(board, event)?, weight)
        }
    })
}

/// Whether others of the plan would be put back, and this is not.
fn is_never_undone(board: &Board, component: ComponentId) -> bool {
    board.graph.may_be_rolled_back() && board.graph.node(component).undo() == UndoRule::Never
}

fn rolling_back(board: &Board) -> String {
    let number = count(undoing::Tally::of(board).total, "component");
    let what = style::warning("rolling back");
    match &board.undoes {
        Some(run) => format!("{what} what run {run} changed: {number}"),
        None => format!("{what} what the run changed: {number}"),
    }
}

fn ready(board: &Board, component: ComponentId) -> String {
    let row = board.row(component);
    if is_delete(&board.graph, component) {
        return match (&row.kept, row.applied_at, row.began_at, row.ended_at) {
            (Some(why), ..) => format!("{}: {}", style::warning("stays"), clean(why)),
            (None, Some(_), Some(began), Some(ended)) => {
                format!("{} after {}", style::good("gone"), show(ended.since(began)))
            }
            (None, ..) if row.is_written() => style::good("gone").to_string(),
            (None, ..) => style::good("was not there").to_string(),
        };
    }
    let mut done = changed(row.change).to_owned();
    if let Some(taken) = &row.taken_over {
        done = format!("{done}, took over {}", clean(taken));
    }
    if let Some(unseen) = &row.no_status {
        done = format!("{done}; {}", clean(unseen));
    }
    match (row.began_at, row.ended_at) {
        (Some(began), Some(ended)) if row.change != Some(Change::None) => {
            format!("{} ({done}) after {}", style::good("ready"), show(ended.since(began)))
        }
        _ => format!("{} ({done})", style::good("ready")),
    }
}

/// What was changed, in a word.
const fn changed(change: Option<Change>) -> &'static str {
    match change {
        Some(Change::None) => "unchanged",
        Some(Change::Create) => "created",
        Some(Change::Update) => "changed",
        Some(Change::Replace) => "replaced",
        Some(Change::Delete) => "deleted",
        Some(Change::Unknown) | None => "applied",
    }
}

fn stopping(board: &Board, reason: StopReason) -> String {
    let why = match reason {
        StopReason::Failure { component } => format!("{} failed", board.name(component)),
        StopReason::Asked { mode: StopMode::Supersede } => "a newer plan takes over".to_owned(),
        StopReason::Deadline => "the run reached its deadline".to_owned(),
        StopReason::Asked { mode: StopMode::Rollback } => "asked to, and to roll back".to_owned(),
        StopReason::Asked { mode: StopMode::Drain | StopMode::Now } | _ => "asked to".to_owned(),
    };
    format!("{}: {why}; nothing new is started", style::warning("stopping"))
}
