//! One test for each rule of a run that a property does not say as plainly.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::bench::{Bench, secs};
use super::world::{BEGINNING, Behaviour, World};
use crate::failure::{Failure, FailureClass};
use crate::ids::{Attempt, ComponentId, RunId};
use crate::plan::FailurePolicy;
use crate::plan::builder::{ComponentBuilder, PlanBuilder};
use crate::plan::graph::Graph;
use crate::run::{
    Change, Command, Event, Input, Outcome, Outputs, Phase, PhaseEnd, Prepared, Record, ResumeError, Run,
    RunOptions, SkipReason, StopMode, UndoStatus, UndoToken, VALUE_DEPTH_MAX,
};
use crate::testing::{sample_announced, sample_events, sample_graph, sample_rollback_graph};

fn one() -> Vec<ComponentBuilder> {
    vec![ComponentBuilder::new("a", "test")]
}

/// A chain of `a`, `b` and `c` whose writes are known; `a` is being written.
fn chain_of_three() -> Bench {
    let component = |name: &str| ComponentBuilder::new(name, "test");
    let chain = vec![component("a"), component("b").after("a"), component("c").after("b")];
    let mut bench = Bench::new(chain, RunOptions::default());
    assert_eq!(bench.called(Phase::Prepare), [0, 1, 2]);
    for component in [2, 1, 0] {
        bench.prepared(component, Change::Create);
    }
    bench
}

#[test]
fn the_write_that_comes_next_is_announced_and_waits_for_no_record_of_its_own() {
    let mut bench = chain_of_three();
    assert_eq!(bench.called(Phase::Apply), [0]);
    let announced = |bench: &Bench, index| {
        bench.count(|event| *event == Event::Announced { component: ComponentId::new(index) })
    };
    assert_eq!((announced(&bench, 1), announced(&bench, 2)), (1, 0));
    bench.applied(0);
    bench.ready(0);
    let at_once = bench.run.poll_at_once();
    assert!(
        matches!(at_once, Some(Command::Call { phase: Phase::Apply, component, .. }) if component.get() == 1),
        "{at_once:?}"
    );
    assert!(!bench.run.wants_to_write());
    assert!(bench.commands().is_empty());
    assert_eq!((announced(&bench, 1), announced(&bench, 2)), (1, 1));
}

#[test]
fn an_announcement_that_is_not_durable_lets_nothing_begin() {
    let mut bench = chain_of_three();
    let component = ComponentId::new(0);
    // Nobody has stored what was decided, nor carried anything out.
    let records: Vec<Record> = std::iter::from_fn(|| bench.run.poll_event()).collect();
    assert!(records.iter().any(|record| matches!(record.event, Event::Announced { .. })));
    let attempt = Attempt::FIRST;
    let end = PhaseEnd::Apply(Ok(crate::run::Applied::new(Change::Create)));
    bench.run.handle(Input::Ended { component, attempt, end }, BEGINNING);
    bench.ready(0);
    assert!(bench.run.wants_to_write());
}

#[test]
fn a_failed_attempt_takes_the_announcement_with_it() {
    let mut bench = chain_of_three();
    let _ = bench.commands();
    bench.applied(0);
    bench.ready(0);
    assert_eq!(bench.called(Phase::Apply), [1]);
    bench.end(1, 1, PhaseEnd::Apply(Err(Failure::transient("test.lost", "lost"))));
    bench.pass(secs(60));
    assert_eq!(bench.called(Phase::Prepare), [1]);
    bench.end(1, 2, PhaseEnd::Prepare(Ok(Prepared::new(Change::Create))));
    assert!(bench.run.wants_to_write(), "the second attempt has a record of its own");
}

#[test]
fn what_was_announced_and_never_begun_is_untouched() {
    let mut bench = chain_of_three();
    let _ = bench.commands();
    bench.end(0, 1, PhaseEnd::Apply(Err(Failure::permanent("test.refused", "no"))));
    let _ = bench.commands();
    let outcome = bench.run.outcome();
    assert_eq!(outcome, Some(Outcome::Failed));
    let id = |index| ComponentId::new(index);
    let view = bench.run.view();
    assert_eq!([id(1), id(2)].map(|id| view.is_touched(id)), [false, false]);
}

#[test]
fn what_was_announced_when_a_process_died_may_have_been_written() {
    let mut bench = chain_of_three();
    let _ = bench.commands();
    let graph = Arc::clone(bench.run.graph());
    let mut next = Run::resume(graph, RunOptions::default(), World::id(), &bench.log, BEGINNING).unwrap();
    next.handle(Input::Stop { mode: StopMode::Now }, BEGINNING);
    let view = next.view();
    let id = |index| ComponentId::new(index);
    assert_eq!([id(1), id(2)].map(|id| view.is_touched(id)), [true, false]);
}

#[test]
fn what_was_announced_by_a_run_that_is_given_up_is_put_back_with_what_was_there_before_the_announcement() {
    let log = sample_announced();
    let announced = log.iter().rposition(|record| matches!(record.event, Event::Announced { .. })).unwrap();
    let (graph, options) = (sample_rollback_graph(), RunOptions::default());
    let (id, of) = (RunId::new("back"), RunId::new("run-1"));
    let undone = (&of, &log[..=announced]);
    let back =
        Run::rollback_of_abandoned(Arc::clone(&graph), options, id, undone, log[announced].at).unwrap();
    let (view, announce) = (back.view(), graph.find("announce").unwrap());
    assert_eq!(view.undo_status(announce), UndoStatus::Undoing);
    assert_eq!(view.undo_token(announce), Some(&UndoToken::new("no announcement")));
}

#[test]
fn of_a_class_nothing_is_under_way_that_the_next_process_does_not_know_of() {
    let component = |name: &str| ComponentBuilder::new(name, "test");
    let of_class = |name: &str, after: &str| component(name).after(after).class("k", 1);
    let plan = vec![component("a"), of_class("b", "a"), component("c"), of_class("d", "c")];
    let mut bench = Bench::new(plan, RunOptions::default());
    let _ = bench.commands();
    for component in [3, 2, 1, 0] {
        bench.prepared(component, Change::Create);
    }
    let _ = bench.commands();
    bench.applied(0);
    bench.ready(0);
    // The process dies here, and nothing of this is recorded.
    let begins_unrecorded = std::iter::from_fn(|| bench.run.poll_at_once()).any(
        |command| matches!(command, Command::Call { component, phase: Phase::Apply, .. } if component.get() == 1),
    );
    let graph = Arc::clone(bench.run.graph());
    let run = Run::resume(graph, RunOptions::default(), World::id(), &bench.log, BEGINNING).unwrap();
    let mut next = Bench { run, now: BEGINNING, log: bench.log };
    let _ = next.commands();
    next.prepared(3, Change::Create);
    next.applied(2);
    next.ready(2);
    assert_eq!((begins_unrecorded, next.called(Phase::Apply)), (false, vec![3]));
}

#[test]
fn a_plan_without_components_succeeds_at_once() {
    let mut bench = Bench::new(Vec::new(), RunOptions::default());
    assert!(bench.commands().is_empty());
    assert_eq!(bench.run.outcome(), Some(Outcome::Succeeded));
    assert_eq!(bench.log.len(), 2);
}

#[test]
#[should_panic(expected = "records must be polled and stored before commands")]
fn a_command_is_not_given_out_before_its_record() {
    let mut run = Bench::new(one(), RunOptions::default()).run;
    let _ = run.poll_command();
}

#[test]
fn reads_are_given_out_before_their_records_and_writes_are_not() {
    let mut run = Bench::new(one(), RunOptions::default()).run;
    let phase = |command: Option<Command>| match command {
        Some(Command::Call { phase, .. }) => Some(phase),
        Some(Command::Abort { .. }) | None => None,
    };
    assert_eq!(phase(run.poll_at_once()), Some(Phase::Prepare));
    assert!(!run.wants_to_write());
    let (component, attempt) = (ComponentId::new(0), Attempt::FIRST);
    let end = PhaseEnd::Prepare(Ok(Prepared::new(Change::Create)));
    run.handle(Input::Ended { component, attempt, end }, BEGINNING);
    assert!(run.wants_to_write());
    assert_eq!(run.poll_at_once(), None);
    let last = std::iter::from_fn(|| run.poll_event()).last().unwrap();
    assert!(matches!(last.event, Event::Started { .. }));
    assert_eq!(phase(run.poll_command()), Some(Phase::Apply));
    assert!(!run.wants_to_write());
}

#[test]
fn everything_is_prepared_before_its_turn() {
    let chain = vec![ComponentBuilder::new("a", "test"), ComponentBuilder::new("b", "test").after("a")];
    let mut bench = Bench::new(chain, RunOptions::default());
    assert_eq!(bench.called(Phase::Prepare), [0, 1]);
    bench.prepared(1, Change::Create);
    bench.prepared(0, Change::Create);
    assert_eq!(bench.called(Phase::Apply), [0]);
    bench.applied(0);
    assert_eq!(bench.called(Phase::Wait), [0]);
    bench.ready(0);
    assert_eq!(bench.called(Phase::Apply), [1], "a hop costs one call");
}

#[test]
fn unknown_is_prepared_again_in_its_turn_and_then_applied() {
    let chain = vec![ComponentBuilder::new("a", "test"), ComponentBuilder::new("b", "test").after("a")];
    let mut bench = Bench::new(chain, RunOptions::default());
    let _ = bench.commands();
    bench.prepared(1, Change::Unknown);
    bench.prepared(0, Change::Unknown);
    assert_eq!(bench.called(Phase::Apply), [0], "what was prepared in its turn is not prepared again");
    bench.applied(0);
    bench.ready(0);
    assert_eq!(bench.called(Phase::Prepare), [1]);
    bench.prepared(1, Change::Unknown);
    assert_eq!(bench.called(Phase::Apply), [1]);
}

#[test]
fn unchanged_is_not_written_but_is_waited_for() {
    let chain = vec![ComponentBuilder::new("a", "test"), ComponentBuilder::new("b", "test").after("a")];
    let mut bench = Bench::new(chain, RunOptions::default());
    let _ = bench.commands();
    bench.prepared(1, Change::Create);
    bench.prepared(0, Change::None);
    assert_eq!(bench.called(Phase::Wait), [0]);
    assert_eq!(bench.count(|event| matches!(event, Event::Started { .. } | Event::Applied { .. })), 0);
    bench.ready(0);
    assert_eq!(bench.called(Phase::Apply), [1], "its dependants start only once it is ready");
}

#[test]
fn a_wait_never_holds_a_slot_that_a_write_needs() {
    let pair = vec![ComponentBuilder::new("a", "test"), ComponentBuilder::new("b", "test")];
    let mut bench = Bench::new(pair, RunOptions::default().with_api_limit(1));
    assert_eq!(bench.called(Phase::Prepare), [0]);
    bench.prepared(0, Change::Create);
    assert_eq!(bench.called(Phase::Apply), [0]);
    bench.applied(0);
    let commands = bench.commands();
    let phases: Vec<Phase> = commands
        .iter()
        .filter_map(|command| match command {
            Command::Call { phase, .. } => Some(*phase),
            Command::Abort { .. } => None,
        })
        .collect();
    assert_eq!(phases, [Phase::Wait, Phase::Prepare]);
}

#[test]
fn a_class_whose_next_has_run_out_of_time_goes_to_the_one_behind_in_the_same_turn() {
    let parts = ["a", "b", "c"]
        .map(|name| ComponentBuilder::new(name, "test").class("k", 1).on_failure(FailurePolicy::Continue));
    let mut bench = Bench::new(parts.into(), RunOptions::default().with_component_timeout(secs(20)));
    let _ = bench.commands();
    (0..3).for_each(|component| bench.prepared(component, Change::Create));
    assert_eq!(bench.called(Phase::Apply), [0]);
    bench.end(0, 1, PhaseEnd::Apply(Err(Failure::transient("t", "lost"))));
    assert_eq!(bench.called(Phase::Apply), [1]);
    bench.applied(1);
    bench.pass(secs(2));
    assert_eq!(bench.called(Phase::Prepare), [0], "its second attempt");
    bench.end(0, 2, PhaseEnd::Prepare(Ok(Prepared::new(Change::Create))));
    assert!(bench.commands().is_empty(), "it queues for its class");
    bench.now = BEGINNING.plus(secs(20));
    bench.ready(1);
    assert_eq!(bench.called(Phase::Apply), [2]);
}

#[test]
fn the_longest_remaining_path_goes_first() {
    let parts = vec![
        ComponentBuilder::new("short", "test"),
        ComponentBuilder::new("long", "test"),
        ComponentBuilder::new("end", "test").after("long"),
    ];
    let mut bench = Bench::new(parts, RunOptions::default().with_api_limit(1));
    assert_eq!(bench.called(Phase::Prepare), [1]);
}

#[test]
fn the_component_deadline_ends_a_wait_with_its_last_cause() {
    let mut bench = Bench::new(one(), RunOptions::default().with_no_progress_timeout(secs(3600)));
    let _ = bench.commands();
    bench.prepared(0, Change::Create);
    bench.applied(0);
    bench.progress(0, "0 of 1 replicas are available");
    bench.pass(secs(599));
    assert!(bench.run.outcome().is_none());
    bench.pass(secs(7));
    let failure = bench.failure();
    assert_eq!(failure.code, "run.deadline.component");
    assert!(failure.message.ends_with(": 0 of 1 replicas are available"), "{failure}");
    assert_eq!(bench.run.outcome(), Some(Outcome::Failed));
}

#[test]
fn a_wait_that_tells_nothing_new_fails_unless_it_says_more_itself_and_one_that_does_goes_on() {
    let mut bench = Bench::new(one(), RunOptions::default());
    let _ = bench.commands();
    bench.prepared(0, Change::Create);
    bench.applied(0);
    bench.pass(secs(200));
    bench.progress(0, "one");
    bench.pass(secs(200));
    bench.progress(0, "one");
    assert!(bench.run.outcome().is_none());
    bench.pass(secs(105));
    assert!(bench.run.outcome().is_none(), "the executor may still say why");
    bench.pass(secs(1));
    assert_eq!(bench.failure().code, "run.deadline.no-progress");
}

#[test]
fn a_cause_is_stored_at_most_once_in_five_seconds_and_the_last_one_is_not_lost() {
    let mut bench = Bench::new(one(), RunOptions::default());
    let _ = bench.commands();
    bench.prepared(0, Change::Create);
    bench.applied(0);
    for text in ["one", "two", "three"] {
        bench.progress(0, text);
    }
    let _ = bench.commands();
    assert_eq!(bench.count(|event| matches!(event, Event::Waiting { .. })), 1);
    bench.pass(secs(5));
    let _ = bench.commands();
    let causes: Vec<&str> = bench
        .log
        .iter()
        .filter_map(|record| match &record.event {
            Event::Waiting { cause, .. } => Some(cause.message.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(causes, ["one", "three"]);
}

#[test]
fn the_run_deadline_gives_calls_a_grace_to_say_why_and_then_gives_them_up() {
    let parts = ["a", "b", "c"].map(|name| ComponentBuilder::new(name, "test"));
    let parts = parts.into_iter().chain([ComponentBuilder::new("d", "test").after("a")]).collect();
    let mut bench = Bench::new(parts, RunOptions::default().with_run_timeout(secs(30)));
    let _ = bench.commands();
    for component in 0..3 {
        bench.prepared(component, Change::Create);
    }
    bench.applied(0);
    bench.applied(2);
    let _ = bench.commands();
    bench.pass(secs(30));
    let _ = bench.commands();
    assert_eq!(bench.count(|event| matches!(event, Event::Skipped { .. })), 1, "nothing new is started");
    assert!(bench.run.outcome().is_none());
    bench.end(2, 1, PhaseEnd::failed(Phase::Wait, Failure::permanent("t", "pod c-1 is not ready")));
    assert_eq!(bench.failure().message, "pod c-1 is not ready");
    bench.pass(secs(6));
    assert_eq!(bench.failure().code, "run.deadline");
    assert_eq!(bench.run.outcome(), Some(Outcome::Failed));
    assert_eq!(bench.count(|event| matches!(event, Event::AttemptFailed { .. })), 3);
}

#[test]
fn stop_now_gives_up_waits_and_lets_writes_end() {
    let pair = vec![
        ComponentBuilder::new("a", "test"),
        ComponentBuilder::new("b", "test"),
        ComponentBuilder::new("c", "test").after("b"),
    ];
    let mut bench = Bench::new(pair, RunOptions::default());
    let _ = bench.commands();
    bench.prepared(0, Change::Create);
    bench.prepared(1, Change::Create);
    bench.applied(0);
    let _ = bench.commands();
    bench.run.handle(Input::Stop { mode: StopMode::Now }, bench.now);
    let aborted: Vec<Command> = bench.commands();
    let of_wait = |c: &Command| matches!(c, Command::Abort { component, .. } if component.get() == 0);
    assert!(aborted.iter().any(of_wait));
    assert!(!aborted.iter().any(|c| matches!(c, Command::Abort { component, .. } if component.get() == 1)));
    assert!(bench.run.outcome().is_none(), "the write is still in flight");
    bench.applied(1);
    let _ = bench.commands();
    assert_eq!(bench.run.outcome(), Some(Outcome::Cancelled));
    assert_eq!(bench.count(|event| matches!(event, Event::Applied { .. })), 2);
}

#[test]
fn drain_lets_what_runs_come_to_its_end_and_starts_nothing() {
    let parts = vec![
        ComponentBuilder::new("bad", "test"),
        ComponentBuilder::new("slow", "test"),
        ComponentBuilder::new("next", "test").after("slow"),
        ComponentBuilder::new("behind", "test").after("bad"),
    ];
    let mut bench = Bench::new(parts, RunOptions::default());
    let _ = bench.commands();
    for component in 0..4 {
        bench.prepared(component, Change::Create);
    }
    bench.applied(1);
    bench.end(0, 1, PhaseEnd::failed(Phase::Apply, Failure::permanent("t", "no")));
    bench.ready(1);
    assert!(bench.called(Phase::Apply).iter().all(|&component| component < 2));
    assert_eq!(bench.run.outcome(), Some(Outcome::Failed));
    let skipped: Vec<(u32, SkipReason)> = bench
        .log
        .iter()
        .filter_map(|record| match record.event {
            Event::Skipped { component, because } => Some((component.get(), because)),
            _ => None,
        })
        .collect();
    let bad = SkipReason::Dependency { component: ComponentId::new(0) };
    assert_eq!(skipped, [(3, bad), (2, SkipReason::Stopping)]);
}

#[test]
fn time_without_a_process_counts_against_no_deadline() {
    let plan = PlanBuilder::new("p", "p").on_failure(FailurePolicy::Drain).components(one());
    let world = World {
        graph: Arc::new(Graph::from_plan(&plan).unwrap()),
        options: RunOptions::default(),
        behaviours: vec![Behaviour {
            change: Change::Create,
            takes_ms: [0, 1000, 100_000, 0, 0],
            fails: None,
            undo_fails: None,
            comes_back: false,
            keeps: true,
            causes: 0,
            hangs: false,
        }],
        stops: Vec::new(),
        stutters: false,
    };
    let log = world.run();
    for cut in 1..log.len() {
        let resumed = world.resume(&log[..cut], Duration::from_hours(24));
        let outcome = matches!(
            resumed.last().map(|record| &record.event),
            Some(Event::Finished { outcome: Outcome::Succeeded })
        );
        assert!(outcome, "{resumed:#?}");
    }
}

#[test]
fn a_result_that_is_too_large_fails_the_attempt() {
    let mut bench = Bench::new(one(), RunOptions::default());
    let _ = bench.commands();
    let token = Some(Box::new(Value::from("x".repeat(2000))));
    bench.end(0, 1, PhaseEnd::Prepare(Ok(Prepared { token, ..Prepared::new(Change::Create) })));
    assert_eq!(bench.failure().code, "run.result-too-large");
}

#[test]
fn a_result_that_could_not_be_read_again_fails_the_attempt() {
    let nested = |levels| (0..levels).fold(Value::Null, |value, _| Value::from(vec![value]));
    for (levels, fails) in [(VALUE_DEPTH_MAX, false), (VALUE_DEPTH_MAX + 1, true)] {
        let mut bench = Bench::new(one(), RunOptions::default());
        let _ = bench.commands();
        let token = Some(Box::new(nested(levels)));
        bench.end(0, 1, PhaseEnd::Prepare(Ok(Prepared { token, ..Prepared::new(Change::Create) })));
        let _ = bench.commands();
        let deep = |record: &Record| match &record.event {
            Event::AttemptFailed { failure, .. } => failure.code == "run.result-too-deep",
            _ => false,
        };
        assert_eq!(bench.log.iter().any(deep), fails, "{levels}");
    }
}

#[test]
fn a_log_of_another_run_or_with_a_gap_is_refused() {
    let log = sample_events();
    let resume = |id: &str, records: &[Record]| {
        let id = RunId::new(id);
        Run::resume(sample_graph(), RunOptions::default(), id, records, BEGINNING).map(|run| run.outcome())
    };
    assert_eq!(resume("run-1", &log), Ok(Some(Outcome::Failed)));
    assert!(matches!(resume("run-2", &log), Err(ResumeError::OtherRun { .. })));
    let gap: Vec<Record> = log.iter().enumerate().filter(|(i, _)| *i != 3).map(|(_, r)| r.clone()).collect();
    assert_eq!(resume("run-1", &gap), Err(ResumeError::OutOfOrder { expected: 4, found: 5 }));
    let mut twice = log.clone();
    twice[5].event = twice[3].event.clone();
    assert!(matches!(resume("run-1", &twice), Err(ResumeError::Illegal { seq: 6, .. })));
}

#[test]
fn a_call_that_says_cancelled_while_nobody_stops_the_run_has_failed() {
    for policy in [FailurePolicy::Drain, FailurePolicy::Continue] {
        let chain = vec![
            ComponentBuilder::new("a", "test").on_failure(policy),
            ComponentBuilder::new("b", "test").after("a"),
        ];
        let mut bench = Bench::new(chain, RunOptions::default());
        let _ = bench.commands();
        bench.prepared(0, Change::Create);
        let _ = bench.commands();
        let failure = Failure::new(FailureClass::Cancelled, "t", "given up");
        bench.end(0, 1, PhaseEnd::Apply(Err(failure)));
        let _ = bench.commands();
        assert_eq!(bench.run.outcome(), Some(Outcome::Failed), "{policy:?}: {:#?}", bench.log);
    }
}

#[test]
fn a_retry_that_finds_nothing_to_do_does_not_hide_what_was_created() {
    let mut bench = Bench::new(one(), RunOptions::default());
    let _ = bench.commands();
    bench.prepared(0, Change::Create);
    bench.applied(0);
    bench.end(0, 1, PhaseEnd::failed(Phase::Wait, Failure::transient("t", "lost")));
    bench.pass(secs(2));
    assert_eq!(bench.called(Phase::Prepare), [0]);
    bench.end(0, 2, PhaseEnd::Prepare(Ok(Prepared::new(Change::None))));
    bench.end(0, 2, PhaseEnd::Wait(Ok(Outputs::NONE)));
    let _ = bench.commands();
    assert_eq!(bench.run.view().change(ComponentId::new(0)), Some(Change::Create));
}

#[test]
fn what_is_stored_of_a_failure_is_bounded_whoever_made_it() {
    let mut bench = Bench::new(one(), RunOptions::default());
    let _ = bench.commands();
    let mut failure = Failure::permanent("t", "no");
    failure.message = "x".repeat(100_000);
    failure.notes = vec!["y".repeat(10_000); 100];
    bench.end(0, 1, PhaseEnd::failed(Phase::Prepare, failure));
    let stored = bench.failure();
    assert_eq!(stored.message.len(), Failure::MESSAGE_BYTES_MAX);
    assert_eq!(stored.notes.len(), Failure::NOTES_MAX);
    assert!(stored.notes.iter().all(|note| note.len() == Failure::TEXT_BYTES_MAX));
}

#[test]
fn what_is_only_read_is_waited_for_and_never_applied() {
    for change in [Change::Create, Change::Update, Change::Unknown, Change::None] {
        let read = ComponentBuilder::new("a", "test").action(crate::plan::Action::Read);
        let mut bench = Bench::new(vec![read], RunOptions::default());
        assert_eq!(bench.called(Phase::Prepare), [0]);
        bench.prepared(0, change);
        assert_eq!(bench.called(Phase::Wait), [0], "{change:?}");
        bench.ready(0);
        bench.looked_well();
        assert_eq!(bench.run.outcome(), Some(Outcome::Succeeded));
        assert_eq!(bench.count(|event| matches!(event, Event::Started { .. })), 0);
    }
}

#[test]
fn what_is_gone_already_is_not_deleted_and_still_judged() {
    let gone = ComponentBuilder::new("a", "test").action(crate::plan::Action::Delete);
    let mut bench = Bench::new(vec![gone], RunOptions::default());
    assert_eq!(bench.called(Phase::Prepare), [0]);
    bench.prepared(0, Change::None);
    assert_eq!(bench.called(Phase::Wait), [0]);
    bench.ready(0);
    bench.looked_well();
    assert_eq!(bench.run.outcome(), Some(Outcome::Succeeded));
}

fn of_class(limit: u32, names: &[&str]) -> Vec<ComponentBuilder> {
    names.iter().map(|name| ComponentBuilder::new(*name, "test").class("k", limit)).collect()
}

#[test]
fn a_component_that_pauses_does_not_take_the_turn_of_the_next_of_its_class() {
    let mut bench = Bench::new(of_class(1, &["a", "b"]), RunOptions::default());
    let _ = bench.commands();
    bench.prepared(1, Change::Create);
    bench.prepared(0, Change::Create);
    assert_eq!(bench.called(Phase::Apply), [1]);
    let lost = || PhaseEnd::Apply(Err(Failure::transient("t", "lost")));
    bench.end(1, 1, lost());
    assert_eq!(bench.called(Phase::Apply), [0]);
    bench.end(0, 1, lost());
    bench.pass(secs(2));
    assert_eq!(bench.called(Phase::Prepare), [0, 1]);
}

#[test]
fn no_further_attempt_begins_after_the_deadline_of_the_component() {
    let pair = vec![ComponentBuilder::new("a", "test").timeout(secs(20)), ComponentBuilder::new("b", "test")];
    let mut bench = Bench::new(pair, RunOptions::default().with_api_limit(1));
    assert_eq!(bench.called(Phase::Prepare), [0]);
    bench.prepared(0, Change::Create);
    assert_eq!(bench.called(Phase::Apply), [0]);
    bench.end(0, 1, PhaseEnd::Apply(Err(Failure::transient("t", "lost"))));
    assert_eq!(bench.called(Phase::Prepare), [1], "the only slot is taken while it pauses");
    bench.pass(secs(2));
    bench.pass(secs(18));
    let failure = bench.failure();
    assert_eq!(failure.code, "run.deadline.component");
    assert_eq!(failure.message, "no further attempt could begin within 20s: lost");
}

#[test]
fn no_write_begins_after_the_deadline_of_the_run_though_nobody_looked_at_the_clock() {
    let mut bench = Bench::new(one(), RunOptions::default().with_run_timeout(secs(30)));
    let _ = bench.commands();
    bench.now = bench.now.plus(secs(31));
    bench.prepared(0, Change::Create);
    assert!(bench.called(Phase::Apply).is_empty());
    assert_eq!(bench.run.outcome(), Some(Outcome::Failed));
    let (graph, before_stopping) = (Arc::clone(bench.run.graph()), &bench.log[..2]);
    assert!(matches!(before_stopping[1].event, Event::Prepared { .. }));
    let resumed = Run::resume(graph, RunOptions::default(), World::id(), before_stopping, bench.now);
    bench.run = resumed.unwrap();
    assert!(bench.commands().is_empty(), "whoever takes over knows the time as well");
    assert_eq!(bench.run.outcome(), Some(Outcome::Failed));
}

#[test]
fn a_wait_that_was_not_begun_does_not_fail_for_want_of_news() {
    let pair = vec![ComponentBuilder::new("a", "test"), ComponentBuilder::new("b", "test")];
    let mut bench = Bench::new(pair, RunOptions::default().with_wait_limit(1));
    let _ = bench.commands();
    bench.prepared(0, Change::None);
    bench.prepared(1, Change::None);
    assert_eq!(bench.called(Phase::Wait), [0]);
    bench.pass(secs(299));
    bench.ready(0);
    assert_eq!(bench.called(Phase::Wait), [1]);
    bench.pass(secs(100));
    bench.ready(1);
    bench.looked_well();
    assert_eq!(bench.run.outcome(), Some(Outcome::Succeeded));
}

#[test]
fn a_call_that_is_given_up_before_it_was_given_out_is_not_made() {
    let mut bench = Bench::new(one(), RunOptions::default());
    let _ = bench.commands();
    bench.prepared(0, Change::Create);
    let _ = bench.commands();
    bench.applied(0);
    bench.run.handle(Input::Stop { mode: StopMode::Now }, bench.now);
    assert!(bench.commands().is_empty());
    assert_eq!(bench.run.outcome(), Some(Outcome::Cancelled));
}

#[test]
fn what_was_found_before_a_gap_is_looked_at_again() {
    for change in [Change::None, Change::Update] {
        let components = vec![ComponentBuilder::new("a", "k"), ComponentBuilder::new("b", "k").after("a")];
        let mut bench = Bench::new(components, RunOptions::default());
        assert_eq!(bench.called(Phase::Prepare), [0, 1]);
        bench.prepared(0, Change::Create);
        bench.prepared(1, change);
        bench.commands();
        let (graph, log, options) = (bench.run.graph().clone(), bench.log.clone(), RunOptions::default());
        let later = bench.now.plus(Duration::from_secs(9));
        bench.run = Run::resume(graph, options, World::id(), &log, later).unwrap();
        bench.now = later;
        assert_eq!(
            bench.called(Phase::Prepare),
            [1],
            "{change:?}: what has begun goes on, what has not is prepared"
        );
        bench.applied(0);
        assert_eq!(bench.called(Phase::Wait), [0]);
        bench.end(0, 1, PhaseEnd::Wait(Ok(Outputs::NONE)));
        assert!(bench.called(Phase::Wait).is_empty(), "{change:?}: nothing is known of it yet");
        bench.prepared(1, Change::Create);
        assert_eq!(bench.called(Phase::Apply), [1], "{change:?}");
    }
}
