//! The engine against whoever drives it badly: facts that were never asked for, and logs that nobody wrote.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use eve_core::failure::{Cause, Failure, FailureClass};
use eve_core::ids::{Attempt, ComponentId, RunId};
use eve_core::plan::builder::{ComponentBuilder, PlanBuilder};
use eve_core::plan::graph::Graph;
use eve_core::plan::{Dependency, FailurePolicy, UndoRule, Until};
use eve_core::run::{
    Applied, Change, Event, Input, KeepReason, Outcome, Outputs, Phase, PhaseEnd, Prepared, Record, Run,
    RunOptions, SkipReason, StopMode, StopReason, UndoReport, UndoToken,
};
use eve_core::time::Timestamp;
use proptest::prelude::*;

const COMPONENTS: u32 = 6;

fn graph(policy: FailurePolicy) -> Arc<Graph> {
    let edge = |on: &str, until| Dependency { component: on.into(), until };
    let parts = [
        ComponentBuilder::new("a", "test").class("one", 1),
        ComponentBuilder::new("b", "test").depends_on(edge("a", Until::Applied)).class("one", 1),
        ComponentBuilder::join("j").after("a").after("b"),
        ComponentBuilder::new("c", "test").after("j").on_failure(FailurePolicy::Continue),
        ComponentBuilder::new("d", "test").after("c").until(Until::Applied).undo(UndoRule::Never),
        ComponentBuilder::new("e", "test").timeout(Duration::from_millis(30)),
    ];
    Arc::new(Graph::from_plan(&PlanBuilder::new("p", "p").on_failure(policy).components(parts)).unwrap())
}

fn options() -> RunOptions {
    RunOptions::default()
        .with_api_limit(2)
        .with_run_timeout(Duration::from_secs(2))
        .with_component_timeout(Duration::from_millis(500))
}

fn id() -> RunId {
    RunId::new("r")
}

fn policy() -> impl Strategy<Value = FailurePolicy> {
    prop::sample::select(vec![FailurePolicy::Drain, FailurePolicy::Rollback])
}

fn component() -> impl Strategy<Value = ComponentId> {
    prop_oneof![9 => 0..COMPONENTS, 1 => any::<u32>()].prop_map(ComponentId::new)
}

fn attempt() -> impl Strategy<Value = Attempt> {
    prop_oneof![6 => 1..4_u32, 1 => Just(u32::MAX)].prop_map(Attempt::new)
}

fn change() -> impl Strategy<Value = Change> {
    use Change as C;
    prop::sample::select(vec![C::None, C::Create, C::Update, C::Replace, C::Delete, C::Unknown])
}

fn failure() -> impl Strategy<Value = Failure> {
    use FailureClass as C;
    let classes = prop::sample::select(vec![C::Transient, C::Permanent, C::Cancelled, C::Misuse]);
    classes.prop_map(|class| Failure::new(class, "test.broke", "broke"))
}

fn end() -> impl Strategy<Value = PhaseEnd> {
    let phases = vec![Phase::Prepare, Phase::Apply, Phase::Wait, Phase::Verify, Phase::Undo];
    (prop::sample::select(phases), change(), failure(), any::<bool>(), 0..3000_usize).prop_map(
        |(phase, change, failure, ok, size)| {
            let token = || Some(Box::new("x".repeat(size).into()));
            match phase {
                _ if !ok => PhaseEnd::failed(phase, failure),
                Phase::Prepare => {
                    let undo = token().map(UndoToken);
                    PhaseEnd::Prepare(Ok(Prepared { token: token(), undo, ..Prepared::new(change) }))
                }
                Phase::Apply => PhaseEnd::Apply(Ok(Applied { token: token(), ..Applied::new(change) })),
                Phase::Wait => PhaseEnd::Wait(Ok(Outputs::NONE.with("out", "x".repeat(size * 10)))),
                Phase::Verify => PhaseEnd::Verify(Ok(())),
                Phase::Undo => PhaseEnd::Undo(Ok(UndoReport::new(change))),
            }
        },
    )
}

fn mode() -> impl Strategy<Value = StopMode> {
    prop::sample::select(vec![StopMode::Drain, StopMode::Now, StopMode::Supersede, StopMode::Rollback])
}

fn input() -> impl Strategy<Value = Input> {
    let ended = (component(), attempt(), end()).prop_map(|(component, attempt, end)| Input::Ended {
        component,
        attempt,
        end,
    });
    let progress = (component(), attempt(), 0..3_u32).prop_map(|(component, attempt, number)| {
        Input::Progress { component, attempt, cause: Cause::new("test.waits", format!("{number}")) }
    });
    prop_oneof![20 => ended, 5 => progress, 1 => mode().prop_map(|mode| Input::Stop { mode })]
}

fn at() -> impl Strategy<Value = Timestamp> {
    prop_oneof![20 => 0..3_000_000_u64, 1 => any::<u64>(), 1 => Just(u64::MAX)]
        .prop_map(Timestamp::from_micros)
}

fn event() -> impl Strategy<Value = Event> {
    use Outcome::{Cancelled, Failed, RollbackFailed, RolledBack, Succeeded, Superseded};
    let reason = prop_oneof![
        component().prop_map(|component| StopReason::Failure { component }),
        mode().prop_map(|mode| StopReason::Asked { mode }),
        Just(StopReason::Deadline),
    ];
    let because = prop_oneof![
        component().prop_map(|component| SkipReason::Dependency { component }),
        Just(SkipReason::Stopping),
    ];
    let outcomes = vec![Succeeded, Failed, Cancelled, Superseded, RolledBack, RollbackFailed];
    let phase = prop::sample::select(vec![Phase::Prepare, Phase::Apply, Phase::Wait, Phase::Verify]);
    let failed = (component(), attempt(), phase, failure(), proptest::option::of(at()));
    prop_oneof![
        1 => Just(Event::Resumed),
        4 => (component(), change())
            .prop_map(|(component, change)| Event::Prepared {
                component,
                prepared: Prepared { undo: Some(UndoToken::new("t")), ..Prepared::new(change) }
            }),
        2 => component().prop_map(|component| Event::Announced { component }),
        4 => (component(), attempt()).prop_map(|(component, attempt)| Event::Started { component, attempt }),
        4 => (component(), attempt(), change()).prop_map(|(component, attempt, change)| Event::Applied {
            component,
            attempt,
            applied: Applied::new(change),
        }),
        1 => component().prop_map(|component| Event::Waiting { component, cause: Box::new(Cause::new("c", "m")) }),
        4 => component().prop_map(|component| Event::Ready { component, outputs: Outputs::NONE }),
        2 => failed.prop_map(|(component, attempt, phase, failure, retry_at)| Event::AttemptFailed {
            component,
            attempt,
            phase,
            failure: Box::new(failure),
            retry_at,
        }),
        1 => (component(), attempt()).prop_map(|(component, attempt)| Event::Interrupted { component, attempt }),
        1 => (component(), because).prop_map(|(component, because)| Event::Skipped { component, because }),
        1 => reason.prop_map(|reason| Event::Stopping { reason }),
        1 => prop::sample::select(outcomes).prop_map(|outcome| Event::Finished { outcome }),
        2 => prop::sample::select(vec![Event::Verifying, Event::RollingBack]),
        8 => undoing(),
    ]
}

fn undoing() -> impl Strategy<Value = Event> {
    let phase = prop::sample::select(vec![Phase::Undo, Phase::Verify, Phase::Apply]);
    let failed = (component(), attempt(), phase, failure(), proptest::option::of(at()));
    let because = prop_oneof![
        component().prop_map(|component| KeepReason::Dependant { component }),
        prop::sample::select(vec![KeepReason::Rule, KeepReason::NoToken, KeepReason::Stopping]),
    ];
    prop_oneof![
        component().prop_map(|component| Event::Inherited { component, token: None, applied: None }),
        (component(), attempt()).prop_map(|(component, attempt)| Event::UndoStarted { component, attempt }),
        component().prop_map(|component| Event::Undone {
            component,
            report: Box::new(UndoReport::new(Change::None))
        }),
        failed.prop_map(|(component, attempt, phase, failure, retry_at)| Event::UndoFailed {
            component,
            attempt,
            phase,
            failure: Box::new(failure),
            retry_at,
        }),
        (component(), because).prop_map(|(component, because)| Event::Kept { component, because }),
    ]
}

/// Polls everything, as the contract says; what was recorded.
fn poll(run: &mut Run) -> Vec<Record> {
    let records: Vec<Record> = std::iter::from_fn(|| run.poll_event()).collect();
    while run.poll_command().is_some() {}
    records
}

/// From here on nothing is ever answered: deadlines alone must end the run.
fn end_by_time(run: &mut Run, log: &mut Vec<Record>) {
    for _ in 0..1000 {
        log.extend(poll(run));
        let Some(deadline) = run.poll_deadline() else { break };
        run.handle_timeout(deadline);
    }
    assert!(run.outcome().is_some(), "deadlines end every run: {log:#?}");
    assert!(run.poll_event().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_fact_whatever_breaks_a_run(
        facts in prop::collection::vec((input(), at(), any::<bool>()), 0..80), policy in policy(),
    ) {
        let mut run = Run::new(graph(policy), options(), id(), Timestamp::EPOCH);
        let mut log = poll(&mut run);
        for (input, now, tick) in facts {
            run.handle(input, now);
            log.extend(poll(&mut run));
            if tick {
                run.handle_timeout(now);
                log.extend(poll(&mut run));
            }
        }
        end_by_time(&mut run, &mut log);
        for len in 0..=log.len() {
            let now = log.last().map_or(Timestamp::EPOCH, |record| record.at);
            let mut run = Run::resume(graph(policy), options(), id(), &log[..len], now).unwrap();
            end_by_time(&mut run, &mut log[..len].to_vec());
        }
    }

    #[test]
    fn a_log_that_nobody_wrote_is_refused_or_comes_to_an_end(
        events in prop::collection::vec((event(), at()), 0..400), now in at(), is_ordered in any::<bool>(),
        policy in policy(), undoes in proptest::bool::weighted(0.2),
    ) {
        let mut start = Run::new(graph(policy), options(), id(), Timestamp::EPOCH);
        let mut log = poll(&mut start);
        log.truncate(1);
        if let (true, Event::RunStarted { run }) = (undoes, &mut log[0].event) {
            run.undoes = Some(RunId::new("other"));
        }
        for (event, at) in events {
            // Only events that the table of transitions lets pass get far: the others are tried and left out.
            let last = log.last().unwrap();
            let at = if is_ordered { last.at.plus(at.since(Timestamp::EPOCH).min(Duration::from_millis(50))) } else { at };
            log.push(Record { seq: last.seq.next(), at, event });
            if Run::resume(graph(policy), options(), id(), &log, now).is_err() {
                log.pop();
            }
        }
        let mut run = Run::resume(graph(policy), options(), id(), &log, now).unwrap();
        end_by_time(&mut run, &mut log);
    }
}
