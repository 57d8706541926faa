//! What the displays know of a run: a function of its records, and of what waits tell in between.
//!
//! No clock, no terminal: the time comes with each record. Start with [`Board::record`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use eve_core::failure::{Cause, Failure, FailureClass};
use eve_core::ids::{Attempt, ComponentId, RunId};
use eve_core::plan::FailurePolicy;
use eve_core::plan::graph::Graph;
use eve_core::run::{Change, Event, Outcome, Phase, Record, SkipReason, StopMode, StopReason};
use eve_core::time::Timestamp;

use super::text::is_join;
use super::undoing::{self, Undo, UndoStage};
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
    /// Whether what the run changed is put back once nothing is in flight.
    pub(crate) rolls_back: bool,
    /// Whether somebody has asked for its end.
    asked: bool,
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
    /// The run that this one undoes, if that is what it is for.
    pub(crate) undoes: Option<RunId>,
    /// Whether everything is looked at afresh.
    pub(crate) verifying: bool,
    /// When the rollback began.
    pub(crate) rolling_back: Option<Timestamp>,
    /// What the rollback is to put back.
    pub(crate) undos: BTreeMap<ComponentId, Undo>,
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
    /// Which fields were taken over from `kubectl apply`.
    pub(crate) taken_over: Option<String>,
    /// That it counts as ready because nothing reports a status for it.
    pub(crate) no_status: Option<String>,
    /// Whether it is known what would put it back.
    pub(crate) has_token: bool,
    /// What its writes came to, but for one that is under way.
    touch: Touch,
}

/// What the writes of a component came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Touch {
    /// None has changed anything.
    Never,
    /// One may begin at any time, without another record.
    Announced,
    /// One has changed something, or may have.
    Touched,
    /// One of which the end is not known was found to have arrived.
    Arrived,
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
        let known = self.change.is_some_and(|known| !matches!(known, Change::None | Change::Unknown));
        if !(self.is_written() && known) {
            self.change = Some(change);
        }
    }

    /// What was found before its turn, or before another attempt.
    fn find(&mut self, change: Change) {
        if self.touch >= Touch::Touched && change == Change::None {
            self.touch = Touch::Arrived;
        } else {
            self.learn(change);
        }
    }

    /// Whether its writes were accepted, or were found to have arrived.
    pub(crate) const fn is_written(&self) -> bool {
        self.applied_at.is_some() || matches!(self.touch, Touch::Arrived)
    }

    fn touch(&mut self) {
        self.touch = self.touch.max(Touch::Touched);
    }

    /// What was announced has not begun, or has a record now.
    fn forget_announcement(&mut self) {
        if self.touch == Touch::Announced {
            self.touch = Touch::Never;
        }
    }

    /// Whether this run has written it, or may have: a rollback would put it back.
    pub(crate) fn is_touched(&self) -> bool {
        self.touch != Touch::Never || self.stage == Stage::Applying
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
            taken_over: None,
            no_status: None,
            touch: Touch::Never,
            has_token: false,
        };
        let total = graph.ids().filter(|&id| !is_join(&graph, id)).count();
        Self {
            rows: vec![row; graph.len()],
            graph,
            run: None,
            started_at: Timestamp::EPOCH,
            last_at: Timestamp::EPOCH,
            stopping: None,
            rolls_back: false,
            asked: false,
            outcome: None,
            open: BTreeSet::new(),
            ready: 0,
            failed: 0,
            left_out: 0,
            total,
            prepared: 0,
            undoes: None,
            verifying: false,
            rolling_back: None,
            undos: BTreeMap::new(),
        }
    }

    /// What the records say until now.
    pub(crate) fn of(graph: Arc<Graph>, records: &[Record]) -> Self {
        let mut board = Self::new(graph);
        for record in records {
            board.record(record);
        }
        board
    }

    /// The names of the components that this run has written, or may have, and that are not put back; all of them, where
    /// they were put back and nothing says that they were looked at.
    pub(crate) fn left_by(&self) -> BTreeSet<String> {
        let is_undone = |id| self.undos.get(&id).is_some_and(|undo| undo.stage == UndoStage::Undone);
        let left = self.names(|id| self.row(id).is_touched() && !is_undone(id));
        if left.is_empty() && self.outcome != Some(Outcome::RolledBack) {
            return self.names(|id| self.row(id).is_touched());
        }
        left
    }

    /// Whether something was kept that could put any of it back.
    pub(crate) fn has_kept(&self) -> bool {
        self.graph.ids().any(|id| self.row(id).is_touched() && self.row(id).has_token)
    }

    fn names(&self, is_meant: impl Fn(ComponentId) -> bool) -> BTreeSet<String> {
        let meant = self.graph.ids().filter(|id| !is_join(&self.graph, *id) && is_meant(*id));
        meant.map(|id| self.name(id).to_owned()).collect()
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
                self.undoes.clone_from(&run.undoes);
                self.started_at = at;
            }
            Event::Stopping { reason } => {
                self.stopping.get_or_insert(*reason);
                self.stops(*reason);
            }
            // What was announced may have begun, and the process have died before it could say so.
            Event::Resumed => {
                let announced = self.rows.iter_mut().filter(|row| row.touch == Touch::Announced);
                announced.for_each(Row::touch);
            }
            Event::Verifying => self.verifying = true,
            Event::RollingBack => self.roll_back(at),
            Event::Finished { outcome } => self.outcome = Some(*outcome),
            event => {
                self.touch(event);
                self.component_event(event, at);
            }
        }
    }

    /// What follows from a reason to stop: who was asked to end does not roll back, unless that was asked for.
    fn stops(&mut self, reason: StopReason) {
        let plan = self.graph.on_failure();
        let policy = match reason {
            StopReason::Failure { component } => self.graph.node(component).on_failure().unwrap_or(plan),
            StopReason::Asked { mode } => {
                self.asked = true;
                self.rolls_back |= mode == StopMode::Rollback;
                return;
            }
            StopReason::Deadline | _ => plan,
        };
        self.rolls_back |= policy == FailurePolicy::Rollback && !self.asked;
    }

    /// What an event says of whether its component is written.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others say nothing of that")]
    fn touch(&mut self, event: &Event) {
        match event {
            Event::Announced { component } => self.edit(*component, |row| {
                row.touch = row.touch.max(Touch::Announced);
            }),
            Event::Started { component, .. } => self.edit(*component, Row::forget_announcement),
            Event::Applied { component, applied, .. } if applied.change != Change::None => {
                self.edit(*component, Row::touch);
            }
            Event::AttemptFailed { component, phase: Phase::Apply, failure, .. } if !failure.left_nothing => {
                self.edit(*component, Row::touch);
            }
            Event::Interrupted { component, .. }
                if self.rolling_back.is_none() && self.row(*component).stage == Stage::Applying =>
            {
                self.edit(*component, Row::touch);
            }
            _ => {}
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "what this version does not know it does not show")]
    fn component_event(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::Prepared { component, prepared } => {
                let first = self.edit(*component, |row| {
                    row.find(prepared.change);
                    row.has_token |= prepared.undo.is_some();
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
                let said = |output: &str| Some(outputs.get(output)?.as_str()?.to_owned());
                self.edit(*component, |row| {
                    row.kept = said(wiring::KEPT);
                    row.taken_over = said(wiring::TAKEN_OVER);
                    row.no_status = said(wiring::NO_STATUS);
                });
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
            Event::Inherited { component, applied, token } => self.edit(*component, |row| {
                row.touch();
                row.has_token = token.is_some();
                if let Some(applied) = applied {
                    row.change = Some(applied.change);
                    row.applied_at = Some(at);
                }
            }),
            event => self.undo_event(event, at),
        }
    }

    /// Everything that the run has touched is to be put back.
    fn roll_back(&mut self, at: Timestamp) {
        self.rolling_back = Some(at);
        self.verifying = false;
        let touched = self.graph.ids().filter(|id| self.row(*id).is_touched());
        self.undos = touched.map(|id| (id, Undo::pending(at))).collect();
    }

    /// An interrupted attempt goes on; what is left says something of the rollback.
    fn undo_event(&mut self, event: &Event, at: Timestamp) {
        let Some(component) = undoing::component(event) else { return };
        let undo = self.undos.entry(component).or_insert_with(|| Undo::pending(at));
        undo.record(event, at);
        let is_open = undo.stage.is_open();
        if is_open && !is_join(&self.graph, component) {
            self.open.insert(component);
        } else {
            self.open.remove(&component);
        }
    }

    /// Whether this is an undo that waits for something new. Of waits the log tells; of undos only who carries them out.
    pub(crate) fn undo_waits_anew(&self, component: ComponentId, cause: &Cause) -> bool {
        let undo = self.undos.get(&component).filter(|undo| undo.stage == UndoStage::Undoing);
        undo.is_some_and(|undo| undo.cause.as_ref() != Some(cause))
    }

    /// A wait or an undo tells what it waits for.
    pub(crate) fn waits_for(&mut self, component: ComponentId, cause: &Cause, at: Timestamp) {
        if let Some(undo) = self.undos.get_mut(&component).filter(|undo| undo.stage == UndoStage::Undoing) {
            undo.cause = Some(cause.clone());
            return;
        }
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
        let before = self.edit(component, |row| {
            row.since = at;
            row.cause = None;
            if stage.is_final() {
                row.ended_at = Some(at);
                // The process that announced it knows that it has not begun.
                row.forget_announcement();
            }
            std::mem::replace(&mut row.stage, stage)
        });
        if is_join(&self.graph, component) {
            return;
        }
        // A fresh look may find that what was ready is ready no longer.
        if before == Stage::Ready {
            self.ready -= 1;
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
