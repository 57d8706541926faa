//! What a journal says of a run as a whole: words and JSON. Pure.

use std::fmt::Write as _;

use eve_core::ids::{ComponentId, RunId};
use eve_core::run::{Outcome, StopMode};
use eve_core::time::Timestamp;
use eve_store::{RunHeader, RunState, RunSummary, StopRequest};
use serde_json::{Value, json};

use super::board::Board;
use super::summary::Summary;
use super::text::{ENTRIES_MAX, Precision, clean, count, rfc3339, unlisted};
use super::{report, style, undoing};
use crate::duration::{show, show_whole};

/// How a run stands, in one word.
pub(crate) const fn state_word(state: &RunState) -> &'static str {
    match state {
        RunState::Live(_) => "running",
        RunState::Interrupted => "interrupted",
        RunState::Finished(Outcome::Succeeded) => "succeeded",
        RunState::Finished(Outcome::Failed) => "failed",
        RunState::Finished(Outcome::Cancelled) => "cancelled",
        RunState::Finished(Outcome::Superseded) => "superseded",
        RunState::Finished(Outcome::RolledBack) => "rolled back",
        RunState::Finished(Outcome::RollbackFailed) => "rollback failed",
        RunState::Finished(_) => "finished",
    }
}

/// How a run stands among the others on its machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing<'a> {
    pub(crate) state: &'a RunState,
    /// The newest run of the same plan that came after it.
    pub(crate) newest_after: Option<&'a RunId>,
}

impl<'a> Standing<'a> {
    /// The run because of which nobody can go on with this one, which was interrupted.
    pub(crate) fn superseded_by(&self) -> Option<&'a RunId> {
        self.newest_after.filter(|_| *self.state == RunState::Interrupted)
    }

    /// In one word.
    pub(crate) fn word(&self) -> &'static str {
        if self.superseded_by().is_some() { "superseded" } else { state_word(self.state) }
    }

    /// The same for programs, with the process that drives it.
    pub(crate) fn json(&self) -> Value {
        let holder = match self.state {
            RunState::Live(Some(holder)) => json!({
                "process": holder.process, "host": holder.host,
                "since": rfc3339(holder.since, Precision::Microseconds),
            }),
            RunState::Live(None) | RunState::Interrupted | RunState::Finished(_) => Value::Null,
        };
        let by = self.superseded_by().map(RunId::as_str);
        json!({ "name": self.word(), "holder": holder, "supersededBy": by })
    }
}

/// What is known of a run before its first record.
pub(crate) fn header_json(header: &RunHeader) -> Value {
    json!({
        "run": header.run.as_str(), "verb": header.verb, "plan": header.plan, "namespace": header.namespace,
        "cluster": header.cluster, "context": header.context,
        "startedAt": rfc3339(header.started_at, Precision::Microseconds), "eveVersion": header.eve_version,
    })
}

/// What was asked of a run, in order.
pub(crate) fn requests_json(requests: &[StopRequest]) -> Value {
    let json = |request: &StopRequest| {
        json!({
            "mode": mode_word(request.mode), "at": rfc3339(request.at, Precision::Microseconds), "who": request.who,
        })
    };
    requests.iter().map(json).collect()
}

const fn mode_word(mode: StopMode) -> &'static str {
    match mode {
        StopMode::Drain => "drain",
        StopMode::Now => "now",
        StopMode::Supersede => "supersede",
        StopMode::Rollback => "rollback",
    }
}

/// What was asked of a run that has not stopped yet: the strongest of it.
fn asked(requests: &[StopRequest], now: Timestamp) -> Option<String> {
    let request = requests.iter().max_by_key(|request| request.mode)?;
    let ago = show_whole(now.since(request.at));
    Some(format!("asked to stop ({}) by {}, {ago} ago", mode_word(request.mode), clean(&request.who)))
}

/// A run and how it stands, for people: which it is, what went wrong, what is under way, the figures.
pub(crate) fn status(
    (run, newest_after): (&RunSummary, Option<&RunId>),
    board: &Board,
    requests: &[StopRequest],
    now: Timestamp,
) -> String {
    let RunSummary { header, state, .. } = run;
    let standing = Standing { state, newest_after };
    let mut text = format!(
        "run {}: {} of plan {} in namespace {} on {}\nstarted {}, {} ago; {}",
        header.run,
        clean(&header.verb),
        clean(&header.plan),
        clean(&header.namespace),
        clean(&header.cluster),
        rfc3339(header.started_at, Precision::Seconds),
        show_whole(now.since(header.started_at)),
        standing_text(standing),
    );
    let summary = Summary::of(board);
    if let RunState::Finished(_) = state {
        let _ = write!(text, "\n{}{}", report::failures(board, &summary), report::figures(board, &summary));
        return text;
    }
    if let Some(asked) = asked(requests, now) {
        let _ = write!(text, "\n{asked}");
    }
    let until = match state {
        RunState::Live(_) => now,
        RunState::Interrupted | RunState::Finished(_) => board.last_at,
    };
    let _ = write!(text, "\n{}", progress(board, &summary, until));
    for &id in board.open.iter().take(ENTRIES_MAX) {
        let (since, why) = under_way(board, id);
        let since = since.map_or_else(String::new, |at| show(until.since(at)));
        let _ = write!(text, "\n  {since:>7}  {}  {}", clean(board.name(id)), clean(why));
        text.truncate(text.trim_end().len());
    }
    if let Some(more) = unlisted(board.open.len()) {
        let _ = write!(text, "\n  {more}");
    }
    if *state == RunState::Interrupted {
        let _ = write!(text, "\n{}: {}", style::hint("hint"), interrupted(standing, &header.run));
    }
    text
}

/// What to do about a run that no process drives, though it is not over.
fn interrupted(standing: Standing<'_>, run: &RunId) -> String {
    match standing.superseded_by() {
        None => format!("go on with it: `eve resume {run}`"),
        Some(by) => format!(
            "it cannot go on, for run {by} of this plan came after it; apply the plan as it is to be, or undo what this one \
             changed: `eve rollback {run}`"
        ),
    }
}

/// How far it has come, on its way forward or back.
fn progress(board: &Board, summary: &Summary, until: Timestamp) -> String {
    if let Some(since) = board.rolling_back {
        let what = style::warning("rolling back");
        return format!("{what} for {}: {}", show(until.since(since)), undoing::Tally::of(board).text());
    }
    let mut text = format!("{} of {} ready", summary.ready, count(summary.components, "component"));
    for (number, word) in [(summary.failed, "failed"), (board.open.len(), "under way")] {
        if number > 0 {
            let _ = write!(text, ", {number} {word}");
        }
    }
    text
}

/// Since when something is done with a component, and what is known of why it is not over.
fn under_way(board: &Board, id: ComponentId) -> (Option<Timestamp>, &str) {
    if let Some(undo) = board.undos.get(&id).filter(|undo| undo.stage.is_open()) {
        let why = undo.failure.as_ref().map_or("being put back", |(_, failure)| failure.message.as_str());
        return (undo.began_at, why);
    }
    let row = board.row(id);
    (row.began_at, row.cause.as_ref().map_or("", |(cause, _)| cause.message.as_str()))
}

fn standing_text(standing: Standing<'_>) -> String {
    match standing.state {
        RunState::Live(Some(holder)) => {
            format!("running in process {} on {}", holder.process, clean(&holder.host))
        }
        RunState::Live(None) | RunState::Interrupted | RunState::Finished(_) => standing.word().to_owned(),
    }
}
