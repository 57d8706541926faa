//! What the records say, and which record may follow which: a second, plain reading of the log.

use std::sync::Arc;
use std::time::Duration;

use super::{Check, Invariant, ensure};
use crate::failure::FailureClass;
use crate::ids::ComponentId;
use crate::plan::graph::Graph;
use crate::plan::{FailurePolicy, Until};
use crate::run::{Change, Event, Outcome, Phase, Record, RunOptions, StopMode, StopReason};
use crate::time::Timestamp;

/// How a component ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum End {
    Ready,
    Failed,
    Cancelled,
    Skipped,
}

/// What the records say of one component.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "four facts, any of which may hold")]
pub(in super::super) struct Part {
    pub(in super::super) attempt: u32,
    pub(in super::super) prepared: Option<Change>,
    pub(in super::super) started: bool,
    /// The place of the record that began the attempt under way.
    pub(in super::super) started_seq: u64,
    pub(in super::super) applied: bool,
    /// Whether a process died since it was started.
    pub(in super::super) interrupted: bool,
    /// Whether edges `until: applied` are open; for ever.
    pub(in super::super) counts_as_applied: bool,
    /// When its turn began, in time with a process.
    pub(in super::super) turn_at: Option<Timestamp>,
    /// When its wait began or last told something new, in time with a process.
    pub(in super::super) news_at: Timestamp,
    /// The attempt under way may not begin before.
    pub(in super::super) not_before: Option<Timestamp>,
    pub(in super::super) changed: Option<Change>,
    pub(in super::super) end: Option<End>,
}

/// What the records say of a run.
#[derive(Clone, Debug)]
pub(in super::super) struct Model {
    pub(in super::super) graph: Arc<Graph>,
    pub(in super::super) options: RunOptions,
    parts: Vec<Part>,
    next: u64,
    last_at: Timestamp,
    gap: Duration,
    started_at: Timestamp,
    /// Every reason to stop, in order.
    pub(in super::super) stops: Vec<StopReason>,
    /// A component failed for good, and its policy says that nothing new is started.
    pub(in super::super) drains: bool,
    /// Whether everything is looked at afresh.
    pub(in super::super) looks: bool,
    pub(in super::super) outcome: Option<Outcome>,
}

impl Model {
    pub(in super::super) fn new(graph: Arc<Graph>, options: RunOptions) -> Self {
        let part = Part {
            attempt: 1,
            prepared: None,
            started: false,
            started_seq: 0,
            applied: false,
            interrupted: false,
            counts_as_applied: false,
            turn_at: None,
            news_at: Timestamp::EPOCH,
            not_before: None,
            changed: None,
            end: None,
        };
        let parts = vec![part; graph.len()];
        let (last_at, started_at) = (Timestamp::EPOCH, Timestamp::EPOCH);
        let (gap, stops, drains, outcome) = (Duration::ZERO, Vec::new(), false, None);
        let looks = false;
        Self { graph, options, parts, next: 1, last_at, gap, started_at, stops, drains, looks, outcome }
    }

    #[expect(clippy::indexing_slicing, reason = "one for each component of the graph")]
    pub(in super::super) fn part(&self, id: ComponentId) -> &Part {
        &self.parts[id.index()]
    }

    #[expect(clippy::indexing_slicing, reason = "one for each component of the graph")]
    fn part_mut(&mut self, id: ComponentId) -> &mut Part {
        &mut self.parts[id.index()]
    }

    pub(in super::super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// A point of the clock as a point of the time with a process.
    pub(in super::super) fn active(&self, at: Timestamp) -> Timestamp {
        at.minus(self.gap)
    }

    pub(in super::super) fn run_deadline(&self) -> Timestamp {
        self.started_at.plus(self.gap).plus(self.options.run_timeout())
    }

    pub(in super::super) fn timeout(&self, id: ComponentId) -> Duration {
        self.graph.node(id).timeout().unwrap_or(self.options.component_timeout())
    }

    /// When the component must have come to its end, if it was called now.
    pub(in super::super) fn deadline(&self, id: ComponentId, now: Timestamp) -> Timestamp {
        let turn_at = self.part(id).turn_at.map_or(now, |at| at.plus(self.gap));
        turn_at.plus(self.timeout(id)).min(self.run_deadline())
    }

    pub(in super::super) fn is_stopping(&self) -> bool {
        !self.stops.is_empty() || self.drains
    }

    pub(in super::super) fn gives_up_waits(&self) -> bool {
        let fast = |reason: &StopReason| {
            matches!(reason, StopReason::Asked { mode: StopMode::Now | StopMode::Supersede })
        };
        self.stops.iter().any(fast)
    }

    pub(in super::super) fn is_past_deadline(&self) -> bool {
        self.stops.contains(&StopReason::Deadline)
    }

    pub(in super::super) fn turn_has_come(&self, id: ComponentId) -> bool {
        self.graph.dependencies(id).iter().all(|edge| match edge.until {
            Until::Applied => self.part(edge.component).counts_as_applied,
            Until::Ready => self.part(edge.component).end == Some(End::Ready),
        })
    }

    /// Whether the component is only waited for.
    pub(in super::super) fn is_waiting(&self, id: ComponentId) -> bool {
        let part = self.part(id);
        let unchanged = !part.started && part.prepared == Some(Change::None) && self.turn_has_come(id);
        part.end.is_none() && (part.applied || unchanged)
    }

    /// How many components of its class are between start and end.
    pub(in super::super) fn class_use(&self, class: usize) -> usize {
        let of_class = |id: &ComponentId| self.graph.node(*id).class_index() == Some(class);
        let holds = |id: &ComponentId| self.part(*id).started && self.part(*id).end.is_none();
        self.graph.ids().filter(of_class).filter(holds).count()
    }

    /// Takes over one record: [`Invariant::LegalTransitions`], and [`Invariant::Order`] as the records tell it.
    pub(in super::super) fn fold(&mut self, record: &Record) -> Check {
        let legal = |holds: bool, why: &str| {
            ensure(holds, Invariant::LegalTransitions, || format!("{why}: {record:?}"))
        };
        legal(self.outcome.is_none(), "comes after the end")?;
        legal(record.seq.get() == self.next, "is not in its place")?;
        legal(record.at >= self.last_at, "goes back in time")?;
        let is_start = matches!(record.event, Event::RunStarted { .. });
        legal((self.next == 1) == is_start, "is not the start of the run, or is a second one")?;
        self.next += 1;
        match &record.event {
            Event::RunStarted { run } => {
                self.options = run.options.clone();
                self.started_at = record.at;
            }
            Event::Resumed => {
                self.gap += record.at.since(self.last_at);
                self.forget_findings();
            }
            Event::Stopping { reason } => self.stops.push(*reason),
            Event::Finished { outcome } => {
                legal(self.parts.iter().all(|part| part.end.is_some()), "leaves something unfinished")?;
                self.outcome = Some(*outcome);
            }
            event @ (Event::Prepared { .. }
            | Event::Started { .. }
            | Event::Applied { .. }
            | Event::Waiting { .. }
            | Event::Ready { .. }
            | Event::AttemptFailed { .. }
            | Event::Interrupted { .. }
            | Event::Skipped { .. }
            | Event::Inherited { .. }
            | Event::UndoStarted { .. }
            | Event::Undone { .. }
            | Event::UndoFailed { .. }
            | Event::Kept { .. }) => self.fold_component(event, record, &legal)?,
            Event::Verifying => {
                let all_ready = self.parts.iter().all(|part| part.end == Some(End::Ready));
                legal(all_ready && !self.looks, "comes before everything is ready, or once more")?;
                self.looks = true;
            }
            Event::RollingBack => {}
        }
        self.last_at = record.at;
        self.begin_unchanged(self.active(record.at));
        Ok(())
    }

    /// What was found before a gap allows no start after it.
    fn forget_findings(&mut self) {
        let ids: Vec<ComponentId> = self.graph.ids().collect();
        for id in ids {
            let part = self.part(id);
            if part.end.is_none() && !part.started && !self.is_waiting(id) {
                self.part_mut(id).prepared = None;
            }
        }
    }

    fn fold_component(
        &mut self,
        event: &Event,
        record: &Record,
        legal: &dyn Fn(bool, &str) -> Check,
    ) -> Check {
        let at = self.active(record.at);
        match event {
            Event::Prepared { component: id, prepared } => {
                let part = self.part(*id);
                legal(part.end.is_none() && !part.started && !self.is_waiting(*id), "is late")?;
                self.part_mut(*id).prepared = Some(prepared.change);
            }
            Event::Started { component: id, attempt } => {
                let (part, node) = (self.part(*id), self.graph.node(*id));
                let wanted = part.prepared.is_some_and(|change| change != Change::None);
                legal(part.end.is_none() && !part.started && wanted, "is not to be started")?;
                legal(attempt.get() == part.attempt && node.action().writes(), "is not its attempt")?;
                let turn = self.turn_has_come(*id);
                ensure(turn, Invariant::Order, || format!("before its dependencies: {record:?}"))?;
                let part = self.part_mut(*id);
                (part.started, part.interrupted, part.started_seq) = (true, false, record.seq.get());
                part.turn_at.get_or_insert(at);
            }
            Event::Applied { component: id, attempt, applied } => {
                let part = self.part_mut(*id);
                let fits = part.started && !part.applied && part.end.is_none();
                legal(fits && attempt.get() == part.attempt, "was not started")?;
                (part.applied, part.counts_as_applied, part.news_at) = (true, true, at);
                if !matches!(applied.change, Change::None | Change::Unknown) {
                    part.changed.get_or_insert(applied.change);
                }
            }
            Event::Waiting { component: id, .. } => {
                legal(self.is_waiting(*id), "does not wait")?;
                self.part_mut(*id).news_at = at;
            }
            Event::Ready { component: id, .. } => {
                let joined = self.graph.node(*id).action().is_join() && self.part(*id).end.is_none();
                legal(self.is_waiting(*id) || (joined && self.turn_has_come(*id)), "does not wait")?;
                let part = self.part_mut(*id);
                (part.end, part.counts_as_applied) = (Some(End::Ready), true);
            }
            Event::AttemptFailed { .. } => self.fold_failure(event, legal)?,
            Event::Interrupted { component: id, attempt } => {
                let part = self.part(*id);
                let fits = (part.started && part.end.is_none()) || self.is_waiting(*id);
                legal(fits && attempt.get() == part.attempt, "is not under way")?;
                self.part_mut(*id).interrupted = true;
            }
            Event::Skipped { component: id, .. } => {
                let part = self.part(*id);
                legal(part.end.is_none() && !part.started && !self.is_waiting(*id), "is under way")?;
                self.part_mut(*id).end = Some(End::Skipped);
            }
            Event::RunStarted { .. }
            | Event::Resumed
            | Event::Stopping { .. }
            | Event::Verifying
            | Event::RollingBack
            | Event::Inherited { .. }
            | Event::UndoStarted { .. }
            | Event::Undone { .. }
            | Event::UndoFailed { .. }
            | Event::Kept { .. }
            | Event::Finished { .. } => {}
        }
        Ok(())
    }

    fn fold_failure(&mut self, event: &Event, legal: &dyn Fn(bool, &str) -> Check) -> Check {
        let Event::AttemptFailed { component: id, attempt, phase, failure, retry_at } = event else {
            return Ok(());
        };
        let part = self.part(*id);
        let fits = match phase {
            Phase::Prepare => !part.started && !self.is_waiting(*id),
            Phase::Apply => part.started && !part.applied,
            Phase::Wait => self.is_waiting(*id),
            Phase::Verify => self.looks && part.end == Some(End::Ready),
            Phase::Undo => false,
        };
        let idle = part.end.is_none() || *phase == Phase::Verify;
        legal(fits && idle && attempt.get() == part.attempt, "is not under way")?;
        let asked = !self.stops.is_empty();
        let policy = self.graph.node(*id).on_failure().unwrap_or(self.graph.on_failure());
        let part = self.part_mut(*id);
        if retry_at.is_some() && *phase == Phase::Verify {
            part.attempt += 1;
        } else if retry_at.is_some() {
            part.attempt += 1;
            (part.started, part.applied, part.prepared) = (false, false, None);
            part.not_before = *retry_at;
        } else if failure.class == FailureClass::Cancelled && asked {
            part.end = Some(End::Cancelled);
        } else {
            part.end = Some(End::Failed);
            self.drains |= policy == FailurePolicy::Drain;
        }
        Ok(())
    }

    /// What is unchanged is waited for, and counts as applied, from its turn on.
    fn begin_unchanged(&mut self, at: Timestamp) {
        let graph = Arc::clone(&self.graph);
        for &id in graph.order() {
            let part = self.part(id);
            let begins = part.prepared == Some(Change::None) && !part.started && part.end.is_none();
            let known = part.counts_as_applied && part.turn_at.is_some() && part.not_before.is_none();
            if begins && !known && self.turn_has_come(id) {
                let part = self.part_mut(id);
                let again = part.not_before.take().is_some();
                if part.turn_at.is_none() || again {
                    part.news_at = at;
                }
                part.counts_as_applied = true;
                part.turn_at.get_or_insert(at);
            }
        }
    }
}
