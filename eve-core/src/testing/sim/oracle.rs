//! The outcome oracle: a run succeeds unless something that was injected forbids it, and ends otherwise only with a cause.
//!
//! It judges by the truth of the world, by what was asked of the run, and by how the records say that components ended;
//! each single failure was judged when it was recorded.

use super::cluster::Cluster;
use super::invariants::{Check, End, Invariant, Model, UndoEnd, Violation, ensure};
use super::world::BEGINNING;
use crate::ids::ComponentId;
use crate::plan::Until;
use crate::run::{Outcome, StopMode};
use crate::time::Timestamp;

/// Judges the outcome at the moment when it is told; `stops` are all requests to stop that a process was ever given.
pub(super) fn judge(model: &Model, outcome: Outcome, stops: &[StopMode]) -> Check {
    let expected = match rolled_back(model) {
        Some(expected) => expected,
        None => not_rolled_back(model, outcome, stops)?,
    };
    let either = expected == Outcome::Superseded && outcome == Outcome::Cancelled;
    ensure(outcome == expected || either, Invariant::OutcomeOracle, || {
        format!("{expected:?} is what must come of it, {outcome:?} is what was told: {:?}", model.parts())
    })?;
    skips_have_a_cause(model)
}

/// Judges an outcome by the truth of the moment when it is decided, by the process that has looked at everything.
pub(super) fn judge_by_truth(model: &Model, cluster: &Cluster, outcome: Outcome, now: Timestamp) -> Check {
    true_success(model, cluster, outcome, now)?;
    as_before(model, cluster, outcome)?;
    nothing_forgotten(model, cluster, outcome)
}

/// The outcome of a run that is rolled back, or undoes another.
fn rolled_back(model: &Model) -> Option<Outcome> {
    if !model.rollback.wanted && !model.rollback.undoes {
        return None;
    }
    let touched = model.parts().iter().filter(|part| part.touched);
    let undone = touched.clone().all(|part| part.undo.end == Some(UndoEnd::Undone));
    // What was not looked at is recorded as not undone.
    let looked = model.rollback.looks || touched.count() == 0;
    let begun = model.rollback.began_at.is_some();
    Some(if begun && undone && looked { Outcome::RolledBack } else { Outcome::RollbackFailed })
}

fn not_rolled_back(model: &Model, outcome: Outcome, stops: &[StopMode]) -> Result<Outcome, Violation> {
    let count = |wanted: End| model.parts().iter().filter(|part| part.end == Some(wanted)).count();
    let all_ready = count(End::Ready) == model.parts().len();
    let failed = count(End::Failed) > 0 || model.is_past_deadline();
    let look_given_up = model.looks && (model.gives_up_waits() || model.is_past_deadline());
    if all_ready && !look_given_up {
        Ok(Outcome::Succeeded)
    } else if failed {
        Ok(Outcome::Failed)
    } else if stops.contains(&StopMode::Supersede) && model.gives_up_waits() {
        Ok(Outcome::Superseded)
    } else if stops.is_empty() {
        let what = format!("nothing failed and nobody asked for the end, and the run ended as {outcome:?}");
        Err(Violation { invariant: Invariant::OutcomeOracle, what })
    } else {
        Ok(Outcome::Cancelled)
    }
}

/// Everything was looked at afresh, and is so still, unless somebody else did something to it since.
fn true_success(model: &Model, cluster: &Cluster, outcome: Outcome, now: Timestamp) -> Check {
    if outcome != Outcome::Succeeded {
        return Ok(());
    }
    for id in model.graph.ids() {
        let (node, seen) = (model.graph.node(id), cluster.of(id));
        if node.action().is_join() {
            continue;
        }
        let looked = seen.looked_at[0];
        ensure(looked.is_some(), Invariant::FreshLook, || {
            format!("{id:?} was not looked at, and the run is told as succeeded: {seen:?}")
        })?;
        let written = !node.action().writes() || seen.object.is_wanted();
        let ready = node.until() == Until::Applied || seen.object.is_ready(now);
        let disturbed = seen.object.disturbed_at >= looked;
        ensure((written && ready) || disturbed, Invariant::TrueSuccess, || {
            format!("{id:?} is not ready in truth: {seen:?}")
        })?;
    }
    Ok(())
}

fn as_before(model: &Model, cluster: &Cluster, outcome: Outcome) -> Check {
    if outcome != Outcome::RolledBack {
        return Ok(());
    }
    for id in model.graph.ids() {
        let (part, seen) = (model.part(id), cluster.of(id));
        let looked = seen.looked_at[1];
        ensure(!part.touched || looked.is_some(), Invariant::FreshLook, || {
            format!("{id:?} was not looked at, and the run is told as rolled back: {seen:?}")
        })?;
        let object = &seen.object;
        let is_before = object.before.is_none_or(|before| before == object.content);
        ensure(is_before || object.disturbed_at >= looked.max(Some(BEGINNING)), Invariant::AsBefore, || {
            format!("{id:?} is not as it was before the run: {seen:?}")
        })?;
    }
    Ok(())
}

/// What is not as before is told as left; by the run that it undoes, of one whose beginning was lost and that does nothing.
fn nothing_forgotten(model: &Model, cluster: &Cluster, outcome: Outcome) -> Check {
    let does_nothing = model.rollback.undoes && model.rollback.began_at.is_none();
    if outcome != Outcome::RollbackFailed || does_nothing {
        return Ok(());
    }
    for id in model.graph.ids() {
        let (part, object) = (model.part(id), &cluster.of(id).object);
        let told = matches!(part.undo.end, Some(UndoEnd::Failed | UndoEnd::Kept));
        let is_before = object.before.is_none_or(|before| before == object.content);
        // In a run that undoes another, what that one had put back is no concern of it.
        let own = part.touched || !model.rollback.undoes;
        ensure(
            told || is_before || !own || object.disturbed_at.is_some(),
            Invariant::NothingForgotten,
            || format!("{id:?} is not as it was before the run, and nobody says so: {object:?}, {part:?}"),
        )?;
    }
    Ok(())
}

fn skips_have_a_cause(model: &Model) -> Check {
    if model.rollback.undoes {
        return Ok(());
    }
    let unfounded = |id: &ComponentId| {
        model.part(*id).end == Some(End::Skipped) && model.turn_has_come(*id) && model.stops.is_empty()
    };
    let found = model.graph.ids().find(unfounded);
    ensure(found.is_none(), Invariant::OutcomeOracle, || format!("{found:?} was skipped and could have run"))
}
