//! A [`RunStore`] in memory: for runs that need not outlive their process, and for tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use crate::ids::RunId;
use crate::ports::{RecordBatch, RunStore, StoreError};
use crate::run::Record;

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
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.get(run).cloned().unwrap_or_default()
    }
}

#[async_trait]
impl RunStore for MemoryStore {
    async fn append(&self, batches: Vec<RecordBatch>) -> Result<(), StoreError> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        for batch in batches {
            runs.entry(batch.run).or_default().extend(batch.records);
        }
        Ok(())
    }

    async fn load(&self, run: &RunId) -> Result<Vec<Record>, StoreError> {
        Ok(self.records(run))
    }
}
