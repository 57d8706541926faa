//! A plan made in Rust, for embedders and tests.
//!
//! ```
//! use eve_core::plan::builder::{ComponentBuilder, PlanBuilder};
//! use eve_core::plan::graph::Graph;
//! let plan = PlanBuilder::new("shop", "shop")
//!     .component(ComponentBuilder::new("db", "sql"))
//!     .component(ComponentBuilder::new("web", "http").after("db"));
//! assert_eq!(Graph::from_plan(&plan)?.len(), 2);
//! # Ok::<(), Vec<eve_core::plan::problem::PlanProblem>>(())
//! ```

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::expressions::{Condition, Expressions};
use super::{
    Action, ClassLimit, Component, Dependency, FailurePolicy, Plan, RetryPolicy, Settings, UndoRule, Until,
};

/// A plan held in memory. Nothing is checked before it becomes a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanBuilder {
    name: String,
    namespace: String,
    on_failure: FailurePolicy,
    components: Vec<ComponentBuilder>,
}

impl PlanBuilder {
    /// A plan without components.
    pub fn new(name: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            namespace: namespace.into(),
            on_failure: FailurePolicy::default(),
            components: Vec::new(),
        }
    }

    /// The same with one more component, after the others.
    #[must_use]
    pub fn component(mut self, component: ComponentBuilder) -> Self {
        self.components.push(component);
        self
    }

    /// The same with more components, after the others.
    #[must_use]
    pub fn components(mut self, components: impl IntoIterator<Item = ComponentBuilder>) -> Self {
        self.components.extend(components);
        self
    }

    /// What a failure does to the run.
    #[must_use]
    pub fn on_failure(mut self, policy: FailurePolicy) -> Self {
        self.on_failure = policy;
        self
    }
}

impl Plan for PlanBuilder {
    fn name(&self) -> &str {
        &self.name
    }

    fn namespace(&self) -> &str {
        &self.namespace
    }

    fn on_failure(&self) -> FailurePolicy {
        self.on_failure
    }

    fn visit_components(&self, visit: &mut dyn FnMut(&dyn Component)) {
        self.components.iter().for_each(|component| visit(component));
    }
}

/// A component held in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct ComponentBuilder {
    name: String,
    kind: String,
    spec: Arc<Value>,
    pub(super) dependencies: Vec<Dependency>,
    settings: Settings,
}

impl ComponentBuilder {
    /// The same component, with these settings and no dependencies.
    pub(super) fn like(component: &dyn Component, settings: Settings) -> Self {
        let (name, kind) = (component.name().to_owned(), component.kind().to_owned());
        Self { name, kind, spec: component.spec(), dependencies: Vec::new(), settings }
    }

    /// A component of this kind with an empty spec and no dependencies.
    pub fn new(name: impl Into<String>, kind: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind: kind.into(),
            spec: Arc::new(Value::Null),
            dependencies: Vec::new(),
            settings: Settings::default(),
        }
    }

    /// A component that is ready as soon as its dependencies are; nothing is carried out for it.
    pub fn join(name: impl Into<String>) -> Self {
        let mut join = Self::new(name, "");
        join.settings.action = Action::None;
        join
    }

    /// What its executor is to do.
    #[must_use]
    pub fn spec(mut self, spec: impl Into<Value>) -> Self {
        self.spec = Arc::new(spec.into());
        self
    }

    /// What is to be done with it: by default it is applied.
    #[must_use]
    pub fn action(mut self, action: Action) -> Self {
        self.settings.action = action;
        self
    }

    /// The same, started only when `component` is ready.
    #[must_use]
    pub fn after(self, component: impl Into<String>) -> Self {
        self.depends_on(Dependency::ready(component))
    }

    /// The same with one more dependency.
    #[must_use]
    pub fn depends_on(mut self, dependency: Dependency) -> Self {
        self.dependencies.push(dependency);
        self
    }

    /// Waives its readiness for everybody with [`Until::Applied`].
    #[must_use]
    pub fn until(mut self, until: Until) -> Self {
        self.settings.until = until;
        self
    }

    /// How long it may take from its start, over all attempts.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = Some(timeout);
        self
    }

    /// When and how often a failed attempt is tried again.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.settings.retry = Some(retry);
        self
    }

    /// What its failure does to the run.
    #[must_use]
    pub fn on_failure(mut self, policy: FailurePolicy) -> Self {
        self.settings.on_failure = Some(policy);
        self
    }

    /// Whether it may be undone when the run is rolled back.
    #[must_use]
    pub fn undo(mut self, rule: UndoRule) -> Self {
        self.settings.undo = rule;
        self
    }

    /// What of its spec is rendered while the plan runs.
    #[must_use]
    pub fn expressions(mut self, expressions: Expressions) -> Self {
        self.settings.expressions = Some(Arc::new(expressions));
        self
    }

    /// What must hold for it, besides what its kind says, before it counts as ready.
    #[must_use]
    pub fn ready_when(mut self, condition: Condition) -> Self {
        self.settings.ready_when = Some(Arc::new(condition));
        self
    }

    /// The class that it shares with components which must not overlap.
    #[must_use]
    pub fn class(mut self, name: impl Into<String>, limit: u32) -> Self {
        self.settings.class = Some(ClassLimit { name: name.into(), limit });
        self
    }

    /// A label for its objects.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.labels.insert(key.into(), value.into());
        self
    }
}

impl Component for ComponentBuilder {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &str {
        &self.kind
    }

    fn spec(&self) -> Arc<Value> {
        Arc::clone(&self.spec)
    }

    fn dependencies(&self) -> Vec<Dependency> {
        self.dependencies.clone()
    }

    fn settings(&self) -> Settings {
        self.settings.clone()
    }
}
