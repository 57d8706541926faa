//! The inputs of a plan: its own values, those of files, and single ones; and the secrets that it declares.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::loader::Loader;
use super::problems::FieldProblem;
use super::scalar::{self, Plain};
use super::texts::{DocumentAt, Mark};
use super::words::list;
use super::{origin, pointer};
use crate::expr::unescape;
use crate::plan::diagnostic::Diagnostic;
use crate::plan::graph::closest;
use crate::secret::SecretRef;

impl Loader<'_> {
    /// The values of all inputs that have one.
    pub(super) fn inputs(&mut self, at: DocumentAt, document: &Value) -> Map<String, Value> {
        let own = document.pointer("/spec/inputs").and_then(Value::as_object);
        let mut inputs = own.cloned().unwrap_or_default();
        self.check_names(at, "/spec/inputs", inputs.keys());
        inputs.values_mut().for_each(unescape);
        let declared: Vec<String> = inputs.keys().cloned().collect();
        for file in self.options.input_files.clone() {
            for found in self.add(file) {
                let Value::Object(fields) = found.document.value else {
                    let place = self.texts.field(found.at, "", Mark::Value, "");
                    let message = "a file with inputs holds a map";
                    self.push(
                        Diagnostic::error("plan.bad-inputs", message)
                            .at(place)
                            .with_hint("write `name: value` lines".to_owned()),
                    );
                    continue;
                };
                for (name, value) in fields {
                    let field = pointer::child("", &name);
                    if declared.contains(&name) {
                        inputs.insert(name, value);
                    } else {
                        let place = self.texts.field(found.at, &field, Mark::Key, "");
                        let problem = undeclared(&name, &declared).at(place);
                        self.push(problem);
                    }
                }
            }
        }
        for (name, text) in &self.options.inputs {
            match inputs.get(name) {
                None => self.push(undeclared(name, &declared)),
                Some(Value::String(_)) => drop(inputs.insert(name.clone(), Value::String(text.clone()))),
                Some(_) => match scalar::plain(text) {
                    Plain::Value(value) => drop(inputs.insert(name.clone(), value)),
                    Plain::OldBoolean(_) | Plain::NotFinite => {
                        inputs.insert(name.clone(), Value::String(text.clone()));
                    }
                },
            }
        }
        for name in declared.iter().filter(|name| inputs.get(*name).is_some_and(Value::is_null)) {
            let field = pointer::child("/spec/inputs", name);
            let message = format!("the input `{}` has no value", name.escape_debug());
            let hint =
                format!("give it with `--set {}=VALUE`, or write one in the plan", name.escape_debug());
            self.report(
                at,
                FieldProblem::new("plan.input-missing", field, message).with_hint(hint).marked(Mark::Key),
            );
        }
        inputs
    }

    /// Plain manifests have no inputs.
    pub(super) fn refuse_inputs(&mut self) {
        if !self.options.inputs.is_empty() || !self.options.input_files.is_empty() {
            let message = "plain manifests take no inputs: nothing in them is an expression";
            self.push(
                Diagnostic::error("plan.unknown-input", message)
                    .with_hint("leave out `--set` and `--inputs`, or write a plan".to_owned()),
            );
        }
    }

    /// The references to the secrets that are declared well.
    pub(super) fn secrets(&mut self, at: DocumentAt, document: &Value) -> BTreeMap<String, SecretRef> {
        let Some(declared) = document.pointer("/spec/secrets").and_then(Value::as_object) else {
            return BTreeMap::new();
        };
        self.check_names(at, "/spec/secrets", declared.keys());
        let mut secrets = BTreeMap::new();
        for (name, value) in declared {
            // What is no text the schema reports.
            let Some(text) = value.as_str() else { continue };
            let name_shown = name.escape_debug();
            let field = pointer::child("/spec/secrets", name);
            match text.parse::<SecretRef>() {
                Ok(reference) => {
                    let judged = (self.options.secret_places)(&reference);
                    secrets.insert(name.clone(), reference);
                    let Err(failure) = judged else { continue };
                    // The text is not repeated: it may be the secret itself.
                    self.texts.hide(at, &field);
                    let message = format!("secret `{name_shown}`: {}", failure.message);
                    let problem = FieldProblem::new(failure.code, field, message).with_own_hint(failure.hint);
                    self.misplaced.push(origin::diagnose(&self.texts, at, problem));
                }
                Err(error) => {
                    self.texts.hide(at, &field);
                    let message = format!("`{name_shown}` does not say where the secret is kept");
                    let problem = FieldProblem::new("plan.bad-secret-reference", field, message);
                    self.report(at, problem.with_own_hint(Some(error.to_string())));
                }
            }
        }
        secrets
    }

    fn check_names<'n>(&mut self, at: DocumentAt, field: &str, names: impl Iterator<Item = &'n String>) {
        for name in names.filter(|name| !is_name(name)) {
            let message = format!("`{}` is no name for an expression", name.escape_debug());
            let problem = FieldProblem::new("plan.bad-name", pointer::child(field, name), message)
                .with_hint("use letters, digits and `_`, a letter first: `dbPassword`")
                .marked(Mark::Key);
            self.report(at, problem);
        }
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn undeclared(name: &str, declared: &[String]) -> Diagnostic {
    let known: Vec<&str> = declared.iter().map(String::as_str).collect();
    let hint = match closest(name, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if known.is_empty() => "the plan has no inputs: name it under `spec.inputs`".to_owned(),
        None => format!("the plan has the inputs {}", list(&known, "and")),
    };
    let message = format!("the plan has no input `{}`", name.escape_debug());
    Diagnostic::error("plan.unknown-input", message).with_hint(hint)
}
