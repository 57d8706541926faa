//! What the end of a phase, and progress within one, mean for the run.

use serde_json::Value;

use super::Run;
use super::protocol::{
    Change, Event, OUTPUTS_BYTES_MAX, Phase, PhaseEnd, Prepared, TOKEN_BYTES_MAX, UndoToken, VALUE_DEPTH_MAX,
};
use super::retry;
use super::state::ComponentStatus;
use crate::failure::{Cause, Failure};
use crate::ids::{Attempt, ComponentId};

impl Run {
    /// The end of a call. Only the call that is under way counts; anything else is late or a duplicate.
    pub(super) fn ended(&mut self, id: ComponentId, attempt: Attempt, end: PhaseEnd) {
        let phase = end.phase();
        let stale_is_taken = sabotaged!(self.state, StaleAttemptTaken);
        let expected = self
            .flight
            .call(id)
            .is_some_and(|call| call.phase == phase && (call.attempt == attempt || stale_is_taken));
        if !expected {
            planted!(self.state, CountedTwice, { self.count_again(id, &end) });
            return;
        }
        self.flight.end(id);
        planted!(self.state, SlotLeaked, { self.leak_slot(&end) });
        self.flight.late_causes.remove(&id);
        match within_bounds(end) {
            PhaseEnd::Prepare(Ok(mut prepared)) => {
                if !self.graph.node(id).action().writes() {
                    // Whatever its executor says would change: nobody is going to change it.
                    prepared.change = Change::None;
                }
                let cell = self.state.cell(id);
                let replaces = sabotaged!(self.state, OwnWriteAsToken);
                if cell.is_begun() && !replaces {
                    // What was before the run is known from before the first write.
                    prepared.undo = None;
                }
                let known = cell.prepared.as_ref().is_some_and(|known| known.says_the_same(&prepared));
                if !known || cell.undo != prepared.undo && !cell.is_begun() {
                    self.emit(Event::Prepared { component: id, prepared });
                }
                if self.state.cell(id).status == ComponentStatus::Runnable {
                    self.flight.runnable.push(&self.graph, id);
                }
            }
            PhaseEnd::Apply(Ok(applied)) => {
                let attempt = self.state.cell(id).attempt;
                self.emit(Event::Applied { component: id, attempt, applied });
            }
            PhaseEnd::Wait(Ok(outputs)) => self.emit(Event::Ready { component: id, outputs }),
            PhaseEnd::Prepare(Err(failure))
            | PhaseEnd::Apply(Err(failure))
            | PhaseEnd::Wait(Err(failure)) => {
                self.attempt_failed(id, phase, failure);
            }
            PhaseEnd::Verify(Ok(())) => self.looked_well(id),
            PhaseEnd::Verify(Err(failure)) => self.look_failed(id, failure),
            PhaseEnd::Undo(Ok(report)) => self.undone(id, report),
            PhaseEnd::Undo(Err(failure)) => self.undo_failed(id, failure),
        }
    }

    /// What a wait or an undo tells.
    pub(super) fn progress(&mut self, id: ComponentId, attempt: Attempt, cause: Cause) {
        let Some(call) = self.flight.call(id).filter(|call| call.attempt == attempt) else { return };
        let cause = Cause::new(cause.code, cause.message);
        match call.phase {
            Phase::Wait => self.wait_tells(id, cause),
            Phase::Undo => self.undo_tells(id, cause),
            Phase::Prepare | Phase::Apply | Phase::Verify => {}
        }
    }

    /// Only shown: who takes the rollback over calls the undo anew, and hears it from the beginning.
    fn undo_tells(&mut self, id: ComponentId, cause: Cause) {
        if self.flight.late_causes.get(&id) != Some(&cause) {
            self.flight.late_causes.insert(id, cause);
            self.flight.hear(id, self.now);
            self.set_no_progress_timer(id);
        }
    }

    /// Stored when it is new, at most once in `waiting_interval`; a cause that comes too soon is kept and stored when the
    /// interval is over, if it is still the last.
    fn wait_tells(&mut self, id: ComponentId, cause: Cause) {
        let cell = self.state.cell(id);
        if cell.cause.as_deref() == Some(&cause) {
            self.flight.late_causes.remove(&id);
            return;
        }
        let next = self.state.on_the_clock(cell.progressed_at).plus(self.options.waiting_interval);
        if cell.cause.is_none() || next <= self.now {
            self.emit(Event::Waiting { component: id, cause: Box::new(cause) });
            self.set_wait_timer(id);
        } else {
            self.flight.late_causes.insert(id, cause);
            self.flight.set_timer(id, next);
        }
    }

    /// Ends the attempt, and with it the component unless another attempt may follow before its deadline.
    pub(super) fn attempt_failed(&mut self, id: ComponentId, phase: Phase, failure: Failure) {
        let attempt = self.state.cell(id).attempt;
        let written = self.graph.node(id).retry();
        let charged = if sabotaged!(self.state, RetryWithoutBudget) { Attempt::FIRST } else { attempt };
        let pause = match self.state.stopping {
            None => retry::pause(&self.options, written, (id, charged), failure.class),
            Some(_) => None,
        };
        let retry_at = pause.map(|pause| self.now.plus(pause)).filter(|&at| at < self.component_deadline(id));
        let failure = Box::new(failure.bounded());
        self.emit(Event::AttemptFailed { component: id, attempt, phase, failure, retry_at });
        if retry_at.is_none() {
            self.component_failed(id);
        }
    }
}

/// Turns what is larger than allowed into a failure.
fn within_bounds(end: PhaseEnd) -> PhaseEnd {
    let too_large = |what: &str, most: usize| {
        Failure::misuse(
            "run.result-too-large",
            format!("the executor returned {what} of more than {most} bytes"),
        )
    };
    if !is_shallow(&end) {
        let message = format!("the executor returned a value of more than {VALUE_DEPTH_MAX} levels");
        return PhaseEnd::failed(end.phase(), Failure::misuse("run.result-too-deep", message));
    }
    match end {
        PhaseEnd::Prepare(Ok(found)) if prepared_bytes(&found) > TOKEN_BYTES_MAX => {
            PhaseEnd::Prepare(Err(too_large("a token", TOKEN_BYTES_MAX)))
        }
        PhaseEnd::Apply(Ok(done)) if token_bytes(done.token.as_deref()) > TOKEN_BYTES_MAX => {
            PhaseEnd::Apply(Err(too_large("a token", TOKEN_BYTES_MAX)))
        }
        PhaseEnd::Wait(Ok(outputs)) => {
            let bytes: usize = outputs.iter().map(|(name, value)| name.len() + value.to_string().len()).sum();
            if bytes > OUTPUTS_BYTES_MAX {
                PhaseEnd::Wait(Err(too_large("outputs", OUTPUTS_BYTES_MAX)))
            } else {
                PhaseEnd::Wait(Ok(outputs))
            }
        }
        end @ (PhaseEnd::Prepare(_)
        | PhaseEnd::Apply(_)
        | PhaseEnd::Wait(_)
        | PhaseEnd::Verify(_)
        | PhaseEnd::Undo(_)) => end,
    }
}

/// Whether what is to be stored can be read again.
fn is_shallow(end: &PhaseEnd) -> bool {
    let fits = |value: &Value| within(value, VALUE_DEPTH_MAX);
    match end {
        PhaseEnd::Prepare(Ok(found)) => {
            let undo = found.undo.as_ref().map(UndoToken::value);
            found.token.as_deref().is_none_or(fits) && undo.is_none_or(fits)
        }
        PhaseEnd::Apply(Ok(done)) => done.token.as_deref().is_none_or(fits),
        PhaseEnd::Wait(Ok(outputs)) => outputs.iter().all(|(_, value)| fits(value)),
        PhaseEnd::Prepare(Err(_))
        | PhaseEnd::Apply(Err(_))
        | PhaseEnd::Wait(Err(_))
        | PhaseEnd::Verify(_)
        | PhaseEnd::Undo(_) => true,
    }
}

/// Whether no more than so many levels lie in each other; looks no deeper.
fn within(value: &Value, levels: usize) -> bool {
    let below = |value: &Value| levels.checked_sub(1).is_some_and(|levels| within(value, levels));
    match value {
        Value::Array(items) => levels > 0 && items.iter().all(below),
        Value::Object(fields) => levels > 0 && fields.values().all(below),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

fn prepared_bytes(found: &Prepared) -> usize {
    let tokens =
        token_bytes(found.token.as_deref()).max(token_bytes(found.undo.as_ref().map(UndoToken::value)));
    tokens.max(found.desired.as_deref().map_or(0, str::len))
}

fn token_bytes(token: Option<&Value>) -> usize {
    token.map_or(0, |token| token.to_string().len())
}
