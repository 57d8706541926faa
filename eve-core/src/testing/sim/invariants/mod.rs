//! What must hold at every step, judged by the truth of the world and by the records, never by the engine's own state.
//!
//! One function checks one invariant and is named after it. They know nothing of planted bugs, and share no code with the
//! engine but its public protocol and the graph.

use std::fmt;

mod model;
mod records;
mod requests;
mod turns;
mod undo;

pub(super) use model::{End, Model};
pub(super) use records::{record_is_caused, retry_in_budget};
pub(super) use requests::{Request, request_is_allowed};
pub(super) use turns::{cancel_kept, deadline_kept, work_conserving};
pub(super) use undo::UndoEnd;

macro_rules! invariants {
    ($($(#[doc = $text:literal])+ $invariant:ident $name:literal $promise:literal,)+) => {
        /// Something that must always hold.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Invariant {
            $($(#[doc = $text])+ $invariant,)+
        }

        impl Invariant {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$invariant),+];

            /// Its name in reports.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$invariant => $name,)+
                }
            }

            /// The promise that it checks, by its number in the documentation.
            pub const fn promise(self) -> &'static str {
                match self {
                    $(Self::$invariant => $promise,)+
                }
            }
        }
    };
}

invariants! {
    /// After everything is calm, a run comes to its outcome in bounded time and steps.
    Liveness "liveness" "P1",
    /// All outcomes that are told of a run are the same.
    OneOutcome "one-outcome" "P2",
    /// No write is asked for before everything that it depends on has come far enough in truth.
    Order "order" "P3",
    /// No write is asked for before its `Started` is durable.
    IntentBeforeEffect "intent-before-effect" "P4",
    /// No outcome is told before its `Finished` is durable.
    OutcomeAfterFinished "outcome-after-finished" "P4",
    /// The state made of the records alone is that of the live run.
    ReplayedIsLive "replayed-is-live" "P5",
    /// What was durable is there after every crash.
    DurableIsKept "durable-is-kept" "P5",
    /// Every record may follow those before it.
    LegalTransitions "legal-transitions" "P5",
    /// What was recorded as ready is not written again.
    ReadyIsLeftAlone "ready-is-left-alone" "P6",
    /// An attempt asks for its write once, and once more for each process that died since.
    OneWritePerAttempt "one-write-per-attempt" "P6",
    /// Whatever a run changed stays told as what it was, whatever a later attempt found.
    ChangeOfTheRun "change-of-the-run" "P7",
    /// Nothing is started once a failure or a request to stop is recorded; given up waits are not begun.
    NothingNewAfterStop "nothing-new-after-stop" "P7",
    /// Nothing is undone before everything that depends on it and was changed is undone.
    UndoOrder "undo-order" "P7",
    /// Nothing is undone that the run did not change.
    UndoOnlyOwn "undo-only-own" "P7",
    /// What puts something back is what was there before the first write of the run.
    UndoneToBefore "undone-to-before" "P7",
    /// When a run is told as rolled back, every object that it changed is as it was before, unless somebody else changed it
    /// since it was looked at.
    AsBefore "as-before" "P7",
    /// When a rollback has failed, every object that is not as it was before is told as left, or as kept; and it can be
    /// undone by another run as long as something is known that puts it back.
    NothingForgotten "nothing-forgotten" "P7",
    /// An outcome that says that all is well is told after a fresh look at everything by the process that tells it.
    FreshLook "fresh-look" "P8",
    /// A request to stop that was taken in and made durable is in force for ever.
    CancelKept "cancel-kept" "P7",
    /// What is recorded as prepared, applied, ready or failed was told so, by a call of that attempt, and has landed.
    FactsHaveASource "facts-have-a-source" "P8",
    /// A run that succeeded has every component applied and ready in truth.
    TrueSuccess "true-success" "P8",
    /// A run succeeds unless something that was injected forbids it, and does nothing else without a cause.
    OutcomeOracle "outcome-oracle" "P8",
    /// An attempt fails because a call said so, or because its time was really over.
    FailureHasACause "failure-has-a-cause" "P8",
    /// One living process works on a run.
    OneOwner "one-owner" "P10",
    /// Calls in flight and components of a class keep their limits; calls for one component never overlap.
    Limits "limits" "P13",
    /// Attempts keep their budget and their pauses.
    RetryInBudget "retry-in-budget" "P13",
    /// What may be called and has a free slot is called in the same turn.
    WorkConserving "work-conserving" "P13",
    /// Nothing lasts beyond its deadline and its grace; calls are given the right deadline.
    DeadlineKept "deadline-kept" "P13",
    /// Nothing that happens makes the engine panic.
    NoPanic "no-panic" "P13",
    /// What is read back is what was written, or the reader says that it is damaged.
    CorruptionIsLoud "corruption-is-loud" "P15",
    /// The same choices give the same schedule.
    Deterministic "deterministic" "P18",
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.promise())
    }
}

/// An invariant does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{invariant}: {what}")]
pub struct Violation {
    /// Which one.
    pub invariant: Invariant,
    /// What was seen, for people.
    pub what: String,
}

/// What a check says.
pub(super) type Check = Result<(), Violation>;

/// Says that the invariant does not hold unless `holds`.
pub(super) fn ensure(holds: bool, invariant: Invariant, what: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(Violation { invariant, what: what() }) }
}
