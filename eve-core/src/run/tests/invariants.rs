//! What must hold for every prefix of every log, checked record by record, without the engine's own state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ids::{Attempt, ComponentId, Seq};
use crate::plan::graph::Graph;
use crate::plan::{Action, FailurePolicy, Until};
use crate::run::{Change, Command, Event, Outcome, Phase, PhaseEnd, Record, RunOptions};
use crate::time::Timestamp;

pub(super) struct Invariants {
    graph: Arc<Graph>,
    next: Seq,
    at: Timestamp,
    unchanged: BTreeSet<ComponentId>,
    applied: BTreeSet<ComponentId>,
    ready: BTreeSet<ComponentId>,
    over: BTreeSet<ComponentId>,
    started: BTreeMap<ComponentId, Attempt>,
    failed_attempts: BTreeMap<ComponentId, u32>,
    calls: BTreeMap<ComponentId, (Attempt, Phase)>,
    stopping: bool,
    finished: bool,
    /// Whether records are decided by a process that is watched, and not those of an earlier one.
    pub(super) is_live: bool,
    undoing: Undoing,
}

/// What the records say about the rollback.
#[derive(Default)]
struct Undoing {
    begun: bool,
    /// What a write was begun of whose end did not say that it changed nothing.
    touched: BTreeSet<ComponentId>,
    /// What a write has ended of without saying so.
    written: BTreeSet<ComponentId>,
    started: BTreeMap<ComponentId, Attempt>,
    failed: BTreeMap<ComponentId, u32>,
    undone: BTreeSet<ComponentId>,
    /// What is not undone, for good.
    left: BTreeSet<ComponentId>,
    /// What this process has looked at afresh, and found well.
    looked_at: BTreeSet<ComponentId>,
    look_failed: BTreeSet<ComponentId>,
}

impl Invariants {
    pub(super) fn new(graph: Arc<Graph>) -> Self {
        Self {
            graph,
            next: Seq::FIRST,
            at: Timestamp::EPOCH,
            unchanged: BTreeSet::new(),
            applied: BTreeSet::new(),
            ready: BTreeSet::new(),
            over: BTreeSet::new(),
            started: BTreeMap::new(),
            failed_attempts: BTreeMap::new(),
            calls: BTreeMap::new(),
            stopping: false,
            finished: false,
            is_live: false,
            undoing: Undoing::default(),
        }
    }

    fn is_met(&self, component: ComponentId, until: Until) -> bool {
        match until {
            Until::Ready => self.ready.contains(&component),
            Until::Applied => self.applied.contains(&component) || self.ready.contains(&component),
        }
    }

    fn turn_has_come(&self, component: ComponentId) -> bool {
        self.graph.dependencies(component).iter().all(|edge| self.is_met(edge.component, edge.until))
    }

    pub(super) fn record(&mut self, record: &Record) {
        assert!(!self.finished, "the end of the run is its last record: {record:?}");
        assert_eq!(record.seq, self.next, "records are numbered without gaps");
        assert!(record.at >= self.at, "time does not go back");
        assert_eq!(record.seq == Seq::FIRST, matches!(record.event, Event::RunStarted { .. }));
        self.next = self.next.next();
        self.at = record.at;
        self.track_touch(&record.event);
        match &record.event {
            Event::Prepared { component, prepared } => {
                self.is_not_over(*component);
                match prepared.change {
                    Change::None => self.unchanged.insert(*component),
                    _ => self.unchanged.remove(component),
                };
            }
            Event::Started { component, attempt } => {
                self.is_not_over(*component);
                assert!(!self.stopping, "nothing starts once the run is stopping: {record:?}");
                assert!(self.turn_has_come(*component), "dependencies come before dependants: {record:?}");
                assert!(!self.unchanged.contains(component), "what is unchanged is not written: {record:?}");
                let action = self.graph.node(*component).action();
                assert!(
                    matches!(action, Action::Apply | Action::Delete),
                    "what is only read is never written: {record:?}"
                );
                let failed = self.failed_attempts.get(component).copied().unwrap_or(0);
                assert_eq!(attempt.get(), failed + 1, "attempts count up by one: {record:?}");
                let before = self.started.insert(*component, *attempt);
                assert_ne!(before, Some(*attempt), "an attempt starts once: {record:?}");
                self.class_limit_holds();
            }
            Event::Applied { component, attempt, .. } => {
                self.is_not_over(*component);
                assert_eq!(self.started.get(component), Some(attempt), "what is applied was started");
                self.applied.insert(*component);
            }
            Event::Interrupted { .. } if self.undoing.begun => {}
            Event::Waiting { component, .. } | Event::Interrupted { component, .. } => {
                self.is_not_over(*component);
            }
            Event::Ready { component, .. } => {
                let is_join = self.graph.node(*component).action() == Action::None;
                let got_there = self.applied.contains(component) || self.unchanged.contains(component);
                assert!(got_there || is_join, "what is ready was applied or unchanged: {record:?}");
                assert!(self.turn_has_come(*component), "dependencies come before dependants: {record:?}");
                self.ready.insert(*component);
                self.is_over_now(*component);
            }
            Event::AttemptFailed { .. } => self.record_failure(record),
            Event::Skipped { component, .. } => self.is_over_now(*component),
            Event::Stopping { .. } => self.stopping = true,
            Event::Finished { outcome } => {
                assert_eq!(self.over.len(), self.graph.len(), "every component has come to its end");
                self.outcome_is_true(*outcome);
                self.finished = true;
            }
            Event::RunStarted { .. } | Event::Resumed | Event::Inherited { .. } => {}
            Event::Verifying
            | Event::RollingBack
            | Event::UndoStarted { .. }
            | Event::Undone { .. }
            | Event::UndoFailed { .. }
            | Event::Kept { .. } => self.record_undoing(record),
        }
        self.count_unchanged_as_applied();
    }

    fn record_failure(&mut self, record: &Record) {
        let Event::AttemptFailed { component, attempt, phase, retry_at, .. } = &record.event else { return };
        if *phase == Phase::Verify {
            assert!(self.ready.contains(component), "only what is ready is looked at: {record:?}");
            let first = retry_at.is_some() || self.undoing.look_failed.insert(*component);
            assert!(first, "a look fails for good once: {record:?}");
            return;
        }
        self.is_not_over(*component);
        let failed = self.failed_attempts.entry(*component).or_default();
        *failed += 1;
        assert_eq!(attempt.get(), *failed, "attempts count up by one: {record:?}");
        assert!(!self.stopping || retry_at.is_none(), "nothing is tried again while stopping");
        self.unchanged.remove(component);
        if retry_at.is_none() {
            self.is_over_now(*component);
            let policy = self.graph.node(*component).on_failure().unwrap_or(self.graph.on_failure());
            self.stopping |= policy != FailurePolicy::Continue;
        }
    }

    fn track_touch(&mut self, event: &Event) {
        match event {
            Event::Started { component, .. } => {
                self.undoing.touched.insert(*component);
            }
            Event::Applied { component, applied, .. } if applied.change != Change::None => {
                self.undoing.written.insert(*component);
            }
            Event::Applied { component, .. } if !self.undoing.written.contains(component) => {
                self.undoing.touched.remove(component);
            }
            Event::AttemptFailed { component, phase: Phase::Apply, .. } => {
                self.undoing.written.insert(*component);
            }
            _ => {}
        }
    }

    fn record_undoing(&mut self, record: &Record) {
        match &record.event {
            Event::Verifying => self.undoing.looked_at.clear(),
            Event::RollingBack => {
                assert_eq!(
                    self.over.len(),
                    self.graph.len(),
                    "nothing is in flight when the rollback begins"
                );
                assert!(!std::mem::replace(&mut self.undoing.begun, true), "a rollback begins once");
            }
            Event::UndoStarted { component, attempt } => {
                let undoing = &mut self.undoing;
                assert!(undoing.touched.contains(component), "only what was changed is undone: {record:?}");
                let failed = undoing.failed.get(component).copied().unwrap_or(0);
                assert_eq!(attempt.get(), failed + 1, "attempts to undo count up by one: {record:?}");
                assert_ne!(
                    undoing.started.insert(*component, *attempt),
                    Some(*attempt),
                    "an attempt starts once"
                );
                for dependant in self.dependants_of(*component) {
                    let undone = self.undoing.undone.contains(&dependant);
                    let touched = self.undoing.touched.contains(&dependant);
                    assert!(undone || !touched, "dependants are undone before: {dependant:?}, {record:?}");
                }
            }
            Event::Undone { component, .. } => {
                assert!(self.undoing.started.contains_key(component), "what is undone was started");
                assert!(self.undoing.undone.insert(*component), "a component is undone once: {record:?}");
            }
            Event::UndoFailed { component, phase, retry_at, .. } => {
                if *phase == Phase::Undo {
                    *self.undoing.failed.entry(*component).or_default() += 1;
                }
                if retry_at.is_none() {
                    self.undoing.undone.remove(component);
                    assert!(self.undoing.left.insert(*component), "an undo fails for good once: {record:?}");
                }
            }
            Event::Kept { component, .. } => {
                assert!(
                    self.undoing.touched.contains(component),
                    "only what was changed is kept: {record:?}"
                );
                assert!(self.undoing.left.insert(*component), "a component is kept once: {record:?}");
            }
            _ => {}
        }
    }

    /// Everything that depends on it, directly or over others.
    fn dependants_of(&self, component: ComponentId) -> BTreeSet<ComponentId> {
        let (mut found, mut left) = (BTreeSet::new(), vec![component]);
        while let Some(id) = left.pop() {
            left.extend(
                self.graph.dependants(id).iter().map(|edge| edge.component).filter(|id| found.insert(*id)),
            );
        }
        found
    }

    fn outcome_is_true(&self, outcome: Outcome) {
        let Undoing { begun, touched, undone, left, looked_at, .. } = &self.undoing;
        let was_undone = outcome == Outcome::RolledBack || outcome == Outcome::RollbackFailed;
        assert_eq!(*begun, was_undone, "an outcome of a rollback has one: {outcome:?}");
        if *begun {
            let ended: BTreeSet<ComponentId> = undone.union(left).copied().collect();
            assert_eq!(ended, *touched, "whatever was changed is undone, or it is said that it is not");
        }
        if outcome == Outcome::RolledBack {
            assert_eq!(undone, touched, "everything that was changed is undone");
        }
        if self.is_live && outcome == Outcome::RolledBack {
            assert!(undone.is_subset(looked_at), "everything that was undone was looked at afresh");
        }
        if self.is_live && outcome == Outcome::Succeeded {
            let works = |id: &ComponentId| !self.graph.node(*id).action().is_join();
            assert!(self.graph.ids().filter(works).all(|id| looked_at.contains(&id)), "all was looked at");
        }
    }

    /// What is unchanged counts as applied from its turn on, and for ever.
    fn count_unchanged_as_applied(&mut self) {
        loop {
            let new = |id: &&ComponentId| !self.applied.contains(*id) && self.turn_has_come(**id);
            let Some(&found) = self.unchanged.iter().find(new) else { return };
            self.applied.insert(found);
        }
    }

    fn is_not_over(&self, component: ComponentId) {
        assert!(!self.over.contains(&component), "the end of a component is final");
    }

    fn is_over_now(&mut self, component: ComponentId) {
        assert!(self.over.insert(component), "a component comes to its end once");
    }

    fn class_limit_holds(&self) {
        for (class, limit) in self.graph.classes().iter().enumerate() {
            let of_class = |id: &&ComponentId| self.graph.node(**id).class_index() == Some(class);
            let running = |id: &&ComponentId| {
                let attempt = self.started.get(*id).map_or(0, |attempt| attempt.get());
                !self.over.contains(*id) && attempt > self.failed_attempts.get(*id).copied().unwrap_or(0)
            };
            let used = self.started.keys().filter(of_class).filter(running).count();
            assert!(used <= limit.limit as usize, "a class keeps its limit");
        }
    }

    pub(super) fn command(&mut self, command: &Command, options: &RunOptions) {
        match *command {
            Command::Call { component, attempt, phase, .. } => {
                let before = self.calls.insert(component, (attempt, phase));
                assert_eq!(before, None, "calls for one component never overlap");
                if phase == Phase::Apply {
                    assert_eq!(
                        self.started.get(&component),
                        Some(&attempt),
                        "a write is recorded before it begins"
                    );
                }
                match phase {
                    Phase::Undo => {
                        let started = self.undoing.started.get(&component);
                        assert_eq!(started, Some(&attempt), "an undo is recorded before it begins");
                        assert!(
                            !self.undoing.undone.contains(&component),
                            "what is undone is not undone again"
                        );
                    }
                    Phase::Verify if self.undoing.begun => {
                        assert!(self.undoing.undone.contains(&component), "only what is undone is looked at");
                    }
                    Phase::Verify => {
                        assert!(self.ready.contains(&component), "only what is ready is looked at");
                    }
                    Phase::Apply if self.stopping => {}
                    Phase::Prepare | Phase::Apply | Phase::Wait => {
                        assert!(!self.over.contains(&component), "what is over is not called");
                    }
                }
                if matches!(phase, Phase::Prepare | Phase::Apply | Phase::Wait) {
                    assert!(!self.undoing.begun, "nothing goes forward while the run is rolled back");
                }
                let in_flight = |wanted: fn(Phase) -> bool| {
                    self.calls.values().filter(|(_, phase)| wanted(*phase)).count()
                };
                assert!(
                    in_flight(|phase| phase != Phase::Wait) <= options.api_limit() as usize,
                    "API budget"
                );
                assert!(
                    in_flight(|phase| phase == Phase::Wait) <= options.wait_limit() as usize,
                    "wait budget"
                );
            }
            Command::Abort { component, .. } => {
                assert!(self.calls.remove(&component).is_some(), "only what was called is aborted");
            }
        }
    }

    pub(super) fn ended(&mut self, component: ComponentId, attempt: Attempt, end: &PhaseEnd) {
        if self.calls.get(&component) == Some(&(attempt, end.phase())) {
            self.calls.remove(&component);
            if *end == PhaseEnd::Verify(Ok(())) {
                self.undoing.looked_at.insert(component);
            }
        }
    }

    pub(super) fn end(&self) {
        assert!(self.finished, "the log ends with the end of the run");
        assert!(self.calls.is_empty(), "nothing is in flight at the end: {:?}", self.calls);
    }
}
