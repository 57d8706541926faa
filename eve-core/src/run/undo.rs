//! What is known of a rollback: where each component stands in it, which events are legal there, and what they change.
//!
//! The part of [`state`](super::state) and [`apply`](super::apply) that a run has once it rolls back. What is undone when
//! is decided in [`rollback`](super::rollback).

use super::apply::{hold_class, release_class};
use super::protocol::{Event, KeepReason, Outcome, Phase, UndoReport};
use super::state::State;
use crate::failure::Failure;
use crate::ids::{Attempt, ComponentId};
use crate::plan::graph::Graph;
use crate::time::Timestamp;

/// Where a component stands in the rollback of its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum UndoStatus {
    /// The run is not rolled back, or has changed nothing of it.
    Untouched,
    /// The run has changed it; it waits for what depends on it, for a free slot, or for its next attempt.
    Pending,
    /// Its undo is under way.
    Undoing,
    /// It is as it was before the run. Final, unless the fresh look afterwards finds otherwise.
    Undone,
    /// Its undo failed, or the fresh look afterwards. Final.
    Failed,
    /// It is left alone: neither undone nor looked at. Final.
    Kept,
}

/// How many components that a run changed stand where in its rollback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UndoCounts {
    /// [`UndoStatus::Pending`].
    pub pending: u32,
    /// [`UndoStatus::Undoing`].
    pub undoing: u32,
    /// [`UndoStatus::Undone`].
    pub undone: u32,
    /// [`UndoStatus::Failed`].
    pub failed: u32,
    /// [`UndoStatus::Kept`].
    pub kept: u32,
}

impl UndoCounts {
    const fn of(&mut self, status: UndoStatus) -> Option<&mut u32> {
        match status {
            UndoStatus::Untouched => None,
            UndoStatus::Pending => Some(&mut self.pending),
            UndoStatus::Undoing => Some(&mut self.undoing),
            UndoStatus::Undone => Some(&mut self.undone),
            UndoStatus::Failed => Some(&mut self.failed),
            UndoStatus::Kept => Some(&mut self.kept),
        }
    }

    /// How many have not come to their end.
    pub const fn unfinished(&self) -> u32 {
        self.pending + self.undoing
    }

    /// How many came to another end than that they are as before.
    pub const fn left(&self) -> u32 {
        self.failed + self.kept
    }
}

/// What is known of a rollback.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rollback {
    /// When it began, in time with a process.
    pub(super) began_at: Timestamp,
    /// One for each component.
    pub(super) parts: Vec<Part>,
    pub(super) counts: UndoCounts,
    /// Whether everything was undone and is looked at afresh.
    pub(super) verifying: bool,
    /// The bug that is planted on purpose, if one is.
    #[cfg(any(test, feature = "test-util"))]
    sabotage: Option<crate::testing::sim::Sabotage>,
}

/// One component in the rollback.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub(super) status: UndoStatus,
    pub(super) attempt: Attempt,
    /// Components that depend on it and are neither undone nor untouched with all that depends on them.
    pub(super) pending: u32,
    /// What depends on it, directly or over others, and is not undone.
    pub(super) blocked_by: Option<ComponentId>,
    /// When its first undo began, in time with a process; its deadline counts from here.
    pub(super) turn_at: Option<Timestamp>,
    /// The next attempt may not begin before.
    pub(super) retry_at: Option<Timestamp>,
    pub(super) kept: Option<KeepReason>,
    pub(super) failure: Option<Box<Failure>>,
    pub(super) report: Option<Box<UndoReport>>,
}

impl Part {
    /// Whether everything that must be undone before it is.
    pub(super) const fn is_next(&self) -> bool {
        matches!(self.status, UndoStatus::Pending) && self.pending == 0 && self.blocked_by.is_none()
    }
}

impl Rollback {
    #[expect(clippy::indexing_slicing, reason = "one for each component of the graph")]
    pub(super) fn part(&self, id: ComponentId) -> &Part {
        &self.parts[id.index()]
    }

    #[expect(clippy::indexing_slicing, reason = "one for each component of the graph")]
    fn part_mut(&mut self, id: ComponentId) -> &mut Part {
        &mut self.parts[id.index()]
    }

    /// The attempt of a fresh look at what is undone. Another one than those of the look before the rollback, whose end may
    /// be told late.
    pub(super) fn look_attempt(&self, id: ComponentId, of_run: Attempt) -> Attempt {
        Attempt::new(of_run.get().saturating_add(self.part(id).attempt.get()))
    }

    /// Whether everything that the run changed was put back, and something was.
    pub(super) const fn is_to_be_looked_at(&self) -> bool {
        self.counts.unfinished() == 0 && self.counts.left() == 0 && self.counts.undone > 0
    }

    /// The legal-transition table of a rollback: which event may meet which status.
    ///
    /// # Errors
    /// What is wrong, as a fragment that follows "the event".
    fn check(&self, (id, of_run): (ComponentId, Attempt), event: &Event) -> Result<(), &'static str> {
        use UndoStatus as S;
        let part = self.part(id);
        let look_attempt = self.look_attempt(id, of_run);
        let legal = match event {
            Event::UndoStarted { attempt, .. } => part.is_next() && *attempt == part.attempt,
            Event::Undone { .. } => part.status == S::Undoing,
            Event::UndoFailed { attempt, phase, retry_at, .. } => {
                let expected = if *phase == Phase::Verify { look_attempt } else { part.attempt };
                *attempt == expected
                    && match phase {
                        // What has been tried may run out of time before it is tried again.
                        Phase::Undo if part.turn_at.is_some() && retry_at.is_none() => {
                            matches!(part.status, S::Undoing | S::Pending)
                        }
                        Phase::Undo => part.status == S::Undoing,
                        Phase::Verify => part.status == S::Undone && self.verifying,
                        Phase::Prepare | Phase::Apply | Phase::Wait => false,
                    }
            }
            Event::Kept { .. } => part.status == S::Pending,
            Event::Interrupted { attempt, .. } => part.status == S::Undoing && *attempt == part.attempt,
            Event::RunStarted { .. }
            | Event::Resumed
            | Event::Prepared { .. }
            | Event::Announced { .. }
            | Event::Started { .. }
            | Event::Applied { .. }
            | Event::Waiting { .. }
            | Event::Ready { .. }
            | Event::AttemptFailed { .. }
            | Event::Skipped { .. }
            | Event::Stopping { .. }
            | Event::Verifying
            | Event::RollingBack
            | Event::Inherited { .. }
            | Event::Finished { .. } => return Err("comes while the run is rolled back"),
        };
        if legal { Ok(()) } else { Err("does not fit where the component stands in the rollback") }
    }

    fn set_status(&mut self, id: ComponentId, status: UndoStatus) {
        let before = std::mem::replace(&mut self.part_mut(id).status, status);
        if let Some(count) = self.counts.of(before) {
            *count -= 1;
        }
        if let Some(count) = self.counts.of(status) {
            *count += 1;
        }
    }

    /// These are undone or untouched: what they depend on has less to wait for. Without recursion; gives what may be
    /// undone now.
    fn settle(&mut self, graph: &Graph, mut settled: Vec<ComponentId>) -> Vec<ComponentId> {
        let mut next = Vec::new();
        let forward = sabotaged!(self, UndoInForwardOrder);
        while let Some(id) = settled.pop() {
            let behind = if forward { graph.dependants(id) } else { graph.dependencies(id) };
            for edge in behind {
                let part = self.part_mut(edge.component);
                part.pending -= 1;
                if part.pending > 0 {
                    continue;
                }
                if part.status == UndoStatus::Untouched {
                    settled.push(edge.component);
                } else {
                    next.push(edge.component);
                }
            }
        }
        next
    }

    /// This is not undone, so nothing is that it depends on, directly or over others. Without recursion; gives what was
    /// to be undone. Each component is blocked once.
    fn block(&mut self, graph: &Graph, root: ComponentId) -> Vec<ComponentId> {
        let (mut left, mut blocked) = (vec![root], Vec::new());
        while let Some(id) = left.pop() {
            for edge in graph.dependencies(id) {
                let part = self.part_mut(edge.component);
                if part.blocked_by.is_some() {
                    continue;
                }
                part.blocked_by = Some(root);
                left.push(edge.component);
                if part.status == UndoStatus::Pending {
                    blocked.push(edge.component);
                }
            }
        }
        blocked
    }
}

impl State {
    /// The outcome of the rollback, now that every component has come to its end. What the fresh look did not come to see
    /// is not undone any more.
    pub(super) fn rollback_verdict(&self, rollback: &Rollback) -> Outcome {
        let UndoCounts { undone, .. } = rollback.counts;
        let looked = rollback.verifying || sabotaged!(self, RolledBackUnread);
        if rollback.counts.left() == 0 && (looked || undone == 0) {
            Outcome::RolledBack
        } else {
            Outcome::RollbackFailed
        }
    }

    /// Whether everything was put back and nothing says that it was looked at: then the log ends before that, or is of an
    /// eve that did not name what it had not seen.
    pub(super) fn is_put_back_unseen(&self) -> bool {
        let all_undone = |rollback: &Rollback| {
            let UndoCounts { undone, .. } = rollback.counts;
            undone > 0 && rollback.counts.left() == 0 && rollback.counts.unfinished() == 0
        };
        self.outcome != Some(Outcome::RolledBack) && self.rollback.as_deref().is_some_and(all_undone)
    }
}

/// The rollback begins: everything that was changed waits for what depends on it.
pub(super) fn begin(state: &mut State, graph: &Graph, at: Timestamp) {
    let forward = sabotaged!(state, UndoInForwardOrder);
    let ahead = |id| if forward { graph.dependencies(id) } else { graph.dependants(id) };
    let part = |id: ComponentId| Part {
        status: UndoStatus::Untouched,
        attempt: Attempt::FIRST,
        pending: u32::try_from(ahead(id).len()).unwrap_or(u32::MAX),
        blocked_by: None,
        turn_at: None,
        retry_at: None,
        kept: None,
        failure: None,
        report: None,
    };
    let parts = graph.ids().map(part).collect();
    let mut rollback = Rollback {
        began_at: at,
        parts,
        counts: UndoCounts::default(),
        verifying: false,
        #[cfg(any(test, feature = "test-util"))]
        sabotage: state.sabotage,
    };
    let mut settled = Vec::new();
    for id in graph.ids() {
        let cell = state.cell(id);
        let skipped = sabotaged!(state, ComponentNotUndone) && id.index() % 2 == 1;
        let prepared = sabotaged!(state, UntouchedUndone) && cell.undo.is_some();
        let touched = (cell.is_touched() && !skipped) || prepared;
        if touched {
            rollback.set_status(id, UndoStatus::Pending);
        }
        if rollback.part(id).pending == 0 {
            if touched { state.moved.push(id) } else { settled.push(id) }
        }
    }
    state.moved.extend(rollback.settle(graph, settled));
    state.rollback = Some(Box::new(rollback));
}

/// Takes over an event about a component while the run is rolled back. `at` is time with a process.
///
/// # Errors
/// Why the event cannot follow what came before; the state is then unchanged.
pub(super) fn apply(
    state: &mut State,
    graph: &Graph,
    (id, event): (ComponentId, &Event),
    at: Timestamp,
) -> Result<(), &'static str> {
    let Some(mut rollback) = state.rollback.take() else {
        return Err("comes where nothing is rolled back");
    };
    let checked = rollback.check((id, state.cell(id).attempt), event);
    if checked.is_ok() {
        take(state, graph, &mut rollback, (id, event, at));
    }
    state.rollback = Some(rollback);
    checked
}

fn take(
    state: &mut State,
    graph: &Graph,
    rollback: &mut Rollback,
    (id, event, at): (ComponentId, &Event, Timestamp),
) {
    match event {
        Event::UndoStarted { .. } => {
            let part = rollback.part_mut(id);
            part.turn_at.get_or_insert(at);
            part.retry_at = None;
            rollback.set_status(id, UndoStatus::Undoing);
            hold_class(state, graph, id);
        }
        Event::Undone { report, .. } => {
            rollback.part_mut(id).report = Some(report.clone());
            rollback.set_status(id, UndoStatus::Undone);
            release_class(state, graph, id);
            state.moved.push(id);
            state.moved.extend(rollback.settle(graph, vec![id]));
        }
        Event::UndoFailed { phase, failure, retry_at, .. } => {
            let part = rollback.part_mut(id);
            part.failure = Some(failure.clone());
            release_class(state, graph, id);
            state.moved.push(id);
            if retry_at.is_none() {
                rollback.set_status(id, UndoStatus::Failed);
                if sabotaged!(state, FailedUndoPassedOver) && *phase == Phase::Undo {
                    state.moved.extend(rollback.settle(graph, vec![id]));
                    return;
                }
                state.moved.extend(rollback.block(graph, id));
                return;
            }
            part.attempt = part.attempt.next();
            if *phase == Phase::Undo {
                part.retry_at = *retry_at;
                rollback.set_status(id, UndoStatus::Pending);
            }
        }
        Event::Kept { because, .. } => {
            rollback.part_mut(id).kept = Some(*because);
            rollback.set_status(id, UndoStatus::Kept);
            if matches!(because, KeepReason::Rule | KeepReason::NoToken) {
                state.moved.extend(rollback.block(graph, id));
            }
        }
        Event::Interrupted { .. }
        | Event::RunStarted { .. }
        | Event::Resumed
        | Event::Prepared { .. }
        | Event::Announced { .. }
        | Event::Started { .. }
        | Event::Applied { .. }
        | Event::Waiting { .. }
        | Event::Ready { .. }
        | Event::AttemptFailed { .. }
        | Event::Skipped { .. }
        | Event::Stopping { .. }
        | Event::Verifying
        | Event::RollingBack
        | Event::Inherited { .. }
        | Event::Finished { .. } => {}
    }
}
