//! A plan as it is written: checked against its schema, its edges and its kinds, then taken apart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value};

use super::expressions::{Known, Use};
use super::loaded::Inner;
use super::loader::{Found, Loader};
use super::origin::{Inlined, Origin, component_pointer, dependency_name};
use super::pointer;
use super::problems::FieldProblem;
use super::rendering::{Outputs, outputs_of};
use super::schema::{Judged, Validator, plan_schema};
use super::skeleton::{IGNORED, Skeleton};
use super::texts::{DocumentAt, Texts};
use crate::kind::Expansion;
use crate::plan::diagnostic::Diagnostic;
use crate::plan::expand::{Written, expand};
use crate::plan::graph::Graph;
use crate::plan::problem::PlanProblem;
use crate::plan::spec::{ActionSpec, ComponentSpec, DependencySpec, PlanDocument, PlanSpec};
use crate::plan::{Action, ClassLimit, Dependency, RetryPolicy, Settings, Until};

impl Loader<'_> {
    /// A plan as it is written.
    pub(super) fn plan(&mut self, found: Found) -> Option<Inner> {
        let at = found.at;
        let mut document = found.document.value;
        for (pointer, text) in found.document.old_booleans {
            if !self.is_data(&pointer)
                && let Some(value) = document.pointer_mut(&pointer)
            {
                *value = Value::String(text);
            }
        }
        let known = self.expressions(at, &mut document);
        let schema = plan_schema(self.options.kinds);
        let Judged { problems, hidden } =
            Validator::run(("the plan", &schema), self.options.kinds, &document, self.limits().problems_max);
        for problem in problems {
            let spec = pointer::ancestor(&problem.pointer, 4);
            self.flawed.extend(spec.map(str::to_owned));
            self.report(at, problem);
        }
        self.hidden += hidden;
        self.check_metadata(at, &document);
        let components = document.pointer_mut("/spec/components").map(Value::take);
        let components = match components {
            Some(Value::Array(components)) => components,
            _ => Vec::new(),
        };
        self.check_edges(at, &components, &known.uses);
        let namespace =
            document.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default().to_owned();
        let (origins, mut written) = self.components(at, components, (&namespace, &known));
        if self.has_errors {
            return None;
        }
        self.set_aside(&mut written, &origins, &known);
        if self.has_errors {
            return None;
        }
        if let Some(spec) = document.get_mut("spec").and_then(Value::as_object_mut) {
            spec.insert("components".into(), Value::Array(Vec::new()));
        }
        let PlanDocument { metadata, spec, .. } = match serde_json::from_value(document) {
            Ok(document) => document,
            Err(error) => {
                self.report(at, FieldProblem::new("plan.invalid", "", error.to_string()));
                return None;
            }
        };
        let PlanSpec { request_id, cluster, on_failure, .. } = spec;
        Some(Inner {
            texts: Texts::default(),
            name: metadata.name,
            namespace: metadata.namespace,
            on_failure: on_failure.unwrap_or_default(),
            request_id,
            cluster,
            secrets: known.secrets,
            is_manifests: false,
            origins,
            components: expand(written, self.limits().components_max),
            warnings: Vec::new(),
            misplaced: Vec::new(),
            limits: self.limits().clone(),
            names: OnceLock::new(),
        })
    }

    /// Whether a field of a plan stands in a manifest.
    fn is_data(&self, at: &str) -> bool {
        let mut segments = pointer::segments(at).skip(3);
        let (kind, field) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
        let files = self.options.kinds.get(&kind).and_then(|kind| kind.files());
        at.starts_with("/spec/components/") && files.is_some_and(|files| files.into == field)
    }

    /// What was given beside the plan must not contradict it.
    fn check_metadata(&mut self, at: DocumentAt, document: &Value) {
        let given = [
            ("namespace", "-n", "plan.other-namespace", self.options.namespace.clone()),
            ("name", "--name", "plan.other-name", self.options.name.clone()),
        ];
        for (field, flag, code, given) in given {
            let pointer = format!("/metadata/{field}");
            let stated = document.pointer(&pointer).and_then(Value::as_str);
            if let (Some(stated), Some(given)) = (stated, given)
                && stated != given
            {
                let message = format!(
                    "the plan has the {field} `{}`, but `{flag} {}` was given",
                    stated.escape_debug(),
                    given.escape_debug()
                );
                let hint = format!("leave `{flag}` out, or change the plan");
                self.report(at, FieldProblem::new(code, pointer, message).with_hint(hint));
            }
        }
    }

    /// Names that stand twice, dependencies that do not exist, cycles, classes that disagree.
    fn check_edges(&mut self, at: DocumentAt, components: &[Value], uses: &[Vec<Use>]) {
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, component) in components.iter().enumerate() {
            let Some(name) = component.get("name").and_then(Value::as_str) else { continue };
            let Some(first) = names.get(name) else {
                names.insert(name, index);
                continue;
            };
            let message = format!("two components have the name `{}`", name.escape_debug());
            let field = |index| pointer::child(&component_pointer(index), "name");
            let mut problem = FieldProblem::new("plan.duplicate-name", field(index), message)
                .with_hint("names are unique in a plan");
            problem.related.push((field(*first), "the first one".into()));
            self.report(at, problem);
        }
        let skeleton = Skeleton::of(components, uses);
        let Err(problems) = Graph::from_plan_within(&skeleton, self.limits()) else { return };
        for problem in problems {
            if let Some(problem) = edge_problem(problem, components, (&names, uses)) {
                self.report(at, problem);
            }
        }
    }

    fn components(
        &mut self,
        at: DocumentAt,
        components: Vec<Value>,
        (namespace, known): (&str, &Known),
    ) -> (Vec<Origin>, Vec<Written>) {
        let (mut origins, mut written) = (Vec::new(), Vec::new());
        let mut outputs = Outputs::new();
        for (index, component) in components.into_iter().enumerate() {
            let Value::Object(mut fields) = component else { continue };
            let kinds = self.options.kinds;
            let kind = kinds.iter().find_map(|(name, kind)| Some((kind, fields.remove(name)?)));
            let Some((kind, mut spec)) = kind else { continue };
            let mut origin = origin_of(at, index, kind.name(), &fields);
            let is_whole = match (kind.files(), spec.as_object_mut()) {
                (_, None) => continue,
                (Some(files), Some(spec)) => self.inline(files, spec, &mut origin),
                (None, Some(_)) => true,
            };
            let mut expansion =
                is_whole.then(|| self.expansion(kind.as_ref(), spec, &origin, namespace)).flatten();
            if let Some(expansion) = expansion.as_mut().filter(|_| is_nothing_done(&fields)) {
                expansion.parts.clear();
            }
            if let Some(expansion) = &expansion {
                self.check_objects(expansion, &origin, &origins);
            }
            // A misspelt field may be why a component seems to have other parts or outputs.
            if let Some(expansion) = expansion.as_ref().filter(|_| !self.flawed.contains(&origin.spec)) {
                if fields.contains_key("readyWhen") {
                    self.check_condition_fits(expansion, &origin);
                }
                outputs.insert(origin.name.clone(), outputs_of(expansion));
            }
            let Some(expansion) = expansion.filter(|_| !self.has_errors) else {
                origins.push(origin);
                continue;
            };
            match serde_json::from_value::<ComponentSpec>(Value::Object(fields)) {
                Ok(spec) => {
                    let mut one = written_of(spec, expansion, known);
                    let spec_of = |one: &Use| {
                        Some((one.component.clone(), one.pointer.strip_prefix(&origin.spec)?.to_owned()))
                    };
                    one.references =
                        known.uses.get(index).into_iter().flatten().filter_map(spec_of).collect();
                    let mut seen = BTreeSet::new();
                    one.references.retain(|(component, _)| seen.insert(component.clone()));
                    written.push(one);
                }
                Err(error) => {
                    self.report(
                        at,
                        FieldProblem::new("plan.invalid", origin.component.clone(), error.to_string()),
                    );
                }
            }
            origins.push(origin);
        }
        self.check_outputs(at, &known.uses, &outputs);
        (origins, written)
    }

    /// Two components must not make the same thing: each would undo what the other did.
    fn check_objects(&mut self, expansion: &Expansion, origin: &Origin, origins: &[Origin]) {
        for part in &expansion.parts {
            let (Some(identity), Some(part)) = (&part.identity, &part.origin) else { continue };
            let Some((first, pointer)) = self.objects.get(identity) else {
                self.objects.insert(identity.clone(), (origins.len(), part.spec.clone()));
                continue;
            };
            let Some(first) = origins.get(*first) else { continue };
            let message = format!("{identity} stands in component `{}` and in `{}`", first.name, origin.name);
            let diagnostic = Diagnostic::error("plan.duplicate-object", message)
                .at(origin.spec_field(&self.texts, &part.spec, ""))
                .with_related(first.spec_field(&self.texts, pointer, "also here"))
                .with_hint("an object belongs to one component".to_owned());
            self.push(diagnostic);
        }
    }
}

/// Whether the component is only there for what waits for it: it has no parts then.
fn is_nothing_done(fields: &Map<String, Value>) -> bool {
    fields.get("action").and_then(Value::as_str) == Some("none")
}

fn origin_of(at: DocumentAt, index: usize, kind: &str, fields: &Map<String, Value>) -> Origin {
    let component = component_pointer(index);
    Origin {
        name: fields.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
        document: Some(at),
        spec: pointer::child(&component, kind),
        component,
        inlined: Inlined::default(),
    }
}

fn written_of(spec: ComponentSpec, expansion: Expansion, known: &Known) -> Written {
    let dependency = |entry: DependencySpec| match entry {
        DependencySpec::Name(component) => Dependency { component, until: Until::Ready },
        DependencySpec::Until(entry) => {
            Dependency { component: entry.component, until: entry.until.unwrap_or_default() }
        }
    };
    let retry = spec.retry.map(|retry| {
        let backoff = retry.backoff.map_or(std::time::Duration::from_secs(1), |backoff| backoff.0);
        let longest = retry.max_backoff.map_or(std::time::Duration::from_secs(30), |longest| longest.0);
        RetryPolicy { attempts: retry.attempts, backoff, max_backoff: longest.max(backoff) }
    });
    Written {
        name: spec.name,
        dependencies: spec.depends_on.into_iter().flatten().map(dependency).collect(),
        settings: Settings {
            action: match spec.action.unwrap_or(ActionSpec::Apply) {
                ActionSpec::Apply => Action::Apply,
                ActionSpec::Delete => Action::Delete,
                ActionSpec::Read => Action::Read,
                ActionSpec::None => Action::None,
            },
            until: spec.until.unwrap_or_default(),
            timeout: spec.timeout.map(|timeout| timeout.0),
            retry,
            on_failure: spec.on_failure,
            class: spec.class.map(|class| ClassLimit { name: class.name, limit: class.limit }),
            labels: spec.labels.unwrap_or_default(),
            expressions: None,
            // One that is wrong has been reported.
            ready_when: spec.ready_when.and_then(|text| known.condition(&text).ok()).map(Arc::new),
            undo: spec.undo.unwrap_or_default(),
        },
        expansion,
        references: Vec::new(),
    }
}

/// A problem of the skeleton in terms of the document. `None` where the validator has said it already.
fn edge_problem(
    problem: PlanProblem,
    components: &[Value],
    (names, uses): (&BTreeMap<&str, usize>, &[Vec<Use>]),
) -> Option<FieldProblem> {
    let position = |name: &str| names.get(name).copied();
    let is_told = matches!(&*problem.code, "graph.bad-name" | "graph.bad-class" | "graph.bad-retry");
    if is_told || problem.message.contains(&format!("depends on `{IGNORED}`,")) {
        return None;
    }
    let component = problem.component.as_deref().and_then(position);
    let pointer = component
        .map_or_else(|| "/spec/components".to_owned(), |index| component_pointer(index) + &problem.pointer);
    let mut result = FieldProblem::new(problem.code, pointer, problem.message);
    result.hint = problem.hint;
    let next = problem.cycle.iter().cycle().skip(1);
    for (index, (name, next)) in problem.cycle.iter().zip(next).enumerate() {
        let Some(component) = position(name) else { continue };
        let entries = components.get(component).and_then(|component| component.get("dependsOn")?.as_array());
        let entry =
            entries.and_then(|entries| entries.iter().position(|entry| dependency_name(entry) == Some(next)));
        let reference = uses.get(component).and_then(|own| own.iter().find(|one| one.component == *next));
        let field = match (entry, reference) {
            (None, Some(reference)) => reference.pointer.clone(),
            (entry, _) => format!("{}/dependsOn/{}", component_pointer(component), entry.unwrap_or_default()),
        };
        if index == 0 {
            result.pointer = field;
        } else {
            result.related.push((field, format!("`{name}` depends on `{next}`")));
        }
    }
    Some(result)
}
