//! The only function that changes the state of a scheduler: live and replayed state cannot differ.

use std::sync::Arc;

use super::protocol::{Answer, LedgerEvent, LedgerRecord, Reason, RequestKey, Ticket};
use super::report::Report;
use super::state::{Asked, Closed, Entry, Newest, Notified, PlanKey, Standing, State, Status};
use crate::ids::RunId;
use crate::run::{Outcome, StopMode};
use crate::time::Timestamp;

type Applied = Result<(), &'static str>;

/// Takes over one event.
///
/// # Errors
/// Why the event cannot follow what came before; the state may then be used no more.
pub(super) fn apply(state: &mut State, record: &LedgerRecord) -> Applied {
    if record.at < state.last_at {
        return Err("is earlier than the one before");
    }
    let at = record.at;
    let place = record.seq.get();
    match &record.event {
        LedgerEvent::TakenOver => {}
        LedgerEvent::Accepted { key, namespace, plan, sequence } => {
            let asked = (Arc::clone(namespace), Arc::clone(plan));
            accept(state, (place, at), key, (asked, *sequence))?;
        }
        LedgerEvent::Refused { key, asked, reason, receivers } => {
            refuse(state, (place, at), (key, asked.as_ref()), reason, receivers)?;
        }
        LedgerEvent::StopAsked { key, target, mode, reason, receivers } => {
            stop(state, (place, at), key.as_ref(), (target, *mode), (reason.as_ref(), receivers))?;
        }
        LedgerEvent::RunOpened { ticket, run } => open(state, *ticket, run)?,
        LedgerEvent::Superseded { ticket, by } => supersede(state, *ticket, *by)?,
        LedgerEvent::RunClosed { ticket, outcome, reason, report, receivers } => {
            close(state, (place, at), *ticket, (*outcome, reason.as_ref(), report), receivers)?;
        }
        LedgerEvent::NoticeSent { .. }
        | LedgerEvent::NoticeFailed { .. }
        | LedgerEvent::NoticeRenewed { .. } => tell(state, &record.event, at)?,
        LedgerEvent::Acknowledged { ticket } => {
            let entry = state.entries.get_mut(ticket).ok_or("acknowledges what is not known")?;
            let Status::Closed(closed) = &mut entry.status else { return Err("acknowledges what is open") };
            closed.acknowledged = true;
        }
        LedgerEvent::Forgotten { tickets } => tickets.iter().try_for_each(|ticket| forget(state, *ticket))?,
        LedgerEvent::LogsDropped { runs } => {
            for run in runs {
                if state.logs.pop_front().as_ref() != Some(run) {
                    return Err("drops a log that is not the oldest");
                }
            }
        }
        LedgerEvent::Compacted { kept } => {
            #[cfg(any(test, feature = "test-util"))]
            let sabotage = state.sabotage;
            *state = State::of(kept)?;
            #[cfg(any(test, feature = "test-util"))]
            {
                state.sabotage = sabotage;
            }
        }
    }
    state.last_at = at;
    state.records += 1;
    Ok(())
}

fn accept(
    state: &mut State,
    (place, at): (u64, Timestamp),
    key: &RequestKey,
    (asked, sequence): (PlanKey, Option<u64>),
) -> Applied {
    if state.of_id(&key.id).is_some() {
        return Err("accepts a request whose identifier is taken");
    }
    let early = state.early.remove(&key.id).and_then(|ticket| state.entry(ticket));
    let stop = early.and_then(|early| match early.asked {
        Asked::Stop { mode, .. } if !sabotaged!(state, EarlyStopForgotten) => Some(mode),
        Asked::Stop { .. } | Asked::Run { .. } | Asked::Nothing => None,
    });
    let superseded_by = match sequence {
        Some(sequence) => count(state, &asked, Newest { sequence, request: Arc::clone(&key.id), place })?,
        None => None,
    };
    let (namespace, plan) = asked;
    let entry = Entry {
        key: key.clone(),
        at,
        asked: Asked::Run { namespace: Arc::clone(&namespace), plan },
        status: Status::Waiting,
        stop,
        superseded_by,
        notices: Vec::new(),
    };
    state.insert(Ticket::new(place), entry)?;
    queue(state, &namespace, place);
    Ok(())
}

/// Takes over the number of a plan. The request of a higher one, where there is one, takes the place of this one.
fn count(state: &mut State, plan: &PlanKey, found: Newest) -> Result<Option<Arc<str>>, &'static str> {
    match state.newest.get(plan) {
        Some(newest) if newest.sequence > found.sequence => {
            planted!(state, LateOlderRuns, { return Ok(None) });
            Ok(Some(Arc::clone(&newest.request)))
        }
        Some(newest) if newest.sequence == found.sequence && newest.request != found.request => {
            Err("accepts a number that another request has")
        }
        _ => {
            state.newest.insert(plan.clone(), found);
            Ok(None)
        }
    }
}

fn refuse(
    state: &mut State,
    (place, at): (u64, Timestamp),
    (key, asked): (&RequestKey, Option<&PlanKey>),
    reason: &Reason,
    receivers: &[Arc<str>],
) -> Applied {
    let asked = asked.map_or(Asked::Nothing, |(namespace, plan)| Asked::Run {
        namespace: Arc::clone(namespace),
        plan: Arc::clone(plan),
    });
    let closed = Closed {
        place,
        at,
        run: None,
        answer: Answer::Refused,
        reason: Some(reason.clone()),
        report: Report::default(),
        acknowledged: false,
    };
    let entry = Entry {
        key: key.clone(),
        at,
        asked,
        status: Status::Closed(Box::new(closed)),
        stop: None,
        superseded_by: None,
        notices: outbox(receivers, at),
    };
    state.insert(Ticket::new(place), entry)
}

fn stop(
    state: &mut State,
    (place, at): (u64, Timestamp),
    key: Option<&RequestKey>,
    (target, mode): (&Arc<str>, StopMode),
    (reason, receivers): (Option<&Reason>, &[Arc<str>]),
) -> Applied {
    if let Some(key) = key {
        let closed = Closed {
            place,
            at,
            run: None,
            answer: Answer::Taken,
            reason: reason.cloned(),
            report: Report::default(),
            acknowledged: false,
        };
        let entry = Entry {
            key: key.clone(),
            at,
            asked: Asked::Stop { target: Arc::clone(target), mode },
            status: Status::Closed(Box::new(closed)),
            stop: None,
            superseded_by: None,
            notices: outbox(receivers, at),
        };
        state.insert(Ticket::new(place), entry)?;
    }
    let known = state.of_id(target).and_then(|ticket| state.entries.get_mut(&ticket));
    match known {
        Some(entry) if entry.closed().is_none() => entry.stop = entry.stop.max(Some(mode)),
        Some(_) => {}
        None if key.is_none() => return Err("stops what is not known"),
        None => {
            state.early.insert(Arc::clone(target), Ticket::new(place));
        }
    }
    Ok(())
}

fn open(state: &mut State, ticket: Ticket, run: &RunId) -> Applied {
    let entry = state.entries.get_mut(&ticket).ok_or("opens a run of what is not known")?;
    let Asked::Run { namespace, .. } = &entry.asked else { return Err("opens a run that nobody asked for") };
    let space = state.spaces.get_mut(namespace).ok_or("opens a run where nothing waits")?;
    if entry.status != Status::Waiting || space.live.is_some() {
        return Err("opens a second run in one namespace");
    }
    if space.waiting.first() != Some(&ticket) {
        return Err("opens a run out of order");
    }
    let place = space.since.take().ok_or("opens a run in a namespace that is not queued")?;
    state.turns.remove(&place);
    space.waiting.remove(&ticket);
    space.live = Some(ticket);
    state.waiting -= 1;
    entry.status = Status::Live { run: run.clone() };
    if state.runs.insert(run.clone(), ticket).is_some() {
        return Err("opens a run of a name that is taken");
    }
    Ok(())
}

fn supersede(state: &mut State, ticket: Ticket, by: Ticket) -> Applied {
    let newer = state.entry(by).ok_or("supersedes by what is not known")?;
    let id = Arc::clone(&newer.key.id);
    let plan = newer.plan().map(|(namespace, plan)| (Arc::clone(namespace), Arc::clone(plan)));
    let entry = state.entries.get_mut(&ticket).ok_or("supersedes what is not known")?;
    let same = entry.plan() == plan.as_ref().map(|(namespace, plan)| (namespace, plan));
    if by <= ticket || !same || entry.closed().is_some() {
        return Err("supersedes by what does not take its place");
    }
    entry.superseded_by = Some(id);
    Ok(())
}

fn close(
    state: &mut State,
    (place, at): (u64, Timestamp),
    ticket: Ticket,
    (outcome, reason, report): (Outcome, Option<&Reason>, &Report),
    receivers: &[Arc<str>],
) -> Applied {
    let entry = state.entries.get_mut(&ticket).ok_or("closes what is not known")?;
    let Some((namespace, _)) = entry.plan() else { return Err("closes what asks for no run") };
    let namespace = Arc::clone(namespace);
    let space = state.spaces.get_mut(&namespace).ok_or("closes what is in no namespace")?;
    let run = match &entry.status {
        Status::Waiting => {
            space.waiting.remove(&ticket);
            state.waiting -= 1;
            None
        }
        Status::Live { run } => {
            space.live = None;
            state.runs.remove(run);
            state.logs.push_back(run.clone());
            Some(run.clone())
        }
        Status::Closed(_) => return Err("closes what is closed"),
    };
    let answer = Answer::Ended(outcome);
    let (reason, report) = (reason.cloned(), report.clone());
    let closed = Closed { place, at, run, answer, reason, report, acknowledged: false };
    state.told_bytes += closed.bytes();
    entry.status = Status::Closed(Box::new(closed));
    entry.notices = outbox(receivers, at);
    queue(state, &namespace, place);
    state.note_settled(ticket);
    Ok(())
}

/// A namespace queues at the end from the moment on at which something waits in it and nothing runs.
fn queue(state: &mut State, namespace: &Arc<str>, place: u64) {
    let Some(space) = state.spaces.get_mut(namespace) else { return };
    if !space.waiting.is_empty() && space.live.is_none() {
        if space.since.is_none() {
            space.since = Some(place);
            state.turns.insert(place, Arc::clone(namespace));
        }
        return;
    }
    if let Some(place) = space.since.take() {
        state.turns.remove(&place);
    }
    if space.waiting.is_empty() && space.live.is_none() {
        state.spaces.remove(namespace);
    }
}

fn outbox(receivers: &[Arc<str>], at: Timestamp) -> Vec<Notified> {
    let notice = |receiver: &Arc<str>| Notified {
        receiver: Arc::clone(receiver),
        standing: Standing::Due(at),
        attempts: 0,
        since: at,
        reason: None,
    };
    receivers.iter().map(notice).collect()
}

fn tell(state: &mut State, event: &LedgerEvent, at: Timestamp) -> Applied {
    let (LedgerEvent::NoticeSent { ticket, receiver }
    | LedgerEvent::NoticeFailed { ticket, receiver, .. }
    | LedgerEvent::NoticeRenewed { ticket, receiver }) = event
    else {
        return Ok(());
    };
    let entry = state.entries.get_mut(ticket).ok_or("tells of what is not known")?;
    let notice = entry.notice_mut(receiver).ok_or("tells somebody who is not to be told")?;
    let due = matches!(notice.standing, Standing::Due(_));
    if matches!(event, LedgerEvent::NoticeRenewed { .. }) {
        notice.standing = Standing::Due(at);
        notice.attempts = 0;
        notice.since = at;
    } else if !due {
        return Err("tells of a notice that was not to be sent");
    } else if let LedgerEvent::NoticeFailed { reason, retry_at, .. } = event {
        notice.standing = retry_at.map_or(Standing::Parked, Standing::Due);
        notice.attempts += 1;
        notice.reason = Some(reason.clone());
    } else {
        notice.standing = Standing::Sent;
        notice.reason = None;
    }
    state.note_settled(*ticket);
    Ok(())
}

fn forget(state: &mut State, ticket: Ticket) -> Applied {
    let entry = state.entries.get(&ticket).ok_or("forgets what is not known")?;
    let closed = entry.closed().ok_or("forgets what is open")?;
    let (place, bytes) = (closed.place, closed.bytes());
    if state.settled.remove(&place).is_none() {
        return Err("forgets what is still to be told");
    }
    if let Asked::Stop { target, .. } = &entry.asked
        && state.early.get(target) == Some(&ticket)
    {
        state.early.remove(target);
    }
    state.known.remove(&entry.key);
    state.entries.remove(&ticket);
    state.told_bytes = state.told_bytes.saturating_sub(bytes);
    Ok(())
}
