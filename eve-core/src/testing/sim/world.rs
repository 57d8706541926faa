//! The world of one schedule: what happens when, who is told, and what dies.

use std::sync::Arc;
use std::time::Duration;

use super::choices::{Choices, pick};
use super::cluster::{Call, Cluster, Fact, Facts, Told};
use super::coverage::{Coverage, Met, Stand, impossible};
use super::disk::Disk;
use super::faults::{Fault, Tally};
use super::invariants::{Check, Invariant, Model, Violation, ensure, request_is_allowed};
use super::process::Process;
use super::report::Trace;
use super::sabotage::Sabotage;
use super::scenario::Scenario;
use crate::ids::{ComponentId, RunId};
use crate::run::{Input, Outcome, PhaseEnd, Record, Run, StopMode};
use crate::time::Timestamp;

/// When every schedule begins.
pub(super) const BEGINNING: Timestamp = Timestamp::from_micros(1_000_000_000_000);

/// More steps than any schedule needs: one that takes more goes round in circles.
const STEPS_MAX: u64 = 100_000;

/// How often what a run left is undone by another run.
const UNDOING_RUNS_MAX: u32 = 3;

/// Where a fact stands among those of one turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Together {
    First,
    After,
}

/// The world of one schedule.
pub(super) struct Sim<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) choices: &'a mut dyn Choices,
    pub(super) sabotage: Option<Sabotage>,
    pub(super) now: Timestamp,
    pub(super) facts: Facts,
    pub(super) disk: Disk,
    pub(super) cluster: Cluster,
    pub(super) model: Model,
    /// What was written, as far as it was not lost since.
    pub(super) records: Vec<Record>,
    pub(super) run: RunId,
    /// The run that this one undoes, with all its records.
    pub(super) undoes: Option<(RunId, Vec<Record>)>,
    pub(super) processes: Vec<Process>,
    pub(super) epoch: u32,
    /// How many processes are in the middle of a turn.
    pub(super) at_work: u32,
    /// The outcome that was told.
    pub(super) told: Option<Outcome>,
    pub(super) stops_given: Vec<StopMode>,
    /// Requests to stop that must be in force for ever.
    pub(super) stops_kept: Vec<StopMode>,
    /// Requests to stop that are to be given to the next process.
    pub(super) stops_waiting: Vec<StopMode>,
    /// Whether the last process has told the outcome and ended.
    pub(super) over: bool,
    /// Whether damage was noticed: then nobody goes on.
    pub(super) damaged: bool,
    pub(super) calm_since: Option<Timestamp>,
    pub(super) tally: Tally,
    pub(super) coverage: Coverage,
    pub(super) trace: Trace,
    pub(super) steps: u64,
}

impl<'a> Sim<'a> {
    pub(super) fn new(
        scenario: &'a Scenario,
        choices: &'a mut dyn Choices,
        sabotage: Option<Sabotage>,
        trace: Trace,
    ) -> Self {
        Self {
            scenario,
            choices,
            sabotage,
            now: BEGINNING,
            facts: Facts::default(),
            disk: Disk::new(RunId::new("run")),
            cluster: Cluster::new(scenario, BEGINNING),
            model: Model::new(Arc::clone(&scenario.graph), scenario.options.clone()),
            records: Vec::new(),
            run: RunId::new("run"),
            undoes: None,
            processes: Vec::new(),
            epoch: 0,
            at_work: 0,
            told: None,
            stops_given: Vec::new(),
            stops_kept: Vec::new(),
            stops_waiting: Vec::new(),
            over: false,
            damaged: false,
            calm_since: None,
            tally: Tally::default(),
            coverage: Coverage::default(),
            trace,
            steps: 0,
        }
    }

    /// Everything, to the end.
    pub(super) fn live(&mut self) -> Check {
        self.live_on()?;
        for number in 0..UNDOING_RUNS_MAX {
            if !self.wants_to_undo(number)? {
                break;
            }
            self.live_on()?;
        }
        Ok(())
    }

    fn live_on(&mut self) -> Check {
        self.open()?;
        while !self.over && !self.damaged {
            self.steps += 1;
            ensure(self.steps < STEPS_MAX, Invariant::Liveness, || "the run goes round in circles".into())?;
            let alarm = self.processes.iter().filter_map(|process| process.alarm).min();
            match (self.facts.next_at(), alarm) {
                (Some(at), alarm) if alarm.is_none_or(|alarm| at <= alarm) => {
                    self.reach(at)?;
                    if let Some((_, fact)) = self.facts.pop() {
                        self.happen(fact)?;
                    }
                }
                (_, Some(at)) => {
                    self.reach(at)?;
                    self.ring()?;
                }
                (_, None) => {
                    let what = "nothing is ever going to happen, and the run is not over".to_owned();
                    return Err(Violation { invariant: Invariant::Liveness, what });
                }
            }
        }
        Ok(())
    }

    /// Moves the clock; after everything is calm, the run may take its own time and no more.
    fn reach(&mut self, at: Timestamp) -> Check {
        self.now = self.now.max(at);
        if !self.processes.is_empty() && self.happens(Fault::Suspend) {
            let by = self.millis(Duration::from_hours(2), "latency.suspend");
            self.now = self.now.plus(by);
        }
        if self.calm_since.is_none() && self.now >= BEGINNING.plus(self.scenario.faults.calm_after) {
            self.calm_since = Some(self.now);
        }
        // A rollback has the time of a run anew.
        let bound = self.model.options.run_timeout() * 2 + Duration::from_mins(1);
        let late = self.calm_since.is_some_and(|since| self.now > since.plus(bound));
        ensure(!late, Invariant::Liveness, || {
            format!("calm since {:?}, and not over at {}", self.calm_since, self.now)
        })
    }

    /// Whether this goes wrong now.
    pub(super) fn happens(&mut self, fault: Fault) -> bool {
        let chance = self.scenario.faults.chance(fault, self.tally.of(fault));
        if !chance.may_happen() || self.now >= BEGINNING.plus(self.scenario.faults.calm_after) {
            return false;
        }
        let happens = chance.happens(self.choices, fault.label());
        if happens {
            self.tally.count(fault);
            self.trace.note(self.now, 3 + fault as u64, || format!("fault: {}", fault.name()));
        }
        happens
    }

    /// A length below `most`; where choices are enumerated it is the shortest.
    pub(super) fn millis(&mut self, most: Duration, label: &'static str) -> Duration {
        if !self.scenario.faults.shuffled {
            return Duration::ZERO;
        }
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.choices.below(most.max(1), label))
    }

    /// Where something stands among what happens at the same time; writes arrive before they are told of.
    pub(super) fn push(&mut self, at: Timestamp, fact: Fact) {
        let tie = match fact {
            Fact::Land { .. } => 0,
            Fact::Tell { .. } | Fact::Seen { .. } | Fact::News { .. } | Fact::Restart
                if !self.scenario.faults.shuffled =>
            {
                1
            }
            Fact::Tell { .. } | Fact::Seen { .. } | Fact::News { .. } | Fact::Restart => {
                1 + self.choices.below(3, "schedule.tie")
            }
        };
        self.facts.push(at, tie, fact);
    }

    fn take(&mut self, epoch: u32) -> Option<Process> {
        let index = self.processes.iter().position(|process| process.epoch == epoch)?;
        Some(self.processes.remove(index))
    }

    fn happen(&mut self, fact: Fact) -> Check {
        match fact {
            Fact::Restart => self.open(),
            Fact::Land { epoch, component, write, then } => {
                self.land((epoch, component), write, then);
                Ok(())
            }
            Fact::Seen { epoch, component, attempt } => {
                let is_alive = self.processes.iter().any(|process| process.epoch == epoch);
                if is_alive {
                    self.seen((epoch, component, attempt));
                }
                Ok(())
            }
            Fact::Tell { epoch, input } => {
                let Some(mut process) = self.take(epoch) else { return Ok(()) };
                self.tell(&mut process, input, Together::First);
                self.tell_more(&mut process);
                self.turn(process)
            }
            Fact::News { epoch, component, attempt, number } => {
                let Some(mut process) = self.take(epoch) else { return Ok(()) };
                self.news(&mut process, (component, attempt), number);
                self.turn(process)
            }
        }
    }

    /// Whatever else is there at the same time may be taken in the same turn.
    fn tell_more(&mut self, process: &mut Process) {
        if !self.scenario.faults.shuffled {
            return;
        }
        while self.facts.next_at().is_some_and(|at| at <= self.now) {
            if self.choices.below(2, "schedule.together") == 1 {
                return;
            }
            match self.facts.pop() {
                Some((_, Fact::Tell { epoch, input })) if epoch == process.epoch => {
                    self.tell(process, input, Together::After);
                }
                Some((_, Fact::Tell { .. })) => {}
                Some((at, other)) => {
                    self.facts.push(at, 0, other);
                    return;
                }
                None => return,
            }
        }
    }

    /// Tells the ends of reads that are there already, as many of them as it happens; whether there was one.
    pub(super) fn tell_ended_reads(&mut self, process: &mut Process) -> bool {
        let (mut told, asker) = (false, process.epoch);
        let is_read = |fact: &Fact| {
            let Fact::Tell { epoch, input: Input::Ended { end, .. } } = fact else { return false };
            *epoch == asker && !end.phase().writes()
        };
        while self.facts.next().is_some_and(|(at, fact)| at <= self.now && is_read(fact)) {
            if self.scenario.faults.shuffled && self.choices.below(4, "schedule.at-once") == 3 {
                return told;
            }
            if let Some((_, Fact::Tell { input, .. })) = self.facts.pop() {
                self.tell(process, input, Together::After);
                told = true;
            }
        }
        told
    }

    /// Tells the process something, as it is in truth.
    pub(super) fn tell(&mut self, process: &mut Process, input: Input, together: Together) {
        let component = match &input {
            Input::Ended { component, .. } | Input::Progress { component, .. } => *component,
            Input::Stop { .. } => return,
        };
        let call = self.cluster.of(component).call;
        let met = Met::of(&input, call);
        let status = Stand::of(&process.run, component);
        // In one turn with what gave the call up, its end is late, and nobody was told of that yet.
        let met =
            if together == Together::After && impossible(status, met).is_some() { met.late() } else { met };
        self.coverage.see(status, met);
        if let (Met::Told(_, true), Input::Ended { attempt, end, .. }) = (met, &input) {
            let failed = end.failure().map(|failure| failure.class);
            let is_rollback = process.run.view().rolling_back_since().is_some();
            let seen = self.cluster.of_mut(component);
            if let (PhaseEnd::Verify(Ok(())), Some(looked)) =
                (end, seen.looked_at.get_mut(usize::from(is_rollback)))
            {
                *looked = call.map(|call| call.since);
            }
            (seen.call, seen.told) = (None, Some(Told { attempt: *attempt, phase: end.phase(), failed }));
        }
        self.trace.note(self.now, 40 + u64::from(component.get()), || format!("told: {input:?}"));
        process.run.handle(input, self.now);
    }

    fn ring(&mut self) -> Check {
        let due = self.processes.iter().find(|process| process.alarm.is_some_and(|at| at <= self.now));
        let Some(mut process) = due.map(|process| process.epoch).and_then(|epoch| self.take(epoch)) else {
            return Ok(());
        };
        self.time_passes(&mut process);
        self.turn(process)
    }

    /// This input meets every component of the run.
    pub(super) fn covers_all(&mut self, run: &Run, met: Met) {
        for id in run.graph().ids() {
            self.coverage.see(Stand::of(run, id), met);
        }
    }

    /// Somebody else does something to an object of the plan.
    pub(super) fn meddle(&mut self) {
        let count = self.cluster.seen.len() as u64;
        let index = self.choices.below(count, "fault.meddled");
        // Removed, made as it is wanted, as it was, or like nothing before.
        let content = match self.choices.below(6, "fault.content") {
            like @ 0..3 => like,
            _ => 10 + self.tally.of(Fault::Meddle),
        };
        let now = self.now;
        let index = usize::try_from(index).unwrap_or_default();
        if let Some(seen) = self.cluster.seen.get_mut(index) {
            seen.object.meddle(content, now);
        }
        self.trace.note(now, 200 + index as u64, || format!("somebody makes {index} to {content}"));
    }

    /// Something that was ready is so no longer.
    pub(super) fn falter(&mut self) {
        let count = self.cluster.seen.len() as u64;
        let index = usize::try_from(self.choices.below(count, "fault.faltered")).unwrap_or_default();
        let lasts = self.choices.below(2, "fault.lasts") == 0;
        let until = lasts.then(|| self.now.plus(self.millis(Duration::from_mins(1), "latency.falter")));
        let now = self.now;
        if let Some(seen) = self.cluster.seen.get_mut(index) {
            seen.object.falter(until, now);
        }
        self.trace.note(now, 300 + index as u64, || format!("{index} is not ready until {until:?}"));
    }

    /// Another process tries while one lives: the lock refuses it.
    pub(super) fn rival(&mut self) -> Check {
        if self.sabotage == Some(Sabotage::TwoOwners) { self.open() } else { Ok(()) }
    }

    /// What the world takes in as under way.
    pub(super) fn admit(&mut self, request: super::invariants::Request) -> Check {
        request_is_allowed(&self.model, &self.cluster, &self.disk, request)?;
        let seen = self.cluster.of_mut(request.id);
        if request.phase.writes() {
            seen.looked_at = [None; 2];
        }
        let super::invariants::Request { attempt, phase, deadline, now: since, .. } = request;
        seen.call = Some(Call { attempt, phase, deadline, since });
        (seen.told, seen.news_at) = (None, None);
        Ok(())
    }

    pub(super) fn one_of<T: Copy>(&mut self, from: &[T], label: &'static str) -> Option<T> {
        pick(self.choices, from, label)
    }

    /// Whether this component's news counts as new in the time with a process.
    pub(super) fn notice_news(&mut self, id: ComponentId) {
        let active = self.model.active(self.now);
        self.cluster.of_mut(id).news_at = Some(active);
    }
}
