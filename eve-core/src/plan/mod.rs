//! What is asked for: the input border of the engine.
//!
//! [`Plan`] and [`Component`] are what [`Graph::from_plan`](graph::Graph::from_plan) reads, once; behind it nobody
//! knows them. `spec` is the ready-made plan of the documentation, `load` reads it from YAML or JSON, `problem` holds
//! what can be wrong with either. Start with the two traits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub mod builder;
pub mod diagnostic;
mod expand;
pub mod expressions;
pub mod graph;
pub mod limits;
pub mod load;
pub mod problem;
mod reversed;
pub mod spec;

pub use reversed::reversed;

/// A plan: one namespace and a set of components with dependencies between them.
///
/// An input border only: it is read once, by [`Graph::from_plan`](graph::Graph::from_plan), and never kept. Nothing
/// needs to be valid yet; the graph reports what is not.
pub trait Plan {
    /// The application: stable over releases. A DNS-1123 label, at most 63 bytes.
    fn name(&self) -> &str;

    /// The one namespace that the plan may touch. A DNS-1123 label, at most 63 bytes.
    fn namespace(&self) -> &str;

    /// What a failed component does to the run, unless the component says otherwise.
    fn on_failure(&self) -> FailurePolicy;

    /// Shows each component once, in plan order. The same components in the same order at each call.
    ///
    /// A visitor and not an iterator, so that a generator can make components as they are asked for.
    fn visit_components(&self, visit: &mut dyn FnMut(&dyn Component));
}

/// One node of a [`Plan`].
pub trait Component {
    /// Unique in the plan: DNS-1123 labels, joined by `/` for the parts of a composite. At most 253 bytes.
    fn name(&self) -> &str;

    /// Which executor carries it out; ignored for [`Action::None`].
    fn kind(&self) -> &str;

    /// What the executor is to do, opaque to the engine. Shared, never copied.
    fn spec(&self) -> Arc<Value>;

    /// What must have happened before this component starts, in plan order. Names of components of the same plan.
    fn dependencies(&self) -> Vec<Dependency>;

    /// The fields that every component has, whatever its kind.
    fn settings(&self) -> Settings;
}

/// An edge of the graph, seen from the component that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The name of the component that must come first.
    pub component: String,
    /// How far it must have come.
    pub until: Until,
}

impl Dependency {
    /// Waits until `component` is ready.
    pub fn ready(component: impl Into<String>) -> Self {
        Self { component: component.into(), until: Until::Ready }
    }

    /// Waits until `component` is applied.
    pub fn applied(component: impl Into<String>) -> Self {
        Self { component: component.into(), until: Until::Applied }
    }
}

/// How far a component must have come.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Until {
    /// Its writes were accepted; nothing is said about its health.
    Applied,
    /// It is up and healthy, in the sense of its kind.
    #[default]
    Ready,
}

/// What is to be done with a component.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Make it so, then wait for it.
    #[default]
    Apply,
    /// Remove it, then wait until it is gone. Where it is gone already, nothing is written.
    Delete,
    /// Wait for it without ever writing it: for its outputs, and for what must be there before others start.
    Read,
    /// A join: completed by the engine when its dependencies are; no executor is called.
    None,
}

impl Action {
    /// Whether nothing is carried out: no executor is called.
    pub const fn is_join(self) -> bool {
        matches!(self, Self::None)
    }

    /// Whether the write phase may ever be called.
    pub const fn writes(self) -> bool {
        matches!(self, Self::Apply | Self::Delete)
    }
}

/// What the failure of a component does to the run.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum FailurePolicy {
    /// Start nothing new, let what runs come to its end, then fail.
    #[default]
    Drain,
    /// Only components that depend on the failed one are skipped; the rest goes on, then the run fails.
    Continue,
    /// As `drain`, then everything that the run changed is undone, what was changed last first.
    Rollback,
}

/// Whether a component may be undone when its run is rolled back.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum UndoRule {
    /// It is put back as it was before the run.
    #[default]
    Allowed,
    /// It is never undone, as a migration that cannot be: once it was begun, what it depends on stays too.
    Never,
}

/// The fields that every component has, whatever its kind. What is `None` is taken from the run's options.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Apply, delete or read it, or only join its dependencies.
    pub action: Action,
    /// [`Until::Applied`] waives the readiness of this component for everybody.
    pub until: Until,
    /// How long the component may take from its start, over all attempts.
    pub timeout: Option<Duration>,
    /// When and how often a failed attempt is tried again.
    pub retry: Option<RetryPolicy>,
    /// What its failure does to the run; the plan's policy if `None`.
    pub on_failure: Option<FailurePolicy>,
    /// The class it belongs to, if it must not run beside too many of its like.
    pub class: Option<ClassLimit>,
    /// Labels for the objects of the component, passed on to the executor.
    pub labels: BTreeMap<String, String>,
    /// What of its spec is rendered while the plan runs, before each call of its executor. Its strings in the spec are
    /// those of the plan until then.
    pub expressions: Option<Arc<expressions::Expressions>>,
    /// What must hold for it, besides what its kind says, before it counts as ready.
    pub ready_when: Option<Arc<expressions::Condition>>,
    /// Whether it may be undone when the run is rolled back.
    pub undo: UndoRule,
}

/// A retry policy as a component states it. Written, it covers every failure class but `Misuse` and `Cancelled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryPolicy {
    /// Attempts in all, the first included; 1 to 100.
    pub attempts: u32,
    /// The pause after the first failed attempt; doubles with each further one.
    pub backoff: Duration,
    /// The longest pause.
    pub max_backoff: Duration,
}

/// A class serialises components that must not overlap, for example two migrations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassLimit {
    /// The name that components of the class share.
    pub name: String,
    /// How many components of the class may be between their start and their end at once; at least 1. All components
    /// of a class must state the same limit.
    pub limit: u32,
}
