//! Bugs planted on purpose, to prove that the simulator finds them.
//!
//! Each bends the engine, the loop around it, or the world in one place. No invariant knows of them.

bugs! {
    /// Commands are carried out before the records that allow them are stored.
    EffectBeforeRecord "effect-before-record" 100 [IntentBeforeEffect],
    /// Commands are carried out when their records are written, but not yet synced.
    EffectBeforeSync "effect-before-sync" 100 [IntentBeforeEffect],
    /// A write is wished for among the reads, which wait for no record.
    WriteTakenForRead "write-taken-for-read" 100 [IntentBeforeEffect],
    /// A failed sync is tried again, says that all is well, and is believed.
    FailedSyncRetried "failed-sync-retried" 2_000 [IntentBeforeEffect, OutcomeAfterFinished, DurableIsKept],
    /// The outcome is told before `Finished` is durable.
    OutcomeBeforeFinished "outcome-before-finished" 100 [OutcomeAfterFinished],
    /// What another process wrote is relied on though it was never synced.
    OpenedWithoutSync "opened-without-sync" 10_000 [OutcomeAfterFinished],
    /// Records are read back without a look at their checksums.
    ChecksumUnchecked "checksum-unchecked" 5_000 [CorruptionIsLoud],
    /// The lock of a run is given to whoever asks.
    TwoOwners "two-owners" 2_000 [OneOwner],
    /// Dependants that wait for *ready* are started when their dependency is applied.
    ReleasedOnApplied "released-on-applied" 100 [Order, LegalTransitions],
    /// The deadlines of components, calls and pauses wake nobody.
    LostWakeUp "lost-wake-up" 1_000 [WorkConserving, DeadlineKept],
    /// The second copy of the end of a wait opens the edges to dependants again.
    CountedTwice "counted-twice" 5_000 [Order, ReplayedIsLive],
    /// One call more than the limit allows.
    LimitOffByOne "limit-off-by-one" 100 [Limits],
    /// Components start without regard to the limit of their class.
    ClassIgnored "class-ignored" 1_000 [Limits],
    /// Failed attempts are tried again for ever.
    RetryWithoutBudget "retry-without-budget" 1_000 [RetryInBudget],
    /// A retry begins at once, without its pause.
    PauseNotKept "pause-not-kept" 1_000 [RetryInBudget],
    /// After a crash, what was started is taken for applied.
    StartedTakenForApplied "started-taken-for-applied" 1_000 [FactsHaveASource],
    /// After a crash, what was announced is taken for untouched.
    AnnouncedForgotten "announced-forgotten" 1_000 [UndoOrder],
    /// The request to stop is forgotten by the process that takes over.
    ForgottenCancel "forgotten-cancel" 5_000 [CancelKept, NothingNewAfterStop, ReplayedIsLive],
    /// A later attempt takes what an earlier one wrote for what was there before the run.
    OwnWriteAsBefore "own-write-as-before" 5_000 [ChangeOfTheRun],
    /// News from a wait does not reset the time without progress.
    NoProgressNeverReset "no-progress-never-reset" 5_000 [FailureHasACause],
    /// A run whose components were skipped has succeeded.
    SkippedAsSucceeded "skipped-as-succeeded" 1_000 [OutcomeOracle, TrueSuccess, FreshLook],
    /// A call that failed does not give its slot back.
    SlotLeaked "slot-leaked" 1_000 [WorkConserving],
    /// What goes first among equals is decided by the order of a hash map.
    TieByMapOrder "tie-by-map-order" 100 [Deterministic, Limits],
    /// The end of an earlier attempt is taken for that of the one under way.
    StaleAttemptTaken "stale-attempt-taken" 10_000 [FactsHaveASource, FailureHasACause],
    /// The time without a process counts against deadlines.
    GapCounts "gap-counts" 5_000 [DeadlineKept, FailureHasACause, RetryInBudget],
    /// What others depend on is undone before them.
    UndoInForwardOrder "undo-in-forward-order" 1_000 [UndoOrder, WorkConserving],
    /// A component that the run changed is passed over by the rollback.
    ComponentNotUndone "component-not-undone" 1_000 [OutcomeOracle, LegalTransitions, AsBefore, UndoOrder, WorkConserving],
    /// The undo token of a later attempt is taken for that of the first: it tells of the run's own half-done write.
    OwnWriteAsToken "own-write-as-token" 10_000 [UndoneToBefore],
    /// What was only prepared is undone as well.
    UntouchedUndone "untouched-undone" 1_000 [UndoOnlyOwn, LegalTransitions],
    /// A run is rolled back as soon as everything is undone, without a fresh look.
    RolledBackUnread "rolled-back-unread" 1_000 [OutcomeOracle, FreshLook],
    /// A run has succeeded as soon as everything is ready, without a fresh look.
    SucceededUnread "succeeded-unread" 100 [FreshLook],
    /// A request to stop that comes while the run is rolled back stops nothing.
    CancelInRollbackLost "cancel-in-rollback-lost" 10_000 [NothingNewAfterStop, CancelKept, LegalTransitions],
    /// What depended on an undo that failed is undone all the same.
    FailedUndoPassedOver "failed-undo-passed-over" 5_000 [UndoOrder],
    /// After a crash, an undo that was under way is taken for done.
    UndoTakenForDone "undo-taken-for-done" 5_000 [FactsHaveASource],
}
