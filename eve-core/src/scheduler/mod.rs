//! Many runs: a scheduler of requests as a synchronous, deterministic state machine.
//!
//! [`Scheduler`] reads no clock, does no I/O, spawns nothing and logs nothing, like a [`Run`](crate::run::Run), and is driven
//! like one: [`Scheduler::handle`] each fact, [`Scheduler::handle_timeout`] when [`Scheduler::poll_deadline`] is reached,
//! [`Scheduler::poll_event`] until it is empty and store the records durably, **together with the records of the runs that
//! they are about**, and only then [`Scheduler::poll_command`] until it is empty.
//!
//! ```text
//!   source ──Received──▶ Accepted ──turn──▶ RunOpened ──run──▶ RunClosed + outbox ──▶ Notify…  ──▶ NoticeSent
//!                  └───▶ Refused + outbox ─────────────────────────────────────────▶ Acknowledge, Reject
//! ```
//!
//! # Rules
//!
//! - **One run a namespace**, in the order in which its plans were accepted.
//! - **Fair**: a namespace queues, at the end, from the moment on at which something waits in it and nothing runs. From then
//!   until its next run is opened, each other namespace opens at most one run, however many plans wait there.
//! - **Held up by nobody**: a run that cannot begin yet, since somebody who must be asked is away, takes no turn of others; as
//!   many of them as may run are not counted.
//! - **One answer**: a request is its identifier and the digest of what was delivered. Delivered again, it is answered with
//!   what it was answered before; the same identifier with another digest is refused.
//! - **Never backwards**: of the requests of one plan, a name in a namespace, that their sender counts, one that comes after one
//!   with a higher number is superseded at once, whatever the policy says; one with the same number is refused. The highest
//!   number outlives the answer. It goes by the name, as superseding does: plans of other names are other plans, which the
//!   same sender may well count in the same series.
//! - **Outbox**: an outcome is stored in one record with who is to be told; nothing is told and no delivery is acknowledged
//!   before it is durable. A dead receiver delays neither plans nor other receivers.
//! - **Bounded**: answers are remembered as long, and as many, as the options say; the ledger is compacted when it has more
//!   than 1,000 records and four for each request that is known.
//!
//! Start with [`protocol`], then `intake` (what a delivery does), `turns` (whose run is next), `outbox` (who is told), then
//! `apply` (what an event changes).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ids::{RunId, Seq};
use crate::time::Timestamp;

#[macro_use]
pub(crate) mod rehearsal;

mod apply;
mod flight;
mod intake;
pub mod options;
mod outbox;
pub mod protocol;
mod report;
mod resume;
mod settle;
pub(crate) mod state;
#[cfg(test)]
mod tests;
mod turns;
mod view;

pub use crate::digest::Digest;
pub use options::{AcknowledgeAfter, Newer, NoticeOptions, Running, SchedulerOptions};
pub use protocol::{
    Answer, Arrival, Asks, Command, Input, LedgerEvent, LedgerRecord, REQUEST_BYTES_MAX, Reason, RequestKey,
    Ticket,
};
pub use report::Report;
pub use resume::LedgerError;
pub use state::Kept;
pub use view::{Awaited, Outgoing, RequestView, SchedulerView, Stand, Undelivered};

use flight::Flight;
use state::State;

/// Many requests, and which of them run. The contract of its use is in the [module's docs](self).
#[derive(Debug)]
pub struct Scheduler {
    options: SchedulerOptions,
    state: State,
    flight: Flight,
    next_seq: Seq,
    now: Timestamp,
    events: VecDeque<LedgerRecord>,
    commands: VecDeque<Command>,
}

impl Scheduler {
    /// Takes in a fact. Late, duplicate and unknown facts change nothing.
    ///
    /// `now` must not go back; an earlier time is taken as the latest one. Poll events, then commands, then the deadline
    /// afterwards; several facts may be handled before that.
    pub fn handle(&mut self, input: Input, now: Timestamp) {
        self.now = self.now.max(now);
        match input {
            Input::Received(arrival) => self.received(arrival),
            Input::OpenStalls { run } => self.open_stalls(&run),
            Input::OpenEnds { run } => self.open_ends(&run),
            Input::RunEnded { run, outcome, reason, report } => {
                self.run_ended(&run, (outcome, reason, report));
            }
            Input::Notified { ticket, receiver, result } => self.notified(ticket, &receiver, result),
            Input::Settled { ticket, handle, result } => self.settled(ticket, &handle, result),
            Input::Extended { ticket, handle, result } => self.extended(ticket, &handle, result),
            Input::Stop { request, mode } => self.stop_asked(None, &request, mode),
            Input::SendAgain { request } => self.send_again(&request),
            Input::Halt => self.flight.halted = true,
        }
        self.go_on();
    }

    /// Takes in that time has passed. Harmless when no deadline is reached.
    ///
    /// Poll events, then commands, then the deadline afterwards.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.go_on();
    }

    /// What follows from what is known.
    fn go_on(&mut self) {
        self.timers();
        self.open_next();
        self.forget();
        self.compact();
    }

    /// The next record to store. Poll until `None` after each `resume`, `handle` and `handle_timeout`.
    #[must_use = "a record that is not stored is lost"]
    pub fn poll_event(&mut self) -> Option<LedgerRecord> {
        self.events.pop_front()
    }

    /// The next command to carry out. Poll until `None`, after the records were polled and stored.
    ///
    /// # Panics
    /// If there are records that were not polled: an effect would come before its record.
    #[must_use = "a command that is not carried out never ends"]
    pub fn poll_command(&mut self) -> Option<Command> {
        assert!(self.events.is_empty(), "records must be polled and stored before commands");
        self.commands.pop_front()
    }

    /// When [`Scheduler::handle_timeout`] wants to be called next. Changes with every input.
    #[must_use = "a scheduler that misses its deadlines loses deliveries"]
    pub fn poll_deadline(&self) -> Option<Timestamp> {
        self.flight.timers.first().map(|(at, _)| *at)
    }

    /// The deliveries of requests that are not answered: the index of the source of each, and its handle.
    pub fn open_deliveries(&self) -> impl Iterator<Item = (u32, Arc<str>)> {
        let open = self.flight.holds.values().filter(|hold| hold.extend_at.is_some());
        open.map(|hold| (hold.source, Arc::clone(&hold.handle)))
    }

    /// Whether more plans may be received. What was received is taken in also where not.
    pub fn has_room(&self) -> bool {
        !self.flight.halted
            && self.state.waiting < self.options.waiting_max
            && self.flight.bodies.bytes() < self.options.waiting_bytes_max
    }

    /// The place of the next record: where the ledger stands once all records that were polled are stored.
    pub fn next_seq(&self) -> Seq {
        self.events.front().map_or(self.next_seq, |record| record.seq)
    }

    /// The options that hold for this process.
    pub const fn options(&self) -> &SchedulerOptions {
        &self.options
    }

    /// The requests as readers may see them.
    pub const fn view(&self) -> SchedulerView<'_> {
        SchedulerView { state: &self.state, awaited: &self.flight.awaited }
    }

    /// Decides something: the one way by which the state of a live scheduler changes.
    fn emit(&mut self, event: LedgerEvent) -> Ticket {
        let record = LedgerRecord { seq: self.next_seq, at: self.now, event };
        let taken = apply::apply(&mut self.state, &record);
        assert!(taken.is_ok(), "the scheduler decided what its own rules forbid: {taken:?}: {record:?}");
        self.next_seq = self.next_seq.next();
        let ticket = Ticket::new(record.seq.get());
        self.events.push_back(record);
        ticket
    }

    fn run_id(&self, ticket: Ticket) -> RunId {
        RunId::new(format!("{}-{}", self.options.run_prefix, ticket.get()))
    }
}
