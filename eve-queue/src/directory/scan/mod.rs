//! Which file is taken next: what was claimed before, then the oldest that has settled. What fails with one file holds up no
//! other. Touches the disk through [`Disk`] only.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use eve_core::digest::Digest;
use eve_core::failure::Failure;
use eve_core::ports::Content;
use eve_core::scheduler::RequestKey;
use tokio::time::Instant;

use super::patience::Trouble;
use super::{DirectoryOptions, Ignored, names};

mod undelivered;

use undelivered::{Accepted, Step, Undelivered, gone};

/// The most things that are remembered as ignored.
const IGNORED_MAX: usize = 100;

/// A file in `claimed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claimed {
    pub(super) request: Arc<str>,
    /// How often it was delivered, from 1.
    pub(super) count: u32,
}

/// What a file looks like from outside: when any of it changes, somebody is at work on it. Ordered by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Look {
    pub(super) written_micros: u64,
    pub(super) bytes: u64,
    pub(super) inode: u64,
}

/// Something in the directory.
#[derive(Debug)]
pub(super) enum Entry {
    /// It may be a plan.
    File(Look),
    /// Its name begins with a dot: somebody may be writing it.
    Hidden(Look),
    /// It is no plan, for this reason.
    LeftAlone(String),
}

/// Why something could not be done with a file.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// Somebody has taken it away.
    Gone,
    /// It is about this file alone.
    OfOne(String),
    /// It is the same with every file.
    OfAll(Failure),
}

/// What is done with files. Each is one step, which may be done again.
pub(super) trait Disk {
    /// Everything in the directory that somebody may have meant as a plan.
    fn waiting(&self) -> Result<Vec<(String, Entry)>, Failure>;
    /// Takes a file, as a request whose number is greater than `after`; returns the number too.
    fn claim(&self, name: &str, after: u64) -> Result<(Claimed, u64), Obstacle>;
    /// Notes that a claimed file is delivered once more.
    fn count_up(&self, claimed: &Claimed) -> Result<Claimed, Obstacle>;
    /// Makes another request of a claimed file, with a number that is greater than `after`; returns the number too.
    fn renew(&self, claimed: &Claimed, after: u64) -> Result<(Claimed, u64), Obstacle>;
    /// Makes the names of claimed files durable.
    fn sync_claims(&self) -> Result<(), Obstacle>;
    /// What a claimed file holds, and the digest of it.
    fn read(&self, claimed: &Claimed, bytes_max: u64) -> Result<(Digest, Content), Obstacle>;
}

/// A file that waits, and since when it is as it is.
#[derive(Debug)]
struct Waiting {
    look: Look,
    since: Instant,
    trouble: Option<Trouble>,
}

/// A claimed file and what it holds.
pub(super) type Taken = (Claimed, Digest, Content);

/// What was seen so far.
#[derive(Debug)]
pub(super) struct Scan {
    undelivered: VecDeque<Undelivered>,
    accepted: Accepted,
    /// What was accepted and has no file any more.
    gone: VecDeque<Taken>,
    waiting: BTreeMap<String, Waiting>,
    left_alone: Vec<Ignored>,
    /// What was taken for a receiver that may have gone away meanwhile.
    ready: Option<Taken>,
    /// The greatest number that a request was given. What `claimed`, `done` and `rejected` hold is never given again, also
    /// where the clock was put back.
    last: u64,
}

impl Scan {
    /// Begins with what was claimed by a process that is gone, oldest first.
    pub(super) fn new(claimed: Vec<Claimed>, last: u64) -> Self {
        let (accepted, gone) = (Accepted::new(), VecDeque::new());
        let (undelivered, waiting) = (VecDeque::new(), BTreeMap::new());
        let left_alone = Vec::new();
        let mut scan = Self { undelivered, accepted, gone, waiting, left_alone, ready: None, last };
        scan.deliver_again(claimed);
        scan
    }

    /// These are delivered once more.
    pub(super) fn deliver_again(&mut self, claimed: Vec<Claimed>) {
        let again = |claimed| Undelivered::new(claimed, Step::CountUp);
        self.undelivered.extend(claimed.into_iter().map(again));
    }

    /// What an earlier process accepted: what is not there as it was is delivered as something that nobody can use. What did
    /// not come from a directory is left alone.
    pub(super) fn expect(&mut self, accepted: &[RequestKey]) {
        let there: BTreeSet<&str> = self.undelivered.iter().map(|one| &*one.claimed.request).collect();
        for RequestKey { id, digest } in accepted.iter().filter(|key| names::is_request(&key.id)) {
            if there.contains(&**id) {
                self.accepted.insert(Arc::clone(id), *digest);
            } else {
                self.gone.push_back(gone(id, *digest));
            }
        }
    }

    /// What is no plan, or gives trouble.
    pub(super) fn ignored(&self) -> Vec<Ignored> {
        let about = |name: &str, trouble: &Option<Trouble>| {
            trouble
                .as_ref()
                .map(|trouble| Ignored { name: name.to_owned(), reason: trouble.reason().to_owned() })
        };
        let claimed = self.undelivered.iter().filter_map(|one| about(&one.claimed.request, &one.trouble));
        let waiting = self.waiting.iter().filter_map(|(name, one)| about(name, &one.trouble));
        self.left_alone.iter().cloned().chain(claimed).chain(waiting).take(IGNORED_MAX).collect()
    }

    /// What was taken and not yet handed out.
    pub(super) fn hand_out(&mut self) -> Option<Taken> {
        self.ready.take()
    }

    /// Takes the next file, if one is ready and none is to be handed out.
    pub(super) fn prepare(
        &mut self,
        disk: &impl Disk,
        now: Instant,
        options: &DirectoryOptions,
    ) -> Result<(), Failure> {
        if self.ready.is_none() {
            self.ready = self.next(disk, now, options)?;
        }
        Ok(())
    }

    /// Takes the next file, if one is ready.
    ///
    /// # Errors
    /// What stands in the way of every file, if none could be taken.
    fn next(
        &mut self,
        disk: &impl Disk,
        now: Instant,
        options: &DirectoryOptions,
    ) -> Result<Option<Taken>, Failure> {
        let mut of_all = None;
        let mut taken = self.gone.pop_front();
        if taken.is_none() {
            taken = self.next_claimed(disk, now, options, &mut of_all);
        }
        if taken.is_none() {
            self.look(disk.waiting()?, now, options);
            taken = self.next_waiting(disk, now, options, &mut of_all);
        }
        match (taken, of_all) {
            (None, Some(failure)) => Err(failure),
            (taken, _) => Ok(taken),
        }
    }

    /// What is claimed and can be delivered by now.
    fn next_claimed(
        &mut self,
        disk: &impl Disk,
        now: Instant,
        options: &DirectoryOptions,
        of_all: &mut Option<Failure>,
    ) -> Option<Taken> {
        let mut rest = VecDeque::new();
        let mut taken = None;
        while let Some(mut one) = self.undelivered.pop_front() {
            if one.trouble.as_ref().is_none_or(|trouble| trouble.is_due(now)) {
                match one.deliver(disk, now, options, (&self.accepted, &mut self.last)) {
                    Ok(found) => {
                        self.accepted.remove(&found.0.request);
                        if found.0.request != one.claimed.request {
                            // It was renewed, and is still to be delivered.
                            rest.push_back(one);
                        }
                        taken = Some(found);
                        break;
                    }
                    Err(Obstacle::Gone) => {
                        let digest = self.accepted.remove(&one.claimed.request);
                        taken = digest.map(|digest| gone(&one.claimed.request, digest));
                        if taken.is_some() {
                            break;
                        }
                        continue;
                    }
                    Err(Obstacle::OfOne(_)) => {}
                    Err(Obstacle::OfAll(failure)) => *of_all = Some(failure),
                }
            }
            rest.push_back(one);
        }
        rest.append(&mut self.undelivered);
        self.undelivered = rest;
        taken
    }

    /// Compares what is there with what was there.
    fn look(&mut self, found: Vec<(String, Entry)>, now: Instant, options: &DirectoryOptions) {
        let mut seen = BTreeMap::new();
        self.left_alone.clear();
        for (name, entry) in found {
            let (look, is_hidden) = match entry {
                Entry::LeftAlone(reason) => {
                    self.leave_alone(name, reason);
                    continue;
                }
                Entry::File(look) => (look, false),
                Entry::Hidden(look) => (look, true),
            };
            let before = self.waiting.remove(&name).filter(|before| before.look == look);
            let one = before.unwrap_or(Waiting { look, since: now, trouble: None });
            if is_hidden && now.duration_since(one.since) >= options.hidden_for {
                let reason = "its name begins with a dot: it is taken once it is renamed";
                self.leave_alone(name.clone(), reason.to_owned());
            }
            seen.insert(name, one);
        }
        self.waiting = seen;
    }

    fn leave_alone(&mut self, name: String, reason: String) {
        if self.left_alone.len() < IGNORED_MAX {
            self.left_alone.push(Ignored { name, reason });
        }
    }

    /// The oldest file that has settled and can be taken.
    fn next_waiting(
        &mut self,
        disk: &impl Disk,
        now: Instant,
        options: &DirectoryOptions,
        of_all: &mut Option<Failure>,
    ) -> Option<Taken> {
        let is_ready = |name: &str, one: &Waiting| {
            !name.starts_with('.')
                && now.duration_since(one.since) >= options.settled_for
                && one.trouble.as_ref().is_none_or(|trouble| trouble.is_due(now))
        };
        let ready = self.waiting.iter().filter(|(name, one)| is_ready(name, one));
        let mut ready: Vec<(Look, String)> = ready.map(|(name, one)| (one.look, name.clone())).collect();
        ready.sort();
        for (_, name) in ready {
            match disk.claim(&name, self.last) {
                Ok((claimed, number)) => {
                    self.last = number;
                    self.waiting.remove(&name);
                    self.undelivered.push_back(Undelivered::new(claimed, Step::Sync));
                    let taken = self.next_claimed(disk, now, options, of_all);
                    if taken.is_some() {
                        return taken;
                    }
                }
                Err(Obstacle::Gone) => drop(self.waiting.remove(&name)),
                Err(Obstacle::OfOne(reason)) => {
                    if let Some(one) = self.waiting.get_mut(&name) {
                        let trouble = Trouble::again(one.trouble.take(), reason, now, options);
                        one.trouble = Some(trouble);
                    }
                }
                Err(Obstacle::OfAll(failure)) => {
                    *of_all = Some(failure);
                    // Each of them would meet it.
                    return None;
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
