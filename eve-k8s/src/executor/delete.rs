//! Deleting: what may go and what stays, the request, and the wait until it is gone.
//!
//! Only what carries the label of the plan goes; what was there before eve, or is marked to be kept, stays and is told. A
//! finalizer is never removed: whoever set it is named.

use std::sync::Arc;
use std::time::Duration;

use eve_core::failure::{Cause, Failure};
use eve_core::plan::Until;
use eve_core::ports::{Context, Step};
use eve_core::run::{Applied, Change, Outputs, Prepared};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::blocked::{self, Blocked};
use super::sight::{Seen, Sight};
use super::{Adopted, KubeExecutor, Located, Missing, failure, promise};
use crate::client::Location;
use crate::labels::{self, PlanName};
use crate::readiness::text;

/// The output of a component that was to be deleted and stays: why, for people. Absent where it is gone.
pub const KEPT: &str = "kept";

/// How long a deletion may take before it is looked for what holds it up.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often that is looked for again.
const AGAIN: Duration = Duration::from_secs(10);

/// What is to become of an object that a plan wants gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Goes,
    /// Why it stays.
    Stays(String),
}

impl Fate {
    /// Of a live object, for a plan; `input` is what the plan says of it. Pure.
    pub(super) fn of(live: &Value, input: &Value, plan: PlanName<'_>, adopted: Adopted) -> Self {
        if let Some(why) = plan.disowns(live) {
            return Self::Stays(why);
        }
        if let Some(annotation) = labels::keep(live).or_else(|| labels::keep(input)) {
            return Self::Stays(format!("its annotation `{annotation}` keeps it"));
        }
        if adopted == Adopted::Keep && labels::annotation(live, labels::ADOPTED).is_some() {
            return Self::Stays(format!("it was there before eve (annotation `{}`)", labels::ADOPTED));
        }
        Self::Goes
    }
}

impl KubeExecutor {
    /// Whether there is something to delete, and which object that is.
    pub(super) async fn look_before_delete(&self, step: &Step) -> Result<Prepared, Failure> {
        let Some((place, live)) = self.find_doomed(step).await? else {
            return Ok(Prepared::new(Change::None));
        };
        let input = step.spec().get(crate::object::OBJECT).unwrap_or(&Value::Null);
        Ok(match Fate::of(&live, input, PlanName::of(step), self.adopted) {
            Fate::Stays(why) => {
                tracing::debug!(object = %place, why, "stays");
                Prepared::new(Change::None)
            }
            Fate::Goes => {
                let mut prepared = Prepared::new(Change::Delete);
                prepared.token = Some(Box::new(json!({ "uid": text(&live, "/metadata/uid") })));
                prepared
            }
        })
    }

    /// The object that the step wants gone, if there is one.
    async fn find_doomed(&self, step: &Step) -> Result<Option<(Location, Value)>, Failure> {
        let place = match self.locate(step, Missing::Accept).await? {
            Located::Known(target) => target.place,
            Located::Unknown(_) => {
                self.served_elsewhere(step).await?;
                return Ok(None);
            }
        };
        match self.client.get(&place).await {
            Ok(live) => Ok(Some((place, live))),
            Err(error) if error.is_code(404) => Ok(None),
            Err(error) => Err(failure::of_read(&place, error)),
        }
    }

    /// An object of a kind that is not served does not exist, unless the API server behind its kind only does not answer.
    async fn served_elsewhere(&self, step: &Step) -> Result<(), Failure> {
        let Ok((_, identity)) = crate::object::identify(step.spec()) else { return Ok(()) };
        if !self.kinds().is_away(identity.api_version) {
            return Ok(());
        }
        let what = format!("{} {}", identity.kind, identity.name);
        let message = format!("{what}: whether it exists cannot be told");
        let failure = Failure::permanent("k8s.kind.away", message)
            .with_note(self.away(identity.api_version).await)
            .with_hint("bring its API server back, or delete its APIService first");
        Err(failure)
    }

    /// Why the API server behind an API version does not answer, as its `APIService` says.
    pub(super) async fn away(&self, api_version: &str) -> String {
        let name = match api_version.split_once('/') {
            Some((group, version)) => format!("{version}.{group}"),
            None => format!("{api_version}."),
        };
        let said = self.client.api_service(&name).await.ok();
        let said = said.as_ref().and_then(blocked::unavailable);
        said.map_or_else(
            || format!("the API server behind `{api_version}` does not answer"),
            |said| format!("APIService `{name}` is not available: {said}"),
        )
    }

    /// One request, for the very object that was looked at.
    pub(super) async fn delete(
        &self,
        step: &Step,
        prepared: &Prepared,
        cx: &Context,
    ) -> Result<Applied, Failure> {
        let place = match self.locate(step, Missing::Accept).await? {
            Located::Known(target) => target.place,
            Located::Unknown(_) => return Ok(Applied::new(Change::None)),
        };
        let uid = prepared.token.as_deref().map_or("", |token| text(token, "/uid")).to_owned();
        if uid.is_empty() {
            return Err(Failure::misuse("k8s.delete.unprepared", format!("{place}: it was not looked at")));
        }
        if let Some(why) = self.why_it_stays(step, &place, &uid).await? {
            return Ok(staying(&why));
        }
        if let Some(promised) = promise::to_be_kept(prepared) {
            self.keep(step, (&place, &promised), None, cx).await?;
        }
        let mut applied = Applied::new(Change::Delete);
        applied.token = Some(Box::new(json!({ "uid": uid })));
        match self.client.delete(&place, &uid).await {
            Ok(()) => Ok(applied),
            Err(error) if error.is_code(404) => Ok(applied),
            Err(error) if error.is_code(409) => self.after_conflict(&place, &uid).await.map(|()| applied),
            Err(error) => Err(failure::of_write(&place, error)),
        }
    }

    /// Why this very object stays after all: a Namespace or a definition whose deletion would take with it what is to stay.
    /// All that the plan removes of it is gone by now.
    async fn why_it_stays(
        &self,
        step: &Step,
        place: &Location,
        uid: &str,
    ) -> Result<Option<String>, Failure> {
        if !["Namespace", "CustomResourceDefinition"].contains(&&*place.resource.kind) {
            return Ok(None);
        }
        let live = match self.client.get(place).await {
            Ok(live) => live,
            Err(error) if error.is_code(404) => return Ok(None),
            Err(error) => return Err(failure::of_read(place, error)),
        };
        let is_another = text(&live, "/metadata/uid") != uid;
        if is_another || live.pointer("/metadata/deletionTimestamp").is_some() {
            return Ok(None);
        }
        self.occupied(step, place, &live).await
    }

    /// A namespace that is being deleted refuses to be deleted again; an object that was made anew is another one.
    pub(super) async fn after_conflict(&self, place: &Location, uid: &str) -> Result<(), Failure> {
        let live = match self.client.get(place).await {
            Ok(live) => live,
            Err(error) if error.is_code(404) => return Ok(()),
            Err(error) => return Err(failure::of_read(place, error)),
        };
        if text(&live, "/metadata/uid") == uid && live.pointer("/metadata/deletionTimestamp").is_some() {
            return Ok(());
        }
        let message = format!("{place} was changed or made anew by somebody else meanwhile");
        Err(Failure::transient("k8s.api.conflict", message))
    }

    /// Returns once the object is gone, or where it stays.
    pub(super) async fn wait_until_gone(
        &self,
        step: &Step,
        applied: &Applied,
        until: Until,
        cx: &Context,
    ) -> Result<Outputs, Failure> {
        let Some(token) = &applied.token else { return self.untouched(step).await };
        if let Some(why) = stays(applied) {
            return Ok(Outputs::NONE.with(KEPT, why));
        }
        if until == Until::Applied {
            return Ok(Outputs::NONE);
        }
        let place = match self.locate(step, Missing::Accept).await? {
            Located::Known(target) => target.place,
            Located::Unknown(_) => return Ok(Outputs::NONE),
        };
        self.until_gone(step, &place, text(token, "/uid"), cx).await
    }

    /// Returns once the object of this uid is gone.
    pub(super) async fn until_gone(
        &self,
        step: &Step,
        place: &Location,
        uid: &str,
        cx: &Context,
    ) -> Result<Outputs, Failure> {
        let sight = Sight::of(self, step, place);
        let uid = uid.to_owned();
        let look_at = Instant::now() + PATIENCE;
        Leaving { executor: self, place, uid, cx, sight, look_at, told: None, blocked: None }.run().await
    }

    /// Nothing was deleted: because nothing is there, or because it stays.
    async fn untouched(&self, step: &Step) -> Result<Outputs, Failure> {
        let Some((place, live)) = self.find_doomed(step).await? else { return Ok(Outputs::NONE) };
        let input = step.spec().get(crate::object::OBJECT).unwrap_or(&Value::Null);
        match Fate::of(&live, input, PlanName::of(step), self.adopted) {
            Fate::Stays(why) => Ok(Outputs::NONE.with(KEPT, why)),
            Fate::Goes => {
                let message = format!("{place} was made by somebody else meanwhile");
                Err(Failure::transient("k8s.api.conflict", message))
            }
        }
    }
}

/// Nothing was deleted, for this reason.
fn staying(why: &str) -> Applied {
    let mut applied = Applied::new(Change::None);
    applied.token = Some(Box::new(json!({ KEPT: why })));
    applied
}

/// Why nothing was deleted, where what the object holds is the reason.
pub(super) fn stays(applied: &Applied) -> Option<&str> {
    applied.token.as_deref()?.get(KEPT)?.as_str()
}

/// The wait for the end of one object.
struct Leaving<'a> {
    executor: &'a KubeExecutor,
    place: &'a Location,
    uid: String,
    cx: &'a Context,
    sight: Sight<'a>,
    /// When it is looked next for what holds the deletion up.
    look_at: Instant,
    told: Option<Cause>,
    blocked: Option<Blocked>,
}

impl Leaving<'_> {
    async fn run(&mut self) -> Result<Outputs, Failure> {
        let deadline = Instant::now() + self.cx.remaining();
        loop {
            match self.sight.look(Some(&self.uid)).await? {
                Seen::Absent => return Ok(Outputs::NONE),
                // Another object of the same name: the one that was to go is gone.
                Seen::There(object) if text(&object, "/metadata/uid") != self.uid => {
                    return Ok(Outputs::NONE);
                }
                Seen::There(object) => self.look_closer(&object, deadline).await,
                Seen::Unknown => {}
            }
            if self.cx.remaining().is_zero() {
                return Err(self.overdue().await);
            }
            self.sight.pause(self.look_at.min(deadline), self.cx).await?;
        }
    }

    /// Finds out what holds the deletion up, where that is due, and tells it.
    async fn look_closer(&mut self, object: &Arc<Value>, deadline: Instant) {
        let now = Instant::now();
        if now >= self.look_at && now < deadline {
            self.look_at = now + AGAIN;
            // A feed cuts off who set the finalizers.
            let whole = match self.sight.read_now().await {
                Ok(Seen::There(whole)) => whole,
                Ok(Seen::Absent | Seen::Unknown) | Err(_) => Arc::clone(object),
            };
            self.blocked = Some(self.executor.blocked(self.place, &whole).await);
        }
        let Some(blocked) = &self.blocked else { return };
        let cause = Cause::new("k8s.delete.blocked", blocked.text());
        if self.told.as_ref() != Some(&cause) {
            self.cx.progress(cause.clone());
            self.told = Some(cause);
        }
    }

    /// The deadline has come: says all that is known of what holds the deletion up.
    async fn overdue(&mut self) -> Failure {
        if let Ok(Seen::There(whole)) = self.sight.read_now().await {
            self.blocked = Some(self.executor.blocked(self.place, &whole).await);
        }
        let place = self.place;
        let Some(blocked) = &self.blocked else {
            return Failure::permanent("k8s.delete.deadline", format!("{place} is not gone in time"));
        };
        let message = format!("{place} is not gone in time: {}", blocked.text());
        let failure = Failure::permanent("k8s.delete.deadline", message);
        let failure = blocked.notes.iter().cloned().fold(failure, Failure::with_note);
        blocked.hint().into_iter().fold(failure, Failure::with_hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_ours_and_nobody_keeps_goes() {
        let nothing = json!({});
        for (plan, annotations, input, adopted, why) in [
            (json!("shop"), json!({}), &nothing, Adopted::Keep, ""),
            (json!("other"), json!({}), &nothing, Adopted::Delete, "belongs to the plan `other`"),
            (Value::Null, json!({}), &nothing, Adopted::Delete, "does not belong to the plan"),
            (json!("shop"), json!({ labels::ADOPTED: "true" }), &nothing, Adopted::Keep, "before eve"),
            (json!("shop"), json!({ labels::ADOPTED: "true" }), &nothing, Adopted::Delete, ""),
            (
                json!("shop"),
                json!({ "helm.sh/resource-policy": "keep" }),
                &nothing,
                Adopted::Delete,
                "keeps it",
            ),
            (
                json!("shop"),
                json!({ "helm.sh/resource-policy": " Keep " }),
                &nothing,
                Adopted::Keep,
                "keeps it",
            ),
            (json!("shop"), json!({ "helm.sh/resource-policy": "delete" }), &nothing, Adopted::Keep, ""),
            (json!("shop"), json!({ labels::KEEP: "" }), &nothing, Adopted::Keep, "keeps it"),
            (json!("shop"), json!({ labels::KEEP: "false" }), &nothing, Adopted::Keep, ""),
            (
                json!("shop"),
                json!({}),
                &json!({ "metadata": { "annotations": { labels::KEEP: "true" } } }),
                Adopted::Keep,
                "keeps it",
            ),
        ] {
            let mut live =
                json!({ "metadata": { "namespace": "blue", "labels": {}, "annotations": annotations } });
            if !plan.is_null() {
                live["metadata"]["labels"][labels::PLAN] = plan;
            }
            let shop = PlanName { name: "shop", namespace: "blue" };
            match Fate::of(&live, input, shop, adopted) {
                Fate::Goes => assert_eq!(why, "", "{live}"),
                Fate::Stays(said) => assert!(!why.is_empty() && said.contains(why), "{live}: {said}"),
            }
        }
    }
}
