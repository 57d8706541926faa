//! What readers may see of a run.

use super::protocol::{Change, Outcome, Outputs, StopReason};
use super::state::{ComponentStatus, Counts, State};
use crate::failure::{Cause, Failure};
use crate::ids::{Attempt, ComponentId};
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

    /// How the run ended, once it has.
    pub const fn outcome(&self) -> Option<Outcome> {
        self.state.outcome
    }
}
