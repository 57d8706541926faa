//! The runs that are under way in this process.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::mpsc;

use super::super::calls::{Calls, Means};
use super::super::drive::{decide, take_in};
use super::ServePorts;
use super::report::report;
use crate::ids::RunId;
use crate::ports::{RecordBatch, Reporter};
use crate::run::{ComponentStatus, Input, Outcome, Run, StopMode};
use crate::scheduler::{Reason, Report};
use crate::secret::Secrets;
use crate::time::Timestamp;

struct Live {
    run: Run,
    calls: Calls,
    told: mpsc::Receiver<()>,
    reporters: Vec<Arc<dyn Reporter>>,
    alarm: Option<Timestamp>,
}

/// A run that is over, to be told to the scheduler.
pub(super) struct Ended {
    pub(super) run: RunId,
    pub(super) outcome: Outcome,
    pub(super) reason: Option<Reason>,
    pub(super) report: Report,
}

#[derive(Default)]
pub(super) struct LiveRuns {
    runs: BTreeMap<RunId, Live>,
    /// Those to which something has happened since they were looked at.
    touched: BTreeSet<RunId>,
    alarms: BTreeSet<(Timestamp, RunId)>,
}

impl LiveRuns {
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(super) fn begin(&mut self, run: Run, reporters: Vec<Arc<dyn Reporter>>, secrets: Secrets) {
        let id = run.id().clone();
        let (calls, told) = Calls::new(secrets);
        self.touched.insert(id.clone());
        self.runs.insert(id, Live { run, calls, told, reporters, alarm: None });
    }

    pub(super) fn has(&self, run: &RunId) -> bool {
        self.runs.contains_key(run)
    }

    pub(super) fn stop(&mut self, run: &RunId, mode: StopMode, now: Timestamp) {
        if let Some(live) = self.runs.get_mut(run) {
            live.run.handle(Input::Stop { mode }, now);
            self.touched.insert(run.clone());
        }
    }

    /// What the runs to which something has happened decide now, and those among them that are over.
    pub(super) fn decide(&mut self, means: Means<'_>) -> (Vec<RecordBatch>, Vec<Ended>) {
        let (mut batches, mut ended) = (Vec::new(), Vec::new());
        for id in &self.touched {
            let Some(live) = self.runs.get_mut(id) else { continue };
            let records = decide(&mut live.run, means, &mut live.calls);
            if !records.is_empty() {
                batches.push(RecordBatch { run: id.clone(), records });
            }
            if let Some(outcome) = live.run.outcome() {
                let (run, reason, report) = (id.clone(), reason(&live.run), report(&live.run));
                ended.push(Ended { run, outcome, reason, report });
            }
        }
        (batches, ended)
    }

    /// Shows what was stored.
    pub(super) fn show(&self, batches: &[RecordBatch]) {
        for batch in batches {
            let Some(live) = self.runs.get(&batch.run) else { continue };
            let view = live.run.view();
            for record in &batch.records {
                live.reporters.iter().for_each(|reporter| reporter.record(record, &view));
            }
        }
    }

    /// Carries out what the stored records allow, and lets go of what is over.
    pub(super) fn act(&mut self, means: Means<'_>) {
        for id in std::mem::take(&mut self.touched) {
            let Some(mut live) = self.runs.remove(&id) else { continue };
            if let Some(alarm) = live.alarm.take() {
                self.alarms.remove(&(alarm, id.clone()));
            }
            while let Some(command) = live.run.poll_command() {
                live.calls.carry_out(&live.run, &command, means);
            }
            if live.run.outcome().is_some() {
                live.calls.let_go();
                continue;
            }
            if live.calls.have_ended() {
                self.touched.insert(id.clone());
            }
            live.alarm = live.run.poll_deadline();
            self.alarms.extend(live.alarm.map(|at| (at, id.clone())));
            self.runs.insert(id, live);
        }
    }

    /// When a run wants to be looked at.
    pub(super) fn next_alarm(&self) -> Option<Timestamp> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// Whether there is something to take in already.
    pub(super) fn is_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Waits until something has happened to a run. Dropping the future loses nothing. Linear in the runs that are under
    /// way, which are few.
    pub(super) async fn next(&mut self) {
        let Self { runs, touched, .. } = self;
        poll_fn(|cx| {
            let mut ready = Poll::Pending;
            for (id, live) in runs.iter_mut() {
                let ended = pin!(live.calls.join_next()).poll(cx).is_ready();
                let told = live.told.poll_recv(cx).is_ready();
                if ended || told {
                    touched.insert(id.clone());
                    ready = Poll::Ready(());
                }
            }
            ready
        })
        .await;
    }

    /// Takes every fact that is there.
    pub(super) fn take_in(&mut self, ports: &ServePorts) {
        let now = ports.clock.now();
        while let Some((at, id)) = self.alarms.first().cloned().filter(|(at, _)| *at <= now) {
            self.alarms.remove(&(at, id.clone()));
            if let Some(live) = self.runs.get_mut(&id) {
                live.alarm = None;
                live.run.handle_timeout(now);
            }
            self.touched.insert(id);
        }
        for id in &self.touched {
            let Some(live) = self.runs.get_mut(id) else { continue };
            for (component, (attempt, cause)) in live.calls.news() {
                live.reporters.iter().for_each(|reporter| reporter.progress(component, &cause));
                live.run.handle(Input::Progress { component, attempt, cause }, now);
            }
            live.calls.join_all_that_have_ended();
            take_in(&mut live.run, (&ports.executors, &ports.clock), &mut live.calls);
        }
    }

    /// Drops the reads of all runs; writes go on as long as the process does.
    pub(super) fn let_go(self) {
        self.runs.into_values().for_each(|live| live.calls.let_go());
    }
}

/// Why a run did not succeed: what failed first in the order of the plan.
fn reason(run: &Run) -> Option<Reason> {
    let (graph, view) = (run.graph(), run.view());
    let failed = graph.ids().find(|id| view.status(*id) == ComponentStatus::Failed)?;
    let reason = Reason::of(view.failure(failed)?);
    Some(reason.with_component(graph.node(failed).name()))
}
