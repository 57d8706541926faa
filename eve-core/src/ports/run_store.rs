//! Where the records of runs are kept.

use async_trait::async_trait;

use crate::ids::RunId;
use crate::run::Record;

/// Keeps the records of runs: ordered, durable, must succeed.
///
/// - **Ordering**: records of a run are appended in the order of their `seq`; one `append` is all or nothing.
/// - **Idempotent**: no; the core appends each record once and never again after a failed append.
/// - **Cancel safety**: a dropped `append` may or may not have happened; the core never drops one.
/// - **Who retries**: nobody. After an error nothing new is started, and the run must be resumed from what was stored.
#[cfg_attr(any(test, feature = "test-util"), mockall::automock)]
#[async_trait]
pub trait RunStore: Send + Sync {
    /// Stores the records of several runs as one unit, durable when it returns. No batch is empty.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing of this call may be relied on.
    async fn append(&self, batches: Vec<RecordBatch>) -> Result<(), StoreError>;

    /// All records of a run, in order; empty for a run that is not known.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read back whole.
    async fn load(&self, run: &RunId) -> Result<Vec<Record>, StoreError>;
}

/// New records of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordBatch {
    /// The run.
    pub run: RunId,
    /// Its next records, in the order of their `seq`, at least one.
    pub records: Vec<Record>,
}

/// A store could not keep or give back records.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The medium failed: disk full, read only, connection lost.
    #[error("the run store is not available: {reason}")]
    Unavailable {
        /// What the medium said.
        reason: String,
    },
    /// What was stored is damaged, or records are missing.
    #[error("the records of run {run} are damaged: {reason}")]
    Corrupt {
        /// The run.
        run: RunId,
        /// What is wrong.
        reason: String,
    },
    /// What was stored of a scheduler is damaged, or records are missing.
    #[error("the ledger is damaged: {reason}")]
    LedgerCorrupt {
        /// What is wrong.
        reason: String,
    },
    /// Another process has taken the ledger over.
    #[error("another process has taken the ledger over: {reason}")]
    TakenOver {
        /// How that was seen.
        reason: String,
    },
}
