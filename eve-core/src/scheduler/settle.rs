//! What becomes of deliveries and of answers: held as long as they are needed, given back, forgotten.

use std::sync::Arc;
use std::time::Duration;

use super::Scheduler;
use super::flight::Timer;
use super::options::AcknowledgeAfter;
use super::protocol::{Answer, Command, LedgerEvent, Ticket};
use crate::failure::{Failure, FailureClass};
use crate::time::Timestamp;

/// How often a source is asked to take an acknowledgement; then the delivery comes again, and is answered again.
const SETTLE_ATTEMPTS: u32 = 5;
/// The pause after the first refusal of an acknowledgement; it doubles.
const SETTLE_PAUSE: Duration = Duration::from_secs(1);
/// Records that a ledger may have for each request that is known.
const RECORDS_PER_REQUEST: usize = 4;

impl Scheduler {
    /// Gives a delivery back to its source if its request is dealt with.
    pub(super) fn give_back(&mut self, ticket: Ticket) {
        let Some(entry) = self.state.entry(ticket) else { return };
        let early = sabotaged!(self.state, EarlyDelete);
        let reject = match entry.closed() {
            Some(closed) if closed.answer == Answer::Refused => {
                Some(closed.reason.as_ref().map_or_else(String::new, ToString::to_string))
            }
            Some(_) => None,
            None if early => None,
            None => return,
        };
        if self.options.acknowledge == AcknowledgeAfter::Told && entry.is_to_be_told() {
            return;
        }
        let Some(hold) = self.flight.holds.get_mut(&ticket).filter(|hold| !hold.settling) else { return };
        hold.settling = true;
        hold.settled += 1;
        let (source, handle) = (hold.source, Arc::clone(&hold.handle));
        self.flight.extend_at(ticket, None);
        self.commands.push_back(match reject {
            Some(reason) => Command::Reject { ticket, source, handle, reason },
            None => Command::Acknowledge { ticket, source, handle },
        });
    }

    /// A source took an acknowledgement or a rejection, or did not.
    pub(super) fn settled(&mut self, ticket: Ticket, handle: &Arc<str>, result: Result<(), Failure>) {
        let Some(hold) = self.flight.holds.get_mut(&ticket) else { return };
        if hold.handle != *handle || !hold.settling {
            return;
        }
        hold.settling = false;
        match result {
            Ok(()) => {
                self.flight.let_go(ticket);
                let closed = self.state.entry(ticket).and_then(|entry| entry.closed());
                if closed.is_some_and(|closed| !closed.acknowledged) {
                    self.emit(LedgerEvent::Acknowledged { ticket });
                }
            }
            Err(failure) if failure.class == FailureClass::Transient && hold.settled < SETTLE_ATTEMPTS => {
                let at = self.now.plus(SETTLE_PAUSE.saturating_mul(1 << hold.settled.min(10)) / 2);
                self.flight.at(at, Timer::Settle(ticket));
            }
            // It comes again, under a handle that counts.
            Err(_) => {
                self.flight.let_go(ticket);
            }
        }
    }

    /// Keeps a delivery from being handed out again.
    pub(super) fn extend(&mut self, ticket: Ticket, at: Timestamp) {
        if sabotaged!(self.state, NeverExtended) {
            return;
        }
        let Some(hold) = self.flight.holds.get(&ticket).filter(|hold| hold.extend_at == Some(at)) else {
            return;
        };
        let visibility = self.options.visibility(hold.source);
        let (source, handle) = (hold.source, Arc::clone(&hold.handle));
        self.flight.extend_at(ticket, Some(self.now.plus(visibility / 3)));
        self.commands.push_back(Command::Extend { ticket, source, handle, visibility });
    }

    /// An extension was taken, or was not: then it is tried again before the visibility ends, unless it is in vain.
    pub(super) fn extended(&mut self, ticket: Ticket, handle: &Arc<str>, result: Result<(), Failure>) {
        let Err(failure) = result else { return };
        let Some(hold) = self.flight.holds.get(&ticket) else { return };
        if hold.handle != *handle || hold.extend_at.is_none() {
            return;
        }
        let soon = self.now.plus(self.options.visibility(hold.source) / 9);
        // What is in hand stays in hand; a delivery that is not held any more comes again, and is joined to it.
        let next = (failure.class != FailureClass::Permanent).then_some(soon);
        self.flight.extend_at(ticket, next);
    }

    /// Forgets the oldest answers beyond what is to be remembered. A delivery that is in hand is never forgotten.
    pub(super) fn forget(&mut self) {
        let most = if sabotaged!(self.state, AnswersForgotten) { 0 } else { self.options.remember_max };
        let excess = self.state.settled.len().saturating_sub(most);
        let mut excess_bytes = self.state.told_bytes.saturating_sub(self.options.remember_bytes_max);
        let mut tickets = Vec::new();
        let mut next = None;
        for ticket in self.state.settled.values() {
            let Some(closed) = self.state.entry(*ticket).and_then(|entry| entry.closed()) else { continue };
            if self.flight.holds.contains_key(ticket) {
                continue;
            }
            let until = closed.at.plus(self.options.remember_for);
            if tickets.len() >= excess && excess_bytes == 0 && until > self.now {
                next = Some(until);
                break;
            }
            excess_bytes = excess_bytes.saturating_sub(closed.bytes());
            tickets.push(*ticket);
        }
        if let Some(next) = next
            && self.flight.forget_at.is_none_or(|at| at > next || at <= self.now)
        {
            self.flight.forget_at = Some(next);
            self.flight.at(next, Timer::Forget);
        }
        if !tickets.is_empty() {
            self.emit(LedgerEvent::Forgotten { tickets });
        }
    }

    /// Puts all that is known into one record when the ledger has grown long beside it.
    pub(super) fn compact(&mut self) {
        let most = self.options.records_free + RECORDS_PER_REQUEST * self.state.entries.len();
        if self.state.records > most {
            let mut kept = Box::new(self.state.kept());
            kept.thin_out_numbers(self.options.numbers_max);
            planted!(self.state, NumbersForgotten, { kept.newest.clear() });
            self.emit(LedgerEvent::Compacted { kept });
        }
    }
}
