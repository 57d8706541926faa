//! Kinds: what stands under the kind key of a component, and how a composite becomes primitive components.
//!
//! A kind is pure: no I/O, no clock. It runs before the graph is built and before the first write.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::plan::expressions::Expressions;
use crate::plan::problem::SpecProblem;
use crate::plan::{Action, UndoRule, Until};

/// A component kind: its key in the plan, its schema, its checks, and its expansion into primitive components.
///
/// Strings of a spec may hold expressions that are rendered while the plan runs (`${{ … }}`, see [`crate::expr`]). A kind
/// passes such strings on untouched, whole or as part of others; those that decide what its parts are it refuses. Text
/// that only looks like an expression comes escaped: `$${{`.
pub trait Kind: Send + Sync {
    /// The key in the plan, lower camel case: `manifests`, `app`.
    fn name(&self) -> &'static str;

    /// The JSON Schema (2020-12) of the spec, for the assembled schema of the plan and for its validation.
    fn schema(&self) -> Value;

    /// Every problem of the spec that the schema cannot express. Empty when there is none.
    fn check(&self, spec: &Value, scope: &Scope<'_>) -> Vec<SpecProblem>;

    /// The primitive components that this spec stands for. Called only when `check` found no error. The spec is given away, so
    /// that what stands in it need not be copied.
    fn expand(&self, spec: Value, scope: &Scope<'_>) -> Expansion;

    /// The list of files in its spec, if it has one: the documents of those files are inlined by whoever reads the
    /// plan, before the spec is checked.
    fn files(&self) -> Option<FileList> {
        None
    }
}

/// A field of a spec that lists files, and the field that takes what stands in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileList {
    /// The field with the paths, a list of strings: `files`. Removed once the files are inlined.
    pub paths: &'static str,
    /// The field that takes the documents of the files, a list of objects: `objects`. Its values are data as in any
    /// manifest: expressions in files are text.
    pub into: &'static str,
}

/// The kinds that a plan may use, by name.
#[derive(Clone, Default)]
pub struct Kinds {
    kinds: BTreeMap<&'static str, Arc<dyn Kind>>,
    manifests: Option<Arc<dyn Kind>>,
}

impl Kinds {
    /// No kinds at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more kind; it replaces one of the same name.
    #[must_use]
    pub fn with(mut self, kind: impl Kind + 'static) -> Self {
        self.kinds.insert(kind.name(), Arc::new(kind));
        self
    }

    /// The same with one more kind, which also takes plain manifests: files without a plan are read as the
    /// spec `{INTO: [document, …]}` of this kind, `INTO` being its [`FileList::into`].
    #[must_use]
    pub fn with_manifests(mut self, kind: impl Kind + 'static) -> Self {
        let kind: Arc<dyn Kind> = Arc::new(kind);
        self.kinds.insert(kind.name(), Arc::clone(&kind));
        self.manifests = Some(kind);
        self
    }

    /// The kind of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Kind>> {
        self.kinds.get(name)
    }

    /// The kind that takes plain manifests.
    pub fn manifests(&self) -> Option<&Arc<dyn Kind>> {
        self.manifests.as_ref()
    }

    /// All kinds, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Arc<dyn Kind>)> {
        self.kinds.iter().map(|(name, kind)| (*name, kind))
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.kinds.keys()).finish()
    }
}

/// What a kind may know about the plan around a component.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    /// The plan's namespace.
    pub namespace: &'a str,
    /// The name of the component.
    pub component: &'a str,
}

/// What a component expands to. Names of parts are relative: `parent/part` is made by whoever expands.
#[derive(Clone, Debug, Default)]
pub struct Expansion {
    /// The parts, in the order in which they stand in the plan. One part named `""` replaces the component itself.
    pub parts: Vec<Part>,
}

/// One part of an expanded component.
#[derive(Clone, Debug)]
pub struct Part {
    /// Unique within the component, or empty when the component is primitive and stands for itself.
    pub name: String,
    /// The primitive kind, that is the key of an executor.
    pub kind: String,
    /// Whether the part is carried out or only joins its dependencies.
    pub action: Action,
    /// What the executor is given.
    pub spec: Arc<Value>,
    /// What must have happened before it starts: edges to other parts of the same component.
    pub dependencies: Vec<PartEdge>,
    /// Whether this part may be undone, where the component as a whole may.
    pub undo: UndoRule,
    /// Labels that this part adds to those of the component.
    pub labels: BTreeMap<String, String>,
    /// What it makes, in words that name it (`Deployment web`), if only one part of a plan may make it: two parts with
    /// the same words are refused.
    pub identity: Option<String>,
    /// Where its spec comes from, so that a problem found in it later can be shown in the text.
    pub origin: Option<PartOrigin>,
    /// The names of its outputs; `None` where that is only known when it ran.
    pub outputs: Option<Vec<String>>,
    /// The strings of its spec that are rendered while the plan runs. Filled in by whoever expands: a kind passes
    /// strings on as they are.
    pub expressions: Option<Arc<Expressions>>,
}

impl Part {
    /// A part that only joins its dependencies, of which it has none yet.
    pub fn join(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind: String::new(),
            action: Action::None,
            spec: Arc::new(Value::Null),
            dependencies: Vec::new(),
            undo: UndoRule::Allowed,
            labels: BTreeMap::new(),
            identity: None,
            origin: None,
            outputs: Some(Vec::new()),
            expressions: None,
        }
    }
}

/// An edge between parts of one component, seen from the part that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartEdge {
    /// The name of the part that must come first.
    pub part: String,
    /// How far it must have come.
    pub until: Until,
    /// Why; `None` if that goes without saying, as within the parts of an `app`.
    pub reason: Option<EdgeReason>,
}

impl PartEdge {
    /// Waits until `part` is ready, without a reason.
    pub fn ready(part: impl Into<String>) -> Self {
        Self { part: part.into(), until: Until::Ready, reason: None }
    }
}

/// Why one part waits for another: for people, never for the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeReason {
    /// Whether somebody wrote the order down, or it was found.
    pub source: EdgeSource,
    /// The rule, as the reference of the kind lists it: `configuration`.
    pub rule: &'static str,
    /// The field that says so, as a JSON Pointer into the component's spec.
    pub spec: String,
}

/// Where an edge of a graph comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EdgeSource {
    /// Somebody wrote it: `dependsOn`, an annotation.
    Written,
    /// A rule found it.
    Inferred,
    /// It holds the parts of a component together.
    Structure,
}

/// Which value of a component's spec stands, unchanged but for what was dropped, in the spec of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartOrigin {
    /// The value in the part's spec, as a JSON Pointer: `/object`.
    pub part: &'static str,
    /// The same value in the component's spec: `/objects/3`.
    pub spec: String,
}
