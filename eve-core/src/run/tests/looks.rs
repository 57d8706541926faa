//! How an undo is bounded, and what becomes of looks that are cut off: by the deadline, by a request to stop, with the process.

use std::sync::Arc;

use super::bench::{Bench, secs};
use super::undo::{Undoing, chain, component, rollback_of};
use super::world::BEGINNING;
use crate::failure::Failure;
use crate::ids::{ComponentId, RunId, Seq};
use crate::run::{
    Change, Command, Event, Outcome, Phase, PhaseEnd, Record, RollbackError, Run, RunOptions, StopMode,
    UndoStatus,
};

/// Two that are undone, and looked at one after the other.
fn undone_and_looked_at_in_turn(options: RunOptions) -> Undoing {
    let mut run = Undoing::with(vec![component("a"), component("b")], options.with_api_limit(1));
    run.ready(0, Change::Create);
    run.wait_fails(1);
    for id in [0, 1] {
        assert_eq!(run.0.called(Phase::Undo), [id]);
        run.undone(id);
    }
    run
}

/// What a look that was cut off left, with the code of its reason.
fn left_unseen(run: &Undoing) -> Vec<(u32, String)> {
    let failed = |record: &Record| match &record.event {
        Event::UndoFailed { component, phase: Phase::Verify, failure, retry_at: None, .. } => {
            Some((component.get(), failure.code.to_string()))
        }
        _ => None,
    };
    run.0.log.iter().filter_map(failed).collect()
}

#[test]
fn whatever_the_deadline_kept_from_being_looked_at_is_named() {
    let mut run = undone_and_looked_at_in_turn(RunOptions::default().with_run_timeout(secs(100)));
    assert_eq!(run.0.called(Phase::Verify), [0]);
    run.0.pass(secs(100));
    let _ = run.0.commands();
    assert_eq!(left_unseen(&run), [(1, "run.deadline".to_owned())]);
    assert_eq!(run.outcome(), None, "what is in flight has a grace");
    run.0.end(0, 2, PhaseEnd::Verify(Ok(())));
    let _ = run.0.commands();
    assert_eq!(run.outcome(), Some(Outcome::RollbackFailed));
    assert_eq!(run.statuses(), [UndoStatus::Undone, UndoStatus::Failed]);
}

#[test]
fn a_look_that_pauses_at_the_deadline_is_named_too() {
    let mut run = undone_and_looked_at_in_turn(RunOptions::default().with_run_timeout(secs(100)));
    let _ = run.0.commands();
    run.0.end(0, 2, PhaseEnd::Verify(Ok(())));
    assert_eq!(run.0.called(Phase::Verify), [1]);
    run.0.pass(secs(99));
    run.0.end(1, 2, PhaseEnd::Verify(Err(Failure::transient("t", "lost"))));
    run.0.pass(secs(1));
    let _ = run.0.commands();
    assert_eq!(left_unseen(&run).len(), 1);
    assert_eq!(run.statuses(), [UndoStatus::Undone, UndoStatus::Failed]);
}

#[test]
fn a_look_that_ends_well_within_its_grace_is_a_look() {
    let mut run = undone_and_looked_at_in_turn(RunOptions::default().with_run_timeout(secs(100)));
    let _ = run.0.commands();
    run.0.end(0, 2, PhaseEnd::Verify(Ok(())));
    assert_eq!(run.0.called(Phase::Verify), [1]);
    run.0.pass(secs(100));
    run.0.end(1, 2, PhaseEnd::Verify(Ok(())));
    let _ = run.0.commands();
    assert_eq!(run.outcome(), Some(Outcome::RolledBack));
}

#[test]
fn what_a_stop_kept_from_being_looked_at_is_named_and_looked_at_by_another_run() {
    for stop_at in [0, 1] {
        let mut run = undone_and_looked_at_in_turn(RunOptions::default());
        let _ = run.0.commands();
        if stop_at == 1 {
            run.0.end(0, 2, PhaseEnd::Verify(Ok(())));
            let _ = run.0.commands();
        }
        run.stop(StopMode::Now);
        let _ = run.0.commands();
        assert_eq!(run.outcome(), Some(Outcome::RollbackFailed));
        let named: Vec<u32> = left_unseen(&run).into_iter().map(|(id, _)| id).collect();
        assert_eq!(named, (stop_at..2).collect::<Vec<_>>());
        let mut again = rollback_of(&Arc::clone(run.0.run.graph()), &run.0.log).unwrap();
        assert_eq!(again.0.called(Phase::Undo), named, "it finds nothing to do, and looks");
        for id in named {
            again.undone(id);
        }
        again.looked_well();
        assert_eq!(again.outcome(), Some(Outcome::RolledBack));
    }
}

#[test]
fn a_rollback_that_lost_its_look_without_naming_anything_is_read_and_looked_at_by_another_run() {
    let mut run = undone_and_looked_at_in_turn(RunOptions::default());
    let _ = run.0.commands();
    run.stop(StopMode::Now);
    let _ = run.0.commands();
    let is_named = |record: &&Record| !matches!(record.event, Event::UndoFailed { .. });
    let mut log: Vec<Record> = run.0.log.iter().filter(is_named).cloned().collect();
    for (index, record) in log.iter_mut().enumerate() {
        record.seq = Seq::new(index as u64 + 1);
    }
    assert!(log.len() < run.0.log.len());
    let mut again = rollback_of(run.0.run.graph(), &log).unwrap();
    assert_eq!(again.0.called(Phase::Undo), [0, 1]);
}

#[test]
fn an_undo_that_tells_nothing_new_is_given_up_and_never_called_again() {
    let options = RunOptions::default().with_no_progress_timeout(secs(60));
    let mut run = Undoing::with(chain(&["a"]), options);
    let _ = run.0.commands();
    run.wait_fails(0);
    assert_eq!(run.0.called(Phase::Undo), [0]);
    run.0.pass(secs(50));
    run.0.progress(0, "a finalizer holds it");
    run.0.pass(secs(50));
    assert_eq!(run.outcome(), None, "it has told something new 50 s ago");
    run.0.progress(0, "a finalizer holds it");
    run.0.pass(secs(10));
    let commands = run.0.commands();
    assert!(matches!(commands[..], [Command::Abort { .. }]), "{commands:?}");
    assert_eq!(run.outcome(), Some(Outcome::RollbackFailed));
    let failure = run.0.run.view().undo_failure(ComponentId::new(0)).unwrap().clone();
    assert_eq!(failure.code, "run.deadline.no-progress");
    assert!(failure.message.contains("a finalizer holds it"), "{failure}");
}

#[test]
fn an_undo_that_tells_news_has_the_time_of_its_component_and_each_process_hears_it_anew() {
    let options = RunOptions::default().with_no_progress_timeout(secs(60)).with_component_timeout(secs(200));
    let mut run = Undoing::with(chain(&["a"]), options);
    let _ = run.0.commands();
    run.wait_fails(0);
    let _ = run.0.commands();
    run.0.pass(secs(50));
    run.die();
    assert_eq!(run.0.called(Phase::Undo), [0]);
    for step in 0..4 {
        run.0.pass(secs(50));
        run.0.progress(0, &format!("step {step}"));
    }
    assert_eq!(run.outcome(), None);
    run.0.pass(secs(6));
    let _ = run.0.commands();
    let failure = run.0.run.view().undo_failure(ComponentId::new(0)).unwrap().clone();
    assert_eq!(failure.code, "run.deadline.undo");
}

#[test]
fn a_run_that_was_given_up_in_the_middle_is_undone_with_what_was_being_written() {
    let mut run = Undoing::new(chain(&["a", "b", "c"]));
    run.ready(0, Change::Create);
    run.prepare(1, Change::Update);
    let (graph, id) = (Arc::clone(run.0.run.graph()), RunId::new("back"));
    let undone = (&RunId::new("run"), &run.0.log[..]);
    let over = Run::rollback(Arc::clone(&graph), RunOptions::default(), id.clone(), undone, BEGINNING).err();
    assert_eq!(over, Some(RollbackError::NotOver { run: RunId::new("run") }));
    let back = Run::rollback_of_abandoned(graph, RunOptions::default(), id, undone, BEGINNING).unwrap();
    let mut back = Undoing(Bench { run: back, now: BEGINNING, log: Vec::new() });
    assert_eq!(back.0.called(Phase::Undo), [1]);
    back.undone(1);
    assert_eq!(back.0.called(Phase::Undo), [0]);
    back.undone(0);
    back.looked_well();
    assert_eq!(back.outcome(), Some(Outcome::RolledBack));
}
