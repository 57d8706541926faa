//! Which kinds the API server serves, under which name and in which scope. Pure but for `KubeClient::discover`.
//!
//! Asked once for a run. A kind whose definition is an object of the same plan is learned from that definition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use eve_core::few::few;
use eve_core::plan::graph::{Graph, closest};
use serde_json::Value;

use crate::error::ApiError;
use crate::object;
use crate::path::{PathError, PathSegment};

/// Whether objects of a kind live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Each object is in one namespace.
    Namespaced,
    /// Objects belong to the cluster as a whole.
    Cluster,
}

/// One kind as it is served.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Resource {
    /// `None` is the core group.
    pub(crate) group: Option<PathSegment>,
    pub(crate) version: PathSegment,
    pub(crate) plural: PathSegment,
    pub(crate) kind: Box<str>,
    pub(crate) scope: Scope,
    pub(crate) watchable: bool,
}

/// The kinds that an API server serves, and those that a plan is about to define. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Kinds {
    by_version: Arc<BTreeMap<String, BTreeMap<String, Arc<Resource>>>>,
    /// API versions whose own API server does not answer, so that their kinds may be missing.
    away: Arc<BTreeSet<String>>,
}

/// A kind that is not served, and what may have been meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UnknownKind {
    /// One line for people.
    pub message: String,
    /// What to do about it, if that is known.
    pub hint: Option<String>,
}

impl Resource {
    pub(crate) fn new(api_version: &str, kind: &str, plural: &str, scope: Scope) -> Result<Self, PathError> {
        let (group, version) = match api_version.split_once('/') {
            Some((group, version)) => (Some(PathSegment::subdomain(group)?), version),
            None => (None, api_version),
        };
        Ok(Self {
            group,
            version: PathSegment::subdomain(version)?,
            plural: PathSegment::subdomain(plural)?,
            kind: kind.into(),
            scope,
            watchable: true,
        })
    }

    /// A namespaced kind of the core group that eve itself reads, whatever discovery says.
    pub(crate) fn core(plural: &str, kind: &str) -> Result<Self, PathError> {
        Self::new("v1", kind, plural, Scope::Namespaced)
    }

    pub(crate) fn namespaces() -> Result<Self, PathError> {
        Self::new("v1", "Namespace", "namespaces", Scope::Cluster)
    }

    pub(crate) fn api_services() -> Result<Self, PathError> {
        Self::new("apiregistration.k8s.io/v1", "APIService", "apiservices", Scope::Cluster)
    }

    pub(crate) fn secrets() -> Result<Self, PathError> {
        Self::core("secrets", "Secret")
    }

    pub(crate) fn access_reviews() -> Result<Self, PathError> {
        let kind = "SelfSubjectAccessReview";
        Self::new("authorization.k8s.io/v1", kind, "selfsubjectaccessreviews", Scope::Cluster)
    }

    pub(crate) fn storage_classes() -> Result<Self, PathError> {
        Self::new("storage.k8s.io/v1", "StorageClass", "storageclasses", Scope::Cluster)
    }

    pub(crate) fn replica_sets() -> Result<Self, PathError> {
        Self::new("apps/v1", "ReplicaSet", "replicasets", Scope::Namespaced)
    }

    /// As it stands in objects: `v1`, `apps/v1`.
    pub(crate) fn api_version(&self) -> String {
        match &self.group {
            Some(group) => format!("{group}/{}", self.version),
            None => self.version.to_string(),
        }
    }

    /// The group, empty for the core group.
    pub(crate) fn group(&self) -> &str {
        self.group.as_ref().map_or("", PathSegment::as_str)
    }
}

impl Kinds {
    /// Reads the two documents of aggregated discovery. Kinds of an API server that is away are missing in them.
    pub(crate) fn from_discovery(core: &Value, groups: &Value) -> Result<Self, ApiError> {
        let mut kinds = Self::default();
        for document in [core, groups] {
            let Some(items) = document.get("items").and_then(Value::as_array) else {
                let reason =
                    "it is no aggregated discovery, which Kubernetes 1.30 and later serve".to_owned();
                return Err(ApiError::Malformed {
                    call: "ask what the API server serves".to_owned(),
                    reason,
                });
            };
            for item in items {
                let group = item.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                let versions = item.get("versions").and_then(Value::as_array);
                versions.into_iter().flatten().for_each(|version| kinds.add_version(group, version));
            }
        }
        Ok(kinds)
    }

    fn add_version(&mut self, group: &str, version: &Value) {
        let name = version.get("version").and_then(Value::as_str).unwrap_or_default();
        let api_version = if group.is_empty() { name.to_owned() } else { format!("{group}/{name}") };
        if version.get("freshness").and_then(Value::as_str) == Some("Stale") {
            Arc::make_mut(&mut self.away).insert(api_version.clone());
        }
        for resource in version.get("resources").and_then(Value::as_array).into_iter().flatten() {
            let kind = resource.pointer("/responseKind/kind").and_then(Value::as_str);
            let plural = resource.get("resource").and_then(Value::as_str);
            let Some((kind, plural)) = kind.zip(plural) else { continue };
            let namespaced = resource.get("scope").and_then(Value::as_str) == Some("Namespaced");
            let scope = if namespaced { Scope::Namespaced } else { Scope::Cluster };
            let verbs = resource.get("verbs").and_then(Value::as_array);
            let can = |verb: &str| verbs.is_some_and(|verbs| verbs.iter().any(|known| known == verb));
            // What cannot be read and patched (reviews, bindings) is no kind of an object.
            if !can("get") || !can("patch") {
                continue;
            }
            if let Ok(mut resource) = Resource::new(&api_version, kind, plural, scope) {
                resource.watchable = can("list") && can("watch");
                self.insert(&api_version, resource);
            }
        }
    }

    fn insert(&mut self, api_version: &str, resource: Resource) {
        let kinds = Arc::make_mut(&mut self.by_version).entry(api_version.to_owned()).or_default();
        // Two resources of one kind: the first is the one that discovery ranks first.
        kinds.entry(resource.kind.to_string()).or_insert_with(|| Arc::new(resource));
    }

    /// Learns the kinds that a `CustomResourceDefinition` defines; other objects teach nothing.
    #[must_use]
    pub fn with_definition(mut self, definition: &Value) -> Self {
        self.learn(definition);
        self
    }

    pub(crate) fn learn(&mut self, definition: &Value) -> Option<()> {
        if definition.get("kind")?.as_str()? != "CustomResourceDefinition" {
            return None;
        }
        let spec = definition.get("spec")?;
        let text = |pointer: &str| spec.pointer(pointer).and_then(Value::as_str);
        let (group, kind, plural) = (text("/group")?, text("/names/kind")?, text("/names/plural")?);
        let scope = if text("/scope")? == "Namespaced" { Scope::Namespaced } else { Scope::Cluster };
        for version in spec.get("versions")?.as_array()? {
            if version.get("served").and_then(Value::as_bool) != Some(false)
                && let Some(name) = version.get("name").and_then(Value::as_str)
            {
                let api_version = format!("{group}/{name}");
                if let Ok(resource) = Resource::new(&api_version, kind, plural, scope) {
                    self.insert(&api_version, resource);
                }
            }
        }
        Some(())
    }

    /// These kinds, and of the others those that these lack.
    pub(crate) fn merged(mut self, others: &Self) -> Self {
        for (api_version, kinds) in others.by_version.iter() {
            for resource in kinds.values() {
                self.insert(api_version, resource.as_ref().clone());
            }
        }
        self
    }

    /// Whether these are the very same, not only equal, kinds.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.by_version, &other.by_version)
    }

    /// Whether the API server behind this API version does not answer: what it serves is not known.
    pub(crate) fn is_away(&self, api_version: &str) -> bool {
        self.away.contains(api_version)
    }

    /// Whether a kind is served in any version of the group of this API version, or may be: the API server behind the group
    /// does not answer.
    pub(crate) fn may_have(&self, api_version: &str, kind: &str) -> bool {
        let group = |api_version: &str| api_version.split_once('/').map_or("", |(group, _)| group).to_owned();
        let wanted = group(api_version);
        let has = |(known, kinds): (&String, &BTreeMap<String, Arc<Resource>>)| {
            group(known) == wanted && kinds.contains_key(kind)
        };
        self.by_version.iter().any(has) || self.away.iter().any(|away| group(away) == wanted)
    }

    /// The API versions behind which no API server answers.
    pub(crate) fn away(&self) -> impl Iterator<Item = &str> {
        self.away.iter().map(String::as_str)
    }

    /// Every resource that can be listed, once: of several versions the most mature, of those the newest.
    pub(crate) fn listable(&self) -> Vec<Arc<Resource>> {
        let mut found: BTreeMap<(String, String), Arc<Resource>> = BTreeMap::new();
        let all = self.by_version.values().flat_map(BTreeMap::values);
        for resource in all.filter(|resource| resource.watchable) {
            let key = (resource.group().to_owned(), resource.plural.as_str().to_owned());
            let known = found.entry(key).or_insert_with(|| Arc::clone(resource));
            if maturity(resource.version.as_str()) > maturity(known.version.as_str()) {
                *known = Arc::clone(resource);
            }
        }
        found.into_values().collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_version.is_empty()
    }

    /// The same with every kind that an object of this plan defines.
    #[must_use]
    pub fn with_definitions_of(mut self, graph: &Graph) -> Self {
        for node in graph.ids().map(|id| graph.node(id)) {
            if let Some(definition) = node.spec().get(object::OBJECT) {
                self.learn(definition);
            }
        }
        self
    }

    /// The scope of a kind; `apiVersion` as it stands in objects: `v1`, `apps/v1`.
    ///
    /// # Errors
    /// [`UnknownKind`], with what may have been meant.
    pub fn scope(&self, api_version: &str, kind: &str) -> Result<Scope, UnknownKind> {
        self.find(api_version, kind).map(|resource| resource.scope)
    }

    pub(crate) fn find(&self, api_version: &str, kind: &str) -> Result<Arc<Resource>, UnknownKind> {
        let found = self.by_version.get(api_version).and_then(|kinds| kinds.get(kind));
        found.cloned().ok_or_else(|| self.unknown(api_version, kind))
    }

    fn unknown(&self, api_version: &str, kind: &str) -> UnknownKind {
        let elsewhere: Vec<&str> = self
            .by_version
            .iter()
            .filter(|(_, kinds)| kinds.contains_key(kind))
            .map(|(api_version, _)| api_version.as_str())
            .collect();
        let message = match self.by_version.get(api_version) {
            Some(_) => format!("no kind `{kind}` in {api_version}"),
            None => format!("{api_version} is not served, so there is no kind `{kind}` in it"),
        };
        if !elsewhere.is_empty() {
            return UnknownKind { message, hint: Some(format!("`{kind}` is served as {}", few(elsewhere))) };
        }
        let hint = match self.by_version.get(api_version) {
            Some(kinds) => closest(kind, kinds.keys().map(String::as_str))
                .map(|meant| format!("did you mean `{meant}`?")),
            None => closest(api_version, self.by_version.keys().map(String::as_str))
                .map(|meant| format!("did you mean `{meant}`?")),
        };
        let definition = || "install its CustomResourceDefinition first, or put it into the plan".to_owned();
        UnknownKind { message, hint: Some(hint.unwrap_or_else(definition)) }
    }
}

/// Orders versions as Kubernetes does (`v1beta1 < v1beta2 < v1 < v2`): stages first, then numbers.
fn maturity(version: &str) -> (u8, u32, u32) {
    let rest = version.strip_prefix('v').unwrap_or_default();
    let (stage, major, minor) = if let Some((major, minor)) = rest.split_once("alpha") {
        (1, major, minor)
    } else if let Some((major, minor)) = rest.split_once("beta") {
        (2, major, minor)
    } else {
        (3, rest, "0")
    };
    match (major.parse(), minor.parse()) {
        (Ok(major), Ok(minor)) => (stage, major, minor),
        _ => (0, 0, 0),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// A small cluster: core, apps, rbac and crds.
    pub(crate) fn kinds() -> Kinds {
        let resource = |kind: &str, plural: &str, scope: &str| {
            json!({ "resource": plural, "responseKind": { "kind": kind }, "scope": scope,
                    "verbs": ["get", "list", "watch", "patch"] })
        };
        let group = |name: &str, resources: Vec<Value>| json!({ "metadata": { "name": name }, "versions": [{ "version": "v1", "resources": resources }] });
        let core = json!({ "items": [group("", vec![
            resource("ConfigMap", "configmaps", "Namespaced"),
            resource("Secret", "secrets", "Namespaced"),
            resource("Namespace", "namespaces", "Cluster"),
            resource("Pod", "pods", "Namespaced"),
        ])] });
        let groups = json!({ "items": [
            group("apps", vec![resource("Deployment", "deployments", "Namespaced")]),
            group("rbac.authorization.k8s.io", vec![resource("ClusterRole", "clusterroles", "Cluster")]),
            group("apiextensions.k8s.io",
                  vec![resource("CustomResourceDefinition", "customresourcedefinitions", "Cluster")]),
        ] });
        Kinds::from_discovery(&core, &groups).unwrap()
    }

    #[test]
    fn an_unknown_kind_is_explained() {
        for (api_version, kind, message, hint) in [
            ("apps/v1", "Deploymnt", "no kind `Deploymnt` in apps/v1", "did you mean `Deployment`?"),
            (
                "extensions/v1beta1",
                "Deployment",
                "extensions/v1beta1 is not served, so there is no kind `Deployment` in it",
                "`Deployment` is served as apps/v1",
            ),
            ("v1", "Deployment", "no kind `Deployment` in v1", "`Deployment` is served as apps/v1"),
            (
                "app/v1",
                "Thing",
                "app/v1 is not served, so there is no kind `Thing` in it",
                "did you mean `apps/v1`?",
            ),
            (
                "stable.example.com/v1",
                "CronTab",
                "stable.example.com/v1 is not served, so there is no kind `CronTab` in it",
                "install its CustomResourceDefinition first, or put it into the plan",
            ),
        ] {
            let unknown = kinds().find(api_version, kind).unwrap_err();
            assert_eq!((unknown.message.as_str(), unknown.hint.as_deref()), (message, Some(hint)));
        }
    }

    #[test]
    fn versions_are_ordered_by_stage_and_number() {
        let order = ["x", "v1alpha1", "v1alpha2", "v1beta1", "v1beta2", "v2beta1", "v1", "v2", "v10"];
        assert!(order.is_sorted_by_key(|version| maturity(version)));
    }

    #[test]
    fn a_resource_that_is_served_in_two_versions_is_listed_once() {
        let version = |name: &str, freshness: &str| {
            json!({ "version": name, "freshness": freshness, "resources": [{
                "resource": "things", "responseKind": { "kind": "Thing" }, "scope": "Namespaced",
                "verbs": ["get", "list", "watch", "patch"] }] })
        };
        let group = json!({ "metadata": { "name": "x.dev" },
                            "versions": [version("v1", "Current"), version("v1beta1", "Stale")] });
        let kinds = Kinds::from_discovery(&json!({ "items": [] }), &json!({ "items": [group] })).unwrap();
        let listable: Vec<String> = kinds.listable().iter().map(|resource| resource.api_version()).collect();
        assert_eq!(listable, ["x.dev/v1"]);
        assert_eq!(kinds.away().collect::<Vec<_>>(), ["x.dev/v1beta1"]);
    }

    #[test]
    fn a_definition_teaches_its_served_kinds() {
        let definition = json!({
            "kind": "CustomResourceDefinition",
            "spec": {
                "group": "stable.example.com", "scope": "Cluster",
                "names": { "kind": "CronTab", "plural": "crontabs" },
                "versions": [{ "name": "v1", "served": true }, { "name": "v0", "served": false }],
            },
        });
        let kinds = kinds().with_definition(&definition);
        assert_eq!(kinds.scope("stable.example.com/v1", "CronTab"), Ok(Scope::Cluster));
        assert!(kinds.scope("stable.example.com/v0", "CronTab").is_err());
    }
}
