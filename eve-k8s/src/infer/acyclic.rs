//! Leaves out what would close a cycle: written edges stand, inferred ones give way, the weakest first. Pure graph work.

use std::collections::BTreeMap;

use eve_core::plan::problem::SpecProblem;

use super::Edge;
use super::rules::RULES;

/// How many edges may be looked at while paths are searched. Inputs of people need a few thousand; a hostile one could
/// ask for the square of its size. Beyond it every inferred edge that may lie on a cycle is left out.
const STEPS_MAX: usize = 20_000_000;
/// How many edges of one rule that were left out are named one by one.
const NAMED_MAX: usize = 3;
/// How many objects of a path are named.
const PATH_MAX: usize = 12;

pub(super) struct Outcome {
    /// Each pair of nodes once, without a cycle.
    pub(super) edges: Vec<Edge>,
    pub(super) problems: Vec<SpecProblem>,
}

/// `words` says what a node is called.
pub(super) fn acyclic(nodes: usize, mut edges: Vec<Edge>, words: &dyn Fn(usize) -> String) -> Outcome {
    let strength = |edge: &Edge| RULES.iter().position(|rule| *rule == edge.rule);
    edges.sort_by_cached_key(strength);
    let edges = distinct(edges);
    let tangled = tangled(nodes, &edges);
    let mut accepted = Accepted { after: BTreeMap::new(), steps: 0 };
    let mut outcome = Outcome { edges: Vec::with_capacity(edges.len()), problems: Vec::new() };
    let mut left_out: BTreeMap<&'static str, usize> = BTreeMap::new();
    for edge in edges {
        let may_close = [edge.before, edge.after].iter().all(|node| tangled.get(*node) == Some(&true));
        if !may_close {
            outcome.edges.push(edge);
            continue;
        }
        let path = match accepted.path(edge.after, edge.before) {
            Search::None => {
                accepted.after.entry(edge.before).or_default().push(edge.after);
                outcome.edges.push(edge);
                continue;
            }
            Search::Path(path) => path,
            Search::TooLong if edge.rule.is_written => {
                outcome.problems.push(SpecProblem::new(
                    "manifests.order",
                    &edge.pointer,
                    "the written order is too entangled to be judged",
                ));
                break;
            }
            Search::TooLong => Vec::new(),
        };
        if edge.rule.is_written {
            outcome.problems.push(contradiction(&edge, &path, words));
            continue;
        }
        let count = left_out.entry(edge.rule.name).or_default();
        *count += 1;
        if *count <= NAMED_MAX {
            outcome.problems.push(left_out_edge(&edge, &path, words));
        }
    }
    for (rule, count) in left_out.into_iter().filter(|(_, count)| *count > NAMED_MAX) {
        let more = count - NAMED_MAX;
        let message = format!("{more} further edges of rule `{rule}` are left out: they would close cycles");
        outcome.problems.push(SpecProblem::new("manifests.left-out", "", message).as_warning());
    }
    outcome
}

/// Of several edges between two nodes the strongest, as far as any of them asks for.
fn distinct(edges: Vec<Edge>) -> Vec<Edge> {
    let mut places: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    let mut kept: Vec<Edge> = Vec::with_capacity(edges.len());
    for edge in edges {
        let place = *places.entry((edge.before, edge.after)).or_insert(kept.len());
        match kept.get_mut(place) {
            Some(first) => first.until = first.until.max(edge.until),
            None => kept.push(edge),
        }
    }
    kept
}

/// The nodes that are left when everything without an edge into it, and then everything without an edge out of it, is
/// taken away for as long as there is any: all that lie on cycles or between them.
fn tangled(nodes: usize, edges: &[Edge]) -> Vec<bool> {
    let mut left = vec![true; nodes];
    for forward in [true, false] {
        let ends = |edge: &Edge| if forward { (edge.before, edge.after) } else { (edge.after, edge.before) };
        let mut next: Vec<Vec<usize>> = vec![Vec::new(); nodes];
        let mut pending = vec![0_usize; nodes];
        let is_left = |node: usize, left: &[bool]| left.get(node).copied().unwrap_or_default();
        for edge in edges {
            let (from, to) = ends(edge);
            if is_left(from, &left) && is_left(to, &left) {
                if let Some(list) = next.get_mut(from) {
                    list.push(to);
                }
                if let Some(count) = pending.get_mut(to) {
                    *count += 1;
                }
            }
        }
        let mut free: Vec<usize> =
            (0..nodes).filter(|node| is_left(*node, &left) && pending.get(*node) == Some(&0)).collect();
        while let Some(node) = free.pop() {
            if let Some(left) = left.get_mut(node) {
                *left = false;
            }
            for to in next.get(node).into_iter().flatten() {
                if let Some(count) = pending.get_mut(*to) {
                    *count -= 1;
                    if *count == 0 {
                        free.push(*to);
                    }
                }
            }
        }
    }
    left
}

/// Edges among tangled nodes that were kept.
struct Accepted {
    after: BTreeMap<usize, Vec<usize>>,
    steps: usize,
}

enum Search {
    None,
    /// All nodes from the first to the last.
    Path(Vec<usize>),
    TooLong,
}

impl Accepted {
    fn path(&mut self, from: usize, to: usize) -> Search {
        let mut came_from: BTreeMap<usize, usize> = BTreeMap::from([(from, from)]);
        let mut open = vec![from];
        while let Some(node) = open.pop() {
            if node == to {
                return Search::Path(path(&came_from, from, to));
            }
            for next in self.after.get(&node).into_iter().flatten() {
                self.steps += 1;
                came_from.entry(*next).or_insert_with(|| {
                    open.push(*next);
                    node
                });
            }
            if self.steps > STEPS_MAX {
                return Search::TooLong;
            }
        }
        Search::None
    }
}

fn path(came_from: &BTreeMap<usize, usize>, from: usize, to: usize) -> Vec<usize> {
    let mut path = vec![to];
    let mut node = to;
    while node != from {
        let Some(before) = came_from.get(&node) else { break };
        node = *before;
        path.push(node);
    }
    path.reverse();
    path
}

/// `a before b before c`, long paths cut in the middle.
fn shown(path: &[usize], words: &dyn Fn(usize) -> String) -> String {
    let names: Vec<String> = path.iter().map(|node| words(*node)).collect();
    match (names.get(..PATH_MAX / 2), names.get(names.len().saturating_sub(PATH_MAX / 2)..)) {
        (Some(first), Some(last)) if names.len() > PATH_MAX => {
            format!("{} before … before {}", first.join(" before "), last.join(" before "))
        }
        _ => names.join(" before "),
    }
}

fn contradiction(edge: &Edge, path: &[usize], words: &dyn Fn(usize) -> String) -> SpecProblem {
    let (before, after) = (words(edge.before), words(edge.after));
    let message = format!(
        "`{}` asks for {before} before {after}, but other annotations ask for {}",
        edge.rule.name,
        shown(path, words),
    );
    SpecProblem::new("manifests.order", &edge.pointer, message).with_hint("remove one of these annotations")
}

fn left_out_edge(edge: &Edge, path: &[usize], words: &dyn Fn(usize) -> String) -> SpecProblem {
    let (before, after) = (words(edge.before), words(edge.after));
    let reason = if path.is_empty() {
        "the order around it is too entangled to be judged".to_owned()
    } else {
        format!("it would close a cycle, for {}", shown(path, words))
    };
    let message = format!("{before} is not put before {after} (rule `{}`): {reason}", edge.rule.name);
    SpecProblem::new("manifests.left-out", &edge.pointer, message).as_warning()
}

#[cfg(test)]
mod tests {
    use eve_core::plan::Until;
    use proptest::prelude::*;

    use super::*;

    fn edge(before: usize, after: usize, rule: usize) -> Edge {
        let rule = RULES[rule];
        Edge { before, after, until: Until::Ready, rule, pointer: String::new() }
    }

    fn reaches(edges: &[Edge], from: usize, to: usize) -> bool {
        let mut seen = vec![from];
        let mut open = vec![from];
        while let Some(node) = open.pop() {
            for edge in edges.iter().filter(|edge| edge.before == node) {
                if !seen.contains(&edge.after) {
                    seen.push(edge.after);
                    open.push(edge.after);
                }
            }
        }
        seen.contains(&to)
    }

    proptest! {
        #[test]
        fn nothing_is_left_out_but_what_closes_a_cycle(
            ends in prop::collection::vec((0_usize..9, 0_usize..9, 0_usize..RULES.len()), 0..40),
        ) {
            let edges: Vec<Edge> =
                ends.into_iter().filter(|(a, b, _)| a != b).map(|(a, b, rule)| edge(a, b, rule)).collect();
            let outcome = acyclic(9, edges.clone(), &|node| node.to_string());
            for edge in &outcome.edges {
                prop_assert!(!reaches(&outcome.edges, edge.after, edge.before), "{edge:?} lies on a cycle");
            }
            for edge in &edges {
                let is_kept = outcome.edges.iter().any(|kept| (kept.before, kept.after) == (edge.before, edge.after));
                prop_assert!(is_kept || reaches(&outcome.edges, edge.after, edge.before), "{edge:?} could stay");
            }
            let left_out = |edge: &&Edge| !outcome.edges.iter().any(|kept| (kept.before, kept.after) == (edge.before, edge.after));
            let is_loud = !outcome.problems.is_empty();
            prop_assert_eq!(edges.iter().any(|edge| left_out(&edge)), is_loud);
        }
    }
}
