//! Where the ledger of a scheduler is kept, with its outbox and the records of its runs.

use async_trait::async_trait;

use super::{RecordBatch, StoreError};
use crate::ids::{RunId, Seq};
use crate::run::Record;
use crate::scheduler::LedgerRecord;

/// Keeps the records of one scheduler and of its runs: ordered, durable, in one unit, must succeed.
///
/// - **One unit**: all records of an append are stored, or none: the end of a run, its outcome in the ledger and who is to be
///   told are never apart.
/// - **Fenced**: the ledger stands where whoever appends knows it to stand, or nothing is stored. A process that was taken over, by a
///   [`LedgerEvent::TakenOver`](crate::scheduler::LedgerEvent::TakenOver) of another, can append nothing any more.
/// - **Bounded**: with a [`LedgerEvent::Compacted`](crate::scheduler::LedgerEvent::Compacted) all records of the ledger
///   before it are removed, with a [`LedgerEvent::LogsDropped`](crate::scheduler::LedgerEvent::LogsDropped) the records of
///   its runs.
/// - **Idempotent**: no; each record is appended once and never again after a failed append.
/// - **Cancel safety**: a dropped `append` may or may not have happened; the core never drops one.
/// - **Who retries**: nobody. After an error nothing new is started, and everything must be resumed from what was stored.
#[cfg_attr(any(test, feature = "test-util"), mockall::automock)]
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Stores these records as one unit, durable when it returns.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing of this call may be relied on.
    async fn append(&self, batch: LedgerBatch) -> Result<(), StoreError>;

    /// All records of the ledger that are kept, in order; none for one that has not begun.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read back whole.
    async fn load(&self) -> Result<Vec<LedgerRecord>, StoreError>;

    /// All records of a run, in order; empty for a run that is not known.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read back whole.
    async fn load_run(&self, run: &RunId) -> Result<Vec<Record>, StoreError>;
}

/// New records of a scheduler and of its runs.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerBatch {
    /// Where the ledger stands, as far as whoever appends knows: the place of its next record. Where it stands elsewhere,
    /// nothing is stored, not even of a run alone.
    pub next: Seq,
    /// The next records of the ledger, in the order of their `seq`; may be empty.
    pub ledger: Vec<LedgerRecord>,
    /// The next records of runs; no batch is empty.
    pub runs: Vec<RecordBatch>,
}

impl LedgerBatch {
    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.ledger.is_empty() && self.runs.is_empty()
    }
}
