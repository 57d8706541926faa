//! The rules of a rollback and of the fresh look, one test for each.

use std::sync::Arc;

use super::bench::{Bench, secs};
use super::world::BEGINNING;
use crate::failure::{Failure, FailureClass};
use crate::ids::{ComponentId, RunId};
use crate::plan::builder::{ComponentBuilder, PlanBuilder};
use crate::plan::graph::Graph;
use crate::plan::{Action, FailurePolicy, UndoRule};
use crate::run::{
    Applied, Change, Command, ComponentStatus, Event, Input, KeepReason, Outcome, Phase, PhaseEnd, Prepared,
    Record, RollbackError, Run, RunOptions, StopMode, UndoReport, UndoStatus, UndoToken,
};
use crate::testing::{sample_rollback, sample_rollback_graph, sample_undoing};

/// A run under `rollback`, driven by hand; executors keep what was before.
pub(super) struct Undoing(pub(super) Bench);

impl Undoing {
    pub(super) fn new(components: Vec<ComponentBuilder>) -> Self {
        Self::with(components, RunOptions::default())
    }

    pub(super) fn with(components: Vec<ComponentBuilder>, options: RunOptions) -> Self {
        let plan = PlanBuilder::new("p", "p").on_failure(FailurePolicy::Rollback).components(components);
        Self(Bench::of(&plan, options))
    }

    pub(super) fn prepare(&mut self, component: u32, change: Change) {
        let undo = Some(UndoToken::new(format!("before {component}")));
        self.0.end(component, 1, PhaseEnd::Prepare(Ok(Prepared { undo, ..Prepared::new(change) })));
        let _ = self.0.commands();
    }

    /// Brings a component to `Ready`, with this change.
    pub(super) fn ready(&mut self, component: u32, change: Change) {
        self.prepare(component, change);
        self.0.end(component, 1, PhaseEnd::Apply(Ok(Applied::new(change))));
        let _ = self.0.commands();
        self.0.ready(component);
    }

    pub(super) fn wait_fails(&mut self, component: u32) {
        self.prepare(component, Change::Update);
        self.0.end(component, 1, PhaseEnd::Apply(Ok(Applied::new(Change::Update))));
        let _ = self.0.commands();
        self.0.end(component, 1, PhaseEnd::Wait(Err(Failure::permanent("t", "never"))));
    }

    pub(super) fn undone(&mut self, component: u32) {
        self.0.end(component, 1, PhaseEnd::Undo(Ok(UndoReport::new(Change::Delete))));
    }

    fn undo_fails(&mut self, component: u32, attempt: u32, class: FailureClass) {
        self.0.end(component, attempt, PhaseEnd::Undo(Err(Failure::new(class, "t", "no way back"))));
    }

    /// Looks afresh at what is undone: it is as before.
    pub(super) fn looked_well(&mut self) {
        for command in self.0.commands() {
            let Command::Call { component, attempt, phase: Phase::Verify, .. } = command else { continue };
            self.0.end(component.get(), attempt.get(), PhaseEnd::Verify(Ok(())));
        }
    }

    pub(super) fn stop(&mut self, mode: StopMode) {
        self.0.run.handle(Input::Stop { mode }, self.0.now);
    }

    pub(super) fn statuses(&self) -> Vec<UndoStatus> {
        let view = self.0.run.view();
        view.graph().ids().map(|id| view.undo_status(id)).collect()
    }

    fn kept(&self, component: u32) -> Option<KeepReason> {
        self.0.run.view().kept_because(ComponentId::new(component))
    }

    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.0.run.outcome()
    }

    /// The process dies, and another one takes over.
    pub(super) fn die(&mut self) {
        let _ = self.0.commands();
        let (graph, options) = (Arc::clone(self.0.run.graph()), self.0.run.options().clone());
        self.0.run = Run::resume(graph, options, self.0.run.id().clone(), &self.0.log, self.0.now).unwrap();
    }
}

pub(super) fn component(name: &str) -> ComponentBuilder {
    ComponentBuilder::new(name, "test")
}

/// Each after the one before.
pub(super) fn chain(names: &[&str]) -> Vec<ComponentBuilder> {
    let edges = names.iter().enumerate();
    edges
        .map(|(index, name)| match index.checked_sub(1) {
            Some(before) => component(name).after(names[before]),
            None => component(name),
        })
        .collect()
}

#[test]
fn what_was_changed_is_undone_in_reverse_order_and_looked_at_afresh() {
    let mut run = Undoing::new(chain(&["a", "b", "c"]));
    run.ready(0, Change::Create);
    run.ready(1, Change::Update);
    run.wait_fails(2);
    assert_eq!(run.0.called(Phase::Undo), [2]);
    run.undone(2);
    assert_eq!(run.0.called(Phase::Undo), [1]);
    run.undone(1);
    assert_eq!(run.0.called(Phase::Undo), [0]);
    run.undone(0);
    assert_eq!(run.outcome(), None, "not before it was looked at");
    run.looked_well();
    assert_eq!(run.outcome(), Some(Outcome::RolledBack));
    assert_eq!(run.statuses(), [UndoStatus::Undone; 3]);
}

#[test]
fn only_what_the_run_may_have_changed_is_undone() {
    let names = ["same", "told-same", "lost", "fails", "never-began"];
    let mut components: Vec<_> = names.map(component).into();
    components[2] = component("lost").on_failure(FailurePolicy::Continue);
    components[4] = component("never-began").after("fails");
    components.push(component("read").action(Action::Read));
    components.push(ComponentBuilder::join("join"));
    let mut run = Undoing::new(components);
    run.prepare(0, Change::None);
    run.0.ready(0);
    run.prepare(1, Change::Unknown);
    run.prepare(1, Change::Unknown);
    run.0.end(1, 1, PhaseEnd::Apply(Ok(Applied::new(Change::None))));
    let _ = run.0.commands();
    run.0.ready(1);
    run.prepare(2, Change::Create);
    run.0.end(2, 1, PhaseEnd::Apply(Err(Failure::permanent("t", "refused, or was it?"))));
    run.prepare(5, Change::None);
    run.0.ready(5);
    run.wait_fails(3);
    assert_eq!(run.0.called(Phase::Undo), [2, 3]);
    assert_eq!(run.statuses()[2..4], [UndoStatus::Undoing; 2]);
    for untouched in [0, 1, 4, 5, 6] {
        assert_eq!(run.statuses()[untouched], UndoStatus::Untouched, "{untouched}");
    }
}

#[test]
fn nothing_is_undone_while_something_is_in_flight() {
    let mut run = Undoing::new(vec![component("slow"), component("fails")]);
    run.prepare(0, Change::Create);
    run.wait_fails(1);
    assert!(run.0.called(Phase::Undo).is_empty());
    run.0.end(0, 1, PhaseEnd::Apply(Ok(Applied::new(Change::Create))));
    assert_eq!(run.0.called(Phase::Wait), [0], "what runs comes to its end");
    run.0.ready(0);
    assert_eq!(run.0.called(Phase::Undo), [0, 1]);
}

#[test]
fn a_failure_before_the_first_write_leaves_nothing_to_undo() {
    let mut run = Undoing::new(chain(&["a"]));
    let _ = run.0.commands();
    run.0.end(0, 1, PhaseEnd::Prepare(Err(Failure::permanent("t", "no"))));
    let _ = run.0.commands();
    assert_eq!(run.outcome(), Some(Outcome::RolledBack));
}

#[test]
fn the_policy_of_the_component_that_failed_decides() {
    for (plan, own, rolls_back) in [
        (FailurePolicy::Rollback, Some(FailurePolicy::Drain), false),
        (FailurePolicy::Drain, Some(FailurePolicy::Rollback), true),
        (FailurePolicy::Continue, Some(FailurePolicy::Rollback), true),
        (FailurePolicy::Rollback, Some(FailurePolicy::Continue), false),
        (FailurePolicy::Rollback, None, true),
        (FailurePolicy::Drain, None, false),
    ] {
        let fails = own.map_or(component("a"), |own| component("a").on_failure(own));
        let plan = PlanBuilder::new("p", "p").on_failure(plan).component(fails);
        let mut run = Undoing(Bench::of(&plan, RunOptions::default()));
        let _ = run.0.commands();
        run.wait_fails(0);
        assert_eq!(run.0.called(Phase::Undo).len(), usize::from(rolls_back), "{plan:?}");
        assert_eq!(run.outcome(), (!rolls_back).then_some(Outcome::Failed));
    }
}

#[test]
fn the_token_from_before_the_first_write_holds() {
    let mut run = Undoing::new(chain(&["a"]));
    let _ = run.0.commands();
    let prepared = |text: &str| {
        let undo = Some(UndoToken::new(text));
        PhaseEnd::Prepare(Ok(Prepared { undo, ..Prepared::new(Change::Update) }))
    };
    run.0.end(0, 1, prepared("before"));
    assert_eq!(run.0.called(Phase::Apply), [0]);
    assert_eq!(run.0.run.prepared(ComponentId::new(0)).unwrap().undo, Some(UndoToken::new("before")));
    run.0.end(0, 1, PhaseEnd::Apply(Err(Failure::transient("t", "the reply was lost"))));
    let _ = run.0.commands();
    run.0.pass(secs(30));
    let _ = run.0.commands();
    run.0.end(0, 2, prepared("our own half-done write"));
    let _ = run.0.commands();
    assert_eq!(run.0.run.undo_token(ComponentId::new(0)), Some(&UndoToken::new("before")));
    let stored = run.0.count(|event| format!("{event:?}").contains("half-done"));
    assert_eq!(stored, 0, "what does not count is not stored");
}

#[test]
fn the_token_is_looked_up_anew_as_long_as_nothing_was_begun() {
    let mut run = Undoing::new(chain(&["a", "b"]));
    let _ = run.0.commands();
    run.prepare(1, Change::Update);
    assert!(run.0.run.undo_token(ComponentId::new(1)).is_some());
    run.die();
    assert_eq!(run.0.run.undo_token(ComponentId::new(1)), None, "much may have happened meanwhile");
}

#[test]
fn what_is_never_undone_keeps_what_it_depends_on() {
    let mut components = chain(&["db", "migrate", "web", "fails"]);
    components[1] = component("migrate").after("db").undo(UndoRule::Never);
    let mut run = Undoing::new(components);
    for id in 0..3 {
        run.ready(id, Change::Create);
    }
    run.wait_fails(3);
    assert_eq!(run.0.called(Phase::Undo), [3]);
    run.undone(3);
    assert_eq!(run.0.called(Phase::Undo), [2], "what comes after it is undone");
    run.undone(2);
    let _ = run.0.commands();
    assert_eq!(run.outcome(), Some(Outcome::RollbackFailed));
    assert_eq!(run.kept(1), Some(KeepReason::Rule));
    assert_eq!(run.kept(0), Some(KeepReason::Dependant { component: ComponentId::new(1) }));
}

#[test]
fn what_is_never_undone_and_was_not_begun_holds_nothing_up() {
    let mut components = chain(&["db", "fails", "migrate"]);
    components[2] = component("migrate").after("fails").undo(UndoRule::Never);
    let mut run = Undoing::new(components);
    run.ready(0, Change::Create);
    run.wait_fails(1);
    run.undone(1);
    run.undone(0);
    run.looked_well();
    assert_eq!(run.outcome(), Some(Outcome::RolledBack));
}

#[test]
fn what_is_never_undone_holds_nothing_up_where_every_attempt_left_nothing() {
    let lost = |attempt| Failure::transient("t", format!("no connection in attempt {attempt}"));
    for (first_left_nothing, outcome) in [(true, Outcome::RolledBack), (false, Outcome::RollbackFailed)] {
        let mut components = chain(&["web", "announce"]);
        components[1] = component("announce").after("web").undo(UndoRule::Never);
        let mut run = Undoing::new(components);
        run.ready(0, Change::Update);
        run.prepare(1, Change::Create);
        let first = if first_left_nothing { lost(1).with_nothing_left() } else { lost(1) };
        run.0.end(1, 1, PhaseEnd::Apply(Err(first)));
        run.0.now = run.0.now.plus(secs(60));
        run.0.run.handle_timeout(run.0.now);
        for command in run.0.commands() {
            let Command::Call { component, attempt, phase: Phase::Prepare, .. } = command else { continue };
            run.0.end(component.get(), attempt.get(), PhaseEnd::Prepare(Ok(Prepared::new(Change::Create))));
        }
        let _ = run.0.commands();
        let failed = Failure::permanent("t", "it says that it failed").with_nothing_left();
        run.0.end(1, 2, PhaseEnd::Apply(Err(failed)));
        run.die();
        let _ = run.0.commands();
        run.undone(0);
        run.looked_well();
        assert_eq!(run.outcome(), Some(outcome), "{first_left_nothing}");
        let kept = [run.kept(0), run.kept(1)];
        let stays = [Some(KeepReason::Dependant { component: ComponentId::new(1) }), Some(KeepReason::Rule)];
        assert_eq!(kept, if first_left_nothing { [None; 2] } else { stays });
    }
}

#[test]
fn what_was_kept_nothing_of_cannot_be_undone() {
    let mut run = Undoing::new(chain(&["a", "b"]));
    run.ready(0, Change::Create);
    run.0.prepared(1, Change::Create);
    let _ = run.0.commands();
    run.0.applied(1);
    let _ = run.0.commands();
    run.0.end(1, 1, PhaseEnd::Wait(Err(Failure::permanent("t", "never"))));
    assert!(run.0.called(Phase::Undo).is_empty());
    assert_eq!(run.kept(1), Some(KeepReason::NoToken));
    assert_eq!(run.outcome(), Some(Outcome::RollbackFailed));
}

#[test]
fn an_undo_that_fails_for_good_keeps_what_is_before_it_over_what_was_untouched() {
    use UndoStatus::{Failed, Kept, Undone, Untouched};
    let mut components = chain(&["a", "same", "b"]);
    components.push(component("beside"));
    let mut run = Undoing::new(components);
    run.ready(0, Change::Create);
    run.ready(3, Change::Create);
    run.prepare(1, Change::None);
    run.0.ready(1);
    run.wait_fails(2);
    assert_eq!(run.0.called(Phase::Undo), [2, 3]);
    run.undo_fails(2, 1, FailureClass::Permanent);
    run.undone(3);
    let _ = run.0.commands();
    assert_eq!(run.outcome(), Some(Outcome::RollbackFailed));
    assert_eq!(run.statuses(), [Kept, Untouched, Failed, Undone]);
    assert_eq!(run.kept(0), Some(KeepReason::Dependant { component: ComponentId::new(2) }));
    let failure = run.0.run.view().undo_failure(ComponentId::new(2)).map(|failure| failure.message.clone());
    assert_eq!(failure.as_deref(), Some("no way back"));
}

#[test]
fn an_undo_is_tried_again_with_patience_but_not_for_ever() {
    let mut run = Undoing::new(chain(&["a"]));
    let _ = run.0.commands();
    run.wait_fails(0);
    for attempt in 1..=10 {
        assert_eq!(run.0.called(Phase::Undo), [0], "{attempt}");
        run.undo_fails(0, attempt, FailureClass::Transient);
        assert!(run.0.called(Phase::Undo).is_empty(), "a retry keeps its pause");
        run.0.pass(secs(30));
    }
    let _ = run.0.commands();
    assert_eq!(run.outcome(), Some(Outcome::RollbackFailed));
}

#[test]
fn an_undo_that_hangs_is_given_up_at_the_deadline_of_its_component() {
    let mut run = Undoing::new(vec![component("a").timeout(secs(60))]);
    let _ = run.0.commands();
    run.0.pass(secs(50));
    run.wait_fails(0);
    assert_eq!(run.0.called(Phase::Undo), [0]);
    run.0.pass(secs(61));
    assert_eq!(run.outcome(), None, "the end of the call has a grace");
    run.0.pass(secs(5));
    let _ = run.0.commands();
    assert_eq!(run.outcome(), Some(Outcome::RollbackFailed));
    let failure = run.0.run.view().undo_failure(ComponentId::new(0)).unwrap().clone();
    assert_eq!(failure.code, "run.deadline.undo");
}

#[test]
fn a_rollback_has_the_time_of_a_run_and_keeps_the_rest_when_it_is_over() {
    let options = RunOptions::default().with_run_timeout(secs(100)).with_component_timeout(secs(1000));
    let mut run = Undoing::with(chain(&["a", "b"]), options);
    run.ready(0, Change::Create);
    run.0.pass(secs(90));
    run.wait_fails(1);
    assert_eq!(run.0.called(Phase::Undo), [1]);
    run.0.pass(secs(90));
    assert_eq!(
        run.0.run.poll_deadline(),
        Some(BEGINNING.plus(secs(190))),
        "its own time, not that of the run"
    );
    run.0.pass(secs(10));
    assert_eq!(run.kept(0), Some(KeepReason::Deadline));
    assert_eq!(run.outcome(), None, "what is in flight has a grace");
    run.undone(1);
    let _ = run.0.commands();
    assert_eq!(run.outcome(), Some(Outcome::RollbackFailed));
}

#[test]
fn the_deadline_of_the_run_rolls_back_under_the_policy_of_the_plan() {
    for (policy, outcome) in [(FailurePolicy::Rollback, None), (FailurePolicy::Drain, Some(Outcome::Failed))]
    {
        let plan = PlanBuilder::new("p", "p").on_failure(policy).component(component("a"));
        let options = RunOptions::default().with_run_timeout(secs(100));
        let mut run = Undoing(Bench::of(&plan, options));
        let _ = run.0.commands();
        run.prepare(0, Change::Create);
        run.0.end(0, 1, PhaseEnd::Apply(Ok(Applied::new(Change::Create))));
        let _ = run.0.commands();
        run.0.pass(secs(100));
        run.0.pass(secs(6));
        let undone = run.0.called(Phase::Undo).len();
        assert_eq!((run.outcome(), undone), (outcome, usize::from(outcome.is_none())), "{policy:?}");
    }
}

#[test]
fn a_request_to_stop_never_rolls_back_unless_it_says_so() {
    for (mode, outcome) in [
        (StopMode::Drain, Some(Outcome::Failed)),
        (StopMode::Now, Some(Outcome::Cancelled)),
        (StopMode::Rollback, None),
    ] {
        let mut run = Undoing::new(chain(&["a"]));
        let _ = run.0.commands();
        run.prepare(0, Change::Create);
        run.0.end(0, 1, PhaseEnd::Apply(Ok(Applied::new(Change::Create))));
        let _ = run.0.commands();
        run.stop(mode);
        run.0.end(0, 1, PhaseEnd::Wait(Err(Failure::permanent("t", "never"))));
        let undone = run.0.called(Phase::Undo).len();
        assert_eq!((run.outcome(), undone), (outcome, usize::from(outcome.is_none())), "{mode:?}");
    }
}

#[test]
fn a_plan_that_keeps_nothing_is_stopped_instead_of_rolled_back() {
    let mut bench = Bench::new(chain(&["a"]), RunOptions::default());
    let _ = bench.commands();
    bench.run.handle(Input::Stop { mode: StopMode::Rollback }, bench.now);
    let _ = bench.commands();
    assert_eq!(bench.run.outcome(), Some(Outcome::Cancelled));
}

#[test]
fn a_stop_during_a_rollback_lets_undos_in_flight_end_and_keeps_the_rest() {
    for mode in [StopMode::Drain, StopMode::Now, StopMode::Supersede] {
        let mut run = Undoing::new(chain(&["a", "b"]));
        run.ready(0, Change::Create);
        run.wait_fails(1);
        assert_eq!(run.0.called(Phase::Undo), [1]);
        run.stop(mode);
        run.stop(mode);
        assert!(run.0.commands().is_empty(), "an undo is never given up");
        assert_eq!(run.outcome(), None);
        run.undone(1);
        let _ = run.0.commands();
        assert_eq!(run.statuses(), [UndoStatus::Kept, UndoStatus::Undone]);
        assert_eq!(run.kept(0), Some(KeepReason::Stopping));
        assert_eq!(run.outcome(), Some(Outcome::RollbackFailed), "{mode:?}");
        run.stop(mode);
        assert!(run.0.run.poll_event().is_none(), "after the end it changes nothing");
    }
}

#[test]
fn a_stop_between_the_failure_and_the_rollback_keeps_everything() {
    let mut run = Undoing::new(vec![component("slow"), component("fails")]);
    run.prepare(0, Change::Create);
    run.wait_fails(1);
    run.stop(StopMode::Drain);
    run.0.end(0, 1, PhaseEnd::Apply(Ok(Applied::new(Change::Create))));
    let _ = run.0.commands();
    run.0.ready(0);
    assert!(run.0.called(Phase::Undo).is_empty());
    assert_eq!(run.outcome(), Some(Outcome::RollbackFailed));
    assert_eq!((run.kept(0), run.kept(1)), (Some(KeepReason::Stopping), Some(KeepReason::Stopping)));
}

#[test]
fn undos_keep_the_limits_of_calls_and_of_classes() {
    let names = ["a", "b", "c", "d"];
    let of_class = |name: &&str| component(name).class("k", 1);
    let components: Vec<_> =
        names[..2].iter().map(of_class).chain(names[2..].iter().map(|name| component(name))).collect();
    let mut run = Undoing::with(components, RunOptions::default().with_api_limit(2));
    run.ready(0, Change::Create);
    run.ready(1, Change::Create);
    run.ready(2, Change::Create);
    run.wait_fails(3);
    assert_eq!(run.0.called(Phase::Undo), [0, 2], "one of a class, two in all");
    run.undone(2);
    assert_eq!(run.0.called(Phase::Undo), [3]);
    run.undone(0);
    assert_eq!(run.0.called(Phase::Undo), [1]);
}

#[test]
fn an_undo_that_was_under_way_is_called_again_by_the_next_process() {
    let mut run = Undoing::new(chain(&["a", "b"]));
    run.ready(0, Change::Create);
    run.wait_fails(1);
    assert_eq!(run.0.called(Phase::Undo), [1]);
    run.die();
    assert_eq!(run.0.called(Phase::Undo), [1]);
    assert_eq!(run.0.count(|event| matches!(event, Event::UndoStarted { .. })), 1);
    run.undone(1);
    assert_eq!(run.0.called(Phase::Undo), [0]);
    run.undone(0);
    run.die();
    run.looked_well();
    assert_eq!(run.outcome(), Some(Outcome::RolledBack));
}

#[test]
fn what_was_interrupted_while_it_wrote_is_undone_though_the_next_write_found_nothing_to_change() {
    let mut run = Undoing::new(chain(&["a", "b"]));
    run.prepare(0, Change::Create);
    run.die();
    assert_eq!(run.0.called(Phase::Apply), [0]);
    run.0.end(0, 1, PhaseEnd::Apply(Ok(Applied::new(Change::None))));
    let _ = run.0.commands();
    run.0.ready(0);
    let _ = run.0.commands();
    run.wait_fails(1);
    assert_eq!(run.0.called(Phase::Undo), [1]);
    run.undone(1);
    assert_eq!(run.0.called(Phase::Undo), [0]);
}

#[test]
fn what_does_not_stay_as_before_is_not_rolled_back() {
    let mut run = Undoing::new(chain(&["a"]));
    let _ = run.0.commands();
    run.wait_fails(0);
    let _ = run.0.commands();
    run.undone(0);
    assert_eq!(run.0.called(Phase::Verify), [0]);
    let other = Failure::permanent("t", "somebody has changed it");
    run.0.end(0, 2, PhaseEnd::Verify(Err(other)));
    let _ = run.0.commands();
    assert_eq!(run.outcome(), Some(Outcome::RollbackFailed));
    assert_eq!(run.statuses(), [UndoStatus::Failed]);
}

#[test]
fn a_run_has_not_succeeded_before_everything_was_looked_at_afresh() {
    let mut bench = Bench::new(
        vec![component("a"), component("b"), ComponentBuilder::join("all")],
        RunOptions::default(),
    );
    let _ = bench.commands();
    for id in [0, 1] {
        bench.prepared(id, Change::None);
        let _ = bench.commands();
        bench.ready(id);
    }
    assert_eq!(bench.called(Phase::Verify), [0, 1], "joins are looked at by nobody");
    assert!(bench.run.view().is_verifying());
    bench.end(0, 1, PhaseEnd::Verify(Ok(())));
    assert_eq!(bench.run.outcome(), None);
    bench.end(1, 1, PhaseEnd::Verify(Err(Failure::permanent("t", "1 of 3 replicas is gone"))));
    let _ = bench.commands();
    assert_eq!(bench.run.outcome(), Some(Outcome::Failed));
    assert_eq!(bench.run.view().status(ComponentId::new(1)), ComponentStatus::Failed);
    assert_eq!(bench.failure().message, "1 of 3 replicas is gone");
}

#[test]
fn a_look_that_could_not_be_made_is_made_again() {
    let mut bench = Bench::new(chain(&["a"]), RunOptions::default());
    let _ = bench.commands();
    bench.prepared(0, Change::None);
    let _ = bench.commands();
    bench.ready(0);
    for attempt in 1..=3 {
        assert_eq!(bench.called(Phase::Verify), [0], "{attempt}");
        bench.end(0, attempt, PhaseEnd::Verify(Err(Failure::transient("t", "lost"))));
        bench.pass(secs(30));
    }
    let _ = bench.commands();
    assert_eq!(bench.run.outcome(), Some(Outcome::Failed), "three times, as other calls");
}

#[test]
fn a_failed_look_is_a_failure_under_the_policy_of_its_component() {
    let mut run = Undoing::new(chain(&["a"]));
    run.ready(0, Change::Create);
    assert_eq!(run.0.called(Phase::Verify), [0]);
    run.0.end(0, 1, PhaseEnd::Verify(Err(Failure::permanent("t", "it is gone"))));
    assert_eq!(run.0.called(Phase::Undo), [0]);
    run.0.end(0, 1, PhaseEnd::Verify(Ok(())));
    run.undone(0);
    run.0.end(0, 1, PhaseEnd::Verify(Ok(())));
    assert_eq!(run.outcome(), None, "a late look from before the rollback tells nothing of what is undone");
    run.looked_well();
    assert_eq!(run.outcome(), Some(Outcome::RolledBack));
}

#[test]
fn a_look_that_was_wished_for_in_the_turn_that_ended_the_looking_is_not_made() {
    let parts = ["a", "b", "c"].map(component);
    let mut run = Undoing::with(parts.into(), RunOptions::default().with_api_limit(2));
    let _ = run.0.commands();
    (0..3).for_each(|component| run.ready(component, Change::Create));
    assert_eq!(run.0.called(Phase::Verify), [0, 1]);
    run.0.end(0, 1, PhaseEnd::Verify(Ok(())));
    run.0.end(1, 1, PhaseEnd::Verify(Err(Failure::permanent("t", "it is gone"))));
    let phases: Vec<Phase> = run.0.commands().iter().filter_map(phase_of).collect();
    assert_eq!(phases, [Phase::Undo, Phase::Undo]);
}

fn phase_of(command: &Command) -> Option<Phase> {
    match command {
        Command::Call { phase, .. } => Some(*phase),
        Command::Abort { .. } => None,
    }
}

#[test]
fn a_stop_during_the_fresh_look_ends_it_without_success_unless_it_drains() {
    for (mode, outcome) in [
        (StopMode::Now, Outcome::Cancelled),
        (StopMode::Supersede, Outcome::Superseded),
        (StopMode::Drain, Outcome::Succeeded),
    ] {
        let mut bench = Bench::new(chain(&["a"]), RunOptions::default());
        let _ = bench.commands();
        bench.prepared(0, Change::None);
        let _ = bench.commands();
        bench.ready(0);
        assert_eq!(bench.called(Phase::Verify), [0]);
        bench.run.handle(Input::Stop { mode }, bench.now);
        let aborted = bench.commands().iter().filter(|c| matches!(c, Command::Abort { .. })).count();
        assert_eq!(aborted, usize::from(mode != StopMode::Drain));
        bench.end(0, 1, PhaseEnd::Verify(Ok(())));
        let _ = bench.commands();
        assert_eq!(bench.run.outcome(), Some(outcome), "{mode:?}");
    }
}

#[test]
fn a_look_that_hangs_fails_the_run_at_its_deadline() {
    let options = RunOptions::default().with_run_timeout(secs(100));
    let mut bench = Bench::new(chain(&["a"]), options);
    let _ = bench.commands();
    bench.prepared(0, Change::None);
    let _ = bench.commands();
    bench.ready(0);
    assert_eq!(bench.called(Phase::Verify), [0]);
    bench.pass(secs(100));
    assert_eq!(bench.run.outcome(), None, "the end of the call has a grace");
    bench.pass(secs(6));
    let _ = bench.commands();
    assert_eq!(bench.run.outcome(), Some(Outcome::Failed));
}

/// The log of a run that was to be rolled back and was stopped before anything was undone; of `a` and `b` after it.
fn left_undone(undo: UndoRule) -> (Arc<Graph>, Vec<Record>) {
    let mut components = chain(&["a", "b"]);
    components[1] = component("b").after("a").undo(undo);
    let mut run = Undoing::new(components);
    run.ready(0, Change::Create);
    run.prepare(1, Change::Update);
    run.stop(StopMode::Rollback);
    run.stop(StopMode::Now);
    run.0.end(1, 1, PhaseEnd::Apply(Ok(Applied::new(Change::Update))));
    let _ = run.0.commands();
    assert_eq!(run.outcome(), Some(Outcome::RollbackFailed));
    (Arc::clone(run.0.run.graph()), run.0.log)
}

pub(super) fn rollback_of(graph: &Arc<Graph>, records: &[Record]) -> Result<Undoing, RollbackError> {
    let (id, undone) = (RunId::new("back"), RunId::new("run"));
    let run = Run::rollback(Arc::clone(graph), RunOptions::default(), id, (&undone, records), BEGINNING)?;
    Ok(Undoing(Bench { run, now: BEGINNING, log: Vec::new() }))
}

#[test]
fn a_run_that_is_over_is_undone_by_another_from_its_records_alone() {
    let (graph, log) = left_undone(UndoRule::Allowed);
    let mut run = rollback_of(&graph, &log).unwrap();
    assert_eq!(run.0.called(Phase::Undo), [1]);
    assert_eq!(run.0.run.undo_token(ComponentId::new(1)), Some(&UndoToken::new("before 1")));
    assert_eq!(run.0.run.last_applied(ComponentId::new(1)), Some(&Applied::new(Change::Update)));
    run.die();
    assert_eq!(run.0.called(Phase::Undo), [1], "its own log is enough");
    run.undone(1);
    assert_eq!(run.0.called(Phase::Undo), [0]);
    run.undone(0);
    run.looked_well();
    assert_eq!(run.outcome(), Some(Outcome::RolledBack));
    let _ = run.0.commands();
    let again = Run::rollback(
        Arc::clone(&graph),
        RunOptions::default(),
        RunId::new("once more"),
        (&RunId::new("back"), &run.0.log),
        BEGINNING,
    );
    assert_eq!(again.err(), Some(RollbackError::NothingToUndo { run: RunId::new("back") }));
}

#[test]
fn a_rollback_that_was_stopped_is_gone_on_with_by_another() {
    let (graph, log) = left_undone(UndoRule::Allowed);
    let mut run = rollback_of(&graph, &log).unwrap();
    assert_eq!(run.0.called(Phase::Undo), [1]);
    run.stop(StopMode::Now);
    run.undone(1);
    let _ = run.0.commands();
    assert_eq!(run.outcome(), Some(Outcome::RollbackFailed));
    let (id, of) = (RunId::new("once more"), RunId::new("back"));
    let rest = Run::rollback(graph, RunOptions::default(), id, (&of, &run.0.log), BEGINNING).unwrap();
    let mut rest = Undoing(Bench { run: rest, now: BEGINNING, log: Vec::new() });
    assert_eq!(rest.0.called(Phase::Undo), [0], "what is undone is not undone again");
}

#[test]
fn another_run_keeps_the_rules_of_the_plan() {
    let (graph, log) = left_undone(UndoRule::Never);
    let mut run = rollback_of(&graph, &log).unwrap();
    let _ = run.0.commands();
    assert_eq!(run.outcome(), Some(Outcome::RollbackFailed));
    assert_eq!(run.kept(1), Some(KeepReason::Rule));
}

#[test]
fn a_run_that_is_not_over_or_kept_nothing_cannot_be_undone() {
    let (graph, log) = left_undone(UndoRule::Allowed);
    let not_over = rollback_of(&graph, &log[..log.len() - 1]).err();
    assert_eq!(not_over, Some(RollbackError::NotOver { run: RunId::new("run") }));
    let forgetful = |record: &Record| {
        let mut record = record.clone();
        if let Event::Prepared { prepared, .. } = &mut record.event {
            prepared.undo = None;
        }
        record
    };
    let forgotten: Vec<Record> = log.iter().map(forgetful).collect();
    let kept = rollback_of(&graph, &forgotten).err();
    assert_eq!(kept, Some(RollbackError::NothingKept { run: RunId::new("run") }));
    let other = rollback_of(&sample_rollback_graph(), &log).err();
    assert!(matches!(other, Some(RollbackError::Records { .. })), "{other:?}");
}

#[test]
fn a_run_whose_beginning_was_cut_undoes_nothing_and_says_so() {
    let (graph, log) = left_undone(UndoRule::Allowed);
    let mut whole = rollback_of(&graph, &log).unwrap();
    let _ = whole.0.commands();
    let cut = &whole.0.log[..2];
    let resumed = Run::resume(graph, RunOptions::default(), RunId::new("back"), cut, BEGINNING).unwrap();
    let mut run = Undoing(Bench { run: resumed, now: BEGINNING, log: cut.to_vec() });
    assert!(run.0.commands().is_empty());
    assert_eq!(run.outcome(), Some(Outcome::RollbackFailed));
    let (graph, id, of) = (Arc::clone(run.0.run.graph()), RunId::new("once more"), RunId::new("back"));
    let again = Run::rollback(graph, RunOptions::default(), id, (&of, &run.0.log), BEGINNING);
    assert_eq!(again.err(), Some(RollbackError::NothingToUndo { run: of }));
}

#[test]
fn the_samples_are_logs_of_runs() {
    for (run, log) in [("run-1", sample_rollback()), ("run-2", sample_undoing())] {
        for cut in 0..=log.len() {
            let resumed = Run::resume(
                sample_rollback_graph(),
                RunOptions::default(),
                RunId::new(run),
                &log[..cut],
                log[log.len() - 1].at,
            );
            assert!(resumed.is_ok(), "{run} {cut}: {resumed:?}");
        }
    }
}

#[test]
fn tokens_and_reports_have_bounds() {
    let mut run = Undoing::new(chain(&["a"]));
    let _ = run.0.commands();
    let undo = Some(UndoToken::new("x".repeat(2000)));
    run.0.end(0, 1, PhaseEnd::Prepare(Ok(Prepared { undo, ..Prepared::new(Change::Create) })));
    assert_eq!(run.0.failure().code, "run.result-too-large");

    let mut run = Undoing::new(chain(&["a"]));
    let _ = run.0.commands();
    run.wait_fails(0);
    let _ = run.0.commands();
    let report = UndoReport { change: Change::Delete, notes: vec!["n".repeat(5000); 50] };
    run.0.end(0, 1, PhaseEnd::Undo(Ok(report)));
    let report = run.0.run.view().undo_report(ComponentId::new(0)).unwrap();
    assert_eq!((report.notes.len(), report.notes[0].len()), (Failure::NOTES_MAX, Failure::TEXT_BYTES_MAX));
}
