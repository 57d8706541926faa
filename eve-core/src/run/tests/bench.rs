//! A run that a test drives by hand.

use std::sync::Arc;
use std::time::Duration;

use super::world::{BEGINNING, World};
use crate::failure::{Cause, Failure};
use crate::ids::{Attempt, ComponentId};
use crate::plan::builder::{ComponentBuilder, PlanBuilder};
use crate::plan::graph::Graph;
use crate::run::{
    Applied, Change, Command, Event, Input, Outputs, Phase, PhaseEnd, Prepared, Record, Run, RunOptions,
};
use crate::time::Timestamp;

/// A run whose records and commands are taken as they come.
pub(super) struct Bench {
    pub(super) run: Run,
    pub(super) now: Timestamp,
    pub(super) log: Vec<Record>,
}

impl Bench {
    pub(super) fn new(components: Vec<ComponentBuilder>, options: RunOptions) -> Self {
        Self::of(&PlanBuilder::new("p", "p").components(components), options)
    }

    pub(super) fn of(plan: &PlanBuilder, options: RunOptions) -> Self {
        let graph = Arc::new(Graph::from_plan(plan).unwrap());
        Self { run: Run::new(graph, options, World::id(), BEGINNING), now: BEGINNING, log: Vec::new() }
    }

    pub(super) fn commands(&mut self) -> Vec<Command> {
        self.log.extend(std::iter::from_fn(|| self.run.poll_event()));
        std::iter::from_fn(|| self.run.poll_command()).collect()
    }

    pub(super) fn called(&mut self, phase: Phase) -> Vec<u32> {
        let called = |command: Command| match command {
            Command::Call { component, phase: called, .. } if called == phase => Some(component.get()),
            _ => None,
        };
        self.commands().into_iter().filter_map(called).collect()
    }

    pub(super) fn end(&mut self, component: u32, attempt: u32, end: PhaseEnd) {
        let (component, attempt) = (ComponentId::new(component), Attempt::new(attempt));
        self.run.handle(Input::Ended { component, attempt, end }, self.now);
    }

    pub(super) fn prepared(&mut self, component: u32, change: Change) {
        self.end(component, 1, PhaseEnd::Prepare(Ok(Prepared::new(change))));
    }

    pub(super) fn applied(&mut self, component: u32) {
        self.end(component, 1, PhaseEnd::Apply(Ok(Applied::new(Change::Create))));
    }

    pub(super) fn ready(&mut self, component: u32) {
        self.end(component, 1, PhaseEnd::Wait(Ok(Outputs::NONE)));
    }

    /// Whatever is looked at afresh now is as it should be.
    pub(super) fn looked_well(&mut self) {
        for component in self.called(Phase::Verify) {
            self.end(component, 1, PhaseEnd::Verify(Ok(())));
        }
    }

    pub(super) fn progress(&mut self, component: u32, text: &str) {
        let (component, cause) = (ComponentId::new(component), Cause::new("t", text));
        self.run.handle(Input::Progress { component, attempt: Attempt::FIRST, cause }, self.now);
    }

    pub(super) fn pass(&mut self, duration: Duration) {
        self.now = self.now.plus(duration);
        self.run.handle_timeout(self.now);
    }

    pub(super) fn failure(&mut self) -> Failure {
        let _ = self.commands();
        let last = self.log.iter().rev().find_map(|record| match &record.event {
            Event::AttemptFailed { failure, .. } => Some((**failure).clone()),
            _ => None,
        });
        last.expect("an attempt failed")
    }

    pub(super) fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.log.iter().filter(|record| wanted(&record.event)).count()
    }
}

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
