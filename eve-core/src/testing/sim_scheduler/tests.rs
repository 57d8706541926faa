//! The simulator finds nothing wrong with the scheduler, and everything wrong with a sabotaged one.

use super::*;

#[test]
fn a_swarm_holds_every_invariant_and_comes_to_the_same_twice() {
    let (mut processes, mut faults) = (0, 0);
    for seed in 0..1_000 {
        let report =
            if seed % 8 == 0 { check_twice(seed, None) } else { check(&mut Seeded::new(seed), None) };
        assert_eq!(report.violation, None, "seed {seed} after {} steps", report.steps);
        processes += report.processes;
        faults += report.faults;
    }
    assert!(processes > 2_000 && faults > 10_000, "{processes} processes, {faults} faults");
}

#[test]
fn every_planted_bug_is_found_in_its_budget_by_an_invariant_that_it_names() {
    let mut missed = Vec::new();
    for &bug in Sabotage::ALL {
        let found = (0..bug.budget()).find_map(|seed| check(&mut Seeded::new(seed), Some(bug)).violation);
        if !found.as_ref().is_some_and(|violation| bug.found_by().contains(&violation.invariant)) {
            missed.push((bug, found));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}
