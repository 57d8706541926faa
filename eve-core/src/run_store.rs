//! Stores in memory: for what need not outlive its process, and for tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::ids::{RunId, Seq};
use crate::ports::{Ledger, LedgerBatch, RecordBatch, RunStore, StoreError};
use crate::run::Record;
use crate::scheduler::{LedgerEvent, LedgerRecord};

/// Keeps all records of all runs until it is dropped. Lost with the process; never fails.
#[derive(Debug, Default)]
pub struct MemoryStore {
    runs: Mutex<BTreeMap<RunId, Vec<Record>>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The records of a run so far, in order; empty for a run that is not known.
    pub fn records(&self, run: &RunId) -> Vec<Record> {
        lock(&self.runs).get(run).cloned().unwrap_or_default()
    }
}

#[async_trait]
impl RunStore for MemoryStore {
    async fn append(&self, batches: Vec<RecordBatch>) -> Result<(), StoreError> {
        let mut runs = lock(&self.runs);
        for batch in batches {
            runs.entry(batch.run).or_default().extend(batch.records);
        }
        Ok(())
    }

    async fn load(&self, run: &RunId) -> Result<Vec<Record>, StoreError> {
        Ok(self.records(run))
    }
}

/// Keeps the ledger of a scheduler and the records of its runs until it is dropped. Lost with the process; fails only for
/// records that do not follow.
#[derive(Debug, Default)]
pub struct MemoryLedger(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    ledger: Vec<LedgerRecord>,
    runs: BTreeMap<RunId, Vec<Record>>,
}

impl MemoryLedger {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The records of the ledger that are kept, in order.
    pub fn records(&self) -> Vec<LedgerRecord> {
        lock(&self.0).ledger.clone()
    }

    /// The runs of which there are records, in the order of their names.
    pub fn runs(&self) -> Vec<RunId> {
        lock(&self.0).runs.keys().cloned().collect()
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn append(&self, batch: LedgerBatch) -> Result<(), StoreError> {
        let mut kept = lock(&self.0);
        let next = kept.ledger.last().map_or(Seq::FIRST, |last| last.seq.next());
        if batch.next != next || batch.ledger.first().is_some_and(|first| first.seq != next) {
            let reason = format!("record {} should follow, not record {}", next.get(), batch.next.get());
            return Err(StoreError::TakenOver { reason });
        }
        for RecordBatch { run, records } in batch.runs {
            kept.runs.entry(run).or_default().extend(records);
        }
        for record in batch.ledger {
            if let LedgerEvent::Compacted { .. } = &record.event {
                kept.ledger.clear();
            } else if let LedgerEvent::LogsDropped { runs } = &record.event {
                for run in runs {
                    kept.runs.remove(run);
                }
            }
            kept.ledger.push(record);
        }
        Ok(())
    }

    async fn load(&self) -> Result<Vec<LedgerRecord>, StoreError> {
        Ok(self.records())
    }

    async fn load_run(&self, run: &RunId) -> Result<Vec<Record>, StoreError> {
        Ok(lock(&self.0).runs.get(run).cloned().unwrap_or_default())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
