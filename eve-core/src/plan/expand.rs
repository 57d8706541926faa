//! From components as they are written to primitive components and joins.
//!
//! A composite `web` becomes its parts `web/…`, which take over its general fields, and the join `web` behind them, on
//! which everything hangs that depends on `web`. Edges stay linear in the plan: where several dependencies meet several
//! first parts, a join `web/start` stands between. Pure; knows no text.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::expressions::Expressions;
use super::{Action, Component, Dependency, Settings, UndoRule, Until};
use crate::kind::{EdgeReason, EdgeSource, Expansion, Part, PartEdge, PartOrigin};

/// The join before the parts of a composite.
const START: &str = "start";
/// The join that is complete when all parts are applied, ready or not.
const APPLIED: &str = "applied";

/// A component as it is written, with what its kind made of it.
#[derive(Debug)]
pub(super) struct Written {
    /// Its name; empty for plain manifests, whose parts stand for themselves.
    pub(super) name: String,
    pub(super) dependencies: Vec<Dependency>,
    pub(super) settings: Settings,
    pub(super) expansion: Expansion,
    /// The components whose outputs it refers to, each with the field of its spec that does so first.
    pub(super) references: Vec<(String, String)>,
}

/// A component of the graph.
#[derive(Clone, Debug)]
pub(super) struct Expanded {
    pub(super) name: Box<str>,
    /// The position of the written component that it comes from.
    pub(super) from: usize,
    pub(super) part: Option<PartOrigin>,
    kind: Box<str>,
    spec: Arc<Value>,
    dependencies: Vec<Dependency>,
    /// Why, one for each of the dependencies.
    pub(super) reasons: Vec<Reason>,
    settings: Arc<Settings>,
    labels: BTreeMap<String, String>,
    expressions: Option<Arc<Expressions>>,
}

/// Why a component waits for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// An entry of the `dependsOn` that its component is written with.
    Entry(usize),
    /// What its kind says.
    Kind(EdgeReason),
    /// A join.
    Structure,
}

impl Reason {
    pub(super) fn source(&self) -> EdgeSource {
        match self {
            Self::Entry(_) => EdgeSource::Written,
            Self::Kind(reason) => reason.source,
            Self::Structure => EdgeSource::Structure,
        }
    }
}

/// An edge and its reason.
type Waits = (Dependency, Reason);

impl Expanded {
    pub(super) fn edges(&self) -> &[Dependency] {
        &self.dependencies
    }
}

impl Component for Expanded {
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
        let mut settings = Settings::clone(&self.settings);
        settings.labels.extend(self.labels.clone());
        settings.expressions.clone_from(&self.expressions);
        settings
    }
}

/// All components of the graph, in plan order; stops when there are more than `components_max`.
pub(super) fn expand(written: Vec<Written>, components_max: usize) -> Vec<Expanded> {
    let mut waits_for_applied = BTreeMap::new();
    for component in &written {
        let parts = component.expansion.parts.as_slice();
        let is_composite = !matches!(parts, [only] if only.name.is_empty());
        if is_composite && !component.name.is_empty() {
            waits_for_applied.insert(component.name.clone(), false);
        }
    }
    for dependency in written.iter().flat_map(|component| &component.dependencies) {
        if dependency.until == Until::Applied
            && let Some(waits) = waits_for_applied.get_mut(&dependency.component)
        {
            *waits = true;
        }
    }
    let mut expander = Expander { waits_for_applied, nothing: Arc::new(Value::Null), result: Vec::new() };
    for (from, component) in written.into_iter().enumerate() {
        if expander.result.len() > components_max {
            break;
        }
        expander.component(from, component);
    }
    expander.result
}

struct Expander {
    /// The composites, and whether somebody waits for one only until it is applied.
    waits_for_applied: BTreeMap<String, bool>,
    nothing: Arc<Value>,
    result: Vec<Expanded>,
}

impl Expander {
    fn component(&mut self, from: usize, component: Written) {
        let Written { name, dependencies, settings, expansion, references } = component;
        let dependencies = dependencies.into_iter().enumerate();
        let mut dependencies: Vec<Waits> =
            dependencies.map(|(entry, one)| (self.redirected(one), Reason::Entry(entry))).collect();
        let referring = references.into_iter().map(|(component, spec)| {
            let reason = EdgeReason { source: EdgeSource::Written, rule: "reference", spec };
            (Dependency::ready(component), Reason::Kind(reason))
        });
        dependencies.extend(referring);
        let parent = Parent { from, name, settings: Arc::new(settings) };
        let mut parts = expansion.parts;
        if parent.settings.action == Action::Delete {
            turn_round(&mut parts);
        }
        if let [only] = parts.as_mut_slice()
            && only.name.is_empty()
        {
            let part = std::mem::replace(only, Part::join(""));
            return self.part(&parent, part, dependencies);
        }
        let last = last_parts(&parts).into_iter().map(|part| parent.part_name(part)).collect::<Vec<String>>();
        let first = parts.iter().filter(|part| part.dependencies.is_empty()).count();
        let entry = if first > 1 && dependencies.len() > 1 {
            let start = parent.part_name(START);
            self.join(&parent, start.clone(), dependencies.clone());
            structure(Dependency::ready(start))
        } else {
            dependencies.clone()
        };
        let is_empty = parts.is_empty();
        for part in parts {
            let inner: Vec<Waits> = part.dependencies.iter().map(|inner| parent.edge(inner)).collect();
            let all = if inner.is_empty() { entry.clone() } else { inner };
            self.part(&parent, part, all);
        }
        if parent.name.is_empty() {
            return;
        }
        if self.waits_for_applied.get(&parent.name) == Some(&true) {
            let applied = last.iter().map(Dependency::applied).flat_map(structure).collect();
            let applied = if is_empty { dependencies.clone() } else { applied };
            self.join(&parent, parent.part_name(APPLIED), applied);
        }
        let ready = last.into_iter().map(Dependency::ready).flat_map(structure);
        let behind = if is_empty { dependencies } else { ready.collect() };
        self.join(&parent, parent.name.clone(), behind);
    }

    /// A join is complete when its dependencies are ready, so whoever waits only until a composite is applied waits
    /// for another join.
    fn redirected(&self, dependency: Dependency) -> Dependency {
        let is_composite = self.waits_for_applied.contains_key(&dependency.component);
        match dependency.until {
            Until::Applied if is_composite => {
                Dependency::ready(format!("{}/{APPLIED}", dependency.component))
            }
            Until::Applied | Until::Ready => dependency,
        }
    }

    fn part(&mut self, parent: &Parent, part: Part, dependencies: Vec<Waits>) {
        let (dependencies, reasons) = dependencies.into_iter().unzip();
        let mut settings = Arc::clone(&parent.settings);
        if part.action == Action::None {
            settings = Arc::new(Settings { action: Action::None, ..Settings::default() });
        } else if part.undo == UndoRule::Never {
            settings = Arc::new(Settings { undo: UndoRule::Never, ..Settings::clone(&settings) });
        }
        self.result.push(Expanded {
            name: parent.part_name(&part.name).into(),
            from: parent.from,
            part: part.origin,
            kind: part.kind.into(),
            spec: part.spec,
            dependencies,
            reasons,
            settings,
            labels: part.labels,
            expressions: part.expressions,
        });
    }

    fn join(&mut self, parent: &Parent, name: String, dependencies: Vec<Waits>) {
        let (dependencies, reasons) = dependencies.into_iter().unzip();
        let settings = Settings { action: Action::None, ..Settings::default() };
        self.result.push(Expanded {
            name: name.into(),
            from: parent.from,
            part: None,
            kind: "".into(),
            spec: Arc::clone(&self.nothing),
            dependencies,
            reasons,
            settings: Arc::new(settings),
            labels: BTreeMap::new(),
            expressions: None,
        });
    }
}

struct Parent {
    from: usize,
    name: String,
    settings: Arc<Settings>,
}

impl Parent {
    fn part_name(&self, part: &str) -> String {
        match (self.name.as_str(), part) {
            ("", part) => part.to_owned(),
            (name, "") => name.to_owned(),
            (name, part) => format!("{name}/{part}"),
        }
    }

    fn edge(&self, edge: &PartEdge) -> Waits {
        let dependency = Dependency { component: self.part_name(&edge.part), until: edge.until };
        (dependency, edge.reason.clone().map_or(Reason::Structure, Reason::Kind))
    }
}

/// What is built last is removed first: every edge between parts the other way, and until what waits is gone.
fn turn_round(parts: &mut [Part]) {
    let position: BTreeMap<String, usize> =
        parts.iter().enumerate().map(|(position, part)| (part.name.clone(), position)).collect();
    let mut turned: Vec<Vec<PartEdge>> = vec![Vec::new(); parts.len()];
    for part in parts.iter_mut() {
        for edge in std::mem::take(&mut part.dependencies) {
            if let Some(edges) = position.get(&edge.part).and_then(|position| turned.get_mut(*position)) {
                edges.push(PartEdge { part: part.name.clone(), until: Until::Ready, ..edge });
            }
        }
    }
    for (part, edges) in parts.iter_mut().zip(turned) {
        part.dependencies = edges;
    }
}

fn structure(dependency: Dependency) -> Vec<Waits> {
    vec![(dependency, Reason::Structure)]
}

/// The parts that nobody waits for until they are ready: all parts are ready when these are. One that is only waited for
/// until it is applied may become ready after everything else.
fn last_parts(parts: &[Part]) -> Vec<&str> {
    let mut is_last: BTreeMap<&str, bool> = parts.iter().map(|part| (part.name.as_str(), true)).collect();
    for edge in parts.iter().flat_map(|part| &part.dependencies).filter(|edge| edge.until == Until::Ready) {
        if let Some(is_last) = is_last.get_mut(edge.part.as_str()) {
            *is_last = false;
        }
    }
    let names = parts.iter().map(|part| part.name.as_str());
    names.filter(|name| is_last.get(name).copied().unwrap_or(true)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, after: &[&str]) -> Part {
        let dependencies = after.iter().copied().map(PartEdge::ready).collect();
        Part { name: name.into(), kind: "k".into(), action: Action::Apply, dependencies, ..Part::join("") }
    }

    fn written(name: &str, after: Vec<Dependency>, parts: Vec<Part>) -> Written {
        let settings = Settings { timeout: Some(std::time::Duration::from_secs(7)), ..Settings::default() };
        let expansion = Expansion { parts };
        Written { name: name.into(), dependencies: after, settings, expansion, references: Vec::new() }
    }

    /// `name <- dependency, dependency!` with `!` for applied.
    fn show(expanded: &[Expanded]) -> Vec<String> {
        let edge = |edge: &Dependency| {
            format!("{}{}", edge.component, if edge.until == Until::Applied { "!" } else { "" })
        };
        let line = |one: &Expanded| {
            let edges: Vec<String> = one.dependencies.iter().map(edge).collect();
            format!("{} <- {}", one.name, edges.join(", "))
        };
        expanded.iter().map(line).collect()
    }

    #[test]
    fn part_without_name_is_the_component_itself() {
        let all = expand(vec![written("a", vec![Dependency::ready("b")], vec![part("", &[])])], 10);
        assert_eq!(show(&all), ["a <- b"]);
    }

    #[test]
    fn composite_ends_in_a_join_and_begins_with_one_only_where_many_meet_many() {
        let two = || vec![part("x", &[]), part("y", &[]), part("z", &["x"])];
        let one_dependency = expand(vec![written("a", vec![Dependency::ready("b")], two())], 10);
        assert_eq!(show(&one_dependency), ["a/x <- b", "a/y <- b", "a/z <- a/x", "a <- a/y, a/z"]);
        let after = vec![Dependency::ready("b"), Dependency::applied("c")];
        let two_dependencies = expand(vec![written("a", after, two())], 10);
        assert_eq!(
            show(&two_dependencies),
            ["a/start <- b, c!", "a/x <- a/start", "a/y <- a/start", "a/z <- a/x", "a <- a/y, a/z"]
        );
    }

    #[test]
    fn waiting_until_a_composite_is_applied_does_not_wait_until_it_is_ready() {
        let parts = || vec![part("x", &[]), part("y", &["x"])];
        let all = expand(
            vec![
                written("a", vec![], parts()),
                written("b", vec![Dependency::applied("a")], vec![part("", &[])]),
            ],
            10,
        );
        assert_eq!(show(&all), ["a/x <- ", "a/y <- a/x", "a/applied <- a/y!", "a <- a/y", "b <- a/applied"]);
    }

    #[test]
    fn a_part_that_is_only_waited_for_until_it_is_applied_must_become_ready_all_the_same() {
        let mut parts = vec![part("x", &[]), part("y", &["x"]), part("z", &["y"])];
        parts[1].dependencies[0].until = Until::Applied;
        let all = expand(vec![written("a", vec![], parts)], 10);
        assert_eq!(show(&all), ["a/x <- ", "a/y <- a/x!", "a/z <- a/y", "a <- a/x, a/z"]);
    }

    #[test]
    fn every_edge_has_its_reason() {
        let mut parts = vec![part("x", &[]), part("y", &["x"])];
        let reason = EdgeReason { source: EdgeSource::Inferred, rule: "r", spec: "/objects/1".into() };
        parts[1].dependencies[0].reason = Some(reason.clone());
        let all = expand(vec![written("a", vec![Dependency::ready("b")], parts)], 10);
        let reasons: Vec<&[Reason]> = all.iter().map(|one| one.reasons.as_slice()).collect();
        assert_eq!(reasons, [&[Reason::Entry(0)][..], &[Reason::Kind(reason)][..], &[Reason::Structure][..]]);
    }

    #[test]
    fn parts_take_over_general_fields_and_joins_do_not() {
        let all = expand(vec![written("a", vec![], vec![part("x", &[]), part("y", &[])])], 10);
        assert!(all[0].settings().timeout.is_some());
        assert!(all[2].settings().timeout.is_none());
        assert_eq!(all[2].settings().action, Action::None);
    }

    #[test]
    fn what_is_deleted_goes_in_the_reverse_order_of_its_parts() {
        let mut component =
            written("a", vec![Dependency::ready("b")], vec![part("x", &[]), part("y", &["x"])]);
        component.settings.action = Action::Delete;
        assert_eq!(show(&expand(vec![component], 10)), ["a/x <- a/y", "a/y <- b", "a <- a/x"]);
    }

    #[test]
    fn empty_composite_hands_its_dependencies_on() {
        let all = expand(vec![written("a", vec![Dependency::ready("b")], vec![])], 10);
        assert_eq!(show(&all), ["a <- b"]);
    }
}
