//! A run taken over by another process, from its records.

use std::sync::Arc;

use super::protocol::{Event, Phase, Record};
use super::state::ComponentStatus;
use super::{Run, RunOptions, apply};
use crate::ids::{RunId, Seq};
use crate::plan::graph::Graph;
use crate::time::Timestamp;

/// Records cannot be those of this run of this plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// A record is missing, doubled, or out of order.
    #[error("record {found} stands where record {expected} should")]
    OutOfOrder {
        /// The place that was expected.
        expected: u64,
        /// The place that the record names.
        found: u64,
    },
    /// The records are of another plan or another run.
    #[error("the records are of {found}, not of {expected}")]
    OtherRun {
        /// The run, plan and size that were asked for.
        expected: String,
        /// The run, plan and size that the records name.
        found: String,
    },
    /// A record contradicts the ones before it.
    #[error("record {seq} {reason}")]
    Illegal {
        /// Its place.
        seq: u64,
        /// What is wrong with it, as the end of a sentence.
        reason: &'static str,
    },
}

impl Run {
    /// Takes over a run from all its records so far; the run goes on where it was.
    ///
    /// Writes that had begun and whose end is not recorded are called again under the same attempt; what was applied is
    /// only waited for; the time without a process counts against no deadline. The options are those that were recorded;
    /// `options` serves only where nothing was. A log without any record is a run that has not begun, and one whose last
    /// record is [`Event::Finished`] is over: then there is nothing to poll.
    ///
    /// # Errors
    /// [`ResumeError`] if the records are not a beginning of the log of this run.
    pub fn resume(
        graph: Arc<Graph>,
        options: RunOptions,
        id: RunId,
        records: &[Record],
        now: Timestamp,
    ) -> Result<Self, ResumeError> {
        let mut run = Self::idle(graph, options, id, now);
        run.go_on_from(records)?;
        Ok(run)
    }

    pub(super) fn go_on_from(&mut self, records: &[Record]) -> Result<(), ResumeError> {
        for record in records {
            self.replay(record)?;
        }
        self.state.moved.clear();
        self.now = self.now.max(self.state.last_at);
        if records.is_empty() {
            self.begin();
        } else if self.state.outcome.is_none() {
            self.take_over();
        }
        Ok(())
    }

    pub(super) fn replay(&mut self, record: &Record) -> Result<(), ResumeError> {
        let expected = self.next_seq.get();
        if record.seq != self.next_seq {
            return Err(ResumeError::OutOfOrder { expected, found: record.seq.get() });
        }
        if record.at < self.state.last_at {
            return Err(ResumeError::Illegal { seq: expected, reason: "is earlier than the one before" });
        }
        if let Event::RunStarted { run } = &record.event {
            let name = |id: &RunId, plan: &str, namespace: &str, components: usize| {
                format!("run {id} of plan {plan} in namespace {namespace} with {components} components")
            };
            let graph = &self.graph;
            let wanted = name(&self.id, graph.name(), graph.namespace(), graph.len());
            let found = name(&run.id, &run.plan, &run.namespace, run.components as usize);
            if wanted != found {
                return Err(ResumeError::OtherRun { expected: wanted, found });
            }
            self.options = run.options.clone();
        }
        let taken = apply::apply(&mut self.state, &self.graph, record);
        taken.map_err(|reason| ResumeError::Illegal { seq: expected, reason })?;
        self.next_seq = Seq::new(expected).next();
        Ok(())
    }

    /// Derives from the state what this process has to do, and completes what the last one left between two records.
    fn take_over(&mut self) {
        self.emit(Event::Resumed);
        planted!(self.state, ForgottenCancel, { self.state.stopping = None });
        if self.state.rollback.is_some() {
            self.take_over_rollback();
            self.judge_run_deadline();
            self.schedule();
            return;
        }
        for id in self.graph.ids() {
            let cell = self.state.cell(id);
            let attempt = cell.attempt;
            match cell.status {
                ComponentStatus::Applying => {
                    self.emit(Event::Interrupted { component: id, attempt });
                    if sabotaged!(self.state, StartedTakenForApplied) {
                        let applied = super::Applied::new(super::Change::Unknown);
                        self.emit(Event::Applied { component: id, attempt, applied });
                        continue;
                    }
                    let deadline = self.component_deadline(id);
                    self.call(id, Phase::Apply, deadline);
                }
                ComponentStatus::Waiting => {
                    self.emit(Event::Interrupted { component: id, attempt });
                    self.state.moved.push(id);
                }
                ComponentStatus::Runnable => self.state.moved.push(id),
                ComponentStatus::Blocked => {
                    if cell.retry_at.is_some() {
                        self.state.moved.push(id);
                    }
                }
                ComponentStatus::Ready
                | ComponentStatus::Failed
                | ComponentStatus::Cancelled
                | ComponentStatus::Skipped => {}
            }
        }
        self.complete_skips();
        for id in self.graph.ids() {
            self.component_failed(id);
        }
        if self.state.stopping.is_some() {
            self.wind_down();
        }
        self.judge_run_deadline();
        self.schedule();
    }
}
