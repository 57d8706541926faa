//! A slow, obvious scheduler: what must come out, computed without queues, budgets or events.

use super::world::World;
use crate::ids::ComponentId;
use crate::plan::{Action, FailurePolicy, UndoRule, Until};
use crate::run::{Change, Event, Outcome, Phase, Record};

/// How a component must end when nothing is stopped and no deadline is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Ready,
    Failed,
    Skipped,
    /// Its own preparation fails, and so does something before it: whichever comes first.
    FailedOrSkipped,
}

/// Whether the component fails for good when it is left alone: its attempts are used up before it gets through.
pub(super) fn fails_alone(world: &World, id: ComponentId) -> Option<Phase> {
    let behaviour = &world.behaviours[id.index()];
    let node = world.graph.node(id);
    if node.action() == Action::None {
        return None;
    }
    let (phase, gets_through_at, transient) = behaviour.fails?;
    if phase == Phase::Apply && (behaviour.change == Change::None || !node.action().writes()) {
        return None;
    }
    let attempts = match (node.retry().filter(|_| phase != Phase::Verify), transient) {
        (Some(written), _) => written.attempts,
        (None, true) => world.options.retry.attempts,
        (None, false) => 1,
    };
    (gets_through_at > attempts).then_some(phase)
}

/// The end of each component when every failure only skips its dependants.
pub(super) fn ends_when_all_continue(world: &World) -> Vec<End> {
    let mut ends: Vec<Option<End>> = vec![None; world.graph.len()];
    let mut reached_applied = vec![false; world.graph.len()];
    while ends.contains(&None) {
        for id in world.graph.ids() {
            let edges = world.graph.dependencies(id);
            if ends[id.index()].is_some() || edges.iter().any(|e| ends[e.component.index()].is_none()) {
                continue;
            }
            let met = edges.iter().all(|edge| match edge.until {
                Until::Ready => ends[edge.component.index()] == Some(End::Ready),
                Until::Applied => reached_applied[edge.component.index()],
            });
            let fails = fails_alone(world, id);
            reached_applied[id.index()] = met && !matches!(fails, Some(Phase::Prepare | Phase::Apply));
            ends[id.index()] = Some(match (fails, met) {
                (Some(Phase::Prepare), false) => End::FailedOrSkipped,
                (_, false) => End::Skipped,
                // It is looked at afresh only when everything is ready.
                (None | Some(Phase::Verify), true) => End::Ready,
                (Some(_), true) => End::Failed,
            });
        }
    }
    ends.into_iter().flatten().collect()
}

/// Whether the plan can only succeed, whatever the order: no component fails for good.
pub(super) fn must_succeed(world: &World) -> bool {
    world.graph.ids().all(|id| fails_alone(world, id).is_none())
}

/// How often an undo is tried: with more patience than other calls.
const UNDO_ATTEMPTS: u32 = 10;

/// Whether a process died while a write was announced that it had not recorded as started.
fn may_have_begun_unrecorded(log: &[Record], id: ComponentId) -> bool {
    let mut announced = false;
    log.iter().any(|record| {
        match &record.event {
            Event::Announced { component } if *component == id => announced = true,
            Event::Started { component, .. }
            | Event::Ready { component, .. }
            | Event::Skipped { component, .. }
            | Event::AttemptFailed { component, retry_at: None, .. }
                if *component == id =>
            {
                announced = false;
            }
            _ => {}
        }
        announced && record.event == Event::Resumed
    })
}

/// The outcome of a rollback that nobody stops, as the obvious reader of its log says: whatever was begun and may have
/// changed something is put back, unless it may not, or cannot.
pub(super) fn rollback_outcome(world: &World, log: &[Record]) -> Outcome {
    let begun = |id: ComponentId| {
        let started = |r: &&Record| matches!(&r.event, Event::Started { component, .. } if *component == id);
        let unchanged = |r: &&Record| {
            matches!(&r.event, Event::Applied { component, applied, .. }
                if *component == id && applied.change == Change::None)
        };
        let ended_unchanged = log.iter().filter(unchanged).count();
        log.iter().filter(started).count() > ended_unchanged || may_have_begun_unrecorded(log, id)
    };
    let cannot = |id: ComponentId| {
        let behaviour = &world.behaviours[id.index()];
        let fails = behaviour
            .undo_fails
            .is_some_and(|(through_at, transient)| through_at > if transient { UNDO_ATTEMPTS } else { 1 });
        let never = world.graph.node(id).undo() == UndoRule::Never;
        never || !behaviour.keeps || fails || behaviour.comes_back
    };
    let fails = world.graph.ids().any(|id| begun(id) && cannot(id));
    if fails { Outcome::RollbackFailed } else { Outcome::RolledBack }
}

/// The policy of a component.
pub(super) fn policy(world: &World, id: ComponentId) -> FailurePolicy {
    world.graph.node(id).on_failure().unwrap_or(world.graph.on_failure())
}

/// Whether every policy of the plan is `continue`.
pub(super) fn all_continue(world: &World) -> bool {
    world.graph.ids().all(|id| policy(world, id) == FailurePolicy::Continue)
}

/// The time at which each component is ready, in milliseconds from the beginning, when nothing fails, budgets are
/// unbounded, preparing takes no time and nothing is unchanged: the longest way to it, by asking over and over.
pub(super) fn ready_times_ms(world: &World) -> Vec<u64> {
    let len = world.graph.len();
    let (mut applied, mut ready) = (vec![0_u64; len], vec![0_u64; len]);
    for _ in 0..=len {
        for id in world.graph.ids() {
            let edges = world.graph.dependencies(id);
            let open = |edge: &crate::plan::graph::Edge| match edge.until {
                Until::Applied => applied[edge.component.index()],
                Until::Ready => ready[edge.component.index()],
            };
            let start = edges.iter().map(open).max().unwrap_or(0);
            let takes_ms = world.behaviours[id.index()].takes_ms;
            let [_, apply, wait, ..] = match world.graph.node(id).action() {
                Action::Apply | Action::Delete => takes_ms,
                Action::Read => [0, 0, takes_ms[2], 0, 0],
                Action::None => [0; 5],
            };
            applied[id.index()] = start + apply;
            ready[id.index()] = start + apply + wait;
        }
    }
    ready
}
