//! One event of each kind of a ledger, in an order that a scheduler could have decided.

use std::sync::Arc;
use std::time::Duration;

use crate::failure::Failure;
use crate::ids::{RunId, Seq};
use crate::run::{Outcome, StopMode};
use crate::scheduler::rehearsal::LedgerReplica;
use crate::scheduler::{Digest, LedgerEvent, LedgerRecord, Reason, Report, RequestKey, Ticket};
use crate::time::Timestamp;

fn key(id: &str) -> RequestKey {
    RequestKey { id: id.into(), digest: Digest::of(id.as_bytes()) }
}

fn accepted(id: &str, namespace: &str) -> LedgerEvent {
    let (key, namespace, plan) = (key(id), namespace.into(), "app".into());
    LedgerEvent::Accepted { key, namespace, plan, sequence: None }
}

/// At least one event of every kind, as a ledger that was taken over once and compacted at its end.
///
/// # Panics
/// Never: the ledger is a good one.
pub fn sample_ledger() -> Vec<LedgerRecord> {
    let begun = Timestamp::from_micros(1_763_596_800_000_000);
    let mut records = Vec::new();
    let mut replica = LedgerReplica::default();
    let mut push = |event: LedgerEvent, replica: &mut LedgerReplica| {
        let seq = Seq::new(records.len() as u64 + 1);
        let record = LedgerRecord { seq, at: begun.plus(Duration::from_secs(seq.get())), event };
        let taken = replica.take(&record);
        assert!(taken.is_ok(), "{taken:?}: {record:?}");
        records.push(record);
    };
    for event in events(begun) {
        push(event, &mut replica);
    }
    let kept = Box::new(replica.kept());
    push(LedgerEvent::Compacted { kept }, &mut replica);
    records
}

fn events(begun: Timestamp) -> Vec<LedgerEvent> {
    let receivers: Vec<Arc<str>> = vec!["hook".into(), "queue".into()];
    let reason = |code: &'static str| Reason::of(&Failure::permanent(code, "it \"is\" ä\n so"));
    let ticket = Ticket::new;
    let sent = |k, to: &str| LedgerEvent::NoticeSent { ticket: ticket(k), receiver: to.into() };
    let missed = |k, retry_at| LedgerEvent::NoticeFailed {
        ticket: ticket(k),
        receiver: "hook".into(),
        reason: reason("hook.down"),
        retry_at,
    };
    let closed = |k, outcome, reason| LedgerEvent::RunClosed {
        ticket: ticket(k),
        outcome,
        reason,
        report: Report::default(),
        receivers: receivers.clone(),
    };
    let stopped = |key, target: &str, mode| LedgerEvent::StopAsked {
        key,
        target: target.into(),
        mode,
        reason: None,
        receivers: Vec::new(),
    };
    let opened = |k, run| LedgerEvent::RunOpened { ticket: ticket(k), run: RunId::new(run) };
    let plan = Some(("shop".into(), "app".into()));
    vec![
        LedgerEvent::TakenOver,
        accepted("first", "shop"),
        accepted("second", "shop"),
        accepted("other", "forum"),
        opened(2, "run-2"),
        accepted("third", "shop"),
        LedgerEvent::Refused {
            key: RequestKey { digest: Digest::of(b"x"), ..key("first") },
            asked: plan,
            reason: reason("request.id-reused"),
            receivers: receivers.clone(),
        },
        LedgerEvent::Superseded { ticket: ticket(3), by: ticket(6) },
        LedgerEvent::Refused { key: key("bad"), asked: None, reason: reason("plan.bad"), receivers: vec![] },
        closed(3, Outcome::Superseded, None),
        stopped(Some(key("stop-other")), "other", StopMode::Now),
        closed(4, Outcome::Cancelled, None),
        stopped(Some(key("early")), "later", StopMode::Drain),
        sent(7, "hook"),
        sent(7, "queue"),
        LedgerEvent::TakenOver,
        stopped(None, "first", StopMode::Supersede),
        closed(2, Outcome::Failed, Some(reason("k8s.pod.crash-loop").with_component("web"))),
        missed(2, Some(begun.plus(Duration::from_mins(1)))),
        missed(3, None),
        sent(2, "queue"),
        LedgerEvent::NoticeRenewed { ticket: ticket(3), receiver: "hook".into() },
        LedgerEvent::Acknowledged { ticket: ticket(2) },
        opened(6, "run-6"),
        accepted("fourth", "shop"),
        accepted("fifth", "wiki"),
        LedgerEvent::Forgotten { tickets: vec![ticket(7), ticket(9)] },
        LedgerEvent::LogsDropped { runs: vec![RunId::new("run-2")] },
        missed(4, None),
        closed(6, Outcome::Succeeded, None),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A new event does not compile here until it has a number, and the test fails until it is among the samples.
    fn number(event: &LedgerEvent) -> usize {
        match event {
            LedgerEvent::TakenOver => 0,
            LedgerEvent::Accepted { .. } => 1,
            LedgerEvent::Refused { .. } => 2,
            LedgerEvent::StopAsked { .. } => 3,
            LedgerEvent::RunOpened { .. } => 4,
            LedgerEvent::Superseded { .. } => 5,
            LedgerEvent::RunClosed { .. } => 6,
            LedgerEvent::NoticeSent { .. } => 7,
            LedgerEvent::NoticeFailed { .. } => 8,
            LedgerEvent::NoticeRenewed { .. } => 9,
            LedgerEvent::Acknowledged { .. } => 10,
            LedgerEvent::Forgotten { .. } => 11,
            LedgerEvent::LogsDropped { .. } => 12,
            LedgerEvent::Compacted { .. } => 13,
        }
    }

    #[test]
    fn every_event_of_a_ledger_is_among_the_samples() {
        let found: BTreeSet<usize> = sample_ledger().iter().map(|record| number(&record.event)).collect();
        assert_eq!(found, (0..14).collect());
    }
}
