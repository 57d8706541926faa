//! Whose run is opened next, and what becomes of runs.

use std::sync::Arc;
use std::time::Duration;

use super::Scheduler;
use super::flight::Timer;
use super::options::{Newer, Running};
use super::protocol::{Command, LedgerEvent, Reason, Ticket};
use super::report::Report;
use super::state::Status;
use crate::failure::Failure;
use crate::ids::RunId;
use crate::run::{Outcome, StopMode};

/// How long after a process took over a queue may hide the plan of a run that is to stop, at most: the usual visibility timeout.
const STOPPED_HIDDEN_MAX: Duration = Duration::from_mins(5);

/// How long a plan that is visible again may take until it has been received, behind others and with its body.
const RECEIVE_TIMEOUT: Duration = Duration::from_mins(1);

/// How a run ended, why, and what became of its components.
pub(super) type End = (Outcome, Option<Reason>, Report);

impl Scheduler {
    /// Opens runs as long as there is room: of the namespaces whose next plan is in hand, the one that queued first.
    pub(super) fn open_next(&mut self) {
        let parallel = self.options.parallel.max(1) as usize;
        planted!(self.state, DeadReceiverHolds, {
            if self.state.entries.values().any(super::state::Entry::is_to_be_told) {
                return;
            }
        });
        while !self.flight.halted {
            // Once they can begin, they do: that many more may run for a while.
            let stalled = self.flight.stalled.len().min(parallel);
            if self.state.runs.len() - stalled >= parallel {
                return;
            }
            let Some(ticket) = self.next() else { return };
            let run = self.run_id(ticket);
            let Some(namespace) = self.namespace(ticket) else { return };
            self.emit(LedgerEvent::RunOpened { ticket, run });
            self.refresh(&namespace);
            self.carry_on(ticket);
        }
    }

    fn next(&self) -> Option<Ticket> {
        let state = &self.state;
        if sabotaged!(state, UnfairQueue) {
            let heads = self.flight.able.values().filter_map(|namespace| state.head(namespace));
            return heads.min();
        }
        state.head(self.flight.able.values().next()?)
    }

    pub(super) fn namespace(&self, ticket: Ticket) -> Option<Arc<str>> {
        self.state.entry(ticket)?.plan().map(|(namespace, _)| Arc::clone(namespace))
    }

    /// A namespace is able to have a run when it is its turn to have one and the plan is in hand.
    pub(super) fn refresh(&mut self, namespace: &Arc<str>) {
        if let Some(place) = self.flight.places.remove(namespace) {
            self.flight.able.remove(&place);
        }
        let Some(place) = self.state.spaces.get(namespace).and_then(|space| space.since) else { return };
        let head = self.state.head(namespace);
        if head.is_some_and(|ticket| self.flight.bodies.has(ticket)) {
            self.flight.able.insert(place, Arc::clone(namespace));
            self.flight.places.insert(Arc::clone(namespace), place);
        }
    }

    /// The plan of an open request is in hand.
    pub(super) fn plan_came(&mut self, ticket: Ticket) {
        if let Some(namespace) = self.namespace(ticket) {
            self.refresh(&namespace);
        }
        self.carry_on(ticket);
    }

    /// Gives the run of a request to this process, once; an earlier one may have begun it.
    fn carry_on(&mut self, ticket: Ticket) {
        let Some(entry) = self.state.entry(ticket) else { return };
        let Status::Live { run } = &entry.status else { return };
        let Some(body) = self.flight.bodies.remove(ticket) else { return };
        let (run, stop) = (run.clone(), entry.stop);
        self.flight.opened.insert(ticket);
        self.commands.push_back(Command::Open { ticket, run: run.clone(), body });
        if let Some(mode) = stop {
            self.commands.push_back(Command::Stop { run, mode });
        }
        self.stop_superseded(ticket);
    }

    /// A run that is under way in this process is told to stop; one that is not will be when it is taken up, if that is soon.
    pub(super) fn stop_run(&mut self, ticket: Ticket, run: RunId, mode: StopMode) {
        if self.flight.opened.contains(&ticket) {
            self.commands.push_back(Command::Stop { run, mode });
        }
        self.hurry_if_stopped(ticket);
    }

    /// A run that is to stop and whose plan an earlier process had does not keep its namespace for as long as another one
    /// may: the plan comes again as soon as it was visible to nobody for long enough, or not at all.
    pub(super) fn hurry_if_stopped(&mut self, ticket: Ticket) {
        let Some(entry) = self.state.entry(ticket) else { return };
        let is_to_stop = entry.stop.is_some() || entry.superseded_by.is_some();
        let Some(until) = self.flight.awaited.get(&ticket).filter(|_| is_to_stop).copied() else { return };
        let hidden = self.options.longest_visibility().min(STOPPED_HIDDEN_MAX);
        let soon = self.flight.since.plus(hidden + RECEIVE_TIMEOUT);
        if soon < until {
            self.flight.awaits(ticket, soon);
        }
    }

    /// A run whose request is superseded stops as the policy says.
    pub(super) fn stop_superseded(&mut self, ticket: Ticket) {
        let Some(entry) = self.state.entry(ticket).filter(|entry| entry.superseded_by.is_some()) else {
            return;
        };
        let (Status::Live { run }, Some((namespace, _))) = (&entry.status, entry.plan()) else { return };
        let mode = match self.options.newer(namespace) {
            Newer::Supersede(Running::Drain) => StopMode::Drain,
            Newer::Supersede(Running::Finish | Running::Cancel) | Newer::Queue => StopMode::Supersede,
        };
        let run = run.clone();
        self.stop_run(ticket, run, mode);
    }

    /// A run cannot begin as yet.
    pub(super) fn open_stalls(&mut self, run: &RunId) {
        let ticket = self.state.runs.get(run).copied();
        let ticket = ticket.filter(|ticket| self.flight.opened.contains(ticket));
        self.flight.stalled.extend(ticket);
    }

    /// A run begins now, or never.
    pub(super) fn open_ends(&mut self, run: &RunId) {
        if let Some(ticket) = self.state.runs.get(run) {
            self.flight.stalled.remove(ticket);
        }
    }

    /// A run is over.
    pub(super) fn run_ended(&mut self, run: &RunId, end: End) {
        let Some(&ticket) = self.state.runs.get(run) else { return };
        let (outcome, reason, report) = end;
        let entry = self.state.entry(ticket);
        let gave_way = entry.is_some_and(|entry| entry.superseded_by.is_some() && entry.stop.is_none());
        // A run that is drained does not know for whom.
        let outcome = if gave_way && outcome == Outcome::Cancelled { Outcome::Superseded } else { outcome };
        self.close(ticket, (outcome, reason, report));
    }

    /// What waits and was stopped or superseded needs no run.
    pub(super) fn close_stopped(&mut self, ticket: Ticket) {
        let Some(entry) = self.state.entry(ticket) else { return };
        if entry.status != Status::Waiting {
            return;
        }
        let outcome = match entry.superseded_by {
            Some(_) => Outcome::Superseded,
            None if entry.stop.is_some() => Outcome::Cancelled,
            None => return,
        };
        self.close(ticket, (outcome, None, Report::default()));
    }

    /// The delivery of a plan that an earlier process accepted did not come back.
    pub(super) fn lost(&mut self, ticket: Ticket) {
        if self.flight.awaited.remove(&ticket).is_some() {
            let lost = "the process that accepted it is gone, and the plan was not delivered again";
            let failure = Failure::permanent("request.plan-lost", lost);
            self.without_plan(ticket, &failure.with_hint("send it under a new identifier"));
        }
    }

    /// The plan of a request that an earlier process accepted cannot be had any more, for this reason.
    pub(super) fn without_plan(&mut self, ticket: Ticket, failure: &Failure) {
        let Some(entry) = self.state.entry(ticket).filter(|entry| entry.closed().is_none()) else { return };
        let left = match entry.status {
            Status::Live { .. } => "; what its run has done so far is left as it is",
            Status::Waiting | Status::Closed(_) => "",
        };
        let why = &failure.message;
        let (outcome, code, message) = match (&entry.superseded_by, entry.stop) {
            (None, None) => {
                let hint = failure.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
                (Outcome::Failed, &*failure.code, format!("{why}{left}{hint}"))
            }
            (Some(_), None) => {
                let message = format!("a newer plan takes its place; {why}{left}");
                (Outcome::Superseded, "request.superseded-without-plan", message)
            }
            (_, Some(_)) => {
                let message = format!("it was asked to stop; {why}{left}");
                (Outcome::Cancelled, "request.stopped-without-plan", message)
            }
        };
        let reason = Reason::of(&Failure::permanent(code.to_owned(), message));
        self.close(ticket, (outcome, Some(reason), Report::default()));
    }

    pub(super) fn close(&mut self, ticket: Ticket, (outcome, reason, report): End) {
        let Some(namespace) = self.namespace(ticket) else { return };
        let receivers = self.options.receivers.clone();
        self.emit(LedgerEvent::RunClosed { ticket, outcome, reason, report, receivers });
        self.flight.came(ticket);
        self.flight.opened.remove(&ticket);
        self.flight.stalled.remove(&ticket);
        self.flight.bodies.remove(ticket);
        self.refresh(&namespace);
        self.tell(ticket);
        self.give_back(ticket);
        let excess = self.state.logs.len().saturating_sub(self.options.logs_max);
        if excess > 0 {
            let runs = self.state.logs.iter().take(excess).cloned().collect();
            self.emit(LedgerEvent::LogsDropped { runs });
        }
    }

    /// What has come due.
    pub(super) fn timers(&mut self) {
        while let Some((at, timer)) = self.flight.due(self.now) {
            match timer {
                Timer::Extend(ticket) => self.extend(ticket, at),
                Timer::Settle(ticket) => self.give_back(ticket),
                Timer::Desk(receiver) => self.serve_desk(&receiver),
                Timer::Overdue(ticket, receiver) => self.overdue(ticket, &receiver, at),
                Timer::Lost(ticket) => self.lost(ticket),
                // The rule of what is forgotten looks at the time by itself.
                Timer::Forget => {}
            }
        }
    }
}
