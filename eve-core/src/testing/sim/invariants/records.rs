//! What is recorded has happened.

use super::super::cluster::{Cluster, Told};
use super::model::Model;
use super::{Check, Invariant, ensure};
use crate::failure::{Failure, FailureClass};
use crate::ids::{Attempt, ComponentId};
use crate::run::{Event, Phase, Record};
use crate::time::Timestamp;
use std::time::Duration;

/// How long after its deadline the end of a call is still taken.
pub(super) const GRACE: Duration = Duration::from_secs(6);

/// The fewest attempts of an undo.
const UNDO_ATTEMPTS_MIN: u32 = 10;

/// How long a cause that is not stored may be the last one.
const NEWS_INTERVAL: Duration = Duration::from_secs(5);

/// [`Invariant::FactsHaveASource`], [`Invariant::FailureHasACause`] and [`Invariant::NothingNewAfterStop`]: before the model
/// has taken the record over.
pub(in super::super) fn record_is_caused(model: &Model, cluster: &Cluster, record: &Record) -> Check {
    let now = record.at;
    match &record.event {
        Event::Prepared { component, .. } => {
            facts_have_a_source(model, cluster, (*component, Phase::Prepare))
        }
        Event::Announced { .. } | Event::Started { .. } | Event::UndoStarted { .. } => {
            starts_may_follow(model, record)
        }
        Event::Applied { component, attempt, .. } => {
            facts_have_a_source(model, cluster, (*component, Phase::Apply))?;
            let fits = attempt.get() == model.part(*component).attempt;
            ensure(fits && cluster.of(*component).object.was_wanted, Invariant::FactsHaveASource, || {
                format!("recorded as applied, and no write has landed: {record:?}")
            })
        }
        Event::Ready { component, .. } if model.graph.node(*component).action().is_join() => Ok(()),
        Event::Ready { component, .. } => facts_have_a_source(model, cluster, (*component, Phase::Wait)),
        Event::AttemptFailed { component, attempt, phase, failure, .. }
        | Event::UndoFailed { component, attempt, phase, failure, .. } => {
            failure_has_a_cause(model, cluster, (*component, *attempt, *phase), (failure, now))
        }
        Event::Undone { component, .. } => facts_have_a_source(model, cluster, (*component, Phase::Undo)),
        Event::RunStarted { .. }
        | Event::Resumed
        | Event::Waiting { .. }
        | Event::Interrupted { .. }
        | Event::Skipped { .. }
        | Event::Stopping { .. }
        | Event::Verifying
        | Event::RollingBack
        | Event::Inherited { .. }
        | Event::Kept { .. }
        | Event::Finished { .. } => Ok(()),
    }
}

/// [`Invariant::NothingNewAfterStop`], as the records tell it.
fn starts_may_follow(model: &Model, record: &Record) -> Check {
    let stopped = if matches!(record.event, Event::UndoStarted { .. }) {
        model.rollback.is_stopped || model.rollback.is_late
    } else {
        model.is_stopping() && matches!(record.event, Event::Announced { .. } | Event::Started { .. })
    };
    ensure(!stopped, Invariant::NothingNewAfterStop, || format!("started while stopping: {record:?}"))
}

/// Whatever can be told from records alone: the first of them that may not follow those before it.
#[cfg(test)]
pub(in super::super) fn log_is_lawful(mut model: Model, log: &[Record]) -> Check {
    log.iter().try_for_each(|record| {
        starts_may_follow(&model, record)?;
        retry_in_budget(&model, record)?;
        model.fold(record)
    })?;
    ensure(model.outcome.is_some(), Invariant::Liveness, || "the log has no end".into())
}

fn facts_have_a_source(model: &Model, cluster: &Cluster, (id, phase): (ComponentId, Phase)) -> Check {
    let part = model.part(id);
    let attempt = Attempt::new(if phase == Phase::Undo { part.undo.attempt } else { part.attempt });
    let told = cluster.of(id).told;
    ensure(told == Some(Told { attempt, phase, failed: None }), Invariant::FactsHaveASource, || {
        format!("{id:?} {phase:?} in attempt {attempt} is recorded as done; told was {told:?}")
    })
}

fn failure_has_a_cause(
    model: &Model,
    cluster: &Cluster,
    (id, attempt, phase): (ComponentId, Attempt, Phase),
    (failure, now): (&Failure, Timestamp),
) -> Check {
    let (part, seen) = (model.part(id), cluster.of(id));
    let active = model.active(now);
    let turn_at = if phase == Phase::Undo { part.undo.turn_at } else { part.turn_at };
    let since_turn = turn_at.map_or(Duration::ZERO, |at| active.since(at));
    let deadline = if phase == Phase::Undo { model.undo_deadline(id, now) } else { model.deadline(id, now) };
    let caused = match failure.code.as_ref() {
        "run.cancelled" if phase == Phase::Verify => model.rollback.skips_look,
        "run.cancelled" => phase == Phase::Wait && model.gives_up_waits(),
        "run.deadline" => model.end_of_run() <= now,
        "run.deadline.component" => turn_at.is_some() && since_turn >= model.timeout(id),
        "run.deadline.no-progress" => {
            let news_at = seen.news_at.map_or(part.news_at, |at| at.max(part.news_at));
            let since = seen.call.map(|call| model.active(call.since).max(news_at));
            let silent = since.map(|since| active.since(since).saturating_add(NEWS_INTERVAL));
            silent.is_some_and(|silent| silent >= model.options.no_progress_timeout)
        }
        "run.deadline.prepare" | "run.deadline.apply" | "run.deadline.undo" => {
            // A call of a dead process that would have to be made again when its time is long over is not.
            let over = deadline.plus(GRACE) <= now;
            over || seen.call.is_some_and(|call| call.phase == phase && call.deadline.plus(GRACE) <= now)
        }
        "run.deadline.verify" => {
            seen.call.is_some_and(|call| call.phase == phase && call.deadline.plus(GRACE) <= now)
        }
        _ => seen.told == Some(Told { attempt, phase, failed: Some(failure.class) }),
    };
    ensure(caused, Invariant::FailureHasACause, || {
        format!(
            "{id:?} failed in {phase:?} of attempt {attempt} at {now}: {} ({failure}); {seen:?}",
            failure.code
        )
    })
}

/// [`Invariant::RetryInBudget`]: another attempt follows a failed one if and only if it may, after the pause that it
/// must keep. Before the model has taken the record over.
pub(in super::super) fn retry_in_budget(model: &Model, record: &Record) -> Check {
    let (component, attempt, phase, failure, retry_at) = match &record.event {
        Event::AttemptFailed { component, attempt, phase, failure, retry_at }
        | Event::UndoFailed { component, attempt, phase, failure, retry_at } => {
            (*component, *attempt, *phase, failure, retry_at)
        }
        Event::RunStarted { .. }
        | Event::Resumed
        | Event::Prepared { .. }
        | Event::Announced { .. }
        | Event::Started { .. }
        | Event::Applied { .. }
        | Event::Waiting { .. }
        | Event::Ready { .. }
        | Event::Interrupted { .. }
        | Event::Skipped { .. }
        | Event::Stopping { .. }
        | Event::Verifying
        | Event::RollingBack
        | Event::Inherited { .. }
        | Event::UndoStarted { .. }
        | Event::Undone { .. }
        | Event::Kept { .. }
        | Event::Finished { .. } => return Ok(()),
    };
    if phase == Phase::Verify {
        return look_in_budget(model, record, (failure.class, *retry_at));
    }
    let is_undo = phase == Phase::Undo;
    // Of an undo, the policy is that of the run.
    let written = if is_undo { None } else { model.graph.node(component).retry() };
    let policy = written.unwrap_or(model.options.retry);
    let covered = match failure.class {
        FailureClass::Transient => true,
        FailureClass::Permanent => written.is_some(),
        FailureClass::Cancelled | FailureClass::Misuse => false,
    };
    let attempts = if is_undo { policy.attempts.max(UNDO_ATTEMPTS_MIN) } else { policy.attempts };
    let goes_on =
        if is_undo { !model.rollback.is_stopped && !model.rollback.is_late } else { model.stops.is_empty() };
    let may = covered && attempt.get() < attempts && goes_on;
    let mut longest = policy.backoff;
    for _ in 1..attempt.get().min(20) {
        longest = longest.saturating_mul(2);
    }
    let longest = longest.min(policy.max_backoff);
    let deadline = if is_undo {
        model.undo_deadline(component, record.at)
    } else {
        model.deadline(component, record.at)
    };
    let right = match retry_at {
        Some(at) => {
            let pause = at.since(record.at);
            may && pause <= longest && pause * 2 >= longest && *at < deadline
        }
        None => !may || record.at.plus(longest) >= deadline,
    };
    ensure(right, Invariant::RetryInBudget, || {
        format!("allowed: {may}, pause up to {longest:?}, deadline {deadline}: {record:?}")
    })
}

/// A look that cannot be made is made again only where it may be one day, and the run still wants it.
fn look_in_budget(
    model: &Model,
    record: &Record,
    (class, retry_at): (FailureClass, Option<Timestamp>),
) -> Check {
    let Some(at) = retry_at else { return Ok(()) };
    let right = class == FailureClass::Transient && model.is_looking() && at < model.end_of_run();
    let pause = at.since(record.at);
    ensure(right && pause <= model.options.retry.max_backoff, Invariant::RetryInBudget, || {
        format!("a look that is not to be made again: {record:?}")
    })
}
