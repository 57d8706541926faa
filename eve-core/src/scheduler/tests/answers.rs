//! One answer for one request, and who is told.

use std::time::Duration;

use super::rig::{Rig, down, run_in, told};
use crate::failure::Failure;
use crate::run::Outcome;
use crate::scheduler::{
    AcknowledgeAfter, Answer, Input, LedgerEvent, NoticeOptions, Outgoing, REQUEST_BYTES_MAX, Report,
    SchedulerOptions,
};

fn notice(rig: &Rig, request: &str) -> Outgoing {
    rig.scheduler.notice(rig.ticket(request), "hook").unwrap()
}

#[test]
fn a_delivery_of_what_runs_joins_it_and_the_newest_handle_is_acknowledged() {
    let mut rig = Rig::new(told());
    rig.plan("a", "n");
    let again = rig.plan("a", "n");
    assert_eq!(rig.opened(), ["a"]);
    assert_eq!(rig.kinds()["accepted"], 1);
    rig.end("a", Outcome::Succeeded);
    assert_eq!(rig.done(), ["notify hook a".to_owned(), format!("ack {again}")]);
}

#[test]
fn a_delivery_of_what_was_answered_is_answered_again_in_the_same_words() {
    let mut rig = Rig::new(told());
    let first = rig.plan("a", "n");
    rig.end("a", Outcome::Failed);
    let before = notice(&rig, "a");
    rig.notified("a", "hook", Ok(()));
    rig.settled("a", &first, Ok(()));
    rig.done();
    let records = rig.ledger.len();
    rig.pass(Duration::from_hours(24 * 14));
    let again = rig.plan("a", "n");
    assert_eq!(rig.done(), ["notify hook a".to_owned(), format!("ack {again}")]);
    assert_eq!(notice(&rig, "a"), before);
    assert_eq!(before.answer, Answer::Ended(Outcome::Failed));
    rig.notified("a", "hook", Err(down()));
    assert_eq!(rig.ledger.len(), records, "nothing new has happened");
}

#[test]
fn the_same_identifier_with_other_content_is_refused_and_both_are_told_apart() {
    let mut rig = Rig::new(told());
    rig.plan("a", "n");
    rig.done();
    let other = rig.deliver("a", "other content", run_in("n", "app"));
    let done = rig.done();
    assert_eq!(done[0], "notify hook a");
    assert!(done[1].starts_with(&format!("reject {other}: request a was delivered before")), "{done:?}");
    assert_eq!(done.len(), 2);
    rig.end("a", Outcome::Succeeded);
    let notices: Vec<Outgoing> = rig
        .scheduler
        .view()
        .requests()
        .map(|view| rig.scheduler.notice(view.ticket(), "hook").unwrap())
        .collect();
    assert_eq!(
        notices.iter().map(|notice| notice.answer).collect::<Vec<_>>(),
        [Answer::Ended(Outcome::Succeeded), Answer::Refused]
    );
    assert_ne!(notices[0].key, notices[1].key);
    assert_eq!((&*notices[1].namespace, &*notices[1].plan), ("n", "app"));
    rig.done();
    let again = rig.deliver("a", "other content", run_in("n", "app"));
    let done = rig.done();
    assert!(done.iter().any(|done| done.starts_with(&format!("reject {again}"))), "{done:?}");
    assert_eq!(rig.kinds()["refused"], 1);
}

#[test]
fn what_cannot_be_read_is_rejected_with_its_reason_and_told() {
    let mut rig = Rig::new(told());
    let handle = rig.refuse("bad");
    assert_eq!(rig.done(), ["notify hook bad".to_owned(), format!("reject {handle}: line 1: it is no plan")]);
    let notice = notice(&rig, "bad");
    assert_eq!((notice.answer, notice.run, &*notice.namespace), (Answer::Refused, None, ""));
    let long = "x".repeat(REQUEST_BYTES_MAX + 1);
    rig.plan(&long, "n");
    rig.plan(&long, "n");
    assert_eq!(rig.kinds()["refused"], 2, "known by its digest");
    assert!(rig.scheduler.view().requests().all(|view| view.key().id.len() <= REQUEST_BYTES_MAX));
}

#[test]
#[should_panic(expected = "records must be polled and stored before commands")]
fn nothing_is_done_before_the_records_are_polled() {
    let mut rig = Rig::new(told());
    rig.plan("a", "n");
    let run = rig.run_of("a");
    rig.scheduler.handle(
        Input::RunEnded { run, outcome: Outcome::Succeeded, reason: None, report: Report::default() },
        rig.now,
    );
    let _ = rig.scheduler.poll_command();
}

#[test]
fn an_outcome_stands_in_one_record_with_who_is_to_be_told() {
    let mut options = told();
    options.receivers.push("queue".into());
    let mut rig = Rig::new(options.clone());
    rig.plan("a", "n");
    rig.end("a", Outcome::Succeeded);
    let closed = rig.ledger.iter().find_map(|record| {
        let LedgerEvent::RunClosed { receivers, .. } = &record.event else { return None };
        Some(receivers.clone())
    });
    assert_eq!(closed, Some(options.receivers));
    let (hook, queue) = (notice(&rig, "a"), rig.scheduler.notice(rig.ticket("a"), "queue").unwrap());
    assert_eq!(hook, queue, "all are told the same");
    assert_eq!(rig.scheduler.notice(rig.ticket("a"), "nobody"), None);
}

#[test]
fn a_notice_is_sent_again_after_pauses_that_double_to_the_longest() {
    let mut rig = Rig::new(told());
    rig.plan("a", "n");
    rig.end("a", Outcome::Succeeded);
    rig.done();
    let key = notice(&rig, "a").key;
    for longest_s in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600] {
        rig.notified("a", "hook", Err(down()));
        let retry_at = rig.scheduler.view().undelivered().next().unwrap().retry_at.unwrap();
        let pause = retry_at.since(rig.now).as_secs_f64();
        let longest = f64::from(longest_s);
        assert!((longest / 2.0..=longest).contains(&pause), "{pause} of {longest}");
        rig.pass(retry_at.since(rig.now));
        assert!(rig.done().contains(&"notify hook a".to_owned()));
        assert_eq!(notice(&rig, "a").key, key);
    }
    rig.notified("a", "hook", Ok(()));
    assert_eq!(rig.scheduler.view().undelivered().count(), 0);
    rig.notified("a", "hook", Err(down()));
    assert_eq!(rig.kinds()["sent"], 1, "the end of a call that is over tells nothing");
}

#[test]
fn a_refused_notice_is_sent_slowly_and_one_beyond_its_budget_is_kept_until_somebody_asks() {
    let mut options = told();
    options.notices = NoticeOptions { attempts_max: 3, ..NoticeOptions::default() };
    let mut rig = Rig::new(options);
    rig.plan("a", "n");
    rig.end("a", Outcome::Succeeded);
    for attempt in 1..=3 {
        rig.notified("a", "hook", Err(Failure::permanent("hook.401", "the receiver knows no such key")));
        let left = rig.scheduler.view().undelivered().next().unwrap();
        assert_eq!((left.attempts, left.retry_at.is_some()), (attempt, attempt < 3));
        let pause = left.retry_at.map(|at| at.since(rig.now));
        assert!(pause.is_none_or(|pause| pause >= Duration::from_mins(30)), "{pause:?}");
        rig.pass(pause.unwrap_or_default());
    }
    rig.done();
    let left = rig.scheduler.view().undelivered().next().unwrap();
    assert_eq!(left.reason.unwrap().to_string(), "the receiver knows no such key");
    rig.handle(Input::SendAgain { request: "a".into() });
    assert_eq!(rig.done(), ["notify hook a"]);
    rig.notified("a", "hook", Ok(()));
    assert_eq!(rig.scheduler.view().undelivered().count(), 0);
}

#[test]
fn a_notice_is_given_up_at_its_deadline() {
    let mut options = told();
    options.notices = NoticeOptions { attempts_max: 1_000, ..NoticeOptions::default() };
    let mut rig = Rig::new(options);
    rig.plan("a", "n");
    rig.end("a", Outcome::Succeeded);
    let begun = rig.now;
    let mut tries = 0;
    let retry_at = |rig: &Rig| rig.scheduler.view().undelivered().next().unwrap().retry_at;
    while let Some(retry_at) = retry_at(&rig) {
        rig.pass(retry_at.since(rig.now));
        rig.notified("a", "hook", Err(down()));
        tries += 1;
        assert!(tries < 1_000);
    }
    let days = rig.now.since(begun).as_secs() / 86_400;
    assert!(days == 13 && tries > 336, "at least one an hour for 14 days: {tries} in {days}");
}

#[test]
fn a_call_without_an_answer_counts_as_failed() {
    let mut rig = Rig::new(told());
    rig.plan("a", "n");
    rig.end("a", Outcome::Succeeded);
    rig.pass(Duration::from_secs(12));
    assert_eq!(rig.kinds()["not sent"], 1);
    assert!(rig.scheduler.view().undelivered().next().unwrap().reason.unwrap().message.contains("10 s"));
}

#[test]
fn a_dead_receiver_holds_neither_plans_nor_other_receivers() {
    let mut options = told();
    options.receivers.push("alive".into());
    let mut rig = Rig::new(options);
    for number in 0..20 {
        let request = format!("r{number}");
        let handle = rig.plan(&request, "n");
        assert_eq!(rig.opened(), std::slice::from_ref(&request));
        rig.end(&request, Outcome::Succeeded);
        let done = rig.done();
        assert!(done.contains(&format!("notify alive {request}")), "{done:?}");
        assert!(done.contains(&format!("ack {handle}")), "{done:?}");
        assert_eq!(done.contains(&format!("notify hook {request}")), number < 4, "four at a time: {done:?}");
        rig.notified(&request, "alive", Ok(()));
    }
    assert_eq!(rig.scheduler.view().undelivered().count(), 20);
}

#[test]
fn where_it_is_asked_for_a_delivery_is_kept_until_everybody_was_told() {
    let mut rig = Rig::new(SchedulerOptions { acknowledge: AcknowledgeAfter::Told, ..told() });
    let handle = rig.plan("a", "n");
    rig.plan("b", "n");
    rig.end("a", Outcome::Succeeded);
    assert_eq!(rig.opened(), ["a", "b"], "the plan is not held");
    assert_eq!(rig.done(), ["notify hook a"]);
    rig.notified("a", "hook", Err(down()));
    assert_eq!(rig.done(), [""; 0]);
    rig.pass(Duration::from_secs(1));
    rig.notified("a", "hook", Ok(()));
    assert_eq!(rig.done(), ["notify hook a".to_owned(), format!("ack {handle}")]);
}

#[test]
fn a_receiver_can_tell_an_older_notice_of_a_namespace_from_a_newer_one() {
    let mut rig = Rig::new(told());
    for request in ["a", "b", "c"] {
        rig.plan(request, "n");
    }
    for request in ["a", "b", "c"] {
        assert_eq!(rig.opened(), [request]);
        rig.end(request, Outcome::Succeeded);
    }
    let sequences = ["a", "b", "c"].map(|request| notice(&rig, request).sequence);
    assert!(sequences.is_sorted_by(|before, after| before < after), "{sequences:?}");
    let resumed = rig.taken_over(rig.ledger.len());
    assert_eq!(["a", "b", "c"].map(|request| notice(&resumed, request).sequence), sequences);
}
