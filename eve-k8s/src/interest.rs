//! Which objects of a collection a run could ask for; all others are let go as soon as they are read. Pure.
//!
//! A namespace may hold thousands of pods of others. Whose an object is, its owner's kind and name say: they are known
//! from the plan before anything of it exists, so that nothing need be listed anew when a workload comes to be waited
//! for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use eve_core::plan::graph::Graph;
use serde_json::Value;

use crate::client::Collection;
use crate::object;
use crate::path::PathSegment;
use crate::readiness::text;

const DEPLOYMENT: &str = "Deployment";
const REPLICA_SET: &str = "ReplicaSet";
/// The kinds whose pods are looked at.
const OWNERS: [&str; 6] =
    [DEPLOYMENT, REPLICA_SET, "StatefulSet", "DaemonSet", "Job", "ReplicationController"];

/// What of a collection is kept.
#[derive(Debug)]
pub(crate) struct Interest {
    /// Whether the server selects already.
    is_all: bool,
    kind: Box<str>,
    namespace: Option<PathSegment>,
    names: BTreeSet<Box<str>>,
    /// Names of owners, by their kind.
    owners: BTreeMap<Box<str>, BTreeSet<Box<str>>>,
    /// Whose plans are in it.
    graphs: Vec<Weak<Graph>>,
}

/// Whether an interest covers more than before: what was let go until then must be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grown {
    No,
    Yes,
}

impl Interest {
    pub(crate) fn of(collection: &Collection) -> Self {
        Self {
            is_all: collection.label.is_some(),
            kind: collection.resource.kind.clone(),
            namespace: collection.namespace.clone(),
            names: BTreeSet::new(),
            owners: BTreeMap::new(),
            graphs: Vec::new(),
        }
    }

    /// Adds what the plan of a run names and what that will own. Linear in the plan, once for each run.
    pub(crate) fn add_plan(&mut self, graph: &Arc<Graph>) -> Grown {
        if self.is_all || self.graphs.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(graph))) {
            return Grown::No;
        }
        self.graphs.retain(|graph| graph.strong_count() > 0);
        self.graphs.push(Arc::downgrade(graph));
        let mut grown = Grown::No;
        for id in graph.ids() {
            let spec = graph.node(id).spec();
            let Ok((_, identity)) = object::identify(spec) else { continue };
            let namespace = identity.namespace.unwrap_or(graph.namespace());
            if self.namespace.as_ref().is_some_and(|own| own.as_str() != namespace) {
                continue;
            }
            if *identity.kind == *self.kind {
                grown = grown.or(self.add_name(identity.name));
            }
            if OWNERS.contains(&identity.kind) {
                grown = grown.or(self.add_owner(identity.kind, identity.name));
            }
        }
        grown
    }

    /// Adds the object of this name.
    pub(crate) fn add_name(&mut self, name: &str) -> Grown {
        Grown::of(!self.is_all && self.names.insert(name.into()))
    }

    /// Adds what the object of this kind and name owns.
    pub(crate) fn add_owner(&mut self, kind: &str, name: &str) -> Grown {
        if self.is_all || self.owns(kind, name) {
            return Grown::No;
        }
        Grown::of(self.owners.entry(kind.into()).or_default().insert(name.into()))
    }

    /// Whether an object is kept.
    pub(crate) fn covers(&self, object: &Value) -> bool {
        if self.is_all || self.names.contains(text(object, "/metadata/name")) {
            return true;
        }
        let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        owners.into_iter().flatten().any(|owner| self.owns(text(owner, "/kind"), text(owner, "/name")))
    }

    fn owns(&self, kind: &str, name: &str) -> bool {
        let is_known =
            |kind: &str, name: &str| self.owners.get(kind).is_some_and(|names| names.contains(name));
        // A Deployment names its replica sets after itself and a hash without dashes.
        let deployment =
            name.rsplit_once('-').map(|(deployment, _)| deployment).filter(|_| kind == REPLICA_SET);
        is_known(kind, name) || deployment.is_some_and(|deployment| is_known(DEPLOYMENT, deployment))
    }
}

impl Grown {
    fn of(grown: bool) -> Self {
        if grown { Self::Yes } else { Self::No }
    }

    pub(crate) fn or(self, other: Self) -> Self {
        if self == Self::Yes { self } else { other }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::discovery::Resource;

    fn pods() -> Interest {
        let resource = Arc::new(Resource::core("pods", "Pod").unwrap());
        let namespace = Some(PathSegment::namespace("shop").unwrap());
        Interest::of(&Collection { resource, namespace, label: None })
    }

    fn owned_by(kind: &str, name: &str) -> Value {
        json!({ "metadata": { "name": "x", "ownerReferences": [{ "kind": kind, "name": name }] } })
    }

    #[test]
    fn only_what_a_known_workload_owns_is_kept() {
        let mut interest = pods();
        assert_eq!(interest.add_owner("Deployment", "web"), Grown::Yes);
        assert_eq!(interest.add_owner("Job", "seed"), Grown::Yes);
        for (object, is_covered) in [
            (owned_by("ReplicaSet", "web-5d4f8"), true),
            (owned_by("Deployment", "web"), true),
            (owned_by("Job", "seed"), true),
            (owned_by("ReplicaSet", "web-api-5d4f8"), false),
            (owned_by("ReplicaSet", "web"), false),
            (owned_by("StatefulSet", "web"), false),
            (owned_by("Job", "seed-5d4f8"), false),
            (json!({ "metadata": { "name": "web" } }), false),
        ] {
            assert_eq!(interest.covers(&object), is_covered, "{object}");
        }
    }

    #[test]
    fn what_is_covered_already_is_nothing_new() {
        let mut interest = pods();
        interest.add_owner("Deployment", "web");
        assert_eq!(interest.add_owner("ReplicaSet", "web-5d4f8"), Grown::No);
        assert_eq!(interest.add_owner("Deployment", "web"), Grown::No);
        assert_eq!(interest.add_owner("ReplicaSet", "taken-over"), Grown::Yes);
        assert_eq!(interest.add_name("one"), Grown::Yes);
        assert!(interest.covers(&json!({ "metadata": { "name": "one" } })));
        let mut selected = Interest::of(&Collection {
            resource: Arc::new(Resource::core("pods", "Pod").unwrap()),
            namespace: None,
            label: Some(("eve.dev/plan", "shop".to_owned())),
        });
        assert_eq!(selected.add_name("one"), Grown::No);
        assert!(selected.covers(&json!({})), "the server selects");
    }
}
