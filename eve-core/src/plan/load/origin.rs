//! Where the components of a plan are written, so that a problem found later can be shown in the text.

use serde_json::Value;

use super::pointer;
use super::texts::{DocumentAt, Mark, Texts};
use crate::kind::PartOrigin;
use crate::plan::diagnostic::{Diagnostic, Place};
use crate::plan::problem::SpecProblem;

use super::problems::FieldProblem;

/// A component as it is written.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) name: String,
    /// The plan document; `None` for plain manifests.
    pub(super) document: Option<DocumentAt>,
    /// The component in its document.
    pub(super) component: String,
    /// Its spec in its document.
    pub(super) spec: String,
    /// The documents that were put into its list of objects.
    pub(super) inlined: Inlined,
}

/// Documents in a list of a spec.
#[derive(Debug, Default)]
pub(super) struct Inlined {
    /// The list, as a JSON Pointer into the spec.
    pub(super) list: String,
    /// How many items are written in the plan itself, before those of the documents.
    pub(super) own: usize,
    pub(super) documents: Vec<DocumentAt>,
}

impl Origin {
    /// The document and the field in it that a field of the spec stands in.
    pub(super) fn resolve(&self, spec_pointer: &str) -> Option<(DocumentAt, String)> {
        if let Some(found) = self.inlined.resolve(spec_pointer) {
            return Some(found);
        }
        let document = self.document?;
        Some((document, format!("{}{spec_pointer}", self.spec)))
    }

    pub(super) fn field(&self, texts: &Texts, pointer: &str, mark: Mark, label: &str) -> Option<Place> {
        texts.field(self.document?, &format!("{}{pointer}", self.component), mark, label)
    }

    pub(super) fn spec_field(&self, texts: &Texts, pointer: &str, label: &str) -> Option<Place> {
        let (document, pointer) = self.resolve(pointer)?;
        texts.field(document, &pointer, Mark::Value, label)
    }

    /// A problem of the spec, with its places.
    pub(super) fn diagnose(&self, texts: &Texts, problem: SpecProblem) -> Diagnostic {
        let part = problem.part.and_then(|(text, part)| {
            let (document, pointer) = self.resolve(&problem.pointer)?;
            texts.part(document, &pointer, (&text, part))
        });
        let place = part.or_else(|| self.spec_field(texts, &problem.pointer, ""));
        let hint = problem.hint.map(|hint| quoted(texts, place.as_ref(), hint));
        let related =
            problem.related.iter().filter_map(|(at, label)| self.spec_field(texts, at, label)).collect();
        Diagnostic {
            severity: problem.severity,
            code: problem.code,
            message: problem.message,
            place,
            related,
            hint,
            is_own_hint: false,
            notes: Vec::new(),
        }
    }

    /// The field of this component's spec that a field of the spec of one of its parts comes from.
    pub(super) fn of_part(part: &PartOrigin, pointer: &str) -> String {
        let rest = pointer.strip_prefix(part.part).unwrap_or_default();
        format!("{}{rest}", part.spec)
    }
}

impl Inlined {
    fn resolve(&self, spec_pointer: &str) -> Option<(DocumentAt, String)> {
        let rest =
            spec_pointer.strip_prefix(&self.list).filter(|_| !self.list.is_empty())?.strip_prefix('/')?;
        let (index, rest) = rest.split_once('/').map_or((rest, None), |(index, rest)| (index, Some(rest)));
        let index = index.parse::<usize>().ok()?.checked_sub(self.own)?;
        let document = *self.documents.get(index)?;
        Some((document, rest.map_or_else(String::new, |rest| format!("/{rest}"))))
    }
}

/// What an entry of `dependsOn` names.
pub(super) fn dependency_name(entry: &Value) -> Option<&str> {
    entry.as_str().or_else(|| entry.get("component").and_then(Value::as_str))
}

/// A problem of a document, with its places.
pub(super) fn diagnose(texts: &Texts, document: DocumentAt, problem: FieldProblem) -> Diagnostic {
    let place = texts.field(document, &problem.pointer, problem.mark, "");
    let hint = problem.hint.map(|hint| quoted(texts, place.as_ref(), hint));
    let related = |(at, label): &(String, String)| texts.field(document, at, Mark::Value, label);
    Diagnostic {
        severity: problem.severity,
        code: problem.code,
        message: problem.message,
        place,
        related: problem.related.iter().filter_map(related).collect(),
        hint,
        is_own_hint: problem.is_own_hint,
        notes: Vec::new(),
    }
}

/// Shows how the text at `place` is written in quotes, if that is what the hint says and the text is no secret.
fn quoted(texts: &Texts, place: Option<&Place>, hint: String) -> String {
    let Some(place) = place.filter(|_| hint == SpecProblem::QUOTE) else { return hint };
    let raw = texts.source(place.source).and_then(|source| source.text().get(place.span.clone()));
    let is_secret = || texts.is_secret(place.source, place.span.start);
    match raw {
        Some(raw) if !raw.is_empty() && raw.len() <= 40 && !raw.contains(['"', '\\']) && !is_secret() => {
            format!("{hint}: `\"{}\"`", raw.escape_debug())
        }
        _ => hint,
    }
}

/// `/spec/components/3`
pub(super) fn component_pointer(index: usize) -> String {
    let mut at = "/spec/components".to_owned();
    pointer::push_index(&mut at, index);
    at
}
