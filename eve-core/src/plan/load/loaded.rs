//! A plan that was read and found good, and that knows where everything in it was written.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

use super::origin::Origin;
use super::redact::{Part, Redaction};
use super::texts::{Mark, Texts};
use crate::kind::EdgeSource;
use crate::plan::diagnostic::{Diagnostic, Diagnostics, Place, Severity, Source};
use crate::plan::expand::{Expanded, Reason};
use crate::plan::graph::Graph;
use crate::plan::limits::Limits;
use crate::plan::problem::{PlanProblem, SpecProblem};
use crate::plan::{Component, Dependency, FailurePolicy, Plan};
use crate::secret::SecretRef;

/// A plan that was read and found good, expanded to primitive components. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Loaded {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) texts: Texts,
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) on_failure: FailurePolicy,
    pub(super) request_id: Option<String>,
    pub(super) cluster: Option<String>,
    pub(super) secrets: BTreeMap<String, SecretRef>,
    pub(super) is_manifests: bool,
    pub(super) origins: Vec<Origin>,
    pub(super) components: Vec<Expanded>,
    pub(super) warnings: Vec<Diagnostic>,
    pub(super) misplaced: Vec<Diagnostic>,
    pub(super) limits: Limits,
    /// Where each component is in `components`, by its name; made only when it is asked for.
    pub(super) names: OnceLock<BTreeMap<Box<str>, usize>>,
}

impl Loaded {
    pub(super) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// The graph of the plan.
    ///
    /// # Errors
    /// Every problem found, with its place in the text.
    pub fn graph(&self) -> Result<Graph, Diagnostics> {
        Graph::from_plan_within(self, &self.inner.limits).map_err(|problems| {
            self.diagnostics(problems.iter().map(|problem| self.diagnose_plan(problem)).collect())
        })
    }

    /// What looks wrong but is used all the same.
    pub fn warnings(&self) -> Diagnostics {
        self.diagnostics(self.inner.warnings.clone())
    }

    /// Places of secrets that lead nowhere, as [`LoadOptions::secret_places`](super::LoadOptions::secret_places) judges.
    /// Whoever asks for the secrets is told of them then, with everything else that is wrong with secrets.
    pub fn misplaced_secrets(&self) -> &[Diagnostic] {
        &self.inner.misplaced
    }

    /// A problem between components, with its place in the text.
    pub fn diagnose_plan(&self, problem: &PlanProblem) -> Diagnostic {
        let place =
            problem.component.as_deref().and_then(|name| self.component_place(name, &problem.pointer));
        Diagnostic::error(problem.code.clone(), problem.message.clone())
            .at(place)
            .with_hint(problem.hint.clone())
    }

    /// A problem of the spec of a component of the graph, by its name there, with its place in the text.
    pub fn diagnose_spec(&self, component: &str, problem: &SpecProblem) -> Diagnostic {
        let Some((expanded, origin)) = self.find(component) else {
            return Diagnostic::error(problem.code.clone(), problem.message.clone())
                .with_hint(problem.hint.clone());
        };
        let mut problem = problem.clone();
        if let Some(part) = &expanded.part {
            problem.pointer = Origin::of_part(part, &problem.pointer);
            problem.related.iter_mut().for_each(|(pointer, _)| *pointer = Origin::of_part(part, pointer));
        }
        origin.diagnose(&self.inner.texts, problem)
    }

    /// A problem that an executor has with a component, whose pointer leads into its spec, with its place in the text.
    pub fn diagnose_executor(&self, problem: &PlanProblem) -> Diagnostic {
        let Some(component) = &problem.component else { return self.diagnose_plan(problem) };
        let spec = SpecProblem::new(problem.code.clone(), problem.pointer.clone(), problem.message.clone());
        let spec = match &problem.hint {
            Some(hint) => spec.with_hint(hint.clone()),
            None => spec,
        };
        self.diagnose_spec(component, &spec)
    }

    /// Where a component of the graph is written, by its name there.
    pub fn place(&self, component: &str) -> Option<Place> {
        self.component_place(component, "")
    }

    fn component_place(&self, name: &str, pointer: &str) -> Option<Place> {
        let (expanded, origin) = self.find(name)?;
        match &expanded.part {
            Some(part) => origin.spec_field(&self.inner.texts, &part.spec, ""),
            None => origin.field(&self.inner.texts, pointer, Mark::Value, ""),
        }
    }

    /// Every edge of the plan and where it comes from, in plan order. Several may have the same two ends.
    pub fn edges(&self) -> impl Iterator<Item = LoadedEdge<'_>> {
        self.inner.components.iter().flat_map(|component| {
            let edges = component.edges().iter().zip(&component.reasons);
            edges.map(|(dependency, reason)| LoadedEdge { plan: self, component, dependency, reason })
        })
    }

    fn find(&self, name: &str) -> Option<(&Expanded, &Origin)> {
        let all = &self.inner.components;
        let names =
            || all.iter().enumerate().rev().map(|(at, component)| (component.name.clone(), at)).collect();
        let expanded = all.get(*self.inner.names.get_or_init(names).get(name)?)?;
        Some((expanded, self.inner.origins.get(expanded.from)?))
    }

    /// These diagnostics together with the sources of the plan, in order, ready to be shown.
    pub fn diagnostics(&self, list: Vec<Diagnostic>) -> Diagnostics {
        finish(&self.inner.texts, (list, 0), self.inner.limits.problems_max)
    }

    /// What was read, in order; the places of diagnostics count in it.
    pub fn sources(&self) -> &[Source] {
        self.inner.texts.sources()
    }

    /// The request that the plan says it is: 1 to 253 printable ASCII characters without spaces.
    pub fn request_id(&self) -> Option<&str> {
        self.inner.request_id.as_deref()
    }

    /// Where it says so.
    pub fn request_place(&self) -> Option<Place> {
        let document = self.inner.origins.iter().find_map(|origin| origin.document)?;
        self.inner.texts.field(document, "/spec/requestId", Mark::Value, "")
    }

    /// The cluster that the plan is for, if it says so.
    pub fn cluster(&self) -> Option<&str> {
        self.inner.cluster.as_deref()
    }

    /// The secrets that the plan declares, by the names that it gives them.
    pub fn secrets(&self) -> &BTreeMap<String, SecretRef> {
        &self.inner.secrets
    }

    /// Where a secret is declared, by its name in the plan.
    pub fn secret_place(&self, name: &str) -> Option<Place> {
        let document = self.inner.origins.iter().find_map(|origin| origin.document)?;
        let pointer = super::pointer::child("/spec/secrets", name);
        self.inner.texts.field(document, &pointer, Mark::Value, "")
    }

    /// Whether it was read from plain manifests and not from a plan.
    pub fn is_manifests(&self) -> bool {
        self.inner.is_manifests
    }
}

/// An edge of a plan that was read, and where it comes from.
#[derive(Clone, Copy, Debug)]
pub struct LoadedEdge<'a> {
    plan: &'a Loaded,
    component: &'a Expanded,
    dependency: &'a Dependency,
    reason: &'a Reason,
}

impl<'a> LoadedEdge<'a> {
    /// The name of the component that waits.
    pub fn component(&self) -> &'a str {
        self.component.name()
    }

    /// What it waits for, and how long.
    pub fn dependency(&self) -> &'a Dependency {
        self.dependency
    }

    /// Whether it was written or found.
    pub fn source(&self) -> EdgeSource {
        self.reason.source()
    }

    /// The rule that made it: an annotation, or a rule that the kind of the component lists.
    pub fn rule(&self) -> Option<&'static str> {
        match self.reason {
            Reason::Kind(reason) => Some(reason.rule),
            Reason::Entry(_) | Reason::Structure => None,
        }
    }

    /// The place in the text that it comes from.
    pub fn place(&self) -> Option<Place> {
        let Inner { texts, origins, .. } = &*self.plan.inner;
        let origin = origins.get(self.component.from)?;
        match self.reason {
            Reason::Entry(entry) => origin.field(texts, &format!("/dependsOn/{entry}"), Mark::Value, ""),
            Reason::Kind(reason) => origin.spec_field(texts, &reason.spec, ""),
            Reason::Structure => None,
        }
    }
}

impl Plan for Loaded {
    fn name(&self) -> &str {
        &self.inner.name
    }

    fn namespace(&self) -> &str {
        &self.inner.namespace
    }

    fn on_failure(&self) -> FailurePolicy {
        self.inner.on_failure
    }

    fn visit_components(&self, visit: &mut dyn FnMut(&dyn Component)) {
        self.inner.components.iter().for_each(|component| visit(component));
    }
}

/// Sorts, cuts, and adds what must be hidden; so many further errors are only counted.
pub(super) fn finish(
    texts: &Texts,
    (mut list, further): (Vec<Diagnostic>, usize),
    problems_max: usize,
) -> Diagnostics {
    let start = |diagnostic: &Diagnostic| {
        diagnostic.place.as_ref().map(|place| (place.source, place.span.start, place.span.end))
    };
    list.sort_by_key(start);
    // Each on its own, so that no number of warnings hides an error.
    let (mut errors, mut warnings) = (0_usize, 0_usize);
    list.retain(|diagnostic| {
        let count = match diagnostic.severity {
            Severity::Error => &mut errors,
            Severity::Warning => &mut warnings,
        };
        *count += 1;
        *count <= problems_max
    });
    let hidden = errors.saturating_sub(problems_max).saturating_add(further);
    let hidden_warnings = warnings.saturating_sub(problems_max);
    let sources: BTreeSet<usize> = places(list.iter()).map(|place| place.source).collect();
    let (mut secrets, mut parts) = (Vec::new(), Vec::new());
    for source in sources {
        // Lines between two places may be shown as well.
        let lines = |diagnostic: &Diagnostic| {
            let places = diagnostic.place.iter().chain(&diagnostic.related);
            let lines = places.filter(|place| place.source == source).map(|place| place.line);
            lines.clone().min().zip(lines.max()).map(|(first, last)| first..=last)
        };
        let spans = texts.secrets(source, &union(list.iter().filter(|one| is_broken(one)).filter_map(lines)));
        secrets.extend(spans.iter().map(|span| (source, span.clone())));
        // What is a value and what is not is known of whole texts alone.
        let around = (!texts.is_broken(source)).then(|| texts.around_secrets(source));
        let text = texts.source(source).map(Source::text).unwrap_or_default();
        parts.push(Part { source, text, secrets: spans, around });
    }
    Redaction::of(&parts).apply(&mut list);
    Diagnostics { sources: texts.sources().to_vec(), list, hidden, hidden_warnings, secrets }
}

/// All numbers of these ranges, each gone through once.
fn union(ranges: impl Iterator<Item = RangeInclusive<usize>>) -> BTreeSet<usize> {
    let mut ranges: Vec<RangeInclusive<usize>> = ranges.collect();
    ranges.sort_by_key(|range| *range.start());
    let mut next = 0;
    let rest = |range: RangeInclusive<usize>| {
        let first = next.max(*range.start());
        next = next.max(range.end() + 1);
        first..=*range.end()
    };
    ranges.into_iter().flat_map(rest).collect()
}

/// Whether the text itself is what is wrong.
fn is_broken(diagnostic: &Diagnostic) -> bool {
    diagnostic.code.starts_with("yaml.")
}

fn places<'a>(list: impl Iterator<Item = &'a Diagnostic>) -> impl Iterator<Item = &'a Place> {
    list.flat_map(|diagnostic| diagnostic.place.iter().chain(&diagnostic.related))
}
