//! A plan turned round: what it would build is removed, what was built last goes first. Pure.

use std::collections::BTreeMap;

use super::builder::{ComponentBuilder, PlanBuilder};
use super::{Action, Component as _, Dependency, Plan, Until};

/// The plan that removes what `plan` builds: its components in the reverse order, every edge the other way, and until what
/// waits is gone.
///
/// Joins stay joins, and so does what the plan only reads: it is not its to remove. A waiver of readiness does not waive
/// that a component must be gone. All other settings stay.
///
/// Nothing needs to be valid. An edge to a component that does not exist becomes one of the component that has it, so
/// that the graph reports it all the same.
pub fn reversed(plan: &dyn Plan) -> PlanBuilder {
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
        components.push(ComponentBuilder::like(component, settings));
    });
    let mut position = BTreeMap::new();
    for (index, component) in components.iter().enumerate() {
        position.entry(component.name().to_owned()).or_insert(index);
    }
    for (from, edges) in edges.into_iter().enumerate() {
        let waits = components.get(from).map(|component| component.name().to_owned()).unwrap_or_default();
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
    PlanBuilder::new(plan.name(), plan.namespace()).on_failure(plan.on_failure()).components(components)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
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
