//! What a journal says of a run as a whole: words and JSON. Pure.

use std::fmt::Write as _;

use eve_core::run::{Outcome, StopMode};
use eve_core::time::Timestamp;
use eve_store::{RunHeader, RunState, RunSummary, StopRequest};
use serde_json::{Value, json};

use super::board::Board;
use super::summary::Summary;
use super::text::{Precision, clean, count, rfc3339};
use super::{report, style};
use crate::duration::{show, show_whole};

/// Components under way that are named; the rest is counted.
const OPEN_MAX: usize = 20;

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

/// The same for programs, with the process that drives it.
pub(crate) fn state_json(state: &RunState) -> Value {
    let holder = match state {
        RunState::Live(Some(holder)) => json!({
            "process": holder.process, "host": holder.host, "since": rfc3339(holder.since, Precision::Microseconds),
        }),
        RunState::Live(None) | RunState::Interrupted | RunState::Finished(_) => Value::Null,
    };
    json!({ "name": state_word(state), "holder": holder })
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
pub(crate) fn status(run: &RunSummary, board: &Board, requests: &[StopRequest], now: Timestamp) -> String {
    let RunSummary { header, state, .. } = run;
    let mut text = format!(
        "run {}: {} of plan {} in namespace {} on {}\nstarted {}, {} ago; {}",
        header.run,
        clean(&header.verb),
        clean(&header.plan),
        clean(&header.namespace),
        clean(&header.cluster),
        rfc3339(header.started_at, Precision::Seconds),
        show_whole(now.since(header.started_at)),
        state_text(state),
    );
    let summary = Summary::of(board);
    if let RunState::Finished(_) = state {
        let _ = write!(text, "\n{}{}", report::failures(board, &summary), report::figures(board, &summary));
        return text;
    }
    if let Some(asked) = asked(requests, now) {
        let _ = write!(text, "\n{asked}");
    }
    let _ = write!(text, "\n{} of {} ready", summary.ready, count(summary.components, "component"));
    for (number, word) in [(summary.failed, "failed"), (board.open.len(), "under way")] {
        if number > 0 {
            let _ = write!(text, ", {number} {word}");
        }
    }
    let until = match state {
        RunState::Live(_) => now,
        RunState::Interrupted | RunState::Finished(_) => board.last_at,
    };
    for &id in board.open.iter().take(OPEN_MAX) {
        let row = board.row(id);
        let cause = row.cause.as_ref().map_or("", |(cause, _)| cause.message.as_str());
        let since = row.began_at.map_or_else(String::new, |at| show(until.since(at)));
        let _ = write!(text, "\n  {since:>7}  {}  {}", clean(board.name(id)), clean(cause));
        text.truncate(text.trim_end().len());
    }
    if board.open.len() > OPEN_MAX {
        let _ = write!(text, "\n  and {} more", board.open.len() - OPEN_MAX);
    }
    if *state == RunState::Interrupted {
        let _ = write!(text, "\n{}: go on with it: `eve resume {}`", style::hint("hint"), header.run);
    }
    text
}

fn state_text(state: &RunState) -> String {
    match state {
        RunState::Live(Some(holder)) => {
            format!("running in process {} on {}", holder.process, clean(&holder.host))
        }
        other @ (RunState::Live(None) | RunState::Interrupted | RunState::Finished(_)) => {
            state_word(other).to_owned()
        }
    }
}
