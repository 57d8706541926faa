//! From the types of the scheduler to their stored form and back; a field that is forgotten does not compile.

use std::sync::Arc;

use super::form::{
    AcceptForm, AnswerForm, AskForm, BaseForm, CloseForm, ClosedForm, EntryForm, EventForm, Hex, KeyForm,
    MissForm, NoticeForm, NumberForm, OpenForm, OutForm, PartForm, PlanForm, ReasonForm, RecordForm,
    RefuseForm, ReportForm, StandForm, StatusForm, StopForm, TargetForm, ToldForm, YieldForm,
};
use crate::ids::{RunId, Seq};
use crate::ports::{ComponentNotice, Told};
use crate::scheduler::state::{Asked, Closed, Entry, Kept, Newest, Notified, PlanKey, Standing, Status};
use crate::scheduler::{Answer, Digest, LedgerEvent, LedgerRecord, Reason, Report, RequestKey, Ticket};
use crate::time::Timestamp;

impl From<&LedgerRecord> for RecordForm {
    fn from(record: &LedgerRecord) -> Self {
        let LedgerRecord { seq, at, event } = record;
        let event = EventForm::from(event);
        Self { version: event.version(), seq: seq.get(), at: at.as_micros(), event }
    }
}

impl From<RecordForm> for LedgerRecord {
    fn from(form: RecordForm) -> Self {
        let RecordForm { version: _, seq, at, event } = form;
        Self { seq: Seq::new(seq), at: Timestamp::from_micros(at), event: event.into() }
    }
}

impl From<&LedgerEvent> for EventForm {
    fn from(event: &LedgerEvent) -> Self {
        match event {
            LedgerEvent::TakenOver => Self::TakenOver,
            LedgerEvent::Accepted { key, namespace, plan, sequence } => Self::Accepted(AcceptForm {
                id: Arc::clone(&key.id),
                digest: key.digest.into(),
                namespace: Arc::clone(namespace),
                plan: Arc::clone(plan),
                sequence: *sequence,
            }),
            LedgerEvent::Refused { key, asked, reason, receivers } => Self::Refused(RefuseForm {
                id: Arc::clone(&key.id),
                digest: key.digest.into(),
                asked: asked.as_ref().map(|(namespace, plan)| plan_form(namespace, plan)),
                reason: reason.into(),
                receivers: receivers.clone(),
            }),
            LedgerEvent::StopAsked { key, target, mode, reason, receivers } => Self::StopAsked(StopForm {
                key: key.as_ref().map(|key| KeyForm { id: Arc::clone(&key.id), digest: key.digest.into() }),
                target: Arc::clone(target),
                mode: (*mode).into(),
                reason: reason.as_ref().map(Into::into),
                receivers: receivers.clone(),
            }),
            LedgerEvent::RunOpened { ticket, run } => {
                Self::RunOpened(OpenForm { ticket: ticket.get(), run: text(run) })
            }
            LedgerEvent::Superseded { ticket, by } => {
                Self::Superseded(YieldForm { ticket: ticket.get(), newer: by.get() })
            }
            LedgerEvent::RunClosed { ticket, outcome, reason, report, receivers } => {
                Self::RunClosed(CloseForm {
                    ticket: ticket.get(),
                    outcome: (*outcome).into(),
                    reason: reason.as_ref().map(Into::into),
                    report: report.into(),
                    receivers: receivers.clone(),
                })
            }
            LedgerEvent::NoticeSent { ticket, receiver } => Self::NoticeSent(notice(*ticket, receiver)),
            LedgerEvent::NoticeFailed { ticket, receiver, reason, retry_at } => {
                Self::NoticeFailed(MissForm {
                    ticket: ticket.get(),
                    receiver: Arc::clone(receiver),
                    reason: reason.into(),
                    retry_at: retry_at.map(Timestamp::as_micros),
                })
            }
            LedgerEvent::NoticeRenewed { ticket, receiver } => Self::NoticeRenewed(notice(*ticket, receiver)),
            LedgerEvent::Acknowledged { ticket } => Self::Acknowledged(ticket.get()),
            LedgerEvent::Forgotten { tickets } => {
                Self::Forgotten(tickets.iter().map(|ticket| ticket.get()).collect())
            }
            LedgerEvent::LogsDropped { runs } => Self::LogsDropped(runs.iter().map(text).collect()),
            LedgerEvent::Compacted { kept } => Self::Compacted(Box::new((&**kept).into())),
        }
    }
}

impl From<EventForm> for LedgerEvent {
    fn from(form: EventForm) -> Self {
        match form {
            EventForm::TakenOver => Self::TakenOver,
            EventForm::Accepted(AcceptForm { id, digest, namespace, plan, sequence }) => {
                Self::Accepted { key: RequestKey { id, digest: digest.into() }, namespace, plan, sequence }
            }
            EventForm::Refused(RefuseForm { id, digest, asked, reason, receivers }) => Self::Refused {
                key: RequestKey { id, digest: digest.into() },
                asked: asked.map(|PlanForm { namespace, plan }| (namespace, plan)),
                reason: reason.into(),
                receivers,
            },
            EventForm::StopAsked(StopForm { key, target, mode, reason, receivers }) => Self::StopAsked {
                key: key.map(|KeyForm { id, digest }| RequestKey { id, digest: digest.into() }),
                target,
                mode: mode.into(),
                reason: reason.map(Into::into),
                receivers,
            },
            EventForm::RunOpened(OpenForm { ticket, run }) => {
                Self::RunOpened { ticket: Ticket::new(ticket), run: RunId::new(run) }
            }
            EventForm::Superseded(YieldForm { ticket, newer }) => {
                Self::Superseded { ticket: Ticket::new(ticket), by: Ticket::new(newer) }
            }
            EventForm::RunClosed(CloseForm { ticket, outcome, reason, report, receivers }) => {
                Self::RunClosed {
                    ticket: Ticket::new(ticket),
                    outcome: outcome.into(),
                    reason: reason.map(Into::into),
                    report: report.into(),
                    receivers,
                }
            }
            EventForm::NoticeSent(NoticeForm { ticket, receiver }) => {
                Self::NoticeSent { ticket: Ticket::new(ticket), receiver }
            }
            EventForm::NoticeFailed(MissForm { ticket, receiver, reason, retry_at }) => Self::NoticeFailed {
                ticket: Ticket::new(ticket),
                receiver,
                reason: reason.into(),
                retry_at: retry_at.map(Timestamp::from_micros),
            },
            EventForm::NoticeRenewed(NoticeForm { ticket, receiver }) => {
                Self::NoticeRenewed { ticket: Ticket::new(ticket), receiver }
            }
            EventForm::Acknowledged(ticket) => Self::Acknowledged { ticket: Ticket::new(ticket) },
            EventForm::Forgotten(tickets) => {
                Self::Forgotten { tickets: tickets.into_iter().map(Ticket::new).collect() }
            }
            EventForm::LogsDropped(runs) => {
                Self::LogsDropped { runs: runs.into_iter().map(RunId::new).collect() }
            }
            EventForm::Compacted(base) => Self::Compacted { kept: Box::new((*base).into()) },
        }
    }
}

fn text(run: &RunId) -> Arc<str> {
    run.as_str().into()
}

fn plan_form(namespace: &Arc<str>, plan: &Arc<str>) -> PlanForm {
    PlanForm { namespace: Arc::clone(namespace), plan: Arc::clone(plan) }
}

fn notice(ticket: Ticket, receiver: &Arc<str>) -> NoticeForm {
    NoticeForm { ticket: ticket.get(), receiver: Arc::clone(receiver) }
}

impl From<Digest> for Hex {
    fn from(digest: Digest) -> Self {
        Self(*digest.as_bytes())
    }
}

impl From<Hex> for Digest {
    fn from(hex: Hex) -> Self {
        Self::from_bytes(hex.0)
    }
}

impl From<&Reason> for ReasonForm {
    fn from(reason: &Reason) -> Self {
        let Reason { component, code, message } = reason.clone();
        Self { component, code, message }
    }
}

impl From<ReasonForm> for Reason {
    fn from(form: ReasonForm) -> Self {
        let ReasonForm { component, code, message } = form;
        Self { component, code, message }
    }
}

impl From<&Report> for ReportForm {
    fn from(report: &Report) -> Self {
        let Report { components, left_out } = report;
        let part = |component: &ComponentNotice| {
            let ComponentNotice { name, state, failure, messages } = component.clone();
            let failure = failure.map(|Told { code, message }| ToldForm { code, message });
            PartForm { name, state: state.into(), failure, messages }
        };
        Self { components: components.iter().map(part).collect(), left_out: *left_out }
    }
}

impl From<ReportForm> for Report {
    fn from(form: ReportForm) -> Self {
        let ReportForm { components, left_out } = form;
        let component = |part: PartForm| {
            let PartForm { name, state, failure, messages } = part;
            let failure = failure.map(|ToldForm { code, message }| Told { code, message });
            ComponentNotice { name, state: state.into(), failure, messages }
        };
        Self { components: components.into_iter().map(component).collect(), left_out }
    }
}

impl From<&Kept> for BaseForm {
    fn from(kept: &Kept) -> Self {
        let Kept { entries, turns, early, logs, newest } = kept;
        Self {
            entries: entries.iter().map(EntryForm::from).collect(),
            turns: turns.clone(),
            early: early.iter().map(|ticket| ticket.get()).collect(),
            logs: logs.iter().map(text).collect(),
            newest: newest.iter().map(NumberForm::from).collect(),
        }
    }
}

impl From<&(PlanKey, Newest)> for NumberForm {
    fn from(((namespace, plan), newest): &(PlanKey, Newest)) -> Self {
        let Newest { sequence, request, place } = newest.clone();
        Self { namespace: Arc::clone(namespace), plan: Arc::clone(plan), sequence, request, place }
    }
}

impl From<NumberForm> for (PlanKey, Newest) {
    fn from(form: NumberForm) -> Self {
        let NumberForm { namespace, plan, sequence, request, place } = form;
        ((namespace, plan), Newest { sequence, request, place })
    }
}

impl From<BaseForm> for Kept {
    fn from(form: BaseForm) -> Self {
        let BaseForm { entries, turns, early, logs, newest } = form;
        Self {
            entries: entries.into_iter().map(Into::into).collect(),
            turns,
            early: early.into_iter().map(Ticket::new).collect(),
            logs: logs.into_iter().map(RunId::new).collect(),
            newest: newest.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<&(Ticket, Entry)> for EntryForm {
    fn from((ticket, entry): &(Ticket, Entry)) -> Self {
        let Entry { key, at, asked, status, stop, superseded_by, notices } = entry;
        Self {
            ticket: ticket.get(),
            id: Arc::clone(&key.id),
            digest: key.digest.into(),
            at: at.as_micros(),
            asked: match asked {
                Asked::Run { namespace, plan } => AskForm::Run(plan_form(namespace, plan)),
                Asked::Stop { target, mode } => {
                    AskForm::Stop(TargetForm { target: Arc::clone(target), mode: (*mode).into() })
                }
                Asked::Nothing => AskForm::Nothing,
            },
            status: match status {
                Status::Waiting => StatusForm::Waiting,
                Status::Live { run } => StatusForm::Live(text(run)),
                Status::Closed(closed) => StatusForm::Closed((&**closed).into()),
            },
            stop: stop.map(Into::into),
            superseded_by: superseded_by.clone(),
            notices: notices.iter().map(Into::into).collect(),
        }
    }
}

impl From<EntryForm> for (Ticket, Entry) {
    fn from(form: EntryForm) -> Self {
        let EntryForm { ticket, id, digest, at, asked, status, stop, superseded_by, notices } = form;
        let entry = Entry {
            key: RequestKey { id, digest: digest.into() },
            at: Timestamp::from_micros(at),
            asked: match asked {
                AskForm::Run(PlanForm { namespace, plan }) => Asked::Run { namespace, plan },
                AskForm::Stop(TargetForm { target, mode }) => Asked::Stop { target, mode: mode.into() },
                AskForm::Nothing => Asked::Nothing,
            },
            status: match status {
                StatusForm::Waiting => Status::Waiting,
                StatusForm::Live(run) => Status::Live { run: RunId::new(run) },
                StatusForm::Closed(closed) => Status::Closed(Box::new(closed.into())),
            },
            stop: stop.map(Into::into),
            superseded_by,
            notices: notices.into_iter().map(Into::into).collect(),
        };
        (Ticket::new(ticket), entry)
    }
}

impl From<&Closed> for ClosedForm {
    fn from(closed: &Closed) -> Self {
        let Closed { place, at, run, answer, reason, report, acknowledged } = closed;
        Self {
            place: *place,
            at: at.as_micros(),
            run: run.as_ref().map(text),
            answer: match answer {
                Answer::Ended(outcome) => AnswerForm::Ended((*outcome).into()),
                Answer::Refused => AnswerForm::Refused,
                Answer::Taken => AnswerForm::Taken,
            },
            reason: reason.as_ref().map(Into::into),
            report: report.into(),
            acknowledged: *acknowledged,
        }
    }
}

impl From<ClosedForm> for Closed {
    fn from(form: ClosedForm) -> Self {
        let ClosedForm { place, at, run, answer, reason, report, acknowledged } = form;
        Self {
            place,
            at: Timestamp::from_micros(at),
            run: run.map(RunId::new),
            answer: match answer {
                AnswerForm::Ended(outcome) => Answer::Ended(outcome.into()),
                AnswerForm::Refused => Answer::Refused,
                AnswerForm::Taken => Answer::Taken,
            },
            reason: reason.map(Into::into),
            report: report.into(),
            acknowledged,
        }
    }
}

impl From<&Notified> for OutForm {
    fn from(notice: &Notified) -> Self {
        let Notified { receiver, standing, attempts, since, reason } = notice;
        Self {
            receiver: Arc::clone(receiver),
            standing: match standing {
                Standing::Due(at) => StandForm::Due(at.as_micros()),
                Standing::Sent => StandForm::Sent,
                Standing::Parked => StandForm::Parked,
            },
            attempts: *attempts,
            since: since.as_micros(),
            reason: reason.as_ref().map(Into::into),
        }
    }
}

impl From<OutForm> for Notified {
    fn from(form: OutForm) -> Self {
        let OutForm { receiver, standing, attempts, since, reason } = form;
        Self {
            receiver,
            standing: match standing {
                StandForm::Due(at) => Standing::Due(Timestamp::from_micros(at)),
                StandForm::Sent => Standing::Sent,
                StandForm::Parked => Standing::Parked,
            },
            attempts,
            since: Timestamp::from_micros(since),
            reason: reason.map(Into::into),
        }
    }
}
