//! The world of a schedule: virtual time, a queue, receivers, a store, and processes that die, stand still and come back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Sabotage;
use super::checks::{Check, Model, Violation, ensure};
use super::invariants::Invariant;
use super::process::{Fact, Process};
use super::queue::Queue;
use super::scenario::{Fault, Scenario};
use crate::ids::Seq;
use crate::journal::ledger;
use crate::scheduler::rehearsal::LedgerReplica;
use crate::scheduler::{LedgerEvent, LedgerRecord, RequestKey, Scheduler};
use crate::testing::sim::Choices;
use crate::time::Timestamp;

const BEGUN: Timestamp = Timestamp::from_micros(1_763_596_800_000_000);
/// How long faults happen.
const CHAOS: Duration = Duration::from_mins(20);
/// How long after that everything must be answered, told and given back: the longest wait is for a plan that is lost.
const CALM: Duration = Duration::from_hours(3);
/// More than any schedule takes.
const STEPS_MAX: u64 = 60_000;

pub(super) struct Sim<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) choices: &'a mut dyn Choices,
    pub(super) sabotage: Option<Sabotage>,
    pub(super) now: Timestamp,
    pub(super) model: Model,
    pub(super) queue: Queue,
    /// What is durable, as it is written.
    stored: Vec<(Seq, Vec<u8>)>,
    facts: BTreeMap<(Timestamp, u64), Fact>,
    order: u64,
    pub(super) processes: Vec<Process>,
    pub(super) epoch: u32,
    pub(super) steps: u64,
    pub(super) hash: u64,
    pub(super) faults: u64,
}

impl<'a> Sim<'a> {
    pub(super) fn new(
        scenario: &'a Scenario,
        choices: &'a mut dyn Choices,
        sabotage: Option<Sabotage>,
    ) -> Self {
        let mut sim = Self {
            scenario,
            choices,
            sabotage,
            now: BEGUN,
            model: Model::default(),
            queue: Queue::default(),
            stored: Vec::new(),
            facts: BTreeMap::new(),
            order: 0,
            processes: Vec::new(),
            epoch: 0,
            steps: 0,
            hash: 0,
            faults: 0,
        };
        sim.push(Duration::ZERO, Fact::Start);
        for (number, sent) in scenario.sent.iter().enumerate() {
            sim.push(sent.after, Fact::Send(number));
        }
        sim
    }

    pub(super) fn push(&mut self, after: Duration, fact: Fact) {
        self.order += 1;
        self.facts.insert((self.now.plus(after), self.order), fact);
    }

    pub(super) fn is_calm(&self) -> bool {
        self.now >= BEGUN.plus(CHAOS)
    }

    /// Whether this goes wrong now.
    pub(super) fn happens(&mut self, fault: Fault) -> bool {
        if self.is_calm() {
            return false;
        }
        let (Some(chance), Some((_, label))) =
            (self.scenario.chances.get(fault as usize).copied(), Fault::ALL.get(fault as usize))
        else {
            return false;
        };
        let happens = chance.happens(self.choices, label);
        self.faults += u64::from(happens);
        happens
    }

    pub(super) fn note(&mut self, what: u64) {
        for word in [self.now.as_micros(), what] {
            // FNV-1a over words (Fowler, Noll, Vo), which is enough to tell schedules apart.
            self.hash = (self.hash ^ word).wrapping_mul(0x0100_0000_01B3).rotate_left(23);
        }
    }

    pub(super) fn live(&mut self) -> Check {
        let end = BEGUN.plus(CHAOS).plus(CALM);
        while let Some(((at, _), fact)) = self.facts.pop_first() {
            if at > end || self.steps > STEPS_MAX {
                break;
            }
            self.now = self.now.max(at);
            self.steps += 1;
            self.happen(fact)?;
            if self.is_calm() && self.steps.is_multiple_of(64) && self.judge().is_ok() {
                break;
            }
        }
        self.judge()
    }

    /// Whether everything is answered, told and given back.
    fn judge(&self) -> Check {
        let sent: BTreeSet<RequestKey> = self.scenario.sent.iter().map(|sent| sent.key.clone()).collect();
        self.model.at_the_end(&sent, &self.scenario.options.receivers)?;
        self.queue.left()
    }

    fn happen(&mut self, fact: Fact) -> Check {
        if matches!(fact, Fact::Start) {
            return self.start();
        }
        if let Fact::Send(number) = fact {
            if let Some(sent) = self.scenario.sent.get(number) {
                self.queue.send(sent.clone());
            }
            return Ok(());
        }
        let epoch = fact.epoch();
        let Some(index) = self.processes.iter().position(|process| Some(process.epoch) == epoch) else {
            return Ok(());
        };
        let mut process = self.processes.remove(index);
        // One that was taken over and has nothing to store would look into the queue for ever.
        if process.epoch < self.epoch && self.is_calm() {
            return Ok(());
        }
        if process.paused && !matches!(fact, Fact::Wake { .. }) {
            process.inbox.push(fact);
            self.processes.push(process);
            return Ok(());
        }
        self.turn(process, fact)
    }

    /// A process begins, and takes over what is stored.
    fn start(&mut self) -> Check {
        self.epoch += 1;
        let records: Result<Vec<LedgerRecord>, _> =
            self.stored.iter().map(|(_, bytes)| ledger::decode(bytes)).collect();
        let wrong = |what: String| Violation { invariant: Invariant::ReplayedIsLive, what };
        let records = records.map_err(|error| wrong(error.to_string()))?;
        let mut options = self.scenario.options.clone();
        options.seed = u64::from(self.epoch);
        let mut replica = LedgerReplica::new(self.sabotage);
        for record in &records {
            replica.take(record).map_err(|error| wrong(format!("{record:?} {error}")))?;
        }
        let scheduler = Scheduler::rehearse(options, &records, self.now, self.sabotage);
        let scheduler = scheduler.map_err(|error| wrong(error.to_string()))?;
        self.model.taken_over();
        self.note(1);
        let process = Process::new(self.epoch, scheduler, replica);
        let epoch = self.epoch;
        self.push(Duration::ZERO, Fact::Poll { epoch });
        self.turn(process, Fact::Begin { epoch })
    }

    /// Stores records as one, if they follow what is stored.
    pub(super) fn append(&mut self, records: &[LedgerRecord]) -> Result<bool, Violation> {
        let next = self.stored.last().map_or(Seq::FIRST, |(seq, _)| seq.next());
        let follows = records.first().is_none_or(|first| first.seq == next);
        if !follows && self.sabotage != Some(Sabotage::FenceIgnored) {
            return Ok(false);
        }
        for record in records {
            self.model.take(record)?;
            if matches!(record.event, LedgerEvent::Compacted { .. }) {
                self.stored.clear();
            }
            self.stored.push((record.seq, ledger::encode(record)));
        }
        let most = self.scenario.options.records_free + 4 * (self.scenario.sent.len() + 1) + 50;
        let length = self.stored.len();
        ensure(length <= most, Invariant::Bounded, || {
            format!("the ledger has {length} records, not {most}")
        })?;
        Ok(true)
    }

    pub(super) fn millis(&mut self, most: Duration, label: &'static str) -> Duration {
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.choices.below(most.max(1), label))
    }

    pub(super) fn is_dead(&self, receiver: &Arc<str>) -> bool {
        !self.is_calm() && self.scenario.dead.as_ref() == Some(receiver)
    }
}
