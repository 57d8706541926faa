//! What an executor is given with a call: the component, and what surrounds it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::Clock;
use crate::failure::Cause;
use crate::ids::{Attempt, ComponentId, RunId};
use crate::plan::expressions::{Condition, Rendered};
use crate::plan::graph::{Graph, Node};
use crate::plan::{Action, UndoRule, Until};
use crate::secret::Mask;
use crate::time::Timestamp;

/// One component as an executor sees it. Cheap to clone.
#[derive(Clone)]
pub struct Step {
    run: RunId,
    graph: Arc<Graph>,
    component: ComponentId,
    attempt: Attempt,
    rendered: Option<Arc<Rendered>>,
    mask: Mask,
}

impl fmt::Debug for Step {
    /// Without the spec, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Step");
        shown.field("component", &self.name()).field("attempt", &self.attempt).finish_non_exhaustive()
    }
}

impl Step {
    /// The component of this graph, in this attempt of this run.
    ///
    /// # Panics
    /// If the graph has no such component: an identifier of another graph was used.
    pub fn new(run: RunId, graph: Arc<Graph>, component: ComponentId, attempt: Attempt) -> Self {
        assert!(component.index() < graph.len(), "the component belongs to another graph");
        Self { run, graph, component, attempt, rendered: None, mask: Mask::default() }
    }

    /// The same of a run whose secrets this takes out of texts.
    #[must_use]
    pub fn with_mask(mut self, mask: Mask) -> Self {
        self.mask = mask;
        self
    }

    /// Takes the secrets of the run out of what others say. For outputs and tokens: in failures, causes and reports the driver
    /// does it.
    pub const fn mask(&self) -> &Mask {
        &self.mask
    }

    /// The same with a spec whose expressions are rendered.
    #[must_use]
    pub fn with_rendered(mut self, spec: Rendered) -> Self {
        self.rendered = Some(Arc::new(spec));
        self
    }

    /// Whether there are expressions in its spec that are not rendered.
    pub fn is_unrendered(&self) -> bool {
        self.rendered.is_none() && self.node().expressions().is_some()
    }

    /// What must hold for the component, besides what its kind says, before it counts as ready.
    pub fn ready_when(&self) -> Option<&Condition> {
        self.node().ready_when().map(AsRef::as_ref)
    }

    fn node(&self) -> &Node {
        self.graph.node(self.component)
    }

    /// The graph that the component belongs to: what else the plan wants.
    pub const fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// Which run it is; of a look outside of any run, whatever name its caller gave it.
    pub const fn run(&self) -> &RunId {
        &self.run
    }

    /// Whether the run may be rolled back, and this component with it: only then `prepare` needs to say what would put it
    /// back, and `apply` to keep it.
    pub fn may_be_undone(&self) -> bool {
        self.graph.may_be_rolled_back() && self.node().undo() == UndoRule::Allowed
    }

    /// The name of the plan.
    pub fn plan(&self) -> &str {
        self.graph.name()
    }

    /// The plan's namespace.
    pub fn namespace(&self) -> &str {
        self.graph.namespace()
    }

    /// The name of the first other component of the plan, in plan order, of which this says yes to the spec. Linear:
    /// for what is told once.
    pub fn find(&self, mut is_meant: impl FnMut(&Value) -> bool) -> Option<&str> {
        let others = self.graph.ids().filter(|id| *id != self.component).map(|id| self.graph.node(id));
        others.into_iter().find(|node| is_meant(node.spec())).map(Node::name)
    }

    /// The component's index in the graph.
    pub const fn component(&self) -> ComponentId {
        self.component
    }

    /// The component's name, unique in the plan.
    pub fn name(&self) -> &str {
        self.node().name()
    }

    /// The attempt that the call belongs to.
    pub const fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// What is to be done.
    pub fn action(&self) -> Action {
        self.node().action()
    }

    /// How far it must come for everybody who depends on it.
    pub fn until(&self) -> Until {
        self.node().until()
    }

    /// The labels that the plan gives to the component's objects, ordered by key.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.node().labels()
    }

    /// The component's spec, rendered. It may hold values of secrets: none of it may be stored or shown as it is.
    pub fn spec(&self) -> &Value {
        self.rendered.as_ref().map_or_else(|| self.node().spec(), |rendered| rendered.value())
    }
}

/// What surrounds one call of an executor: its deadlines, and a way to tell what it waits for.
#[derive(Clone)]
pub struct Context {
    deadline: Timestamp,
    no_progress_timeout: Duration,
    clock: Arc<dyn Clock>,
    progress: Arc<dyn Fn(Cause) + Send + Sync>,
}

impl Context {
    /// A context whose progress goes to `progress`, which must not block.
    pub fn new(
        deadline: Timestamp,
        clock: Arc<dyn Clock>,
        progress: Arc<dyn Fn(Cause) + Send + Sync>,
    ) -> Self {
        Self { deadline, no_progress_timeout: Duration::MAX, clock, progress }
    }

    /// A context whose wait is to end, too, when it has told nothing new for this long.
    #[must_use]
    pub const fn with_no_progress_timeout(mut self, timeout: Duration) -> Self {
        self.no_progress_timeout = timeout;
        self
    }

    /// How long a wait may tell nothing new. As with the deadline, the engine gives it a little longer to say why.
    pub const fn no_progress_timeout(&self) -> Duration {
        self.no_progress_timeout
    }

    /// When the engine stops waiting for the end of this call.
    pub const fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// The time left until the deadline; zero when it is reached.
    pub fn remaining(&self) -> Duration {
        self.deadline.since(self.clock.now())
    }

    /// The time of the run's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Tells what the call waits for. Cheap; may be called as often as it changes, from any thread.
    pub fn progress(&self, cause: Cause) {
        (self.progress)(cause);
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
