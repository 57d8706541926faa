//! What others have put into a Namespace, or made of a kind, that goes with it when it is deleted. Reads only.

use std::collections::BTreeSet;
use std::sync::Arc;

use eve_core::failure::Failure;
use eve_core::ports::Step;
use futures::StreamExt as _;
use serde_json::Value;

use super::{KubeExecutor, failure, prepare};
use crate::client::{Collection, Detail, Labelled, Location};
use crate::controllers;
use crate::discovery::{Kinds, Scope};
use crate::error::ApiError;
use crate::inventory::{all, patiently};
use crate::labels::{self, PlanName};
use crate::owned;
use crate::path::PathSegment;
use crate::readiness::text;

/// How many lists are under way at once.
const LISTS_MAX: usize = 16;
/// What comes and goes by itself where pods are.
const BESIDE: [&str; 2] = ["Event", "Lease"];
/// What platforms put into every namespace: the default account and roots of trust of Kubernetes, `OpenShift` and Istio.
const FURNITURE: [(&str, &str); 6] = [
    ("ServiceAccount", "default"),
    ("ServiceAccount", "builder"),
    ("ServiceAccount", "deployer"),
    ("ConfigMap", "kube-root-ca.crt"),
    ("ConfigMap", "openshift-service-ca.crt"),
    ("ConfigMap", "istio-ca-root-cert"),
];

/// Whether objects live in another one, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    Namespace,
    Definition,
}

/// A collection, and what was found in it.
pub(super) type Listed = (Collection, Result<Vec<Value>, ApiError>);

impl KubeExecutor {
    /// What would go with this object, and is neither of the step's run nor made for what is: for people, in no order.
    ///
    /// # Errors
    /// It cannot be told.
    pub(super) async fn inside(
        &self,
        step: &Step,
        place: &Location,
        live: &Value,
    ) -> Result<Vec<String>, Failure> {
        let Some(container) = container(place, live) else { return Ok(Vec::new()) };
        let own = Own::of(step);
        let lists = self.contents(container, place, live).await?;
        let mut found = Vec::new();
        for (collection, listed) in lists {
            let kind = &*collection.resource.kind;
            let items = match listed {
                Ok(items) => items,
                // Not a kind that keeps objects, or gone meanwhile.
                Err(error) if error.is_code(404) || error.is_code(405) => continue,
                Err(error) => return Err(unseen(place, error)),
            };
            let strangers = items.iter().filter(|item| own.is_stranger(container, kind, item));
            found.extend(strangers.map(|item| named(kind, item)));
        }
        Ok(found)
    }

    /// Everything that lives in an object: one list a kind. Of a kind that keeps no objects, or is gone by now, there is
    /// an error with the code 404 or 405.
    pub(super) async fn contents(
        &self,
        container: Container,
        place: &Location,
        live: &Value,
    ) -> Result<Vec<Listed>, Failure> {
        let collections = match container {
            Container::Namespace => {
                let kinds = self.client.discover().await.map_err(Failure::from)?;
                if let Some(version) = kinds.away().next() {
                    return Err(unanswered(place, version).with_note(self.away(version).await));
                }
                of_namespace(&kinds, &place.name)
            }
            Container::Definition => of_definition(live),
        };
        let lists = futures::stream::iter(collections).map(|collection| async move {
            let list = || all(&self.client, &collection, Labelled::Any, Detail::Metadata);
            let listed = patiently(list).await;
            (collection, listed)
        });
        Ok(lists.buffer_unordered(LISTS_MAX).collect().await)
    }
}

/// What an object is to others that live in it; `None` where nothing does.
pub(super) fn container(place: &Location, live: &Value) -> Option<Container> {
    match (place.resource.group(), &*place.resource.kind) {
        ("", "Namespace") => Some(Container::Namespace),
        _ if prepare::is_definition(live) => Some(Container::Definition),
        _ => None,
    }
}

pub(super) fn unseen(place: &Location, error: ApiError) -> Failure {
    let why = format!("{place}: what others have put into it cannot be seen, and would go with it");
    let failure = failure::of_read(place, error);
    let message = format!("{why}: {}", failure.message);
    failure.with_message(message)
}

fn unanswered(place: &Location, version: &str) -> Failure {
    let message = format!(
        "{place}: what others have put into it cannot be seen: the API server behind `{version}` does not answer"
    );
    Failure::transient("k8s.kind.not-served", message)
}

/// Everything that can be listed in a namespace.
pub(super) fn of_namespace(kinds: &Kinds, name: &PathSegment) -> Vec<Collection> {
    let inside = kinds.listable().into_iter().filter(|resource| resource.scope == Scope::Namespaced);
    let inside = inside.filter(|resource| !BESIDE.contains(&&*resource.kind));
    inside.map(|resource| Collection { resource, namespace: Some(name.clone()), label: None }).collect()
}

/// All objects of the kind that is defined, in the version that they are stored in where it is served: that needs no
/// conversion.
fn of_definition(live: &Value) -> Vec<Collection> {
    let kinds = Kinds::default().with_definition(live);
    let (group, kind) = (text(live, "/spec/group"), text(live, "/spec/names/kind"));
    let versions = live.pointer("/spec/versions").and_then(Value::as_array);
    let mut versions: Vec<&Value> = versions.into_iter().flatten().collect();
    versions.sort_by_key(|version| version.get("storage") != Some(&Value::Bool(true)));
    let find = |version: &&Value| kinds.find(&format!("{group}/{}", text(version, "/name")), kind).ok();
    let resource = versions.iter().find_map(find);
    resource.into_iter().map(|resource| Collection { resource, namespace: None, label: None }).collect()
}

/// What tells objects of a run from those of others.
struct Own<'a> {
    plan: PlanName<'a>,
    /// The components, as labels have them.
    components: BTreeSet<String>,
}

impl<'a> Own<'a> {
    fn of(step: &'a Step) -> Self {
        let graph: &Arc<_> = step.graph();
        let components = graph.ids().map(|id| labels::value(graph.node(id).name())).collect();
        Self { plan: PlanName::of(step), components }
    }

    fn is_stranger(&self, container: Container, kind: &str, item: &Value) -> bool {
        if item.pointer("/metadata/deletionTimestamp").is_some() || self.has(item) {
            return false;
        }
        container == Container::Definition || !(is_made_for_others(item) || is_furniture(kind, item))
    }

    fn has(&self, item: &Value) -> bool {
        let label = |key: &str| item.pointer("/metadata/labels")?.get(key)?.as_str();
        let is_component = label(labels::COMPONENT).is_some_and(|name| self.components.contains(name));
        (is_component && owned::is_applied(item) && self.plan.disowns(item).is_none())
            || is_snapshot_of(self.plan, item)
    }
}

/// Whether it is what eve keeps for an undo of this plan.
pub(super) fn is_snapshot_of(plan: PlanName<'_>, item: &Value) -> bool {
    let label = item.pointer("/metadata/labels").and_then(|labels| labels.get(labels::SNAPSHOT_OF));
    label.and_then(Value::as_str) == Some(&labels::value(plan.name))
}

/// Whether it goes with something else, or a controller of Kubernetes has made it, for something that is judged itself.
pub(super) fn is_made_for_others(item: &Value) -> bool {
    let owners = item.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    if owners.is_some_and(|owners| !owners.is_empty()) {
        return true;
    }
    let entries = item.pointer("/metadata/managedFields").and_then(Value::as_array);
    let mut managers = entries.into_iter().flatten().map(|entry| text(entry, "/manager")).peekable();
    managers.peek().is_some() && managers.all(controllers::is_controller)
}

pub(super) fn is_furniture(kind: &str, item: &Value) -> bool {
    FURNITURE.contains(&(kind, text(item, "/metadata/name")))
}

pub(super) fn named(kind: &str, item: &Value) -> String {
    let (namespace, name) = (text(item, "/metadata/namespace"), text(item, "/metadata/name"));
    if namespace.is_empty() { format!("{kind} {name}") } else { format!("{kind} {namespace}/{name}") }
}
