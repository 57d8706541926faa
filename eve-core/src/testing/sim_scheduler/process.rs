//! A process of the simulated world: the loop around a scheduler, with a death before and after every step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Sabotage;
use super::checks::{Check, Violation, ensure};
use super::invariants::Invariant;
use super::scenario::{Fault, Sent};
use super::world::Sim;
use crate::failure::Failure;
use crate::ids::RunId;
use crate::run::{Outcome, StopMode};
use crate::scheduler::rehearsal::LedgerReplica;
use crate::scheduler::{
    Arrival, Command, Input, LedgerRecord, Outgoing, Report, RequestKey, Scheduler, Ticket,
};
use crate::time::Timestamp;

/// Something happens, mostly to the process of a number.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    Start,
    Send(usize),
    Begin { epoch: u32 },
    Poll { epoch: u32 },
    Alarm { epoch: u32, at: Timestamp },
    Wake { epoch: u32 },
    Answer { epoch: u32, input: Box<Input> },
    RunEnds { epoch: u32, run: RunId, outcome: Outcome },
}

impl Fact {
    pub(super) const fn epoch(&self) -> Option<u32> {
        match self {
            Self::Start | Self::Send(_) => None,
            Self::Begin { epoch }
            | Self::Poll { epoch }
            | Self::Alarm { epoch, .. }
            | Self::Wake { epoch }
            | Self::Answer { epoch, .. }
            | Self::RunEnds { epoch, .. } => Some(*epoch),
        }
    }
}

#[derive(Debug)]
pub(super) struct Process {
    pub(super) epoch: u32,
    scheduler: Scheduler,
    replica: LedgerReplica,
    /// Runs that are under way here, and how they were told to stop.
    runs: BTreeMap<RunId, Option<StopMode>>,
    pub(super) paused: bool,
    /// It has stood still once: its deliveries may have come again.
    slept: bool,
    /// When it looks at its deadlines next.
    alarm: Option<Timestamp>,
    /// What came while it stood still.
    pub(super) inbox: Vec<Fact>,
    /// What it was about to do when it was stopped.
    left: Vec<Command>,
}

impl Process {
    pub(super) const fn new(epoch: u32, scheduler: Scheduler, replica: LedgerReplica) -> Self {
        Self {
            epoch,
            scheduler,
            replica,
            runs: BTreeMap::new(),
            paused: false,
            slept: false,
            alarm: None,
            inbox: Vec::new(),
            left: Vec::new(),
        }
    }

    fn key(&self, ticket: Ticket) -> Option<RequestKey> {
        self.scheduler.view().by_ticket(ticket).map(|view| view.key().clone())
    }
}

/// Why a turn does not go on.
enum Stopped {
    Dead,
    Paused,
    Wrong(Violation),
}

impl From<Violation> for Stopped {
    fn from(violation: Violation) -> Self {
        Self::Wrong(violation)
    }
}

impl Sim<'_> {
    /// Lets a process go through one turn, and keeps it if it lives.
    pub(super) fn turn(&mut self, mut process: Process, fact: Fact) -> Check {
        match self.work(&mut process, fact) {
            Ok(()) => {
                self.set_alarm(&mut process);
                self.processes.push(process);
            }
            Err(Stopped::Paused) => {
                process.paused = true;
                process.slept = true;
                let epoch = process.epoch;
                let sleeps = Duration::from_secs(5) + self.millis(Duration::from_mins(5), "latency.pause");
                self.push(sleeps, Fact::Wake { epoch });
                if epoch == self.epoch {
                    self.succeed();
                }
                self.processes.push(process);
            }
            Err(Stopped::Dead) if process.epoch == self.epoch => self.succeed(),
            Err(Stopped::Dead) => {}
            Err(Stopped::Wrong(violation)) => return Err(violation),
        }
        Ok(())
    }

    /// The process looks at its deadlines in time, or late.
    fn set_alarm(&mut self, process: &mut Process) {
        let Some(at) = process.scheduler.poll_deadline() else { return };
        if process.alarm.is_some_and(|alarm| alarm <= at) {
            return;
        }
        let late = self.happens(Fault::LateAlarm);
        let by = if late { self.millis(Duration::from_secs(3), "latency.alarm") } else { Duration::ZERO };
        process.alarm = Some(at);
        let epoch = process.epoch;
        self.push(at.since(self.now) + by, Fact::Alarm { epoch, at });
    }

    /// Another process will take over.
    fn succeed(&mut self) {
        let after = self.millis(Duration::from_secs(30), "latency.start");
        self.push(after, Fact::Start);
    }

    fn work(&mut self, process: &mut Process, fact: Fact) -> Result<(), Stopped> {
        if matches!(fact, Fact::Wake { .. }) {
            process.paused = false;
            for command in std::mem::take(&mut process.left) {
                self.act(process, command)?;
            }
            for fact in std::mem::take(&mut process.inbox) {
                self.take_in(process, fact)?;
            }
        }
        self.take_in(process, fact)?;
        let records: Vec<LedgerRecord> = std::iter::from_fn(|| process.scheduler.poll_event()).collect();
        let mut commands: Vec<Command> = std::iter::from_fn(|| process.scheduler.poll_command()).collect();
        let early = |command: &Command| match self.sabotage {
            Some(Sabotage::ActedBeforeStored) => true,
            Some(Sabotage::OutcomeBeforeStored) => matches!(command, Command::Notify { .. }),
            _ => false,
        };
        let before: Vec<Command> = commands.extract_if(.., |command| early(command)).collect();
        for command in before {
            self.act(process, command)?;
        }
        self.store(process, &records)?;
        if self.happens(Fault::Pause) {
            process.left = commands;
            return Err(Stopped::Paused);
        }
        for command in commands {
            self.strike()?;
            self.act(process, command)?;
        }
        if process.epoch == self.epoch {
            self.model.after_turn(self.scenario.options.parallel)?;
        }
        Ok(())
    }

    fn strike(&mut self) -> Result<(), Stopped> {
        if self.happens(Fault::Kill) { Err(Stopped::Dead) } else { Ok(()) }
    }

    fn store(&mut self, process: &mut Process, records: &[LedgerRecord]) -> Result<(), Stopped> {
        if records.is_empty() {
            return Ok(());
        }
        self.strike()?;
        if self.happens(Fault::AppendError) || !self.append(records)? {
            return Err(Stopped::Dead);
        }
        for record in records {
            let taken = process.replica.take(record);
            ensure(taken.is_ok(), Invariant::ReplayedIsLive, || format!("{record:?} {taken:?}"))?;
        }
        let differs = process.replica.differs_from(&process.scheduler);
        ensure(differs.is_none(), Invariant::ReplayedIsLive, || differs.unwrap_or_default())?;
        self.strike()
    }

    fn take_in(&mut self, process: &mut Process, fact: Fact) -> Result<(), Stopped> {
        match fact {
            Fact::Start | Fact::Send(_) | Fact::Begin { .. } | Fact::Wake { .. } => {}
            Fact::Alarm { at, .. } => {
                process.alarm = process.alarm.filter(|alarm| *alarm != at);
                process.scheduler.handle_timeout(self.now);
            }
            Fact::Answer { input, .. } => process.scheduler.handle(*input, self.now),
            Fact::Poll { epoch } => {
                self.push(Duration::from_secs(2), Fact::Poll { epoch });
                if self.happens(Fault::Ghost) {
                    self.queue.ghost();
                }
                self.receive(process)?;
            }
            Fact::RunEnds { run, outcome, .. } => {
                if let Some(stop) = process.runs.remove(&run) {
                    let outcome = match stop {
                        None => outcome,
                        Some(StopMode::Supersede) => Outcome::Superseded,
                        Some(StopMode::Rollback) => Outcome::RolledBack,
                        Some(StopMode::Drain | StopMode::Now) => Outcome::Cancelled,
                    };
                    self.note(2 + outcome as u64);
                    process.scheduler.handle(
                        Input::RunEnded { run, outcome, reason: None, report: Report::default() },
                        self.now,
                    );
                }
            }
        }
        Ok(())
    }

    fn receive(&mut self, process: &mut Process) -> Check {
        let visibility = self.scenario.options.visibility.first().copied().unwrap_or_default();
        let (model, slept) = (&self.model, process.slept);
        let received = self
            .queue
            .receive(process.epoch, (self.now, visibility), |key| !slept && !model.is_answered(key))?;
        let Some((Sent { key, asks, .. }, handle)) = received else { return Ok(()) };
        self.note(20);
        if process.epoch == self.epoch {
            self.model.delivered(&key);
        }
        let body = key.id.as_bytes().into();
        let RequestKey { id, digest } = key;
        let arrival = Arrival { source: 0, handle, request: id, digest, body, asks };
        process.scheduler.handle(Input::Received(arrival), self.now);
        Ok(())
    }

    /// A command of the process reaches the world.
    fn act(&mut self, process: &mut Process, command: Command) -> Check {
        let epoch = process.epoch;
        match command {
            Command::Open { ticket, run, .. } => {
                let Some(key) = process.key(ticket) else { return Ok(()) };
                self.note(30);
                process.runs.insert(run.clone(), None);
                if let Some(script) = self.scenario.script(&key) {
                    self.push(script.takes, Fact::RunEnds { epoch, run, outcome: script.outcome });
                }
            }
            Command::Stop { run, mode } => {
                if let Some(stop) = process.runs.get_mut(&run) {
                    *stop = (*stop).max(Some(mode));
                    self.push(
                        Duration::from_secs(1),
                        Fact::RunEnds { epoch, run, outcome: Outcome::Cancelled },
                    );
                }
            }
            Command::Notify { ticket, receiver, .. } => self.notify(process, ticket, receiver)?,
            Command::Extend { ticket, handle, visibility, .. } => {
                let until = self.now.plus(visibility);
                let (reached, answered) = self.reached(Some(&handle));
                let result = if reached { self.queue.extend(&handle, until) } else { Err(lost()) };
                let result = if answered { result } else { Err(lost()) };
                self.answer(epoch, Input::Extended { ticket, handle, result });
            }
            Command::Acknowledge { ticket, handle, .. } | Command::Reject { ticket, handle, .. } => {
                if let Some(key) = process.key(ticket) {
                    self.settle(&key, &handle)?;
                }
                let (reached, answered) = self.reached(Some(&handle));
                if reached {
                    self.queue.delete(&handle);
                }
                let result = if reached && answered { Ok(()) } else { Err(lost()) };
                self.answer(epoch, Input::Settled { ticket, handle, result });
            }
        }
        Ok(())
    }

    /// What is given back must be answered: the delivery that the queue knows by this handle, whatever the process thinks.
    fn settle(&mut self, known: &RequestKey, handle: &str) -> Check {
        let key = self.queue.key(handle).unwrap_or_else(|| known.clone());
        self.note(40);
        self.model.settled(&key)
    }

    /// Whether a call arrives, and whether its answer does.
    fn reached(&mut self, handle: Option<&str>) -> (bool, bool) {
        let reached = !self.happens(Fault::Refused);
        let answered = reached && !self.happens(Fault::LostReply);
        if let Some(handle) = handle.filter(|_| !answered) {
            self.queue.excuse(handle);
        }
        (reached, answered)
    }

    fn notify(&mut self, process: &Process, ticket: Ticket, receiver: Arc<str>) -> Check {
        let notice: Option<Outgoing> = process.scheduler.notice(ticket, &receiver);
        let (Some(notice), Some(key)) = (notice, process.key(ticket)) else { return Ok(()) };
        self.note(50);
        let (reached, answered) = self.reached(None);
        let reached = reached && !self.is_dead(&receiver);
        if reached {
            self.model.told(&key, &receiver, &notice)?;
            self.model.arrived(&key, &receiver);
        }
        let result = if reached && answered { Ok(()) } else { Err(lost()) };
        self.answer(process.epoch, Input::Notified { ticket, receiver, result });
        Ok(())
    }

    /// The end of a call will be told, perhaps twice.
    fn answer(&mut self, epoch: u32, input: Input) {
        let after = self.millis(Duration::from_secs(4), "latency.answer");
        if self.happens(Fault::Doubled) {
            let again = after + self.millis(Duration::from_secs(30), "latency.again");
            self.push(again, Fact::Answer { epoch, input: Box::new(input.clone()) });
        }
        self.push(after, Fact::Answer { epoch, input: Box::new(input) });
    }
}

fn lost() -> Failure {
    Failure::transient("sim.lost", "no answer")
}
