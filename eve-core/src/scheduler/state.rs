//! What is known of all requests: a function of the events of the ledger and of nothing else.
//!
//! Only [`apply`](super::apply) changes it. [`Kept`] is the part of it from which everything else follows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::protocol::{Answer, Reason, RequestKey, Ticket};
use super::report::Report;
use crate::digest::Digest;
use crate::ids::RunId;
use crate::run::StopMode;
use crate::time::Timestamp;

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: RequestKey,
    pub(crate) at: Timestamp,
    pub(crate) asked: Asked,
    pub(crate) status: Status,
    /// How it was asked to stop, the strongest mode of all.
    pub(crate) stop: Option<StopMode>,
    /// The request that takes its place.
    pub(crate) superseded_by: Option<Arc<str>>,
    /// In the order of the receivers in the record that closed it.
    pub(crate) notices: Vec<Notified>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Asked {
    Run { namespace: Arc<str>, plan: Arc<str> },
    Stop { target: Arc<str>, mode: StopMode },
    Nothing,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Status {
    Waiting,
    Live { run: RunId },
    Closed(Box<Closed>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Closed {
    /// The place of the record that says so: grows from answer to answer.
    pub(crate) place: u64,
    pub(crate) at: Timestamp,
    pub(crate) run: Option<RunId>,
    pub(crate) answer: Answer,
    pub(crate) reason: Option<Reason>,
    pub(crate) report: Report,
    pub(crate) acknowledged: bool,
}

impl Closed {
    /// How many bytes the texts have that are told of it.
    pub(crate) fn bytes(&self) -> usize {
        self.reason.as_ref().map_or(0, |reason| reason.message.len()) + self.report.bytes()
    }
}

/// An entry of the outbox.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Notified {
    pub(crate) receiver: Arc<str>,
    pub(crate) standing: Standing,
    /// Deliveries that failed since it was last asked for.
    pub(crate) attempts: u32,
    /// When it was last asked for.
    pub(crate) since: Timestamp,
    /// Why the last delivery failed.
    pub(crate) reason: Option<Reason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// To be sent, not before this.
    Due(Timestamp),
    Sent,
    /// Not sent again before somebody asks.
    Parked,
}

impl Entry {
    pub(crate) fn plan(&self) -> Option<(&Arc<str>, &Arc<str>)> {
        match &self.asked {
            Asked::Run { namespace, plan } => Some((namespace, plan)),
            Asked::Stop { .. } | Asked::Nothing => None,
        }
    }

    pub(crate) fn closed(&self) -> Option<&Closed> {
        match &self.status {
            Status::Closed(closed) => Some(closed),
            Status::Waiting | Status::Live { .. } => None,
        }
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.closed().is_some_and(|closed| closed.answer == Answer::Refused)
    }

    /// Whether a notice of it is still to be sent.
    pub(crate) fn is_to_be_told(&self) -> bool {
        self.notices.iter().any(|notice| matches!(notice.standing, Standing::Due(_)))
    }

    pub(crate) fn notice(&self, receiver: &str) -> Option<&Notified> {
        self.notices.iter().find(|notice| &*notice.receiver == receiver)
    }

    pub(crate) fn notice_mut(&mut self, receiver: &str) -> Option<&mut Notified> {
        self.notices.iter_mut().find(|notice| &*notice.receiver == receiver)
    }
}

/// A namespace in which something waits or runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Space {
    /// In the order in which they were accepted.
    pub(super) waiting: BTreeSet<Ticket>,
    pub(super) live: Option<Ticket>,
    /// Its place in the queue of namespaces: the record since which something waits and nothing runs.
    pub(super) since: Option<u64>,
}

/// A plan: its namespace, and its name there.
pub(crate) type PlanKey = (Arc<str>, Arc<str>);

/// The highest number that was accepted of the plans of one name in one namespace. Kept when its request is forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Newest {
    pub(crate) sequence: u64,
    /// The request that has it.
    pub(crate) request: Arc<str>,
    /// The place of the record that accepted it.
    pub(crate) place: u64,
}

/// Everything from which the state follows. What a ledger begins with once it was compacted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    pub(crate) entries: Vec<(Ticket, Entry)>,
    /// The namespaces whose turn will come, with their places in the queue.
    pub(crate) turns: Vec<(u64, Arc<str>)>,
    /// The requests to stop whose target has not come yet.
    pub(crate) early: Vec<Ticket>,
    /// The finished runs whose records are kept, the oldest first.
    pub(crate) logs: Vec<RunId>,
    /// The highest number of each plan that has one, in the order of the plans.
    pub(crate) newest: Vec<(PlanKey, Newest)>,
}

impl Kept {
    /// Leaves out the numbers that were accepted longest ago, until there are no more than so many.
    pub(super) fn thin_out_numbers(&mut self, most: usize) {
        let surplus = self.newest.len().saturating_sub(most);
        if surplus == 0 {
            return;
        }
        let mut places: Vec<u64> = self.newest.iter().map(|(_, newest)| newest.place).collect();
        places.sort_unstable();
        let Some(&first_kept) = places.get(surplus) else { return self.newest.clear() };
        self.newest.retain(|(_, newest)| newest.place >= first_kept);
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    pub(super) entries: BTreeMap<Ticket, Entry>,
    pub(super) known: BTreeMap<RequestKey, Ticket>,
    pub(super) spaces: BTreeMap<Arc<str>, Space>,
    /// The queue of namespaces in which something waits and nothing runs.
    pub(super) turns: BTreeMap<u64, Arc<str>>,
    /// The runs that are under way.
    pub(super) runs: BTreeMap<RunId, Ticket>,
    /// Requests that were answered and have nothing to be told, by the place of their answer.
    pub(super) settled: BTreeMap<u64, Ticket>,
    /// Requests to stop a request that is not known yet, by its identifier.
    pub(super) early: BTreeMap<Arc<str>, Ticket>,
    pub(super) logs: VecDeque<RunId>,
    pub(super) newest: BTreeMap<PlanKey, Newest>,
    /// How many requests wait.
    pub(super) waiting: usize,
    /// The bytes of all that is told of answered requests.
    pub(super) told_bytes: usize,
    pub(super) last_at: Timestamp,
    /// How many records the ledger has since it was compacted.
    pub(super) records: usize,
    /// The bug that is planted on purpose, if one is.
    #[cfg(any(test, feature = "test-util"))]
    pub(super) sabotage: Option<crate::testing::sim_scheduler::Sabotage>,
}

impl State {
    pub(super) fn known(&self, key: &RequestKey) -> Option<Ticket> {
        self.known.get(key).copied()
    }

    /// The request of this identifier that was not refused, whatever its digest.
    pub(super) fn of_id(&self, id: &Arc<str>) -> Option<Ticket> {
        let first = RequestKey { id: Arc::clone(id), digest: Digest::from_bytes([0; Digest::BYTES]) };
        let with_id = self.known.range(first..).take_while(|(key, _)| key.id == *id);
        let mut tickets = with_id.map(|(_, ticket)| *ticket);
        tickets.find(|ticket| self.entries.get(ticket).is_some_and(|entry| !entry.is_refused()))
    }

    pub(super) fn entry(&self, ticket: Ticket) -> Option<&Entry> {
        self.entries.get(&ticket)
    }

    /// The request whose turn it is in this namespace.
    pub(super) fn head(&self, namespace: &str) -> Option<Ticket> {
        self.spaces.get(namespace)?.waiting.first().copied()
    }

    /// All from which the state follows.
    pub(super) fn kept(&self) -> Kept {
        Kept {
            entries: self.entries.iter().map(|(ticket, entry)| (*ticket, entry.clone())).collect(),
            turns: self.turns.iter().map(|(place, namespace)| (*place, Arc::clone(namespace))).collect(),
            early: self.early.values().copied().collect(),
            logs: self.logs.iter().cloned().collect(),
            newest: self.newest.iter().map(|(plan, newest)| (plan.clone(), newest.clone())).collect(),
        }
    }

    /// The state that follows.
    ///
    /// # Errors
    /// Why nothing follows from it.
    pub(super) fn of(kept: &Kept) -> Result<Self, &'static str> {
        let logs = kept.logs.iter().cloned().collect();
        let newest = kept.newest.iter().cloned().collect();
        let mut state = Self { logs, newest, ..Self::default() };
        for (ticket, entry) in &kept.entries {
            state.insert(*ticket, entry.clone())?;
        }
        for ticket in &kept.early {
            let Some(Asked::Stop { target, .. }) = state.entry(*ticket).map(|entry| &entry.asked) else {
                return Err("waits for the target of what stops nothing");
            };
            let target = Arc::clone(target);
            state.early.insert(target, *ticket);
        }
        for (place, namespace) in &kept.turns {
            let space = state.spaces.get_mut(namespace).ok_or("queues a namespace in which nothing waits")?;
            if space.waiting.is_empty() || space.live.is_some() || space.since.is_some() {
                return Err("queues a namespace whose turn cannot come");
            }
            space.since = Some(*place);
            if state.turns.insert(*place, Arc::clone(namespace)).is_some() {
                return Err("gives one place to two namespaces");
            }
        }
        let idle = |space: &Space| space.live.is_none() && space.since.is_none();
        if state.spaces.values().any(idle) {
            return Err("forgets the turn of a namespace");
        }
        Ok(state)
    }

    /// Takes in a request with all that is known of it.
    pub(super) fn insert(&mut self, ticket: Ticket, entry: Entry) -> Result<(), &'static str> {
        if self.known.contains_key(&entry.key) || self.entries.contains_key(&ticket) {
            return Err("takes in a request that is known");
        }
        if let Asked::Run { namespace, .. } = &entry.asked
            && entry.closed().is_none()
        {
            let space = self.spaces.entry(Arc::clone(namespace)).or_default();
            if let Status::Live { run } = &entry.status {
                if space.live.replace(ticket).is_some() {
                    return Err("has two runs in one namespace");
                }
                self.runs.insert(run.clone(), ticket);
            } else {
                space.waiting.insert(ticket);
                self.waiting += 1;
            }
        } else if entry.closed().is_none() {
            return Err("has an open request that asks for no run");
        }
        self.told_bytes += entry.closed().map_or(0, Closed::bytes);
        self.known.insert(entry.key.clone(), ticket);
        self.entries.insert(ticket, entry);
        self.note_settled(ticket);
        Ok(())
    }

    /// Whether a request may be forgotten changes with its answer and with each notice.
    pub(super) fn note_settled(&mut self, ticket: Ticket) {
        let Some(entry) = self.entries.get(&ticket) else { return };
        let Some(place) = entry.closed().map(|closed| closed.place) else { return };
        if entry.is_to_be_told() {
            self.settled.remove(&place);
        } else {
            self.settled.insert(place, ticket);
        }
    }
}
