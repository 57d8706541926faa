//! Processes begin, take over and die; a run that is over is undone by another.

use std::sync::Arc;
use std::time::Duration;

use super::cluster::Fact;
use super::coverage::Met;
use super::disk::{Disk, Reading};
use super::faults::Fault;
use super::invariants::{Check, Invariant, Model, Violation, ensure};
use super::process::{Death, Process};
use super::sabotage::Sabotage;
use super::world::Sim;
use crate::ids::{Attempt, RunId};
use crate::run::{Record, Replica, RollbackError, Run};

impl Sim<'_> {
    /// A process starts: reads what is there, makes sure that it stays, and takes the run over.
    pub(super) fn open(&mut self) -> Check {
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
        let what = (Arc::clone(graph), self.scenario.options.clone(), self.run.clone());
        let refused = |error: String| Violation {
            invariant: Invariant::DurableIsKept,
            what: format!("the log of a run is refused: {error}"),
        };
        let run = match &self.undoes {
            Some((undone, log)) if records.is_empty() => {
                let run = Run::rehearse_rollback(what, (undone, log), self.now, self.sabotage);
                run.map_err(|error| refused(error.to_string()))?
            }
            _ => {
                let run = Run::rehearse(what, records, self.now, self.sabotage);
                run.map_err(|error| refused(error.to_string()))?
            }
        };
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
            Fact::Land { epoch, component, write, .. } if *epoch == process.epoch => {
                lost.push((*component, *write));
                false
            }
            Fact::Tell { epoch, .. } | Fact::Seen { epoch, .. } | Fact::News { epoch, .. } => {
                *epoch != process.epoch
            }
            Fact::Land { .. } | Fact::Restart => true,
        });
        for (component, write) in lost {
            if !self.happens(Fault::LostRequest) {
                let at = self.now.plus(self.millis(Duration::from_secs(5), "latency.in-flight"));
                self.push(at, Fact::Land { epoch: process.epoch, component, write, then: None });
            }
        }
        self.cluster.asker_died();
        self.stops_waiting.extend(process.stops);
        self.start_again();
    }

    /// Somebody may want to undo a run that is over by another one.
    pub(super) fn wants_to_undo(&mut self, number: u32) -> Result<bool, Violation> {
        let graph = &self.scenario.graph;
        let may = self.scenario.faults.shuffled && graph.may_be_rolled_back() && self.told.is_some();
        if !may || self.choices.below(3, "schedule.rollback-run") != 2 {
            return Ok(false);
        }
        let id = RunId::new(format!("undo-{number}"));
        let what = (Arc::clone(graph), self.scenario.options.clone(), id.clone());
        let new = Run::rehearse_rollback(what, (&self.run, &self.records), self.now, None);
        // One that undoes another and lost its beginning has done nothing: that other one is undone.
        let did_nothing = self.model.rollback.undoes && self.model.rollback.began_at.is_none();
        let left = self.model.left_to_undo();
        match new {
            Err(RollbackError::NothingToUndo { .. }) if did_nothing => {}
            Ok(_) if !did_nothing => {
                let undone = std::mem::replace(&mut self.run, id.clone());
                self.undoes = Some((undone, std::mem::take(&mut self.records)));
            }
            Ok(_) => {
                let what = "a run that has done nothing is to be undone".to_owned();
                return Err(Violation { invariant: Invariant::UndoOnlyOwn, what });
            }
            Err(RollbackError::NothingKept { .. } | RollbackError::NothingToUndo { .. }) => {
                let fits = left.iter().all(|id| !self.model.part(*id).has_token);
                ensure(fits, Invariant::NothingForgotten, || format!("{left:?} cannot be undone any more"))?;
                return Ok(false);
            }
            Err(error) => {
                let what = format!("a run that is over cannot be undone: {error:?}");
                return Err(Violation { invariant: Invariant::DurableIsKept, what });
            }
        }
        self.trace.note(self.now, 8, || format!("{id} undoes it: {left:?}"));
        self.begin_anew(id);
        Ok(true)
    }

    /// A run with its own log begins in the same world.
    fn begin_anew(&mut self, run: RunId) {
        self.disk = Disk::new(run.clone());
        (self.run, self.records) = (run, Vec::new());
        self.cluster.asker_died();
        self.cluster.seen.iter_mut().for_each(|seen| seen.object.asked_undo = (Attempt::FIRST, 0, 0));
        (self.told, self.over, self.calm_since) = (None, false, None);
        (self.stops_given, self.stops_kept, self.stops_waiting) = (Vec::new(), Vec::new(), Vec::new());
    }
}
