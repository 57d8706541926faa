//! What readers may see of a run.

use super::protocol::{Applied, Change, KeepReason, Outcome, Outputs, StopReason, UndoReport, UndoToken};
use super::state::{ComponentStatus, Counts, State};
use super::undo::{Part, UndoCounts, UndoStatus};
use crate::failure::{Cause, Failure};
use crate::ids::{Attempt, ComponentId, RunId};
use crate::plan::graph::Graph;
use crate::time::Timestamp;

/// A run at one moment, read only and free to take. Every component of the graph has an answer.
#[derive(Clone, Copy, Debug)]
pub struct RunView<'a> {
    pub(super) graph: &'a Graph,
    pub(super) state: &'a State,
}

impl<'a> RunView<'a> {
    /// The graph that is run.
    pub const fn graph(&self) -> &'a Graph {
        self.graph
    }

    /// Where the component stands.
    pub fn status(&self, component: ComponentId) -> ComponentStatus {
        self.state.cell(component).status
    }

    /// The attempt that is under way, or comes next, or was the last.
    pub fn attempt(&self, component: ComponentId) -> Attempt {
        self.state.cell(component).attempt
    }

    /// What was changed in this run, or, as long as nothing was, what would be; `None` before it was prepared.
    pub fn change(&self, component: ComponentId) -> Option<Change> {
        let cell = self.state.cell(component);
        cell.changed.or(cell.foreseen)
    }

    /// What it waits for, as far as it is stored.
    pub fn cause(&self, component: ComponentId) -> Option<&'a Cause> {
        self.state.cell(component).cause.as_deref()
    }

    /// Why its last failed attempt failed; it may have got further since.
    pub fn failure(&self, component: ComponentId) -> Option<&'a Failure> {
        self.state.cell(component).failure.as_deref()
    }

    /// What it publishes; nothing before it is ready.
    pub fn outputs(&self, component: ComponentId) -> &'a Outputs {
        &self.state.cell(component).outputs
    }

    /// When its first attempt, or its wait where nothing had to be written, began.
    pub fn turn_at(&self, component: ComponentId) -> Option<Timestamp> {
        self.state.cell(component).turn_at.map(|at| self.state.on_the_clock(at))
    }

    /// When its next attempt may begin, while it pauses between two.
    pub fn retry_at(&self, component: ComponentId) -> Option<Timestamp> {
        self.state.cell(component).retry_at
    }

    /// How many components stand where.
    pub const fn counts(&self) -> Counts {
        self.state.counts
    }

    /// When the run began.
    pub fn started_at(&self) -> Timestamp {
        self.state.on_the_clock(self.state.started_at)
    }

    /// Why nothing new is started any more; the first reason, if there are several.
    pub const fn stopping(&self) -> Option<StopReason> {
        self.state.stopping
    }

    /// Whether everything is ready, or undone, and is looked at afresh.
    pub fn is_verifying(&self) -> bool {
        self.state.rollback.as_ref().map_or(self.state.ending.verifying, |rollback| rollback.verifying)
    }

    /// The run that this one undoes, if that is what it is for. Its own components are then all skipped.
    pub fn undoes(&self) -> Option<&'a RunId> {
        self.state.start.as_ref()?.undoes.as_ref()
    }

    /// Whether the run changed the component, or may have: the rollback is to put it back.
    pub fn is_touched(&self, component: ComponentId) -> bool {
        self.state.cell(component).is_touched()
    }

    /// What puts the component back as it was before the run, if that is known.
    pub fn undo_token(&self, component: ComponentId) -> Option<&'a UndoToken> {
        self.state.cell(component).undo.as_ref()
    }

    /// What `apply` did the last time that its end is known, in whatever attempt.
    pub fn last_applied(&self, component: ComponentId) -> Option<&'a Applied> {
        self.state.cell(component).applied.last()
    }

    /// When the rollback began; `None` as long as nothing is rolled back.
    pub fn rolling_back_since(&self) -> Option<Timestamp> {
        self.state.rollback.as_ref().map(|rollback| self.state.on_the_clock(rollback.began_at))
    }

    /// How many components that the run changed stand where in its rollback.
    pub fn undo_counts(&self) -> UndoCounts {
        self.state.rollback.as_ref().map(|rollback| rollback.counts).unwrap_or_default()
    }

    /// Where the component stands in the rollback.
    pub fn undo_status(&self, component: ComponentId) -> UndoStatus {
        self.undo_part(component).map_or(UndoStatus::Untouched, |part| part.status)
    }

    /// The attempt to undo that is under way, or comes next, or was the last.
    pub fn undo_attempt(&self, component: ComponentId) -> Option<Attempt> {
        self.undo_part(component).map(|part| part.attempt)
    }

    /// When the next attempt to undo it may begin, while it pauses between two.
    pub fn undo_retry_at(&self, component: ComponentId) -> Option<Timestamp> {
        self.undo_part(component)?.retry_at
    }

    /// What its undo did.
    pub fn undo_report(&self, component: ComponentId) -> Option<&'a UndoReport> {
        self.undo_part(component)?.report.as_deref()
    }

    /// Why the last failed attempt to undo it failed; it may have got further since.
    pub fn undo_failure(&self, component: ComponentId) -> Option<&'a Failure> {
        self.undo_part(component)?.failure.as_deref()
    }

    /// Why the rollback leaves it alone.
    pub fn kept_because(&self, component: ComponentId) -> Option<KeepReason> {
        self.undo_part(component)?.kept
    }

    fn undo_part(&self, component: ComponentId) -> Option<&'a Part> {
        self.state.rollback.as_ref()?.parts.get(component.index())
    }

    /// How the run ended, once it has.
    pub const fn outcome(&self) -> Option<Outcome> {
        self.state.outcome
    }
}
