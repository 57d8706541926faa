//! What each component of a run did, when and how long: phases, waits by cause, critical path and slack. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use eve_core::failure::Cause;
use eve_core::ids::ComponentId;
use eve_core::plan::graph::Graph;
use eve_core::run::{Event, Record};
use eve_core::time::Timestamp;
use serde_json::{Value, json};

use super::board::{Board, Stage};
use super::style;
use super::text::{Precision, clean, cut, is_join, rfc3339, width};
use super::times::Times;
use crate::duration::show;

/// Columns of a cause; what is longer is cut.
const CAUSE_WIDTH_MAX: usize = 100;

/// Phases that would be shown as `0.0s`.
const SHORT: Duration = Duration::from_millis(100);

/// A run told by component. Joins are left out.
#[derive(Debug)]
pub(crate) struct Timeline {
    board: Board,
    /// In the order in which their turns came.
    lanes: Vec<Lane>,
    /// When no process drove the run.
    gaps: Vec<(Timestamp, Timestamp)>,
}

/// One component. Its phases follow each other.
#[derive(Debug)]
struct Lane {
    id: ComponentId,
    turn: Timestamp,
    /// From its turn to its end on the way forward; where it had none, to the last of its undo.
    took: Duration,
    spans: Vec<Span>,
    slack: Duration,
    is_critical: bool,
}

#[derive(Clone, Debug)]
struct Span {
    doing: Doing,
    from: Timestamp,
    to: Timestamp,
}

impl Span {
    /// Its parts before, between and after the gaps, which are in order.
    fn without(mut self, gaps: &[(Timestamp, Timestamp)]) -> Vec<Self> {
        let mut parts = Vec::new();
        for &(from, to) in gaps.iter().filter(|(from, to)| from < to) {
            if from < self.from || self.to < to {
                continue;
            }
            if self.from < from {
                parts.push(Self { to: from, ..self.clone() });
            }
            self.from = to;
        }
        parts.push(self);
        parts
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Doing {
    /// Runnable, for want of a free slot or of a look at the cluster.
    Queued,
    Applying,
    /// For this, where it was said.
    Waiting(Option<Cause>),
    /// Between two attempts.
    Pausing,
    /// Being put back.
    Undoing,
}

impl Doing {
    const fn word(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Applying => "applying",
            Self::Waiting(_) => "waiting",
            Self::Pausing => "pausing",
            Self::Undoing => "undoing",
        }
    }
}

impl Timeline {
    /// From all records of a run of this graph, or the first of them.
    pub(crate) fn of(graph: Arc<Graph>, records: &[Record]) -> Self {
        let mut board = Board::new(graph);
        let mut phases: BTreeMap<ComponentId, Phases> = BTreeMap::new();
        let mut gaps = Vec::new();
        for record in records {
            let before = board.last_at;
            board.record(record);
            if record.event == Event::Resumed {
                gaps.push((before, record.at));
            }
            if let Some((id, doing)) = begun(&record.event) {
                phases.entry(id).or_default().follow(doing, record.at);
            }
        }
        let lanes = lanes(&board, phases, &gaps);
        Self { board, lanes, gaps }
    }

    pub(crate) fn board(&self) -> &Board {
        &self.board
    }

    fn since_begin(&self, at: Timestamp) -> Duration {
        at.since(self.board.started_at)
    }

    /// For people, without a line break at its end.
    pub(crate) fn text(&self) -> String {
        let names = self.lanes.iter().map(|lane| width(&clean(self.board.name(lane.id))));
        let widest = names.max().unwrap_or(0).max("COMPONENT".len());
        let mut text = format!("{:>8} {:>8} {:>9}  {:widest$}  PHASES", "AT", "TOOK", "SLACK", "COMPONENT");
        for lane in &self.lanes {
            let slack = if lane.is_critical { "critical".to_owned() } else { show(lane.slack) };
            let name = clean(self.board.name(lane.id));
            let _ = write!(
                text,
                "\n{:>8} {:>8} {slack:>9}  {name}{:pad$}  {}",
                show(self.since_begin(lane.turn)),
                show(lane.took),
                "",
                self.phases(lane),
                pad = widest - width(&name),
            );
            for (message, waited) in lane.causes() {
                let cause = cut(&clean(message), CAUSE_WIDTH_MAX).into_owned();
                let _ = write!(text, "\n{:>28} {:>8}  {cause}", "waited", show(waited));
            }
        }
        for (from, to) in &self.gaps {
            let (at, silent) = (show(self.since_begin(*to)), show(to.since(*from)));
            let resumed = style::warning("resumed");
            let _ = write!(text, "\n{resumed} at {at} by another process, {silent} after the last record");
        }
        text
    }

    fn phases(&self, lane: &Lane) -> String {
        let row = self.board.row(lane.id);
        let mut phases: Vec<String> = Vec::new();
        for (word, took) in lane.by_word().into_iter().filter(|(_, took)| *took >= SHORT) {
            phases.push(format!("{word} {}", show(took)));
        }
        phases.push(end(row.stage).to_owned());
        phases.extend(self.board.undos.get(&lane.id).map(|undo| undo.stage.word().to_owned()));
        phases.join(", ")
    }

    /// For programs. `docs/reference/runs-json.md` describes it.
    pub(crate) fn json(&self) -> Value {
        let at = |time: Timestamp| json!(rfc3339(time, Precision::Microseconds));
        let lanes = self.lanes.iter().map(|lane| {
            let row = self.board.row(lane.id);
            let phases = lane.spans.iter().map(|span| {
                let cause = match &span.doing {
                    Doing::Waiting(Some(cause)) => json!({ "code": cause.code, "message": cause.message }),
                    Doing::Waiting(None)
                    | Doing::Queued
                    | Doing::Applying
                    | Doing::Pausing
                    | Doing::Undoing => Value::Null,
                };
                json!({
                    "phase": span.doing.word(), "from": at(span.from),
                    "seconds": span.to.since(span.from).as_secs_f64(), "cause": cause,
                })
            });
            json!({
                "component": self.board.name(lane.id), "end": end(row.stage), "attempt": row.attempt,
                "undo": self.board.undos.get(&lane.id).map(|undo| undo.stage.word()),
                "runnableAt": at(lane.turn), "endedAt": row.ended_at.map(at),
                "seconds": lane.took.as_secs_f64(), "slackSeconds": lane.slack.as_secs_f64(),
                "critical": lane.is_critical, "phases": phases.collect::<Vec<_>>(),
            })
        });
        let gaps = self.gaps.iter();
        let gaps = gaps.map(|(from, to)| json!({ "from": at(*from), "to": at(*to) }));
        json!({
            "type": "timeline", "run": self.board.run.as_ref().map(eve_core::ids::RunId::as_str),
            "plan": self.board.graph.name(), "namespace": self.board.graph.namespace(),
            "startedAt": at(self.board.started_at), "lastAt": at(self.board.last_at),
            "outcome": self.board.outcome, "components": lanes.collect::<Vec<_>>(),
            "gaps": gaps.collect::<Vec<_>>(),
        })
    }
}

impl Lane {
    /// How long it was in each phase, in the order of the first of each.
    fn by_word(&self) -> Vec<(&'static str, Duration)> {
        summed(self.spans.iter().map(|span| (span.doing.word(), span.to.since(span.from))))
    }

    /// What it waited for and how long, the longest first.
    fn causes(&self) -> Vec<(&str, Duration)> {
        let mut causes = summed(self.spans.iter().filter_map(|span| match &span.doing {
            Doing::Waiting(Some(cause)) => Some((cause.message.as_str(), span.to.since(span.from))),
            Doing::Waiting(None) | Doing::Queued | Doing::Applying | Doing::Pausing | Doing::Undoing => None,
        }));
        causes.sort_by_key(|(_, waited)| std::cmp::Reverse(*waited));
        causes
    }
}

fn summed<'a>(times: impl Iterator<Item = (&'a str, Duration)>) -> Vec<(&'a str, Duration)> {
    let mut sums: Vec<(&str, Duration)> = Vec::new();
    for (what, took) in times {
        match sums.iter_mut().find(|(known, _)| *known == what) {
            Some((_, sum)) => *sum += took,
            None => sums.push((what, took)),
        }
    }
    sums
}

/// What a component does from this event on; `None` for nothing more.
#[expect(clippy::wildcard_enum_match_arm, reason = "all others change nothing of what a component does")]
fn begun(event: &Event) -> Option<(ComponentId, Option<Doing>)> {
    Some(match event {
        Event::Started { component, .. } => (*component, Some(Doing::Applying)),
        Event::Applied { component, .. } => (*component, Some(Doing::Waiting(None))),
        Event::Waiting { component, cause } => (*component, Some(Doing::Waiting(Some(Cause::clone(cause))))),
        Event::AttemptFailed { component, retry_at, .. } => (*component, retry_at.map(|_| Doing::Pausing)),
        Event::UndoStarted { component, .. } => (*component, Some(Doing::Undoing)),
        Event::UndoFailed { component, retry_at, .. } => (*component, retry_at.map(|_| Doing::Pausing)),
        Event::Ready { component, .. }
        | Event::Skipped { component, .. }
        | Event::Undone { component, .. }
        | Event::Kept { component, .. } => (*component, None),
        _ => return None,
    })
}

/// The phases of a component. Between its way forward and its way back there may be none.
#[derive(Debug, Default)]
struct Phases {
    spans: Vec<Span>,
    /// Whether the last is under way.
    is_open: bool,
}

impl Phases {
    /// Ends the phase that was under way, and begins the next.
    fn follow(&mut self, doing: Option<Doing>, at: Timestamp) {
        self.until(at);
        self.is_open = doing.is_some();
        self.spans.extend(doing.map(|doing| Span { doing, from: at, to: at }));
    }

    /// What is under way is so until then.
    fn until(&mut self, at: Timestamp) {
        if let Some(last) = self.spans.last_mut().filter(|_| self.is_open) {
            last.to = at;
        }
    }
}

fn lanes(
    board: &Board,
    mut phases: BTreeMap<ComponentId, Phases>,
    gaps: &[(Timestamp, Timestamp)],
) -> Vec<Lane> {
    let times = Times::of(board);
    let slack = times.slack();
    let critical: BTreeSet<ComponentId> = times.critical_path().into_iter().map(|(id, _)| id).collect();
    let told: BTreeSet<ComponentId> = phases.keys().copied().collect();
    let begun = board.graph.ids().filter(|&id| {
        let stage = board.row(id).stage;
        let has_begun = !matches!(stage, Stage::Pending | Stage::Skipped) || told.contains(&id);
        !is_join(&board.graph, id) && has_begun
    });
    let lane = |id: ComponentId| {
        let turn = times.turn(id);
        let end = board.row(id).ended_at.unwrap_or(board.last_at);
        let mut own = phases.remove(&id).unwrap_or_default();
        own.until(board.last_at);
        let mut own = own.spans;
        let took = board.row(id).ended_at.or(own.last().map(|span| span.to)).map(|to| to.since(turn));
        let first = own.first().map_or(end, |span| span.from);
        if first > turn {
            own.insert(0, Span { doing: Doing::Queued, from: turn, to: first });
        }
        let own = own.into_iter().flat_map(|span| span.without(gaps)).collect();
        let slack = slack.get(id.index()).copied().unwrap_or_default();
        let took = took.unwrap_or_default();
        Lane { id, turn, took, spans: own, slack, is_critical: critical.contains(&id) }
    };
    let mut lanes: Vec<Lane> = begun.map(lane).collect();
    lanes.sort_by_key(|lane| (lane.turn, lane.id));
    lanes
}

const fn end(stage: Stage) -> &'static str {
    match stage {
        Stage::Pending => "not started",
        Stage::Applying | Stage::Waiting | Stage::Pausing => "under way",
        Stage::Ready => "ready",
        Stage::Failed => "failed",
        Stage::Cancelled => "given up",
        Stage::Skipped => "skipped",
    }
}
