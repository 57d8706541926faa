//! The loop: decide, store, show, write, wait for the first fact.

use std::pin::pin;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::calls::{Calls, Means};
use super::{DriveError, Ports};
use crate::ports::{RecordBatch, StoreError};
use crate::run::{Input, Outcome, Record, Run, StopMode};
use crate::time::Timestamp;

/// When so many records are to be stored, they are, before more is taken in.
const RECORDS_MAX: usize = 1024;

/// Drives a run to its outcome. `control` takes requests to stop; it may be closed.
///
/// # Errors
/// [`DriveError`]; then no write was started that is not stored, and reads in flight are dropped.
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
    let (mut calls, mut told) = Calls::new(ports.secrets.clone());
    // One timer for all deadlines: a new one for each costs more than the rest of the loop. It may ring early.
    let mut alarm = pin!(sleep(std::time::Duration::ZERO));
    let result = loop {
        let records = decide(run, (&ports.executors, &ports.clock), &mut calls);
        if let Err(error) = store(run, ports, records).await {
            break Err(error.into());
        }
        while let Some(command) = run.poll_command() {
            calls.carry_out(run, &command, (&ports.executors, &ports.clock));
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
            () = std::future::ready(()), if calls.have_ended() => {}
            () = calls.join_next() => {}
            Some(()) = told.recv() => {
                for (component, (attempt, cause)) in calls.news() {
                    ports.reporters.iter().for_each(|reporter| reporter.progress(component, &cause));
                    run.handle(Input::Progress { component, attempt, cause }, ports.clock.now());
                }
            }
            () = &mut alarm => run.handle_timeout(ports.clock.now()),
        }
        calls.join_all_that_have_ended();
        take_in(run, (&ports.executors, &ports.clock), &mut calls);
    };
    calls.let_go();
    result
}

/// What the run decides now, to be stored as one. Reads need no record: they are begun at once, and the ends of those that
/// had nothing to wait for are taken in, until something is to be written.
pub(super) fn decide(run: &mut Run, means: Means<'_>, calls: &mut Calls) -> Vec<Record> {
    let mut records = Vec::new();
    loop {
        records.extend(std::iter::from_fn(|| run.poll_event()));
        while let Some(command) = run.poll_at_once() {
            calls.carry_out(run, &command, means);
        }
        if run.wants_to_write() || !calls.have_ended() || records.len() >= RECORDS_MAX {
            return records;
        }
        take_in(run, means, calls);
    }
}

pub(super) fn take_in(run: &mut Run, (_, clock): Means<'_>, calls: &mut Calls) {
    for input in calls.ended() {
        run.handle(input, clock.now());
    }
}

async fn store(run: &Run, ports: &Ports, records: Vec<Record>) -> Result<(), StoreError> {
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
