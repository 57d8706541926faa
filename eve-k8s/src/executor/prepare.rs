//! `prepare`: is the object as it is wanted? Writes nothing.

use eve_core::failure::Failure;
use eve_core::ports::Step;
use eve_core::run::{Change, Prepared};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::failure::Foresight;
use super::intent::{self, Doubt, Intent};
use super::put::Put;
use super::replace::{is_to_run_again, replacement};
use super::{KubeExecutor, Located, Missing, Target, blocked, failure, maker};
use crate::client::{Conflicts, Detail, Effect, Ensured, Location};
use crate::error::ApiStatus;
use crate::labels::{self, FIELD_MANAGER, fnv};
use crate::live::Live;
use crate::object;
use crate::scaled::Replicas;
use crate::survey::{Found, Surveys};

/// What is kept of an object's state: in [`Prepared`] of the one before, in
/// [`Applied`](eve_core::run::Applied) of the one written. Well under 1 KiB.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mark {
    pub(crate) uid: String,
    pub(crate) resource_version: String,
    /// 0 for kinds without one.
    #[serde(default)]
    pub(crate) generation: i64,
    /// Tells two states apart in everything but status and bookkeeping; absent for Secrets, of which nothing is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    /// Whether the object was there before eve applied it for the first time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) adopted: bool,
    /// Somebody else says who manages the object: that label is left alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) managed_by_other: bool,
    /// It is about to go, as soon as its finalizers let it: a write does not keep it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) leaves: bool,
    /// What becomes of its number of replicas, where an autoscaler says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replicas: Option<Replicas>,
    /// Which fields were taken over from `kubectl apply`, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) taken: Option<String>,
    /// Of what was written, where the run may be undone.
    #[serde(flatten)]
    pub(crate) claim: Claim,
}

/// What tells, once a run is to be undone, whether anything has changed since it wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Claim {
    /// Which fields are eve's; see [`claim`](super::conflict::claim).
    #[serde(default, rename = "claim", skip_serializing_if = "Option::is_none")]
    pub(crate) fields: Option<String>,
    /// The digest of what was applied; none for Secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) desired: Option<String>,
    /// When eve last changed the object, by its managed fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) changed_at: Option<String>,
    /// It was there when it was to be made, and eve took fields of it by force: what they were is not known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) forced: bool,
}

impl Claim {
    pub(crate) fn of(object: &Value) -> Self {
        Self {
            fields: Some(super::conflict::claim(object)),
            desired: labels::annotation(object, labels::DESIRED).map(str::to_owned),
            changed_at: maker::changed_at(object).map(str::to_owned),
            forced: false,
        }
    }
}

impl Mark {
    /// Of an object as the API server answered it.
    pub(crate) fn of(object: &Value) -> Self {
        let text = |pointer: &str| object::text(object, pointer).to_owned();
        Self {
            uid: text("/metadata/uid"),
            resource_version: text("/metadata/resourceVersion"),
            generation: object::at(object, "/metadata/generation")
                .and_then(Value::as_i64)
                .unwrap_or_default(),
            content: content(object),
            adopted: intent::is_adopted(object),
            managed_by_other: labels::managed_by(object).is_some_and(|manager| manager != FIELD_MANAGER),
            leaves: !text("/metadata/deletionTimestamp").is_empty(),
            replicas: None,
            taken: None,
            claim: Claim::default(),
        }
    }

    /// Of the live object, before a step writes it.
    pub(super) fn before(step: &Step, target: &Target<'_>, live: &Value) -> Self {
        let is_forced = conflicts(step) == Conflicts::Force;
        let has_count = object::at(target.object, "/spec/replicas").is_some();
        let replicas = has_count.then(|| Replicas::of(live, target.is_scaled, is_forced)).flatten();
        Self { replicas, ..Self::of(live) }
    }

    /// The mark in a token; `None` where there is none.
    pub(crate) fn read(token: Option<&Value>) -> Option<Self> {
        token.and_then(|token| Self::deserialize(token).ok())
    }

    pub(crate) fn token(&self) -> Option<Box<Value>> {
        serde_json::to_value(self).ok().map(Box::new)
    }

    /// Whether an object is in the very state that a token holds the mark of.
    pub(crate) fn is_of(token: Option<&Value>, live: &Value) -> bool {
        let (Some(mark), Some(metadata)) = (token, live.get("metadata")) else { return false };
        // By the names that `Mark` is written with, which are those of the API. An object without either is like none.
        let is_same = |field: &str| mark.get(field).is_some_and(|own| metadata.get(field) == Some(own));
        is_same("uid") && is_same("resourceVersion")
    }

    /// Whether nothing was changed between the two, except that a controller may have reported something.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let untouched = self.resource_version == other.resource_version;
        let same_content = self.content.is_some() && self.content == other.content;
        self.uid == other.uid && (untouched || same_content)
    }
}

/// A digest of what people and controllers write, without what the API server and status reports write.
fn content(object: &Value) -> Option<String> {
    if object.get("kind").and_then(Value::as_str) == Some("Secret") {
        return None;
    }
    // Nobody reports on an object without one, and then the resource version tells.
    object.get("status")?;
    let mut object = object.as_object()?.clone();
    object.remove("status");
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        metadata.remove("resourceVersion");
    }
    Some(format!("{:016x}", fnv(&Value::Object(object).to_string())))
}

impl KubeExecutor {
    /// What applying would change: from the list of the object's kind, or by name; where that does not tell, by one dry
    /// run. What does not exist is not tried: there is nothing of others to take into account, and what it needs may be
    /// made by the run before.
    pub(super) async fn look(&self, step: &Step) -> Result<Prepared, Failure> {
        let target = match self.locate(step, Missing::Accept).await? {
            Located::Known(target) => target,
            // Its definition is still to come; where it is not, `apply` says so.
            Located::Unknown(_) => return Ok(Prepared::new(Change::Unknown)),
        };
        if self.is_made_anew(step.graph(), target.place.namespace.as_ref(), Some(&self.live)).await {
            // What is in it now goes with it.
            return Ok(Prepared::new(Change::Unknown));
        }
        let (live, detail) = match self.read(step, &target.place, Some(&self.live)).await? {
            Found::There(live, detail) => (*live, detail),
            Found::Absent => {
                self.surveys.miss(step.graph(), step.component());
                return Ok(absent(step, &target));
            }
            Found::NotServed | Found::Unknown => return Ok(Prepared::new(Change::Unknown)),
        };
        self.compare(step, &target, live, detail).await
    }

    /// The object from the list of its kind, or by name. Never [`Found::Unknown`].
    pub(super) async fn read(
        &self,
        step: &Step,
        place: &Location,
        live: Option<&Live>,
    ) -> Result<Found, Failure> {
        self.read_from(&self.surveys, step, place, live).await
    }

    /// The same from these lists.
    pub(super) async fn read_from(
        &self,
        surveys: &Surveys,
        step: &Step,
        place: &Location,
        live: Option<&Live>,
    ) -> Result<Found, Failure> {
        let found = surveys.find(step.graph(), place, live).await?;
        if !matches!(found, Found::Unknown) {
            return Ok(found);
        }
        match self.client.get(place).await {
            Ok(object) => Ok(Found::There(Box::new(object), Detail::Whole)),
            Err(error) if error.status().is_some_and(ApiStatus::is_unknown_resource) => Ok(Found::NotServed),
            Err(error) if error.is_code(404) => Ok(Found::Absent),
            Err(error) => Err(failure::of_read(place, error)),
        }
    }

    pub(super) async fn compare(
        &self,
        step: &Step,
        target: &Target<'_>,
        live: Value,
        detail: Detail,
    ) -> Result<Prepared, Failure> {
        self.is_of_other(step, &target.place, &live)?;
        let mut before = Mark::before(step, target, &live);
        // A write of ours whose answer was lost may have taken it over.
        before.adopted |= self.surveys.is_sent(step.graph(), step.component()) && maker::is_of_another(&live);
        let intent = Intent::of(step, target, Some(&before));
        let mut prepared = Prepared::new(Change::None);
        prepared.desired = intent.desired.as_deref().map(Into::into);
        prepared.token = before.token();
        if before.leaves && blocked::is_namespace(&target.place) {
            // Nothing can be made in it any more, and no write keeps it.
            prepared.change = Change::Replace;
            return Ok(prepared);
        }
        if let Err(doubt) = intent.holds(&live) {
            prepared.change = match self.try_out(step, target, &intent, (&live, detail, &doubt)).await {
                Err(refused) if refused.code == failure::IMMUTABLE => {
                    replacement(step, target, &live, refused)?
                }
                tried => tried?,
            };
            tracing::info!("{}: a dry run tells {:?}, made because {doubt}", target.place, prepared.change);
        }
        let is_kept = matches!(prepared.change, Change::None | Change::Update);
        if is_kept && is_to_run_again(step, target, &live) {
            prepared.change = Change::Replace;
        }
        Ok(prepared)
    }

    /// One dry run of the apply: what would be refused in any case is refused here, before the first write.
    async fn try_out(
        &self,
        step: &Step,
        target: &Target<'_>,
        intent: &Intent,
        (live, detail, doubt): (&Value, Detail, &Doubt),
    ) -> Result<Change, Failure> {
        let place = &target.place;
        let tried = self.put(step, target, intent, Effect::DryRun).await;
        let would_be = match tried.map_err(|error| failure::of_write(place, error)) {
            Ok(Put { ensured: Ensured::Created, .. }) => return Ok(Change::Create),
            Ok(Put { object, ensured: Ensured::Existed, .. }) => object,
            // The definition that the dry run was judged by is one that the plan may change before.
            Err(_) if self.may_redefine(step, place) => return Ok(Change::Unknown),
            Err(failure) if failure::foresee(&failure) == Foresight::Unsure => return Ok(Change::Update),
            Err(failure) => return Err(failure),
        };
        let same = match (doubt, detail) {
            // The annotation with the digest differs in any case.
            (Doubt::Input, _) => false,
            (_, Detail::Whole) => intent::is_same(live, &would_be),
            (_, Detail::Metadata | Detail::State) => match self.client.get(place).await {
                Ok(live) => intent::is_same(&live, &would_be),
                Err(error) if error.is_code(404) => return Ok(Change::Create),
                Err(error) => return Err(failure::of_read(place, error)),
            },
        };
        Ok(if same { Change::None } else { Change::Update })
    }

    /// Whether the step's plan holds the definition of this kind, and the run is not through with that yet.
    pub(super) fn may_redefine(&self, step: &Step, place: &Location) -> bool {
        let graph = step.graph();
        graph.ids().any(|id| {
            let Some(object) = graph.node(id).spec().get(object::OBJECT) else { return false };
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
            is_definition(object)
                && text("/spec/group") == Some(place.resource.group())
                && text("/spec/names/kind") == Some(&place.resource.kind)
                && !self.surveys.is_settled(graph, id)
        })
    }
}

fn absent(step: &Step, target: &Target<'_>) -> Prepared {
    let mut prepared = Prepared::new(Change::Create);
    prepared.desired = Intent::of(step, target, None).desired.map(Into::into);
    prepared
}

/// What the plan says about fields of other managers.
pub(super) fn conflicts(step: &Step) -> Conflicts {
    let force = step.spec().get(object::FORCE_CONFLICTS).and_then(Value::as_bool) == Some(true);
    if force { Conflicts::Force } else { Conflicts::Refuse }
}

/// Whether an object defines a kind.
pub(super) fn is_definition(object: &Value) -> bool {
    object.get("kind").and_then(Value::as_str) == Some("CustomResourceDefinition")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mark_tells_changes_from_reports() {
        let object = |version: &str, replicas: i64, ready: i64| {
            json!({
                "kind": "Deployment",
                "metadata": { "uid": "u", "resourceVersion": version, "generation": 1, "managedFields": [version] },
                "spec": { "replicas": replicas }, "status": { "readyReplicas": ready },
            })
        };
        let mark = |version, replicas, ready| Mark::of(&object(version, replicas, ready));
        assert!(mark("1", 1, 0).is_same(&mark("1", 1, 0)));
        assert!(mark("1", 1, 0).is_same(&mark("2", 1, 1)), "only the status was reported");
        assert!(!mark("1", 1, 0).is_same(&mark("2", 2, 0)));
        let token = mark("1", 1, 0).token();
        assert_eq!(Mark::read(token.as_deref()), Some(mark("1", 1, 0)));
    }

    #[test]
    fn nothing_of_a_secret_is_kept() {
        let secret = json!({ "kind": "Secret", "metadata": { "uid": "u", "resourceVersion": "1" }, "data": { "a": "b" }, "status": {} });
        assert_eq!(Mark::of(&secret).content, None);
    }
}
