//! The graph of a run as its journal keeps it: names, kinds and edges, and of the specs nothing. Pure.
//!
//! A run is shown long after its sources are gone, so this is all that `eve status` and `eve timeline` have. What a
//! spec says may be a secret; names are not. Where a plan was made of what is installed, its specs only name objects:
//! there they are kept, and the run can be resumed from them. The numbers of components are those of the graph.

use std::time::Duration;

use eve_core::plan::builder::{ComponentBuilder, PlanBuilder};
use eve_core::plan::graph::Graph;
use eve_core::plan::limits::Limits;
use eve_core::plan::problem::PlanProblem;
use eve_core::plan::{Action, Dependency, FailurePolicy, UndoRule, Until};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is kept of a graph. Part of every journal: fields may be added, none may change its meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sketch {
    plan: String,
    namespace: String,
    #[serde(rename = "onFailure", default, skip_serializing_if = "is_default")]
    on_failure: FailurePolicy,
    components: Vec<Node>,
}

/// One component. Short names, because there may be a hundred thousand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Node {
    #[serde(rename = "n")]
    name: String,
    #[serde(rename = "k", default, skip_serializing_if = "String::is_empty")]
    kind: String,
    #[serde(rename = "a", default, skip_serializing_if = "is_default")]
    action: Action,
    #[serde(rename = "u", default, skip_serializing_if = "is_default")]
    until: Until,
    /// Its own policy.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    on_failure: Option<FailurePolicy>,
    #[serde(rename = "v", default, skip_serializing_if = "is_default")]
    undo: UndoRule,
    /// Its own timeout, in milliseconds.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    /// Numbers of the components that must be ready first.
    #[serde(rename = "r", default, skip_serializing_if = "Vec::is_empty")]
    after_ready: Vec<u32>,
    /// Numbers of the components that must be applied first.
    #[serde(rename = "d", default, skip_serializing_if = "Vec::is_empty")]
    after_applied: Vec<u32>,
    /// Only where it names an object and says nothing more.
    #[serde(rename = "s", default, skip_serializing_if = "Value::is_null")]
    spec: Value,
}

/// What is kept of the specs of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Specs {
    /// Nothing: they may hold secrets.
    Left,
    /// All of them: they name objects and say nothing more.
    Kept,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Sketch {
    pub(crate) fn of(graph: &Graph, specs: Specs) -> Self {
        let components = graph.ids().map(|id| {
            let node = graph.node(id);
            let after = |until| {
                let edges = graph.dependencies(id).iter().filter(move |edge| edge.until == until);
                edges.map(|edge| edge.component.get()).collect()
            };
            Node {
                name: node.name().to_owned(),
                kind: if node.action().is_join() { String::new() } else { graph.kind(id).to_owned() },
                action: node.action(),
                until: node.until(),
                on_failure: node.on_failure(),
                undo: node.undo(),
                timeout_ms: node
                    .timeout()
                    .map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
                after_ready: after(Until::Ready),
                after_applied: after(Until::Applied),
                spec: if specs == Specs::Kept { node.spec().clone() } else { Value::Null },
            }
        });
        Self {
            plan: graph.name().to_owned(),
            namespace: graph.namespace().to_owned(),
            on_failure: graph.on_failure(),
            components: components.collect(),
        }
    }

    /// A graph of the same shape. Where its specs were left out, it is to be shown, never to be run.
    ///
    /// # Errors
    /// What makes it no graph; then this is no sketch that eve wrote.
    pub(crate) fn graph(&self) -> Result<Graph, Vec<PlanProblem>> {
        let name = |number: &u32| {
            // A number that names nothing becomes a name that nobody has, which the graph refuses.
            let found = usize::try_from(*number).ok().and_then(|number| self.components.get(number));
            found.map_or_else(|| format!("component-{number}"), |node| node.name.clone())
        };
        let component = |node: &Node| {
            let component = ComponentBuilder::new(&node.name, &node.kind)
                .action(node.action)
                .until(node.until)
                .undo(node.undo)
                .spec(node.spec.clone());
            let component = node.on_failure.into_iter().fold(component, ComponentBuilder::on_failure);
            let timeout = node.timeout_ms.map(Duration::from_millis);
            let component = timeout.into_iter().fold(component, ComponentBuilder::timeout);
            let ready = node.after_ready.iter().map(name).map(Dependency::ready);
            let applied = node.after_applied.iter().map(name).map(Dependency::applied);
            ready.chain(applied).fold(component, ComponentBuilder::depends_on)
        };
        let plan = PlanBuilder::new(&self.plan, &self.namespace)
            .on_failure(self.on_failure)
            .components(self.components.iter().map(component));
        Graph::from_plan_within(&plan, &Limits::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> Graph {
        let plan = PlanBuilder::new("shop", "blue")
            .component(ComponentBuilder::new("db", "object").spec("hunter2").until(Until::Applied))
            .component(ComponentBuilder::join("all").after("db"))
            .component(ComponentBuilder::new("old", "object").action(Action::Delete))
            .component(
                ComponentBuilder::new("web", "object").after("all").depends_on(Dependency::applied("old")),
            );
        Graph::from_plan(&plan).unwrap()
    }

    #[test]
    fn shape_survives_and_specs_do_not() {
        let (graph, sketch) = (graph(), Sketch::of(&graph(), Specs::Left));
        let text = serde_json::to_string(&sketch).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"plan":"shop","namespace":"blue","components":[{"n":"db","k":"object","u":"applied"},"#,
                r#"{"n":"all","a":"none","r":[0]},{"n":"old","k":"object","a":"delete"},"#,
                r#"{"n":"web","k":"object","r":[1],"d":[2]}]}"#
            ),
            "old journals have this form"
        );
        let read: Sketch = serde_json::from_str(&text).unwrap();
        let again = read.graph().unwrap();
        assert_eq!(Sketch::of(&again, Specs::Left), sketch);
        for id in graph.ids() {
            assert_eq!(again.dependencies(id), graph.dependencies(id), "{}", graph.node(id).name());
        }
    }

    #[test]
    fn what_decides_a_rollback_survives() {
        let plan = PlanBuilder::new("shop", "blue")
            .component(ComponentBuilder::new("db", "object").timeout(Duration::from_millis(1500)))
            .component(ComponentBuilder::new("migrate", "object").after("db").undo(UndoRule::Never))
            .component(ComponentBuilder::new("web", "object").on_failure(FailurePolicy::Rollback));
        let again = Sketch::of(&Graph::from_plan(&plan).unwrap(), Specs::Left).graph().unwrap();
        let node = |name| again.node(again.find(name).unwrap());
        assert_eq!(node("db").timeout(), Some(Duration::from_millis(1500)));
        assert_eq!(node("migrate").undo(), UndoRule::Never);
        assert!(again.may_be_rolled_back(), "a component has the policy");
    }

    #[test]
    fn a_graph_whose_specs_are_kept_comes_back_whole() {
        let identity = |graph: &Graph| {
            let mut bytes = Vec::new();
            graph.identity(&mut |piece| bytes.extend_from_slice(piece));
            bytes
        };
        let plan = PlanBuilder::new("shop", "blue")
            .on_failure(FailurePolicy::Continue)
            .component(ComponentBuilder::new("web", "object").spec("web").action(Action::Delete));
        let graph = Graph::from_plan(&plan).unwrap();
        let kept = Sketch::of(&graph, Specs::Kept).graph().unwrap();
        assert_eq!(identity(&kept), identity(&graph));
        let left = Sketch::of(&graph, Specs::Left).graph().unwrap();
        assert_ne!(identity(&left), identity(&graph));
    }

    #[test]
    fn what_is_no_graph_is_refused() {
        for components in [r#"[{"n":"a","r":[7]}]"#, r#"[{"n":"a","r":[0]}]"#] {
            let text = format!(r#"{{"plan":"p","namespace":"n","components":{components}}}"#);
            let sketch: Sketch = serde_json::from_str(&text).unwrap();
            assert!(sketch.graph().is_err(), "{components}");
        }
    }
}
