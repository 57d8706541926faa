//! What is asked of the world may be asked for: judged at the moment when the world receives it.

use super::super::cluster::Cluster;
use super::super::disk::Disk;
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
    if request.phase == Phase::Apply {
        intent_before_effect(model, disk, request)?;
        order(model, cluster, request)?;
        ready_is_left_alone(model, request)?;
        one_write_per_attempt(cluster, request)?;
    }
    limits(model, cluster, request)?;
    if request.phase == Phase::Verify {
        return looked_at_when_all_is_ready(model, request);
    }
    nothing_new_after_stop(model, request)?;
    retry_in_budget(model, request)?;
    deadline_kept(model, request)
}

fn looked_at_when_all_is_ready(model: &Model, request: Request) -> Check {
    let is_ready = model.looks && model.part(request.id).end == Some(End::Ready);
    ensure(is_ready, Invariant::Order, || format!("{request:?} comes before everything is ready"))?;
    ensure(!model.gives_up_waits(), Invariant::NothingNewAfterStop, || format!("{request:?} while stopping"))
}

fn intent_before_effect(model: &Model, disk: &Disk, request: Request) -> Check {
    let part = model.part(request.id);
    let recorded = part.started && part.attempt == request.attempt.get();
    ensure(recorded && disk.is_durable(part.started_seq), Invariant::IntentBeforeEffect, || {
        format!("{request:?} is asked for, and its record is not durable: {part:?}")
    })
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

fn one_write_per_attempt(cluster: &Cluster, request: Request) -> Check {
    let (attempt, asked, deaths) = cluster.of(request.id).object.asked;
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
    let used = model.class_use(class);
    ensure(used <= limit, Invariant::Limits, || {
        format!("{request:?}: {used} of its class are under way, where {limit} are allowed")
    })
}

fn nothing_new_after_stop(model: &Model, request: Request) -> Check {
    let idle = model.part(request.id).end.is_none();
    let late = match request.phase {
        Phase::Prepare => model.is_stopping(),
        Phase::Apply => false,
        Phase::Wait => model.gives_up_waits(),
        Phase::Verify | Phase::Undo => true,
    };
    ensure(idle && !late, Invariant::NothingNewAfterStop, || format!("{request:?} while stopping"))
}

fn retry_in_budget(model: &Model, request: Request) -> Check {
    let not_before = model.part(request.id).not_before;
    let early = not_before.is_some_and(|at| request.now < at && request.phase != Phase::Wait);
    ensure(!early, Invariant::RetryInBudget, || format!("{request:?} begins before {not_before:?}"))
}

fn deadline_kept(model: &Model, request: Request) -> Check {
    let expected = model.deadline(request.id, request.now);
    // A write that was begun is begun again whatever the time: nobody knows whether it took effect.
    let again = request.phase == Phase::Apply && model.part(request.id).interrupted;
    let in_time = request.phase == Phase::Wait || again || request.now < expected;
    ensure(request.deadline == expected && in_time, Invariant::DeadlineKept, || {
        format!("{request:?} has another deadline than {expected}, or one that is over")
    })
}
