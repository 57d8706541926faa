//! What a delivery does: it is accepted, refused, joined to what is known, or stops something.

use std::sync::Arc;

use super::Scheduler;
use super::flight::Hold;
use super::options::{Newer, Running};
use super::protocol::{Answer, Arrival, Asks, LedgerEvent, REQUEST_BYTES_MAX, Reason, RequestKey, Ticket};
use super::report::Report;
use super::state::{Newest, PlanKey, Status};
use crate::digest::Digest;
use crate::failure::Failure;
use crate::ports::Ending;
use crate::run::{Outcome, StopMode};

impl Scheduler {
    /// A source delivered something, perhaps again.
    pub(super) fn received(&mut self, arrival: Arrival) {
        let Arrival { source, handle, request, digest, body, asks } = arrival;
        let (id, asks) = bounded(request, asks);
        let key = RequestKey { id, digest };
        let known = if sabotaged!(self.state, DigestIgnored) {
            self.state.of_id(&key.id)
        } else {
            self.state.known(&key)
        };
        let again = known.is_some_and(|ticket| !self.flight.holds.contains_key(&ticket));
        let (ticket, unusable) = match (known, asks) {
            (Some(ticket), Asks::Nothing { failure }) if body.is_empty() => (ticket, Some(failure)),
            // What was accepted once stays so, whatever plans may hold by now: who makes its run says what becomes of it.
            (Some(ticket), Asks::Run { .. } | Asks::Stop { .. } | Asks::Nothing { .. }) => (ticket, None),
            (None, asks) => (self.take_in(key, asks), None),
        };
        self.hold(ticket, source, handle);
        let is_open = self.state.entry(ticket).is_some_and(|entry| entry.closed().is_none());
        if is_open {
            match unusable {
                // What this process has in hand is good, whatever became of it at its source.
                _ if self.flight.opened.contains(&ticket) => {}
                Some(_) if self.flight.bodies.has(ticket) => {}
                Some(failure) => self.without_plan(ticket, &failure),
                None => {
                    self.flight.came(ticket);
                    self.flight.bodies.insert(ticket, body);
                    self.plan_came(ticket);
                }
            }
            planted!(self.state, EarlyDelete, { self.give_back(ticket) });
        } else {
            if again {
                self.answer_again(ticket);
            }
            self.give_back(ticket);
        }
    }

    fn take_in(&mut self, key: RequestKey, asks: Asks) -> Ticket {
        if let Some(other) = self.state.of_id(&key.id) {
            let message = format!(
                "request {} was delivered before with other content (request {}): an identifier stands for one plan",
                key.id,
                other.get()
            );
            let failure = Failure::permanent("request.id-reused", message);
            let asked = match asks {
                Asks::Run { namespace, plan, .. } => Some((namespace, plan)),
                Asks::Stop { .. } | Asks::Nothing { .. } => None,
            };
            return self.refuse(key, asked, &failure);
        }
        match asks {
            Asks::Nothing { failure } => self.refuse(key, None, &failure),
            Asks::Stop { request, mode } => {
                let ticket = Ticket::new(self.next_seq.get());
                self.stop_asked(Some(key), &request, mode);
                ticket
            }
            Asks::Run { namespace, plan, sequence } => self.accept(key, (namespace, plan), sequence),
        }
    }

    fn accept(&mut self, key: RequestKey, asked: PlanKey, sequence: Option<u64>) -> Ticket {
        let newest = self.state.newest.get(&asked).cloned();
        let taken = |newest: &&Newest| sequence == Some(newest.sequence) && newest.request != key.id;
        if let Some(Newest { sequence, request, .. }) = newest.as_ref().filter(taken) {
            let message = format!(
                "request {request} of the same plan has the sequence {sequence}: each request has its own, and a newer \
                 one a higher one"
            );
            let failure = Failure::permanent("request.sequence-reused", message);
            return self.refuse(key, Some(asked), &failure);
        }
        let (namespace, plan) = asked;
        let ticket = self.emit(LedgerEvent::Accepted { key, namespace, plan, sequence });
        match (newest, sequence) {
            (Some(newest), Some(sequence)) if self.is_superseded(ticket) => {
                self.close_late(ticket, sequence, &newest);
            }
            _ => {
                self.supersede_older(ticket);
                self.close_stopped(ticket);
            }
        }
        ticket
    }

    fn is_superseded(&self, ticket: Ticket) -> bool {
        self.state.entry(ticket).is_some_and(|entry| entry.superseded_by.is_some())
    }

    /// A plan came after a newer one of its name: it is never run, whatever the policy of its namespace says.
    fn close_late(&mut self, ticket: Ticket, sequence: u64, newest: &Newest) {
        let Newest { sequence: newer, request, .. } = newest;
        let message = format!(
            "request {request} of the same plan came before it, with the sequence {newer}: this one has {sequence}, is \
             older, and is not run"
        );
        let reason = Reason::of(&Failure::permanent("request.superseded", message));
        self.close(ticket, (Outcome::Superseded, Some(reason), Report::default()));
    }

    fn refuse(&mut self, key: RequestKey, asked: Option<PlanKey>, failure: &Failure) -> Ticket {
        let receivers = self.options.receivers.clone();
        let ticket = self.emit(LedgerEvent::Refused { key, asked, reason: Reason::of(failure), receivers });
        self.tell(ticket);
        ticket
    }

    /// The newest handle of a request is the one that counts; its visibility is extended after a third of it.
    fn hold(&mut self, ticket: Ticket, source: u32, handle: Arc<str>) {
        let extend_at = self.now.plus(self.options.visibility(source) / 3);
        let hold = Hold { source, handle, extend_at: Some(extend_at), settled: 0, settling: false };
        self.flight.hold(ticket, hold);
    }

    /// Somebody wants a request to be stopped: by a delivery of this key, or at the machine.
    pub(super) fn stop_asked(&mut self, key: Option<RequestKey>, target: &Arc<str>, mode: StopMode) {
        let ticket = self.state.of_id(target);
        if ticket.is_none() && key.is_none() {
            return;
        }
        let before = ticket.and_then(|ticket| self.state.entry(ticket)).and_then(|entry| entry.stop);
        let reason = self.nothing_to_stop(target);
        let is_told = reason.is_some() && key.is_some();
        let receivers = if is_told { self.options.receivers.clone() } else { Vec::new() };
        let target = Arc::clone(target);
        let asked = self.emit(LedgerEvent::StopAsked { key, target, mode, reason, receivers });
        if is_told {
            self.tell(asked);
        }
        let Some(ticket) = ticket else { return };
        let Some(entry) = self.state.entry(ticket) else { return };
        match &entry.status {
            Status::Waiting => self.close_stopped(ticket),
            Status::Live { run } if entry.stop > before => {
                let run = run.clone();
                self.stop_run(ticket, run, mode);
            }
            Status::Live { .. } | Status::Closed(_) => {}
        }
    }

    /// Why a stop stops nothing, as yet: whoever asks may have the wrong identifier, or be too late.
    fn nothing_to_stop(&self, target: &Arc<str>) -> Option<Reason> {
        let Some(entry) = self.state.of_id(target).and_then(|ticket| self.state.entry(ticket)) else {
            let message = format!(
                "no request {target} is known: nothing was stopped; if it still comes, it is not begun"
            );
            return Some(Reason::of(&Failure::permanent("stop.unknown-request", message)));
        };
        let over = match entry.closed()?.answer {
            Answer::Ended(outcome) => format!("is over ({})", Ending::from(outcome)),
            Answer::Refused => "was refused".to_owned(),
            Answer::Taken => "asks for no run".to_owned(),
        };
        let message = format!("request {target} {over}: nothing was stopped");
        Some(Reason::of(&Failure::permanent("stop.over", message)))
    }

    /// A newer plan takes the place of older ones of its name, as the policy of its namespace says.
    fn supersede_older(&mut self, newer: Ticket) {
        let Some((namespace, plan)) = self.state.entry(newer).and_then(|entry| entry.plan()) else { return };
        let Newer::Supersede(running) = self.options.newer(namespace) else { return };
        let Some(space) = self.state.spaces.get(namespace) else { return };
        let (namespace, plan) = (Arc::clone(namespace), Arc::clone(plan));
        let same = |ticket: &Ticket| {
            let entry = self.state.entry(*ticket);
            *ticket != newer && entry.and_then(|entry| entry.plan()) == Some((&namespace, &plan))
        };
        let waiting: Vec<Ticket> = space.waiting.iter().copied().filter(same).collect();
        let live = space.live.filter(same);
        for older in waiting {
            planted!(self.state, LostNewerPlan, { self.flight.opened.extend([newer]) });
            self.emit(LedgerEvent::Superseded { ticket: older, by: newer });
            self.close_stopped(older);
        }
        let Some(older) = live else { return };
        let already = self.state.entry(older).is_some_and(|entry| entry.superseded_by.is_some());
        if already || running == Running::Finish {
            return;
        }
        self.emit(LedgerEvent::Superseded { ticket: older, by: newer });
        self.stop_superseded(older);
    }
}

/// A request whose identifier can be kept.
fn bounded(id: Arc<str>, asks: Asks) -> (Arc<str>, Asks) {
    if !id.is_empty() && id.len() <= REQUEST_BYTES_MAX {
        return (id, asks);
    }
    let message =
        format!("the identifier of the request has {} bytes, not 1 to {REQUEST_BYTES_MAX}", id.len());
    let failure = Failure::permanent("request.bad-id", message);
    (format!("sha256:{}", Digest::of(id.as_bytes())).into(), Asks::Nothing { failure })
}
