//! What is in the cluster of a plan and not in its input, for people. Pure.

use eve_core::plan::graph::Graph;

use super::style;
use super::text::{clean, count};
use crate::wiring::LeftOver;

/// How many of them are named; the rest is counted.
const NAMES_MAX: usize = 5;

/// `ConfigMap shop/old`.
pub(crate) fn words(left: &LeftOver) -> String {
    let namespace = left.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    clean(&format!("{} {namespace}{}", left.kind, left.name)).into_owned()
}

/// A line, with the break before it; empty where there is nothing of the kind.
pub(super) fn line(graph: &Graph, left: &[LeftOver]) -> String {
    if left.is_empty() {
        return String::new();
    }
    let mut names: Vec<String> = left.iter().take(NAMES_MAX).map(words).collect();
    if left.len() > NAMES_MAX {
        names.push(format!("and {} more", left.len() - NAMES_MAX));
    }
    let (plan, namespace) = (clean(graph.name()), clean(graph.namespace()));
    format!(
        "\n{} {} of this plan in the cluster and not in the input: {}; `eve get components -n {namespace} --plan {plan}` \
         shows all of it, `eve delete -f` with their manifests removes them",
        style::warning("left over:"),
        count(left.len(), "object"),
        names.join(", "),
    )
}

#[cfg(test)]
mod tests {
    use eve_core::plan::builder::PlanBuilder;

    use super::*;

    #[test]
    fn the_first_few_are_named_and_how_to_see_and_remove_them() {
        let graph = Graph::from_plan(&PlanBuilder::new("shop", "blue")).unwrap();
        let one = |number: usize| LeftOver {
            namespace: (number > 0).then(|| "blue".to_owned()),
            kind: "Thing".to_owned(),
            name: format!("t{number}"),
        };
        let said = |count: usize| {
            let left: Vec<LeftOver> = (0..count).map(one).collect();
            anstream::adapter::strip_str(&line(&graph, &left)).to_string()
        };
        assert_eq!(said(0), "");
        assert_eq!(
            said(7),
            "\nleft over: 7 objects of this plan in the cluster and not in the input: Thing t0, Thing blue/t1, Thing blue/t2, \
             Thing blue/t3, Thing blue/t4, and 2 more; `eve get components -n blue --plan shop` shows all of it, \
             `eve delete -f` with their manifests removes them"
        );
    }
}
