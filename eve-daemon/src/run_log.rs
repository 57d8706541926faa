//! What happens in a run, as lines of the log with its run, namespace and component.

use std::sync::Arc;

use eve_core::failure::{Cause, Failure};
use eve_core::ids::{ComponentId, RunId};
use eve_core::plan::graph::Graph;
use eve_core::ports::Reporter;
use eve_core::run::{Change, Event, Outcome, Record, RunView, SkipReason, StopMode, StopReason};

/// Logs one run.
#[derive(Debug)]
pub struct RunLog {
    run: RunId,
    names: Vec<Arc<str>>,
    namespace: Arc<str>,
    plan: Arc<str>,
}

impl RunLog {
    /// A log of the run of this graph.
    pub fn new(run: &RunId, graph: &Graph) -> Self {
        Self {
            run: run.clone(),
            names: graph.ids().map(|id| graph.node(id).name().into()).collect(),
            namespace: graph.namespace().into(),
            plan: graph.name().into(),
        }
    }

    fn name(&self, component: ComponentId) -> &str {
        self.names.get(component.index()).map_or("?", |name| name)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are about components")]
    fn of_run(&self, event: &Event, view: &RunView<'_>) {
        let (run, namespace, plan) = (self.run.as_str(), &*self.namespace, &*self.plan);
        match event {
            Event::RunStarted { run: start } => {
                tracing::info!(run, namespace, plan, components = start.components, "run started");
            }
            Event::Resumed => tracing::info!(run, namespace, plan, "run goes on after an interruption"),
            Event::Stopping { reason } => {
                tracing::warn!(run, namespace, plan, because = self.stopping(*reason), "run stops");
            }
            Event::RollingBack => tracing::warn!(run, namespace, plan, "run rolls back"),
            Event::Finished { outcome } => {
                let counts = view.counts();
                let outcome_name = eve_core::ports::Ending::from(*outcome).as_str();
                if *outcome == Outcome::Succeeded {
                    tracing::info!(
                        run,
                        namespace,
                        plan,
                        outcome = outcome_name,
                        ready = counts.ready,
                        "run finished"
                    );
                } else {
                    tracing::warn!(
                        run,
                        namespace,
                        plan,
                        outcome = outcome_name,
                        failed = counts.failed,
                        "run finished"
                    );
                }
            }
            _ => {}
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are about the run")]
    fn of_component(&self, event: &Event, view: &RunView<'_>) {
        let (run, namespace) = (self.run.as_str(), &*self.namespace);
        match event {
            Event::Started { component, attempt } => {
                let component = self.name(*component);
                tracing::info!(run, namespace, component, attempt = attempt.get(), "component started");
            }
            Event::Applied { component, applied, .. } => {
                let component = self.name(*component);
                let change = change_name(applied.change);
                tracing::debug!(run, namespace, component, change, "component applied");
            }
            Event::Waiting { component, cause } => {
                let (component, code) = (self.name(*component), &*cause.code);
                tracing::info!(run, namespace, component, code, reason = cause.message, "component waits");
            }
            Event::Ready { component, .. } => {
                let change = view.change(*component).map(change_name);
                let component = self.name(*component);
                tracing::info!(run, namespace, component, change, "component ready");
            }
            Event::AttemptFailed { component, attempt, failure, retry_at, .. } => {
                let what =
                    if retry_at.is_some() { "attempt failed; it is tried again" } else { "component failed" };
                self.failed(*component, attempt.get(), failure, what);
            }
            Event::Interrupted { component, attempt } => {
                let component = self.name(*component);
                tracing::warn!(
                    run,
                    namespace,
                    component,
                    attempt = attempt.get(),
                    "component was interrupted"
                );
            }
            Event::Skipped { component, because } => {
                let (component, because) = (self.name(*component), self.skipped(*because));
                tracing::warn!(run, namespace, component, because, "component skipped");
            }
            Event::UndoFailed { component, attempt, failure, .. } => {
                self.failed(*component, attempt.get(), failure, "undoing a component failed");
            }
            Event::Undone { component, .. } => {
                let component = self.name(*component);
                tracing::info!(run, namespace, component, "component undone");
            }
            Event::Kept { component, because } => {
                let because = because.told(|other| self.name(other).to_owned());
                let component = self.name(*component);
                tracing::warn!(run, namespace, component, because, "component left alone");
            }
            _ => {}
        }
    }

    fn stopping(&self, reason: StopReason) -> String {
        match reason {
            StopReason::Failure { component } => format!("component {} failed", self.name(component)),
            StopReason::Asked { mode } => format!("asked to stop: {}", stop_name(mode)),
            StopReason::Deadline => "its deadline was reached".to_owned(),
            _ => "of a reason that is not known here".to_owned(),
        }
    }

    fn skipped(&self, reason: SkipReason) -> String {
        match reason {
            SkipReason::Dependency { component } => format!("component {} failed", self.name(component)),
            SkipReason::Stopping => "the run was stopping".to_owned(),
            _ => "of a reason that is not known here".to_owned(),
        }
    }

    fn failed(&self, component: ComponentId, attempt: u32, failure: &Failure, what: &str) {
        let (run, namespace, component) = (self.run.as_str(), &*self.namespace, self.name(component));
        let (code, reason, hint) = (&*failure.code, &*failure.message, failure.hint.as_deref());
        let notes: Vec<&str> = failure.lines().collect();
        let notes = (!notes.is_empty()).then(|| notes.join("\n"));
        tracing::warn!(run, namespace, component, attempt, code, reason, hint, notes, "{what}");
    }
}

/// How something is to stop, as requests say it.
pub(crate) const fn stop_name(mode: StopMode) -> &'static str {
    match mode {
        StopMode::Drain => "drain",
        StopMode::Now => "now",
        StopMode::Supersede => "supersede",
        StopMode::Rollback => "rollback",
    }
}

/// What became of an object, in a word.
const fn change_name(change: Change) -> &'static str {
    match change {
        Change::None => "unchanged",
        Change::Create => "created",
        Change::Update => "updated",
        Change::Replace => "replaced",
        Change::Delete => "deleted",
        Change::Unknown => "unknown",
    }
}

impl Reporter for RunLog {
    fn record(&self, record: &Record, view: &RunView<'_>) {
        self.of_run(&record.event, view);
        self.of_component(&record.event, view);
    }

    fn progress(&self, component: ComponentId, cause: &Cause) {
        let (run, namespace, component) = (self.run.as_str(), &*self.namespace, self.name(component));
        let (code, reason) = (&*cause.code, &*cause.message);
        tracing::debug!(run, namespace, component, code, reason, "component waits");
    }
}
