//! A plan turned round: what it would build is removed, what was built last goes first. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Action, Component, Dependency, FailurePolicy, Plan, Settings, Until};

/// A plan that removes what another one builds: every edge the other way, and until what waits is gone.
///
/// Joins stay joins, and so does what the other plan only reads: it is not its to remove. A waiver of readiness does not
/// waive that a component must be gone. All other settings stay.
#[derive(Clone, Debug)]
pub struct Reversed {
    name: String,
    namespace: String,
    on_failure: FailurePolicy,
    components: Vec<Turned>,
}

#[derive(Clone, Debug)]
struct Turned {
    name: String,
    kind: String,
    spec: Arc<Value>,
    dependencies: Vec<Dependency>,
    settings: Settings,
}

/// The plan that removes what `plan` builds, its components in the reverse order.
///
/// Nothing needs to be valid. An edge to a component that does not exist becomes one of the component that has it, so
/// that the graph reports it all the same.
pub fn reversed(plan: &dyn Plan) -> Reversed {
    let mut components = Vec::new();
    let mut edges = Vec::new();
    plan.visit_components(&mut |component| {
        edges.push(component.dependencies());
        let mut settings = component.settings();
        settings.until = Until::Ready;
        // What goes needs no values, and is never ready again.
        (settings.expressions, settings.ready_when) = (None, None);
        settings.action = match settings.action {
            Action::Apply | Action::Delete => Action::Delete,
            Action::Read | Action::None => Action::None,
        };
        components.push(Turned {
            name: component.name().to_owned(),
            kind: component.kind().to_owned(),
            spec: component.spec(),
            dependencies: Vec::new(),
            settings,
        });
    });
    let mut position = BTreeMap::new();
    for (index, component) in components.iter().enumerate() {
        position.entry(component.name.clone()).or_insert(index);
    }
    for (from, edges) in edges.into_iter().enumerate() {
        let waits = components.get(from).map(|component| component.name.clone()).unwrap_or_default();
        for edge in edges {
            let (place, edge) = match position.get(&edge.component) {
                Some(&target) => (target, Dependency::ready(waits.clone())),
                None => (from, edge),
            };
            if let Some(component) = components.get_mut(place) {
                component.dependencies.push(edge);
            }
        }
    }
    components.reverse();
    Reversed {
        name: plan.name().to_owned(),
        namespace: plan.namespace().to_owned(),
        on_failure: plan.on_failure(),
        components,
    }
}

impl Reversed {
    /// The same with another failure policy.
    #[must_use]
    pub fn on_failure(mut self, policy: FailurePolicy) -> Self {
        self.on_failure = policy;
        self
    }
}

impl Plan for Reversed {
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

impl Component for Turned {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::plan::builder::{ComponentBuilder, PlanBuilder};
    use crate::plan::graph::Graph;

    type Part = (Action, Vec<(usize, Until)>);
    type Parts = Vec<Part>;

    fn parts() -> impl Strategy<Value = Parts> {
        let action = prop_oneof![
            3 => Just(Action::Apply), 1 => Just(Action::Delete), 1 => Just(Action::Read), 1 => Just(Action::None)
        ];
        let until = prop_oneof![Just(Until::Ready), Just(Until::Applied)];
        let part = (action, prop::collection::vec((any::<prop::sample::Index>(), until), 0..4));
        prop::collection::vec(part, 1..12).prop_map(|parts| {
            let edges = |index: usize, edges: Vec<(prop::sample::Index, Until)>| match index {
                0 => Vec::new(),
                _ => edges.into_iter().map(|(on, until)| (on.index(index), until)).collect(),
            };
            parts.into_iter().enumerate().map(|(index, (action, on))| (action, edges(index, on))).collect()
        })
    }

    fn plan(parts: &Parts) -> PlanBuilder {
        let component = |(index, (action, edges)): (usize, &Part)| {
            edges.iter().fold(
                ComponentBuilder::new(format!("c{index}"), "test").action(*action),
                |component, (on, until)| {
                    component.depends_on(Dependency { component: format!("c{on}"), until: *until })
                },
            )
        };
        PlanBuilder::new("p", "p").components(parts.iter().enumerate().map(component))
    }

    /// Who waits for whom.
    fn edges(graph: &Graph) -> BTreeSet<(String, String)> {
        let name = |id| graph.node(id).name().to_owned();
        let of = |id| graph.dependencies(id).iter().map(move |edge| (name(id), name(edge.component)));
        graph.ids().flat_map(of).collect()
    }

    proptest! {
        #[test]
        fn the_order_of_the_reverse_is_a_reverse_order(parts in parts()) {
            let forward = Graph::from_plan(&plan(&parts)).unwrap();
            let back = Graph::from_plan(&reversed(&plan(&parts))).unwrap();
            prop_assert_eq!(back.len(), forward.len());
            let place = |name: &str| back.order().iter().position(|id| back.node(*id).name() == name).unwrap();
            for (waits, first) in edges(&forward) {
                prop_assert!(place(&waits) < place(&first), "{} is removed before {}", waits, first);
            }
        }

        #[test]
        fn turned_round_twice_the_edges_are_the_same(parts in parts()) {
            let forward = Graph::from_plan(&plan(&parts)).unwrap();
            let twice = Graph::from_plan(&reversed(&reversed(&plan(&parts)))).unwrap();
            prop_assert_eq!(edges(&twice), edges(&forward));
        }

        #[test]
        fn what_was_only_read_is_not_removed(parts in parts()) {
            let back = Graph::from_plan(&reversed(&plan(&parts))).unwrap();
            for (index, (action, _)) in parts.iter().enumerate() {
                let node = back.node(back.find(&format!("c{index}")).unwrap());
                let expected = if action.writes() { Action::Delete } else { Action::None };
                prop_assert_eq!(node.action(), expected);
                prop_assert_eq!(node.until(), Until::Ready, "gone is gone, whatever was waived");
            }
        }
    }

    #[test]
    fn an_edge_to_nowhere_is_still_reported() {
        let plan = PlanBuilder::new("p", "p").component(ComponentBuilder::new("a", "test").after("b"));
        let problems = Graph::from_plan(&reversed(&plan)).unwrap_err();
        assert_eq!(problems[0].code, "graph.unknown-dependency");
    }
}
