//! The loop: store, show, act, wait for the first fact, take every fact that is there.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{FutureExt as _, TryFutureExt as _};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::{DriveError, Ports};
use crate::failure::Cause;
use crate::ids::{Attempt, ComponentId};
use crate::ports::{Context, RecordBatch, Step, StoreError};
use crate::run::{Applied, Change, Command, Input, Outcome, Phase, PhaseEnd, Prepared, Run, StopMode};
use crate::time::Timestamp;

/// The last cause of each wait that was not taken in yet, and the bell that says so.
type Progress = (Arc<Mutex<BTreeMap<ComponentId, (Attempt, Cause)>>>, mpsc::Sender<()>);

/// Calls in flight, those among them that may be dropped, and ends of calls that were not taken in yet.
#[derive(Default)]
struct Calls {
    tasks: JoinSet<Input>,
    reads: BTreeMap<(ComponentId, Attempt), AbortHandle>,
    ended: Vec<Input>,
}

/// Drives a run to its outcome. `control` takes requests to stop; it may be closed.
///
/// # Errors
/// [`DriveError`]; then nothing new was started, and reads in flight are dropped.
///
/// # Cancel safety
/// Dropping the future is like the death of the process: calls in flight are dropped, writes included. What was stored can
/// be resumed.
pub async fn drive(
    run: &mut Run,
    ports: &Ports,
    mut control: mpsc::Receiver<StopMode>,
) -> Result<Outcome, DriveError> {
    let has_none = |kind: &&str| ports.executors.get(kind).is_none();
    let missing: Vec<String> = run.graph().kinds().filter(has_none).map(str::to_owned).collect();
    if !missing.is_empty() {
        return Err(DriveError::NoExecutor(missing));
    }
    let (bell, mut told) = mpsc::channel(1);
    let progress: Progress = (Arc::default(), bell);
    let mut calls = Calls::default();
    // One timer for all deadlines: a new one for each costs more than the rest of the loop. It may ring early.
    let mut alarm = pin!(sleep(std::time::Duration::ZERO));
    let result = loop {
        if let Err(error) = store(run, ports).await {
            break Err(error.into());
        }
        while let Some(command) = run.poll_command() {
            calls.carry_out(run, &command, ports, &progress);
        }
        if let Some(outcome) = run.outcome() {
            break Ok(outcome);
        }
        let deadline = run.poll_deadline().unwrap_or(Timestamp::MAX);
        let rings_at = Instant::now() + deadline.since(ports.clock.now());
        if alarm.is_elapsed() || rings_at < alarm.deadline() {
            alarm.as_mut().reset(rings_at);
        }
        tokio::select! {
            biased;
            Some(mode) = control.recv() => run.handle(Input::Stop { mode }, ports.clock.now()),
            () = std::future::ready(()), if !calls.ended.is_empty() => {}
            // A task that was aborted has nothing to tell; one that panicked has caught it itself.
            Some(ended) = calls.tasks.join_next() => calls.ended.extend(ended),
            Some(()) = told.recv() => {
                let causes = std::mem::take(&mut *progress.0.lock().unwrap_or_else(PoisonError::into_inner));
                for (component, (attempt, cause)) in causes {
                    ports.reporters.iter().for_each(|reporter| reporter.progress(component, &cause));
                    run.handle(Input::Progress { component, attempt, cause }, ports.clock.now());
                }
            }
            () = &mut alarm => run.handle_timeout(ports.clock.now()),
        }
        while let Some(ended) = calls.tasks.try_join_next() {
            calls.ended.extend(ended);
        }
        for input in calls.ended.drain(..) {
            if let Input::Ended { component, attempt, .. } = input {
                calls.reads.remove(&(component, attempt));
            }
            run.handle(input, ports.clock.now());
        }
    };
    calls.reads.values().for_each(AbortHandle::abort);
    calls.tasks.detach_all();
    result
}

async fn store(run: &mut Run, ports: &Ports) -> Result<(), StoreError> {
    let records: Vec<_> = std::iter::from_fn(|| run.poll_event()).collect();
    if records.is_empty() {
        return Ok(());
    }
    let shown = if ports.reporters.is_empty() { Vec::new() } else { records.clone() };
    ports.store.append(vec![RecordBatch { run: run.id().clone(), records }]).await?;
    for record in &shown {
        ports.reporters.iter().for_each(|reporter| reporter.record(record, &run.view()));
    }
    Ok(())
}

impl Calls {
    fn carry_out(&mut self, run: &Run, command: &Command, ports: &Ports, (causes, bell): &Progress) {
        let (component, attempt, phase, deadline) = match *command {
            Command::Call { component, attempt, phase, deadline } => (component, attempt, phase, deadline),
            Command::Abort { component, attempt } => {
                return self.reads.remove(&(component, attempt)).iter().for_each(AbortHandle::abort);
            }
        };
        let kind = run.graph().kind(component);
        let Some(executor) = ports.executors.get(kind).cloned() else { return };
        let (causes, bell) = (Arc::clone(causes), bell.clone());
        let tell = move |cause| {
            causes.lock().unwrap_or_else(PoisonError::into_inner).insert(component, (attempt, cause));
            // A full channel has rung already.
            let _ = bell.try_send(());
        };
        let cx = Context::new(deadline, Arc::clone(&ports.clock), Arc::new(tell)).in_run(run.id().clone());
        let step = Step::new(Arc::clone(run.graph()), component, attempt);
        let prepared = run.prepared(component).cloned().unwrap_or(Prepared::new(Change::Unknown));
        let applied = run.applied(component).cloned().unwrap_or(Applied::new(Change::None));
        let call = async move {
            match phase {
                Phase::Prepare => PhaseEnd::Prepare(executor.prepare(&step, &cx).await),
                Phase::Apply => PhaseEnd::Apply(executor.apply(&step, &prepared, &cx).await),
                Phase::Wait => PhaseEnd::Wait(executor.wait(&step, &applied, step.until(), &cx).await),
            }
        };
        let end = AssertUnwindSafe(call).catch_unwind().unwrap_or_else(move |_| PhaseEnd::panicked(phase));
        let mut ended = end.map(move |end| Input::Ended { component, attempt, end }).boxed();
        if phase == Phase::Apply {
            self.tasks.spawn(ended);
        } else if let Some(end) = ended.as_mut().now_or_never() {
            self.ended.push(end);
        } else {
            self.reads.insert((component, attempt), self.tasks.spawn(ended));
        }
    }
}
