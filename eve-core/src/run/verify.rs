//! The fresh look: before a run is said to have succeeded, or to be rolled back, each component is looked at once more.
//!
//! Nothing of it is stored but that it began, what it found wrong, and in a rollback what it did not come to see: a process
//! that takes the run over looks at everything again.

use super::Run;
use super::protocol::{Event, Phase};
use super::retry;
use super::state::ComponentStatus;
use super::undo::UndoStatus;
use crate::failure::{Failure, FailureClass};
use crate::ids::{Attempt, ComponentId};
use crate::time::Timestamp;

impl Run {
    /// Looks at what has not been looked at; says whether that is over. There is something to look at.
    pub(super) fn look_afresh(&mut self) -> bool {
        let begun = match &self.state.rollback {
            Some(rollback) => rollback.verifying,
            None => self.state.ending.verifying,
        };
        if !begun {
            self.emit(Event::Verifying);
        }
        if !self.state.may_look() {
            self.cut_looks_off();
            return self.flight.look.open == 0;
        }
        while self.flight.api_calls < self.options.api_limit {
            let Some(id) = self.next_to_look_at() else { break };
            let deadline = self.look_deadline(id);
            self.call(id, Phase::Verify, deadline);
        }
        let all_seen = self.flight.look.next >= self.graph.len();
        all_seen && self.flight.look.open == 0
    }

    fn next_to_look_at(&mut self) -> Option<ComponentId> {
        if let Some(id) = self.flight.look.again.pop() {
            return Some(id);
        }
        let id = self.next_unseen()?;
        self.flight.look.open += 1;
        Some(id)
    }

    /// The next one at which no look was begun.
    fn next_unseen(&mut self) -> Option<ComponentId> {
        loop {
            let id = self.graph.order().get(self.flight.look.next).copied()?;
            self.flight.look.next += 1;
            if self.is_to_be_looked_at(id) {
                return Some(id);
            }
        }
    }

    /// What is not under way is not looked at any more.
    fn cut_looks_off(&mut self) {
        let paused = self.flight.look.forget_pauses();
        if self.state.rollback.is_none() {
            return;
        }
        for id in paused {
            self.tell_unseen(id);
        }
        while let Some(id) = self.next_unseen() {
            self.tell_unseen(id);
        }
        self.settle_undos();
    }

    /// The look at what is undone was cut off: nobody knows whether it is as before, so it counts as left, by name.
    fn tell_unseen(&mut self, id: ComponentId) {
        let failure = if self.state.curb.is_late {
            let text = "the rollback reached its deadline before it was looked at again";
            Failure::permanent("run.deadline", text)
        } else {
            let text = "the rollback was told to stop before it was looked at again";
            Failure::new(FailureClass::Cancelled, "run.cancelled", text)
        };
        let (attempt, phase) = (self.attempt_of(id, Phase::Verify), Phase::Verify);
        let failure = Box::new(failure);
        self.emit(Event::UndoFailed { component: id, attempt, phase, failure, retry_at: None });
    }

    fn is_to_be_looked_at(&self, id: ComponentId) -> bool {
        let cell = self.state.cell(id);
        match &self.state.rollback {
            Some(rollback) => rollback.part(id).status == UndoStatus::Undone,
            None => cell.status == ComponentStatus::Ready && !cell.action.is_join(),
        }
    }

    /// When the look at this component must have ended, if it began now.
    fn look_deadline(&self, id: ComponentId) -> Timestamp {
        self.now.plus(self.component_timeout(id)).min(self.end_of_run())
    }

    /// It is as it should be.
    pub(super) fn looked_well(&mut self, id: ComponentId) {
        self.flight.look.close(id);
    }

    /// It is not as it should be, or could not be looked at: that is tried again, within the attempts of the run's own
    /// policy.
    pub(super) fn look_failed(&mut self, id: ComponentId, failure: Failure) {
        let (attempt, end) = (self.attempt_of(id, Phase::Verify), self.end_of_run());
        let tries = Attempt::new(self.flight.look.tried(id));
        let may = self.state.may_look() && failure.class == FailureClass::Transient;
        let pause = || match &self.state.rollback {
            Some(_) => retry::pause_of_undo(&self.options, (id, tries), failure.class),
            None => retry::pause(&self.options, None, (id, tries), failure.class),
        };
        let pause = may.then(pause).flatten();
        let retry_at = pause.map(|pause| self.now.plus(pause)).filter(|&at| at < end);
        match retry_at {
            Some(at) => {
                self.flight.look.pauses.insert(id, at);
                self.flight.set_timer(id, at);
            }
            None => self.flight.look.close(id),
        }
        let (phase, failure) = (Phase::Verify, Box::new(failure.bounded()));
        if self.state.rollback.is_some() {
            self.emit(Event::UndoFailed { component: id, attempt, phase, failure, retry_at });
        } else {
            self.emit(Event::AttemptFailed { component: id, attempt, phase, failure, retry_at });
            self.component_failed(id);
        }
    }

    /// A timer of a component that is looked at: the end of its call, or of the pause before the next one.
    pub(super) fn look_timer(&mut self, id: ComponentId) {
        if let Some(call) = self.flight.call(id) {
            if call.phase == Phase::Verify {
                self.call_timer(id, "run.deadline.verify");
            }
            return;
        }
        match self.flight.look.pauses.get(&id).copied() {
            Some(at) if at > self.now => self.flight.set_timer(id, at),
            Some(_) => {
                self.flight.look.pauses.remove(&id);
                self.flight.look.again.push(id);
            }
            None => {}
        }
    }

    /// Whether a look was wished for in the very turn that ended the looking: nobody was asked to make it yet.
    pub(super) fn looks_in_vain(&self, id: ComponentId) -> bool {
        let call = self.flight.call(id).filter(|call| call.phase == Phase::Verify);
        !self.state.may_look() && call.is_some_and(|call| !call.given_out)
    }

    /// Nobody wants to know any more.
    pub(super) fn give_up_look(&mut self, id: ComponentId) {
        if self.flight.call(id).is_some_and(|call| call.phase == Phase::Verify) {
            self.abort_call(id);
            self.flight.look.close(id);
            if self.state.rollback.is_some() {
                self.tell_unseen(id);
            }
        }
    }

    /// The run is over its time, and the grace of its calls too.
    pub(super) fn look_is_late(&mut self, id: ComponentId) {
        if self.flight.call(id).is_some_and(|call| call.phase == Phase::Verify) {
            self.abort_call(id);
            let text = "the run reached its deadline while it was looked at again";
            self.look_failed(id, Failure::permanent("run.deadline", text));
        }
    }
}
