//! What this process has in hand and under way: nothing of it is stored, all of it comes back by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::protocol::Ticket;
use crate::time::Timestamp;

/// What a deadline is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The visibility of a delivery is to be extended.
    Extend(Ticket),
    /// A delivery is to be acknowledged or rejected again.
    Settle(Ticket),
    /// A receiver may have a notice that is due.
    Desk(Arc<str>),
    /// A delivery of a notice has taken too long.
    Overdue(Ticket, Arc<str>),
    /// A plan did not come back.
    Lost(Ticket),
    /// The oldest answers are to be forgotten.
    Forget,
}

/// A delivery that is in this process.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hold {
    pub(super) source: u32,
    pub(super) handle: Arc<str>,
    /// When its visibility is extended next; `None` once it is to be given back.
    pub(super) extend_at: Option<Timestamp>,
    /// How often it was to be acknowledged or rejected.
    pub(super) settled: u32,
    /// Whether the source is being asked.
    pub(super) settling: bool,
}

/// A receiver of notices.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Desk {
    /// What is to be sent, by the time from which on it may be.
    pub(super) due: BTreeSet<(Timestamp, Ticket)>,
    /// What is being sent, and until when.
    pub(super) calls: BTreeMap<Ticket, Timestamp>,
}

/// Plans as they were delivered, and how much memory they take.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Bodies {
    by_ticket: BTreeMap<Ticket, Arc<[u8]>>,
    bytes: usize,
}

impl Bodies {
    pub(super) fn insert(&mut self, ticket: Ticket, body: Arc<[u8]>) {
        self.remove(ticket);
        self.bytes = self.bytes.saturating_add(body.len());
        self.by_ticket.insert(ticket, body);
    }

    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Arc<[u8]>> {
        let body = self.by_ticket.remove(&ticket)?;
        self.bytes = self.bytes.saturating_sub(body.len());
        Some(body)
    }

    pub(super) fn has(&self, ticket: Ticket) -> bool {
        self.by_ticket.contains_key(&ticket)
    }

    /// Of all of them.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Flight {
    pub(super) holds: BTreeMap<Ticket, Hold>,
    /// The plans of requests whose run was not opened in this process.
    pub(super) bodies: Bodies,
    /// The namespaces of the queue whose next plan is in hand, by their places.
    pub(super) able: BTreeMap<u64, Arc<str>>,
    /// The place of each of them.
    pub(super) places: BTreeMap<Arc<str>, u64>,
    /// Requests whose run was opened, or taken up again, in this process.
    pub(super) opened: BTreeSet<Ticket>,
    /// Those among them that cannot begin yet.
    pub(super) stalled: BTreeSet<Ticket>,
    pub(super) desks: BTreeMap<Arc<str>, Desk>,
    pub(super) timers: BTreeSet<(Timestamp, Timer)>,
    /// The open requests of an earlier process whose plan did not come yet, and until when each is waited for.
    pub(super) awaited: BTreeMap<Ticket, Timestamp>,
    /// When this process took over.
    pub(super) since: Timestamp,
    /// When the oldest answers are to be forgotten, as far as a timer is set.
    pub(super) forget_at: Option<Timestamp>,
    pub(super) halted: bool,
}

impl Flight {
    pub(super) fn at(&mut self, at: Timestamp, timer: Timer) {
        self.timers.insert((at, timer));
    }

    /// A delivery is in this process, in place of an earlier one of the same request.
    pub(super) fn hold(&mut self, ticket: Ticket, hold: Hold) {
        self.let_go(ticket);
        if let Some(at) = hold.extend_at {
            self.at(at, Timer::Extend(ticket));
        }
        self.holds.insert(ticket, hold);
    }

    /// A delivery is not in this process any more.
    pub(super) fn let_go(&mut self, ticket: Ticket) {
        if let Some(at) = self.holds.remove(&ticket).and_then(|hold| hold.extend_at) {
            self.timers.remove(&(at, Timer::Extend(ticket)));
        }
    }

    /// When the visibility of a delivery is extended next.
    pub(super) fn extend_at(&mut self, ticket: Ticket, at: Option<Timestamp>) {
        let Some(hold) = self.holds.get_mut(&ticket) else { return };
        if let Some(before) = std::mem::replace(&mut hold.extend_at, at) {
            self.timers.remove(&(before, Timer::Extend(ticket)));
        }
        self.timers.extend(at.map(|at| (at, Timer::Extend(ticket))));
    }

    /// The plan of a request is waited for until then, and no longer.
    pub(super) fn awaits(&mut self, ticket: Ticket, until: Timestamp) {
        self.came(ticket);
        self.awaited.insert(ticket, until);
        self.at(until, Timer::Lost(ticket));
    }

    /// The plan of a request is not waited for any more.
    pub(super) fn came(&mut self, ticket: Ticket) {
        if let Some(until) = self.awaited.remove(&ticket) {
            self.timers.remove(&(until, Timer::Lost(ticket)));
        }
    }

    /// The next timer that has come due.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<(Timestamp, Timer)> {
        let first = self.timers.first()?;
        if first.0 > now { None } else { self.timers.pop_first() }
    }
}
