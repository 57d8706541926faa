//! The outcome oracle: a run succeeds unless something that was injected forbids it, and ends otherwise only with a cause.
//!
//! It judges by the truth of the world, by what was asked of the run, and by how the records say that components ended;
//! each single failure was judged when it was recorded.

use super::cluster::Cluster;
use super::invariants::{Check, End, Invariant, Model, Violation, ensure};
use crate::ids::ComponentId;
use crate::run::{Outcome, StopMode};
use crate::time::Timestamp;

/// Judges the outcome at the moment when it is told; `stops` are all requests to stop that a process was ever given.
pub(super) fn judge(
    model: &Model,
    cluster: &Cluster,
    (outcome, now): (Outcome, Timestamp),
    stops: &[StopMode],
) -> Check {
    let count = |wanted: End| model.parts().iter().filter(|part| part.end == Some(wanted)).count();
    let all_ready = count(End::Ready) == model.parts().len();
    let failed = count(End::Failed) > 0 || model.is_past_deadline();
    let look_given_up = model.looks && (model.gives_up_waits() || model.is_past_deadline());
    let expected = if all_ready && !look_given_up {
        Outcome::Succeeded
    } else if failed {
        Outcome::Failed
    } else if stops.contains(&StopMode::Supersede) && model.gives_up_waits() {
        Outcome::Superseded
    } else if stops.is_empty() {
        let what = format!("nothing failed and nobody asked for the end, and the run ended as {outcome:?}");
        return Err(Violation { invariant: Invariant::OutcomeOracle, what });
    } else {
        Outcome::Cancelled
    };
    let either = expected == Outcome::Superseded && outcome == Outcome::Cancelled;
    ensure(outcome == expected || either, Invariant::OutcomeOracle, || {
        format!("{expected:?} is what must come of it, {outcome:?} is what was told: {:?}", model.parts())
    })?;
    true_success(model, cluster, outcome, now)?;
    skips_have_a_cause(model)
}

fn true_success(model: &Model, cluster: &Cluster, outcome: Outcome, now: Timestamp) -> Check {
    if outcome != Outcome::Succeeded {
        return Ok(());
    }
    let reached = cluster.reached(&model.graph, now);
    let missing = reached.iter().position(|(_, ready)| !ready);
    ensure(missing.is_none(), Invariant::TrueSuccess, || {
        format!("component {missing:?} is not ready in truth: {:?}", cluster.seen)
    })
}

fn skips_have_a_cause(model: &Model) -> Check {
    let unfounded = |id: &ComponentId| {
        model.part(*id).end == Some(End::Skipped) && model.turn_has_come(*id) && model.stops.is_empty()
    };
    let found = model.graph.ids().find(unfounded);
    ensure(found.is_none(), Invariant::OutcomeOracle, || format!("{found:?} was skipped and could have run"))
}
