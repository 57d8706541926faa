//! What readers may see of a scheduler, and what receivers are told.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::Scheduler;
use super::protocol::{Answer, Reason, RequestKey, Ticket};
use super::report::Report;
use super::state::{Asked, Entry, Standing, State, Status};
use crate::digest::Digest;
use crate::ids::RunId;
use crate::run::StopMode;
use crate::time::Timestamp;

/// What the key of every notice is made with, so that no other hash can be taken for one.
const DOMAIN: &[u8] = b"eve notice 1\0";

/// How many hexadecimal digits of a hash the key of a notice has.
const KEY_DIGITS: usize = 32;

/// What a receiver is told. The same for every delivery and every receiver; holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outgoing {
    /// Follows from the request and its digest alone: 32 hexadecimal digits.
    pub key: String,
    /// The request.
    pub request: Arc<str>,
    /// Its run, if it had one.
    pub run: Option<RunId>,
    /// The namespace of its plan; empty where it could not be read.
    pub namespace: Arc<str>,
    /// The name of its plan; empty where it could not be read.
    pub plan: Arc<str>,
    /// How it was answered.
    pub answer: Answer,
    /// Why, where it did not succeed.
    pub reason: Option<Reason>,
    /// What became of its components.
    pub report: Report,
    /// The request that took its place.
    pub superseded_by: Option<Arc<str>>,
    /// When it was answered.
    pub at: Timestamp,
    /// Grows from answer to answer: what is told later may have been answered earlier.
    pub sequence: u64,
}

/// Where a request stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stand {
    /// Its turn has not come, or its plan was not delivered again.
    Waiting,
    /// It runs.
    Live(RunId),
    /// It was answered so.
    Closed(Answer),
}

/// A request at one moment.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    ticket: Ticket,
    entry: &'a Entry,
}

/// A notice that has not arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undelivered {
    /// The ticket of the request that it is about.
    pub ticket: Ticket,
    /// The request.
    pub request: Arc<str>,
    /// Who was to be told.
    pub receiver: Arc<str>,
    /// How many deliveries failed since it was last asked for.
    pub attempts: u32,
    /// Why the last of them failed; `None` where none was tried.
    pub reason: Option<Reason>,
    /// When it is sent next; `None` if it was given up.
    pub retry_at: Option<Timestamp>,
}

/// A request whose plan has to be delivered again: nothing else of its namespace runs before that.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Awaited {
    /// Its ticket.
    pub ticket: Ticket,
    /// The request.
    pub request: Arc<str>,
    /// The namespace of its plan.
    pub namespace: Arc<str>,
    /// The run that an earlier process opened, if one did.
    pub run: Option<RunId>,
    /// When it is given up.
    pub until: Timestamp,
}

/// All requests at one moment, read only and free to take.
#[derive(Clone, Copy, Debug)]
pub struct SchedulerView<'a> {
    pub(super) state: &'a State,
    pub(super) awaited: &'a BTreeMap<Ticket, Timestamp>,
}

impl<'a> SchedulerView<'a> {
    /// How many requests wait.
    pub const fn waiting(&self) -> usize {
        self.state.waiting
    }

    /// How many runs are under way.
    pub fn live(&self) -> usize {
        self.state.runs.len()
    }

    /// How many requests are known, answered ones among them.
    pub fn len(&self) -> usize {
        self.state.entries.len()
    }

    /// Whether no request is known.
    pub fn is_empty(&self) -> bool {
        self.state.entries.is_empty()
    }

    /// How many namespaces have something that waits or runs.
    pub fn namespaces(&self) -> usize {
        self.state.spaces.len()
    }

    /// All requests that are known, in the order in which they came.
    pub fn requests(&self) -> impl Iterator<Item = RequestView<'a>> + use<'a> {
        self.state.entries.iter().map(|(ticket, entry)| RequestView { ticket: *ticket, entry })
    }

    /// The request of this identifier that was not refused; where there is none, nothing.
    pub fn request(&self, id: &str) -> Option<RequestView<'a>> {
        self.state.of_id(&id.into()).and_then(|ticket| self.by_ticket(ticket))
    }

    /// The request of this ticket.
    pub fn by_ticket(&self, ticket: Ticket) -> Option<RequestView<'a>> {
        self.state.entries.get(&ticket).map(|entry| RequestView { ticket, entry })
    }

    /// The requests whose plan an earlier process had and this one has not, in the order in which they came.
    pub fn awaited(&self) -> impl Iterator<Item = Awaited> + use<'a> {
        let state = self.state;
        self.awaited.iter().filter_map(move |(ticket, until)| {
            let entry = state.entry(*ticket)?;
            let run = match &entry.status {
                Status::Live { run } => Some(run.clone()),
                Status::Waiting | Status::Closed(_) => None,
            };
            let (ticket, request, until) = (*ticket, Arc::clone(&entry.key.id), *until);
            let namespace = entry.plan().map(|(namespace, _)| Arc::clone(namespace))?;
            Some(Awaited { ticket, request, namespace, run, until })
        })
    }

    /// What has not arrived, in the order of the requests. Linear in what is known.
    pub fn undelivered(&self) -> impl Iterator<Item = Undelivered> + use<'a> {
        self.state.entries.iter().flat_map(|(ticket, entry)| {
            entry.notices.iter().filter(|notice| notice.standing != Standing::Sent).map(|notice| {
                Undelivered {
                    ticket: *ticket,
                    request: Arc::clone(&entry.key.id),
                    receiver: Arc::clone(&notice.receiver),
                    attempts: notice.attempts,
                    reason: notice.reason.clone(),
                    retry_at: match notice.standing {
                        Standing::Due(at) => Some(at),
                        Standing::Sent | Standing::Parked => None,
                    },
                }
            })
        })
    }
}

impl<'a> RequestView<'a> {
    /// Its ticket.
    pub const fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Who it is.
    pub const fn key(&self) -> &'a RequestKey {
        &self.entry.key
    }

    /// When it came.
    pub const fn at(&self) -> Timestamp {
        self.entry.at
    }

    /// The namespace and the name of its plan, where it asks for a run.
    pub fn plan(&self) -> Option<(&'a str, &'a str)> {
        self.entry.plan().map(|(namespace, plan)| (&**namespace, &**plan))
    }

    /// The request that it asks to stop, and how, where it does.
    pub fn stops(&self) -> Option<(&'a str, StopMode)> {
        match &self.entry.asked {
            Asked::Stop { target, mode } => Some((target, *mode)),
            Asked::Run { .. } | Asked::Nothing => None,
        }
    }

    /// Where it stands.
    pub fn stand(&self) -> Stand {
        match &self.entry.status {
            Status::Waiting => Stand::Waiting,
            Status::Live { run } => Stand::Live(run.clone()),
            Status::Closed(closed) => Stand::Closed(closed.answer),
        }
    }

    /// Why it did not succeed.
    pub fn reason(&self) -> Option<&'a Reason> {
        self.entry.closed().and_then(|closed| closed.reason.as_ref())
    }
}

impl Scheduler {
    /// What a receiver is told of a request. `None` for what is not answered, not known, or not told to this receiver.
    pub fn notice(&self, ticket: Ticket, receiver: &str) -> Option<Outgoing> {
        let entry = self.state.entry(ticket)?;
        let (closed, notice) = (entry.closed()?, entry.notice(receiver)?);
        let (namespace, plan) = match entry.plan() {
            Some((namespace, plan)) => (Arc::clone(namespace), Arc::clone(plan)),
            None => ("".into(), "".into()),
        };
        let attempt = if sabotaged!(self.state, NoticeReborn) { notice.attempts } else { 0 };
        Some(Outgoing {
            key: key(&entry.key, attempt),
            request: Arc::clone(&entry.key.id),
            run: closed.run.clone(),
            namespace,
            plan,
            answer: closed.answer,
            reason: closed.reason.clone(),
            report: closed.report.clone(),
            superseded_by: entry.superseded_by.clone(),
            at: closed.at,
            sequence: closed.place,
        })
    }
}

fn key(key: &RequestKey, attempt: u32) -> String {
    let mut sum = Sha256::new();
    sum.update(DOMAIN);
    sum.update(key.digest.as_bytes());
    sum.update(key.id.as_bytes());
    if attempt > 0 {
        sum.update(attempt.to_le_bytes());
    }
    let mut text = Digest::from_bytes(sum.finalize().into()).to_string();
    text.truncate(KEY_DIGITS);
    text
}
