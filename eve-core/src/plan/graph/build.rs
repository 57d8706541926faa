//! From a [`Plan`] to a [`Graph`]: two visits, the first for names, the second for edges.

use std::collections::VecDeque;
use std::sync::Arc;

use super::names::{closest, invalid};
use super::{Dynamic, Edge, Edges, Graph, Node, Source, cycle};
use crate::ids::ComponentId;
use crate::plan::expressions::{Condition, Expressions, OutputSource};
use crate::plan::limits::Limits;
use crate::plan::problem::PlanProblem;
use crate::plan::{Action, ClassLimit, Component, FailurePolicy, Plan, Until};

#[expect(clippy::disallowed_types, reason = "names are looked up, never iterated, so the order cannot show")]
type Index = std::collections::HashMap<Box<str>, u32>;

/// How many unknown names get a did-you-mean; each costs a pass over all names.
const SUGGESTIONS_MAX: usize = 10;

struct Builder<'a> {
    limits: &'a Limits,
    index: Index,
    nodes: Vec<Node>,
    kinds: Vec<Box<str>>,
    kind_index: Index,
    classes: Vec<ClassLimit>,
    class_index: Index,
    problems: Vec<PlanProblem>,
    hidden: usize,
    suggestions: usize,
}

pub(super) fn build(plan: &dyn Plan, limits: &Limits) -> Result<Graph, Vec<PlanProblem>> {
    let mut builder = Builder {
        limits,
        index: Index::default(),
        nodes: Vec::new(),
        kinds: Vec::new(),
        kind_index: Index::default(),
        classes: Vec::new(),
        class_index: Index::default(),
        problems: Vec::new(),
        hidden: 0,
        suggestions: 0,
    };
    let mut count = 0;
    plan.visit_components(&mut |component| {
        count += 1;
        if count <= limits.components_max {
            builder.add(component);
        }
    });
    if count > limits.components_max {
        builder.report("graph.too-many-components", None, "", || {
            format!("the plan has {count} components; at most {} are allowed", limits.components_max)
        });
        return Err(builder.finish());
    }
    let dependencies = builder.edges(plan);
    builder.sources();
    let dependants = reversed(&dependencies, builder.nodes.len());
    let order = order(&dependencies, &dependants, builder.nodes.len());
    if order.len() < builder.nodes.len() {
        for found in cycle::find(&dependencies, &order, builder.nodes.len()) {
            builder.report_cycle(&found);
        }
    }
    if !builder.problems.is_empty() {
        return Err(builder.finish());
    }
    let ranks = ranks(&order, &dependants);
    let rolls_back = |policy: FailurePolicy| policy == FailurePolicy::Rollback;
    let may_be_rolled_back = rolls_back(plan.on_failure())
        || builder.nodes.iter().any(|node| node.on_failure.is_some_and(rolls_back));
    Ok(Graph {
        name: plan.name().into(),
        namespace: plan.namespace().into(),
        on_failure: plan.on_failure(),
        may_be_rolled_back,
        nodes: builder.nodes,
        kinds: builder.kinds,
        classes: builder.classes,
        dependencies,
        dependants,
        order,
        ranks,
    })
}

impl Builder<'_> {
    fn add(&mut self, component: &dyn Component) {
        let name = component.name();
        if let Some(reason) = invalid(name, self.limits.name_bytes_max) {
            self.report("graph.bad-name", Some(name), "/name", || {
                format!("`{}` is no name for a component: {reason}", name.escape_debug())
            });
        }
        let settings = component.settings();
        let next = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        if self.index.insert(name.into(), next).is_some() {
            self.report("graph.duplicate-name", Some(name), "/name", || {
                format!("two components are named `{name}`")
            });
        }
        if settings.retry.is_some_and(|retry| !(1..=100).contains(&retry.attempts)) {
            self.report("graph.bad-retry", Some(name), "/retry/attempts", || {
                format!("the retry of `{name}` needs 1 to 100 attempts")
            });
        }
        let kind = match settings.action {
            Action::Apply | Action::Delete | Action::Read => self.kind(name, component.kind()),
            Action::None => 0,
        };
        let class = settings.class.and_then(|class| self.class(name, &class));
        let labels = settings.labels.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        self.nodes.push(Node {
            name: name.into(),
            kind,
            class,
            action: settings.action,
            until: settings.until,
            on_failure: settings.on_failure,
            undo: settings.undo,
            timeout: settings.timeout,
            retry: settings.retry.map(Box::new),
            labels,
            spec: component.spec(),
            dynamic: dynamic(settings.expressions, settings.ready_when),
        });
    }

    fn kind(&mut self, component: &str, kind: &str) -> u16 {
        let position = self.kind_index.get(kind).copied().unwrap_or_else(|| {
            let next = u32::try_from(self.kinds.len()).unwrap_or(u32::MAX);
            self.kinds.push(kind.into());
            self.kind_index.insert(kind.into(), next);
            next
        });
        u16::try_from(position).unwrap_or_else(|_| {
            self.report("graph.too-many-kinds", Some(component), "", || {
                format!("the plan has more than {} kinds", u32::from(u16::MAX) + 1)
            });
            u16::MAX
        })
    }

    fn class(&mut self, component: &str, class: &ClassLimit) -> Option<u16> {
        if class.limit == 0 || class.name.is_empty() {
            self.report("graph.bad-class", Some(component), "/class", || {
                format!("the class of `{component}` needs a name and a limit of at least 1")
            });
            return None;
        }
        let position = self.class_index.get(class.name.as_str()).copied().unwrap_or_else(|| {
            let next = u32::try_from(self.classes.len()).unwrap_or(u32::MAX);
            self.classes.push(class.clone());
            self.class_index.insert(class.name.as_str().into(), next);
            next
        });
        if self.classes.get(position as usize).is_some_and(|known| known.limit != class.limit) {
            self.report("graph.class-disagrees", Some(component), "/class/limit", || {
                format!("class `{}` has another limit elsewhere in the plan than {}", class.name, class.limit)
            });
        }
        let position = u16::try_from(position).ok();
        if position.is_none() {
            self.report("graph.too-many-classes", Some(component), "/class", || {
                format!("the plan has more than {} classes", u32::from(u16::MAX) + 1)
            });
        }
        position
    }

    fn edges(&mut self, plan: &dyn Plan) -> Edges {
        let mut result = Edges { offsets: vec![0], edges: Vec::new() };
        // For each target the last component that listed it, and where: one pass, whatever the fan-in.
        let mut seen: Vec<(u32, u32)> = vec![(u32::MAX, 0); self.nodes.len()];
        let mut from = 0_u32;
        let mut too_many = false;
        plan.visit_components(&mut |component| {
            for (position, dependency) in component.dependencies().iter().enumerate() {
                let Some(&target) = self.index.get(dependency.component.as_str()) else {
                    self.unknown_dependency(component.name(), position, &dependency.component);
                    continue;
                };
                let Some(mark) = seen.get_mut(target as usize) else { continue };
                if mark.0 == from {
                    if let Some(edge) = result.edges.get_mut(mark.1 as usize) {
                        edge.until = edge.until.max(dependency.until);
                    }
                } else if result.edges.len() >= self.limits.edges_max {
                    too_many = true;
                } else {
                    *mark = (from, u32::try_from(result.edges.len()).unwrap_or(u32::MAX));
                    result.edges.push(Edge { component: ComponentId::new(target), until: dependency.until });
                }
            }
            result.offsets.push(u32::try_from(result.edges.len()).unwrap_or(u32::MAX));
            from += 1;
        });
        if too_many {
            let most = self.limits.edges_max;
            self.report("graph.too-many-edges", None, "", || {
                format!("the plan has more than {most} edges; group dependencies behind one component")
            });
        }
        result
    }

    /// Finds the components whose outputs are meant.
    fn sources(&mut self) {
        let mut nodes = std::mem::take(&mut self.nodes);
        for node in &mut nodes {
            let Some(dynamic) = &mut node.dynamic else { continue };
            let Some(expressions) = &dynamic.expressions else { continue };
            let find = |name: &str| self.index.get(name).copied().map(ComponentId::new);
            let source = |source: &OutputSource| {
                let component = find(&source.component)?;
                let parts = source.parts.iter().map(|part| find(part)).collect::<Option<Vec<_>>>()?;
                Some(Source { name: source.component.as_str().into(), component, parts })
            };
            match expressions.sources().iter().map(source).collect::<Option<Vec<_>>>() {
                Some(sources) => dynamic.sources = sources,
                None => self.report("graph.unknown-source", Some(&node.name), "", || {
                    format!("`{}` refers to the outputs of a component that is not in the plan", node.name)
                }),
            }
        }
        self.nodes = nodes;
    }

    fn unknown_dependency(&mut self, component: &str, position: usize, wanted: &str) {
        let mut hint = None;
        if self.suggestions < SUGGESTIONS_MAX {
            self.suggestions += 1;
            let names = self.nodes.iter().map(Node::name);
            hint = closest(wanted, names).map(|name| format!("did you mean `{name}`?"));
        }
        self.push(PlanProblem {
            code: "graph.unknown-dependency".into(),
            component: Some(component.into()),
            pointer: format!("/dependsOn/{position}"),
            message: format!(
                "`{component}` depends on `{}`, which is not in the plan",
                wanted.escape_debug()
            ),
            hint,
            cycle: Vec::new(),
        });
    }

    fn report_cycle(&mut self, found: &[ComponentId]) {
        let name = |id: &ComponentId| self.nodes.get(id.index()).map_or("?", Node::name).to_owned();
        let first = found.first().map(name).unwrap_or_default();
        let path: Vec<String> = found.iter().chain(found.first()).map(name).collect();
        self.push(PlanProblem {
            code: "graph.cycle".into(),
            component: Some(first),
            pointer: "/dependsOn".into(),
            message: format!("components depend on each other in a cycle: {}", path.join(" -> ")),
            hint: Some("remove one of these dependencies; `->` reads as `depends on`".into()),
            cycle: found.iter().map(name).collect(),
        });
    }

    fn report(
        &mut self,
        code: &'static str,
        component: Option<&str>,
        pointer: &str,
        message: impl FnOnce() -> String,
    ) {
        let component = component.map(Into::into);
        self.push(PlanProblem {
            code: code.into(),
            component,
            pointer: pointer.into(),
            message: message(),
            hint: None,
            cycle: Vec::new(),
        });
    }

    fn push(&mut self, problem: PlanProblem) {
        if self.problems.len() < self.limits.problems_max {
            self.problems.push(problem);
        } else {
            self.hidden += 1;
        }
    }

    fn finish(mut self) -> Vec<PlanProblem> {
        if self.hidden > 0 {
            self.problems.push(PlanProblem {
                code: "graph.more-problems".into(),
                component: None,
                pointer: String::new(),
                message: format!("{} further problems are not shown", self.hidden),
                hint: None,
                cycle: Vec::new(),
            });
        }
        self.problems
    }
}

fn dynamic(
    expressions: Option<Arc<Expressions>>,
    ready_when: Option<Arc<Condition>>,
) -> Option<Box<Dynamic>> {
    let expressions = expressions.filter(|expressions| !expressions.is_empty());
    let has_some = expressions.is_some() || ready_when.is_some();
    has_some.then(|| Box::new(Dynamic { expressions, sources: Vec::new(), ready_when }))
}

fn reversed(edges: &Edges, len: usize) -> Edges {
    let mut offsets = vec![0_u32; len + 1];
    for edge in &edges.edges {
        if let Some(count) = offsets.get_mut(edge.component.index() + 1) {
            *count += 1;
        }
    }
    let mut sum = 0;
    for offset in &mut offsets {
        sum += *offset;
        *offset = sum;
    }
    let mut next = offsets.clone();
    let mut result =
        vec![Edge { component: ComponentId::new(0), until: Until::default() }; edges.edges.len()];
    for (from, _) in (0_u32..).zip(0..len) {
        for edge in edges.of(ComponentId::new(from)) {
            if let Some(slot) = next.get_mut(edge.component.index()) {
                if let Some(place) = result.get_mut(*slot as usize) {
                    *place = Edge { component: ComponentId::new(from), until: edge.until };
                }
                *slot += 1;
            }
        }
    }
    Edges { offsets, edges: result }
}

/// Kahn's algorithm: a component is taken when everything it depends on was. Shorter than `len` if there is a cycle.
fn order(dependencies: &Edges, dependants: &Edges, len: usize) -> Vec<ComponentId> {
    let ids = || (0_u32..).zip(0..len).map(|(id, _)| ComponentId::new(id));
    let mut pending: Vec<usize> = ids().map(|id| dependencies.of(id).len()).collect();
    let mut free: VecDeque<ComponentId> = ids().filter(|&id| dependencies.of(id).is_empty()).collect();
    let mut order = Vec::with_capacity(len);
    while let Some(id) = free.pop_front() {
        order.push(id);
        for edge in dependants.of(id) {
            if let Some(count) = pending.get_mut(edge.component.index()) {
                *count -= 1;
                if *count == 0 {
                    free.push_back(edge.component);
                }
            }
        }
    }
    order
}

fn ranks(order: &[ComponentId], dependants: &Edges) -> Vec<u32> {
    let mut ranks = vec![0_u32; order.len()];
    for &id in order.iter().rev() {
        let rank_of = |edge: &Edge| ranks.get(edge.component.index()).copied().unwrap_or_default();
        let rank = dependants.of(id).iter().map(|edge| rank_of(edge) + 1).max().unwrap_or_default();
        if let Some(slot) = ranks.get_mut(id.index()) {
            *slot = rank;
        }
    }
    ranks
}
