//! How a run comes to a stop: failure policies, requests, and what is skipped or given up then.

use super::Run;
use super::protocol::{Event, Phase, SkipReason, StopMode, StopReason};
use super::state::ComponentStatus;
use crate::failure::{Failure, FailureClass};
use crate::ids::ComponentId;
use crate::plan::FailurePolicy;
use crate::plan::graph::Edge;

impl Run {
    /// Somebody asks for the end. Asking again for as much or less changes nothing.
    pub(super) fn stop(&mut self, mode: StopMode) {
        let may_roll_back = self.graph.may_be_rolled_back();
        let mode = if mode == StopMode::Rollback && !may_roll_back { StopMode::Now } else { mode };
        // A run that drains already is rolled back by the next failure, unless somebody has asked for its end.
        let keeps_what_is = mode == StopMode::Drain && may_roll_back && !self.state.ending.asked;
        if self.state.goes_further(mode) || keeps_what_is {
            self.stop_because(StopReason::Asked { mode });
        }
    }

    pub(super) fn stop_because(&mut self, reason: StopReason) {
        self.emit(Event::Stopping { reason });
        self.wind_down();
    }

    /// Skips what was not started and, where the reason asks for it, gives up what waits. May be repeated.
    pub(super) fn wind_down(&mut self) {
        if self.state.rollback.is_some() {
            return self.wind_down_rollback();
        }
        for id in self.graph.ids() {
            match self.state.cell(id).status {
                ComponentStatus::Blocked | ComponentStatus::Runnable => self.skip(id, SkipReason::Stopping),
                ComponentStatus::Waiting if self.waits_in_vain(id) => self.give_up_wait(id),
                ComponentStatus::Ready if self.state.gives_up_waits || self.looks_in_vain(id) => {
                    self.give_up_look(id);
                }
                ComponentStatus::Waiting
                | ComponentStatus::Applying
                | ComponentStatus::Ready
                | ComponentStatus::Failed
                | ComponentStatus::Cancelled
                | ComponentStatus::Skipped => {}
            }
        }
    }

    /// Whether a wait is not worth beginning or going on with. One that is under way at the run's deadline has the grace of
    /// its call to say why it is not over.
    pub(super) fn waits_in_vain(&self, id: ComponentId) -> bool {
        self.state.gives_up_waits || (self.state.deadline_reached && self.flight.call(id).is_none())
    }

    /// The run is past its deadline and the grace of its calls: whatever has not ended is given up.
    pub(super) fn give_up_all(&mut self) {
        if self.state.rollback.is_some() {
            return self.give_up_rollback();
        }
        for id in self.graph.ids() {
            match self.state.cell(id).status {
                ComponentStatus::Waiting => self.give_up_wait(id),
                ComponentStatus::Applying => self.give_up_apply(id),
                ComponentStatus::Ready => self.look_is_late(id),
                ComponentStatus::Blocked
                | ComponentStatus::Runnable
                | ComponentStatus::Failed
                | ComponentStatus::Cancelled
                | ComponentStatus::Skipped => {}
            }
        }
    }

    pub(super) fn give_up_wait(&mut self, id: ComponentId) {
        let failure = if self.state.deadline_reached {
            self.deadline_failure(id, "run.deadline", "the run reached its deadline")
        } else {
            let cause = self.last_cause(id);
            Failure::new(FailureClass::Cancelled, "run.cancelled", format!("given up while waiting{cause}"))
        };
        self.abort_call(id);
        self.attempt_failed(id, Phase::Wait, failure);
    }

    /// The run is at its deadline, and a write that has not ended may never do.
    fn give_up_apply(&mut self, id: ComponentId) {
        let text = "the run reached its deadline while it was applied; whether that took effect is not known";
        self.abort_call(id);
        self.attempt_failed(id, Phase::Apply, Failure::permanent("run.deadline", text));
    }

    /// The failure policy: what the end of this component means for others.
    pub(super) fn component_failed(&mut self, id: ComponentId) {
        if self.state.cell(id).status != ComponentStatus::Failed {
            return;
        }
        self.skip_dependants(id);
        let policy = self.graph.node(id).on_failure().unwrap_or(self.graph.on_failure());
        match policy {
            FailurePolicy::Continue => {}
            FailurePolicy::Rollback if self.state.ending.asked || self.state.ending.rolls_back => {}
            FailurePolicy::Drain if self.state.stopping.is_some() => {}
            FailurePolicy::Drain | FailurePolicy::Rollback => {
                self.stop_because(StopReason::Failure { component: id });
            }
        }
    }

    /// Skips everything that can no longer come to its turn, directly or over others, without recursion.
    fn skip_dependants(&mut self, failed: ComponentId) {
        let because = SkipReason::Dependency { component: failed };
        let graph = std::sync::Arc::clone(&self.graph);
        let mut left = vec![failed];
        while let Some(id) = left.pop() {
            for edge in graph.dependants(id) {
                let blocked = self.state.cell(edge.component).status == ComponentStatus::Blocked;
                if blocked && !self.state.is_open(id, edge.until) {
                    self.skip(edge.component, because);
                    left.push(edge.component);
                }
            }
        }
    }

    /// Completes what another process may have left in the middle: one pass in the graph's order.
    pub(super) fn complete_skips(&mut self) {
        let graph = std::sync::Arc::clone(&self.graph);
        let mut roots: Vec<Option<ComponentId>> = vec![None; graph.len()];
        for &id in graph.order() {
            let status = self.state.cell(id).status;
            let root = match status {
                ComponentStatus::Failed => Some(id),
                ComponentStatus::Blocked | ComponentStatus::Skipped => {
                    let closed = |edge: &&Edge| !self.state.is_open(edge.component, edge.until);
                    let root_of = |edge: &Edge| roots.get(edge.component.index()).copied().flatten();
                    graph.dependencies(id).iter().filter(closed).find_map(root_of)
                }
                ComponentStatus::Runnable
                | ComponentStatus::Applying
                | ComponentStatus::Waiting
                | ComponentStatus::Ready
                | ComponentStatus::Cancelled => None,
            };
            if let (ComponentStatus::Blocked, Some(component)) = (status, root) {
                self.skip(id, SkipReason::Dependency { component });
            }
            if let Some(slot) = roots.get_mut(id.index()) {
                *slot = root;
            }
        }
    }

    fn skip(&mut self, id: ComponentId, because: SkipReason) {
        self.abort_call(id);
        self.emit(Event::Skipped { component: id, because });
    }
}
