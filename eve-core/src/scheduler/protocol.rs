//! The words that a [`Scheduler`](super::Scheduler) and its driver speak: facts in, wishes out, history.
//!
//! Plain data only. [`Input`] and [`Command`] are exhaustive on purpose: a new one is a breaking change for whoever drives a
//! scheduler. [`LedgerEvent`] is what is stored, so it grows but never changes its meaning.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::report::Report;
use super::state::Kept;
use crate::digest::Digest;
use crate::failure::{Failure, shortened};
use crate::ids::{RunId, Seq};
use crate::run::{Outcome, StopMode};
use crate::time::Timestamp;

/// The most bytes of the identifier of a request; a longer one is refused, and known by its digest from then on.
pub const REQUEST_BYTES_MAX: usize = 256;

/// A request in its ledger: the place of the record that took it in. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

impl Ticket {
    /// The request that the record at this place took in.
    pub const fn new(place: u64) -> Self {
        Self(place)
    }

    /// The place.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// A delivery, as whoever received it read it.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    /// The source that delivered it, as an index into those of the options.
    pub source: u32,
    /// What the source knows this delivery by.
    pub handle: Arc<str>,
    /// Which request it is; the same when it is delivered again.
    pub request: Arc<str>,
    /// The digest of what was delivered.
    pub digest: Digest,
    /// What was delivered; kept in memory until the run is opened, and never stored.
    pub body: Arc<[u8]>,
    /// What it asks for.
    pub asks: Asks,
}

/// What a delivery asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Asks {
    /// To run a plan.
    Run {
        /// The namespace of the plan.
        namespace: Arc<str>,
        /// The name of the plan.
        plan: Arc<str>,
        /// Where it stands among the plans of this name in this namespace, as its sender counts them.
        sequence: Option<u64>,
    },
    /// To stop what another request asked for. One that overtakes its request is remembered.
    Stop {
        /// The other request.
        request: Arc<str>,
        /// How a run that is under way is to end.
        mode: StopMode,
    },
    /// Nothing that can ever be done: it cannot be read, or is meant for somebody else. A request that an earlier process
    /// accepted ends with this reason.
    Nothing {
        /// Why.
        failure: Failure,
    },
}

/// A fact: what has happened. Late, duplicate and unknown inputs are harmless.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A source delivered something, perhaps again.
    Received(Arrival),
    /// A run that was opened cannot begin as yet: somebody who must be asked is away. Until it can, it takes no other
    /// namespace's turn.
    OpenStalls {
        /// The run.
        run: RunId,
    },
    /// A run that was opened begins now, or never.
    OpenEnds {
        /// The run.
        run: RunId,
    },
    /// A run that was opened is over.
    RunEnded {
        /// The run.
        run: RunId,
        /// How it ended.
        outcome: Outcome,
        /// Why, where it did not succeed.
        reason: Option<Reason>,
        /// What became of its components.
        report: Report,
    },
    /// A notice was delivered, or was not.
    Notified {
        /// The request it is about.
        ticket: Ticket,
        /// The receiver.
        receiver: Arc<str>,
        /// How it went.
        result: Result<(), Failure>,
    },
    /// A delivery was acknowledged or rejected, or was not.
    Settled {
        /// The request.
        ticket: Ticket,
        /// The delivery.
        handle: Arc<str>,
        /// How it went.
        result: Result<(), Failure>,
    },
    /// The visibility of a delivery was extended, or was not.
    Extended {
        /// The request.
        ticket: Ticket,
        /// The delivery.
        handle: Arc<str>,
        /// How it went.
        result: Result<(), Failure>,
    },
    /// An operator wants a request to be stopped.
    Stop {
        /// The request.
        request: Arc<str>,
        /// How a run that is under way is to end.
        mode: StopMode,
    },
    /// An operator wants the notices of a request to be sent again, whatever became of them.
    SendAgain {
        /// The request.
        request: Arc<str>,
    },
    /// No run is opened any more in this process.
    Halt,
}

/// A wish: what the driver is to do next. Derived from the state, never stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Make the run of this plan, or go on with it where the store has records of it; report its end as
    /// [`Input::RunEnded`].
    Open {
        /// The request.
        ticket: Ticket,
        /// The run.
        run: RunId,
        /// The plan, as it was delivered.
        body: Arc<[u8]>,
    },
    /// Tell a run to stop.
    Stop {
        /// The run.
        run: RunId,
        /// How.
        mode: StopMode,
    },
    /// Deliver [`Scheduler::notice`](super::Scheduler::notice), and report it as [`Input::Notified`].
    Notify {
        /// The request.
        ticket: Ticket,
        /// The receiver.
        receiver: Arc<str>,
        /// When the scheduler stops waiting for the end of this call.
        deadline: Timestamp,
    },
    /// Keep a delivery from being handed out again, for this long from now; report it as [`Input::Extended`].
    Extend {
        /// The request.
        ticket: Ticket,
        /// The source.
        source: u32,
        /// The delivery.
        handle: Arc<str>,
        /// For how long.
        visibility: Duration,
    },
    /// Tell the source that a delivery was dealt with; report it as [`Input::Settled`].
    Acknowledge {
        /// The request.
        ticket: Ticket,
        /// The source.
        source: u32,
        /// The delivery.
        handle: Arc<str>,
    },
    /// Tell the source that a delivery can never be dealt with; report it as [`Input::Settled`].
    Reject {
        /// The request.
        ticket: Ticket,
        /// The source.
        source: u32,
        /// The delivery.
        handle: Arc<str>,
        /// Why, for people.
        reason: String,
    },
}

/// What is remembered of why a request did not succeed. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The component that failed first, where it was one.
    pub component: Option<Arc<str>>,
    /// Stable, dotted, lower case; for programs.
    pub code: Arc<str>,
    /// One line for people; at most [`Reason::TEXT_BYTES_MAX`].
    pub message: Arc<str>,
}

impl Reason {
    /// The most bytes that are kept of a message: as many as a [`Failure`] has.
    pub const TEXT_BYTES_MAX: usize = Failure::MESSAGE_BYTES_MAX;

    /// The reason that a failure gives.
    pub fn of(failure: &Failure) -> Self {
        let message = shortened(failure.message.clone(), Self::TEXT_BYTES_MAX);
        Self { component: None, code: (&*failure.code).into(), message: message.into() }
    }

    /// The same, of this component.
    #[must_use]
    pub fn with_component(mut self, component: impl Into<Arc<str>>) -> Self {
        self.component = Some(component.into());
        self
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(component) = &self.component {
            write!(f, "{component}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// How a request was answered. Final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// So its run ended; or, where it never had one, so it was left.
    Ended(Outcome),
    /// It was never accepted.
    Refused,
    /// It asked to stop another one, and that was taken in. With a reason where there was nothing to stop, as yet.
    Taken,
}

/// Who a request is: what is delivered again is the same, whatever the queue says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestKey {
    /// Its identifier, chosen by the sender.
    pub id: Arc<str>,
    /// The digest of what was delivered.
    pub digest: Digest,
}

/// History: what has been decided or found. The state of a scheduler is a function of its events.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LedgerEvent {
    /// A process took the ledger over. Whoever had it before can add nothing any more.
    TakenOver,
    /// A plan will be run, unless its number is lower than one that was accepted before: then the request of that one takes
    /// its place. The place of the record is its [`Ticket`].
    Accepted {
        /// Who it is.
        key: RequestKey,
        /// The namespace of the plan.
        namespace: Arc<str>,
        /// The name of the plan.
        plan: Arc<str>,
        /// Its number among the plans of this name in this namespace, if its sender counts them.
        sequence: Option<u64>,
    },
    /// A request will never be dealt with. The place of the record is its [`Ticket`].
    Refused {
        /// Who it is.
        key: RequestKey,
        /// The namespace and the name of its plan, where they could be read.
        asked: Option<(Arc<str>, Arc<str>)>,
        /// Why.
        reason: Reason,
        /// Who is to be told.
        receivers: Vec<Arc<str>>,
    },
    /// Somebody wants a request to be stopped.
    StopAsked {
        /// Who asks, where it was a delivery: the place of the record is then its [`Ticket`].
        key: Option<RequestKey>,
        /// The request to stop.
        target: Arc<str>,
        /// How.
        mode: StopMode,
        /// Why there was nothing to stop, where there was not.
        reason: Option<Reason>,
        /// Who is to be told that there was not.
        receivers: Vec<Arc<str>>,
    },
    /// A run of the request exists from here on. Durable before the run begins.
    RunOpened {
        /// The request.
        ticket: Ticket,
        /// Its run.
        run: RunId,
    },
    /// A newer request of the same plan takes the place of this one.
    Superseded {
        /// The older request.
        ticket: Ticket,
        /// The newer one.
        by: Ticket,
    },
    /// The request has its outcome, and these receivers are to be told. Final.
    RunClosed {
        /// The request.
        ticket: Ticket,
        /// How it ended.
        outcome: Outcome,
        /// Why, where it did not succeed.
        reason: Option<Reason>,
        /// What became of its components.
        report: Report,
        /// Who is to be told.
        receivers: Vec<Arc<str>>,
    },
    /// A receiver has taken the notice.
    NoticeSent {
        /// The request.
        ticket: Ticket,
        /// The receiver.
        receiver: Arc<str>,
    },
    /// A notice did not arrive; it is sent again at `retry_at`, or not before somebody asks when that is `None`.
    NoticeFailed {
        /// The request.
        ticket: Ticket,
        /// The receiver.
        receiver: Arc<str>,
        /// Why.
        reason: Reason,
        /// When it is sent again.
        retry_at: Option<Timestamp>,
    },
    /// A notice is to be sent again.
    NoticeRenewed {
        /// The request.
        ticket: Ticket,
        /// The receiver.
        receiver: Arc<str>,
    },
    /// The source was told that the request is dealt with.
    Acknowledged {
        /// The request.
        ticket: Ticket,
    },
    /// Requests that were answered long ago are not known any more.
    Forgotten {
        /// The requests.
        tickets: Vec<Ticket>,
    },
    /// The records of these runs are not kept any more; the store removes them with the record that says so.
    LogsDropped {
        /// The runs, which are over.
        runs: Vec<RunId>,
    },
    /// All that is known, in one record; the store removes what stands before it.
    Compacted {
        /// What is known.
        kept: Box<Kept>,
    },
}

/// A stored event: its place, its time, what it says.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerRecord {
    /// Its place in the ledger, from 1 without gaps.
    pub seq: Seq,
    /// When it was decided; never earlier than the record before.
    pub at: Timestamp,
    /// What happened.
    pub event: LedgerEvent,
}
