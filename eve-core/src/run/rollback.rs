//! Undoing what a run changed: when it begins, what is undone when, what is kept, and when it is given up.
//!
//! A component is undone when everything that depends on it, directly or over others, is undone or was not changed. What
//! is known of it, and what its events change, stands in [`undo`](super::undo).

use std::sync::Arc;

use super::protocol::{Event, KeepReason, Phase, Record, RunStart, UndoReport};
use super::state::State;
use super::undo::{Part, Rollback, UndoStatus};
use super::{ResumeError, Run, RunOptions, retry};
use crate::failure::Failure;
use crate::ids::{ComponentId, RunId};
use crate::plan::UndoRule;
use crate::plan::graph::Graph;
use crate::time::Timestamp;

/// A run cannot be rolled back by another one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RollbackError {
    /// Its records are not those of a run of this graph.
    #[error("the records of run {run} are not those of a run of this plan")]
    Records {
        /// The run that was to be undone.
        run: RunId,
        /// What is wrong with them.
        #[source]
        source: ResumeError,
    },
    /// It is not over: it may still change something.
    #[error("run {run} is not over")]
    NotOver {
        /// The run that was to be undone.
        run: RunId,
    },
    /// It changed nothing, or everything was put back already.
    #[error("run {run} has left nothing that could be undone")]
    NothingToUndo {
        /// The run that was to be undone.
        run: RunId,
    },
    /// It kept nothing to put back: its plan has the policy `rollback` nowhere, or its kinds cannot be undone.
    #[error("run {run} has kept nothing that could be put back")]
    NothingKept {
        /// The run that was to be undone.
        run: RunId,
    },
}

/// What has become of a run that is to be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undone {
    /// It must be over.
    Over,
    /// It may have been interrupted, and will never go on.
    Abandoned,
}

impl Run {
    /// A new run that undoes another one, which is over: whatever that one changed and has not put back itself. `undone` is
    /// that run with all its records, whose graph must have the same components, edges and rules; of the specs nothing is
    /// used. The first records of the new run hold all that it needs: it is resumed as any other.
    ///
    /// Every component is [`Skipped`](super::ComponentStatus::Skipped) in it; where it stands is told by
    /// [`RunView::undo_status`](super::RunView::undo_status).
    ///
    /// # Errors
    /// [`RollbackError`].
    pub fn rollback(
        graph: Arc<Graph>,
        options: RunOptions,
        id: RunId,
        undone: (&RunId, &[Record]),
        now: Timestamp,
    ) -> Result<Self, RollbackError> {
        Self::undoing((graph, options, id), (undone, Undone::Over), now, |_| ())
    }

    /// The same of a run that was interrupted and is given up: no process drives it, and the caller sees to it that none
    /// takes it over any more. What was being written when it was interrupted is undone too.
    ///
    /// # Errors
    /// [`RollbackError`], but for [`RollbackError::NotOver`].
    pub fn rollback_of_abandoned(
        graph: Arc<Graph>,
        options: RunOptions,
        id: RunId,
        undone: (&RunId, &[Record]),
        now: Timestamp,
    ) -> Result<Self, RollbackError> {
        Self::undoing((graph, options, id), (undone, Undone::Abandoned), now, |_| ())
    }

    pub(super) fn undoing(
        (graph, options, id): (Arc<Graph>, RunOptions, RunId),
        ((undone, records), end): ((&RunId, &[Record]), Undone),
        now: Timestamp,
        prepare: impl FnOnce(&mut State),
    ) -> Result<Self, RollbackError> {
        let run = || undone.clone();
        let mut other = Self::idle(Arc::clone(&graph), options.clone(), run(), now);
        let replayed = records.iter().try_for_each(|record| other.replay(record));
        replayed.map_err(|source| RollbackError::Records { run: run(), source })?;
        if other.state.outcome.is_none() && end == Undone::Over {
            return Err(RollbackError::NotOver { run: run() });
        }
        let left: Vec<ComponentId> = graph.ids().filter(|id| other.has_left(*id)).collect();
        if left.is_empty() {
            return Err(RollbackError::NothingToUndo { run: run() });
        }
        if left.iter().all(|id| other.undo_token(*id).is_none()) {
            return Err(RollbackError::NothingKept { run: run() });
        }
        let mut new = Self::idle(graph, options, id, now);
        prepare(&mut new.state);
        new.inherit(&other, &left);
        Ok(new)
    }

    /// Whether something of this component is to be put back still.
    fn has_left(&self, id: ComponentId) -> bool {
        match &self.state.rollback {
            Some(rollback) => match rollback.part(id).status {
                UndoStatus::Untouched => false,
                UndoStatus::Undone => self.state.is_put_back_unseen(),
                UndoStatus::Pending | UndoStatus::Undoing | UndoStatus::Failed | UndoStatus::Kept => true,
            },
            // Another run was to be undone, and nothing of it was: that one tells what it has left.
            None => !self.state.undoes() && self.state.cell(id).is_touched(),
        }
    }

    fn inherit(&mut self, other: &Self, left: &[ComponentId]) {
        let start = RunStart { undoes: Some(other.id.clone()), ..self.beginning() };
        self.emit(Event::RunStarted { run: Box::new(start) });
        for &component in left {
            let (token, applied) = (other.undo_token(component), other.last_applied(component));
            self.emit(Event::Inherited { component, token: token.cloned(), applied: applied.cloned() });
        }
        self.begin_rollback();
        self.schedule();
    }

    /// Nothing is in flight any more: from here on what the run changed is undone.
    pub(super) fn begin_rollback(&mut self) {
        self.flight.look = super::flight::Look::default();
        self.emit(Event::RollingBack);
        self.keep_what_cannot_be_undone();
        // It may have been told to stop before it began.
        self.wind_down_rollback();
    }

    /// What the plan says is never undone, and what nothing is known of that would put it back. May be repeated.
    fn keep_what_cannot_be_undone(&mut self) {
        for id in self.graph.ids() {
            if self.undo_part(id).is_none_or(|part| part.status != UndoStatus::Pending) {
                continue;
            }
            if self.graph.node(id).undo() == UndoRule::Never {
                self.emit(Event::Kept { component: id, because: KeepReason::Rule });
            } else if self.state.cell(id).undo.is_none() {
                self.emit(Event::Kept { component: id, because: KeepReason::NoToken });
            }
        }
    }

    fn undo_part(&self, id: ComponentId) -> Option<&Part> {
        self.state.rollback.as_ref().map(|rollback| rollback.part(id))
    }

    fn rolling_back(&self) -> Option<&Rollback> {
        self.state.rollback.as_deref()
    }

    /// Undoes whatever may be undone now; says whether everything has come to its end.
    pub(super) fn undo(&mut self) -> bool {
        self.settle_undos();
        self.serve_undos();
        self.settle_undos();
        self.rolling_back().is_none_or(|rollback| rollback.counts.unfinished() == 0)
    }

    /// Puts what events have moved into the queue; keeps what is to be kept.
    pub(super) fn settle_undos(&mut self) {
        while let Some(id) = self.state.moved.pop() {
            let Some(part) = self.undo_part(id) else { return };
            let (is_next, retry_at) = (part.is_next(), part.retry_at);
            if let Some(because) = self.keeps(id) {
                self.emit(Event::Kept { component: id, because });
            } else if is_next {
                match retry_at {
                    Some(at) if at > self.now => self.flight.set_timer(id, at),
                    _ => self.flight.runnable.push_reversed(&self.graph, id),
                }
                self.set_undo_timer(id);
            }
            if !self.state.cell(id).holds_class {
                self.free_class(id);
            }
        }
    }

    /// Why this component is not undone, although it was to be.
    fn keeps(&self, id: ComponentId) -> Option<KeepReason> {
        let part = self.undo_part(id).filter(|part| part.status == UndoStatus::Pending)?;
        match part.blocked_by {
            Some(component) => Some(KeepReason::Dependant { component }),
            None if self.state.curb.keeps_rest => Some(KeepReason::Stopping),
            None if self.state.curb.is_late => Some(KeepReason::Deadline),
            None => None,
        }
    }

    fn serve_undos(&mut self) {
        while self.flight.api_calls < self.options.api_limit {
            let Some(id) = self.flight.runnable.pop() else { return };
            if !self.wants_undo(id) {
                continue;
            }
            if self.is_past_its_undo(id) {
                self.undo_is_over(id);
            } else if !self.queues_for_class(id) {
                let attempt = self.attempt_of(id, Phase::Undo);
                self.emit(Event::UndoStarted { component: id, attempt });
                let deadline = self.undo_deadline(id);
                self.call(id, Phase::Undo, deadline);
            }
        }
    }

    /// Whether it may be undone now, for all that concerns itself.
    pub(super) fn wants_undo(&self, id: ComponentId) -> bool {
        let may = |part: &Part| part.is_next() && part.retry_at.is_none_or(|at| at <= self.now);
        self.undo_part(id).is_some_and(may) && self.flight.call(id).is_none()
    }

    pub(super) fn undone(&mut self, id: ComponentId, report: UndoReport) {
        let report = Box::new(report.bounded());
        self.emit(Event::Undone { component: id, report });
    }

    pub(super) fn undo_failed(&mut self, id: ComponentId, failure: Failure) {
        let attempt = self.attempt_of(id, Phase::Undo);
        let goes_on = !self.state.curb.keeps_rest && !self.state.curb.is_late;
        let pause =
            goes_on.then(|| retry::pause_of_undo(&self.options, (id, attempt), failure.class)).flatten();
        let retry_at = pause.map(|pause| self.now.plus(pause)).filter(|&at| at < self.undo_deadline(id));
        let (phase, failure) = (Phase::Undo, Box::new(failure.bounded()));
        self.emit(Event::UndoFailed { component: id, attempt, phase, failure, retry_at });
    }

    /// Another attempt was to follow, and did not get a slot in time.
    fn undo_is_over(&mut self, id: ComponentId) {
        let timeout = self.component_timeout(id);
        let before = self.undo_part(id).and_then(|part| part.failure.as_deref());
        let before = before.map(|failure| format!(": {failure}")).unwrap_or_default();
        let text = format!("no further attempt to undo it could begin within {timeout:?}{before}");
        self.undo_failed(id, Failure::permanent("run.deadline.component", text));
    }

    pub(super) fn rollback_deadline(&self, rollback: &Rollback) -> Timestamp {
        self.state.on_the_clock(rollback.began_at).plus(self.options.run_timeout)
    }

    /// When the component must have been undone; before its turn, what that would be if its turn were now.
    fn undo_deadline(&self, id: ComponentId) -> Timestamp {
        let turn_at = self.undo_part(id).and_then(|part| part.turn_at);
        let turn_at = turn_at.map_or(self.now, |at| self.state.on_the_clock(at));
        turn_at.plus(self.component_timeout(id)).min(self.end_of_run())
    }

    fn is_past_its_undo(&self, id: ComponentId) -> bool {
        let has_begun = self.undo_part(id).is_some_and(|part| part.turn_at.is_some());
        has_begun && self.undo_deadline(id) <= self.now
    }

    fn set_undo_timer(&mut self, id: ComponentId) {
        if self.undo_part(id).is_some_and(|part| part.turn_at.is_some()) {
            let at = self.undo_deadline(id);
            self.flight.set_timer(id, at);
        }
    }

    /// An undo that is under way: given up at its deadline, or when it has told nothing new for too long.
    fn undoing_timer(&mut self, id: ComponentId) {
        if self.no_progress_deadline(id) > self.now {
            self.call_timer(id, "run.deadline.undo");
            return self.set_no_progress_timer(id);
        }
        let timeout = self.options.no_progress_timeout;
        let cause = self.flight.late_causes.remove(&id).map(|cause| format!(": {cause}")).unwrap_or_default();
        self.abort_call(id);
        let text = format!(
            "nothing has changed for {timeout:?} while it was undone; whether that took effect is not known{cause}"
        );
        self.undo_failed(id, Failure::permanent("run.deadline.no-progress", text));
    }

    /// Looks at one component of a rollback, and sets its timer anew if nothing was due.
    pub(super) fn undo_timer(&mut self, id: ComponentId) {
        let Some(part) = self.undo_part(id) else { return };
        let (status, is_next, retry_at) = (part.status, part.is_next(), part.retry_at);
        match status {
            UndoStatus::Undoing => self.undoing_timer(id),
            UndoStatus::Undone => self.look_timer(id),
            UndoStatus::Pending if is_next && self.is_past_its_undo(id) => self.undo_is_over(id),
            UndoStatus::Pending if is_next => match retry_at {
                Some(at) if at > self.now => {
                    self.flight.set_timer(id, at);
                    self.set_undo_timer(id);
                }
                _ => self.state.moved.push(id),
            },
            UndoStatus::Pending | UndoStatus::Untouched | UndoStatus::Failed | UndoStatus::Kept => {}
        }
    }

    /// Keeps what was not begun, and gives up looking where the request asks for it. May be repeated.
    pub(super) fn wind_down_rollback(&mut self) {
        for id in self.graph.ids() {
            if let Some(because) = self.keeps(id) {
                self.emit(Event::Kept { component: id, because });
            }
            if self.state.curb.skips_look || self.looks_in_vain(id) {
                self.give_up_look(id);
            }
        }
    }

    /// The rollback is past its deadline and the grace of its calls: whatever has not ended is given up.
    pub(super) fn give_up_rollback(&mut self) {
        for id in self.graph.ids() {
            if self.undo_part(id).is_some_and(|part| part.status == UndoStatus::Undoing) {
                self.abort_call(id);
                let text = "the rollback reached its deadline while it was undone; whether that took effect is not known";
                self.undo_failed(id, Failure::permanent("run.deadline", text));
            }
            self.look_is_late(id);
        }
    }

    /// Derives from the state what this process has to undo.
    pub(super) fn take_over_rollback(&mut self) {
        self.keep_what_cannot_be_undone();
        for id in self.graph.ids() {
            let Some(part) = self.undo_part(id) else { return };
            let attempt = part.attempt;
            match part.status {
                UndoStatus::Undoing => {
                    self.emit(Event::Interrupted { component: id, attempt });
                    if sabotaged!(self.state, UndoTakenForDone) {
                        self.undone(id, UndoReport::new(super::Change::Unknown));
                        continue;
                    }
                    let deadline = self.undo_deadline(id);
                    self.call(id, Phase::Undo, deadline);
                }
                UndoStatus::Pending => self.state.moved.push(id),
                UndoStatus::Untouched | UndoStatus::Undone | UndoStatus::Failed | UndoStatus::Kept => {}
            }
        }
    }
}
