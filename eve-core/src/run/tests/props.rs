//! Properties of every run, for random plans, behaviours, limits, stops and crashes.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::oracle::{self, End};
use super::world::{BEGINNING, Behaviour, World, ended_as};
use crate::plan::builder::{ComponentBuilder, PlanBuilder};
use crate::plan::graph::Graph;
use crate::plan::{Action, Dependency, FailurePolicy, RetryPolicy, UndoRule, Until};
use crate::run::{Change, Event, Outcome, Phase, Record, RunOptions, StopMode, StopReason};

#[derive(Clone, Debug)]
struct Part {
    action: Action,
    edges: Vec<(usize, Until)>,
    until: Until,
    policy: Option<FailurePolicy>,
    retry: Option<u32>,
    class: Option<u8>,
    undo: UndoRule,
    behaviour: Behaviour,
}

fn until() -> impl Strategy<Value = Until> {
    prop_oneof![3 => Just(Until::Ready), 1 => Just(Until::Applied)]
}

fn policy() -> impl Strategy<Value = FailurePolicy> {
    use FailurePolicy::{Continue, Drain, Rollback};
    prop_oneof![2 => Just(Drain), 2 => Just(Continue), 3 => Just(Rollback)]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => Just(Action::Apply),
        2 => Just(Action::Delete),
        2 => Just(Action::Read),
        2 => Just(Action::None),
    ]
}

fn behaviour() -> impl Strategy<Value = Behaviour> {
    let change = prop_oneof![2 => Just(Change::Create), 1 => Just(Change::None), 1 => Just(Change::Unknown)];
    let phase = prop_oneof![Just(Phase::Prepare), Just(Phase::Apply), Just(Phase::Wait), Just(Phase::Verify)];
    let fails = proptest::option::weighted(0.3, (phase, 2..5_u32, any::<bool>()));
    let through_at = prop_oneof![4 => 2..5_u32, 1 => Just(20)];
    let undo_fails = proptest::option::weighted(0.3, (through_at, any::<bool>()));
    let undo = (undo_fails, prop::bool::weighted(0.05), prop::bool::weighted(0.9));
    (change, prop::array::uniform5(0..50_u64), fails, undo, 0..3_u32).prop_map(
        |(change, takes_ms, fails, (undo_fails, comes_back, keeps), causes)| {
            // How often a look was made is not stored: one that could not be made is not given up in these worlds.
            let fails = fails.map(|(phase, through_at, transient)| match phase {
                Phase::Verify if transient => (phase, through_at.min(3), transient),
                _ => (phase, through_at, transient),
            });
            Behaviour { change, takes_ms, fails, undo_fails, comes_back, keeps, causes, hangs: false }
        },
    )
}

fn part(index: usize) -> impl Strategy<Value = Part> {
    let edges = prop::collection::vec((0..index.max(1), until()), 0..=index.min(3));
    let settings = (
        until(),
        proptest::option::weighted(0.3, policy()),
        proptest::option::weighted(0.3, 1..5_u32),
        proptest::option::weighted(0.3, 0..2_u8),
        action(),
        prop_oneof![6 => Just(UndoRule::Allowed), 1 => Just(UndoRule::Never)],
    );
    (edges, settings, behaviour()).prop_map(
        move |(edges, (until, policy, retry, class, action, undo), behaviour)| {
            let edges = if index == 0 { Vec::new() } else { edges };
            Part { action, edges, until, policy, retry, class, undo, behaviour }
        },
    )
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    (1..10_usize).prop_flat_map(|len| (0..len).map(part).collect::<Vec<_>>())
}

fn graph(policy: FailurePolicy, parts: &[Part]) -> Arc<Graph> {
    let components = parts.iter().enumerate().map(|(index, part)| {
        let name = format!("c{index}");
        let mut component = ComponentBuilder::new(name, "test").action(part.action);
        for (on, until) in &part.edges {
            component = component.depends_on(Dependency { component: format!("c{on}"), until: *until });
        }
        if let Some(policy) = part.policy {
            component = component.on_failure(policy);
        }
        if let Some(attempts) = part.retry {
            let backoff = Duration::from_millis(20);
            component =
                component.retry(RetryPolicy { attempts, backoff, max_backoff: Duration::from_millis(50) });
        }
        if let Some(class) = part.class.filter(|_| !part.action.is_join()) {
            component = component.class(format!("k{class}"), u32::from(class) + 1);
        }
        component.until(part.until).undo(part.undo)
    });
    let plan = PlanBuilder::new("p", "p").on_failure(policy).components(components);
    Arc::new(Graph::from_plan(&plan).unwrap())
}

fn world() -> impl Strategy<Value = World> {
    let limits = (1..4_u32, 1..4_u32, any::<u64>());
    (policy(), parts(), limits, any::<bool>()).prop_map(|(policy, parts, (api, waits, seed), stutters)| {
        World {
            graph: graph(policy, &parts),
            options: RunOptions::default().with_api_limit(api).with_wait_limit(waits).with_seed(seed),
            behaviours: parts.into_iter().map(|part| part.behaviour).collect(),
            stops: Vec::new(),
            stutters,
        }
    })
}

fn stops() -> impl Strategy<Value = Vec<(u64, StopMode)>> {
    use StopMode::{Drain, Now, Rollback, Supersede};
    let mode = prop_oneof![Just(Drain), Just(Now), Just(Supersede), Just(Rollback)];
    prop::collection::vec((0..200_u64, mode), 0..4)
}

fn outcome(log: &[Record]) -> Outcome {
    match log.last().map(|record| &record.event) {
        Some(Event::Finished { outcome }) => *outcome,
        other => panic!("the log ends with {other:?}"),
    }
}

/// The outcome and, where it does not depend on the timing, the end of each component.
fn outcome_has_a_cause(world: &World, log: &[Record]) {
    let at_deadline = |r: &&Record| matches!(r.event, Event::Stopping { reason: StopReason::Deadline });
    assert_eq!(log.iter().find(at_deadline), None, "nothing here hangs, so no deadline is reached: {log:#?}");
    let rolls_back = log.iter().any(|record| match &record.event {
        Event::AttemptFailed { component, retry_at: None, .. } => {
            oracle::policy(world, *component) == FailurePolicy::Rollback
        }
        _ => false,
    });
    let expected = match rolls_back {
        true => oracle::rollback_outcome(world, log),
        false if oracle::must_succeed(world) => Outcome::Succeeded,
        false => Outcome::Failed,
    };
    assert_eq!(outcome(log), expected, "{log:#?}");
    if oracle::all_continue(world) {
        let ends = oracle::ends_when_all_continue(world);
        let of = |wanted: End| -> Vec<u32> {
            (0_u32..).zip(&ends).filter(|(_, end)| **end == wanted).map(|(index, _)| index).collect()
        };
        let ready = ended_as(log, |event| match event {
            Event::Ready { component, .. } => Some(*component),
            _ => None,
        });
        let failed = ended_as(log, |event| match event {
            Event::AttemptFailed { phase: Phase::Verify, .. } => None,
            Event::AttemptFailed { component, retry_at: None, .. } => Some(*component),
            _ => None,
        });
        assert_eq!(ready, of(End::Ready), "{log:#?}");
        let may_fail = of(End::FailedOrSkipped);
        let must_have_failed: Vec<u32> = failed.into_iter().filter(|id| !may_fail.contains(id)).collect();
        assert_eq!(must_have_failed, of(End::Failed), "{log:#?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_run_ends_as_the_obvious_scheduler_says(world in world()) {
        outcome_has_a_cause(&world, &world.run());
    }

    #[test]
    fn resume_from_any_prefix_ends_as_the_undisturbed_run(world in world(), gap_ms in 0..10_000_u64) {
        let log = world.run();
        for cut in 0..=log.len() {
            let resumed = world.resume(&log[..cut], Duration::from_millis(gap_ms));
            prop_assert_eq!(&resumed[..cut], &log[..cut]);
            outcome_has_a_cause(&world, &resumed);
            // What was begun when the failure came, and so what had to be undone, is a matter of time.
            if !world.graph.may_be_rolled_back() {
                prop_assert_eq!(outcome(&resumed), outcome(&log));
            }
        }
    }

    #[test]
    fn a_stopped_run_ends_and_keeps_every_rule(world in world(), stops in stops(), cut in any::<prop::sample::Index>()) {
        let world = World { stops, ..world };
        let log = world.run();
        if world.stops.is_empty() {
            outcome_has_a_cause(&world, &log);
        }
        let fails = log.iter().any(|r| matches!(&r.event, Event::AttemptFailed { retry_at: None, failure, .. }
            if failure.class != crate::failure::FailureClass::Cancelled));
        let all_ready = log.iter().filter(|r| matches!(r.event, Event::Ready { .. })).count() == world.graph.len();
        let superseded = log.iter().any(|r| matches!(r.event,
            Event::Stopping { reason: StopReason::Asked { mode: StopMode::Supersede } }));
        let gives_up = log.iter().any(|r| matches!(r.event,
            Event::Stopping { reason: StopReason::Asked { mode } } if mode != StopMode::Drain));
        let rolls_back = log.iter().any(|r| r.event == Event::RollingBack);
        let expected = match (fails, all_ready && !gives_up, superseded) {
            // What was undone, and what is left, is judged from the records.
            _ if rolls_back => outcome(&log),
            (true, ..) => Outcome::Failed,
            (_, true, _) => Outcome::Succeeded,
            (_, _, true) => Outcome::Superseded,
            _ => Outcome::Cancelled,
        };
        prop_assert_eq!(outcome(&log), expected);
        let asked = |wanted: StopMode| log.iter().any(|r| r.event == Event::Stopping { reason: StopReason::Asked { mode: wanted } });
        let policy_asks = |r: &Record| matches!(&r.event, Event::AttemptFailed { component, retry_at: None, .. }
            if oracle::policy(&world, *component) == FailurePolicy::Rollback);
        prop_assert!(!rolls_back || asked(StopMode::Rollback) || log.iter().any(policy_asks), "{:#?}", log);
        prop_assert!(!asked(StopMode::Rollback) || rolls_back, "{:#?}", log);
        let resumed = world.resume(&log[..cut.index(log.len())], Duration::from_millis(5));
        outcome(&resumed);
    }

    #[test]
    fn same_seed_gives_the_same_log(world in world(), stops in stops()) {
        let world = World { stops, ..world };
        prop_assert_eq!(world.run(), world.run());
    }

    #[test]
    fn a_component_starts_the_moment_its_last_dependency_is_there(parts in parts()) {
        let parts: Vec<Part> = parts.into_iter().map(|mut part| {
            part.behaviour = Behaviour { change: Change::Create, fails: None, ..part.behaviour };
            part.behaviour.takes_ms[0] = 0;
            part.class = None;
            part
        }).collect();
        let world = World {
            graph: graph(FailurePolicy::Drain, &parts),
            options: RunOptions::default(),
            behaviours: parts.into_iter().map(|part| part.behaviour).collect(),
            stops: Vec::new(),
            stutters: false,
        };
        let expected = oracle::ready_times_ms(&world);
        for record in world.run() {
            if let Event::Ready { component, .. } = record.event {
                let at = record.at.since(BEGINNING);
                prop_assert_eq!(at, Duration::from_millis(expected[component.index()]), "{:?}", component);
            }
        }
    }
}
