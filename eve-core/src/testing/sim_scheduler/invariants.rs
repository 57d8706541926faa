//! What must hold, by name.

use std::fmt;

macro_rules! invariants {
    ($($(#[doc = $text:literal])+ $invariant:ident $name:literal,)+) => {
        /// What must hold at every step, or at the end.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Invariant {
            $($(#[doc = $text])+ $invariant,)+
        }

        impl Invariant {
            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$invariant => $name,)+
                }
            }
        }
    };
}

invariants! {
    /// A namespace in whose queue something could run waits for one run of each other namespace at most.
    Fair "fair",
    /// When a run could be opened, one is.
    WorkConserving "work-conserving",
    /// At most one run of a namespace is under way in all processes that can store anything.
    OneRunANamespace "one-run-a-namespace",
    /// In each namespace, runs are opened in the order in which their plans were accepted.
    InOrder "in-order",
    /// Nothing is acknowledged or rejected before its answer is durable.
    AcknowledgedAfterAnswer "acknowledged-after-answer",
    /// Nothing is told before the answer is durable, and nothing else than that answer.
    ToldAfterAnswer "told-after-answer",
    /// A request is answered once, and always so.
    OneOutcome "one-outcome",
    /// All copies of a notice have one key and one content.
    OneIdentity "one-identity",
    /// An identifier stands for one content: any other is refused.
    OneContent "one-content",
    /// A plan that was asked to stop before it ran never runs.
    StopKept "stop-kept",
    /// Of the plans of one name that are counted, one that came after one with a higher number never runs and is superseded,
    /// and no two have one number.
    NeverBackwards "never-backwards",
    /// A delivery in hand is extended in time.
    VisibilityKept "visibility-kept",
    /// The state is what the records alone tell.
    ReplayedIsLive "replayed-is-live",
    /// Once everything is calm, every request has its answer, and the queue is empty.
    EverythingAnswered "everything-answered",
    /// Once everything is calm, every receiver that lives has been told.
    EveryoneTold "everyone-told",
    /// What is kept is bounded by what is known.
    Bounded "bounded",
    /// The same choices come to the same.
    Deterministic "deterministic",
    /// Nothing panics.
    NoPanic "no-panic",
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
