//! The namespace wall, first time: what a plan may not touch is refused before anything is written, all at once. Pure.
//!
//! It stands a second time in the executor, which asks the same [`ScopePolicy`] before each request.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use eve_core::plan::graph::{Graph, Node};
use eve_core::plan::problem::PlanProblem;
use eve_core::plan::{Action, problem};

use crate::discovery::{Kinds, Resource, Scope};
use crate::kinds::known;
use crate::object::{self, Identity, OBJECT_KIND};

/// What a plan may touch outside its own namespace. By default nothing.
#[derive(Clone, Debug, Default)]
pub struct ScopePolicy {
    namespaces: BTreeSet<String>,
    cluster_scoped: Vec<KindPattern>,
}

/// Which cluster-scoped objects are meant: `KIND`, `KIND.GROUP`, either with `/NAME`, or `*` for all.
///
/// ```
/// use eve_k8s::KindPattern;
/// for text in ["Namespace", "ClusterRole/reader", "CustomResourceDefinition.apiextensions.k8s.io", "*"] {
///     assert_eq!(text.parse::<KindPattern>().unwrap().to_string(), text);
/// }
/// assert!("".parse::<KindPattern>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindPattern {
    kind: String,
    group: Option<String>,
    name: Option<String>,
}

/// A text is no [`KindPattern`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no kind; write KIND, KIND.GROUP, KIND/NAME or *")]
pub struct BadPattern(String);

/// Why an object may not be touched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    pub(crate) pointer: &'static str,
    pub(crate) message: String,
    pub(crate) hint: String,
}

impl ScopePolicy {
    /// Also allows objects in this namespace.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespaces.insert(namespace.into());
        self
    }

    /// Also allows these cluster-scoped objects.
    #[must_use]
    pub fn with_cluster_scoped(mut self, pattern: KindPattern) -> Self {
        self.cluster_scoped.push(pattern);
        self
    }

    /// The namespaces that are allowed besides the plan's own.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.namespaces.iter().map(String::as_str)
    }

    /// Whether some cluster-scoped object of this kind is allowed.
    pub(crate) fn reaches(&self, resource: &Resource) -> bool {
        self.cluster_scoped.iter().any(|pattern| pattern.is_of(resource))
    }

    /// Whether a plan of the namespace `own` may touch the object.
    pub(crate) fn allows(
        &self,
        own: &str,
        resource: &Resource,
        identity: &Identity<'_>,
    ) -> Result<(), Refusal> {
        let (kind, name) = (identity.kind, identity.name);
        match resource.scope {
            Scope::Cluster if !self.cluster_scoped.iter().any(|pattern| pattern.matches(resource, name)) => {
                Err(Refusal {
                    code: "k8s.scope.cluster",
                    pointer: "/object/kind",
                    message: format!(
                        "{kind} `{name}` is cluster-scoped; this plan may only touch the namespace `{own}`"
                    ),
                    hint: format!("allow it with `--allow-cluster-scoped {kind}`"),
                })
            }
            Scope::Cluster => Ok(()),
            Scope::Namespaced => match identity.namespace {
                Some(other) if other != own && !self.namespaces.contains(other) => Err(Refusal {
                    code: "k8s.scope.namespace",
                    pointer: "/object/metadata/namespace",
                    message: format!(
                        "{kind} `{name}` is for the namespace `{other}`; this plan may only touch `{own}`"
                    ),
                    hint: format!("remove its namespace, or allow it with `--allow-namespace {other}`"),
                }),
                _ => Ok(()),
            },
        }
    }
}

impl KindPattern {
    fn matches(&self, resource: &Resource, name: &str) -> bool {
        self.is_of(resource) && self.name.as_deref().is_none_or(|wanted| wanted == name)
    }

    fn is_of(&self, resource: &Resource) -> bool {
        let kind = self.kind == "*" || *resource.kind == *self.kind;
        kind && self.group.as_deref().is_none_or(|group| group == resource.group())
    }
}

impl FromStr for KindPattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let (kind, name) = match text.split_once('/') {
            Some((kind, name)) => (kind, Some(name)),
            None => (text, None),
        };
        let (kind, group) = match kind.split_once('.') {
            Some((kind, group)) => (kind, Some(group)),
            None => (kind, None),
        };
        let plain =
            kind == "*" || (!kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let empty = |part: Option<&str>| part.is_some_and(str::is_empty);
        if !plain || empty(name) || empty(group) {
            return Err(BadPattern(text.to_owned()));
        }
        Ok(Self { kind: kind.to_owned(), group: group.map(str::to_owned), name: name.map(str::to_owned) })
    }
}

impl fmt::Display for KindPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        self.group.iter().try_for_each(|group| write!(f, ".{group}"))?;
        self.name.iter().try_for_each(|name| write!(f, "/{name}"))
    }
}

/// Every object of a plan that may not be touched or is of a kind that nobody serves: all problems at once, in plan
/// order, before the first write. Reads nothing but its arguments; kinds that the plan itself defines are known.
pub fn preflight(graph: &Graph, kinds: &Kinds, policy: &ScopePolicy) -> Vec<PlanProblem> {
    let kinds = kinds.clone().with_definitions_of(graph);
    let Some(ours) = graph.kinds().position(|kind| kind == OBJECT_KIND) else { return Vec::new() };
    let nodes = graph.ids().map(|id| graph.node(id));
    let objects = nodes.filter(|node| !node.action().is_join() && node.kind_index() == ours);
    objects.flat_map(|node| judge(node, graph.namespace(), &kinds, policy)).collect()
}

/// The same, as far as it can be told without a cluster: of kinds of Kubernetes itself, of those that the plan defines, and of
/// objects that state a namespace.
pub fn preflight_offline(graph: &Graph, policy: &ScopePolicy) -> Vec<PlanProblem> {
    let defined = Kinds::default().with_definitions_of(graph);
    let Some(ours) = graph.kinds().position(|kind| kind == OBJECT_KIND) else { return Vec::new() };
    let nodes = graph.ids().map(|id| graph.node(id));
    let objects = nodes.filter(|node| !node.action().is_join() && node.kind_index() == ours);
    let refused = objects.filter_map(|node| {
        let (_, identity) = object::identify(node.spec()).ok()?;
        let resource = presumed(&defined, &identity)?;
        let refusal = policy.allows(graph.namespace(), &resource, &identity).err()?;
        Some(told(node, refusal.code, refusal.pointer, refusal.message, Some(refusal.hint)))
    });
    refused.collect()
}

/// What is known of a kind without a cluster.
fn presumed(defined: &Kinds, identity: &Identity<'_>) -> Option<Arc<Resource>> {
    if let Ok(resource) = defined.find(identity.api_version, identity.kind) {
        return Some(resource);
    }
    let stated = || identity.namespace.map(|_| Scope::Namespaced);
    let scope = known::scope(identity.api_version, identity.kind).or_else(stated)?;
    // Nobody asks for it by this name.
    let plural = identity.kind.to_ascii_lowercase();
    Resource::new(identity.api_version, identity.kind, &plural, scope).ok().map(Arc::new)
}

fn told(
    node: &Node,
    code: &'static str,
    pointer: &str,
    message: String,
    hint: Option<String>,
) -> PlanProblem {
    PlanProblem {
        code: code.into(),
        component: Some(node.name().to_owned()),
        pointer: pointer.to_owned(),
        message,
        hint,
        cycle: Vec::new(),
    }
}

fn judge(node: &Node, own: &str, kinds: &Kinds, policy: &ScopePolicy) -> Vec<PlanProblem> {
    let identity = match object::identify(node.spec()) {
        Ok((_, identity)) => identity,
        Err(problems) => return problems.into_iter().map(|problem| malformed(node, problem)).collect(),
    };
    match kinds.find(identity.api_version, identity.kind) {
        // What nobody serves is gone already; whether only nobody answers is found out when it is looked for.
        Err(_) if node.action() == Action::Delete => Vec::new(),
        Err(unknown) => {
            let message = format!("{} `{}`: {}", identity.kind, identity.name, unknown.message);
            vec![told(node, "k8s.kind.unknown", "/object/apiVersion", message, unknown.hint)]
        }
        Ok(resource) => match policy.allows(own, &resource, &identity) {
            Ok(()) => Vec::new(),
            Err(refusal) => {
                vec![told(node, refusal.code, refusal.pointer, refusal.message, Some(refusal.hint))]
            }
        },
    }
}

fn malformed(node: &Node, problem: problem::SpecProblem) -> PlanProblem {
    PlanProblem {
        code: problem.code,
        component: Some(node.name().to_owned()),
        pointer: problem.pointer,
        message: problem.message,
        hint: problem.hint,
        cycle: Vec::new(),
    }
}
