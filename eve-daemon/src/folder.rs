//! What lies in a directory of plans and is no plan, or cannot be taken, is told once.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use eve_queue::{DirectorySource, Ignored};

/// What was told of a directory.
#[derive(Debug, Default)]
pub struct Folder {
    told: Mutex<BTreeSet<Ignored>>,
}

impl Folder {
    /// Tells what was not there before, and forgets what is gone.
    pub fn tell(&self, source: &DirectorySource) {
        let found: BTreeSet<Ignored> = source.ignored().into_iter().collect();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for Ignored { name, reason } in found.difference(&told) {
            tracing::warn!(file = name, reason, "a file in the directory is not taken");
        }
        *told = found;
    }
}
