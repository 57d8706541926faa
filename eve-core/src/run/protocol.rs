//! The words that a [`Run`](super::Run) and its driver speak: facts in, wishes out, history.
//!
//! Plain data only. `Input` and `Command` are exhaustive on purpose: a new one is a breaking change for whoever
//! drives a run. `Event` is what is stored, so it grows but never changes its meaning.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::{Cause, Failure};
use crate::ids::{Attempt, ComponentId, RunId, Seq};
use crate::run::options::RunOptions;
use crate::time::Timestamp;

/// The parts that the work on a component is split into, so that each can be budgeted, journalled and resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Reads only: what would change.
    Prepare,
    /// The only forward writer: one idempotent sequence that may be entered again.
    Apply,
    /// Reads only, until the component has come as far as it was asked to.
    Wait,
    /// Reads only, afresh: is it still so? Before a run is said to have succeeded or to be rolled back.
    Verify,
    /// Puts back what was before the run, and reads back.
    Undo,
}

impl Phase {
    /// Whether a call of it may change the world: then its record is durable before it is called, and it is never dropped but
    /// with the process.
    pub const fn writes(self) -> bool {
        match self {
            Self::Apply | Self::Undo => true,
            Self::Prepare | Self::Wait | Self::Verify => false,
        }
    }
}

/// A wish: what the driver is to do next. Derived from the state, never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Call this phase of the component's executor, and report its end as [`Input::Ended`].
    Call {
        /// The component to work on.
        component: ComponentId,
        /// The attempt that the call belongs to; to be given back with its end. Those of an undo are counted from 1
        /// anew; those of a look at what is undone are beyond all attempts of the component.
        attempt: Attempt,
        /// The phase to call.
        phase: Phase,
        /// When the engine stops waiting for the end of this call.
        deadline: Timestamp,
    },
    /// The result of this call is no longer wanted. A `Prepare`, `Wait` or `Verify` may be dropped; an `Apply` or `Undo`
    /// must be let run.
    Abort {
        /// The component whose call is meant.
        component: ComponentId,
        /// The attempt that the call belongs to.
        attempt: Attempt,
    },
}

/// A fact: what has happened. Late, duplicate and unknown inputs are harmless.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A phase that was called has ended.
    Ended {
        /// The component of the call.
        component: ComponentId,
        /// The attempt of the call.
        attempt: Attempt,
        /// What the phase says.
        end: PhaseEnd,
    },
    /// A wait or an undo tells what it waits for now.
    Progress {
        /// The component of the call.
        component: ComponentId,
        /// The attempt of the call.
        attempt: Attempt,
        /// What it waits for.
        cause: Cause,
    },
    /// Somebody wants the run to end.
    Stop {
        /// How fast, and why.
        mode: StopMode,
    },
}

/// How a phase ended, in the phase's own type.
#[derive(Clone, Debug, PartialEq)]
pub enum PhaseEnd {
    /// The end of [`Phase::Prepare`].
    Prepare(Result<Prepared, Failure>),
    /// The end of [`Phase::Apply`].
    Apply(Result<Applied, Failure>),
    /// The end of [`Phase::Wait`].
    Wait(Result<Outputs, Failure>),
    /// The end of [`Phase::Verify`].
    Verify(Result<(), Failure>),
    /// The end of [`Phase::Undo`].
    Undo(Result<UndoReport, Failure>),
}

impl PhaseEnd {
    /// The phase that ended.
    pub const fn phase(&self) -> Phase {
        match self {
            Self::Prepare(_) => Phase::Prepare,
            Self::Apply(_) => Phase::Apply,
            Self::Wait(_) => Phase::Wait,
            Self::Verify(_) => Phase::Verify,
            Self::Undo(_) => Phase::Undo,
        }
    }

    /// Why the phase failed, if it did.
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Prepare(Err(failure))
            | Self::Apply(Err(failure))
            | Self::Wait(Err(failure))
            | Self::Verify(Err(failure))
            | Self::Undo(Err(failure)) => Some(failure),
            Self::Prepare(Ok(_))
            | Self::Apply(Ok(_))
            | Self::Wait(Ok(_))
            | Self::Verify(Ok(()))
            | Self::Undo(Ok(_)) => None,
        }
    }

    /// The same with every text for people as `change` makes it.
    #[cfg(feature = "driver")]
    pub(crate) fn map_texts(self, change: impl Fn(String) -> String) -> Self {
        let of = |failure: Failure| failure.map_texts(&change);
        match self {
            Self::Prepare(end) => Self::Prepare(end.map_err(of)),
            Self::Apply(end) => Self::Apply(end.map_err(of)),
            Self::Wait(end) => Self::Wait(end.map_err(of)),
            Self::Verify(end) => Self::Verify(end.map_err(of)),
            Self::Undo(Err(failure)) => Self::Undo(Err(of(failure))),
            Self::Undo(Ok(report)) => {
                let notes = report.notes.into_iter().map(&change).collect();
                Self::Undo(Ok(UndoReport { notes, ..report }))
            }
        }
    }

    /// The failed end of a phase.
    pub const fn failed(phase: Phase, failure: Failure) -> Self {
        match phase {
            Phase::Prepare => Self::Prepare(Err(failure)),
            Phase::Apply => Self::Apply(Err(failure)),
            Phase::Wait => Self::Wait(Err(failure)),
            Phase::Verify => Self::Verify(Err(failure)),
            Phase::Undo => Self::Undo(Err(failure)),
        }
    }

    /// The end of a phase whose executor panicked.
    pub fn panicked(phase: Phase) -> Self {
        let failure = Failure::permanent("run.executor-panicked", "the executor panicked")
            .with_hint("this is a bug of the executor; its message is on the standard error output");
        Self::failed(phase, failure)
    }
}

/// How a run is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StopMode {
    /// Start nothing new; what runs comes to its end, waits included.
    Drain,
    /// Start nothing new, finish the writes in flight, give up waits.
    Now,
    /// As [`StopMode::Now`], because a newer plan takes over.
    Supersede,
    /// As [`StopMode::Now`], and then what the run changed is undone. As [`StopMode::Now`] alone where the plan has the
    /// policy `rollback` nowhere: nothing was kept to put back.
    Rollback,
}

/// What applying a component would change, or did change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// Nothing.
    None,
    /// Something that did not exist.
    Create,
    /// Something that exists, in place.
    Update,
    /// Something that exists, by removing it first.
    Replace,
    /// Something is removed.
    Delete,
    /// Cannot be told; it is prepared again when the component is runnable, and then applied in any case.
    Unknown,
}

/// What `prepare` found. Plain data without secrets; all of it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prepared {
    /// What applying would change. With [`Change::None`], `apply` is not called.
    pub change: Change,
    /// The digest of what is wanted, as the executor defines it; at most [`TOKEN_BYTES_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<Box<str>>,
    /// The executor's own notes for `apply`; at most [`TOKEN_BYTES_MAX`] as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Box<Value>>,
    /// What would put it back. The last one before the first write of the component holds; later ones are dropped, so
    /// that no retry takes its own half-done write for what was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<UndoToken>,
}

impl Prepared {
    /// A finding without digest and tokens.
    pub const fn new(change: Change) -> Self {
        Self { change, desired: None, token: None, undo: None }
    }
}

impl Prepared {
    /// Whether it says the same, but for the undo token.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.change == other.change && self.desired == other.desired && self.token == other.token
    }
}

/// What an executor needs to put a component back as it was before the run. Plain data without secrets, at most
/// [`TOKEN_BYTES_MAX`] as JSON; all of it is stored, and it alone must do: the sources of the plan may be gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UndoToken(pub Box<Value>);

impl UndoToken {
    /// A token that holds this.
    pub fn new(value: impl Into<Value>) -> Self {
        Self(Box::new(value.into()))
    }

    /// What it holds.
    pub fn value(&self) -> &Value {
        &self.0
    }
}

/// What an undo did. Plain data without secrets; all of it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UndoReport {
    /// What the undo changed: [`Change::Delete`] where it removed what the run had created, [`Change::Create`] where it
    /// made again what the run had deleted, [`Change::None`] where it was as before already.
    pub change: Change,
    /// Further lines for people, bounded as those of a [`Failure`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl UndoReport {
    /// A report without notes.
    pub const fn new(change: Change) -> Self {
        Self { change, notes: Vec::new() }
    }

    /// The same within the bounds of its notes.
    pub(super) fn bounded(self) -> Self {
        let bounds = Failure { notes: self.notes, ..Failure::permanent("", "") }.bounded();
        Self { change: self.change, notes: bounds.notes }
    }
}

/// What `apply` did. Plain data without secrets; all of it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// What was changed in fact; [`Change::Unknown`] when the executor cannot tell.
    pub change: Change,
    /// The executor's own notes for `wait`, for example the generation that it wrote; at most [`TOKEN_BYTES_MAX`] as
    /// JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Box<Value>>,
}

impl Applied {
    /// A result without token.
    pub const fn new(change: Change) -> Self {
        Self { change, token: None }
    }
}

/// The most bytes of a token of [`Prepared`] or [`Applied`], or of an [`UndoToken`], written as JSON. A call that returns more has failed.
pub const TOKEN_BYTES_MAX: usize = 1024;

/// The most bytes of the outputs of a component, written as JSON. A call that returns more has failed.
pub const OUTPUTS_BYTES_MAX: usize = 16 * 1024;

/// The deepest that arrays and objects may lie in each other in a token or an output; what a JSON reader takes without
/// overflowing its stack, with room for what is around it. A call that returns deeper ones has failed.
pub const VALUE_DEPTH_MAX: usize = 64;

/// What a component publishes once it is ready: name to value, ordered by name. Holds no secret. At most
/// [`OUTPUTS_BYTES_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
#[expect(clippy::box_collection, reason = "most components publish nothing: 8 bytes for each instead of 24")]
pub struct Outputs(Option<Box<BTreeMap<String, Value>>>);

impl Outputs {
    /// Nothing published.
    pub const NONE: Self = Self(None);

    /// The same with one more value.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.get_or_insert_default().insert(name.into(), value.into());
        self
    }

    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.as_ref()?.get(name)
    }

    /// All values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().flat_map(|map| map.iter().map(|(name, value)| (name.as_str(), value)))
    }

    /// Whether nothing is published.
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|map| map.is_empty())
    }
}

/// History: what has been decided or found. The state of a run is a function of its events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "type")]
#[non_exhaustive]
pub enum Event {
    /// The run exists. Always the first event, once.
    RunStarted {
        /// Which run, of which plan, with which options.
        run: Box<RunStart>,
    },
    /// A process took the run over; the time since the record before counts against no deadline.
    Resumed,
    /// It is known what applying the component would change.
    Prepared {
        /// The component.
        component: ComponentId,
        /// What `prepare` found.
        prepared: Prepared,
    },
    /// The next attempt to write may begin without waiting for its own record: this one is durable before `apply` is called.
    /// A process that takes the run over takes the write for one that may have arrived.
    Announced {
        /// The component.
        component: ComponentId,
    },
    /// An attempt to write begins. Durable before `apply` is called, but for the first after [`Event::Announced`].
    Started {
        /// The component.
        component: ComponentId,
        /// The attempt.
        attempt: Attempt,
    },
    /// The writes of the component were accepted.
    Applied {
        /// The component.
        component: ComponentId,
        /// The attempt.
        attempt: Attempt,
        /// What `apply` did.
        applied: Applied,
    },
    /// The component waits, for this. Stored when the cause changes.
    Waiting {
        /// The component.
        component: ComponentId,
        /// What it waits for.
        cause: Box<Cause>,
    },
    /// The component has come as far as it was asked to. Final for the component.
    Ready {
        /// The component.
        component: ComponentId,
        /// What it publishes.
        outputs: Outputs,
    },
    /// An attempt failed; tried again at `retry_at`, or final for the component when that is `None`.
    AttemptFailed {
        /// The component.
        component: ComponentId,
        /// The attempt.
        attempt: Attempt,
        /// The phase that failed.
        phase: Phase,
        /// Why.
        failure: Box<Failure>,
        /// When the next attempt may begin.
        retry_at: Option<Timestamp>,
    },
    /// The process died while this attempt ran. It goes on under the same number.
    Interrupted {
        /// The component.
        component: ComponentId,
        /// The attempt.
        attempt: Attempt,
    },
    /// The component will not be started in this run. Final for the component.
    Skipped {
        /// The component.
        component: ComponentId,
        /// Why.
        because: SkipReason,
    },
    /// From here on nothing new is started.
    Stopping {
        /// Why.
        reason: StopReason,
    },
    /// Every component is ready, or undone: from here on each is looked at afresh. Once for each of the two.
    Verifying,
    /// Nothing is in flight any more: from here on what the run changed is undone, in reverse order of the edges. Once.
    RollingBack,
    /// In a run that undoes another: that one changed this component, and this puts it back. Before
    /// [`Event::RollingBack`].
    Inherited {
        /// The component.
        component: ComponentId,
        /// What puts it back, if anything was kept.
        token: Option<UndoToken>,
        /// What the last `apply` of the other run did, if its end is known.
        applied: Option<Applied>,
    },
    /// An attempt to undo begins. Durable before `undo` is called.
    UndoStarted {
        /// The component.
        component: ComponentId,
        /// The attempt, counted anew from 1.
        attempt: Attempt,
    },
    /// The component is as it was before the run.
    Undone {
        /// The component.
        component: ComponentId,
        /// What the undo did.
        report: Box<UndoReport>,
    },
    /// An attempt to undo failed, or the fresh look afterwards; tried again at `retry_at`, or final for the component when
    /// that is `None`.
    UndoFailed {
        /// The component.
        component: ComponentId,
        /// The attempt of the call that failed.
        attempt: Attempt,
        /// [`Phase::Undo`] or [`Phase::Verify`].
        phase: Phase,
        /// Why.
        failure: Box<Failure>,
        /// When it may be tried again.
        retry_at: Option<Timestamp>,
    },
    /// What the run changed of this component is not undone. Final for the component.
    Kept {
        /// The component.
        component: ComponentId,
        /// Why.
        because: KeepReason,
    },
    /// The run is over. Always the last event, once.
    Finished {
        /// How it ended.
        outcome: Outcome,
    },
}

/// What is stored about a run when it begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunStart {
    /// Which run.
    pub id: RunId,
    /// The name of the plan.
    pub plan: String,
    /// The namespace of the plan.
    pub namespace: String,
    /// How many components the graph has, joins included.
    pub components: u32,
    /// The options of the run; they hold for every later resume.
    pub options: RunOptions,
    /// The run that this one undoes, if that is what it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<RunId>,
}

impl RunStart {
    /// What is stored about a run, from all its records; `None` where it has none yet.
    pub fn of(records: &[Record]) -> Option<&Self> {
        let Event::RunStarted { run } = &records.first()?.event else { return None };
        Some(run)
    }
}

/// Why a component was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "type")]
#[non_exhaustive]
pub enum SkipReason {
    /// It depends, directly or over others, on this component, which failed.
    Dependency {
        /// The failed component.
        component: ComponentId,
    },
    /// The run was stopping before its turn came.
    Stopping,
}

/// Why a component that the run changed is left as it is by the rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "type")]
#[non_exhaustive]
pub enum KeepReason {
    /// The plan says `undo: never`, or its kind is never undone.
    Rule,
    /// This component, which depends on it, directly or over others, was changed and is not undone.
    Dependant {
        /// The component that is not undone: its undo failed, or it is kept for a reason of its own.
        component: ComponentId,
    },
    /// Nothing was kept that could put it back: its kind cannot be undone.
    NoToken,
    /// The rollback was told to stop before its turn came.
    Stopping,
    /// The rollback reached its deadline before its turn came.
    Deadline,
}

impl KeepReason {
    /// The reason in words, with the names that `name` gives to components.
    pub fn told(self, name: impl FnOnce(ComponentId) -> String) -> String {
        match self {
            Self::Rule => {
                "it cannot be undone: the plan says `undo: never`, or it is a call that was made".to_owned()
            }
            Self::Dependant { component } => format!("{} depends on it and is not put back", name(component)),
            Self::NoToken => "nothing was kept that could put it back".to_owned(),
            Self::Stopping => "the rollback was told to stop before its turn".to_owned(),
            Self::Deadline => "the rollback ran out of time before its turn".to_owned(),
        }
    }
}

/// Why a run stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "type")]
#[non_exhaustive]
pub enum StopReason {
    /// This component failed under [`FailurePolicy::Drain`](crate::plan::FailurePolicy::Drain) or
    /// [`FailurePolicy::Rollback`](crate::plan::FailurePolicy::Rollback).
    Failure {
        /// The failed component.
        component: ComponentId,
    },
    /// Somebody asked.
    Asked {
        /// How.
        mode: StopMode,
    },
    /// The run, or its rollback, reached its deadline; waits are given up.
    Deadline,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// Every component is ready, and was found so by a fresh look.
    Succeeded,
    /// At least one component failed, or the run reached its deadline; nothing was undone.
    Failed,
    /// Stopped on request, and nothing failed.
    Cancelled,
    /// Stopped in favour of a newer plan, and nothing failed.
    Superseded,
    /// Everything that the run changed is as it was before, and was found so by a fresh look.
    RolledBack,
    /// The run was to be rolled back, and something that it changed is not as it was before, or was not looked at.
    RollbackFailed,
}

/// A stored event: its place, its time, what it says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its place in the log of the run, from 1 without gaps.
    pub seq: Seq,
    /// When it was decided; never earlier than the record before.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}
