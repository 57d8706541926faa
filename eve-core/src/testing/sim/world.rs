//! The world of one schedule: what happens when, who is told, and what dies.

use std::sync::Arc;
use std::time::Duration;

use super::choices::{Choices, pick};
use super::cluster::{Call, Cluster, Fact, Facts, Told};
use super::coverage::{Coverage, Met, impossible};
use super::disk::{Disk, Reading};
use super::faults::{Fault, Tally};
use super::invariants::{Check, Invariant, Model, Violation, ensure, request_is_allowed};
use super::process::{Death, Process};
use super::report::Trace;
use super::sabotage::Sabotage;
use super::scenario::Scenario;
use crate::ids::{ComponentId, RunId};
use crate::run::{ComponentStatus, Input, Outcome, Record, Replica, Run, StopMode};
use crate::time::Timestamp;

/// When every schedule begins.
pub(super) const BEGINNING: Timestamp = Timestamp::from_micros(1_000_000_000_000);

/// More steps than any schedule needs: one that takes more goes round in circles.
const STEPS_MAX: u64 = 100_000;

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
    pub(super) processes: Vec<Process>,
    epoch: u32,
    /// How many processes are in the middle of a turn.
    pub(super) at_work: u32,
    /// The outcome that was told.
    pub(super) told: Option<Outcome>,
    pub(super) stops_given: Vec<StopMode>,
    /// Requests to stop that must be in force for ever.
    pub(super) stops_kept: Vec<StopMode>,
    /// Requests to stop that are to be given to the next process.
    stops_waiting: Vec<StopMode>,
    /// Whether the last process has told the outcome and ended.
    pub(super) over: bool,
    /// Whether damage was noticed: then nobody goes on.
    pub(super) damaged: bool,
    calm_since: Option<Timestamp>,
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
            disk: Disk::new(Self::id()),
            cluster: Cluster::new(scenario, BEGINNING),
            model: Model::new(Arc::clone(&scenario.graph), scenario.options.clone()),
            records: Vec::new(),
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

    fn id() -> RunId {
        RunId::new("run")
    }

    /// Everything, to the end.
    pub(super) fn live(&mut self) -> Check {
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
        let bound = self.model.options.run_timeout() + Duration::from_mins(1);
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
            Fact::Tell { .. } | Fact::News { .. } | Fact::Restart if !self.scenario.faults.shuffled => 1,
            Fact::Tell { .. } | Fact::News { .. } | Fact::Restart => {
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
            Fact::Land { component, .. } => {
                let after = self.scenario.script(component).ready_after;
                self.cluster.of_mut(component).object.land(after, self.now);
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
        let status = process.run.view().status(component);
        // In one turn with what gave the call up, its end is late, and nobody was told of that yet.
        let met =
            if together == Together::After && impossible(status, met).is_some() { met.late() } else { met };
        self.coverage.see(status, met);
        if let (Met::Told(_, true), Input::Ended { attempt, end, .. }) = (met, &input) {
            let failed = end.failure().map(|failure| failure.class);
            let seen = self.cluster.of_mut(component);
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
        let counts = run.view().counts();
        for (status, count) in [
            (ComponentStatus::Blocked, counts.blocked),
            (ComponentStatus::Runnable, counts.runnable),
            (ComponentStatus::Applying, counts.applying),
            (ComponentStatus::Waiting, counts.waiting),
            (ComponentStatus::Ready, counts.ready),
            (ComponentStatus::Failed, counts.failed),
            (ComponentStatus::Cancelled, counts.cancelled),
            (ComponentStatus::Skipped, counts.skipped),
        ] {
            if count > 0 {
                self.coverage.see(status, met);
            }
        }
    }

    /// Another process tries while one lives: the lock refuses it.
    pub(super) fn rival(&mut self) -> Check {
        if self.sabotage == Some(Sabotage::TwoOwners) { self.open() } else { Ok(()) }
    }

    /// A process starts: reads what is there, makes sure that it stays, and takes the run over.
    fn open(&mut self) -> Check {
        let had = self.disk.head();
        let unchecked = self.sabotage == Some(Sabotage::ChecksumUnchecked);
        let reading = if unchecked { Reading::Unchecked } else { Reading::Checked };
        let records = match self.disk.open(reading) {
            Ok(records) => records,
            Err(reason) => return self.notice_damage(&reason),
        };
        let same = self.records.get(..records.len()).is_some_and(|written| *written == *records);
        ensure(same, Invariant::CorruptionIsLoud, || {
            format!("read {records:#?}, and written was {:#?}", self.records)
        })?;
        ensure(records.len() as u64 >= had, Invariant::DurableIsKept, || {
            format!("{had} records were durable, {} are there", records.len())
        })?;
        self.records.truncate(records.len());
        if self.happens(Fault::SyncError) {
            self.disk.fail_sync();
            self.start_again();
            return Ok(());
        }
        if self.sabotage != Some(Sabotage::OpenedWithoutSync) {
            self.disk.sync();
        }
        self.take_over(&records)
    }

    fn notice_damage(&mut self, reason: &str) -> Check {
        let damaged = self.tally.of(Fault::Rot) > 0;
        ensure(damaged, Invariant::DurableIsKept, || format!("damage that nobody did: {reason}"))?;
        self.trace.note(self.now, 5, || format!("damaged: {reason}"));
        self.damaged = true;
        Ok(())
    }

    fn take_over(&mut self, records: &[Record]) -> Check {
        let graph = &self.scenario.graph;
        self.model = Model::new(Arc::clone(graph), self.scenario.options.clone());
        let mut replica = Replica::new(Arc::clone(graph), self.sabotage);
        for record in records {
            self.model.fold(record)?;
            let taken = replica.take(record);
            ensure(taken.is_ok(), Invariant::ReplayedIsLive, || format!("{taken:?}: {record:?}"))?;
        }
        let what = (Arc::clone(graph), self.scenario.options.clone(), Self::id());
        let run = Run::rehearse(what, records, self.now, self.sabotage);
        let run = run.map_err(|error| Violation {
            invariant: Invariant::DurableIsKept,
            what: format!("the log of a run is refused: {error}"),
        })?;
        self.epoch += 1;
        self.trace.note(self.now, 6, || format!("process {} with {} records", self.epoch, records.len()));
        let mut process = Process { epoch: self.epoch, run, replica, alarm: None, stops: Vec::new() };
        if !records.is_empty() {
            self.covers_all(&process.run, Met::Resume);
        }
        for mode in std::mem::take(&mut self.stops_waiting) {
            self.stop(&mut process, mode);
        }
        self.turn(process)
    }

    fn start_again(&mut self) {
        let at = self.now.plus(self.millis(Duration::from_secs(20), "latency.restart"));
        self.push(at, Fact::Restart);
    }

    /// The process is no more; what it had sent may still arrive.
    pub(super) fn bury(&mut self, process: Process, how: Death) {
        self.trace.note(self.now, 7, || format!("process {} dies: {how:?}", process.epoch));
        if how == Death::PowerLoss {
            if self.happens(Fault::TornBit) {
                self.disk.flip_volatile(self.choices);
            }
            self.disk.lose_power(self.choices, self.scenario.remains);
        }
        if self.happens(Fault::Rot) {
            self.disk.rot(self.choices);
        }
        let mut lost = Vec::new();
        self.facts.retain(|fact| match fact {
            Fact::Land { epoch, component } if *epoch == process.epoch => {
                lost.push(*component);
                false
            }
            Fact::Tell { epoch, .. } | Fact::News { epoch, .. } => *epoch != process.epoch,
            Fact::Land { .. } | Fact::Restart => true,
        });
        for component in lost {
            if !self.happens(Fault::LostRequest) {
                let at = self.now.plus(self.millis(Duration::from_secs(5), "latency.in-flight"));
                self.push(at, Fact::Land { epoch: process.epoch, component });
            }
        }
        self.cluster.asker_died();
        self.stops_waiting.extend(process.stops);
        self.start_again();
    }

    /// What the world takes in as under way.
    pub(super) fn admit(&mut self, request: super::invariants::Request) -> Check {
        request_is_allowed(&self.model, &self.cluster, &self.disk, request)?;
        let seen = self.cluster.of_mut(request.id);
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
