//! Collects edges, and gates where many meet many. Knows no rule.

use std::collections::BTreeMap;

use eve_core::plan::Until;
use eve_core::plan::problem::SpecProblem;

use super::base::Who;
use super::rules::Rule;
use super::selector::Labelled;
use super::subject::{Index, Key, Subject};
use super::{At, Edge, Inferred, acyclic, pods, rules};
use crate::labels;

pub(super) struct Builder<'a> {
    pub(super) subjects: &'a [Subject<'a>],
    pub(super) index: Index<'a>,
    /// Workloads by the labels of their pods.
    pub(super) workloads: Labelled<'a>,
    pub(super) problems: Vec<SpecProblem>,
    gates: BTreeMap<(&'static str, String), Gate>,
    joins: Vec<String>,
    edges: Vec<Edge>,
}

/// Everything of one side comes before everything of the other.
pub(super) struct Gate {
    rule: &'static Rule,
    members: Vec<(usize, Until, String)>,
    dependants: Vec<(usize, String)>,
}

impl Gate {
    /// Whether nothing has been put into it.
    pub(super) fn is_new(&self) -> bool {
        self.members.is_empty() && self.dependants.is_empty()
    }

    /// Whether anything comes first.
    pub(super) fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    /// One that comes first; `pointer` is the field that says so, empty if it stands at the dependants.
    pub(super) fn member(&mut self, node: usize, until: Until, pointer: impl Into<String>) {
        self.members.push((node, until, pointer.into()));
    }

    /// One that waits.
    pub(super) fn dependant(&mut self, node: usize, pointer: impl Into<String>) {
        self.dependants.push((node, pointer.into()));
    }
}

impl<'a> Builder<'a> {
    pub(super) fn new(subjects: &'a [Subject<'a>]) -> Self {
        Self {
            subjects,
            index: Index::of(subjects),
            workloads: pods::labelled(subjects),
            problems: Vec::new(),
            gates: BTreeMap::new(),
            joins: Vec::new(),
            edges: Vec::new(),
        }
    }

    pub(super) fn subject(&self, node: usize) -> Option<Subject<'a>> {
        self.subjects.get(node).copied()
    }

    /// `node` needs the object of this name, if that is in the input. `at` is the field in `node` that names it.
    pub(super) fn needs(&mut self, rule: &'static Rule, node: usize, key: Key<'_>, at: At<'_>) {
        if let Some(before) = self.index.find(key) {
            self.edge(rule, before, node, at);
        }
    }

    /// As far as the rule says; `at` is a field of `after`.
    pub(super) fn edge(&mut self, rule: &'static Rule, before: usize, after: usize, at: At<'_>) {
        let pointer = self.at(after, at);
        self.push(Edge { before, after, until: rule.until, rule, pointer });
    }

    /// A field of an object, from the root of the spec.
    pub(super) fn at(&self, node: usize, at: At<'_>) -> String {
        format!("{}{at}", self.subjects.get(node).map_or("", |subject| subject.pointer))
    }

    pub(super) fn push(&mut self, edge: Edge) {
        if edge.before != edge.after {
            self.edges.push(edge);
        }
    }

    /// The gate of this rule and name.
    pub(super) fn gate(&mut self, rule: &'static Rule, name: impl Into<String>) -> &mut Gate {
        let new = || Gate { rule, members: Vec::new(), dependants: Vec::new() };
        self.gates.entry((rule.name, name.into())).or_insert_with(new)
    }

    /// The gate between the bindings of these accounts and what runs as one of them.
    pub(super) fn bindings(&mut self, who: Who<'_>) -> &mut Gate {
        self.gate(&rules::BINDING, who.name())
    }

    /// A new join: the number of its node.
    pub(super) fn join(&mut self, rule: &'static Rule, name: &str) -> usize {
        let family = rule.name.rsplit('/').next().unwrap_or_default();
        self.joins.push(format!("all:{family}/{}", plain(name)));
        self.subjects.len() + self.joins.len() - 1
    }

    /// Turns gates into edges: direct ones where one side is single, else over a join.
    pub(super) fn close_gates(&mut self) {
        for ((_, name), gate) in std::mem::take(&mut self.gates) {
            self.close(&name, gate);
        }
    }

    fn close(&mut self, name: &str, gate: Gate) {
        let Gate { rule, members, dependants } = gate;
        if members.is_empty() || dependants.is_empty() {
            return;
        }
        if members.len() == 1 || dependants.len() == 1 {
            for (before, until, member_at) in &members {
                for (after, dependant_at) in &dependants {
                    let at = if member_at.is_empty() { dependant_at } else { member_at };
                    let pointer = if at.is_empty() { self.at(*after, format_args!("")) } else { at.clone() };
                    self.push(Edge { before: *before, after: *after, until: *until, rule, pointer });
                }
            }
            return;
        }
        let join = self.join(rule, name);
        for (before, until, at) in members {
            let pointer = if at.is_empty() { self.at(before, format_args!("")) } else { at };
            self.push(Edge { before, after: join, until, rule, pointer });
        }
        for (after, at) in dependants {
            let pointer = if at.is_empty() { self.at(after, format_args!("")) } else { at };
            self.push(Edge { before: join, after, until: Until::Ready, rule, pointer });
        }
    }

    /// Of each node whether one of these can only come after it, over the edges so far; these themselves included.
    pub(super) fn foundations(&self, of: &[usize]) -> Vec<bool> {
        let mut before: Vec<Vec<usize>> = vec![Vec::new(); self.subjects.len() + self.joins.len()];
        for edge in &self.edges {
            if let Some(list) = before.get_mut(edge.after) {
                list.push(edge.before);
            }
        }
        let mut seen = vec![false; before.len()];
        let mut open = of.to_vec();
        while let Some(node) = open.pop() {
            if let Some(seen) = seen.get_mut(node).filter(|seen| !**seen) {
                *seen = true;
                open.extend(before.get(node).into_iter().flatten());
            }
        }
        seen
    }

    pub(super) fn finish(mut self) -> Inferred {
        self.close_gates();
        let words = |node: usize| match self.subjects.get(node) {
            Some(subject) => subject.words.to_owned(),
            None => self.joins.get(node - self.subjects.len()).cloned().unwrap_or_default(),
        };
        let nodes = self.subjects.len() + self.joins.len();
        let outcome = acyclic::acyclic(nodes, self.edges, &words);
        self.problems.extend(outcome.problems);
        Inferred { joins: distinct(self.joins), edges: outcome.edges, problems: self.problems }
    }
}

/// The longest name of a join, in bytes: room for the component's name before it.
const NAME_BYTES_MAX: usize = 100;

/// What a name of a component may hold; long ones are cut and told apart by a hash.
fn plain(name: &str) -> String {
    if name.len() > NAME_BYTES_MAX {
        let readable: String = name.chars().take(NAME_BYTES_MAX / 2).collect();
        return format!("{}-{:016x}", plain(&readable), labels::fnv(name));
    }
    let keep = |c: char| if c.is_ascii_alphanumeric() || "-._:/".contains(c) { c } else { '-' };
    let kept: String = name.chars().map(keep).collect();
    let segments: Vec<&str> = kept.split('/').filter(|segment| !segment.is_empty()).collect();
    segments.join("/")
}

fn distinct(names: Vec<String>) -> Vec<String> {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    let mut numbered = |name: String| {
        let times = times.entry(name.clone()).or_default();
        *times += 1;
        if *times > 1 { format!("{name}:{times}") } else { name }
    };
    names.into_iter().map(&mut numbered).collect()
}
