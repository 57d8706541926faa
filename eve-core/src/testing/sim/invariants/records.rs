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
        Event::Started { .. } => ensure(!model.is_stopping(), Invariant::NothingNewAfterStop, || {
            format!("started while the run is stopping: {record:?}")
        }),
        Event::Applied { component, attempt, .. } => {
            facts_have_a_source(model, cluster, (*component, Phase::Apply))?;
            let fits = attempt.get() == model.part(*component).attempt;
            ensure(fits && cluster.of(*component).object.desired, Invariant::FactsHaveASource, || {
                format!("recorded as applied, and no write has landed: {record:?}")
            })
        }
        Event::Ready { component, .. } if model.graph.node(*component).action().is_join() => Ok(()),
        Event::Ready { component, .. } => facts_have_a_source(model, cluster, (*component, Phase::Wait)),
        Event::AttemptFailed { component, attempt, phase, failure, .. } => {
            failure_has_a_cause(model, cluster, (*component, *attempt, *phase), (failure, now))
        }
        Event::RunStarted { .. }
        | Event::Resumed
        | Event::Waiting { .. }
        | Event::Interrupted { .. }
        | Event::Skipped { .. }
        | Event::Stopping { .. }
        | Event::Verifying
        | Event::RollingBack
        | Event::Inherited { .. }
        | Event::UndoStarted { .. }
        | Event::Undone { .. }
        | Event::UndoFailed { .. }
        | Event::Kept { .. }
        | Event::Finished { .. } => Ok(()),
    }
}

fn facts_have_a_source(model: &Model, cluster: &Cluster, (id, phase): (ComponentId, Phase)) -> Check {
    let attempt = Attempt::new(model.part(id).attempt);
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
    let since_turn = part.turn_at.map_or(Duration::ZERO, |at| active.since(at));
    let caused = match failure.code.as_ref() {
        "run.cancelled" => phase == Phase::Wait && model.gives_up_waits(),
        "run.deadline" => model.run_deadline() <= now,
        "run.deadline.component" => part.turn_at.is_some() && since_turn >= model.timeout(id),
        "run.deadline.no-progress" => {
            let news_at = seen.news_at.map_or(part.news_at, |at| at.max(part.news_at));
            let since = seen.call.map(|call| model.active(call.since).max(news_at));
            let silent = since.map(|since| active.since(since).saturating_add(NEWS_INTERVAL));
            silent.is_some_and(|silent| silent >= model.options.no_progress_timeout)
        }
        "run.deadline.prepare" | "run.deadline.apply" => {
            // A call of a dead process that would have to be made again when its time is long over is not.
            let over = model.deadline(id, now).plus(GRACE) <= now;
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
    let Event::AttemptFailed { component, attempt, phase, failure, retry_at } = &record.event else {
        return Ok(());
    };
    if *phase == Phase::Verify {
        return Ok(());
    }
    let written = model.graph.node(*component).retry();
    let policy = written.unwrap_or(model.options.retry);
    let covered = match failure.class {
        FailureClass::Transient => true,
        FailureClass::Permanent => written.is_some(),
        FailureClass::Cancelled | FailureClass::Misuse => false,
    };
    let may = covered && attempt.get() < policy.attempts && model.stops.is_empty();
    let mut longest = policy.backoff;
    for _ in 1..attempt.get().min(20) {
        longest = longest.saturating_mul(2);
    }
    let longest = longest.min(policy.max_backoff);
    let deadline = model.deadline(*component, record.at);
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
