//! A process that works on the run: its loop, with a death before and after every step.
//!
//! It does what [`drive`](crate::driver::drive) does, in the same order: decide and read, store, write, tell the outcome, take
//! facts.

use super::Sim;
use super::choices::pick;
use super::coverage::Met;
use super::faults::Fault;
use super::invariants::{Check, Invariant, Violation, ensure};
use super::invariants::{cancel_kept, deadline_kept, record_is_caused, retry_in_budget, work_conserving};
use super::sabotage::Sabotage;
use crate::ids::ComponentId;
use crate::run::{Command, Event, Input, Record, Replica, Run, StopMode};
use crate::time::Timestamp;
use std::time::Duration;

/// When so many records are to be stored, they are, before more is taken in; few, so that it happens.
const RECORDS_MAX: usize = 24;

/// How late a deadline is noticed at most.
pub(super) const LATE: Duration = Duration::from_secs(3);

/// A process with its run.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) epoch: u32,
    pub(super) run: Run,
    pub(super) replica: Replica,
    /// When it looks at its deadlines next.
    pub(super) alarm: Option<Timestamp>,
    /// Requests to stop that it has taken in, and not made durable.
    pub(super) stops: Vec<StopMode>,
}

/// How a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    Kill,
    PowerLoss,
    /// It ends by itself, because its store fails.
    Store,
}

/// What a turn comes to.
type Turn = Result<(), Stopped>;

/// Why a turn does not go on.
pub(super) enum Stopped {
    Dead(Death),
    Wrong(Violation),
}

impl From<Violation> for Stopped {
    fn from(violation: Violation) -> Self {
        Self::Wrong(violation)
    }
}

impl Sim<'_> {
    /// Lets the process go through one turn, and keeps it if it lives.
    pub(super) fn turn(&mut self, mut process: Process) -> Check {
        self.at_work += 1;
        let worked = self.work(&mut process);
        self.at_work -= 1;
        match worked {
            Ok(()) if process.run.outcome().is_some() => {
                self.over = true;
                Ok(())
            }
            Ok(()) => {
                let deadline = process.run.poll_deadline();
                let late = self.happens(Fault::LateAlarm);
                let by = if late { self.millis(LATE, "latency.alarm") } else { Duration::ZERO };
                process.alarm = deadline.map(|at| at.plus(by));
                self.processes.push(process);
                Ok(())
            }
            Err(Stopped::Dead(how)) => {
                self.bury(process, how);
                Ok(())
            }
            Err(Stopped::Wrong(violation)) => Err(violation),
        }
    }

    fn work(&mut self, process: &mut Process) -> Turn {
        self.accidents(process)?;
        let records = self.decide(process)?;
        if self.sabotage == Some(Sabotage::OutcomeBeforeFinished) {
            self.announce(process)?;
        }
        if self.sabotage == Some(Sabotage::EffectBeforeRecord) {
            self.write(process)?;
        }
        self.store(process, &records)?;
        self.write(process)?;
        self.after_turn(process)?;
        if process.run.outcome().is_some() {
            self.strike()?;
            self.announce(process)?;
            self.strike()?;
        }
        Ok(())
    }

    /// The process may die here.
    pub(super) fn strike(&mut self) -> Turn {
        if self.happens(Fault::Kill) {
            return Err(Stopped::Dead(Death::Kill));
        }
        if self.happens(Fault::PowerLoss) {
            return Err(Stopped::Dead(Death::PowerLoss));
        }
        Ok(())
    }

    /// What may come in between before a turn.
    fn accidents(&mut self, process: &mut Process) -> Turn {
        if self.happens(Fault::Stop) {
            let mode = pick(self.choices, self.scenario.stops, "fault.stop-mode").unwrap_or(StopMode::Drain);
            self.stops_given.push(mode);
            self.stop(process, mode);
        }
        if self.happens(Fault::Meddle) {
            self.meddle();
        }
        if self.happens(Fault::Falter) {
            self.falter();
        }
        if self.happens(Fault::EarlyAlarm) {
            self.time_passes(process);
        }
        if self.happens(Fault::Rival) {
            self.rival()?;
        }
        Ok(())
    }

    pub(super) fn stop(&mut self, process: &mut Process, mode: StopMode) {
        self.trace.note(self.now, 1, || format!("stop {mode:?}"));
        self.covers_all(&process.run, Met::Stop(mode));
        process.run.handle(Input::Stop { mode }, self.now);
        process.stops.push(mode);
    }

    pub(super) fn time_passes(&mut self, process: &mut Process) {
        self.covers_all(&process.run, Met::Timeout);
        process.run.handle_timeout(self.now);
    }

    /// What the run decides now, to be stored as one. Reads need no record: they are begun at once, and the ends of those
    /// that had nothing to wait for are taken in, until something is to be written.
    fn decide(&mut self, process: &mut Process) -> Result<Vec<Record>, Stopped> {
        let mut records = Vec::new();
        loop {
            while let Some(record) = process.run.poll_event() {
                self.judge(process, &record)?;
                records.push(record);
            }
            while let Some(command) = process.run.poll_at_once() {
                self.carry_out(process, command)?;
            }
            let is_enough = process.run.wants_to_write() || records.len() >= RECORDS_MAX;
            if is_enough || !self.tell_ended_reads(process) {
                return Ok(records);
            }
        }
    }

    /// What must hold of a record when it is decided.
    fn judge(&mut self, process: &mut Process, record: &Record) -> Check {
        self.trace.note(record.at, record.seq.get(), || format!("{record:?}"));
        record_is_caused(&self.model, &self.cluster, record)?;
        retry_in_budget(&self.model, record)?;
        self.model.fold(record)?;
        let taken = process.replica.take(record);
        ensure(taken.is_ok(), Invariant::ReplayedIsLive, || format!("{taken:?}: {record:?}"))?;
        if let Event::Finished { outcome } = record.event {
            super::oracle::judge_by_truth(&self.model, &self.cluster, outcome, self.now)?;
        }
        self.records.push(record.clone());
        Ok(())
    }

    /// Stores what was decided: written, then synced, never one without the other.
    fn store(&mut self, process: &mut Process, records: &[Record]) -> Turn {
        if records.is_empty() {
            return Ok(());
        }
        self.one_owner(process)?;
        self.strike()?;
        if self.happens(Fault::AppendError) {
            return Err(Stopped::Dead(Death::Store));
        }
        self.disk.append(records);
        self.strike()?;
        if self.sabotage == Some(Sabotage::EffectBeforeSync) {
            self.write(process)?;
        }
        if self.happens(Fault::SyncError) {
            self.disk.fail_sync();
            if self.sabotage != Some(Sabotage::FailedSyncRetried) {
                return Err(Stopped::Dead(Death::Store));
            }
        }
        self.disk.sync();
        self.stops_kept.append(&mut process.stops);
        self.strike()
    }

    /// Carries out what is wished for and was allowed to wait for its records.
    fn write(&mut self, process: &mut Process) -> Turn {
        while let Some(command) = process.run.poll_command() {
            self.carry_out(process, command)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, process: &Process, command: Command) -> Turn {
        self.strike()?;
        self.one_owner(process)?;
        match command {
            Command::Call { component, attempt, phase, deadline } => {
                self.call(process, (component, attempt, phase), deadline)?;
            }
            Command::Abort { component, attempt } => self.abort(component, attempt)?,
        }
        self.strike()
    }

    /// [`Invariant::OneOwner`].
    fn one_owner(&self, process: &Process) -> Check {
        ensure(self.processes.is_empty() && self.at_work == 1, Invariant::OneOwner, || {
            let others: Vec<u32> = self.processes.iter().map(|other| other.epoch).collect();
            format!(
                "process {} works on the run, so do {others:?}; {} at this moment",
                process.epoch, self.at_work
            )
        })
    }

    /// What must hold between two turns.
    fn after_turn(&mut self, process: &mut Process) -> Check {
        if process.run.outcome().is_none() {
            // What the run had taken in already and had nothing new to record for is as durable as it ever will be.
            self.stops_kept.append(&mut process.stops);
        }
        cancel_kept(&self.model, &self.stops_kept)?;
        let differs = process.replica.differs_from(&process.run);
        ensure(differs.is_none(), Invariant::ReplayedIsLive, || differs.clone().unwrap_or_default())?;
        self.change_of_the_run(&process.run)?;
        let settled = process.run.poll_deadline().is_none_or(|at| at > self.now);
        if settled && process.run.outcome().is_none() {
            work_conserving(&self.model, &self.cluster, self.now)?;
            deadline_kept(&self.model, &self.cluster, self.now, LATE)?;
        }
        Ok(())
    }

    /// [`Invariant::ChangeOfTheRun`].
    fn change_of_the_run(&self, run: &Run) -> Check {
        let wrong = |id: &ComponentId| {
            let changed = self.model.part(*id).changed;
            changed.is_some() && run.view().change(*id) != changed
        };
        let found = run.graph().ids().find(wrong);
        ensure(found.is_none(), Invariant::ChangeOfTheRun, || {
            let (part, told) = (found.map(|id| self.model.part(id)), found.map(|id| run.view().change(id)));
            format!("{found:?} is told as {told:?}: {part:?}")
        })
    }

    /// Tells the outcome, once there is one.
    fn announce(&mut self, process: &mut Process) -> Check {
        let Some(outcome) = process.run.outcome() else { return Ok(()) };
        let durable = self.model.outcome == Some(outcome) && self.disk.is_durable(self.records.len() as u64);
        ensure(durable, Invariant::OutcomeAfterFinished, || {
            format!("{outcome:?} is told, and its record is not durable")
        })?;
        let busy = self.cluster.seen.iter().find_map(|seen| seen.call);
        ensure(busy.is_none(), Invariant::Limits, || {
            format!("{outcome:?} is told while {busy:?} is under way")
        })?;
        self.trace.note(self.now, 2, || format!("told: {outcome:?}"));
        let before = self.told.replace(outcome);
        ensure(before.is_none_or(|before| before == outcome), Invariant::OneOutcome, || {
            format!("{before:?} was told before, now {outcome:?}")
        })?;
        super::oracle::judge(&self.model, outcome, &self.stops_given)?;
        process.run.handle(Input::Stop { mode: StopMode::Now }, self.now);
        process.run.handle_timeout(Timestamp::MAX);
        let idle = process.run.poll_event().is_none() && process.run.poll_deadline().is_none();
        ensure(idle, Invariant::OneOutcome, || "a run that is over does something".into())
    }
}
