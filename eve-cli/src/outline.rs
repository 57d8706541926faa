//! A graph as its author wrote it: the parts of a composite component are one node again. Pure.
//!
//! The engine's graph has a node for every object and joins between them, which nobody wants to look at. Start with
//! [`Outline::of`].

use std::collections::BTreeMap;

use eve_core::ids::ComponentId;
use eve_core::plan::graph::Graph;
use eve_core::plan::{Action, Until};
use petgraph::algo::tred::{dag_to_toposorted_adjacency_list, dag_transitive_reduction_closure};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

/// The most nodes that [`Outline::reduce`] takes: it holds who reaches whom, so its memory grows with their square; this
/// many take about 100 MB.
pub(crate) const REDUCE_NODES_MAX: usize = 5_000;

/// Whether parts are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Components as they stand in the plan; objects where there is no plan.
    Components,
    /// Everything that the engine knows, joins included.
    Parts,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    /// The name of the component.
    pub(crate) name: &'a str,
    /// The kind that it is carried out by; `None` for joins and composites.
    pub(crate) kind: Option<&'a str>,
    /// How many components it stands for, joins not counted.
    pub(crate) parts: usize,
}

/// One edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link<'a> {
    /// How far the first end must have come.
    pub(crate) until: Until,
    /// The edge of the graph that it stands for, the first if there are several: what waits, what it waits for.
    pub(crate) ends: (&'a str, &'a str),
}

/// Nodes in plan order; edges from each to those that wait for it.
#[derive(Clone, Debug)]
pub(crate) struct Outline<'a> {
    pub(crate) picture: DiGraph<Item<'a>, Link<'a>>,
}

impl<'a> Outline<'a> {
    /// The outline of a graph.
    pub(crate) fn of(graph: &'a Graph, detail: Detail) -> Self {
        let kinds: Vec<&str> = graph.kinds().collect();
        let owners = match detail {
            Detail::Components => owners(graph),
            Detail::Parts => graph.ids().collect(),
        };
        let owner = |id: ComponentId| owners.get(id.index()).copied().unwrap_or(id);
        let mut picture: DiGraph<Item<'a>, Link<'a>> = DiGraph::new();
        let mut places = BTreeMap::new();
        for id in graph.ids() {
            let node = graph.node(id);
            let is_join = node.action() == Action::None;
            let place = *places.entry(owner(id)).or_insert_with(|| {
                let top = graph.node(owner(id));
                let kind =
                    (top.action() != Action::None).then(|| kinds.get(top.kind_index()).copied()).flatten();
                picture.add_node(Item { name: top.name(), kind, parts: 0 })
            });
            if let Some(item) = picture.node_weight_mut(place) {
                item.parts += usize::from(!is_join);
            }
        }
        for id in graph.ids() {
            for edge in graph.dependencies(id) {
                let ends = places.get(&owner(edge.component)).zip(places.get(&owner(id)));
                let Some((&from, &to)) = ends.filter(|(from, to)| from != to) else { continue };
                let writes_only =
                    detail == Detail::Components && waits_for_writes_only(graph, edge.component);
                let until = if writes_only { Until::Applied } else { edge.until };
                let known = picture.find_edge(from, to);
                if let Some(known) = known.and_then(|edge| picture.edge_weight_mut(edge)) {
                    known.until = until.max(known.until);
                } else {
                    let ends = (graph.node(id).name(), graph.node(edge.component).name());
                    picture.add_edge(from, to, Link { until, ends });
                }
            }
        }
        Self { picture }
    }

    /// How many components there are; joins that nobody wrote are not counted.
    pub(crate) fn components(&self) -> usize {
        self.picture.node_weights().filter(|item| item.parts > 0).count()
    }

    /// The nodes, each after everything that it waits for; otherwise in plan order.
    pub(crate) fn order(&self) -> Vec<NodeIndex> {
        let waits = |node| self.picture.edges_directed(node, petgraph::Incoming).count();
        let mut pending: Vec<usize> = self.picture.node_indices().map(waits).collect();
        let mut free: std::collections::BTreeSet<NodeIndex> =
            self.picture.node_indices().filter(|node| pending.get(node.index()) == Some(&0)).collect();
        let mut order = Vec::with_capacity(pending.len());
        while let Some(node) = free.pop_first() {
            order.push(node);
            for edge in self.picture.edges(node) {
                if let Some(count) = pending.get_mut(edge.target().index()) {
                    *count -= 1;
                    if *count == 0 {
                        free.insert(edge.target());
                    }
                }
            }
        }
        order
    }

    /// What a node waits for, in plan order.
    pub(crate) fn dependencies(&self, node: NodeIndex) -> Vec<(&'a str, Link<'a>)> {
        let edges = self.picture.edges_directed(node, petgraph::Incoming);
        let mut found: Vec<(NodeIndex, Link<'a>)> =
            edges.map(|edge| (edge.source(), *edge.weight())).collect();
        found.sort_unstable_by_key(|(node, _)| *node);
        found.iter().filter_map(|(node, link)| Some((self.picture.node_weight(*node)?.name, *link))).collect()
    }

    /// Removes every edge that others imply. An edge from `a` to `c` is implied when `a` is awaited at least as far by
    /// some `b` from which `c` can be reached: `b` does not start before, and nothing behind it does.
    pub(crate) fn reduce(&mut self) {
        // A graph that was built has no cycle.
        let Ok(order) = petgraph::algo::toposort(&self.picture, None) else { return };
        let (sorted, place) = dag_to_toposorted_adjacency_list::<_, u32>(&self.picture, &order);
        let (_, closure) = dag_transitive_reduction_closure(&sorted);
        let at = |node: NodeIndex| place.get(node.index()).copied().unwrap_or_default();
        let reaches = |from: NodeIndex, to: NodeIndex| closure.contains_edge(at(from), at(to));
        let implied = |edge| {
            let Some((from, to)) = self.picture.edge_endpoints(edge) else { return false };
            let Some(until) = self.picture.edge_weight(edge).map(|link| link.until) else { return false };
            let mut others = self.picture.edges(from);
            others.any(|other| {
                other.target() != to && other.weight().until >= until && reaches(other.target(), to)
            })
        };
        let kept: Vec<bool> = self.picture.edge_indices().map(|edge| !implied(edge)).collect();
        self.picture.retain_edges(|_, edge| kept.get(edge.index()).copied().unwrap_or(true));
    }
}

/// For each component the join that its author wrote: the one with the shortest name that its own name begins with.
fn owners(graph: &Graph) -> Vec<ComponentId> {
    let joins: BTreeMap<&str, ComponentId> = graph
        .ids()
        .filter(|&id| graph.node(id).action() == Action::None)
        .map(|id| (graph.node(id).name(), id))
        .collect();
    let owner = |id: ComponentId| {
        let name = graph.node(id).name();
        let mut prefixes = name.match_indices('/').filter_map(|(end, _)| name.get(..end));
        prefixes.find_map(|prefix| joins.get(prefix).copied()).unwrap_or(id)
    };
    graph.ids().map(owner).collect()
}

/// Whether it is the join of a composite that others wait for until it is applied: all its own edges say so.
fn waits_for_writes_only(graph: &Graph, id: ComponentId) -> bool {
    let edges = graph.dependencies(id);
    graph.node(id).action() == Action::None
        && !edges.is_empty()
        && edges.iter().all(|edge| edge.until == Until::Applied)
}
