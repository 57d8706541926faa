//! One event of each kind, in orders that a run could have decided, for the tests of reporters and stores.

use std::sync::Arc;
use std::time::Duration;

use crate::failure::{Cause, Failure};
use crate::ids::{Attempt, ComponentId, RunId, Seq};
use crate::plan::FailurePolicy;
use crate::plan::builder::{ComponentBuilder, PlanBuilder};
use crate::plan::graph::Graph;
use crate::run::{
    Applied, Change, Event, KeepReason, Outcome, Outputs, Phase, Prepared, Record, RunOptions, RunStart,
    SkipReason, StopReason, UndoReport, UndoToken,
};
use crate::time::Timestamp;

/// The graph that [`sample_events`] are about: `db`, `web` after it, `announce` after that, and `cache` by itself.
///
/// # Panics
/// Never: the plan is a good one.
pub fn sample_graph() -> Arc<Graph> {
    let plan = PlanBuilder::new("shop", "shop").on_failure(FailurePolicy::Drain).components([
        ComponentBuilder::new("db", "object"),
        ComponentBuilder::new("web", "object").after("db"),
        ComponentBuilder::new("announce", "object").after("web"),
        ComponentBuilder::new("cache", "object"),
    ]);
    #[expect(clippy::expect_used, reason = "the plan is written here and is a good one")]
    Arc::new(Graph::from_plan(&plan).expect("a good plan"))
}

/// Every event of a run that nothing is undone of, as the whole log of a run of [`sample_graph`] that was resumed once and
/// failed. [`sample_rollback`], [`sample_undoing`] and [`sample_announced`] have the others.
pub fn sample_events() -> Vec<Record> {
    let [db, web, announce, cache] = [0, 1, 2, 3].map(ComponentId::new);
    let first = Attempt::FIRST;
    let start = RunStart {
        id: RunId::new("run-1"),
        plan: "shop".into(),
        namespace: "shop".into(),
        components: 4,
        options: RunOptions::default(),
        undoes: None,
    };
    let waiting = || Box::new(Cause::new("k8s.deployment.unavailable", "0 of 1 replicas are available"));
    let lost = || Box::new(Failure::transient("k8s.connection", "the connection to the API server was lost"));
    let doomed = || {
        let failure = Failure::permanent("k8s.pod.crash-loop", "pod web-1: container web: CrashLoopBackOff");
        Box::new(failure.with_note("log: no such table: orders").with_hint("look at the container's log"))
    };
    let failed = |component, attempt, phase, failure, retry_at| Event::AttemptFailed {
        component,
        attempt,
        phase,
        failure,
        retry_at,
    };
    let begun = Timestamp::from_micros(1_763_596_800_000_000);
    let retry_at = begun.plus(Duration::from_secs(6));
    let applied =
        |component, attempt| Event::Applied { component, attempt, applied: Applied::new(Change::Create) };
    let prepared = |component, change| Event::Prepared { component, prepared: Prepared::new(change) };
    let events = vec![
        Event::RunStarted { run: Box::new(start) },
        prepared(db, Change::Create),
        prepared(cache, Change::None),
        Event::Started { component: db, attempt: first },
        failed(db, first, Phase::Apply, lost(), Some(retry_at)),
        Event::Ready { component: cache, outputs: Outputs::NONE },
        prepared(db, Change::Create),
        Event::Started { component: db, attempt: first.next() },
        Event::Resumed,
        Event::Interrupted { component: db, attempt: first.next() },
        applied(db, first.next()),
        Event::Waiting { component: db, cause: waiting() },
        Event::Ready { component: db, outputs: Outputs::NONE.with("host", "db.shop.svc") },
        prepared(web, Change::Update),
        Event::Started { component: web, attempt: first },
        applied(web, first),
        failed(web, first, Phase::Wait, doomed(), None),
        Event::Skipped { component: announce, because: SkipReason::Dependency { component: web } },
        Event::Stopping { reason: StopReason::Failure { component: web } },
        Event::Finished { outcome: Outcome::Failed },
    ];
    stamped(events)
}

fn stamped(events: Vec<Event>) -> Vec<Record> {
    let begun = Timestamp::from_micros(1_763_596_800_000_000);
    let numbered = events.into_iter().zip(1_u64..);
    numbered
        .map(|(event, seq)| Record { seq: Seq::new(seq), at: begun.plus(Duration::from_secs(seq)), event })
        .collect()
}

/// The graph that [`sample_rollback`] and [`sample_undoing`] are about: that of [`sample_graph`] under the policy
/// `rollback`.
///
/// # Panics
/// Never: the plan is a good one.
pub fn sample_rollback_graph() -> Arc<Graph> {
    let plan = PlanBuilder::new("shop", "shop").on_failure(FailurePolicy::Rollback).components([
        ComponentBuilder::new("db", "object"),
        ComponentBuilder::new("web", "object").after("db"),
        ComponentBuilder::new("announce", "object").after("web"),
        ComponentBuilder::new("cache", "object"),
    ]);
    #[expect(clippy::expect_used, reason = "the plan is written here and is a good one")]
    Arc::new(Graph::from_plan(&plan).expect("a good plan"))
}

fn start_of(run: &str, undoes: Option<&str>) -> Event {
    let start = RunStart {
        id: RunId::new(run),
        plan: "shop".into(),
        namespace: "shop".into(),
        components: 4,
        options: RunOptions::default(),
        undoes: undoes.map(RunId::new),
    };
    Event::RunStarted { run: Box::new(start) }
}

/// The whole log of a run of [`sample_rollback_graph`] that failed and was rolled back.
pub fn sample_rollback() -> Vec<Record> {
    let [db, web, announce, cache] = [0, 1, 2, 3].map(ComponentId::new);
    let (first, second) = (Attempt::FIRST, Attempt::FIRST.next());
    let doomed = Failure::permanent("k8s.pod.crash-loop", "pod web-1: container web: CrashLoopBackOff");
    let lost = Failure::transient("k8s.connection", "the connection to the API server was lost");
    let retry_at = Timestamp::from_micros(1_763_596_800_000_000).plus(Duration::from_secs(16));
    let prepared = |component, change, undo: Option<&str>| {
        let undo = undo.map(UndoToken::new);
        Event::Prepared { component, prepared: Prepared { undo, ..Prepared::new(change) } }
    };
    let applied =
        |component, change| Event::Applied { component, attempt: first, applied: Applied::new(change) };
    let report = |change| Box::new(UndoReport::new(change));
    stamped(vec![
        start_of("run-1", None),
        prepared(db, Change::Update, Some("db as it was")),
        prepared(cache, Change::None, None),
        Event::Started { component: db, attempt: first },
        Event::Ready { component: cache, outputs: Outputs::NONE },
        applied(db, Change::Update),
        Event::Ready { component: db, outputs: Outputs::NONE },
        prepared(web, Change::Create, Some("no web")),
        Event::Started { component: web, attempt: first },
        applied(web, Change::Create),
        Event::AttemptFailed {
            component: web,
            attempt: first,
            phase: Phase::Wait,
            failure: Box::new(doomed),
            retry_at: None,
        },
        Event::Skipped { component: announce, because: SkipReason::Dependency { component: web } },
        Event::Stopping { reason: StopReason::Failure { component: web } },
        Event::RollingBack,
        Event::UndoStarted { component: web, attempt: first },
        Event::UndoFailed {
            component: web,
            attempt: first,
            phase: Phase::Undo,
            failure: Box::new(lost),
            retry_at: Some(retry_at),
        },
        Event::UndoStarted { component: web, attempt: second },
        Event::Undone { component: web, report: report(Change::Delete) },
        Event::UndoStarted { component: db, attempt: first },
        Event::Undone { component: db, report: report(Change::Update) },
        Event::Verifying,
        Event::Finished { outcome: Outcome::RolledBack },
    ])
}

/// The whole log of a run that undoes another one of [`sample_rollback_graph`], and cannot undo `web`.
pub fn sample_undoing() -> Vec<Record> {
    let [db, web] = [0, 1].map(ComponentId::new);
    let applied = Some(Applied::new(Change::Update));
    stamped(vec![
        start_of("run-2", Some("run-1")),
        Event::Inherited { component: db, token: Some(UndoToken::new("db as it was")), applied },
        Event::Inherited { component: web, token: None, applied: None },
        Event::RollingBack,
        Event::Kept { component: web, because: KeepReason::NoToken },
        Event::Kept { component: db, because: KeepReason::Dependant { component: web } },
        Event::Finished { outcome: Outcome::RollbackFailed },
    ])
}
/// The whole log of a run of [`sample_rollback_graph`] whose process died when a write was announced and may have begun.
pub fn sample_announced() -> Vec<Record> {
    let [db, web, announce, cache] = [0, 1, 2, 3].map(ComponentId::new);
    let attempt = Attempt::FIRST;
    let prepared = |component, change, undo: Option<&str>| {
        let undo = undo.map(UndoToken::new);
        Event::Prepared { component, prepared: Prepared { undo, ..Prepared::new(change) } }
    };
    let applied = |component, change| Event::Applied { component, attempt, applied: Applied::new(change) };
    let ready = |component| Event::Ready { component, outputs: Outputs::NONE };
    stamped(vec![
        start_of("run-1", None),
        prepared(db, Change::Update, Some("db as it was")),
        prepared(web, Change::Create, Some("no web")),
        prepared(announce, Change::Create, Some("no announcement")),
        prepared(cache, Change::None, None),
        Event::Started { component: db, attempt },
        Event::Announced { component: web },
        ready(cache),
        applied(db, Change::Update),
        ready(db),
        Event::Started { component: web, attempt },
        Event::Announced { component: announce },
        Event::Resumed,
        Event::Interrupted { component: web, attempt },
        prepared(announce, Change::None, None),
        applied(web, Change::None),
        ready(web),
        ready(announce),
        Event::Verifying,
        Event::Finished { outcome: Outcome::Succeeded },
    ])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A new event does not compile here until it has a number, and the test fails until it is among the samples.
    fn number(event: &Event) -> usize {
        match event {
            Event::RunStarted { .. } => 0,
            Event::Resumed => 1,
            Event::Prepared { .. } => 2,
            Event::Started { .. } => 3,
            Event::Applied { .. } => 4,
            Event::Waiting { .. } => 5,
            Event::Ready { .. } => 6,
            Event::AttemptFailed { .. } => 7,
            Event::Interrupted { .. } => 8,
            Event::Skipped { .. } => 9,
            Event::Stopping { .. } => 10,
            Event::Finished { .. } => 11,
            Event::Verifying => 12,
            Event::RollingBack => 13,
            Event::Inherited { .. } => 14,
            Event::UndoStarted { .. } => 15,
            Event::Undone { .. } => 16,
            Event::UndoFailed { .. } => 17,
            Event::Kept { .. } => 18,
            Event::Announced { .. } => 19,
        }
    }

    #[test]
    fn every_event_is_among_the_samples() {
        let samples = [sample_events(), sample_rollback(), sample_undoing(), sample_announced()].concat();
        let found: BTreeSet<usize> = samples.iter().map(|record| number(&record.event)).collect();
        assert_eq!(found, (0..20).collect());
    }

    #[test]
    fn samples_survive_being_written_and_read() {
        for sample in [sample_events(), sample_rollback(), sample_undoing(), sample_announced()] {
            let written = serde_json::to_string(&sample).unwrap();
            assert_eq!(serde_json::from_str::<Vec<Record>>(&written).unwrap(), sample);
        }
    }
}
