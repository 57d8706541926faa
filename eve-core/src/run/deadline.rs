//! Deadlines: of a call, a component, a wait without progress, a pause between attempts, and the run.

use std::time::Duration;

use super::Run;
use super::protocol::{Event, Phase, StopReason};
use super::state::ComponentStatus;
use crate::failure::Failure;
use crate::ids::ComponentId;
use crate::time::Timestamp;

/// How long after its deadline the end of a call is still taken, so that an executor that keeps the deadline itself can
/// say more than "it took too long".
const CALL_GRACE: Duration = Duration::from_secs(6);

impl Run {
    pub(super) fn run_deadline(&self) -> Timestamp {
        self.state.on_the_clock(self.state.started_at).plus(self.options.run_timeout)
    }

    /// The deadline of the run, and once it is rolled back that of its rollback.
    pub(super) fn end_of_run(&self) -> Timestamp {
        let rollback = self.state.rollback.as_deref();
        rollback.map_or_else(|| self.run_deadline(), |rollback| self.rollback_deadline(rollback))
    }

    fn is_late(&self) -> bool {
        if self.state.rollback.is_some() { self.state.curb.is_late } else { self.state.deadline_reached }
    }

    /// What the run itself waits for next: its deadline, and then the end of the grace of its calls.
    pub(super) fn run_timer(&self) -> Timestamp {
        let grace = if self.is_late() { CALL_GRACE } else { Duration::ZERO };
        self.end_of_run().plus(grace)
    }

    pub(super) fn component_timeout(&self, id: ComponentId) -> Duration {
        self.graph.node(id).timeout().unwrap_or(self.options.component_timeout)
    }

    /// When the component must have come to its end; before its turn, what that would be if its turn were now.
    pub(super) fn component_deadline(&self, id: ComponentId) -> Timestamp {
        let turn_at = self.state.cell(id).turn_at.map(|at| self.state.on_the_clock(at));
        let own = turn_at.unwrap_or(self.now).plus(self.component_timeout(id));
        own.min(self.run_deadline())
    }

    /// When the wait or the undo fails unless it tells something new. One that nobody has begun yet cannot have told
    /// anything.
    pub(super) fn no_progress_deadline(&self, id: ComponentId) -> Timestamp {
        let Some(call) = self.flight.call(id) else { return Timestamp::MAX };
        let progressed_at = self.state.on_the_clock(self.state.cell(id).progressed_at);
        progressed_at.max(call.heard).plus(self.options.no_progress_timeout)
    }

    pub(super) fn set_no_progress_timer(&mut self, id: ComponentId) {
        let at = self.no_progress_deadline(id);
        self.flight.set_timer(id, at);
    }

    pub(super) fn set_call_timer(&mut self, id: ComponentId, deadline: Timestamp) {
        self.flight.set_timer(id, deadline.plus(CALL_GRACE));
    }

    /// A component whose turn has begun and that queues for its next attempt is looked at when its time is over.
    pub(super) fn set_turn_timer(&mut self, id: ComponentId) {
        if self.state.cell(id).turn_at.is_some() {
            let at = self.component_deadline(id);
            self.flight.set_timer(id, at);
        }
    }

    /// Whether the time of a component whose turn has begun is over: nothing is tried any more.
    pub(super) fn is_past_its_turn(&self, id: ComponentId) -> bool {
        self.state.cell(id).turn_at.is_some() && self.component_deadline(id) <= self.now
    }

    pub(super) fn set_wait_timer(&mut self, id: ComponentId) {
        let at = self.component_deadline(id).min(self.no_progress_deadline(id)).plus(CALL_GRACE);
        self.flight.set_timer(id, at);
    }

    /// The run stops when its deadline is reached by the clock, whoever noticed first.
    pub(super) fn judge_run_deadline(&mut self) {
        if !self.is_late() && self.end_of_run() <= self.now {
            self.stop_because(StopReason::Deadline);
        }
    }

    /// Whatever was reached by now takes its effect.
    pub(super) fn deadlines(&mut self) {
        self.judge_run_deadline();
        if self.end_of_run().plus(CALL_GRACE) <= self.now {
            self.give_up_all();
            return;
        }
        while let Some(id) = self.flight.pop_timer(self.now) {
            self.timer(id);
        }
    }

    /// Looks at one component, and sets its timer anew if nothing was due.
    fn timer(&mut self, id: ComponentId) {
        if self.state.rollback.is_some() {
            return self.undo_timer(id);
        }
        let cell = self.state.cell(id);
        match cell.status {
            ComponentStatus::Blocked | ComponentStatus::Runnable => self.unstarted_timer(id),
            ComponentStatus::Applying => self.call_timer(id, "run.deadline.apply"),
            ComponentStatus::Waiting => self.wait_timer(id),
            ComponentStatus::Ready => self.look_timer(id),
            ComponentStatus::Failed | ComponentStatus::Cancelled | ComponentStatus::Skipped => {}
        }
    }

    fn unstarted_timer(&mut self, id: ComponentId) {
        if self.flight.call(id).is_some() {
            self.call_timer(id, "run.deadline.prepare");
        } else if self.is_past_its_turn(id) {
            self.turn_is_over(id);
        } else if let Some(at) = self.state.cell(id).retry_at.filter(|&at| at > self.now) {
            self.flight.set_timer(id, at);
        } else {
            self.state.moved.push(id);
        }
    }

    /// Another attempt was to follow, and did not get a slot in time.
    pub(super) fn turn_is_over(&mut self, id: ComponentId) {
        let timeout = self.component_timeout(id);
        let before = self.state.cell(id).failure.as_deref();
        let before = before.map(|failure| format!(": {failure}")).unwrap_or_default();
        let text = format!("no further attempt could begin within {timeout:?}{before}");
        self.attempt_failed(id, Phase::Prepare, Failure::permanent("run.deadline.component", text));
    }

    pub(super) fn call_timer(&mut self, id: ComponentId, code: &'static str) {
        let Some(call) = self.flight.call(id) else { return };
        if call.deadline.plus(CALL_GRACE) > self.now {
            self.set_call_timer(id, call.deadline);
            return;
        }
        let doing = match call.phase {
            Phase::Prepare => "preparing it did not end in time",
            Phase::Apply => "applying it did not end in time; whether it took effect is not known",
            Phase::Wait => "it is not ready in time",
            Phase::Verify => "looking at it again did not end in time",
            Phase::Undo => "undoing it did not end in time; whether it took effect is not known",
        };
        self.abort_call(id);
        let failure = Failure::transient(code, doing);
        match call.phase {
            Phase::Prepare | Phase::Apply | Phase::Wait => self.attempt_failed(id, call.phase, failure),
            Phase::Verify => self.look_failed(id, failure),
            Phase::Undo => self.undo_failed(id, failure),
        }
    }

    fn wait_timer(&mut self, id: ComponentId) {
        let component_at = self.component_deadline(id).plus(CALL_GRACE);
        let no_progress_at = self.no_progress_deadline(id).plus(CALL_GRACE);
        if component_at <= self.now {
            let timeout = self.component_timeout(id);
            let text = format!("it is not ready after {timeout:?}");
            let failure = self.deadline_failure(id, "run.deadline.component", &text);
            self.abort_call(id);
            self.attempt_failed(id, Phase::Wait, failure);
            return;
        }
        let interval_at = self.state.on_the_clock(self.state.cell(id).progressed_at);
        if interval_at.plus(self.options.waiting_interval) <= self.now
            && let Some(cause) = self.flight.late_causes.remove(&id)
        {
            self.emit(Event::Waiting { component: id, cause: Box::new(cause) });
        } else if no_progress_at <= self.now {
            let text = format!("nothing has changed for {:?}", self.options.no_progress_timeout);
            let failure = self.deadline_failure(id, "run.deadline.no-progress", &text);
            self.abort_call(id);
            self.attempt_failed(id, Phase::Wait, failure);
            return;
        }
        self.set_wait_timer(id);
        if self.flight.late_causes.contains_key(&id) {
            let at = self.state.on_the_clock(self.state.cell(id).progressed_at);
            self.flight.set_timer(id, at.plus(self.options.waiting_interval));
        }
    }

    pub(super) fn deadline_failure(&self, id: ComponentId, code: &'static str, text: &str) -> Failure {
        Failure::permanent(code, format!("{text}{}", self.last_cause(id)))
    }

    /// What the component waited for last, as the end of a sentence.
    pub(super) fn last_cause(&self, id: ComponentId) -> String {
        let late = self.flight.late_causes.get(&id);
        let cause = late.or(self.state.cell(id).cause.as_deref());
        cause.map(|cause| format!(": {cause}")).unwrap_or_default()
    }
}
