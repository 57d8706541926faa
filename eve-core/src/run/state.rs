//! What is known of a run: a function of its events and of nothing else.
//!
//! Only [`apply`](super::apply) changes it. Which events are legal in which status is the table in [`Cell::check`]; a log
//! that breaks it is refused, and a live run that breaks it is a bug.

use std::time::Duration;

use super::protocol::{
    Applied, Change, Event, Outcome, Outputs, Phase, Prepared, RunStart, StopMode, StopReason, UndoToken,
};
use super::undo::Rollback;
use crate::failure::{Cause, Failure};
use crate::ids::{Attempt, ComponentId};
use crate::plan::graph::Graph;
use crate::plan::{Action, Until};
use crate::time::Timestamp;

/// Where a component stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ComponentStatus {
    /// Something it depends on has not come far enough.
    Blocked,
    /// It may start now; it waits for a free slot, for its turn in its class, or for its next attempt.
    Runnable,
    /// Its writes are under way.
    Applying,
    /// Its writes are accepted, or were not needed; it is waited for.
    Waiting,
    /// It has come as far as it was asked to. Final.
    Ready,
    /// Its last attempt failed. Final.
    Failed,
    /// It was given up because the run was told to stop. Final.
    Cancelled,
    /// It was never started, or not tried again. Final.
    Skipped,
}

impl ComponentStatus {
    /// Whether nothing more will happen to the component in this run.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Ready | Self::Failed | Self::Cancelled | Self::Skipped)
    }
}

/// How many components stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// [`ComponentStatus::Blocked`].
    pub blocked: u32,
    /// [`ComponentStatus::Runnable`].
    pub runnable: u32,
    /// [`ComponentStatus::Applying`].
    pub applying: u32,
    /// [`ComponentStatus::Waiting`].
    pub waiting: u32,
    /// [`ComponentStatus::Ready`].
    pub ready: u32,
    /// [`ComponentStatus::Failed`].
    pub failed: u32,
    /// [`ComponentStatus::Cancelled`].
    pub cancelled: u32,
    /// [`ComponentStatus::Skipped`].
    pub skipped: u32,
}

impl Counts {
    pub(super) const fn of(&mut self, status: ComponentStatus) -> &mut u32 {
        match status {
            ComponentStatus::Blocked => &mut self.blocked,
            ComponentStatus::Runnable => &mut self.runnable,
            ComponentStatus::Applying => &mut self.applying,
            ComponentStatus::Waiting => &mut self.waiting,
            ComponentStatus::Ready => &mut self.ready,
            ComponentStatus::Failed => &mut self.failed,
            ComponentStatus::Cancelled => &mut self.cancelled,
            ComponentStatus::Skipped => &mut self.skipped,
        }
    }

    /// How many components have not come to their end.
    pub const fn unfinished(&self) -> u32 {
        self.blocked + self.runnable + self.applying + self.waiting
    }
}

/// What the writes of a component came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Touch {
    /// None was begun.
    Never,
    /// One may begin at any time, without waiting for its record: from then on the undo token is fixed.
    Announced,
    /// One was begun, with whatever end.
    Begun,
    /// One changed something, or ended without telling that it did not.
    Written,
}

/// What the last write did whose end is known.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum LastApplied {
    Nothing,
    /// In this attempt.
    Now(Applied),
    /// In an earlier attempt.
    Before(Applied),
}

impl LastApplied {
    pub(super) const fn now(&self) -> Option<&Applied> {
        match self {
            Self::Now(applied) => Some(applied),
            Self::Before(_) | Self::Nothing => None,
        }
    }

    pub(super) const fn last(&self) -> Option<&Applied> {
        match self {
            Self::Now(applied) | Self::Before(applied) => Some(applied),
            Self::Nothing => None,
        }
    }
}

/// One component of a run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cell {
    pub(super) status: ComponentStatus,
    pub(super) action: Action,
    /// Whether edges `until: applied` were opened; they open once.
    pub(super) opened_applied: bool,
    pub(super) holds_class: bool,
    pub(super) touch: Touch,
    /// What the last preparation found it would change.
    pub(super) foreseen: Option<Change>,
    /// What the first write that changed something did, kept after the details are dropped.
    pub(super) changed: Option<Change>,
    /// Edges that are not open yet.
    pub(super) pending: u32,
    pub(super) attempt: Attempt,
    /// When its turn began, in time with a process; its deadline counts from here.
    pub(super) turn_at: Option<Timestamp>,
    /// When its wait last told something new, in time with a process.
    pub(super) progressed_at: Timestamp,
    /// The next attempt may not begin before.
    pub(super) retry_at: Option<Timestamp>,
    pub(super) prepared: Option<Prepared>,
    pub(super) applied: LastApplied,
    /// What puts it back as it was before the run.
    pub(super) undo: Option<UndoToken>,
    pub(super) outputs: Outputs,
    pub(super) cause: Option<Box<Cause>>,
    pub(super) failure: Option<Box<Failure>>,
}

impl Cell {
    fn new(action: Action, pending: u32) -> Self {
        Self {
            status: ComponentStatus::Blocked,
            action,
            opened_applied: false,
            holds_class: false,
            touch: Touch::Never,
            foreseen: None,
            changed: None,
            pending,
            attempt: Attempt::FIRST,
            turn_at: None,
            progressed_at: Timestamp::EPOCH,
            retry_at: None,
            prepared: None,
            applied: LastApplied::Nothing,
            undo: None,
            outputs: Outputs::NONE,
            cause: None,
            failure: None,
        }
    }

    /// Whether a write was begun, or may be at any time.
    pub(super) fn is_begun(&self) -> bool {
        self.touch >= Touch::Announced
    }

    /// Whether the run changed it, or may have.
    pub(super) const fn is_touched(&self) -> bool {
        matches!(self.touch, Touch::Announced | Touch::Written)
            || matches!(self.status, ComponentStatus::Applying)
    }

    /// Whether its turn, when it comes, begins with a write of which all is known.
    pub(super) fn may_be_announced(&self) -> bool {
        let change = self.prepared.as_ref().map(|prepared| prepared.change);
        // Of a replacement that may have begun nobody could tell how far it has come.
        let is_known =
            change.is_some_and(|change| matches!(change, Change::Create | Change::Update | Change::Delete));
        self.status == ComponentStatus::Blocked && self.action.writes() && is_known
    }

    /// The legal-transition table: which event may meet which status.
    ///
    /// # Errors
    /// What is wrong, as a fragment that follows "the event".
    pub(super) fn check(&self, event: &Event) -> Result<(), &'static str> {
        use ComponentStatus as S;
        let not_started = matches!(self.status, S::Blocked | S::Runnable);
        let same = |attempt: Attempt| attempt == self.attempt;
        let is_join = self.action.is_join();
        let legal = match event {
            // What is only read is never changed.
            Event::Prepared { prepared, .. } => {
                not_started && !is_join && (self.action.writes() || prepared.change == Change::None)
            }
            Event::Announced { .. } => self.may_be_announced(),
            Event::Started { attempt, .. } => {
                self.status == S::Runnable && self.action.writes() && same(*attempt)
            }
            Event::Applied { attempt, .. } => self.status == S::Applying && same(*attempt),
            Event::Waiting { .. } => self.status == S::Waiting,
            Event::Ready { .. } => self.status == S::Waiting || (is_join && self.status == S::Runnable),
            Event::AttemptFailed { attempt, phase, .. } => {
                same(*attempt)
                    && match phase {
                        Phase::Prepare => not_started && !is_join,
                        Phase::Apply => self.status == S::Applying,
                        Phase::Wait => self.status == S::Waiting,
                        Phase::Verify => self.status == S::Ready && !is_join,
                        Phase::Undo => false,
                    }
            }
            Event::Interrupted { attempt, .. } => {
                matches!(self.status, S::Applying | S::Waiting) && same(*attempt)
            }
            Event::Skipped { .. } => not_started,
            Event::Inherited { .. } => self.status == S::Skipped && !self.is_begun(),
            Event::UndoStarted { .. }
            | Event::Undone { .. }
            | Event::UndoFailed { .. }
            | Event::Kept { .. } => return Err("comes where nothing is rolled back"),
            Event::RunStarted { .. }
            | Event::Resumed
            | Event::Stopping { .. }
            | Event::Verifying
            | Event::RollingBack
            | Event::Finished { .. } => {
                return Err("is not about a component");
            }
        };
        if legal { Ok(()) } else { Err("does not fit where the component stands") }
    }
}

/// How a run comes to its end, or to its rollback.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ending {
    /// Whether somebody has asked for it.
    pub(super) asked: bool,
    /// Whether what the run changed is undone once nothing is in flight.
    pub(super) rolls_back: bool,
    /// Whether every component was ready and is looked at afresh.
    pub(super) verifying: bool,
}

/// What holds up the rollback of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Curb {
    /// It was told to stop: what has not begun to be undone is left as it is.
    pub(super) keeps_rest: bool,
    /// It was told to stop without a fresh look at what was undone.
    pub(super) skips_look: bool,
    /// It reached its own deadline.
    pub(super) is_late: bool,
}

/// All that is known of a run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct State {
    pub(super) cells: Vec<Cell>,
    pub(super) counts: Counts,
    pub(super) start: Option<Box<RunStart>>,
    /// When the run began, in time with a process.
    pub(super) started_at: Timestamp,
    /// The time of the last event.
    pub(super) last_at: Timestamp,
    /// The time without a process so far; it counts against no deadline.
    pub(super) gap: Duration,
    /// Why the run stops; the first reason stays.
    pub(super) stopping: Option<StopReason>,
    /// Whether waits are given up.
    pub(super) gives_up_waits: bool,
    pub(super) superseded: bool,
    pub(super) deadline_reached: bool,
    pub(super) ending: Ending,
    pub(super) curb: Curb,
    /// What is known of the rollback, once there is one.
    pub(super) rollback: Option<Box<Rollback>>,
    /// How many components of each class are between start and end.
    pub(super) class_use: Vec<u32>,
    pub(super) outcome: Option<Outcome>,
    /// Components whose status the last event changed, for whoever schedules; emptied by it.
    pub(super) moved: Vec<ComponentId>,
    /// The bug that is planted on purpose, if one is.
    #[cfg(any(test, feature = "test-util"))]
    pub(super) sabotage: Option<crate::testing::sim::Sabotage>,
}

impl State {
    pub(super) fn new(graph: &Graph) -> Self {
        let cell = |id| {
            let pending = u32::try_from(graph.dependencies(id).len()).unwrap_or(u32::MAX);
            Cell::new(graph.node(id).action(), pending)
        };
        let cells: Vec<Cell> = graph.ids().map(cell).collect();
        let blocked = u32::try_from(cells.len()).unwrap_or(u32::MAX);
        Self {
            cells,
            counts: Counts { blocked, ..Counts::default() },
            start: None,
            started_at: Timestamp::EPOCH,
            last_at: Timestamp::EPOCH,
            gap: Duration::ZERO,
            stopping: None,
            gives_up_waits: false,
            superseded: false,
            deadline_reached: false,
            ending: Ending::default(),
            curb: Curb::default(),
            rollback: None,
            class_use: vec![0; graph.classes().len()],
            outcome: None,
            moved: Vec::new(),
            #[cfg(any(test, feature = "test-util"))]
            sabotage: None,
        }
    }

    /// The component's cell.
    #[expect(clippy::indexing_slicing, reason = "an index of another graph is a broken invariant")]
    pub(super) fn cell(&self, component: ComponentId) -> &Cell {
        &self.cells[component.index()]
    }

    #[expect(clippy::indexing_slicing, reason = "an index of another graph is a broken invariant")]
    pub(super) fn cell_mut(&mut self, component: ComponentId) -> &mut Cell {
        &mut self.cells[component.index()]
    }

    /// A point of time with a process as a point of the clock.
    pub(super) fn on_the_clock(&self, active: Timestamp) -> Timestamp {
        active.plus(self.gap)
    }

    /// Whether the run undoes another one.
    pub(super) fn undoes(&self) -> bool {
        self.start.as_ref().is_some_and(|start| start.undoes.is_some())
    }

    pub(super) fn is_all_ready(&self) -> bool {
        self.counts.ready as usize == self.cells.len()
    }

    /// Whether this mode asks for more than what the run does already.
    pub(super) fn goes_further(&self, mode: StopMode) -> bool {
        if self.ending.rolls_back || self.undoes() {
            return match mode {
                StopMode::Drain => !self.curb.keeps_rest,
                StopMode::Now | StopMode::Supersede => !self.curb.skips_look,
                StopMode::Rollback => false,
            };
        }
        match mode {
            StopMode::Drain => self.stopping.is_none(),
            StopMode::Now => !self.gives_up_waits,
            StopMode::Supersede => !self.superseded,
            StopMode::Rollback => true,
        }
    }

    /// Whether a fresh look is worth beginning or going on with.
    pub(super) fn may_look(&self) -> bool {
        if self.rollback.is_some() {
            return !self.curb.skips_look && !self.curb.is_late;
        }
        let failed = matches!(self.stopping, Some(StopReason::Failure { .. }));
        !self.gives_up_waits && !self.deadline_reached && !self.ending.rolls_back && !failed
    }

    /// The outcome, now that every component has come to its end.
    pub(super) fn verdict(&self) -> Outcome {
        if let Some(rollback) = &self.rollback {
            return self.rollback_verdict(rollback);
        }
        if self.undoes() {
            return Outcome::RollbackFailed;
        }
        let total = u32::try_from(self.cells.len()).unwrap_or(u32::MAX);
        let skipped = if sabotaged!(self, SkippedAsSucceeded) { self.counts.skipped } else { 0 };
        let look_given_up = self.ending.verifying && (self.gives_up_waits || self.deadline_reached);
        if self.counts.ready + skipped == total && !look_given_up {
            Outcome::Succeeded
        } else if self.counts.failed > 0 || self.deadline_reached {
            Outcome::Failed
        } else if self.superseded {
            Outcome::Superseded
        } else {
            Outcome::Cancelled
        }
    }

    /// Whether a timer of this component may still be of use, besides those of its call.
    pub(super) fn is_timed(&self, id: ComponentId) -> bool {
        match &self.rollback {
            Some(rollback) => rollback.part(id).is_next() && rollback.part(id).turn_at.is_some(),
            None => !self.cell(id).status.is_final(),
        }
    }

    /// Whether the edge of this kind, from this dependency, is open.
    pub(super) fn is_open(&self, dependency: ComponentId, until: Until) -> bool {
        let cell = self.cell(dependency);
        match until {
            Until::Applied => cell.opened_applied,
            Until::Ready => cell.status == ComponentStatus::Ready,
        }
    }
}
