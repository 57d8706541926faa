//! The expressions of a plan: found, checked, and rendered as far as that can be before it runs.
//!
//! Afterwards a string of the document that has an expression is one that must wait until the plan runs; text that only
//! looks like one stands there escaped. `rendering` takes both out of the specs of parts.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use super::loader::Loader;
use super::origin::component_pointer;
use super::pointer;
use super::problems::FieldProblem;
use super::texts::{DocumentAt, Mark};
use super::words::list;
use crate::expr::{ExprError, OPENING, Reference, Root, Template, escape, has_expression, is_template};
use crate::plan::diagnostic::Diagnostic;
use crate::plan::expressions::{Condition, Constants};
use crate::plan::graph::closest;
use crate::secret::SecretRef;

/// The names that strings of specs may use.
pub(super) const IN_SPECS: [Root; 6] =
    [Root::Inputs, Root::Secrets, Root::Components, Root::Plan, Root::Run, Root::Cluster];

/// What is known of the names of a plan.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) constants: Arc<Constants>,
    pub(super) secrets: BTreeMap<String, SecretRef>,
    /// The outputs that each component uses, by its position.
    pub(super) uses: Vec<Vec<Use>>,
    components: Vec<String>,
}

/// A use of the outputs of another component.
#[derive(Clone, Debug)]
pub(super) struct Use {
    pub(super) component: String,
    pub(super) output: Option<String>,
    /// The string in the document.
    pub(super) pointer: String,
    text: Arc<str>,
    at: Range<usize>,
}

impl Known {
    /// Of an input that has no names.
    pub(super) fn none() -> Self {
        let constants = Arc::new(Constants::new(serde_json::Map::new(), "", "", None));
        Self { constants, secrets: BTreeMap::new(), uses: Vec::new(), components: Vec::new() }
    }

    pub(super) fn condition(&self, text: &str) -> Result<Condition, ExprError> {
        Condition::parse(text, Arc::clone(&self.constants))
    }

    /// Why a reference leads nowhere.
    fn misses(&self, reference: &Reference, own: Option<&str>) -> Option<(String, Option<String>)> {
        let name = reference.path.first()?;
        let unknown = |what: &str, known: Vec<&str>, add: String| {
            let hint = match closest(name, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if known.is_empty() => add,
                None => format!("known are {}", list(&known, "and")),
            };
            (format!("there is no {what} `{}`", name.escape_debug()), Some(hint))
        };
        match reference.root {
            Root::Inputs => {
                let inputs = self.constants.inputs.as_object()?;
                let known = || inputs.keys().map(String::as_str).collect();
                let add = "name it under `spec.inputs`".to_owned();
                (!inputs.contains_key(name)).then(|| unknown("input", known(), add))
            }
            Root::Secrets => {
                let known = || self.secrets.keys().map(String::as_str).collect();
                let add = "declare it under `spec.secrets`".to_owned();
                (!self.secrets.contains_key(name)).then(|| unknown("secret", known(), add))
            }
            Root::Components if own == Some(name) => Some((
                format!("`{name}` refers to its own outputs"),
                Some("it has none before it is ready".into()),
            )),
            Root::Components => {
                let known = || self.components.iter().map(String::as_str).collect();
                (!self.components.contains(name)).then(|| unknown("component", known(), String::new()))
            }
            Root::Cluster | Root::Plan | Root::Run | Root::Itself => None,
        }
    }
}

/// Where a string of a plan stands.
enum Spot {
    /// In what its kind says, of the component at this position.
    Spec(usize),
    /// In a general field.
    Field(usize),
    Elsewhere,
}

impl Loader<'_> {
    /// Checks every expression of a plan, and renders what needs nothing of a run.
    pub(super) fn expressions(&mut self, at: DocumentAt, document: &mut Value) -> Known {
        let mut known = Known {
            constants: Arc::new(self.constants(at, document)),
            secrets: self.secrets(at, document),
            uses: vec![Vec::new(); components(document).len()],
            components: components(document)
                .iter()
                .map(|component| component.get("name").and_then(Value::as_str).unwrap_or_default().to_owned())
                .collect(),
        };
        self.check_conditions(at, document, &known);
        let mut found = Found::default();
        let is_condition = |at: &str| at.ends_with("/readyWhen") && pointer::segments(at).count() == 4;
        found.search(document, &mut String::new(), &is_condition);
        self.has_templates |= !found.strings.is_empty();
        for pointer in found.keys {
            let message = format!("`{OPENING}` in a key: only values may hold expressions");
            let hint = "write the key itself";
            self.report(
                at,
                FieldProblem::new("plan.expression", pointer, message).with_hint(hint).marked(Mark::Key),
            );
        }
        for pointer in found.strings {
            // Each problem may have cost something.
            let enough = self.has_errors && self.found.len() >= self.limits().problems_max;
            let Some(Value::String(text)) = document.pointer(&pointer).filter(|_| !enough) else { continue };
            let text: Arc<str> = text.as_str().into();
            if let Some(value) = self.string(at, (&pointer, &text), &mut known)
                && let Some(place) = document.pointer_mut(&pointer)
            {
                *place = value;
            }
        }
        known
    }

    fn constants(&mut self, at: DocumentAt, document: &Value) -> Constants {
        let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
        let (plan, namespace) = (text("/metadata/name"), text("/metadata/namespace"));
        let inputs = self.inputs(at, document);
        let (plan, namespace) = (plan.unwrap_or_default(), namespace.unwrap_or_default());
        Constants::new(inputs, plan, namespace, text("/spec/cluster"))
    }

    /// What takes the place of a string; nothing where it must wait, or is wrong.
    fn string(
        &mut self,
        at: DocumentAt,
        (pointer, text): (&str, &Arc<str>),
        known: &mut Known,
    ) -> Option<Value> {
        let spot = self.spot(pointer);
        let (allowed, own): (&[Root], _) = match &spot {
            Spot::Elsewhere if has_expression(text) => {
                let message = "expressions can only stand in components".to_owned();
                let hint = format!("write the value itself; `${OPENING}` stands for `{OPENING}`");
                self.report(at, FieldProblem::new("plan.expression", pointer, message).with_hint(hint));
                return None;
            }
            Spot::Elsewhere => (&[], None),
            Spot::Field(index) => {
                if pointer.ends_with("/name")
                    && pointer::segments(pointer).count() == 4
                    && has_expression(text)
                {
                    let message = "the name of a component must be written out";
                    self.report(at, FieldProblem::new("plan.expression", pointer, message));
                    return None;
                }
                (&Constants::ROOTS, Some(*index))
            }
            Spot::Spec(index) => (&IN_SPECS, Some(*index)),
        };
        let template = match Template::parse(text, allowed) {
            Ok(template) => template,
            Err(mut error) => {
                if matches!(spot, Spot::Field(_)) && error.message.ends_with("cannot be used here") {
                    error.hint = Some("this field must be known before the plan runs".to_owned());
                }
                self.wrong(at, (pointer, text), error);
                return None;
            }
        };
        let is_known = self.check_references(at, (pointer, text), (&template, own), known);
        let is_static = template.references().all(|one| Constants::ROOTS.contains(&one.root));
        if !is_known || !is_static {
            return None;
        }
        match template.render(&known.constants.names(), &mut self.budget) {
            Ok(mut value) => {
                if matches!(spot, Spot::Spec(_)) {
                    escape(&mut value);
                }
                Some(value)
            }
            Err(error) => {
                self.wrong(at, (pointer, text), error);
                None
            }
        }
    }

    /// Whether every name leads somewhere; notes whose outputs are used.
    fn check_references(
        &mut self,
        at: DocumentAt,
        (pointer, text): (&str, &Arc<str>),
        (template, own): (&Template, Option<usize>),
        known: &mut Known,
    ) -> bool {
        let mut is_known = true;
        for reference in template.references() {
            let own_name = own.and_then(|own| known.components.get(own)).cloned();
            let missed = known.misses(reference, own_name.as_deref()).or_else(|| {
                let no_cluster = reference.root == Root::Cluster && known.constants.cluster.is_none();
                no_cluster.then(|| {
                    let message = "the plan does not say which cluster it is for".to_owned();
                    (message, Some("state it under `spec.cluster`".to_owned()))
                })
            });
            if let Some((message, hint)) = missed {
                let place = self.texts.part(at, pointer, (text, reference.at.clone()));
                self.push(Diagnostic::error("expr.unknown-name", message).at(place).with_hint(hint));
                is_known = false;
            } else if let (Root::Components, Some(component), Some(own)) =
                (reference.root, reference.path.first(), own)
                && let Some(uses) = known.uses.get_mut(own)
            {
                uses.push(Use {
                    component: component.clone(),
                    output: reference.path.get(1).cloned(),
                    pointer: pointer.to_owned(),
                    text: Arc::clone(text),
                    at: reference.at.clone(),
                });
            }
        }
        is_known
    }

    fn wrong(&mut self, at: DocumentAt, (pointer, text): (&str, &str), error: ExprError) {
        let place = self.texts.part(at, pointer, (text, error.at));
        self.push(Diagnostic::error(error.kind.code(), error.message).at(place).with_hint(error.hint));
    }

    fn spot(&self, at: &str) -> Spot {
        let mut segments = pointer::segments(at);
        let start = (segments.next(), segments.next(), segments.next());
        let (Some(spec), Some(components), Some(index)) = start else { return Spot::Elsewhere };
        match index.parse() {
            Ok(index) if spec == "spec" && components == "components" => {
                let is_kind = segments.next().is_some_and(|field| self.options.kinds.get(&field).is_some());
                if is_kind { Spot::Spec(index) } else { Spot::Field(index) }
            }
            _ => Spot::Elsewhere,
        }
    }

    fn check_conditions(&mut self, at: DocumentAt, document: &Value, known: &Known) {
        for (index, component) in components(document).iter().enumerate() {
            let Some(text) = component.get("readyWhen").and_then(Value::as_str) else { continue };
            let pointer = pointer::child(&component_pointer(index), "readyWhen");
            match known.condition(text) {
                Err(error) => {
                    let hint = "it is an expression as it stands: `self.status.phase == 'Ready'`";
                    let hint = if is_template(text) { Some(hint.to_owned()) } else { error.hint };
                    self.wrong(at, (&pointer, text), ExprError { hint, ..error });
                }
                Ok(condition) => {
                    for reference in condition.expression().references() {
                        let Some((message, hint)) = known.misses(reference, None) else { continue };
                        let place = self.texts.part(at, &pointer, (text, reference.at.clone()));
                        self.push(Diagnostic::error("expr.unknown-name", message).at(place).with_hint(hint));
                    }
                }
            }
        }
    }

    /// An output that is used and that its component does not have.
    pub(super) fn unknown_output(&mut self, at: DocumentAt, one: &Use, known: &BTreeSet<String>) {
        let output = one.output.as_deref().unwrap_or_default();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let hint = match closest(output, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if known.is_empty() => format!("name some under `outputs` of `{}`", one.component),
            None => format!("it has {}", list(&known, "and")),
        };
        let message = format!("component `{}` has no output `{}`", one.component, output.escape_debug());
        let place = self.texts.part(at, &one.pointer, (&one.text, one.at.clone()));
        self.push(Diagnostic::error("expr.unknown-output", message).at(place).with_hint(hint));
    }
}

fn components(document: &Value) -> &[Value] {
    document.pointer("/spec/components").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The pointers of strings and keys that mean something else than they say.
#[derive(Default)]
pub(super) struct Found {
    pub(super) strings: Vec<String>,
    pub(super) keys: Vec<String>,
}

impl Found {
    /// All of a value, but for what stands at pointers that are left out. Recursion is bounded by the reader's depth limit.
    pub(super) fn search(&mut self, value: &Value, at: &mut String, is_left_out: &dyn Fn(&str) -> bool) {
        let length = at.len();
        match value {
            Value::String(text) if is_template(text) => self.strings.push(at.clone()),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    pointer::push_index(at, index);
                    self.search(item, at, is_left_out);
                    at.truncate(length);
                }
            }
            Value::Object(fields) => {
                for (key, value) in fields {
                    pointer::push(at, key);
                    if is_template(key) {
                        self.keys.push(at.clone());
                    }
                    if !is_left_out(at) {
                        self.search(value, at, is_left_out);
                    }
                    at.truncate(length);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}
