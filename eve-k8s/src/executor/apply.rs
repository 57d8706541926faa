//! `apply`: one server-side apply of the object. The only file that writes objects of a plan.

use std::time::Duration;

use eve_core::failure::Failure;
use eve_core::ports::{Context, Step};
use eve_core::run::{Applied, Change, Prepared};
use serde_json::Value;

use super::intent::Intent;
use super::owner::Sent;
use super::prepare::{Claim, Mark};
use super::{KubeExecutor, Target, blocked, failure, maker, promise, wait};
use crate::client::{Effect, Ensured};

/// How long a Job waits for the feed that will tell its end; without it a Job that removes itself may be missed.
const FEED_TIMEOUT: Duration = Duration::from_secs(5);

impl KubeExecutor {
    pub(super) async fn write(
        &self,
        step: &Step,
        prepared: &Prepared,
        cx: &Context,
    ) -> Result<Applied, Failure> {
        let target = self.known(step).await?;
        let mut before = Mark::read(prepared.token.as_deref());
        let replaced = before.take_if(|_| prepared.change == Change::Replace);
        let mut intent = Intent::of(step, &target, before.as_ref());
        if let Some(promised) = promise::to_be_kept(prepared) {
            self.keep(step, (&target.place, &promised), Some(&intent.object), cx).await?;
        }
        if let Some(replaced) = &replaced {
            self.make_way(step, &target.place, &replaced.uid, cx).await?;
        }
        if *target.place.resource.kind == *"Job" {
            // A Job may be gone before anybody reads it (`ttlSecondsAfterFinished: 0`): the feed must be there first.
            let wanted = wait::by_name(step, target.place.name.as_str().to_owned());
            let feed = self.live.subscribe(&wait::collection(step, &target.place), wanted);
            let _ = tokio::time::timeout(FEED_TIMEOUT, feed.started()).await;
        }
        let (graph, component) = (step.graph(), step.component());
        let known = if before.is_none() { self.surveys.send(graph, component) } else { None };
        let Sent { mut written, ensured, is_forced, taken } =
            self.send_first(step, &target, &mut intent, before.as_ref()).await?;
        let mut after = Mark::of(&written);
        if ensured == Ensured::Existed && maker::is_taken_over(before.as_ref(), known, &written) {
            tracing::info!("{}: somebody made it since it was looked for: it is adopted", target.place);
            after.adopted = true;
            after.replicas = Mark::before(step, &target, &written).replicas;
            let before = before.insert(after);
            let marked = Intent::of(step, &target, Some(before));
            written = self.send(step, &target, &marked).await?;
            after = Mark::of(&written);
        }
        self.surveys.made(graph, component);
        if blocked::is_namespace(&target.place) {
            self.surveys.is_back(graph, target.place.name.as_str());
        }
        self.learn(&written);
        let mut applied = Applied::new(match (ensured, before) {
            _ if replaced.is_some() => Change::Replace,
            (Ensured::Created, _) => Change::Create,
            (Ensured::Existed, Some(before)) if before.is_same(&after) => Change::None,
            (Ensured::Existed, Some(_)) => Change::Update,
            // It was not there when it was looked for, and eve made it: this attempt did before its answer was lost.
            (Ensured::Existed, None) => Change::Unknown,
        });
        if step.may_be_undone() {
            after.claim = Claim { forced: is_forced, ..Claim::of(&written) };
        }
        after.taken = taken;
        applied.token = after.token();
        Ok(applied)
    }

    async fn send(&self, step: &Step, target: &Target<'_>, intent: &Intent) -> Result<Value, Failure> {
        let put = self.put(step, target, intent, Effect::Stored).await;
        put.map(|put| put.object).map_err(|error| failure::of_write(&target.place, error))
    }
}
