//! What must hold, told from durable records and from what reaches the world: the scheduler is not asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::invariants::Invariant;
use crate::run::Outcome;
use crate::scheduler::{Answer, LedgerEvent, LedgerRecord, Outgoing, RequestKey, Ticket};

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// What was seen.
    pub what: String,
}

pub(super) type Check = Result<(), Violation>;

pub(super) fn ensure(holds: bool, invariant: Invariant, what: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(Violation { invariant, what: what() }) }
}

#[derive(Debug, Default)]
struct Space {
    waiting: BTreeSet<Ticket>,
    live: Option<Ticket>,
    last: Option<Ticket>,
}

/// What the durable records say.
#[derive(Debug, Default)]
pub(super) struct Model {
    keys: BTreeMap<Ticket, (RequestKey, Arc<str>)>,
    accepted: BTreeMap<Arc<str>, RequestKey>,
    /// The highest number that was accepted of each plan.
    newest: BTreeMap<(Arc<str>, Arc<str>), u64>,
    /// What was accepted after a higher number.
    late: BTreeSet<Ticket>,
    answers: BTreeMap<RequestKey, Answer>,
    stopped: BTreeSet<Arc<str>>,
    spaces: BTreeMap<Arc<str>, Space>,
    notices: BTreeMap<RequestKey, Outgoing>,
    told: BTreeSet<(RequestKey, Arc<str>)>,
    /// What was delivered to the process that has the ledger.
    in_hand: BTreeSet<RequestKey>,
    /// The namespaces that could run something, and which others ran how much since.
    able: BTreeMap<Arc<str>, BTreeMap<Arc<str>, u32>>,
}

impl Model {
    /// Records became durable.
    pub(super) fn take(&mut self, record: &LedgerRecord) -> Check {
        let ticket = Ticket::new(record.seq.get());
        match &record.event {
            LedgerEvent::Accepted { key, namespace, plan, sequence } => {
                self.answered_never(key)?;
                self.count(ticket, (Arc::clone(namespace), Arc::clone(plan)), *sequence)?;
                self.keys.insert(ticket, (key.clone(), Arc::clone(namespace)));
                self.accepted.insert(Arc::clone(&key.id), key.clone());
                self.spaces.entry(Arc::clone(namespace)).or_default().waiting.insert(ticket);
            }
            LedgerEvent::Refused { key, .. } => self.answer(key, Answer::Refused)?,
            LedgerEvent::StopAsked { key, target, .. } => {
                self.stopped.insert(Arc::clone(target));
                if let Some(key) = key {
                    self.answer(key, Answer::Taken)?;
                }
            }
            LedgerEvent::RunOpened { ticket, .. } => self.opened(*ticket)?,
            LedgerEvent::RunClosed { ticket, outcome, .. } => {
                let (key, namespace) = self.keys.get(ticket).cloned().unwrap_or_else(unknown);
                let superseded = *outcome == Outcome::Superseded || !self.late.contains(ticket);
                ensure(superseded, Invariant::NeverBackwards, || {
                    format!("{key:?} came after a newer one, and is {outcome:?}")
                })?;
                let space = self.spaces.entry(namespace).or_default();
                space.waiting.remove(ticket);
                space.live = space.live.filter(|live| live != ticket);
                self.answer(&key, Answer::Ended(*outcome))?;
            }
            LedgerEvent::TakenOver
            | LedgerEvent::Superseded { .. }
            | LedgerEvent::NoticeSent { .. }
            | LedgerEvent::NoticeFailed { .. }
            | LedgerEvent::NoticeRenewed { .. }
            | LedgerEvent::Acknowledged { .. }
            | LedgerEvent::Forgotten { .. }
            | LedgerEvent::LogsDropped { .. }
            | LedgerEvent::Compacted { .. } => {}
        }
        Ok(())
    }

    fn count(&mut self, ticket: Ticket, plan: (Arc<str>, Arc<str>), sequence: Option<u64>) -> Check {
        let Some(sequence) = sequence else { return Ok(()) };
        let newest = self.newest.get(&plan).copied();
        ensure(newest != Some(sequence), Invariant::NeverBackwards, || {
            format!("{sequence} of {plan:?} is accepted twice")
        })?;
        if newest.is_some_and(|newest| newest > sequence) {
            self.late.insert(ticket);
        } else {
            self.newest.insert(plan, sequence);
        }
        Ok(())
    }

    fn answered_never(&self, key: &RequestKey) -> Check {
        let known = self.answers.contains_key(key) || self.keys.values().any(|(known, _)| known == key);
        ensure(!known, Invariant::OneOutcome, || format!("{key:?} is taken in once more"))
    }

    fn answer(&mut self, key: &RequestKey, answer: Answer) -> Check {
        let before = self.answers.insert(key.clone(), answer);
        ensure(before.is_none(), Invariant::OneOutcome, || {
            format!("{key:?} was answered {before:?}, and is answered {answer:?}")
        })
    }

    fn opened(&mut self, ticket: Ticket) -> Check {
        let (key, namespace) = self.keys.get(&ticket).cloned().unwrap_or_else(unknown);
        ensure(!self.late.contains(&ticket), Invariant::NeverBackwards, || {
            format!("{key:?} came after a newer one in {namespace}, and runs")
        })?;
        let space = self.spaces.entry(Arc::clone(&namespace)).or_default();
        ensure(space.live.is_none(), Invariant::OneRunANamespace, || {
            format!("{key:?} runs beside {:?} in {namespace}", space.live)
        })?;
        ensure(space.last < Some(ticket), Invariant::InOrder, || {
            format!("{key:?} runs after {:?} in {namespace}", space.last)
        })?;
        space.live = Some(ticket);
        space.last = Some(ticket);
        space.waiting.remove(&ticket);
        let stopped = self.stopped.contains(&key.id);
        ensure(!stopped, Invariant::StopKept, || format!("{key:?} was stopped, and runs"))?;
        self.able.remove(&namespace);
        for (waits, others) in &mut self.able {
            let runs = others.entry(Arc::clone(&namespace)).or_default();
            *runs += 1;
            ensure(*runs <= 1, Invariant::Fair, || {
                format!("{namespace} has run {runs} while {waits} could have run one")
            })?;
        }
        Ok(())
    }

    /// Another process has the ledger.
    pub(super) fn taken_over(&mut self) {
        self.in_hand.clear();
        self.able.clear();
    }

    /// A delivery is in the process that has the ledger.
    pub(super) fn delivered(&mut self, key: &RequestKey) {
        self.in_hand.insert(key.clone());
    }

    /// What could run after a turn: nothing may be left where there is room.
    pub(super) fn after_turn(&mut self, parallel: u32) -> Check {
        let able: Vec<Arc<str>> = self
            .spaces
            .iter()
            .filter(|(_, space)| self.is_able(space))
            .map(|(name, _)| Arc::clone(name))
            .collect();
        let live = self.spaces.values().filter(|space| space.live.is_some()).count();
        ensure(able.is_empty() || live >= parallel as usize, Invariant::WorkConserving, || {
            format!("{able:?} could run, {live} of {parallel} do")
        })?;
        self.able.retain(|namespace, _| able.contains(namespace));
        for namespace in able {
            self.able.entry(namespace).or_default();
        }
        Ok(())
    }

    fn is_able(&self, space: &Space) -> bool {
        let head = space.waiting.first().and_then(|ticket| self.keys.get(ticket));
        space.live.is_none() && head.is_some_and(|(key, _)| self.in_hand.contains(key))
    }

    /// A source is told that a request is dealt with.
    pub(super) fn settled(&self, key: &RequestKey) -> Check {
        let answered = self.answers.contains_key(key);
        let other = self.accepted.get(&key.id).is_some_and(|accepted| accepted != key);
        let invariant = if other { Invariant::OneContent } else { Invariant::AcknowledgedAfterAnswer };
        ensure(answered, invariant, || format!("{key:?} is given back, and was not answered"))
    }

    /// A receiver is told something.
    pub(super) fn told(&mut self, key: &RequestKey, receiver: &Arc<str>, notice: &Outgoing) -> Check {
        let answer = self.answers.get(key);
        ensure(answer == Some(&notice.answer), Invariant::ToldAfterAnswer, || {
            format!("{receiver} is told {notice:?}, the answer is {answer:?}")
        })?;
        let before = self.notices.entry(key.clone()).or_insert_with(|| notice.clone());
        ensure(before == notice, Invariant::OneIdentity, || {
            format!("{receiver} is told {notice:?} after {before:?}")
        })?;
        let others = self.notices.iter().filter(|(_, other)| other.key == notice.key).count();
        ensure(others == 1, Invariant::OneIdentity, || format!("{} stands for {others} answers", notice.key))
    }

    /// A receiver has taken a notice.
    pub(super) fn arrived(&mut self, key: &RequestKey, receiver: &Arc<str>) {
        self.told.insert((key.clone(), Arc::clone(receiver)));
    }

    pub(super) fn is_answered(&self, key: &RequestKey) -> bool {
        self.answers.contains_key(key)
    }

    /// Everything is calm, and time enough has passed.
    pub(super) fn at_the_end(&self, sent: &BTreeSet<RequestKey>, receivers: &[Arc<str>]) -> Check {
        for key in sent {
            let answer = self.answers.get(key);
            ensure(answer.is_some(), Invariant::EverythingAnswered, || format!("{key:?} has no answer"))?;
            if answer == Some(&Answer::Taken) {
                continue;
            }
            for receiver in receivers {
                let told = self.told.contains(&(key.clone(), Arc::clone(receiver)));
                ensure(told, Invariant::EveryoneTold, || format!("{receiver} was not told of {key:?}"))?;
            }
        }
        Ok(())
    }
}

fn unknown() -> (RequestKey, Arc<str>) {
    (RequestKey { id: "?".into(), digest: crate::scheduler::Digest::of(b"?") }, "?".into())
}
