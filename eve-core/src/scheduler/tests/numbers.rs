//! Plans that their sender counts: what comes after a newer one is not run.

use std::collections::BTreeMap;
use std::time::Duration;

use super::rig::{Rig, numbered, run_in, told};
use crate::run::{Outcome, StopMode};
use crate::scheduler::{Answer, Asks, LedgerEvent, LedgerRecord, Newer, Running, SchedulerOptions, Stand};

/// Delivers a plan `app` of the namespace `n` with this number.
fn send(rig: &mut Rig, request: &str, sequence: u64) -> String {
    rig.deliver(request, request, numbered("n", "app", sequence))
}

fn reason(rig: &Rig, request: &str) -> (String, String) {
    let view = rig.scheduler.view();
    let reason = view.by_ticket(rig.ticket(request)).unwrap().reason().unwrap();
    (reason.code.to_string(), reason.message.to_string())
}

#[test]
fn a_plan_that_comes_after_a_newer_one_is_superseded_at_once_whatever_the_policy_and_whatever_became_of_that()
{
    let policies = [
        Newer::Queue,
        Newer::Supersede(Running::Finish),
        Newer::Supersede(Running::Drain),
        Newer::Supersede(Running::Cancel),
    ];
    for newer in policies {
        for ended in [None, Some(Outcome::Succeeded), Some(Outcome::Failed), Some(Outcome::Cancelled)] {
            let newer_in = BTreeMap::from([("n".to_owned(), newer)]);
            let mut rig = Rig::new(SchedulerOptions { newer_in, ..told() });
            send(&mut rig, "nine", 9);
            if let Some(outcome) = ended {
                rig.end("nine", outcome);
            }
            rig.done();
            let handle = send(&mut rig, "eight", 8);
            assert_eq!(rig.answer("eight"), Some(Outcome::Superseded), "{newer:?} {ended:?}");
            assert_eq!(
                rig.done(),
                ["notify hook eight".to_owned(), format!("ack {handle}")],
                "{newer:?} {ended:?}"
            );
            let notice = rig.scheduler.notice(rig.ticket("eight"), "hook").unwrap();
            assert_eq!((notice.run, notice.superseded_by.as_deref()), (None, Some("nine")));
            let (code, message) = reason(&rig, "eight");
            assert_eq!(code, "request.superseded");
            for told in ["request nine ", "sequence 9", "this one has 8"] {
                assert!(message.contains(told), "{message}");
            }
            let live = matches!(rig.stand("nine"), Some(Stand::Live(_)));
            assert_eq!(live, ended.is_none(), "the newer one is left alone");
        }
    }
}

#[test]
fn higher_numbers_run_in_the_order_in_which_they_come() {
    let mut rig = Rig::new(SchedulerOptions::default());
    for (request, sequence) in [("a", 0), ("b", 7), ("c", u64::MAX)] {
        send(&mut rig, request, sequence);
    }
    for request in ["a", "b", "c"] {
        assert_eq!(rig.opened(), [request]);
        rig.end(request, Outcome::Succeeded);
    }
}

#[test]
fn a_delivery_of_an_older_plan_that_ran_before_the_newer_one_has_its_own_outcome() {
    let mut rig = Rig::new(SchedulerOptions::default());
    send(&mut rig, "eight", 8);
    send(&mut rig, "nine", 9);
    send(&mut rig, "eight", 8);
    assert_eq!(rig.opened(), ["eight"], "it joins its run");
    rig.end("eight", Outcome::Failed);
    rig.end("nine", Outcome::Succeeded);
    let again = send(&mut rig, "eight", 8);
    assert_eq!(rig.answer("eight"), Some(Outcome::Failed));
    assert_eq!(rig.done().last(), Some(&format!("ack {again}")));
}

#[test]
fn the_number_of_another_request_is_refused() {
    let mut rig = Rig::new(told());
    send(&mut rig, "nine", 9);
    let handle = send(&mut rig, "other", 9);
    let (code, message) = reason(&rig, "other");
    assert_eq!(code, "request.sequence-reused");
    assert!(message.contains("request nine ") && message.contains("sequence 9"), "{message}");
    let done = rig.done();
    assert!(done.contains(&"notify hook other".to_owned()), "{done:?}");
    assert!(done.last().unwrap().starts_with(&format!("reject {handle}: ")), "{done:?}");
    send(&mut rig, "ten", 10);
    assert_eq!(rig.stand("ten"), Some(Stand::Waiting), "what is refused counts for nothing");
}

#[test]
fn what_is_refused_raises_no_number() {
    let mut rig = Rig::new(SchedulerOptions::default());
    send(&mut rig, "eight", 8);
    rig.deliver("eight", "other content", numbered("n", "app", 20));
    send(&mut rig, "nine", 9);
    assert_eq!(rig.stand("nine"), Some(Stand::Waiting));
}

#[test]
fn numbers_count_within_the_plans_of_one_name_in_one_namespace() {
    let mut rig = Rig::new(SchedulerOptions::default());
    send(&mut rig, "nine", 9);
    for (request, asks) in [
        ("other plan", numbered("n", "job", 8)),
        ("other namespace", numbered("m", "app", 8)),
        ("without a number", run_in("n", "app")),
    ] {
        rig.deliver(request, request, asks);
        assert_eq!(rig.answer(request), None, "{request}");
    }
    send(&mut rig, "eight", 8);
    assert_eq!(rig.answer("eight"), Some(Outcome::Superseded), "one without a number changes nothing");
}

#[test]
fn a_stop_that_came_before_does_not_make_an_older_plan_anything_but_superseded() {
    let mut rig = Rig::new(SchedulerOptions::default());
    rig.deliver("stop", "stop", Asks::Stop { request: "eight".into(), mode: StopMode::Now });
    send(&mut rig, "nine", 9);
    send(&mut rig, "eight", 8);
    assert_eq!(rig.answer("eight"), Some(Outcome::Superseded));
    assert_eq!(rig.opened(), ["nine"]);
}

#[test]
fn the_number_outlives_the_process_the_answer_and_the_compaction() {
    let options = SchedulerOptions { remember_max: 0, records_free: 0, ..SchedulerOptions::default() };
    let mut rig = Rig::new(options);
    let handle = send(&mut rig, "nine", 9);
    rig.end("nine", Outcome::Succeeded);
    rig.settled("nine", &handle, Ok(()));
    assert_eq!(rig.stand("nine"), None, "its answer is forgotten");
    let bases = |rig: &Rig| rig.kinds().get("compacted").copied().unwrap_or_default();
    assert!(bases(&rig) > 0);
    for records in [rig.ledger.len(), rig.ledger.len()] {
        let mut next = rig.taken_over(records);
        send(&mut next, "eight", 8);
        assert_eq!(next.opened(), [""; 0]);
        let ends = |record: &&LedgerRecord| {
            matches!(record.event, LedgerEvent::RunClosed { outcome: Outcome::Superseded, .. })
        };
        assert_eq!(next.ledger.iter().filter(ends).count(), 1);
        rig = next;
    }
    // The same request is known by its identifier, though not by its answer: it is a new one, as without a number.
    send(&mut rig, "nine", 9);
    assert_eq!(rig.opened(), ["nine"]);
}

#[test]
fn every_beginning_of_a_ledger_with_numbers_comes_to_the_same() {
    let mut whole = Rig::new(told());
    for (request, sequence) in [("five", 5), ("nine", 9), ("eight", 8), ("same", 9)] {
        send(&mut whole, request, sequence);
    }
    for records in 0..=whole.ledger.len() {
        let mut rig = whole.taken_over(records);
        for (request, sequence) in [("five", 5), ("nine", 9), ("eight", 8), ("same", 9)] {
            send(&mut rig, request, sequence);
        }
        assert_eq!(rig.answer("eight"), Some(Outcome::Superseded), "after {records}");
        let view = rig.scheduler.view();
        let same = view.by_ticket(rig.ticket("same")).unwrap().stand();
        assert_eq!(same, Stand::Closed(Answer::Refused), "after {records}");
        let mut opened = rig.opened();
        rig.end("five", Outcome::Succeeded);
        opened.extend(rig.opened());
        assert_eq!(opened, ["five", "nine"], "after {records}");
    }
}

#[test]
fn the_numbers_of_so_many_plans_are_kept_and_of_the_latest() {
    let options = SchedulerOptions {
        numbers_max: 10,
        remember_max: 5,
        records_free: 20,
        ..SchedulerOptions::default()
    };
    let mut rig = Rig::new(options);
    for number in 0..300 {
        let (request, namespace) = (format!("r{number}"), format!("n{number}"));
        let handle = rig.deliver(&request, &request, numbered(&namespace, "app", 9));
        rig.end(&request, Outcome::Succeeded);
        rig.settled(&request, &handle, Ok(()));
        rig.commands.clear();
    }
    let kept = rig.scheduler.state.newest.len();
    assert!((10..=10 + 20 + 4 * 6).contains(&kept), "{kept}");
    rig.deliver("late", "late", numbered("n299", "app", 8));
    assert_eq!(rig.answer("late"), Some(Outcome::Superseded));
    rig.deliver("long ago", "long ago", numbered("n0", "app", 8));
    assert_eq!(rig.answer("long ago"), None);
    rig.pass(Duration::from_hours(24 * 365));
    rig.deliver("years later", "years later", numbered("n299", "app", 7));
    assert_eq!(rig.answer("years later"), Some(Outcome::Superseded), "age alone forgets no number");
}
