//! Whose run is opened when, and what stops it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::rig::{Rig, run_in, told};
use crate::ids::RunId;
use crate::run::{Outcome, StopMode};
use crate::scheduler::{Input, Newer, Running, SchedulerOptions, Stand};

fn one_at_a_time() -> SchedulerOptions {
    SchedulerOptions { parallel: 1, ..SchedulerOptions::default() }
}

#[test]
fn plans_of_a_namespace_run_one_after_the_other_in_the_order_in_which_they_came() {
    let mut rig = Rig::new(SchedulerOptions::default());
    for request in ["a", "b", "c"] {
        rig.plan(request, "n");
    }
    assert_eq!(rig.opened(), ["a"]);
    rig.end("a", Outcome::Failed);
    assert_eq!(rig.opened(), ["b"]);
    rig.end("b", Outcome::Succeeded);
    assert_eq!(rig.opened(), ["c"]);
}

#[test]
fn namespaces_run_beside_each_other_up_to_the_limit() {
    let mut rig = Rig::new(SchedulerOptions { parallel: 2, ..SchedulerOptions::default() });
    for (request, namespace) in [("a", "1"), ("b", "2"), ("c", "3"), ("d", "1")] {
        rig.plan(request, namespace);
    }
    assert_eq!(rig.opened(), ["a", "b"]);
    assert_eq!((rig.scheduler.view().live(), rig.scheduler.view().waiting()), (2, 2));
    rig.end("b", Outcome::Succeeded);
    assert_eq!(rig.opened(), ["c"], "the place of a namespace counts from when it could run, d's is taken");
}

#[test]
fn a_thousand_plans_of_one_namespace_delay_another_by_one_run() {
    let mut rig = Rig::new(one_at_a_time());
    for number in 0..1_000 {
        rig.plan(&format!("many-{number}"), "many");
    }
    assert_eq!(rig.opened(), ["many-0"]);
    rig.plan("single", "single");
    rig.end("many-0", Outcome::Succeeded);
    assert_eq!(rig.opened(), ["single"]);
    rig.end("single", Outcome::Succeeded);
    assert_eq!(rig.opened(), ["many-1"]);
}

#[test]
fn until_a_namespace_has_its_turn_each_other_has_one_run_at_most() {
    // Crowds of different sizes, which come at different times.
    let mut rig = Rig::new(one_at_a_time());
    let crowd = |rig: &mut Rig, namespace: &str, plans: usize| {
        for number in 0..plans {
            rig.plan(&format!("{namespace}-{number}"), namespace);
        }
    };
    for (namespace, plans) in [("a", 40), ("b", 1), ("c", 20), ("d", 7)] {
        crowd(&mut rig, namespace, plans);
    }
    let mut since: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
    let mut turn = 0;
    while let Some(request) = rig.opened().pop() {
        let namespace = request.split('-').next().unwrap().to_owned();
        since.remove(&namespace);
        for (waits, openings) in &mut since {
            let count = openings.entry(namespace.clone()).or_default();
            *count += 1;
            assert!(*count <= 1, "{namespace} had {count} runs while {waits} could have had one");
        }
        turn += 1;
        if turn % 9 == 0 {
            crowd(&mut rig, &format!("late{turn}"), 3);
        }
        rig.end(&request, Outcome::Succeeded);
        let open = rig.scheduler.view();
        for view in open.requests().filter(|view| view.stand() == Stand::Waiting) {
            let (namespace, _) = view.plan().unwrap();
            let live = |other: Stand| matches!(other, Stand::Live(_));
            let runs = open
                .requests()
                .any(|view| live(view.stand()) && view.plan().is_some_and(|(other, _)| other == namespace));
            if !runs {
                since.entry(namespace.to_owned()).or_default();
            }
        }
    }
    assert_eq!(rig.scheduler.view().waiting(), 0);
    assert_eq!(turn, 40 + 1 + 20 + 7 + 3 * (turn / 9));
}

#[test]
fn older_plans_of_the_same_name_give_way_as_the_policy_says() {
    let cases = [
        (Newer::Queue, [None, None], None),
        (Newer::Supersede(Running::Finish), [None, Some(Outcome::Superseded)], None),
        (Newer::Supersede(Running::Drain), [None, Some(Outcome::Superseded)], Some(StopMode::Drain)),
        (Newer::Supersede(Running::Cancel), [None, Some(Outcome::Superseded)], Some(StopMode::Supersede)),
    ];
    for (newer, answers, stop) in cases {
        let newer_in = BTreeMap::from([("n".to_owned(), newer)]);
        let mut rig = Rig::new(SchedulerOptions { newer_in, ..SchedulerOptions::default() });
        for (request, plan) in [("runs", "app"), ("waits", "app"), ("other", "job")] {
            rig.deliver(request, request, run_in("n", plan));
        }
        rig.deliver("new", "new", run_in("n", "app"));
        assert_eq!(["runs", "waits"].map(|request| rig.answer(request)), answers, "{newer:?}");
        assert_eq!(rig.stand("other"), Some(Stand::Waiting), "{newer:?}: another plan is left alone");
        let done = rig.done();
        let stops: Vec<String> = done.into_iter().filter(|done| done.starts_with("stop")).collect();
        let expected: Vec<String> = stop.iter().map(|mode| format!("stop runs {mode:?}")).collect();
        assert_eq!(stops, expected, "{newer:?}");
        rig.end("runs", Outcome::Superseded);
        let next = if newer == Newer::Queue { "waits" } else { "other" };
        assert_eq!(rig.opened(), [next], "{newer:?}");
    }
}

#[test]
fn what_was_drained_for_a_newer_plan_is_superseded_and_what_somebody_stopped_besides_is_cancelled() {
    for (stopped, ended, answer) in [
        (false, Outcome::Cancelled, Outcome::Superseded),
        (true, Outcome::Cancelled, Outcome::Cancelled),
        (false, Outcome::Succeeded, Outcome::Succeeded),
        (false, Outcome::Failed, Outcome::Failed),
    ] {
        let newer = Newer::Supersede(Running::Drain);
        let mut rig = Rig::new(SchedulerOptions { newer, ..SchedulerOptions::default() });
        rig.plan("older", "n");
        rig.plan("newer", "n");
        if stopped {
            rig.cancel("stop", "older");
        }
        rig.end("older", ended);
        assert_eq!(rig.answer("older"), Some(answer), "{stopped} {ended:?}");
    }
}

#[test]
fn the_newest_plan_always_runs() {
    let options =
        SchedulerOptions { newer: Newer::Supersede(Running::Cancel), ..SchedulerOptions::default() };
    let mut rig = Rig::new(options);
    for request in ["a", "b", "c", "d"] {
        rig.plan(request, "n");
    }
    assert_eq!(rig.opened(), ["a"]);
    rig.plan("b", "n");
    assert_eq!(rig.answer("b"), Some(Outcome::Superseded), "the older one delivered again changes nothing");
    rig.end("a", Outcome::Superseded);
    assert_eq!(rig.opened(), ["d"]);
    let notice = rig.scheduler.view().request("c").unwrap();
    assert_eq!(notice.stand(), Stand::Closed(crate::scheduler::Answer::Ended(Outcome::Superseded)));
}

#[test]
fn a_stop_reaches_what_waits_what_runs_and_what_has_not_come() {
    let mut rig = Rig::new(told());
    rig.plan("runs", "n");
    rig.plan("waits", "n");
    rig.done();
    rig.cancel("c1", "waits");
    assert_eq!(rig.answer("waits"), Some(Outcome::Cancelled));
    assert_eq!(rig.done(), ["notify hook waits", "ack waits#2", "ack c1#3"]);
    rig.cancel("c2", "runs");
    assert_eq!(rig.done(), ["stop runs Now", "ack c2#4"]);
    rig.cancel("c3", "runs");
    assert_eq!(rig.done(), ["ack c3#5"], "once is enough");
    rig.cancel("c4", "later");
    rig.plan("later", "m");
    assert_eq!(rig.answer("later"), Some(Outcome::Cancelled));
    assert_eq!(rig.done(), ["notify hook c4", "ack c4#6", "notify hook later", "ack later#7"]);
    rig.end("runs", Outcome::Cancelled);
    rig.cancel("c5", "runs");
    assert_eq!(rig.answer("runs"), Some(Outcome::Cancelled), "what is over stays as it was");
    assert_eq!(rig.done(), ["notify hook runs", "ack runs#1", "ack c5#8"], "four at a time");
    rig.notified("c4", "hook", Ok(()));
    assert_eq!(rig.done(), ["notify hook c5"]);
}

#[test]
fn an_operator_stops_what_is_known_and_nothing_else() {
    let mut rig = Rig::new(SchedulerOptions::default());
    rig.plan("a", "n");
    rig.done();
    let records = rig.ledger.len();
    rig.handle(Input::Stop { request: "b".into(), mode: StopMode::Now });
    assert_eq!((rig.ledger.len(), rig.done().len()), (records, 0));
    rig.handle(Input::Stop { request: "a".into(), mode: StopMode::Drain });
    assert_eq!(rig.done(), ["stop a Drain"]);
    rig.handle(Input::Stop { request: "a".into(), mode: StopMode::Now });
    assert_eq!(rig.done(), ["stop a Now"], "a stronger stop is passed on");
}

#[test]
fn nothing_is_opened_after_a_halt() {
    let mut rig = Rig::new(SchedulerOptions::default());
    rig.plan("a", "1");
    rig.handle(Input::Halt);
    rig.plan("b", "2");
    rig.plan("c", "1");
    rig.end("a", Outcome::Succeeded);
    assert_eq!(rig.opened(), ["a"]);
    assert!(!rig.scheduler.has_room());
    assert_eq!(
        rig.taken_over(rig.ledger.len()).stand("b"),
        Some(Stand::Waiting),
        "the next process has them"
    );
}

#[test]
fn no_more_is_received_than_may_wait() {
    let mut rig = Rig::new(SchedulerOptions { waiting_max: 2, ..SchedulerOptions::default() });
    for (request, room) in [("a", true), ("b", true), ("c", false)] {
        rig.plan(request, "n");
        assert_eq!(rig.scheduler.has_room(), room, "{request}");
    }
    rig.end("a", Outcome::Succeeded);
    assert!(rig.scheduler.has_room());
}

#[test]
fn no_more_is_received_than_memory_may_hold() {
    let mut rig = Rig::new(SchedulerOptions { waiting_bytes_max: 20, ..SchedulerOptions::default() });
    for (request, room) in [("a", true), ("b", true), ("c", false)] {
        rig.deliver(request, "ten bytes.", run_in("n", "p"));
        assert_eq!(rig.scheduler.has_room(), room, "{request}");
        // The first one runs, and is in memory no longer.
        rig.opened();
    }
    rig.deliver("b", "ten bytes.", run_in("n", "p"));
    rig.end("a", Outcome::Succeeded);
    assert!(rig.scheduler.has_room(), "delivered twice, it is in memory once");
}

#[test]
fn the_visibility_of_a_delivery_is_extended_after_a_third_until_it_is_dealt_with() {
    let third = Duration::from_secs(30);
    let mut rig = Rig::new(SchedulerOptions { visibility: vec![third * 3], ..SchedulerOptions::default() });
    let first = rig.plan("a", "n");
    let second = rig.plan("b", "n");
    rig.opened();
    rig.pass(third.checked_sub(Duration::from_micros(1)).unwrap());
    assert_eq!(rig.done(), [""; 0]);
    rig.pass(Duration::from_micros(1));
    assert_eq!(rig.done(), [format!("extend {first}"), format!("extend {second}")]);
    let ticket = rig.ticket("a");
    let lost = crate::failure::Failure::transient("queue.down", "the queue does not answer");
    rig.handle(Input::Extended { ticket, handle: first.as_str().into(), result: Err(lost) });
    rig.pass(third / 3);
    assert_eq!(rig.done(), [format!("extend {first}")], "sooner where it failed");
    let newer = rig.plan("a", "n");
    rig.pass(third);
    assert_eq!(rig.done(), [format!("extend {second}"), format!("extend {newer}")], "the newest handle");
    rig.end("a", Outcome::Succeeded);
    rig.done();
    rig.pass(third);
    assert_eq!(rig.done(), [format!("extend {second}")]);
}

#[test]
fn a_failed_acknowledgement_is_tried_again_and_then_left_to_the_queue() {
    let mut rig = Rig::new(SchedulerOptions::default());
    let handle = rig.plan("a", "n");
    rig.end("a", Outcome::Succeeded);
    rig.done();
    let down = || crate::failure::Failure::transient("queue.down", "the queue does not answer");
    for attempt in 1..=5 {
        rig.settled("a", &handle, Err(down()));
        rig.pass(Duration::from_mins(1));
        let expected = if attempt < 5 { vec![format!("ack {handle}")] } else { Vec::new() };
        assert_eq!(rig.done(), expected, "attempt {attempt}");
    }
    let again = rig.plan("a", "n");
    assert_eq!(rig.done(), [format!("ack {again}")]);
    rig.settled("a", &handle, Ok(()));
    assert_eq!(rig.kinds().get("acknowledged"), None, "the end of another call tells nothing");
    rig.settled("a", &again, Ok(()));
    assert_eq!(rig.kinds()["acknowledged"], 1);
}

#[test]
fn a_run_that_cannot_begin_takes_no_turn_of_others_and_no_more_than_run_wait_so() {
    let mut rig = Rig::new(one_at_a_time());
    for request in ["a", "b", "c", "d"] {
        rig.plan(request, request);
    }
    assert_eq!(rig.opened(), ["a"]);
    let (first, second) = (rig.run_of("a"), RunId::new("nobody"));
    rig.handle(Input::OpenStalls { run: second });
    assert_eq!(rig.opened(), [""; 0]);
    rig.handle(Input::OpenStalls { run: first.clone() });
    assert_eq!(rig.opened(), ["b"]);
    let run = rig.run_of("b");
    rig.handle(Input::OpenStalls { run });
    assert_eq!(rig.opened(), [""; 0], "as many as may run are not counted");
    rig.handle(Input::OpenEnds { run: first });
    rig.end("a", Outcome::Succeeded);
    assert_eq!(rig.opened(), ["c"]);
    rig.end("c", Outcome::Succeeded);
    assert_eq!(rig.opened(), ["d"]);
}
