//! `apply`: one server-side apply of the object. The only file that writes objects of a plan.

use std::time::Duration;

use eve_core::failure::Failure;
use eve_core::ports::Step;
use eve_core::run::{Applied, Change, Prepared};

use super::intent::Intent;
use super::prepare::{Mark, conflicts};
use super::{KubeExecutor, Located, Missing, failure, wait};
use crate::client::{Effect, Ensured};

/// How long a Job waits for the feed that will tell its end; without it a Job that removes itself may be missed.
const FEED_TIMEOUT: Duration = Duration::from_secs(5);

impl KubeExecutor {
    pub(super) async fn write(&self, step: &Step, prepared: &Prepared) -> Result<Applied, Failure> {
        let target = match self.locate(step, Missing::Ask).await? {
            Located::Known(target) => target,
            Located::Unknown(unknown) => {
                let failure = Failure::permanent("k8s.kind.unknown", unknown.message);
                return Err(unknown.hint.into_iter().fold(failure, Failure::with_hint));
            }
        };
        let before = Mark::read(prepared.token.as_deref());
        let intent = Intent::of(step, &target, before.as_ref());
        if *target.place.resource.kind == *"Job" {
            // A Job may be gone before anybody reads it (`ttlSecondsAfterFinished: 0`): the feed must be there first.
            let wanted = wait::by_name(step, target.place.name.as_str().to_owned());
            let feed = self.live.subscribe(&wait::collection(step, &target.place), wanted);
            let _ = tokio::time::timeout(FEED_TIMEOUT, feed.started()).await;
        }
        let answer = self.client.apply(&target.place, &intent.object, conflicts(step), Effect::Stored).await;
        let (written, ensured) = answer.map_err(|error| failure::of_write(&target.place, error))?;
        self.learn(&written);
        let after = Mark::of(&written);
        let mut applied = Applied::new(match (ensured, before) {
            (Ensured::Created, _) => Change::Create,
            (Ensured::Existed, Some(before)) if before.is_same(&after) => Change::None,
            (Ensured::Existed, Some(_)) => Change::Update,
            // It was not there when it was looked for: somebody else made it meanwhile, or this attempt did before
            // its answer was lost.
            (Ensured::Existed, None) => Change::Unknown,
        });
        applied.token = after.token();
        Ok(applied)
    }
}
