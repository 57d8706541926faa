//! Calls as the simulated cluster carries them out: each ends as its script says, unless something goes wrong.

use std::time::Duration;

use super::cluster::{Call, Fact, Landed, Reply, Write, token_says};
use super::faults::Fault;
use super::invariants::{Check, Invariant, Request, ensure};
use super::process::Process;
use super::script::Misbehaviour;
use super::world::{Sim, Together};
use crate::failure::{Cause, Failure, FailureClass};
use crate::ids::{Attempt, ComponentId};
use crate::plan::{UndoRule, Until};
use crate::run::{Applied, Change, Input, Outputs, Phase, PhaseEnd, Prepared, UndoReport, UndoStatus};
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
        let how = self.misbehaviour(request);
        match phase {
            Phase::Prepare => self.prepare(taken, how),
            Phase::Apply => {
                let prepared = process.run.prepared(id).and_then(|prepared| prepared.undo);
                let over = token_says(prepared.as_ref()).map(|(_, generation)| generation);
                self.apply(taken, over, how);
            }
            Phase::Wait => self.wait(taken, how),
            Phase::Verify => self.verify(process, taken, how),
            Phase::Undo => self.undo(process, taken, how)?,
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
        if request.phase.writes() && self.happens(Fault::LostReply) {
            return Some(Misbehaviour::Lies(FailureClass::Transient));
        }
        self.happens(Fault::Hang).then_some(Misbehaviour::Hangs)
    }

    /// The end of a call will be told, perhaps twice.
    fn end(&mut self, taken: Taken, at: Timestamp, end: PhaseEnd) {
        let Request { id: component, attempt, .. } = taken.request;
        self.end_of((taken.epoch, component, attempt), at, end);
    }

    fn end_of(
        &mut self,
        (epoch, component, attempt): (u32, ComponentId, Attempt),
        at: Timestamp,
        end: PhaseEnd,
    ) {
        let input = Input::Ended { component, attempt, end };
        if self.happens(Fault::Doubled) {
            let within = self.one_of(&[60, 3, 1], "latency.within").unwrap_or(60);
            let again = at.plus(self.millis(Duration::from_secs(within), "latency.again"));
            self.push(again, Fact::Tell { epoch, input: input.clone() });
        }
        self.push(at, Fact::Tell { epoch, input });
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
        let object = &self.cluster.of(id).object;
        let node = self.scenario.graph.node(id);
        let change = if tells { object.change(node.action()) } else { Change::Unknown };
        let may_be_undone = self.scenario.graph.may_be_rolled_back() && node.undo() == UndoRule::Allowed;
        let undo = (may_be_undone && self.scenario.script(id).can_be_undone).then(|| object.token());
        let found = Prepared { undo, ..Prepared::new(change) };
        self.end(taken, taken.ends_at, PhaseEnd::Prepare(Ok(found)));
    }

    /// How a call that writes ends, and whether its write arrives.
    fn send(&mut self, taken: Taken, write: Write, how: Option<Misbehaviour>) {
        let Taken { epoch, request: Request { id, attempt, now, .. }, ends_at } = taken;
        let reply = |lie| Some(Reply { attempt, at: ends_at, lie });
        let then = match how {
            None => reply(None),
            Some(Misbehaviour::Lies(class)) => reply(Some(class)),
            Some(Misbehaviour::Hangs) if self.choices.below(2, "schedule.hung-write") == 1 => None,
            Some(how) => return self.fail(taken, ends_at, how),
        };
        let half = ends_at.since(now) / 2;
        self.push(now.plus(half), Fact::Land { epoch, component: id, write, then });
    }

    fn apply(&mut self, taken: Taken, over: Option<u64>, how: Option<Misbehaviour>) {
        let Request { id, attempt, .. } = taken.request;
        let asked = &mut self.cluster.of_mut(id).object.asked;
        *asked = once_more(*asked, attempt);
        self.send(taken, Write::Apply { over }, how);
    }

    /// The executor puts back what its token says, and nothing that somebody else made.
    fn undo(&mut self, process: &Process, taken: Taken, how: Option<Misbehaviour>) -> Check {
        let Request { id, attempt, .. } = taken.request;
        let given = process.run.undo_token(id);
        let says = token_says(given);
        let object = &mut self.cluster.of_mut(id).object;
        object.asked_undo = once_more(object.asked_undo, attempt);
        let fits = says.is_some_and(|(to, _)| object.before.is_none_or(|before| before == to));
        ensure(fits, Invariant::UndoneToBefore, || {
            format!("{:?} is asked for with {given:?}: {object:?}", taken.request)
        })?;
        // What was given up and has not arrived by now never does: its request was taken back.
        self.facts.retain(|fact| !matches!(fact, Fact::Land { component, write: Write::Apply { .. }, .. } if *component == id));
        if let Some(every) = self.scenario.script(id).news_every {
            let at = self.now.plus(every);
            self.push(at, Fact::News { epoch: taken.epoch, component: id, attempt, number: 0 });
        }
        let to = says.map_or(0, |(to, _)| to);
        self.send(taken, Write::Undo { to }, how);
        Ok(())
    }

    /// A write arrives.
    pub(super) fn land(&mut self, (epoch, component): (u32, ComponentId), write: Write, then: Option<Reply>) {
        let action = self.scenario.graph.node(component).action();
        let after = self.scenario.script(component).ready_after;
        let object = &mut self.cluster.of_mut(component).object;
        let landed = object.land(write, (action, after), self.now);
        let generation = object.generation;
        self.trace.note(self.now, 60 + u64::from(component.get()), || {
            format!("{component:?} {write:?}: {landed:?}")
        });
        let Some(Reply { attempt, at, lie }) = then else { return };
        let failed = match (lie, landed) {
            (Some(class), _) => Some(Failure::new(class, "sim.failed", "so it is written")),
            (None, Landed::Conflict) => {
                Some(Failure::permanent("sim.conflict", "somebody else has changed it"))
            }
            (None, Landed::Changed(_) | Landed::Nothing) => None,
        };
        let change = if let Landed::Changed(change) = landed { change } else { Change::None };
        let end = match (write, failed) {
            (Write::Apply { .. }, Some(failure)) => PhaseEnd::Apply(Err(failure)),
            (Write::Undo { .. }, Some(failure)) => PhaseEnd::Undo(Err(failure)),
            (Write::Apply { .. }, None) => {
                let token = Some(Box::new(serde_json::Value::from(generation)));
                PhaseEnd::Apply(Ok(Applied { token, ..Applied::new(change) }))
            }
            (Write::Undo { .. }, None) => PhaseEnd::Undo(Ok(UndoReport::new(change))),
        };
        self.end_of((epoch, component, attempt), at, end);
    }

    /// A fresh look tells the truth of the moment when it was asked for.
    fn verify(&mut self, process: &Process, taken: Taken, how: Option<Misbehaviour>) {
        if let Some(how) = how {
            return self.fail(taken, taken.ends_at, how);
        }
        let Request { id, now, .. } = taken.request;
        let object = &self.cluster.of(id).object;
        let node = self.scenario.graph.node(id);
        let is_so = if process.run.view().undo_status(id) == UndoStatus::Undone {
            token_says(process.run.undo_token(id)).is_some_and(|(to, _)| to == object.content)
        } else {
            let waived = node.until() == Until::Applied;
            (!node.action().writes() || object.is_wanted()) && (waived || object.is_ready(now))
        };
        let failure = || Failure::permanent("sim.changed", "it is not as it was");
        self.end(taken, taken.ends_at, PhaseEnd::Verify(if is_so { Ok(()) } else { Err(failure()) }));
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
        if let Some(at) = self.over_at(component, ends_at).filter(|at| !keeps || *at <= deadline) {
            if at <= self.now {
                return self.end_of((epoch, component, attempt), at, PhaseEnd::Wait(Ok(Outputs::NONE)));
            }
            self.push(at, Fact::Seen { epoch, component, attempt });
        } else if keeps {
            self.gives_up_itself((epoch, component, attempt), deadline.max(ends_at));
        }
    }

    fn gives_up_itself(&mut self, call: (u32, ComponentId, Attempt), at: Timestamp) {
        let failure = Failure::permanent("sim.deadline", "it is not ready in time");
        self.end_of(call, at, PhaseEnd::Wait(Err(failure)));
    }

    /// When a wait for this component is over, as things stand; not before `earliest`.
    fn over_at(&self, component: ComponentId, earliest: Timestamp) -> Option<Timestamp> {
        let node = self.scenario.graph.node(component);
        let object = &self.cluster.of(component).object;
        let there = object.is_wanted() || !node.action().writes();
        let ready_at = if node.until() == Until::Applied { Some(earliest) } else { object.ready_at() };
        ready_at.filter(|_| there).map(|at| at.max(earliest))
    }

    /// A wait that was to be over by now looks whether it is.
    pub(super) fn seen(&mut self, call: (u32, ComponentId, Attempt)) {
        let (epoch, component, attempt) = call;
        let deadline = self.cluster.of(component).call.map(|call| call.deadline);
        match self.over_at(component, self.now) {
            Some(at) if at <= self.now => self.end_of(call, at, PhaseEnd::Wait(Ok(Outputs::NONE))),
            Some(at) => self.push(at, Fact::Seen { epoch, component, attempt }),
            None if self.scenario.script(component).keeps_deadline => {
                self.gives_up_itself(call, deadline.unwrap_or(self.now).max(self.now));
            }
            None => {}
        }
    }

    /// A wait tells that something has changed, and will again.
    pub(super) fn news(&mut self, process: &mut Process, (id, attempt): (ComponentId, Attempt), number: u32) {
        let call = self.cluster.of(id).call;
        let tells = |call: Call| matches!(call.phase, Phase::Wait | Phase::Undo) && call.attempt == attempt;
        let awaited = call.is_some_and(tells);
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

/// One more request of this attempt: how many there were, and how many processes died since the first.
fn once_more((of, asked, deaths): (Attempt, u32, u32), attempt: Attempt) -> (Attempt, u32, u32) {
    if of == attempt { (attempt, asked + 1, deaths) } else { (attempt, 1, 0) }
}
