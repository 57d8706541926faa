//! Bugs planted on purpose, to prove that the simulator finds them.
//!
//! Each bends the scheduler, the loop around it, or the store in one place. No invariant knows of them.

bugs! {
    /// The oldest plan that waits is the next, wherever it waits.
    UnfairQueue "unfair-queue" 1_000 [Fair],
    /// A plan that supersedes one that waits is itself never run.
    LostNewerPlan "lost-newer-plan" 1_000 [EverythingAnswered, WorkConserving],
    /// A delivery is acknowledged when it is accepted.
    EarlyDelete "early-delete" 100 [AcknowledgedAfterAnswer],
    /// Commands are carried out before the records that allow them are stored.
    ActedBeforeStored "acted-before-stored" 100 [AcknowledgedAfterAnswer, ToldAfterAnswer],
    /// A process that was taken over goes on appending.
    FenceIgnored "fence-ignored" 5_000 [OneOutcome, OneRunANamespace, ReplayedIsLive],
    /// The outcome is told when the run says so, and is stored later.
    OutcomeBeforeStored "outcome-before-stored" 1_000 [ToldAfterAnswer, OneOutcome],
    /// What was answered and given back is not remembered.
    AnswersForgotten "double-outcome" 1_000 [OneOutcome],
    /// A notice that is sent again has another key.
    NoticeReborn "notice-reborn" 1_000 [OneIdentity],
    /// What stands in the outbox is not sent by the process that takes over.
    OutboxForgotten "outbox-forgotten" 1_000 [EveryoneTold],
    /// The visibility of deliveries is not extended.
    NeverExtended "never-extended" 100 [VisibilityKept],
    /// The same identifier with other content is taken for the same request.
    DigestIgnored "digest-ignored" 1_000 [OneContent, AcknowledgedAfterAnswer],
    /// A request to stop that overtakes its plan is forgotten.
    EarlyStopForgotten "early-stop-forgotten" 1_000 [StopKept],
    /// A plan that comes after a newer one of its name runs.
    LateOlderRuns "late-older-runs" 1_000 [NeverBackwards],
    /// The numbers of plans do not outlive the compaction of the ledger.
    NumbersForgotten "numbers-forgotten" 1_000 [NeverBackwards],
    /// A run waits until the outcome of the one before was told.
    DeadReceiverHolds "dead-receiver-holds" 1_000 [Fair, EverythingAnswered, WorkConserving],
}
