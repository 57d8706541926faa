//! What the records say of a rollback: a second, plain reading, by walks through the graph where the engine counts.

use super::model::Model;
use super::{Check, Invariant, ensure};
use crate::ids::ComponentId;
use crate::plan::{FailurePolicy, UndoRule};
use crate::run::{Event, KeepReason, Phase, Record, StopMode, StopReason};
use crate::time::Timestamp;

/// How a component ended in the rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum UndoEnd {
    Undone,
    Failed,
    Kept,
}

/// What the records say of the undo of one component.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Undo {
    pub(in super::super) attempt: u32,
    pub(in super::super) started: bool,
    /// The place of the record that began the attempt under way.
    pub(in super::super) started_seq: u64,
    pub(in super::super) interrupted: bool,
    /// When its first undo began, in time with a process.
    pub(in super::super) turn_at: Option<Timestamp>,
    pub(in super::super) not_before: Option<Timestamp>,
    pub(in super::super) end: Option<UndoEnd>,
}

/// What the records say of the rollback as a whole.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "facts, any of which may hold")]
pub(in super::super) struct Rollback {
    /// Whether the run is one that undoes another.
    pub(in super::super) undoes: bool,
    /// Whether somebody has asked for the end of the run.
    asked: bool,
    /// Whether the run is to be rolled back.
    pub(in super::super) wanted: bool,
    /// When it began, in time with a process.
    pub(in super::super) began_at: Option<Timestamp>,
    /// Whether it was told to stop: nothing more is undone.
    pub(in super::super) is_stopped: bool,
    /// Whether it was told to stop without a fresh look.
    pub(in super::super) skips_look: bool,
    /// Whether it has reached its deadline.
    pub(in super::super) is_late: bool,
    /// Whether everything is undone and looked at afresh.
    pub(in super::super) looks: bool,
}

impl Undo {
    pub(super) const fn new() -> Self {
        Self {
            attempt: 1,
            started: false,
            started_seq: 0,
            interrupted: false,
            turn_at: None,
            not_before: None,
            end: None,
        }
    }

    pub(in super::super) const fn is_under_way(&self) -> bool {
        self.started && self.end.is_none()
    }
}

impl Model {
    pub(super) fn fold_stop(&mut self, reason: StopReason) {
        let plan = self.graph.on_failure();
        let was_wanted = self.rollback.wanted || self.rollback.undoes;
        match reason {
            StopReason::Failure { component } => {
                let policy = self.graph.node(component).on_failure().unwrap_or(plan);
                self.rollback.wanted |= policy == FailurePolicy::Rollback && !self.rollback.asked;
            }
            StopReason::Deadline if self.rollback.began_at.is_some() => self.rollback.is_late = true,
            StopReason::Deadline => {
                self.rollback.wanted |= plan == FailurePolicy::Rollback && !self.rollback.asked;
            }
            StopReason::Asked { mode } => {
                self.rollback.asked = true;
                if mode == StopMode::Rollback {
                    self.rollback.wanted = true;
                } else if was_wanted {
                    self.rollback.is_stopped = true;
                    self.rollback.skips_look |= mode != StopMode::Drain;
                }
            }
        }
    }

    /// Takes over a record of the rollback.
    #[expect(clippy::too_many_lines, reason = "one arm an event")]
    pub(super) fn fold_undo(
        &mut self,
        event: &Event,
        record: &Record,
        legal: &dyn Fn(bool, &str) -> Check,
    ) -> Check {
        let at = self.active(record.at);
        if let Event::Inherited { component, token, .. } = event {
            legal(self.rollback.undoes && self.rollback.began_at.is_none(), "is not inherited")?;
            let part = self.part_mut(*component);
            (part.touched, part.has_token) = (true, token.is_some());
            return Ok(());
        }
        legal(self.rollback.began_at.is_some(), "comes where nothing is rolled back")?;
        match event {
            Event::UndoStarted { component: id, attempt } => {
                let own = self.part(*id).touched;
                ensure(own, Invariant::UndoOnlyOwn, || format!("the run did not change it: {record:?}"))?;
                let undo = self.part(*id).undo;
                legal(
                    undo.end.is_none() && !undo.started && attempt.get() == undo.attempt,
                    "is not to be undone",
                )?;
                let left = self.dependant_that_is_not_undone(*id);
                ensure(left.is_none(), Invariant::UndoOrder, || format!("before {left:?}: {record:?}"))?;
                let undo = &mut self.part_mut(*id).undo;
                (undo.started, undo.interrupted, undo.started_seq) = (true, false, record.seq.get());
                undo.turn_at.get_or_insert(at);
            }
            Event::Undone { component: id, .. } => {
                legal(self.part(*id).undo.is_under_way(), "is not being undone")?;
                self.part_mut(*id).undo.end = Some(UndoEnd::Undone);
            }
            Event::UndoFailed { component: id, phase: Phase::Verify, retry_at, .. } => {
                let looks = self.rollback.looks && self.part(*id).undo.end == Some(UndoEnd::Undone);
                legal(looks, "is not looked at")?;
                let part = self.part_mut(*id);
                part.look_not_before = *retry_at;
                part.undo.attempt += 1;
                if retry_at.is_none() {
                    part.undo.end = Some(UndoEnd::Failed);
                }
            }
            Event::UndoFailed { component: id, attempt, retry_at, .. } => {
                let undo = self.part(*id).undo;
                let tried = undo.is_under_way() || (undo.turn_at.is_some() && retry_at.is_none());
                legal(tried && undo.end.is_none() && attempt.get() == undo.attempt, "is not under way")?;
                let undo = &mut self.part_mut(*id).undo;
                (undo.started, undo.not_before) = (false, *retry_at);
                match retry_at {
                    Some(_) => undo.attempt += 1,
                    None => undo.end = Some(UndoEnd::Failed),
                }
            }
            Event::Kept { component: id, because } => {
                let undo = self.part(*id).undo;
                legal(self.part(*id).touched && undo.end.is_none() && !undo.started, "is not to be kept")?;
                legal(self.keeps(*id, *because), "is kept without that reason")?;
                self.part_mut(*id).undo.end = Some(UndoEnd::Kept);
            }
            Event::Inherited { .. }
            | Event::RunStarted { .. }
            | Event::Resumed
            | Event::Prepared { .. }
            | Event::Announced { .. }
            | Event::Started { .. }
            | Event::Applied { .. }
            | Event::Waiting { .. }
            | Event::Ready { .. }
            | Event::AttemptFailed { .. }
            | Event::Interrupted { .. }
            | Event::Skipped { .. }
            | Event::Stopping { .. }
            | Event::Verifying
            | Event::RollingBack
            | Event::Finished { .. } => {}
        }
        Ok(())
    }

    fn keeps(&self, id: ComponentId, because: KeepReason) -> bool {
        match because {
            KeepReason::Rule => self.graph.node(id).undo() == UndoRule::Never,
            KeepReason::NoToken => !self.part(id).has_token,
            KeepReason::Dependant { component } => {
                let left = matches!(self.part(component).undo.end, Some(UndoEnd::Failed | UndoEnd::Kept));
                left && self.dependants_of(id).contains(&component)
            }
            KeepReason::Stopping => self.rollback.is_stopped,
            KeepReason::Deadline => self.rollback.is_late,
        }
    }

    /// Everything that depends on it, directly or over others.
    fn dependants_of(&self, id: ComponentId) -> Vec<ComponentId> {
        let (mut found, mut next) = (vec![id], 0);
        while let Some(&id) = found.get(next) {
            next += 1;
            for edge in self.graph.dependants(id) {
                if !found.contains(&edge.component) {
                    found.push(edge.component);
                }
            }
        }
        found.remove(0);
        found
    }

    /// What the run changed, depends on this and is not undone.
    pub(super) fn dependant_that_is_not_undone(&self, id: ComponentId) -> Option<ComponentId> {
        let left = |id: &ComponentId| {
            let part = self.part(*id);
            part.touched && part.undo.end != Some(UndoEnd::Undone)
        };
        self.dependants_of(id).into_iter().find(left)
    }

    /// Whether nothing is left that could still be undone.
    pub(super) fn is_rolled_back_as_far_as_it_can(&self) -> bool {
        let ended = self.parts().iter().all(|part| !part.touched || part.undo.end.is_some());
        match self.rollback.began_at {
            Some(_) => ended,
            // A run that undoes another and lost its beginning does nothing, and says that it failed.
            None => !self.rollback.wanted,
        }
    }

    /// What the run changed and did not put back.
    pub(in super::super) fn left_to_undo(&self) -> Vec<ComponentId> {
        let left =
            |id: &ComponentId| self.part(*id).touched && self.part(*id).undo.end != Some(UndoEnd::Undone);
        self.graph.ids().filter(left).collect()
    }

    /// When the rollback must have come to its end; without one, when the run must.
    pub(in super::super) fn end_of_run(&self) -> Timestamp {
        match self.rollback.began_at {
            Some(at) => self.on_the_clock(at).plus(self.options.run_timeout()),
            None => self.run_deadline(),
        }
    }

    /// When the undo of this component must have come to its end, if it was called now.
    pub(in super::super) fn undo_deadline(&self, id: ComponentId, now: Timestamp) -> Timestamp {
        let turn_at = self.part(id).undo.turn_at.map_or(now, |at| self.on_the_clock(at));
        turn_at.plus(self.timeout(id)).min(self.end_of_run())
    }

    /// When a fresh look at this component must have come to its end, if it was called now.
    pub(in super::super) fn look_deadline(&self, id: ComponentId, now: Timestamp) -> Timestamp {
        now.plus(self.timeout(id)).min(self.end_of_run())
    }

    /// Whether everything is looked at afresh, and still wants to be.
    pub(in super::super) fn is_looking(&self) -> bool {
        if self.rollback.began_at.is_some() {
            return self.rollback.looks && !self.rollback.skips_look && !self.rollback.is_late;
        }
        let failed = self.stops.iter().any(|reason| matches!(reason, StopReason::Failure { .. }));
        self.looks && !self.gives_up_waits() && !self.is_past_deadline() && !self.rollback.wanted && !failed
    }
}
