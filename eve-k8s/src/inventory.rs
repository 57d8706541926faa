//! What is installed, from labels alone: one list of metadata for each kind that can be listed. Reads only.
//!
//! Some controllers copy the labels of an object to what they make of it (a Service to its endpoints): such copies are
//! told by having another owner, and are no part of a plan. A plan made of what is there is for removing it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use eve_core::kind::{Kind, Scope as KindScope};
use eve_core::plan::Dependency;
use eve_core::plan::builder::{ComponentBuilder, PlanBuilder};
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::client::{Collection, Detail, KubeClient, Labelled};
use crate::discovery::{Kinds, Resource, Scope};
use crate::error::ApiError;
use crate::kinds::Manifests;
use crate::object::{Identity, OBJECT_KIND};
use crate::path::PathSegment;
use crate::preflight::ScopePolicy;
use crate::readiness::text;
use crate::{labels, owned};

/// How many lists are under way at once.
const LISTS_MAX: usize = 16;

/// How long is waited before a list is asked for again. The server's own advice for a kind that is new is one second
/// (`storage is (re)initializing`, apiserver `pkg/storage/cacher`).
const LIST_AGAIN_AFTER: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(1), Duration::from_secs(2)];

/// Where is looked.
#[derive(Clone, Copy, Debug)]
pub enum InventoryScope<'a> {
    /// In all namespaces, and at objects of the cluster.
    Everywhere,
    /// In one namespace.
    Namespace(&'a str),
    /// In one namespace and wherever else this policy lets its plan reach.
    Reach(&'a str, &'a ScopePolicy),
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Objects that carry the label of a plan, by namespace, plan, component, kind and name.
    pub objects: Vec<Installed>,
    /// Kinds that could not be looked at, each with the reason, for people.
    pub unseen: Vec<String>,
}

/// One object of a plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Installed {
    /// `None` for an object of the cluster.
    pub namespace: Option<String>,
    /// The plan, as the label has it: cut and hashed where its name is no label value.
    pub plan: String,
    /// The namespace of the plan; `None` where an object of the cluster does not say.
    pub plan_namespace: Option<String>,
    /// The component, as the label has it.
    pub component: String,
    /// `Deployment`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// `v1`, `apps/v1`: one of the versions that are served.
    pub api_version: String,
    /// RFC 3339 in UTC.
    pub created: String,
    /// It was there before eve: deleting the plan leaves it.
    pub is_adopted: bool,
    /// The annotation by which it says that it is never to be deleted, if it does.
    pub keep: Option<String>,
    /// Since when it is being deleted, if it is.
    pub deleting: Option<String>,
    uid: String,
}

/// An object that carries the label of a plan, and that the plan does not name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOver {
    /// `None` for an object of the cluster.
    pub namespace: Option<String>,
    /// `ConfigMap`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// Looks for the objects of a plan, or of all plans. Lists are metadata only, selected by label, 16 at once.
///
/// # Errors
/// [`ApiError`] if not one kind could be listed; single failures are in [`Inventory::unseen`].
pub async fn inventory(
    client: &KubeClient,
    kinds: &Kinds,
    scope: InventoryScope<'_>,
    plan: Option<&str>,
) -> Result<Inventory, ApiError> {
    let plan = plan.map(labels::value);
    let label = match &plan {
        Some(value) => Labelled::Value(labels::PLAN, value),
        None => Labelled::Key(labels::PLAN),
    };
    let collections = collections(kinds, scope)?;
    let lists = futures::stream::iter(collections).map(|collection| async move {
        let listed = patiently(|| all(client, &collection, label, Detail::Metadata)).await;
        (collection, listed)
    });
    let lists: Vec<_> = lists.buffer_unordered(LISTS_MAX).collect().await;
    let mut inventory = Inventory::default();
    let (mut uids, mut succeeded, mut first_error) = (BTreeSet::new(), false, None);
    for (collection, listed) in lists {
        match listed {
            Ok(items) => {
                succeeded = true;
                let found = items.iter().filter_map(|item| installed(&collection.resource, item));
                let allowed = found.filter(|found| allows(scope, &collection.resource, found));
                inventory.objects.extend(allowed.filter(|found| uids.insert(found.uid.clone())));
            }
            // Not a kind that keeps objects, or gone meanwhile.
            Err(error) if error.is_code(404) || error.is_code(405) => succeeded = true,
            Err(error) => {
                inventory.unseen.push(error.to_string());
                first_error.get_or_insert(error);
            }
        }
    }
    if let (Some(error), false) = (first_error, succeeded) {
        return Err(error);
    }
    inventory.unseen.extend(kinds.away().map(|version| format!("{version}: its API server does not answer")));
    inventory.unseen.sort();
    inventory.objects.sort();
    Ok(inventory)
}

/// A plan that holds what was found, in the order in which it would be applied: to be turned round. Its specs name the
/// objects and hold nothing else. Objects of the kinds found are listed once more, whole but for Secrets, to see what
/// needs what.
///
/// # Errors
/// [`ApiError`].
pub async fn plan_of(
    client: &KubeClient,
    kinds: &Kinds,
    inventory: &Inventory,
    (name, namespace): (&str, &str),
) -> Result<PlanBuilder, ApiError> {
    let value = labels::value(name);
    let mut wanted: BTreeMap<Collection, BTreeMap<&str, &Installed>> = BTreeMap::new();
    for object in &inventory.objects {
        let Ok(resource) = kinds.find(&object.api_version, &object.kind) else { continue };
        let namespace = object.namespace.as_deref().map(PathSegment::namespace).transpose()?;
        let collection = Collection { resource, namespace, label: None };
        wanted.entry(collection).or_default().insert(&object.uid, object);
    }
    let lists = futures::stream::iter(wanted).map(|(collection, wanted)| {
        let label = Labelled::Value(labels::PLAN, &value);
        async move {
            let is_secret = collection.resource.group.is_none() && *collection.resource.kind == *"Secret";
            if is_secret {
                return Ok(wanted.values().map(|object| identity(object)).collect::<Vec<Value>>());
            }
            let mut items = patiently(|| all(client, &collection, label, Detail::Whole)).await?;
            items.retain_mut(|item| {
                let found = wanted.get(text(item, "/metadata/uid"));
                found.inspect(|found| name_kind(item, found)).is_some()
            });
            Ok::<_, ApiError>(items)
        }
    });
    let lists: Vec<_> = lists.buffered(LISTS_MAX).collect().await;
    let objects = lists.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    Ok(ordered(&objects, name, namespace))
}

/// What a list leaves to be known from itself.
fn name_kind(item: &mut Value, found: &Installed) {
    if let Some(fields) = item.as_object_mut() {
        fields.insert("apiVersion".to_owned(), found.api_version.as_str().into());
        fields.insert("kind".to_owned(), found.kind.as_str().into());
    }
}

/// The objects in the order that is inferred among them. Pure.
fn ordered(objects: &[Value], name: &str, namespace: &str) -> PlanBuilder {
    let spec = json!({ "objects": objects });
    let parts = Manifests::default().expand(spec, &KindScope { namespace, component: "" }).parts;
    let component = |part: eve_core::kind::Part| {
        let component = if part.action.is_join() {
            ComponentBuilder::join(part.name)
        } else {
            let object = part.spec.get(crate::object::OBJECT).unwrap_or(&Value::Null);
            ComponentBuilder::new(part.name, OBJECT_KIND).spec(bare(object))
        };
        part.dependencies.into_iter().fold(component, |component, edge| {
            component.depends_on(Dependency { component: edge.part, until: edge.until })
        })
    };
    PlanBuilder::new(name, namespace).components(parts.into_iter().map(component))
}

/// The spec that names an object, without what stands in it.
fn bare(object: &Value) -> Value {
    let text_of = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let name = (text_of("/metadata/namespace"), text_of("/metadata/name").unwrap_or_default());
    let kind = (text_of("/apiVersion").unwrap_or_default(), text_of("/kind").unwrap_or_default());
    json!({ "object": named(kind, name) })
}

fn identity(object: &Installed) -> Value {
    named((&object.api_version, &object.kind), (object.namespace.as_deref(), &object.name))
}

fn named((api_version, kind): (&str, &str), (namespace, name): (Option<&str>, &str)) -> Value {
    let metadata = match namespace {
        Some(namespace) => json!({ "name": name, "namespace": namespace }),
        None => json!({ "name": name }),
    };
    json!({ "apiVersion": api_version, "kind": kind, "metadata": metadata })
}

/// Everything that may be looked at in this scope.
fn collections(kinds: &Kinds, scope: InventoryScope<'_>) -> Result<Vec<Collection>, ApiError> {
    let (own, policy) = match scope {
        InventoryScope::Everywhere => (None, None),
        InventoryScope::Namespace(own) => (Some(own), None),
        InventoryScope::Reach(own, policy) => (Some(own), Some(policy)),
    };
    let mut namespaces = Vec::new();
    for name in own.into_iter().chain(policy.into_iter().flat_map(ScopePolicy::namespaces)) {
        namespaces.push(PathSegment::namespace(name)?);
    }
    let mut found = Vec::new();
    for resource in kinds.listable() {
        // Events come and go by themselves, and carry no labels.
        if *resource.kind == *"Event" {
            continue;
        }
        let of = |namespace| Collection { resource: Arc::clone(&resource), namespace, label: None };
        match (resource.scope, own) {
            (_, None) => found.push(of(None)),
            (Scope::Namespaced, Some(_)) => found.extend(namespaces.iter().cloned().map(Some).map(of)),
            (Scope::Cluster, Some(_)) if policy.is_some_and(|policy| policy.reaches(&resource)) => {
                found.push(of(None));
            }
            (Scope::Cluster, Some(_)) => {}
        }
    }
    Ok(found)
}

/// A policy may allow single objects of a kind; and a plan of the same name may have another namespace.
fn allows(scope: InventoryScope<'_>, resource: &Resource, found: &Installed) -> bool {
    let InventoryScope::Reach(own, policy) = scope else { return true };
    if found.plan_namespace.as_deref() != Some(own) {
        return false;
    }
    let (api_version, kind, name) = (found.api_version.as_str(), found.kind.as_str(), found.name.as_str());
    let identity = Identity { api_version, kind, name, namespace: found.namespace.as_deref() };
    policy.allows(own, resource, &identity).is_ok()
}

/// Lists again where the server is only not ready to: it says so for a kind whose definition is new, and for a list
/// whose place it forgot between two pages.
pub(crate) async fn patiently<F>(list: impl Fn() -> F) -> Result<Vec<Value>, ApiError>
where
    F: Future<Output = Result<Vec<Value>, ApiError>>,
{
    let mut waits = LIST_AGAIN_AFTER.into_iter();
    loop {
        match (list().await, waits.next()) {
            (Err(error), Some(wait)) if error.is_code(429) || error.is_code(410) => {
                tracing::debug!(%error, "listed again");
                tokio::time::sleep(wait).await;
            }
            (listed, _) => return listed,
        }
    }
}

/// All pages of a list.
pub(crate) async fn all(
    client: &KubeClient,
    collection: &Collection,
    label: Labelled<'_>,
    detail: Detail,
) -> Result<Vec<Value>, ApiError> {
    let mut items = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let mut page = client.list_labelled(collection, label, detail, after.as_deref()).await?;
        let found = page.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take);
        items.extend(found.unwrap_or_default());
        after = Some(text(&page, "/metadata/continue").to_owned()).filter(|next| !next.is_empty());
        if after.is_none() {
            return Ok(items);
        }
    }
}

/// The object, unless its labels are a copy of another's.
pub(crate) fn installed(resource: &Resource, item: &Value) -> Option<Installed> {
    let managers = item.pointer("/metadata/managedFields").and_then(Value::as_array);
    if managers.is_some_and(|managers| !managers.is_empty()) && !owned::is_applied(item) {
        return None;
    }
    let label = |key: &str| item.pointer("/metadata/labels")?.get(key)?.as_str().map(str::to_owned);
    let own = |pointer: &str| Some(text(item, pointer).to_owned()).filter(|text| !text.is_empty());
    Some(Installed {
        namespace: own("/metadata/namespace"),
        plan: label(labels::PLAN)?,
        plan_namespace: labels::plan_namespace(item).map(str::to_owned),
        component: label(labels::COMPONENT).unwrap_or_default(),
        kind: resource.kind.to_string(),
        name: own("/metadata/name")?,
        api_version: resource.api_version(),
        created: text(item, "/metadata/creationTimestamp").to_owned(),
        is_adopted: labels::annotation(item, labels::ADOPTED).is_some(),
        keep: labels::keep(item).map(str::to_owned),
        deleting: own("/metadata/deletionTimestamp"),
        uid: text(item, "/metadata/uid").to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use eve_core::plan::graph::Graph;
    use eve_core::plan::reversed;

    use super::*;
    use crate::discovery::tests::kinds;
    use crate::error::ApiStatus;

    fn paths(scope: InventoryScope<'_>) -> Vec<String> {
        let show = |one: &Collection| {
            let namespace = one.namespace.as_ref().map_or("*", PathSegment::as_str);
            format!("{namespace}/{}", one.resource.plural)
        };
        collections(&kinds(), scope).unwrap().iter().map(show).collect()
    }

    #[test]
    fn only_what_the_policy_reaches_is_looked_at() {
        assert_eq!(
            paths(InventoryScope::Namespace("shop")),
            ["shop/configmaps", "shop/pods", "shop/secrets", "shop/deployments"]
        );
        let policy = ScopePolicy::default().with_cluster_scoped("ClusterRole/reader".parse().unwrap());
        let reach = paths(InventoryScope::Reach("shop", &policy));
        assert_eq!(reach.last().map(String::as_str), Some("*/clusterroles"));
        assert!(!reach.contains(&"*/namespaces".to_owned()));
        assert!(paths(InventoryScope::Everywhere).contains(&"*/namespaces".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_is_not_ready_is_asked_for_again_a_few_times() {
        for (code, faults, asked, succeeds) in
            [(429, 4, 5, true), (410, 1, 2, true), (429, 9, 5, false), (403, 1, 1, false)]
        {
            let count = std::cell::Cell::new(0);
            let list = || {
                count.set(count.get() + 1);
                let status = ApiStatus { code, ..ApiStatus::default() };
                let refused = ApiError::Refused { call: "list".to_owned(), status: Box::new(status) };
                let answer = if count.get() > faults { Ok(Vec::new()) } else { Err(refused) };
                std::future::ready(answer)
            };
            assert_eq!((patiently(list).await.is_ok(), count.get()), (succeeds, asked), "{code}, {faults}");
        }
    }

    #[test]
    fn copies_of_labels_are_no_part_of_a_plan() {
        let resource = kinds().find("v1", "ConfigMap").unwrap();
        let item = |managers: Value| {
            json!({ "metadata": {
                "name": "a", "uid": "u", "labels": { labels::PLAN: "shop" }, "managedFields": managers } })
        };
        let by = |manager: &str, operation: &str| json!([{ "manager": manager, "operation": operation, "apiVersion": "v1", "fieldsV1": {} }]);
        assert!(installed(&resource, &item(by("eve", "Apply"))).is_some());
        assert!(installed(&resource, &item(by("kube-controller-manager", "Update"))).is_none());
        assert!(installed(&resource, &item(json!([]))).is_some(), "somebody strips managed fields");
        assert!(installed(&resource, &json!({ "metadata": { "name": "a" } })).is_none());
    }

    #[test]
    fn what_is_there_is_removed_in_the_reverse_of_the_inferred_order() {
        let secret =
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s", "namespace": "shop" } });
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p", "namespace": "shop" },
            "spec": { "containers": [{ "name": "main", "envFrom": [{ "secretRef": { "name": "s" } }] }] } });
        let plan = reversed(&ordered(&[secret, pod], "shop", "shop"));
        let graph = Graph::from_plan(&plan).unwrap();
        let order: Vec<&str> = graph.order().iter().map(|id| graph.node(*id).name()).collect();
        assert_eq!(order, ["pod/p", "secret/s"]);
        let secret = graph.node(graph.find("pod/p").unwrap()).spec();
        assert_eq!(secret.pointer("/object/spec"), None, "specs only name objects");
    }
}
