//! What is started when: the runnable set, priorities, budgets, classes.
//!
//! A component is started when the last of its dependencies has come far enough, not in waves. Whatever an event moved is
//! put into a queue; queues are served as long as their budget has room. Each completion costs its out-degree.

use std::cmp::Reverse;

use super::Run;
use super::flight::Call;
use super::protocol::{Change, Command, Event, Outputs, Phase};
use super::state::ComponentStatus;
use crate::ids::{Attempt, ComponentId};
use crate::time::Timestamp;

impl Run {
    /// Starts whatever may be started now, and ends the run if nothing is left.
    pub(super) fn schedule(&mut self) {
        if self.state.rollback.is_none() {
            // Whoever turns out to be out of time makes room for others.
            loop {
                self.settle();
                self.serve_waits();
                self.serve_runnable();
                if self.state.moved.is_empty() {
                    break;
                }
            }
            self.serve_early();
        }
        if self.state.counts.unfinished() == 0 && self.state.outcome.is_none() {
            self.conclude();
        }
        planted!(self.state, TieByMapOrder, { self.shuffle_commands() });
    }

    /// Every component has come to its end: a fresh look, the rollback, a fresh look at that, and the end, as far as each
    /// can come now.
    fn conclude(&mut self) {
        if self.state.rollback.is_none() {
            let looks = self.state.ending.verifying || self.state.is_all_ready();
            let looks = looks && !sabotaged!(self.state, SucceededUnread);
            if looks && self.flight.has_work && !self.look_afresh() {
                return;
            }
            if self.state.ending.rolls_back {
                self.begin_rollback();
            }
        }
        if let Some(rollback) = &self.state.rollback {
            let is_verifying = rollback.verifying;
            if !self.undo() {
                return;
            }
            let looks = self.state.rollback.as_ref().is_some_and(|rollback| rollback.is_to_be_looked_at());
            let looks = looks && !sabotaged!(self.state, RolledBackUnread);
            if (is_verifying || looks) && !self.look_afresh() {
                return;
            }
        }
        let outcome = self.state.verdict();
        self.emit(Event::Finished { outcome });
        self.state.moved.clear();
    }

    /// Puts what events have moved into its queue; completes joins, gives up what is to be given up.
    pub(super) fn settle(&mut self) {
        while let Some(id) = self.state.moved.pop() {
            let cell = self.state.cell(id);
            match cell.status {
                ComponentStatus::Runnable if cell.action.is_join() => {
                    self.emit(Event::Ready { component: id, outputs: Outputs::NONE });
                }
                ComponentStatus::Runnable => match cell.retry_at {
                    Some(at) if at > self.now && !sabotaged!(self.state, PauseNotKept) => {
                        self.flight.set_timer(id, at);
                    }
                    _ => {
                        self.flight.runnable.push(&self.graph, id);
                        self.set_turn_timer(id);
                    }
                },
                ComponentStatus::Blocked => match cell.retry_at {
                    Some(at) if at > self.now => self.flight.set_timer(id, at),
                    _ => self.flight.early_again.push(id),
                },
                ComponentStatus::Waiting if self.waits_in_vain(id) => self.give_up_wait(id),
                ComponentStatus::Waiting => {
                    self.flight.waits.push(&self.graph, id);
                    self.set_wait_timer(id);
                }
                ComponentStatus::Applying
                | ComponentStatus::Ready
                | ComponentStatus::Failed
                | ComponentStatus::Cancelled
                | ComponentStatus::Skipped => {}
            }
            if !self.state.cell(id).holds_class {
                self.free_class(id);
            }
        }
    }

    /// A component does not hold its class, or no longer: another of it may try, and finds out whether there is room.
    pub(super) fn free_class(&mut self, id: ComponentId) {
        let Some(class) = self.graph.node(id).class_index() else { return };
        while let Some(next) = self.flight.next_of_class(class) {
            if self.wants_undo(next) {
                self.flight.runnable.push_reversed(&self.graph, next);
                return;
            }
            let cell = self.state.cell(next);
            let paused = cell.retry_at.is_some_and(|at| at > self.now);
            // Whoever could not start now would use up the turn of the one behind.
            if cell.status == ComponentStatus::Runnable && !paused && self.flight.call(next).is_none() {
                self.flight.runnable.push(&self.graph, next);
                return;
            }
        }
    }

    fn serve_waits(&mut self) {
        while self.flight.wait_calls < self.options.wait_limit {
            let Some(id) = self.flight.waits.pop() else { return };
            let idle = self.flight.call(id).is_none();
            if idle && self.state.cell(id).status == ComponentStatus::Waiting {
                let deadline = self.component_deadline(id);
                self.call(id, Phase::Wait, deadline);
            }
        }
    }

    fn serve_runnable(&mut self) {
        while self.flight.api_calls
            < self.options.api_limit + u32::from(sabotaged!(self.state, LimitOffByOne))
        {
            let Some(id) = self.flight.runnable.pop() else { return };
            let cell = self.state.cell(id);
            let paused =
                cell.retry_at.is_some_and(|at| at > self.now) && !sabotaged!(self.state, PauseNotKept);
            if cell.status != ComponentStatus::Runnable || paused || self.flight.call(id).is_some() {
                continue;
            }
            if self.is_past_its_turn(id) {
                self.turn_is_over(id);
                continue;
            }
            let cell = self.state.cell(id);
            let known = cell.prepared.as_ref().map(|prepared| prepared.change);
            let in_turn = *self.flight.prepared_in_turn(id);
            match known {
                None | Some(Change::Unknown) if !in_turn => self.prepare(id),
                None => self.prepare(id),
                Some(_) => self.start(id),
            }
        }
    }

    /// Prepares what is not runnable yet with the slots that are left, so that its turn costs one write.
    fn serve_early(&mut self) {
        if self.state.stopping.is_some() {
            return;
        }
        while self.flight.api_calls < self.options.api_limit {
            let again = self.flight.early_again.pop();
            let next = again.or_else(|| {
                let next = self.graph.order().get(self.flight.early).copied();
                self.flight.early += usize::from(next.is_some());
                next
            });
            let Some(id) = next else { return };
            let cell = self.state.cell(id);
            let wanted =
                cell.status == ComponentStatus::Blocked && cell.prepared.is_none() && !cell.action.is_join();
            let paused = cell.retry_at.is_some_and(|at| at > self.now);
            if wanted && !paused && self.flight.call(id).is_none() {
                self.prepare(id);
            }
        }
    }

    fn prepare(&mut self, id: ComponentId) {
        *self.flight.prepared_in_turn(id) = self.state.cell(id).status == ComponentStatus::Runnable;
        let deadline = self.component_deadline(id);
        self.call(id, Phase::Prepare, deadline);
    }

    /// Puts it into the queue of its class, if that has no room now.
    pub(super) fn queues_for_class(&mut self, id: ComponentId) -> bool {
        let Some(class) = self.graph.node(id).class_index() else { return false };
        let limit = self.graph.classes().get(class).map_or(1, |class| class.limit);
        let full = self.state.class_use.get(class).is_some_and(|&used| used >= limit);
        let queues = full && !sabotaged!(self.state, ClassIgnored);
        if queues {
            self.flight.queue_for_class(&self.graph, class, id);
        }
        queues
    }

    fn start(&mut self, id: ComponentId) {
        if self.queues_for_class(id) {
            return;
        }
        let attempt = self.state.cell(id).attempt;
        self.emit(Event::Started { component: id, attempt });
        let deadline = self.component_deadline(id);
        self.call(id, Phase::Apply, deadline);
        self.announce_after(id);
    }

    /// While this is under way, the write that comes next gets its record, and need not wait for one when its turn comes: a
    /// chain costs its writes and no syncs between them.
    fn announce_after(&mut self, id: ComponentId) {
        if let Some(component) = self.next_in_line(id).filter(|_| self.state.stopping.is_none()) {
            self.emit(Event::Announced { component });
            self.flight.announce(component);
        }
    }

    /// What waits for nothing but this, directly or over joins, and of several what has the longest way to go.
    fn next_in_line(&self, id: ComponentId) -> Option<ComponentId> {
        let mut last = id;
        loop {
            let waits = |next: &ComponentId| {
                let cell = self.state.cell(*next);
                cell.status == ComponentStatus::Blocked && cell.pending == 1
            };
            let dependants = self.graph.dependants(last).iter().map(|edge| edge.component).filter(waits);
            let next = dependants.max_by_key(|next| (self.graph.rank(*next), Reverse(*next)))?;
            let cell = self.state.cell(next);
            if !cell.action.is_join() {
                // Whoever takes the run over would not know that it may be under way, and start another of its class.
                let is_alone = self.graph.node(next).class_index().is_none();
                let may_be = cell.may_be_announced() && is_alone && !self.flight.is_announced(next);
                return may_be.then_some(next);
            }
            last = next;
        }
    }

    /// The attempt that a call of this phase belongs to now.
    pub(super) fn attempt_of(&self, id: ComponentId, phase: Phase) -> Attempt {
        let of_run = self.state.cell(id).attempt;
        match (&self.state.rollback, phase) {
            (Some(rollback), Phase::Undo) => rollback.part(id).attempt,
            (Some(rollback), Phase::Verify) => rollback.look_attempt(id, of_run),
            _ => of_run,
        }
    }

    pub(super) fn call(&mut self, id: ComponentId, phase: Phase, deadline: Timestamp) {
        let attempt = self.attempt_of(id, phase);
        self.flight.begin(id, Call { phase, attempt, deadline, heard: self.now, given_out: false });
        self.set_call_timer(id, deadline);
        match phase {
            Phase::Wait => self.set_wait_timer(id),
            Phase::Undo => {
                // What it waited for on its way forward.
                self.flight.late_causes.remove(&id);
                self.set_no_progress_timer(id);
            }
            Phase::Prepare | Phase::Apply | Phase::Verify => {}
        }
        let waits = phase.writes() && !sabotaged!(self.state, WriteTakenForRead);
        let waits = waits && !(phase == Phase::Apply && self.flight.use_announcement(id));
        let queue = if waits { &mut self.writes } else { &mut self.at_once };
        queue.push_back(Command::Call { component: id, attempt, phase, deadline });
    }

    /// Gives up the call of this component, if one is under way; of one that was not given out, nobody is told.
    pub(super) fn abort_call(&mut self, id: ComponentId) {
        if let Some(call) = self.flight.end(id)
            && call.given_out
        {
            self.at_once.push_back(Command::Abort { component: id, attempt: call.attempt });
        }
    }
}
