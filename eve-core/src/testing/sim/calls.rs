//! Calls as the simulated cluster carries them out: each ends as its script says, unless something goes wrong.

use std::time::Duration;

use super::cluster::Fact;
use super::faults::Fault;
use super::invariants::{Check, Invariant, Request, ensure};
use super::process::Process;
use super::script::Misbehaviour;
use super::world::{Sim, Together};
use crate::failure::{Cause, Failure, FailureClass};
use crate::ids::{Attempt, ComponentId};
use crate::plan::Until;
use crate::run::{Applied, Change, Input, Outputs, Phase, PhaseEnd, Prepared, UndoReport};
use crate::time::Timestamp;

/// More news than this from one wait tells nothing new about the engine.
const NEWS_MAX: u32 = 60;

/// A call that was taken in.
#[derive(Clone, Copy)]
struct Taken {
    epoch: u32,
    request: Request,
    ends_at: Timestamp,
}

impl Sim<'_> {
    /// A call of the process reaches the world.
    pub(super) fn call(
        &mut self,
        process: &Process,
        (id, attempt, phase): (ComponentId, Attempt, Phase),
        deadline: Timestamp,
    ) -> Check {
        let request = Request { id, attempt, phase, deadline, now: self.now };
        self.trace
            .note(self.now, 100 + u64::from(id.get()) * 4 + phase as u64, || format!("asked: {request:?}"));
        self.admit(request)?;
        self.token_is_told(process, request)?;
        let script = self.scenario.script(id);
        let at_once = script.reads_at_once && !phase.writes();
        let mut length = if at_once { Duration::ZERO } else { script.takes };
        if self.happens(Fault::Slow) {
            length *= 1 + u32::try_from(self.choices.below(1_000, "latency.slow")).unwrap_or(0);
        }
        let taken = Taken { epoch: process.epoch, request, ends_at: self.now.plus(length) };
        let how = if phase == Phase::Verify { None } else { self.misbehaviour(request) };
        match phase {
            Phase::Prepare => self.prepare(taken, how),
            Phase::Apply => self.apply(taken, how),
            Phase::Wait => self.wait(taken, how),
            Phase::Verify => self.end(taken, taken.ends_at, PhaseEnd::Verify(Ok(()))),
            Phase::Undo => {
                self.end(taken, taken.ends_at, PhaseEnd::Undo(Ok(UndoReport::new(Change::None))));
            }
        }
        Ok(())
    }

    /// [`Invariant::FactsHaveASource`]: a wait knows the generation that this attempt wrote.
    fn token_is_told(&self, process: &Process, request: Request) -> Check {
        if request.phase != Phase::Wait {
            return Ok(());
        }
        let token = process.run.applied(request.id).and_then(|applied| applied.token.as_deref());
        let wrote = self.model.part(request.id).applied;
        let generation = self.cluster.of(request.id).object.generation;
        let fits = match token.and_then(serde_json::Value::as_u64) {
            Some(told) => wrote && (1..=generation).contains(&told),
            None => !wrote,
        };
        ensure(fits, Invariant::FactsHaveASource, || {
            format!("{request:?} waits with {token:?}, applied: {wrote}, generation {generation}")
        })
    }

    fn misbehaviour(&mut self, request: Request) -> Option<Misbehaviour> {
        let scripted = self.scenario.script(request.id).misbehaviour(request.phase, request.attempt);
        if scripted.is_some() {
            return scripted;
        }
        if self.happens(Fault::Refused) {
            let classes = [FailureClass::Transient, FailureClass::Transient, FailureClass::Permanent];
            let class = self.one_of(&classes, "fault.class").unwrap_or(FailureClass::Transient);
            return Some(Misbehaviour::Fails(class));
        }
        if request.phase == Phase::Apply && self.happens(Fault::LostReply) {
            return Some(Misbehaviour::Lies(FailureClass::Transient));
        }
        self.happens(Fault::Hang).then_some(Misbehaviour::Hangs)
    }

    /// The end of a call will be told, perhaps twice.
    fn end(&mut self, taken: Taken, at: Timestamp, end: PhaseEnd) {
        let Request { id: component, attempt, .. } = taken.request;
        let input = Input::Ended { component, attempt, end };
        if self.happens(Fault::Doubled) {
            let within = self.one_of(&[60, 3, 1], "latency.within").unwrap_or(60);
            let again = at.plus(self.millis(Duration::from_secs(within), "latency.again"));
            self.push(again, Fact::Tell { epoch: taken.epoch, input: input.clone() });
        }
        self.push(at, Fact::Tell { epoch: taken.epoch, input });
    }

    fn fail(&mut self, taken: Taken, at: Timestamp, how: Misbehaviour) {
        let phase = taken.request.phase;
        let end = match how {
            Misbehaviour::Fails(class) | Misbehaviour::Lies(class) => {
                PhaseEnd::failed(phase, Failure::new(class, "sim.failed", "so it is written"))
            }
            Misbehaviour::Panics => PhaseEnd::panicked(phase),
            Misbehaviour::Hangs => return,
        };
        self.end(taken, at, end);
    }

    fn prepare(&mut self, taken: Taken, how: Option<Misbehaviour>) {
        if let Some(how) = how {
            return self.fail(taken, taken.ends_at, how);
        }
        let id = taken.request.id;
        let tells = self.scenario.script(id).tells_change;
        let change = if tells { self.change(id) } else { Change::Unknown };
        self.end(taken, taken.ends_at, PhaseEnd::Prepare(Ok(Prepared::new(change))));
    }

    fn change(&self, id: ComponentId) -> Change {
        self.cluster.of(id).object.change(self.scenario.graph.node(id).action())
    }

    fn apply(&mut self, taken: Taken, how: Option<Misbehaviour>) {
        let Taken { epoch, request: Request { id, attempt, now, .. }, ends_at } = taken;
        let asked = &mut self.cluster.of_mut(id).object.asked;
        *asked = if asked.0 == attempt { (attempt, asked.1 + 1, asked.2) } else { (attempt, 1, 0) };
        let lands = match how {
            None | Some(Misbehaviour::Lies(_)) => true,
            Some(Misbehaviour::Hangs) => self.choices.below(2, "schedule.hung-write") == 1,
            Some(Misbehaviour::Fails(_) | Misbehaviour::Panics) => false,
        };
        let change = self.change(id);
        let generation = self.cluster.of(id).object.generation;
        let changes = !self.cluster.of(id).object.desired;
        if lands {
            let half = ends_at.since(now) / 2;
            self.push(now.plus(half), Fact::Land { epoch, component: id });
        }
        if let Some(how) = how {
            return self.fail(taken, ends_at, how);
        }
        let wrote = serde_json::Value::from(generation + u64::from(changes));
        let applied = Applied { token: Some(Box::new(wrote)), ..Applied::new(change) };
        self.end(taken, ends_at, PhaseEnd::Apply(Ok(applied)));
    }

    fn wait(&mut self, taken: Taken, how: Option<Misbehaviour>) {
        let Taken { epoch, request, ends_at } = taken;
        let Request { id: component, attempt, deadline, .. } = request;
        let script = self.scenario.script(component);
        let (every, keeps) = (script.news_every, script.keeps_deadline);
        if let Some(every) = every {
            let at = self.now.plus(every);
            self.push(at, Fact::News { epoch, component, attempt, number: 0 });
        }
        if let Some(how) = how {
            return self.fail(taken, ends_at, how);
        }
        let object = &self.cluster.of(component).object;
        let writes = self.scenario.graph.node(component).action().writes();
        let waived = self.scenario.graph.node(component).until() == Until::Applied;
        let there = object.desired || !writes;
        let ready_at = if waived { Some(ends_at) } else { object.ready_at.map(|at| at.max(ends_at)) };
        match ready_at.filter(|_| there) {
            Some(at) if !keeps || at <= deadline => self.end(taken, at, PhaseEnd::Wait(Ok(Outputs::NONE))),
            _ if keeps => {
                let failure = Failure::permanent("sim.deadline", "it is not ready in time");
                self.end(taken, deadline.max(ends_at), PhaseEnd::Wait(Err(failure)));
            }
            _ => {}
        }
    }

    /// A wait tells that something has changed, and will again.
    pub(super) fn news(&mut self, process: &mut Process, (id, attempt): (ComponentId, Attempt), number: u32) {
        let call = self.cluster.of(id).call;
        let awaited = call.is_some_and(|call| call.phase == Phase::Wait && call.attempt == attempt);
        let seen = self.cluster.of_mut(id);
        seen.news += 1;
        let cause = Cause::new("sim.news", format!("step {}", seen.news));
        self.tell(process, Input::Progress { component: id, attempt, cause }, Together::First);
        if awaited {
            self.notice_news(id);
        }
        let every = self.scenario.script(id).news_every.unwrap_or(Duration::from_secs(1));
        if number < NEWS_MAX && (awaited || number < 2) {
            let at = self.now.plus(every);
            let epoch = process.epoch;
            self.push(at, Fact::News { epoch, component: id, attempt, number: number + 1 });
        }
    }

    /// The result of a call is not wanted any more.
    pub(super) fn abort(&mut self, id: ComponentId, attempt: Attempt) -> Check {
        let call = self.cluster.of_mut(id).call.take();
        // A call may end in the very turn in which it is given up.
        let fits = call.is_none_or(|call| call.attempt == attempt);
        ensure(fits, Invariant::Limits, || format!("{id:?} is told to end what is not under way: {call:?}"))
    }
}
