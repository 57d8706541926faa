//! What the records say, and which record may follow which: a second, plain reading of the log.

use std::sync::Arc;
use std::time::Duration;

use super::undo::{Rollback, Undo, UndoEnd};
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
#[expect(clippy::struct_excessive_bools, reason = "facts, any of which may hold")]
pub(in super::super) struct Part {
    pub(in super::super) attempt: u32,
    pub(in super::super) prepared: Option<Change>,
    pub(in super::super) started: bool,
    /// The place of the record that began the attempt under way.
    pub(in super::super) started_seq: u64,
    /// The place of the record that announced it.
    pub(in super::super) announced_seq: Option<u64>,
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
    /// The look at it may not be made again before.
    pub(in super::super) look_not_before: Option<Timestamp>,
    /// Whether the run has written it, or may have.
    pub(in super::super) touched: bool,
    /// Whether a write was begun: from then on its undo token is fixed.
    begun: bool,
    /// Whether something is known that puts it back.
    pub(in super::super) has_token: bool,
    pub(in super::super) undo: Undo,
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
    pub(in super::super) rollback: Rollback,
    pub(in super::super) outcome: Option<Outcome>,
}

impl Model {
    pub(in super::super) fn new(graph: Arc<Graph>, options: RunOptions) -> Self {
        let part = Part {
            attempt: 1,
            prepared: None,
            started: false,
            started_seq: 0,
            announced_seq: None,
            applied: false,
            interrupted: false,
            counts_as_applied: false,
            turn_at: None,
            news_at: Timestamp::EPOCH,
            not_before: None,
            changed: None,
            end: None,
            look_not_before: None,
            touched: false,
            begun: false,
            has_token: false,
            undo: Undo::new(),
        };
        let parts = vec![part; graph.len()];
        let (last_at, started_at) = (Timestamp::EPOCH, Timestamp::EPOCH);
        let (gap, stops, drains, outcome) = (Duration::ZERO, Vec::new(), false, None);
        let (looks, rollback) = (false, Rollback::default());
        Self {
            graph,
            options,
            parts,
            next: 1,
            last_at,
            gap,
            started_at,
            stops,
            drains,
            looks,
            rollback,
            outcome,
        }
    }

    #[expect(clippy::indexing_slicing, reason = "one for each component of the graph")]
    pub(in super::super) fn part(&self, id: ComponentId) -> &Part {
        &self.parts[id.index()]
    }

    #[expect(clippy::indexing_slicing, reason = "one for each component of the graph")]
    pub(super) fn part_mut(&mut self, id: ComponentId) -> &mut Part {
        &mut self.parts[id.index()]
    }

    pub(in super::super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// A point of the clock as a point of the time with a process.
    pub(in super::super) fn active(&self, at: Timestamp) -> Timestamp {
        at.minus(self.gap)
    }

    /// A point of the time with a process as a point of the clock.
    pub(super) fn on_the_clock(&self, active: Timestamp) -> Timestamp {
        active.plus(self.gap)
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
        let fast =
            |reason: &StopReason| matches!(reason, StopReason::Asked { mode } if *mode != StopMode::Drain);
        self.stops.iter().any(fast)
    }

    pub(in super::super) fn is_past_deadline(&self) -> bool {
        // A run of which a rollback is late has been over for long.
        self.stops.contains(&StopReason::Deadline) && !self.rollback.is_late
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
        let holds = |id: &ComponentId| {
            let part = self.part(*id);
            (part.started && part.end.is_none()) || part.undo.is_under_way()
        };
        self.graph.ids().filter(of_class).filter(holds).count()
    }

    /// Takes over one record: [`Invariant::LegalTransitions`], and [`Invariant::Order`] as the records tell it.
    #[expect(clippy::too_many_lines, reason = "one arm an event")]
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
                self.rollback.undoes = run.undoes.is_some();
                if self.rollback.undoes {
                    self.parts.iter_mut().for_each(|part| part.end = Some(End::Skipped));
                }
            }
            Event::Resumed => {
                self.gap += record.at.since(self.last_at);
                self.forget_findings();
            }
            Event::Stopping { reason } => {
                self.stops.push(*reason);
                self.fold_stop(*reason);
            }
            Event::Finished { outcome } => {
                legal(self.parts.iter().all(|part| part.end.is_some()), "leaves something unfinished")?;
                legal(self.is_rolled_back_as_far_as_it_can(), "leaves something that is not undone")?;
                self.outcome = Some(*outcome);
            }
            event @ (Event::Prepared { .. }
            | Event::Announced { .. }
            | Event::Started { .. }
            | Event::Applied { .. }
            | Event::Waiting { .. }
            | Event::Ready { .. }
            | Event::AttemptFailed { .. }
            | Event::Interrupted { .. }
            | Event::Skipped { .. }) => {
                legal(
                    self.rollback.began_at.is_none() || matches!(event, Event::Interrupted { .. }),
                    "comes in a rollback",
                )?;
                self.fold_component(event, record, &legal)?;
            }
            event @ (Event::Inherited { .. }
            | Event::UndoStarted { .. }
            | Event::Undone { .. }
            | Event::UndoFailed { .. }
            | Event::Kept { .. }) => self.fold_undo(event, record, &legal)?,
            Event::Verifying if self.rollback.began_at.is_some() => {
                let undone = self.parts.iter().filter(|part| part.touched);
                let all = undone.clone().all(|part| part.undo.end == Some(UndoEnd::Undone));
                legal(
                    all && undone.count() > 0 && !self.rollback.looks,
                    "comes before everything is undone",
                )?;
                self.rollback.looks = true;
            }
            Event::Verifying => {
                let all_ready = self.parts.iter().all(|part| part.end == Some(End::Ready));
                legal(all_ready && !self.looks, "comes before everything is ready, or once more")?;
                self.looks = true;
            }
            Event::RollingBack => {
                let ended = self.parts.iter().all(|part| part.end.is_some());
                let wanted = self.rollback.wanted || self.rollback.undoes;
                legal(ended && wanted && self.rollback.began_at.is_none(), "is not to be rolled back")?;
                self.rollback.began_at = Some(self.active(record.at));
                self.parts.iter_mut().for_each(|part| part.look_not_before = None);
            }
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
                let part = self.part_mut(id);
                // It may have begun, and its record be lost.
                part.touched |= part.announced_seq.take().is_some();
                part.prepared = None;
                part.has_token &= part.begun;
            }
            // What was looked at before is looked at again, by a process that knows of no pause.
            self.part_mut(id).look_not_before = None;
        }
    }

    #[expect(clippy::too_many_lines, reason = "one arm an event")]
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
                let part = self.part_mut(*id);
                part.prepared = Some(prepared.change);
                if !part.begun {
                    part.has_token = prepared.undo.is_some();
                }
            }
            Event::Announced { component: id } => {
                let (part, node) = (self.part(*id), self.graph.node(*id));
                let told = [Change::Create, Change::Update, Change::Delete];
                let known = part.prepared.is_some_and(|change| told.contains(&change));
                let waits = part.end.is_none() && !part.started && !self.turn_has_come(*id);
                legal(waits && known && node.action().writes(), "is not to be announced")?;
                let part = self.part_mut(*id);
                (part.announced_seq, part.begun) = (Some(record.seq.get()), true);
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
                part.begun = true;
                part.turn_at.get_or_insert(at);
            }
            Event::Applied { component: id, attempt, applied } => {
                let part = self.part_mut(*id);
                let fits = part.started && !part.applied && part.end.is_none();
                legal(fits && attempt.get() == part.attempt, "was not started")?;
                (part.applied, part.counts_as_applied, part.news_at) = (true, true, at);
                part.touched |= applied.change != Change::None;
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
                (part.end, part.counts_as_applied, part.announced_seq) = (Some(End::Ready), true, None);
            }
            Event::AttemptFailed { .. } => self.fold_failure(event, legal)?,
            Event::Interrupted { component: id, attempt } if self.rollback.began_at.is_some() => {
                let undo = &mut self.part_mut(*id).undo;
                legal(undo.is_under_way() && attempt.get() == undo.attempt, "is not under way")?;
                undo.interrupted = true;
            }
            Event::Interrupted { component: id, attempt } => {
                let part = self.part(*id);
                let fits = (part.started && part.end.is_none()) || self.is_waiting(*id);
                legal(fits && attempt.get() == part.attempt, "is not under way")?;
                let part = self.part_mut(*id);
                part.interrupted = true;
                part.touched |= part.started && !part.applied;
            }
            Event::Skipped { component: id, .. } => {
                let part = self.part(*id);
                legal(part.end.is_none() && !part.started && !self.is_waiting(*id), "is under way")?;
                let part = self.part_mut(*id);
                (part.end, part.announced_seq) = (Some(End::Skipped), None);
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
        part.touched |= *phase == Phase::Apply && !failure.left_nothing;
        if *phase == Phase::Apply || retry_at.is_none() {
            part.announced_seq = None;
        }
        if retry_at.is_some() && *phase == Phase::Verify {
            part.attempt += 1;
            part.look_not_before = *retry_at;
        } else if retry_at.is_some() {
            part.attempt += 1;
            (part.started, part.applied, part.prepared) = (false, false, None);
            part.not_before = *retry_at;
        } else if failure.class == FailureClass::Cancelled && asked && *phase != Phase::Verify {
            part.end = Some(End::Cancelled);
        } else {
            part.end = Some(End::Failed);
            self.drains |= policy != FailurePolicy::Continue;
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
