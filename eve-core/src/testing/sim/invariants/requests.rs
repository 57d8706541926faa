//! What is asked of the world may be asked for: judged at the moment when the world receives it.

use super::super::cluster::Cluster;
use super::super::disk::Disk;
use super::UndoEnd;
use super::model::{End, Model};
use super::{Check, Invariant, ensure};
use crate::ids::{Attempt, ComponentId};
use crate::plan::Until;
use crate::run::Phase;
use crate::time::Timestamp;

/// A call as the world receives it.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Request {
    pub(in super::super) id: ComponentId,
    pub(in super::super) attempt: Attempt,
    pub(in super::super) phase: Phase,
    pub(in super::super) deadline: Timestamp,
    pub(in super::super) now: Timestamp,
}

/// Every invariant about a call, before the world takes it in.
pub(in super::super) fn request_is_allowed(
    model: &Model,
    cluster: &Cluster,
    disk: &Disk,
    request: Request,
) -> Check {
    match request.phase {
        Phase::Apply => {
            let part = model.part(request.id);
            let announced = part.announced_seq.is_some_and(|seq| disk.is_durable(seq));
            let seq = part.announced_seq.filter(|_| announced).unwrap_or(part.started_seq);
            intent_before_effect(disk, request, (part.started, part.attempt, seq))?;
            order(model, cluster, request)?;
            ready_is_left_alone(model, request)?;
            one_write_per_attempt(cluster.of(request.id).object.asked, request)?;
        }
        Phase::Undo => {
            let undo = model.part(request.id).undo;
            intent_before_effect(disk, request, (undo.is_under_way(), undo.attempt, undo.started_seq))?;
            undo_order(model, request)?;
            one_write_per_attempt(cluster.of(request.id).object.asked_undo, request)?;
        }
        Phase::Prepare | Phase::Wait | Phase::Verify => {}
    }
    limits(model, cluster, request)?;
    nothing_new_after_stop(model, request)?;
    retry_in_budget(model, request)?;
    deadline_kept(model, request)
}

fn intent_before_effect(disk: &Disk, request: Request, (started, attempt, seq): (bool, u32, u64)) -> Check {
    let recorded = started && attempt == request.attempt.get();
    ensure(recorded && disk.is_durable(seq), Invariant::IntentBeforeEffect, || {
        format!("{request:?} is asked for, and its record {seq} of attempt {attempt} is not durable")
    })
}

fn undo_order(model: &Model, request: Request) -> Check {
    let own = model.part(request.id).touched;
    ensure(own, Invariant::UndoOnlyOwn, || format!("{request:?} undoes what the run did not change"))?;
    let left = model.dependant_that_is_not_undone(request.id);
    ensure(left.is_none(), Invariant::UndoOrder, || format!("{request:?} comes before {left:?}"))
}

fn order(model: &Model, cluster: &Cluster, request: Request) -> Check {
    let reached = cluster.reached(&model.graph, request.now);
    let is_met = |on: ComponentId, until: Until| {
        let (applied, ready) = reached.get(on.index()).copied().unwrap_or_default();
        if until == Until::Applied { applied } else { ready }
    };
    let early = model.graph.dependencies(request.id).iter().find(|edge| !is_met(edge.component, edge.until));
    ensure(early.is_none(), Invariant::Order, || format!("{request:?} comes before {early:?}"))
}

fn ready_is_left_alone(model: &Model, request: Request) -> Check {
    let left_alone = model.part(request.id).end != Some(End::Ready);
    ensure(left_alone, Invariant::ReadyIsLeftAlone, || format!("{request:?} writes what is ready"))
}

fn one_write_per_attempt((attempt, asked, deaths): (Attempt, u32, u32), request: Request) -> Check {
    let again = attempt == request.attempt && asked > deaths;
    ensure(!again, Invariant::OneWritePerAttempt, || format!("{request:?}: {asked} before, {deaths} deaths"))
}

fn limits(model: &Model, cluster: &Cluster, request: Request) -> Check {
    let before = cluster.of(request.id).call;
    ensure(before.is_none(), Invariant::Limits, || format!("{request:?} while {before:?} is under way"))?;
    let limit = match request.phase {
        Phase::Wait => model.options.wait_limit(),
        Phase::Prepare | Phase::Apply | Phase::Verify | Phase::Undo => model.options.api_limit(),
    };
    let beside = cluster.calls_beside(request.phase);
    ensure(beside < limit as usize, Invariant::Limits, || {
        format!("{request:?} beside {beside} others, where {limit} are allowed")
    })?;
    let Some(class) = model.graph.node(request.id).class_index() else { return Ok(()) };
    let limit = model.graph.classes().get(class).map_or(1, |class| class.limit as usize);
    let of_class = |id: &ComponentId| model.graph.node(*id).class_index() == Some(class);
    let unknown = |id: &ComponentId| *id != request.id && is_unrecorded(model, cluster, *id);
    let unknown = model.graph.ids().filter(of_class).filter(unknown).count();
    let used = model.class_use(class) + unknown;
    ensure(used <= limit, Invariant::Limits, || {
        format!(
            "{request:?}: {used} of its class are under way, {unknown} of them unrecorded; {limit} are allowed"
        )
    })
}

/// Whether a write of this attempt was asked for by whatever process, and the records do not say that it has begun.
fn is_unrecorded(model: &Model, cluster: &Cluster, id: ComponentId) -> bool {
    let (part, (attempt, asked, _)) = (model.part(id), cluster.of(id).object.asked);
    asked > 0 && attempt.get() == part.attempt && !part.started && part.end.is_none()
}

fn nothing_new_after_stop(model: &Model, request: Request) -> Check {
    let part = model.part(request.id);
    let is_rollback = model.rollback.began_at.is_some();
    let wanted = match request.phase {
        Phase::Prepare => part.end.is_none() && !model.is_stopping(),
        Phase::Apply => part.end.is_none() && !is_rollback,
        Phase::Wait => part.end.is_none() && !model.gives_up_waits(),
        Phase::Verify if is_rollback => part.undo.end == Some(UndoEnd::Undone) && model.is_looking(),
        Phase::Verify => part.end == Some(End::Ready) && model.is_looking(),
        Phase::Undo => is_rollback && part.undo.end.is_none(),
    };
    ensure(wanted, Invariant::NothingNewAfterStop, || format!("{request:?} while stopping, or too late"))
}

fn retry_in_budget(model: &Model, request: Request) -> Check {
    let part = model.part(request.id);
    let not_before = match request.phase {
        Phase::Prepare | Phase::Apply => part.not_before,
        Phase::Wait => None,
        Phase::Verify => part.look_not_before,
        Phase::Undo => part.undo.not_before,
    };
    let early = not_before.is_some_and(|at| request.now < at);
    ensure(!early, Invariant::RetryInBudget, || format!("{request:?} begins before {not_before:?}"))
}

fn deadline_kept(model: &Model, request: Request) -> Check {
    let part = model.part(request.id);
    let (expected, interrupted) = match request.phase {
        Phase::Prepare | Phase::Wait => (model.deadline(request.id, request.now), false),
        Phase::Apply => (model.deadline(request.id, request.now), part.interrupted),
        Phase::Verify => (model.look_deadline(request.id, request.now), false),
        Phase::Undo => (model.undo_deadline(request.id, request.now), part.undo.interrupted),
    };
    // A write that was begun is begun again whatever the time: nobody knows whether it took effect.
    let in_time = request.phase == Phase::Wait || interrupted || request.now < expected;
    ensure(request.deadline == expected && in_time, Invariant::DeadlineKept, || {
        format!("{request:?} has another deadline than {expected}, or one that is over")
    })
}
