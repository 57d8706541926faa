//! What a ledger tells the next process, and what is not kept.

use std::time::Duration;

use super::rig::{BEGUN, Rig, down, told};
use crate::failure::Failure;
use crate::ids::Seq;
use crate::run::Outcome;
use crate::scheduler::flight::Timer;
use crate::scheduler::rehearsal::LedgerReplica;
use crate::scheduler::{
    Arrival, Asks, Digest, Input, LedgerError, LedgerEvent, LedgerRecord, Newer, Reason, Report, Running,
    Scheduler, SchedulerOptions, Stand,
};

/// A ledger with everything in it.
fn busy() -> Rig {
    let newer = Newer::Supersede(Running::Cancel);
    let mut rig = Rig::new(SchedulerOptions { newer, parallel: 2, ..told() });
    for (request, namespace) in [("a", "1"), ("b", "1"), ("c", "2"), ("d", "3"), ("e", "1"), ("f", "3")] {
        rig.plan(request, namespace);
    }
    rig.refuse("bad");
    rig.cancel("stop-c", "c");
    rig.cancel("stop-g", "g");
    rig.end("c", Outcome::Cancelled);
    rig.notified("bad", "hook", Ok(()));
    rig.notified("stop-g", "hook", Ok(()));
    rig.notified("c", "hook", Err(down()));
    rig.plan("g", "4");
    rig.pass(Duration::from_secs(2));
    rig.notified("c", "hook", Ok(()));
    let handle = rig.plan("c", "2");
    rig.settled("c", &handle, Ok(()));
    rig
}

#[test]
fn every_beginning_of_a_ledger_can_be_taken_over_and_comes_to_its_end() {
    let whole = busy();
    for records in 0..=whole.ledger.len() {
        let mut rig = whole.taken_over(records);
        for (request, namespace) in
            [("a", "1"), ("b", "1"), ("c", "2"), ("d", "3"), ("e", "1"), ("f", "3"), ("g", "4")]
        {
            rig.plan(request, namespace);
        }
        loop {
            let opened = rig.opened();
            if opened.is_empty() {
                break;
            }
            for request in opened {
                rig.end(&request, Outcome::Succeeded);
            }
        }
        for _ in 0..20 {
            for left in rig.scheduler.view().undelivered().collect::<Vec<_>>() {
                rig.notified(&left.request, "hook", Ok(()));
            }
        }
        let open = rig.scheduler.view().requests().filter(|view| !matches!(view.stand(), Stand::Closed(_)));
        assert_eq!(open.count(), 0, "after {records}");
        assert_eq!(rig.scheduler.view().undelivered().count(), 0, "after {records}");
        assert!(rig.ledger.starts_with(&whole.ledger[..records]));
    }
}

#[test]
fn the_records_alone_tell_the_state() {
    let rig = busy();
    let mut replica = LedgerReplica::new(None);
    for record in &rig.ledger {
        replica.take(record).unwrap();
    }
    assert_eq!(replica.differs_from(&rig.scheduler), None);
    let state = &rig.scheduler.state;
    let again = super::super::state::State::of(&state.kept()).unwrap();
    let again = super::super::state::State { last_at: state.last_at, records: state.records, ..again };
    assert_eq!(again, *state, "what is kept tells the state");
}

#[test]
fn a_run_is_taken_up_when_its_plan_is_delivered_again() {
    let mut rig = Rig::new(SchedulerOptions::default());
    rig.plan("a", "n");
    rig.plan("b", "n");
    let run = rig.run_of("a");
    let mut next = rig.taken_over(rig.ledger.len());
    assert_eq!(next.done(), [""; 0]);
    next.plan("b", "n");
    assert_eq!(next.opened(), [""; 0], "its turn has not come");
    next.plan("a", "n");
    assert_eq!(next.opened(), ["a"]);
    assert_eq!(next.run_of("a"), run, "it is the same run");
    next.end("a", Outcome::Succeeded);
    assert_eq!(next.opened(), ["b"]);
}

#[test]
fn a_stop_outlives_the_process_that_took_it() {
    let mut rig = Rig::new(SchedulerOptions::default());
    rig.plan("a", "n");
    rig.cancel("stop", "a");
    let mut next = rig.taken_over(rig.ledger.len());
    next.plan("a", "n");
    assert_eq!(next.done(), ["open a", "stop a Now"]);
}

#[test]
fn a_plan_that_is_not_delivered_again_is_given_up_and_told() {
    let mut rig = Rig::new(told());
    rig.plan("a", "n");
    rig.plan("b", "n");
    let mut next = rig.taken_over(rig.ledger.len());
    next.pass(Duration::from_mins(30));
    next.plan("b", "n");
    assert_eq!(next.opened(), [""; 0]);
    next.pass(Duration::from_mins(31));
    assert_eq!(next.answer("a"), Some(Outcome::Failed));
    assert_eq!(next.opened(), ["b"]);
    let reason = next.scheduler.view().request("a").unwrap().reason().unwrap().clone();
    assert_eq!(&*reason.code, "request.plan-lost");
    assert!(next.done().contains(&"notify hook a".to_owned()));
}

#[test]
fn who_is_waited_for_and_until_when_is_seen_until_the_plan_comes() {
    let mut rig = Rig::new(told());
    rig.plan("a", "n");
    rig.plan("b", "n");
    rig.plan("c", "m");
    let run = rig.run_of("a");
    assert_eq!(rig.scheduler.view().awaited().count(), 0);
    let mut next = rig.taken_over(rig.ledger.len());
    let awaited = |rig: &Rig| -> Vec<String> {
        rig.scheduler.view().awaited().map(|awaited| awaited.request.to_string()).collect()
    };
    assert_eq!(awaited(&next), ["a", "b", "c"]);
    let first = next.scheduler.view().awaited().next().unwrap();
    assert_eq!(
        (&*first.namespace, first.run, first.until),
        ("n", Some(run), rig.now.plus(Duration::from_hours(1)))
    );
    next.plan("c", "m");
    assert_eq!(awaited(&next), ["a", "b"]);
    next.pass(Duration::from_hours(1));
    assert_eq!(awaited(&next), [""; 0]);
    assert!(next.scheduler.flight.timers.iter().all(|(_, timer)| !matches!(timer, Timer::Lost(_))));
}

#[test]
fn a_run_that_is_to_stop_is_waited_for_no_longer_than_its_queue_may_keep_it() {
    let visibility = Duration::from_mins(2);
    let options = SchedulerOptions { visibility: vec![visibility], ..told() };
    let stopped_after = |pass: Duration| {
        let mut rig = Rig::new(options.clone());
        rig.plan("a", "n");
        rig.plan("b", "n");
        let mut next = rig.taken_over(rig.ledger.len());
        next.plan("b", "n");
        next.pass(pass);
        next.cancel("stop", "a");
        next
    };
    let mut soon = stopped_after(Duration::from_secs(30));
    assert_eq!((soon.answer("a"), soon.opened()), (None, vec![]), "it may come back");
    soon.pass(Duration::from_secs(90));
    assert_eq!(soon.answer("a"), None, "it is visible again at the latest now, and still has to be received");
    soon.pass(Duration::from_mins(1));
    assert_eq!((soon.answer("a"), soon.opened()), (Some(Outcome::Cancelled), vec!["b".to_owned()]));
    let reason = soon.scheduler.view().request("a").unwrap().reason().unwrap().clone();
    assert_eq!(&*reason.code, "request.stopped-without-plan");
    let mut late = stopped_after(visibility + Duration::from_mins(1));
    assert_eq!((late.answer("a"), late.opened()), (Some(Outcome::Cancelled), vec!["b".to_owned()]));
    let mut back = stopped_after(Duration::from_secs(30));
    back.done();
    back.plan("a", "n");
    assert_eq!(back.done(), ["open a", "stop a Now"]);
    back.pass(Duration::from_mins(5));
    assert_eq!(back.answer("a"), None, "its run ends it");
}

#[test]
fn what_its_source_cannot_deliver_again_ends_at_once_and_makes_room() {
    let gone = || Asks::Nothing { failure: Failure::permanent("source.gone", "its file is gone") };
    let mut rig = Rig::new(told());
    for request in ["runs", "waits", "next"] {
        rig.plan(request, "n");
    }
    let mut next = rig.taken_over(rig.ledger.len());
    next.plan("next", "n");
    let handle = next.deliver("waits", "waits", gone());
    assert_eq!(next.answer("waits"), Some(Outcome::Failed));
    assert_eq!(next.done(), ["notify hook waits".to_owned(), format!("ack {handle}")]);
    let handle = next.deliver("runs", "runs", gone());
    assert_eq!(next.answer("runs"), Some(Outcome::Failed));
    let done = next.done();
    assert_eq!(done, ["notify hook runs".to_owned(), format!("ack {handle}"), "open next".to_owned()]);
    let reason = |request: &str| next.scheduler.view().request(request).unwrap().reason().unwrap().clone();
    assert_eq!((&*reason("waits").code, &*reason("waits").message), ("source.gone", "its file is gone"));
    let left = "its file is gone; what its run has done so far is left as it is";
    assert_eq!(&*reason("runs").message, left);
    assert_eq!(next.kinds()["closed"], 2);
}

#[test]
fn what_was_accepted_is_run_though_nobody_would_accept_it_any_more() {
    let mut rig = Rig::new(told());
    rig.plan("a", "n");
    let mut next = rig.taken_over(rig.ledger.len());
    let failure =
        Failure::permanent("function.not-allowed", "it is not among the functions that may be called");
    next.handle(Input::Received(Arrival {
        source: 0,
        handle: "a#2".into(),
        request: "a".into(),
        digest: Digest::of(b"a"),
        body: b"a".as_slice().into(),
        asks: Asks::Nothing { failure },
    }));
    assert_eq!((next.answer("a"), next.opened()), (None, vec!["a".to_owned()]));
}

#[test]
fn what_was_to_stop_and_cannot_be_delivered_again_is_cancelled() {
    let mut rig = Rig::new(told());
    rig.plan("a", "n");
    let mut next = rig.taken_over(rig.ledger.len());
    next.cancel("stop", "a");
    let failure = Failure::permanent("source.gone", "its file is gone");
    next.deliver("a", "a", Asks::Nothing { failure });
    assert_eq!(next.answer("a"), Some(Outcome::Cancelled));
}

#[test]
fn a_plan_in_hand_is_run_whatever_becomes_of_its_later_deliveries() {
    let mut rig = Rig::new(told());
    rig.plan("a", "n");
    rig.plan("b", "n");
    let failure = Failure::permanent("source.gone", "its file is gone");
    for request in ["a", "b"] {
        rig.deliver(request, request, Asks::Nothing { failure: failure.clone() });
    }
    rig.end("a", Outcome::Succeeded);
    assert_eq!(rig.opened(), ["a", "b"]);
}

#[test]
fn what_is_told_of_answers_has_a_limit_and_the_oldest_are_forgotten_first() {
    let mut rig = Rig::new(SchedulerOptions { remember_bytes_max: 1_000, ..told() });
    for number in 0..6 {
        let request = format!("r{number}");
        let handle = rig.plan(&request, "n");
        let failure = Failure::permanent("t", "x".repeat(300));
        let (run, reason) = (rig.run_of(&request), Some(Reason::of(&failure)));
        let report = Report::default();
        rig.handle(Input::RunEnded { run, outcome: Outcome::Failed, reason, report });
        rig.settled(&request, &handle, Ok(()));
        rig.notified(&request, "hook", Ok(()));
    }
    let known: Vec<String> = rig.scheduler.view().requests().map(|view| view.key().id.to_string()).collect();
    assert_eq!(known, ["r3", "r4", "r5"]);
    let next = rig.taken_over(rig.ledger.len());
    assert_eq!(next.scheduler.state.told_bytes, rig.scheduler.state.told_bytes);
}

#[test]
fn notices_for_receivers_that_are_gone_are_kept_and_not_tried() {
    let mut rig = Rig::new(told());
    rig.plan("a", "n");
    rig.end("a", Outcome::Succeeded);
    let mut scheduler = Scheduler::resume(SchedulerOptions::default(), &rig.ledger, rig.now).unwrap();
    let records: Vec<LedgerRecord> = std::iter::from_fn(|| scheduler.poll_event()).collect();
    assert!(matches!(records[1].event, LedgerEvent::NoticeFailed { retry_at: None, .. }), "{records:?}");
    assert_eq!(scheduler.poll_command(), None);
    assert_eq!(scheduler.view().undelivered().count(), 1);
}

#[test]
fn answers_are_forgotten_by_number_and_by_age_and_never_before_they_were_told() {
    let ten_days = Duration::from_hours(24 * 10);
    let options = SchedulerOptions { remember_max: 3, remember_for: ten_days, ..told() };
    let mut rig = Rig::new(options);
    for number in 0..6 {
        let request = format!("r{number}");
        let handle = rig.plan(&request, "n");
        rig.end(&request, Outcome::Succeeded);
        rig.settled(&request, &handle, Ok(()));
        if number != 1 {
            rig.notified(&request, "hook", Ok(()));
        }
    }
    let known = |rig: &Rig| -> Vec<String> {
        rig.scheduler.view().requests().map(|view| view.key().id.to_string()).collect()
    };
    assert_eq!(known(&rig), ["r1", "r3", "r4", "r5"], "r1 was not told");
    rig.pass(ten_days);
    assert_eq!(known(&rig), ["r1"]);
    rig.pass(ten_days);
    assert_eq!(known(&rig), [""; 0], "it was given up");
}

#[test]
fn what_a_ledger_and_its_logs_hold_is_bounded_however_many_requests_there_were() {
    let options = SchedulerOptions { remember_max: 50, logs_max: 10, ..told() };
    let mut rig = Rig::new(options);
    let mut longest = 0;
    for number in 0..3_000 {
        let request = format!("r{number}");
        let handle = rig.plan(&request, &format!("n{}", number % 7));
        rig.end(&request, Outcome::Succeeded);
        rig.notified(&request, "hook", Ok(()));
        rig.settled(&request, &handle, Ok(()));
        let is_base = |record: &LedgerRecord| matches!(record.event, LedgerEvent::Compacted { .. });
        if let Some(base) = rig.ledger.iter().rposition(is_base) {
            rig.ledger.drain(..base);
        }
        longest = longest.max(rig.ledger.len());
        rig.commands.clear();
    }
    assert!(longest <= 1_000 + 4 * 52 + 10, "{longest}");
    assert!(rig.scheduler.view().len() <= 51);
    assert_eq!(rig.scheduler.state.logs.len(), 10);
    assert_eq!(rig.scheduler.view().namespaces(), 0, "idle namespaces are not kept");
    let next = rig.taken_over(rig.ledger.len());
    assert_eq!(next.scheduler.view().len(), rig.scheduler.view().len());
    assert!(rig.scheduler.flight.timers.len() < 20, "{}", rig.scheduler.flight.timers.len());
}

#[test]
fn a_ledger_that_contradicts_itself_is_refused() {
    let whole = busy().ledger;
    let resume = |records: &[LedgerRecord]| {
        Scheduler::resume(SchedulerOptions::default(), records, BEGUN).map(|_| ()).unwrap_err()
    };
    let mut missing = whole.clone();
    missing.remove(3);
    assert_eq!(resume(&missing), LedgerError::OutOfOrder { expected: 4, found: 5 });
    for place in 0..whole.len() {
        let doubled = LedgerRecord { seq: Seq::new(whole.len() as u64 + 1), ..whole[place].clone() };
        let at = whole.last().unwrap().at;
        let records: Vec<_> = whole.iter().cloned().chain([LedgerRecord { at, ..doubled.clone() }]).collect();
        let harmless = matches!(
            doubled.event,
            LedgerEvent::TakenOver | LedgerEvent::Acknowledged { .. } | LedgerEvent::Superseded { .. }
        );
        let found = Scheduler::resume(SchedulerOptions::default(), &records, BEGUN);
        assert!(harmless || matches!(found, Err(LedgerError::Illegal { .. })), "{doubled:?}: {found:?}");
    }
}
