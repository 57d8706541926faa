//! Why a component is not up, as it is now: what a wait would wait for, with the evidence that a failed wait would tell.
//! Reads only, and waits for nothing.

use std::sync::Arc;
use std::time::Duration;

use eve_core::failure::Failure;
use eve_core::plan::{Action, Until};
use eve_core::ports::Step;
use eve_core::run::Outputs;
use serde_json::Value;

use super::pods::Pods;
use super::publish::{Granted, Wishes};
use super::verify::removes_itself;
use super::wait::with_upstream;
use super::{KubeExecutor, Located, Missing, Target, failure};
use crate::client::{Detail, Location};
use crate::readiness::storage::CLAIM_PENDING;
use crate::readiness::{self, Readiness};
use crate::survey::Found;

/// How long the lists of pods may take: without them the object itself tells something.
const PODS_TIMEOUT: Duration = Duration::from_secs(10);

/// How a component is now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Explanation {
    /// As it should be. A Job that removes itself once it is through is so, too, when it is not there.
    Up,
    /// It is not there.
    Absent(Failure),
    /// It is there and may come up: what it waits for, and what keeps it.
    Waiting(Failure),
    /// It will not come up unless something is changed.
    Failed(Failure),
}

impl Explanation {
    /// What is to be said of it; `None` where it is up. Its notes are the last events and log lines.
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Up => None,
            Self::Absent(failure) | Self::Waiting(failure) | Self::Failed(failure) => Some(failure),
        }
    }
}

impl KubeExecutor {
    /// How the component's object is now, and why it is not up if it is not. Of all components of one graph one list is
    /// made for each kind and namespace. Cancel safe.
    ///
    /// # Errors
    /// A classified [`Failure`]: the object cannot be read.
    pub async fn explain(&self, step: &Step) -> Result<Explanation, Failure> {
        let target = match self.locate(step, Missing::Accept).await? {
            Located::Known(target) => target,
            Located::Unknown(unknown) => {
                return Ok(removed(step, Failure::permanent("k8s.kind.unknown", unknown.message)));
            }
        };
        let place = &target.place;
        let object = match self.read(step, &target.place, None).await? {
            Found::There(object, detail) => self.with_status(place, *object, detail).await?,
            Found::Absent if step.action() == Action::Apply && removes_itself(&target) => {
                return Ok(Explanation::Up);
            }
            Found::Absent | Found::NotServed | Found::Unknown => {
                let absent = Failure::permanent("k8s.object.absent", format!("{place} does not exist"));
                return Ok(removed(step, absent));
            }
        };
        if object.pointer("/metadata/deletionTimestamp").is_some() {
            return Ok(Explanation::Waiting(self.leaving(place, object).await));
        }
        if step.action() == Action::Delete {
            let message = format!("{place} is still there");
            return Ok(Explanation::Waiting(Failure::permanent("k8s.object.present", message)));
        }
        if step.until() == Until::Applied {
            return Ok(Explanation::Up);
        }
        self.state(step, &target, &object).await
    }

    /// What keeps an object that is being deleted.
    async fn leaving(&self, place: &Location, object: Value) -> Failure {
        // What was listed may be cut down.
        let object = self.client.get(place).await.unwrap_or(object);
        let blocked = self.blocked(place, &object).await;
        let message = match blocked.known() {
            Some(why) => format!("{place} is being deleted: {why}"),
            None => format!("{place} is being deleted"),
        };
        let failure = Failure::permanent("k8s.delete.blocked", message);
        let failure = blocked.notes.iter().cloned().fold(failure, Failure::with_note);
        blocked.hint().into_iter().fold(failure, Failure::with_hint)
    }

    /// The object with its status, where its kind has one that is judged.
    pub(super) async fn with_status(
        &self,
        place: &Location,
        object: Value,
        detail: Detail,
    ) -> Result<Value, Failure> {
        let (group, kind) = (place.resource.group(), &*place.resource.kind);
        if detail == Detail::Whole || readiness::is_never_judged(group, kind) {
            return Ok(object);
        }
        self.client.get(place).await.map_err(|error| failure::of_read(place, error))
    }

    /// What the plan wants of an object that is ready by its kind.
    async fn wished(&self, step: &Step, place: &Location) -> Result<Granted, Failure> {
        let wishes = Wishes::of(step)?;
        if wishes.is_empty() {
            return Ok(Granted::Yes(Outputs::NONE));
        }
        let whole = self.client.get(place).await.map_err(|error| failure::of_read(place, error))?;
        wishes.judge(&whole)
    }

    pub(super) async fn state(
        &self,
        step: &Step,
        target: &Target<'_>,
        object: &Value,
    ) -> Result<Explanation, Failure> {
        let place = &target.place;
        let (tell, failure): (fn(Failure) -> Explanation, Failure) =
            match readiness::judge(place.resource.group(), &place.resource.kind, object) {
                Readiness::Ready | Readiness::NoStatus => match self.wished(step, place).await? {
                    Granted::Yes(_) => return Ok(Explanation::Up),
                    Granted::NotYet(cause) => {
                        (Explanation::Waiting, Failure::permanent(cause.code, cause.message))
                    }
                },
                Readiness::InProgress(cause) => {
                    if cause.code == CLAIM_PENDING && self.waits_for_consumer(place, object).await {
                        return Ok(Explanation::Up);
                    }
                    (Explanation::Waiting, Failure::permanent(cause.code, cause.message))
                }
                Readiness::Failed(failure) => (Explanation::Failed, failure),
            };
        let pods = match Pods::of(step.graph(), place).map_err(Failure::from)? {
            Some(mut pods) => {
                let known = tokio::time::timeout(PODS_TIMEOUT, pods.known(self, object)).await;
                known.unwrap_or_else(|_| Ok(Vec::new())).map_err(Failure::from)?
            }
            None => vec![Arc::new(object.clone())],
        };
        let failure = self.failed(place, object, &pods, failure).await;
        Ok(tell(with_upstream(step, failure)))
    }

    async fn waits_for_consumer(&self, place: &Location, claim: &Value) -> bool {
        match self.binds_late(claim).await {
            Some(known) => known,
            None => self.is_said_to_wait(place, claim).await,
        }
    }
}

/// That something is not there is as it should be where it is to be removed.
fn removed(step: &Step, absent: Failure) -> Explanation {
    if step.action() == Action::Delete { Explanation::Up } else { Explanation::Absent(absent) }
}
