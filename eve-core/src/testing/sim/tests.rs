//! The simulator finds nothing wrong with the engine, and everything wrong with a sabotaged one.

use super::*;
use std::time::Duration;

use crate::plan::builder::{ComponentBuilder, PlanBuilder};
use crate::run::RunOptions;

#[test]
fn a_swarm_holds_every_invariant_and_comes_to_the_same_twice() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..3_000 {
        let twice = seed % 4 == 0;
        let report =
            if twice { check_twice(seed, None) } else { check(Kind::Swarm, &mut Seeded::new(seed), None) };
        assert_eq!(report.violation, None, "seed {seed}");
        assert!(report.coverage.unexpected().is_empty(), "seed {seed}: {:?}", report.coverage.unexpected());
        outcomes.insert(format!("{:?}", report.outcome));
    }
    assert_eq!(outcomes.len(), 7, "every outcome, and damage that was noticed: {outcomes:?}");
}

#[test]
fn what_must_not_overlap_does_not_where_processes_die() {
    let component = |name: &str| ComponentBuilder::new(name, "test");
    let of_class = |name: &str, after: &str| component(name).after(after).class("k", 1);
    let components = [component("a"), of_class("b", "a"), component("c"), of_class("d", "c")];
    let plan = PlanBuilder::new("p", "p").components(components);
    let scenario = Scenario::of(&plan, RunOptions::default()).unwrap();
    let scenario = scenario
        .with_script("c", Script::new().ready_after(Duration::from_secs(1)))
        .with_faults(Faults::none().with(Fault::Kill, Chance::per_mille(50), 3));
    for seed in 0..2_000 {
        assert_eq!(simulate(&scenario, &mut Seeded::new(seed), None).violation, None, "seed {seed}");
    }
}

#[test]
fn every_planted_bug_is_found_in_its_budget_by_an_invariant_that_it_names() {
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    for &bug in Sabotage::ALL {
        let found = (0..bug.budget()).find_map(|seed| check_twice(seed, Some(bug)).violation);
        if !found.as_ref().is_some_and(|violation| bug.found_by().contains(&violation.invariant)) {
            missed.push((bug, found));
        }
    }
    let _ = std::panic::take_hook();
    assert!(missed.is_empty(), "{missed:?}");
}

#[test]
fn every_crash_and_every_stop_of_one_shape_of_four_keeps_every_invariant() {
    // A diamond: two after the first, one after both.
    let shape = 0b11_0011;
    let (mut schedules, mut outcomes) = (0_u64, std::collections::BTreeSet::new());
    enumerate(shape, None, |report, choices| {
        assert_eq!(report.violation, None, "{}", choices());
        schedules += 1;
        outcomes.extend(report.outcome);
        true
    });
    assert_eq!(outcomes.len(), 6, "every outcome: {outcomes:?} in {schedules}");
}

#[test]
fn a_failing_schedule_is_made_small_and_still_fails_in_the_same_way() {
    let bug = Some(Sabotage::ReleasedOnApplied);
    let failing = (0..100).find(|&seed| check(Kind::Swarm, &mut Seeded::new(seed), bug).violation.is_some());
    let mut seeded = Seeded::new(failing.unwrap());
    let mut recorder = Recorder::new(&mut seeded);
    let before = check(Kind::Swarm, &mut recorder, bug);
    let invariant = before.violation.unwrap().invariant;
    let small = shrunk((Kind::Swarm, bug), recorder.into_recorded(), invariant, 5_000);
    let small: Recorded = small.to_string().parse().unwrap();
    let after = traced(Kind::Swarm, &mut small.replay(), bug);
    assert_eq!(after.violation.map(|violation| violation.invariant), Some(invariant));
    assert!(after.components <= 6 && after.trace.len() <= 40, "{:#?}", after.trace);
}
