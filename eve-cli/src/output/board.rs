//! What the displays know of a run: a function of its records, and of what waits tell in between.
//!
//! No clock, no terminal: the time comes with each record. Start with [`Board::record`].

use std::collections::BTreeSet;
use std::sync::Arc;

use eve_core::failure::{Cause, Failure, FailureClass};
use eve_core::ids::{Attempt, ComponentId, RunId};
use eve_core::plan::graph::Graph;
use eve_core::run::{Change, Event, Outcome, Phase, Record, SkipReason, StopReason};
use eve_core::time::Timestamp;

use super::text::is_join;
use crate::wiring;

/// A run as it is shown.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    /// The graph that is run.
    pub(crate) graph: Arc<Graph>,
    /// Which run, once it has begun.
    pub(crate) run: Option<RunId>,
    /// When it began.
    pub(crate) started_at: Timestamp,
    /// The time of the last record.
    pub(crate) last_at: Timestamp,
    /// Why nothing new is started any more; the first reason.
    pub(crate) stopping: Option<StopReason>,
    /// How it ended.
    pub(crate) outcome: Option<Outcome>,
    /// Components that are under way, joins never.
    pub(crate) open: BTreeSet<ComponentId>,
    /// How many components are ready, joins not counted.
    pub(crate) ready: usize,
    /// How many failed.
    pub(crate) failed: usize,
    /// How many were skipped or given up.
    pub(crate) left_out: usize,
    /// How many components there are, joins not counted.
    pub(crate) total: usize,
    /// How many of them were prepared at least once.
    pub(crate) prepared: usize,
    rows: Vec<Row>,
}

/// One component as it is shown.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Where it stands.
    pub(crate) stage: Stage,
    /// Since when.
    pub(crate) since: Timestamp,
    /// When it first had something to do, as far as a record tells.
    pub(crate) began_at: Option<Timestamp>,
    /// When it was last prepared.
    pub(crate) prepared_at: Option<Timestamp>,
    /// When its writes were first accepted.
    pub(crate) applied_at: Option<Timestamp>,
    /// When it came to its end.
    pub(crate) ended_at: Option<Timestamp>,
    /// What was changed in this run, or would be. What one attempt has changed, a later one does not take back.
    pub(crate) change: Option<Change>,
    /// What it waits for, and since when that is so.
    pub(crate) cause: Option<(Cause, Timestamp)>,
    /// The attempt that is under way, or was the last.
    pub(crate) attempt: Attempt,
    /// Why its last failed attempt failed, and in which phase.
    pub(crate) failure: Option<(Phase, Box<Failure>)>,
    /// When it is tried again.
    pub(crate) retry_at: Option<Timestamp>,
    /// Why it was skipped.
    pub(crate) because: Option<SkipReason>,
    /// Why it stays, though it was to be removed.
    pub(crate) kept: Option<String>,
}

/// Where a component stands, for display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not started.
    Pending,
    /// Its writes are under way.
    Applying,
    /// It is waited for.
    Waiting,
    /// An attempt failed, the next is to come.
    Pausing,
    /// It has come as far as it was asked to.
    Ready,
    /// It failed.
    Failed,
    /// It was given up on request.
    Cancelled,
    /// It was not started.
    Skipped,
}

impl Stage {
    const fn is_open(self) -> bool {
        matches!(self, Self::Applying | Self::Waiting | Self::Pausing)
    }

    const fn is_final(self) -> bool {
        matches!(self, Self::Ready | Self::Failed | Self::Cancelled | Self::Skipped)
    }
}

impl Row {
    fn learn(&mut self, change: Change) {
        let has_changed = self.applied_at.is_some()
            && self.change.is_some_and(|known| !matches!(known, Change::None | Change::Unknown));
        if !has_changed {
            self.change = Some(change);
        }
    }
}

impl Board {
    /// A run of this graph that has not begun.
    pub(crate) fn new(graph: Arc<Graph>) -> Self {
        let row = Row {
            stage: Stage::Pending,
            since: Timestamp::EPOCH,
            began_at: None,
            prepared_at: None,
            applied_at: None,
            ended_at: None,
            change: None,
            cause: None,
            attempt: Attempt::FIRST,
            failure: None,
            retry_at: None,
            because: None,
            kept: None,
        };
        let total = graph.ids().filter(|&id| !is_join(&graph, id)).count();
        Self {
            rows: vec![row; graph.len()],
            graph,
            run: None,
            started_at: Timestamp::EPOCH,
            last_at: Timestamp::EPOCH,
            stopping: None,
            outcome: None,
            open: BTreeSet::new(),
            ready: 0,
            failed: 0,
            left_out: 0,
            total,
            prepared: 0,
        }
    }

    /// The component's row.
    #[expect(clippy::indexing_slicing, reason = "an index of another graph is a broken invariant")]
    pub(crate) fn row(&self, component: ComponentId) -> &Row {
        &self.rows[component.index()]
    }

    /// The component's name.
    pub(crate) fn name(&self, component: ComponentId) -> &str {
        self.graph.node(component).name()
    }

    /// Takes over one record.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are about a component")]
    pub(crate) fn record(&mut self, record: &Record) {
        let at = record.at;
        self.last_at = at;
        match &record.event {
            Event::RunStarted { run } => {
                self.run = Some(run.id.clone());
                self.started_at = at;
            }
            Event::Stopping { reason } => {
                self.stopping.get_or_insert(*reason);
            }
            Event::Finished { outcome } => self.outcome = Some(*outcome),
            event => self.component_event(event, at),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "what this version does not know it does not show")]
    fn component_event(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::Prepared { component, prepared } => {
                let first = self.edit(*component, |row| {
                    row.learn(prepared.change);
                    row.prepared_at.replace(at).is_none()
                });
                self.prepared += usize::from(first);
            }
            Event::Started { component, attempt } => {
                self.edit(*component, |row| {
                    row.attempt = *attempt;
                    row.began_at.get_or_insert(at);
                });
                self.enter(*component, Stage::Applying, at);
            }
            Event::Applied { component, applied, .. } => {
                self.edit(*component, |row| {
                    if applied.change != Change::Unknown {
                        row.learn(applied.change);
                    }
                    row.applied_at.get_or_insert(at);
                });
                self.enter(*component, Stage::Waiting, at);
            }
            Event::Waiting { component, cause } => self.waits_for(*component, cause, at),
            Event::Ready { component, outputs } => {
                let kept = outputs.get(wiring::KEPT).and_then(serde_json::Value::as_str).map(str::to_owned);
                self.edit(*component, |row| row.kept = kept);
                self.enter(*component, Stage::Ready, at);
            }
            Event::AttemptFailed { component, attempt, phase, failure, retry_at } => {
                self.edit(*component, |row| {
                    row.attempt = *attempt;
                    row.failure = Some((*phase, failure.clone()));
                    row.retry_at = *retry_at;
                });
                let stops = self.stopping.is_some();
                self.enter(*component, stage_after(failure, *retry_at, stops), at);
            }
            Event::Skipped { component, because } => {
                self.edit(*component, |row| row.because = Some(*because));
                self.enter(*component, Stage::Skipped, at);
            }
            // An interrupted attempt goes on.
            _ => {}
        }
    }

    /// A wait tells what it waits for.
    pub(crate) fn waits_for(&mut self, component: ComponentId, cause: &Cause, at: Timestamp) {
        let stage = self.row(component).stage;
        if stage.is_final() {
            return;
        }
        if stage != Stage::Waiting {
            self.enter(component, Stage::Waiting, at);
        }
        self.edit(component, |row| {
            row.began_at.get_or_insert(at);
            if row.cause.as_ref().is_none_or(|(before, _)| before != cause) {
                row.cause = Some((cause.clone(), at));
            }
        });
    }

    fn enter(&mut self, component: ComponentId, stage: Stage, at: Timestamp) {
        self.edit(component, |row| {
            row.stage = stage;
            row.since = at;
            row.cause = None;
            if stage.is_final() {
                row.ended_at = Some(at);
            }
        });
        if is_join(&self.graph, component) {
            return;
        }
        if stage.is_open() {
            self.open.insert(component);
        } else {
            self.open.remove(&component);
        }
        match stage {
            Stage::Ready => self.ready += 1,
            Stage::Failed => self.failed += 1,
            Stage::Cancelled | Stage::Skipped => self.left_out += 1,
            Stage::Pending | Stage::Applying | Stage::Waiting | Stage::Pausing => {}
        }
    }

    #[expect(clippy::indexing_slicing, reason = "an index of another graph is a broken invariant")]
    fn edit<T>(&mut self, component: ComponentId, change: impl FnOnce(&mut Row) -> T) -> T {
        change(&mut self.rows[component.index()])
    }
}

/// A run that does not stop gives nothing up, whatever an executor says.
fn stage_after(failure: &Failure, retry_at: Option<Timestamp>, stops: bool) -> Stage {
    match failure.class {
        _ if retry_at.is_some() => Stage::Pausing,
        FailureClass::Cancelled if stops => Stage::Cancelled,
        FailureClass::Cancelled
        | FailureClass::Transient
        | FailureClass::Permanent
        | FailureClass::Misuse => Stage::Failed,
    }
}
