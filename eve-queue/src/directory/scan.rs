//! Which file is taken next: what was claimed before, then the oldest that has settled. Touches the disk through `files` only.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use eve_core::failure::Failure;
use tokio::time::Instant;

use super::Ignored;
use super::files::{Entry, Folders, Look};

/// The most things that are remembered as ignored.
const IGNORED_MAX: usize = 100;

/// A file in `claimed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claimed {
    pub(super) request: Arc<str>,
    /// How often it was delivered, from 1.
    pub(super) count: u32,
}

/// What was seen so far.
#[derive(Debug)]
pub(super) struct Scan {
    /// To be delivered again, under the count that it has now.
    again: VecDeque<Claimed>,
    /// The files that wait, and since when they are as they are.
    waiting: BTreeMap<String, (Look, Instant)>,
    ignored: Vec<Ignored>,
}

impl Scan {
    /// Begins with what was claimed by a process that is gone, oldest first.
    pub(super) fn new(claimed: Vec<Claimed>) -> Self {
        Self { again: claimed.into(), waiting: BTreeMap::new(), ignored: Vec::new() }
    }

    pub(super) fn ignored(&self) -> &[Ignored] {
        &self.ignored
    }

    /// What was claimed but could not be read: it comes next.
    pub(super) fn give_back(&mut self, claimed: Claimed) {
        self.again.push_front(claimed);
    }

    /// Claims the next file, if one is ready.
    pub(super) fn next(
        &mut self,
        folders: &Folders,
        now: Instant,
        settled_for: Duration,
    ) -> Result<Option<Claimed>, Failure> {
        if let Some(claimed) = self.again.pop_front() {
            let again = folders.count_up(&claimed);
            if again.is_err() {
                self.again.push_front(claimed);
            }
            return again.map(Some);
        }
        let mut seen = BTreeMap::new();
        self.ignored.clear();
        for (name, entry) in folders.waiting()? {
            match entry {
                Entry::Ignored(reason) if self.ignored.len() < IGNORED_MAX => {
                    self.ignored.push(Ignored { name, reason });
                }
                Entry::Ignored(_) => {}
                Entry::File(look) => {
                    let before = self.waiting.get(&name).filter(|(before, _)| *before == look);
                    let since = before.map_or(now, |(_, since)| *since);
                    seen.insert(name, (look, since));
                }
            }
        }
        self.waiting = seen;
        let ready = self.waiting.iter().filter(|(_, (_, since))| now.duration_since(*since) >= settled_for);
        let mut ready: Vec<(Look, String)> = ready.map(|(name, (look, _))| (*look, name.clone())).collect();
        ready.sort();
        for (look, name) in ready {
            // It may have been taken away, or the same request may be held: then the next one is looked at.
            if let Some(claimed) = folders.claim(&name, &look)? {
                self.waiting.remove(&name);
                return Ok(Some(claimed));
            }
        }
        Ok(None)
    }
}
