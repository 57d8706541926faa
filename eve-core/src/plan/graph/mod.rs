//! The validated graph of a plan: dense indices, edges both ways, an order, and ranks.
//!
//! Built once by [`Graph::from_plan`], then never changed. Nothing here recurses, so a chain of a million components
//! needs no more stack than one of two.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::expressions::{Condition, Expressions};
use super::problem::PlanProblem;
use super::{Action, ClassLimit, FailurePolicy, Plan, RetryPolicy, UndoRule, Until};
use crate::ids::ComponentId;

mod build;
mod cycle;
mod identity;
mod names;
#[cfg(test)]
mod tests;

pub use names::closest;

/// A plan's components and edges, checked: every edge ends at a component, and there is no cycle.
#[derive(Clone, Debug)]
pub struct Graph {
    name: Box<str>,
    namespace: Box<str>,
    on_failure: FailurePolicy,
    may_be_rolled_back: bool,
    nodes: Vec<Node>,
    kinds: Vec<Box<str>>,
    classes: Vec<ClassLimit>,
    dependencies: Edges,
    dependants: Edges,
    order: Vec<ComponentId>,
    ranks: Vec<u32>,
}

/// One component of a graph.
#[derive(Clone, Debug)]
pub struct Node {
    name: Box<str>,
    kind: u16,
    class: Option<u16>,
    action: Action,
    until: Until,
    on_failure: Option<FailurePolicy>,
    undo: UndoRule,
    timeout: Option<Duration>,
    retry: Option<Box<RetryPolicy>>,
    labels: Box<[(Box<str>, Box<str>)]>,
    spec: Arc<Value>,
    dynamic: Option<Box<Dynamic>>,
}

/// What of a component is only known while the plan runs.
#[derive(Clone, Debug, Default)]
struct Dynamic {
    expressions: Option<Arc<Expressions>>,
    sources: Vec<Source>,
    ready_when: Option<Arc<Condition>>,
}

/// Where the outputs come from that the expressions of a component refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The component as its expressions name it.
    pub name: Box<str>,
    /// It must be ready before they are rendered.
    pub component: ComponentId,
    /// The components whose outputs are meant; of two with the same output the first counts.
    pub parts: Vec<ComponentId>,
}

/// One end of an edge, seen from the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The component at the far end.
    pub component: ComponentId,
    /// How far the dependency must have come.
    pub until: Until,
}

/// Edges of all components in one vector; those of component `i` are `edges[offsets[i]..offsets[i + 1]]`.
#[derive(Clone, Debug, Default)]
struct Edges {
    offsets: Vec<u32>,
    edges: Vec<Edge>,
}

impl Edges {
    fn of(&self, component: ComponentId) -> &[Edge] {
        let index = component.index();
        let range = self.offsets.get(index).zip(self.offsets.get(index + 1));
        range.and_then(|(&from, &to)| self.edges.get(from as usize..to as usize)).unwrap_or_default()
    }
}

impl Graph {
    /// Reads a plan once and checks it whole, within the default [`Limits`](super::limits::Limits).
    ///
    /// # Errors
    /// Every problem found, at least one: names, edges to nowhere, cycles, classes that disagree, limits.
    pub fn from_plan(plan: &dyn Plan) -> Result<Self, Vec<PlanProblem>> {
        Self::from_plan_within(plan, &super::limits::Limits::default())
    }

    /// [`Graph::from_plan`] within other limits.
    ///
    /// # Errors
    /// As [`Graph::from_plan`].
    pub fn from_plan_within(
        plan: &dyn Plan,
        limits: &super::limits::Limits,
    ) -> Result<Self, Vec<PlanProblem>> {
        build::build(plan, limits)
    }

    /// The name of the plan.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The one namespace of the plan.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// What a failure does to the run, unless the component says otherwise.
    pub const fn on_failure(&self) -> FailurePolicy {
        self.on_failure
    }

    /// Whether a run may be rolled back: the plan's policy or that of a component is [`FailurePolicy::Rollback`].
    pub const fn may_be_rolled_back(&self) -> bool {
        self.may_be_rolled_back
    }

    /// How many components there are, joins included.
    pub const fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no component at all.
    pub const fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How many edges there are.
    pub const fn edge_count(&self) -> usize {
        self.dependencies.edges.len()
    }

    /// All components, in plan order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = ComponentId> + ExactSizeIterator + use<> {
        (0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)).map(ComponentId::new)
    }

    /// All components, each after everything it depends on. The same for the same plan.
    pub fn order(&self) -> &[ComponentId] {
        &self.order
    }

    /// The component with this index.
    ///
    /// # Panics
    /// If the index belongs to another graph.
    #[expect(clippy::indexing_slicing, reason = "an index of another graph is a broken invariant")]
    pub fn node(&self, component: ComponentId) -> &Node {
        &self.nodes[component.index()]
    }

    /// The component of this name. Linear: for people's input, not for the engine.
    pub fn find(&self, name: &str) -> Option<ComponentId> {
        self.ids().find(|&id| self.node(id).name() == name)
    }

    /// What this component waits for, in plan order, each component once.
    pub fn dependencies(&self, component: ComponentId) -> &[Edge] {
        self.dependencies.of(component)
    }

    /// What waits for this component, in plan order.
    pub fn dependants(&self, component: ComponentId) -> &[Edge] {
        self.dependants.of(component)
    }

    /// The number of components on the longest path from this one to the end of the plan, itself not counted.
    pub fn rank(&self, component: ComponentId) -> u32 {
        self.ranks.get(component.index()).copied().unwrap_or_default()
    }

    /// The names of all kinds that need an executor, each once, in the order of first use. The position is
    /// [`Node::kind_index`].
    pub fn kinds(&self) -> impl ExactSizeIterator<Item = &str> {
        self.kinds.iter().map(AsRef::as_ref)
    }

    /// The kind of this component; without meaning for a join.
    pub fn kind(&self, component: ComponentId) -> &str {
        self.kinds.get(self.node(component).kind_index()).map_or("", AsRef::as_ref)
    }

    /// The classes of the plan; the position is [`Node::class_index`].
    pub fn classes(&self) -> &[ClassLimit] {
        &self.classes
    }
}

impl Node {
    /// Unique in the plan.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The position of its kind in [`Graph::kinds`]. Without meaning for a join.
    pub const fn kind_index(&self) -> usize {
        self.kind as usize
    }

    /// The position of its class in [`Graph::classes`].
    pub fn class_index(&self) -> Option<usize> {
        self.class.map(usize::from)
    }

    /// What is to be done with it.
    pub const fn action(&self) -> Action {
        self.action
    }

    /// [`Until::Applied`] waives its readiness for everybody.
    pub const fn until(&self) -> Until {
        self.until
    }

    /// Its own failure policy, if it has one.
    pub const fn on_failure(&self) -> Option<FailurePolicy> {
        self.on_failure
    }

    /// Whether it may be undone when the run is rolled back.
    pub const fn undo(&self) -> UndoRule {
        self.undo
    }

    /// Its own timeout, if it has one.
    pub const fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Its own retry policy, if it has one.
    pub fn retry(&self) -> Option<RetryPolicy> {
        self.retry.as_deref().copied()
    }

    /// The labels that the plan gives to its objects, ordered by key.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.labels.iter().map(|(key, value)| (key.as_ref(), value.as_ref()))
    }

    /// What its executor is to do, as the plan says it: with its [`Node::expressions`] as text.
    pub fn spec(&self) -> &Value {
        &self.spec
    }

    /// What of its spec is rendered before each call of its executor.
    pub fn expressions(&self) -> Option<&Arc<Expressions>> {
        self.dynamic.as_ref()?.expressions.as_ref()
    }

    /// Where the outputs come from that its expressions refer to.
    pub fn sources(&self) -> &[Source] {
        self.dynamic.as_ref().map(|dynamic| dynamic.sources.as_slice()).unwrap_or_default()
    }

    /// What must hold for it, besides what its kind says, before it counts as ready.
    pub fn ready_when(&self) -> Option<&Arc<Condition>> {
        self.dynamic.as_ref()?.ready_when.as_ref()
    }
}
