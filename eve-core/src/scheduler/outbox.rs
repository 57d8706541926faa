//! Who is told how a request was answered: each receiver by itself, again and again, until it has arrived or is given up.

use std::sync::Arc;
use std::time::Duration;

use super::Scheduler;
use super::flight::Timer;
use super::options::NoticeOptions;
use super::protocol::{Command, LedgerEvent, Reason, Ticket};
use super::state::{Notified, Standing};
use crate::failure::{Failure, FailureClass};
use crate::run::mixed;
use crate::time::Timestamp;

/// How much longer than its timeout a call is waited for: whoever makes it ends it first.
const GRACE: Duration = Duration::from_secs(1);

impl Scheduler {
    /// Queues all notices of a request that are to be sent.
    pub(super) fn tell(&mut self, ticket: Ticket) {
        let Some(entry) = self.state.entry(ticket) else { return };
        let due = |notice: &Notified| match notice.standing {
            Standing::Due(at) => Some((Arc::clone(&notice.receiver), at)),
            Standing::Sent | Standing::Parked => None,
        };
        let due: Vec<(Arc<str>, Timestamp)> = entry.notices.iter().filter_map(due).collect();
        for (receiver, at) in due {
            self.queue_notice(ticket, &receiver, at);
        }
    }

    fn queue_notice(&mut self, ticket: Ticket, receiver: &Arc<str>, at: Timestamp) {
        if !self.options.receivers.contains(receiver) {
            let message = format!("no receiver is called {receiver} any more");
            let reason = Reason::of(&Failure::permanent("notice.no-receiver", message));
            let receiver = Arc::clone(receiver);
            self.emit(LedgerEvent::NoticeFailed { ticket, receiver, reason, retry_at: None });
            return;
        }
        let desk = self.flight.desks.entry(Arc::clone(receiver)).or_default();
        if !desk.calls.contains_key(&ticket) {
            desk.due.insert((at, ticket));
        }
        self.serve_desk(receiver);
    }

    /// Sends what is due, as far as the receiver may have it at once.
    pub(super) fn serve_desk(&mut self, receiver: &Arc<str>) {
        let NoticeOptions { timeout, parallel, .. } = self.options.notices;
        let Some(desk) = self.flight.desks.get_mut(receiver) else { return };
        while desk.calls.len() < parallel.max(1) as usize {
            let Some(&(at, ticket)) = desk.due.first() else { return };
            if at > self.now {
                self.flight.timers.insert((at, Timer::Desk(Arc::clone(receiver))));
                return;
            }
            desk.due.pop_first();
            let deadline = self.now.plus(timeout);
            desk.calls.insert(ticket, deadline);
            self.flight.timers.insert((deadline.plus(GRACE), Timer::Overdue(ticket, Arc::clone(receiver))));
            self.commands.push_back(Command::Notify { ticket, receiver: Arc::clone(receiver), deadline });
        }
    }

    /// A notice arrived, or did not.
    pub(super) fn notified(&mut self, ticket: Ticket, receiver: &Arc<str>, result: Result<(), Failure>) {
        let desk = self.flight.desks.get_mut(receiver);
        let Some(deadline) = desk.and_then(|desk| desk.calls.remove(&ticket)) else { return };
        self.flight.timers.remove(&(deadline.plus(GRACE), Timer::Overdue(ticket, Arc::clone(receiver))));
        let notice = self.state.entry(ticket).and_then(|entry| entry.notice(receiver)).cloned();
        // One that was sent again because it was asked again has arrived before, whatever becomes of it now.
        if let Some(notice) = notice.filter(|notice| matches!(notice.standing, Standing::Due(_))) {
            let receiver = Arc::clone(receiver);
            match result {
                Ok(()) => {
                    self.emit(LedgerEvent::NoticeSent { ticket, receiver });
                }
                Err(failure) => self.failed(ticket, &notice, &failure),
            }
        }
        self.serve_desk(receiver);
        self.give_back(ticket);
    }

    fn failed(&mut self, ticket: Ticket, notice: &Notified, failure: &Failure) {
        let retry_at = self.retry_at(ticket, notice, failure.class);
        let receiver = Arc::clone(&notice.receiver);
        let reason = Reason::of(failure);
        self.emit(LedgerEvent::NoticeFailed { ticket, receiver, reason, retry_at });
        if let Some(at) = retry_at
            && let Some(desk) = self.flight.desks.get_mut(&notice.receiver)
        {
            desk.due.insert((at, ticket));
        }
    }

    /// When a notice is sent again: the pause doubles, and is the longest at once where the receiver said no.
    fn retry_at(&self, ticket: Ticket, notice: &Notified, class: FailureClass) -> Option<Timestamp> {
        let NoticeOptions { pause, pause_max, attempts_max, deadline, .. } = self.options.notices;
        let longest = match class {
            FailureClass::Transient | FailureClass::Cancelled => {
                pause.saturating_mul(1 << notice.attempts.min(30)).min(pause_max)
            }
            FailureClass::Permanent => pause_max,
            FailureClass::Misuse => return None,
        };
        let seed = self.options.seed ^ ticket.get() << 16 ^ u64::from(notice.attempts);
        // Between half and all of the pause, so that a crowd does not come back as one.
        let thousandths = 500 + u32::try_from(mixed(seed) % 501).unwrap_or(500);
        let at = self.now.plus(longest.saturating_mul(thousandths) / 1000);
        (notice.attempts + 1 < attempts_max && at <= notice.since.plus(deadline)).then_some(at)
    }

    /// A call took longer than it may.
    pub(super) fn overdue(&mut self, ticket: Ticket, receiver: &Arc<str>, at: Timestamp) {
        let call = self.flight.desks.get(receiver).and_then(|desk| desk.calls.get(&ticket));
        if call.is_some_and(|deadline| deadline.plus(GRACE) == at) {
            let seconds = self.options.notices.timeout.as_secs();
            let failure = Failure::transient("notice.timeout", format!("no answer within {seconds} s"));
            self.notified(ticket, receiver, Err(failure));
        }
    }

    /// A delivery that was answered before is answered again: with the same notices, once.
    pub(super) fn answer_again(&mut self, ticket: Ticket) {
        let Some(entry) = self.state.entry(ticket) else { return };
        let sent = entry.notices.iter().filter(|notice| notice.standing == Standing::Sent);
        let known = |receiver: &Arc<str>| self.options.receivers.contains(receiver);
        let receivers: Vec<Arc<str>> =
            sent.map(|notice| Arc::clone(&notice.receiver)).filter(known).collect();
        for receiver in receivers {
            self.queue_notice(ticket, &receiver, self.now);
        }
    }

    /// Somebody wants all notices of a request to be sent again.
    pub(super) fn send_again(&mut self, request: &Arc<str>) {
        let of_id =
            |ticket: &&Ticket| self.state.entry(**ticket).is_some_and(|entry| entry.key.id == *request);
        let tickets: Vec<Ticket> = self.state.known.values().filter(of_id).copied().collect();
        for ticket in tickets {
            let Some(entry) = self.state.entry(ticket) else { continue };
            let notices: Vec<Notified> = entry.notices.clone();
            for notice in notices {
                let receiver = notice.receiver;
                if let (Standing::Due(at), Some(desk)) =
                    (notice.standing, self.flight.desks.get_mut(&receiver))
                {
                    desk.due.remove(&(at, ticket));
                }
                self.emit(LedgerEvent::NoticeRenewed { ticket, receiver: Arc::clone(&receiver) });
                self.queue_notice(ticket, &receiver, self.now);
            }
        }
    }
}
