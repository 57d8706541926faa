//! What holds after every turn of a process that lives.

use std::time::Duration;

use super::super::cluster::Cluster;
use super::UndoEnd;
use super::model::{End, Model};
use super::records::GRACE;
use super::{Check, Invariant, ensure};
use crate::ids::ComponentId;
use crate::run::{Change, Outcome, Phase, StopMode, StopReason};
use crate::time::Timestamp;

/// [`Invariant::WorkConserving`]: whatever may be called and has a free slot was called.
pub(in super::super) fn work_conserving(model: &Model, cluster: &Cluster, now: Timestamp) -> Check {
    let free = |phase: Phase, limit: u32| cluster.calls_beside(phase) < limit as usize;
    let free_api = free(Phase::Prepare, model.options.api_limit());
    let free_wait = free(Phase::Wait, model.options.wait_limit());
    if !free_api && !free_wait {
        return Ok(());
    }
    for id in model.graph.ids() {
        let phase = if cluster.of(id).call.is_none() { next_call(model, cluster, id, now) } else { None };
        let may = match phase {
            None => false,
            Some(Phase::Wait) => free_wait,
            Some(Phase::Prepare | Phase::Apply | Phase::Verify | Phase::Undo) => free_api,
        };
        ensure(!may, Invariant::WorkConserving, || {
            format!("{id:?} may be called to {phase:?} at {now}, and is not: {:?}", model.part(id))
        })?;
    }
    Ok(())
}

/// The call that a component without one waits for.
fn next_call(model: &Model, cluster: &Cluster, id: ComponentId, now: Timestamp) -> Option<Phase> {
    let (part, node) = (model.part(id), model.graph.node(id));
    if node.action().is_join() {
        return None;
    }
    if model.rollback.began_at.is_some() {
        return next_call_of_rollback(model, cluster, id, now);
    }
    if part.end == Some(End::Ready) {
        let paused = part.look_not_before.is_some_and(|at| at > now);
        let unseen = cluster.of(id).looked_at[0].is_none();
        return (unseen && !paused && model.is_looking()).then_some(Phase::Verify);
    }
    if part.end.is_some() {
        return None;
    }
    if model.is_waiting(id) {
        return (!model.gives_up_waits() && !model.is_past_deadline()).then_some(Phase::Wait);
    }
    if part.started {
        return Some(Phase::Apply);
    }
    let paused = part.not_before.is_some_and(|at| at > now);
    if model.is_stopping() || paused {
        return None;
    }
    match part.prepared {
        None => Some(Phase::Prepare),
        Some(_) if !model.turn_has_come(id) => None,
        // Whether it must be prepared once more is the engine's to know: it is called either way.
        Some(Change::Unknown) if node.class_index().is_some() => None,
        Some(_) => (!is_class_full(model, id)).then_some(Phase::Apply),
    }
}

fn is_class_full(model: &Model, id: ComponentId) -> bool {
    let class = model.graph.node(id).class_index();
    let limit = class.and_then(|class| model.graph.classes().get(class)).map(|class| class.limit as usize);
    class.zip(limit).is_some_and(|(class, limit)| model.class_use(class) >= limit)
}

fn next_call_of_rollback(model: &Model, cluster: &Cluster, id: ComponentId, now: Timestamp) -> Option<Phase> {
    let part = model.part(id);
    let paused = |at: Option<Timestamp>| at.is_some_and(|at| at > now);
    match part.undo.end {
        _ if !part.touched => None,
        Some(UndoEnd::Undone) => {
            let unseen = cluster.of(id).looked_at[1].is_none();
            (unseen && !paused(part.look_not_before) && model.is_looking()).then_some(Phase::Verify)
        }
        Some(UndoEnd::Failed | UndoEnd::Kept) => None,
        None if part.undo.started => Some(Phase::Undo),
        None => {
            let stopped = model.rollback.is_stopped || model.rollback.is_late;
            let waits = paused(part.undo.not_before) || model.dependant_that_is_not_undone(id).is_some();
            (!stopped && !waits && !is_class_full(model, id)).then_some(Phase::Undo)
        }
    }
}

/// [`Invariant::DeadlineKept`]: nothing lasts longer than it may, and no undo longer without news. Deadlines are noticed
/// `late` at most.
pub(in super::super) fn deadline_kept(
    model: &Model,
    cluster: &Cluster,
    now: Timestamp,
    late: Duration,
) -> Check {
    let allowed = GRACE.saturating_add(late);
    let run_ends = model.end_of_run().plus(allowed);
    ensure(model.outcome.is_some() || now <= run_ends, Invariant::DeadlineKept, || {
        format!("the run goes on at {now}, and should have ended by {run_ends}")
    })?;
    for id in model.graph.ids() {
        let part = model.part(id);
        let forward = part.end.is_none() && part.turn_at.is_some();
        let back = part.undo.end.is_none() && part.undo.turn_at.is_some();
        if !forward && !back {
            continue;
        }
        let deadline = if back { model.undo_deadline(id, now) } else { model.deadline(id, now) };
        let ends = deadline.plus(allowed);
        ensure(now <= ends, Invariant::DeadlineKept, || {
            format!("{id:?} goes on at {now}, and should have ended by {ends}: {part:?}")
        })?;
        let seen = cluster.of(id);
        let Some(call) = seen.call.filter(|call| call.phase == Phase::Undo) else { continue };
        let heard = seen.news_at.map_or(call.since, |at| model.on_the_clock(at).max(call.since));
        let ends = heard.plus(model.options.no_progress_timeout).plus(late);
        ensure(now <= ends, Invariant::DeadlineKept, || {
            format!("the undo of {id:?} has told nothing since {heard} at {now}, which is too long")
        })?;
    }
    Ok(())
}

/// Every request to stop.
const ALL: &[StopMode] = &[StopMode::Drain, StopMode::Now, StopMode::Supersede, StopMode::Rollback];

/// [`Invariant::CancelKept`]: requests to stop that were taken in are in the log, or the run had come to its end.
pub(in super::super) fn cancel_kept(model: &Model, taken: &[StopMode]) -> Check {
    let asked = |modes: &[StopMode]| {
        model.stops.iter().any(|reason| matches!(reason, StopReason::Asked { mode } if modes.contains(mode)))
    };
    let is_rollback = model.rollback.wanted || model.rollback.undoes;
    for mode in taken {
        let kept = model.outcome.is_some()
            || match mode {
                StopMode::Drain | StopMode::Now if is_rollback => asked(ALL),
                StopMode::Drain => !model.stops.is_empty(),
                StopMode::Now => asked(&[StopMode::Now, StopMode::Supersede]),
                StopMode::Supersede => asked(&[StopMode::Supersede]) || model.rollback.skips_look,
                StopMode::Rollback if model.graph.may_be_rolled_back() => is_rollback,
                StopMode::Rollback => asked(ALL),
            };
        ensure(kept, Invariant::CancelKept, || {
            format!("{mode:?} was asked for, the log has {:?}", model.stops)
        })?;
    }
    let outcome_fits = model.outcome != Some(Outcome::Superseded) || asked(&[StopMode::Supersede]);
    ensure(outcome_fits, Invariant::CancelKept, || "superseded, and nobody asked for it".into())
}
