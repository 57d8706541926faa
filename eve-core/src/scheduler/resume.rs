//! A scheduler from its ledger.

use super::Scheduler;
use super::apply;
use super::flight::Flight;
use super::options::SchedulerOptions;
use super::protocol::{LedgerEvent, LedgerRecord, Ticket};
use super::state::State;
use crate::ids::Seq;
use crate::time::Timestamp;

/// A ledger from which nothing can be resumed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// A record does not follow the one before.
    #[error("record {found} of the ledger stands where record {expected} should")]
    OutOfOrder {
        /// The place that is next.
        expected: u64,
        /// The place that the record names.
        found: u64,
    },
    /// A record contradicts the ones before it.
    #[error("record {seq} of the ledger {reason}")]
    Illegal {
        /// Its place.
        seq: u64,
        /// What is wrong with it, as the end of a sentence.
        reason: &'static str,
    },
}

impl Scheduler {
    /// A scheduler without any request. Its first event can be polled at once.
    pub fn new(options: SchedulerOptions, now: Timestamp) -> Self {
        let mut scheduler = Self::idle(options, now);
        scheduler.take_over();
        scheduler
    }

    /// Takes over a ledger from all its records, or from the last [`LedgerEvent::Compacted`] on.
    ///
    /// What was accepted is run, or its run is taken up, as soon as its delivery comes again; what is not delivered again
    /// within the options' `return_timeout`, or that its source says it cannot deliver again, is given up. What is in the outbox is sent. Whoever had the ledger before can
    /// append nothing more to it: the first record that is polled takes it over.
    ///
    /// # Errors
    /// [`LedgerError`] if the records are not the end of a ledger.
    pub fn resume(
        options: SchedulerOptions,
        records: &[LedgerRecord],
        now: Timestamp,
    ) -> Result<Self, LedgerError> {
        let mut scheduler = Self::idle(options, now);
        for record in records {
            scheduler.replay(record)?;
        }
        scheduler.now = scheduler.now.max(scheduler.state.last_at);
        scheduler.take_over();
        Ok(scheduler)
    }

    pub(super) fn idle(options: SchedulerOptions, now: Timestamp) -> Self {
        Self {
            options,
            state: State::default(),
            flight: Flight::default(),
            next_seq: Seq::FIRST,
            now,
            events: std::collections::VecDeque::new(),
            commands: std::collections::VecDeque::new(),
        }
    }

    pub(super) fn replay(&mut self, record: &LedgerRecord) -> Result<(), LedgerError> {
        let (expected, found) = (self.next_seq.get(), record.seq.get());
        let begins = self.state.records == 0 && matches!(record.event, LedgerEvent::Compacted { .. });
        if expected != found && !begins {
            return Err(LedgerError::OutOfOrder { expected, found });
        }
        apply::apply(&mut self.state, record)
            .map_err(|reason| LedgerError::Illegal { seq: found, reason })?;
        self.next_seq = record.seq.next();
        Ok(())
    }

    /// Derives from the state what this process has to do, and completes what the last one left between two records.
    pub(super) fn take_over(&mut self) {
        self.emit(LedgerEvent::TakenOver);
        let tickets: Vec<Ticket> = self.state.entries.keys().copied().collect();
        self.flight.since = self.now;
        let until = self.now.plus(self.options.return_timeout);
        for ticket in tickets {
            let Some(entry) = self.state.entry(ticket) else { continue };
            if entry.closed().is_none() {
                self.flight.awaits(ticket, until);
                self.close_stopped(ticket);
                self.hurry_if_stopped(ticket);
            } else if entry.is_to_be_told() && !sabotaged!(self.state, OutboxForgotten) {
                self.tell(ticket);
            }
        }
        self.go_on();
    }
}
