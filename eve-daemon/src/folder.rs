//! A directory as source: what lies in it and is no plan, or cannot be taken, is told once.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use eve_core::failure::Failure;
use eve_core::ports::{Delivery, PlanSource};
use eve_core::scheduler::RequestKey;
use eve_queue::{DirectorySource, Ignored};

/// A directory whose files are plans.
#[derive(Debug)]
pub struct Folder {
    source: DirectorySource,
    told: Mutex<BTreeSet<Ignored>>,
}

impl Folder {
    /// Nothing was told yet.
    pub fn new(source: DirectorySource) -> Self {
        Self { source, told: Mutex::default() }
    }

    /// Tells what was not there before, and forgets what is gone.
    fn tell(&self) {
        let found: BTreeSet<Ignored> = self.source.ignored().into_iter().collect();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for Ignored { name, reason } in found.difference(&told) {
            tracing::warn!(file = name, reason, "a file in the directory is not taken");
        }
        *told = found;
    }
}

#[async_trait]
impl PlanSource for Folder {
    fn expect(&self, accepted: &[RequestKey]) {
        self.source.expect(accepted);
    }

    async fn receive(&self) -> Result<Option<Delivery>, Failure> {
        let received = self.source.receive().await;
        self.tell();
        received
    }

    async fn extend(&self, handle: &str, visibility_timeout: Duration) -> Result<(), Failure> {
        self.source.extend(handle, visibility_timeout).await
    }

    async fn acknowledge(&self, handle: &str) -> Result<(), Failure> {
        self.source.acknowledge(handle).await
    }

    async fn reject(&self, handle: &str, reason: &str) -> Result<(), Failure> {
        self.source.reject(handle, reason).await
    }
}
