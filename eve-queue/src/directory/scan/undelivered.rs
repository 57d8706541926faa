//! The steps of one claimed file until it is delivered: as the request that it is, or as another one where it was changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use eve_core::digest::Digest;
use eve_core::failure::Failure;
use eve_core::ports::Content;
use tokio::time::Instant;

use super::{Claimed, Disk, Obstacle, Taken};
use crate::directory::DirectoryOptions;
use crate::directory::patience::Trouble;

/// What an earlier process accepted and did not answer.
pub(super) type Accepted = BTreeMap<Arc<str>, Digest>;

/// A claimed file that is to be delivered.
#[derive(Debug)]
pub(super) struct Undelivered {
    pub(super) claimed: Claimed,
    step: Step,
    pub(super) trouble: Option<Trouble>,
}

/// What is to be done next with a claimed file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    CountUp,
    Sync,
    Read,
    /// It does not hold what was accepted, of which this is the digest.
    Renew(Digest),
}

impl Undelivered {
    pub(super) const fn new(claimed: Claimed, step: Step) -> Self {
        Self { claimed, step, trouble: None }
    }

    /// Goes on where it stopped. A file that cannot be read again and again is delivered as one that nobody can use.
    pub(super) fn deliver(
        &mut self,
        disk: &impl Disk,
        now: Instant,
        options: &DirectoryOptions,
        (accepted, last): (&Accepted, &mut u64),
    ) -> Result<Taken, Obstacle> {
        let result = self.steps(disk, options.plan_bytes_max, (accepted, last));
        let Err(Obstacle::OfOne(reason)) = result else { return result };
        let trouble = Trouble::again(self.trouble.take(), reason, now, options);
        let reason = trouble.reason().to_owned();
        let is_hopeless = trouble.is_hopeless() && matches!(self.step, Step::Read);
        self.trouble = Some(trouble);
        if !is_hopeless {
            return Err(Obstacle::OfOne(reason));
        }
        let request = &self.claimed.request;
        let message = format!("{request} was tried {} times: {reason}", options.tries_max);
        let failure = Failure::permanent("queue.payload.unreadable", message);
        let digest = accepted.get(request).copied().unwrap_or_else(|| Digest::of(request.as_bytes()));
        Ok((self.claimed.clone(), digest, Content::Unusable { failure }))
    }

    fn steps(
        &mut self,
        disk: &impl Disk,
        bytes_max: u64,
        (accepted, last): (&Accepted, &mut u64),
    ) -> Result<Taken, Obstacle> {
        if let Step::CountUp = self.step {
            self.claimed = disk.count_up(&self.claimed)?;
            self.step = Step::Sync;
        }
        if let Step::Sync = self.step {
            disk.sync_claims()?;
            self.step = Step::Read;
        }
        let was = if let Step::Renew(was) = self.step {
            was
        } else {
            let (digest, content) = disk.read(&self.claimed, bytes_max)?;
            match accepted.get(&self.claimed.request) {
                Some(was) if *was != digest => *was,
                _ => return Ok((self.claimed.clone(), digest, content)),
            }
        };
        self.step = Step::Renew(was);
        let (renewed, number) = disk.renew(&self.claimed, *last)?;
        *last = number;
        let before = std::mem::replace(self, Self::new(renewed, Step::Sync)).claimed;
        let now = &self.claimed.request;
        let message = format!("the file of the request was changed in `claimed`; it is request {now} now");
        let failure = Failure::permanent("queue.payload.changed", message);
        Ok((before, was, Content::Unusable { failure }))
    }
}

/// What is said of a request whose file is not there.
pub(super) fn gone(request: &Arc<str>, digest: Digest) -> Taken {
    let failure =
        Failure::permanent("queue.payload.gone", "the file of the request is gone from the folder `claimed`")
            .with_hint("put the plan into the directory again");
    // No file has this count.
    let claimed = Claimed { request: Arc::clone(request), count: 0 };
    (claimed, digest, Content::Unusable { failure })
}
