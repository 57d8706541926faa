//! Where the components of a run stand that is rolled back.

use super::protocol::{KeepReason, UndoReport};
use crate::failure::Failure;
use crate::ids::Attempt;
use crate::time::Timestamp;

/// Where a component stands in the rollback of its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum UndoStatus {
    /// The run is not rolled back, or has changed nothing of it.
    Untouched,
    /// The run has changed it; it waits for what depends on it, for a free slot, or for its next attempt.
    Pending,
    /// Its undo is under way.
    Undoing,
    /// It is as it was before the run. Final, unless the fresh look afterwards finds otherwise.
    Undone,
    /// Its undo failed, or the fresh look afterwards. Final.
    Failed,
    /// It is left as the run made it. Final.
    Kept,
}

/// How many components that a run changed stand where in its rollback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UndoCounts {
    /// [`UndoStatus::Pending`].
    pub pending: u32,
    /// [`UndoStatus::Undoing`].
    pub undoing: u32,
    /// [`UndoStatus::Undone`].
    pub undone: u32,
    /// [`UndoStatus::Failed`].
    pub failed: u32,
    /// [`UndoStatus::Kept`].
    pub kept: u32,
}

/// What is known of a rollback.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rollback {
    /// When it began, in time with a process.
    pub(super) began_at: Timestamp,
    /// One for each component.
    pub(super) parts: Vec<Part>,
    pub(super) counts: UndoCounts,
    /// Whether everything was undone and is looked at afresh.
    pub(super) verifying: bool,
}

/// One component in the rollback.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub(super) status: UndoStatus,
    pub(super) attempt: Attempt,
    /// The next attempt may not begin before.
    pub(super) retry_at: Option<Timestamp>,
    pub(super) kept: Option<KeepReason>,
    pub(super) failure: Option<Box<Failure>>,
    pub(super) report: Option<Box<UndoReport>>,
}
