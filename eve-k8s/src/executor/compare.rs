//! What applying a component would change, for people: by fields, from a dry run. Writes nothing, watches nothing.

use eve_core::failure::Failure;
use eve_core::ports::Step;
use serde_json::Value;

use super::failure::Foresight;
use super::intent::Intent;
use super::leaving::is_leaving;
use super::prepare::Mark;
use super::replace::{is_to_run_again, replacement};
use super::{KubeExecutor, Located, Missing, blocked, failure};
use crate::client::{Detail, Effect, Location};
use crate::diff::{self, FieldChange};
use crate::path::PathSegment;
use crate::survey::Found;

/// What applying one object would change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// Nothing.
    None,
    /// It would be made.
    Create,
    /// These fields would change; none where only what eve keeps for itself would.
    Update(Vec<FieldChange>),
    /// It would be deleted and made anew, for these fields cannot be changed in place; none where a Job failed, and is to
    /// run again. Of the fields, those that the input names.
    Replace(Vec<FieldChange>),
    /// Cannot be told, because something that the object needs is not there yet. Why, for people.
    Unverified(String),
}

impl KubeExecutor {
    /// What applying the component would change, by one dry run; none where it is sure that nothing would.
    ///
    /// # Errors
    /// A classified [`Failure`]: the cluster cannot be asked, or it would refuse the write.
    pub async fn difference(&self, step: &Step) -> Result<Difference, Failure> {
        let target = match self.locate(step, Missing::Accept).await? {
            Located::Known(target) => target,
            Located::Unknown(unknown) => return Ok(Difference::Unverified(unknown.message)),
        };
        let place = &target.place;
        if self.is_made_anew(step.graph(), place.namespace.as_ref(), None).await {
            let namespace = place.namespace.as_ref().map_or("", PathSegment::as_str);
            let why =
                format!("its namespace `{namespace}` is being deleted, and is made anew once it is gone");
            return Ok(Difference::Unverified(why));
        }
        let live = match self.read(step, &target.place, None).await? {
            Found::There(live, detail) => Some((*live, detail)),
            Found::Absent => None,
            Found::NotServed | Found::Unknown => {
                return Ok(Difference::Unverified(format!("`{}` is not served yet", place.resource.kind)));
            }
        };
        live.as_ref().map_or(Ok(()), |(live, _)| self.is_of_other(step, place, live))?;
        if blocked::is_namespace(place) && live.as_ref().is_some_and(|(live, _)| is_leaving(live)) {
            let why = "it is being deleted, and is made anew once it is gone";
            return Ok(Difference::Unverified(why.to_owned()));
        }
        if step.is_unrendered() {
            let why = "it has expressions whose values are only known while the plan runs";
            return Ok(if live.is_some() {
                Difference::Unverified(why.to_owned())
            } else {
                Difference::Create
            });
        }
        let before = live.as_ref().map(|(live, _)| Mark::before(step, &target, live));
        let intent = Intent::of(step, &target, before.as_ref());
        if let Some((live, _)) = &live {
            if is_to_run_again(step, &target, live) {
                return Ok(Difference::Replace(diff::changes(live, &diff::overlaid(live, &intent.object))));
            }
            if intent.holds(live).is_ok() {
                return Ok(Difference::None);
            }
        }
        let tried = self.put(step, &target, &intent, Effect::DryRun).await;
        let would_be = match tried.map_err(|error| failure::of_write(place, error)) {
            Ok(put) => put.object,
            Err(failure) if is_early(&failure) || self.may_redefine(step, place) => {
                return Ok(Difference::Unverified(failure.message));
            }
            Err(failure) if failure.code == failure::IMMUTABLE && live.is_some() => {
                let live = self.whole(place, live).await?.unwrap_or_default();
                replacement(step, &target, &live, failure)?;
                return Ok(Difference::Replace(diff::changes(&live, &diff::overlaid(&live, &intent.object))));
            }
            Err(failure) => return Err(failure),
        };
        let live = self.whole(place, live).await?;
        Ok(live.map_or(Difference::Create, |live| told(&live, &would_be)))
    }

    /// What was found, whole.
    async fn whole(
        &self,
        place: &Location,
        found: Option<(Value, Detail)>,
    ) -> Result<Option<Value>, Failure> {
        match found {
            None => Ok(None),
            Some((live, Detail::Whole)) => Ok(Some(live)),
            Some((_, Detail::Metadata | Detail::State)) => {
                self.client.get(place).await.map(Some).map_err(|error| failure::of_read(place, error))
            }
        }
    }
}

/// Whether the refusal may be over once the rest of the plan is there.
fn is_early(failure: &Failure) -> bool {
    let needs = matches!(failure.code.as_ref(), "k8s.namespace.missing" | "k8s.kind.not-served");
    needs || failure::foresee(failure) == Foresight::Unsure
}

fn told(live: &Value, would_be: &Value) -> Difference {
    let changes = diff::changes(live, would_be);
    if changes.is_empty() && super::intent::is_same(live, would_be) {
        Difference::None
    } else {
        Difference::Update(changes)
    }
}
