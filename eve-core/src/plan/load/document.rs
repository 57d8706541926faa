//! One YAML document of any type, checked as a plan is: against the schema of the type, every problem at once, each with
//! its place. For what stands beside plans, such as the configuration of a process.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::loaded::finish;
use super::origin;
use super::pointer;
use super::problems::FieldProblem;
use super::read;
use super::salvage::{Salvage, salvage};
use super::schema::{Judged, Validator};
use super::texts::{DocumentAt, Mark, Texts};
use crate::kind::Kinds;
use crate::plan::diagnostic::{Diagnostic, Diagnostics, Severity, Source};
use crate::plan::limits::Limits;

/// The problem of a map that lacks a field, which is told of the map.
const MISSING_FIELD: &str = "plan.missing-field";

/// How a document is spoken of, and what is done with it before it is checked.
pub struct DocumentOptions<'a> {
    /// What it is, in words: `the configuration`.
    pub whole: &'static str,
    /// What the codes of its problems begin with: `config` for `config.unknown-field`.
    pub codes: &'static str,
    /// Changes fields before they are checked, for example to what the environment says; given the schema and the
    /// document. What it returns is reported with the other problems.
    pub overlay: &'a dyn Fn(&Value, &mut Value) -> Overlay,
    /// What the text may cost.
    pub limits: Limits,
}

/// What was changed of a document before it was checked.
#[derive(Clone, Debug, Default)]
pub struct Overlay {
    /// What could not be.
    pub problems: Vec<Diagnostic>,
    /// The fields that were, as JSON Pointers, with where they come from: ``the variable `X` ``. What is wrong with them is
    /// told of that and not of a place in the text.
    pub given: BTreeMap<String, String>,
}

impl fmt::Debug for DocumentOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DocumentOptions").field("whole", &self.whole).finish_non_exhaustive()
    }
}

/// A document, or what of it has the form of its type; knows where everything in it was written, and what is wrong with it.
#[derive(Debug)]
pub struct Document<T> {
    /// What it says. Where something is wrong with it, without that, and with something that stands in where it is required:
    /// only for finding out what else is wrong.
    pub value: T,
    place: Place,
    written: Value,
    found: Vec<Diagnostic>,
    wrong: BTreeSet<String>,
    salvage: Salvage,
}

#[derive(Debug)]
struct Place {
    texts: Texts,
    at: DocumentAt,
    problems_max: usize,
    /// How many problems there are besides those that were found.
    hidden: usize,
    given: BTreeMap<String, String>,
}

/// Reads the one document of a text; a text without one is an empty map. What is wrong with single fields is told by
/// [`Document::judged`], with what its caller finds in the others.
///
/// # Errors
/// Every problem of the text and of its fields, where nothing is left without them.
pub fn document<T: JsonSchema + DeserializeOwned>(
    source: Source,
    options: &DocumentOptions<'_>,
) -> Result<Document<T>, Diagnostics> {
    let problems_max = options.limits.problems_max;
    let at = DocumentAt { source: 0, number: 0 };
    let mut place = Place { texts: Texts::default(), at, problems_max, hidden: 0, given: BTreeMap::new() };
    let (read, mut found) = place.read(source, options);
    let schema = schemars::schema_for!(T).to_value();
    let is_read = read.is_some();
    let mut written = read.unwrap_or_else(|| Value::Object(Map::new()));
    let overlay = (options.overlay)(&schema, &mut written);
    found.extend(overlay.problems);
    if !is_read {
        return Err(place.diagnostics(found));
    }
    place.given = overlay.given;
    let kinds = Kinds::new();
    let Judged { problems, hidden } =
        Validator::run((options.whole, &schema), &kinds, &written, problems_max);
    place.hidden += hidden;
    let values = problems.iter().filter(|problem| problem.code != MISSING_FIELD);
    let mut wrong: BTreeSet<String> = values.map(|problem| problem.pointer.clone()).collect();
    found.extend(problems.into_iter().map(|problem| place.diagnose(options.codes, problem)));
    let kept = salvage(&schema, &written, &wrong);
    wrong.extend(kept.iter().flat_map(|(_, salvage)| salvage.stood_in.iter().cloned()));
    match kept.map(|(kept, salvage)| (serde_json::from_value(kept), salvage)) {
        Some((Ok(value), salvage)) => Ok(Document { value, place, written, found, wrong, salvage }),
        Some((Err(error), _)) if found.is_empty() => {
            let problem = FieldProblem::new("plan.invalid", "", error.to_string());
            Err(place.diagnostics(vec![place.diagnose(options.codes, problem)]))
        }
        Some((Err(_), _)) | None => Err(place.diagnostics(found)),
    }
}

impl<T> Document<T> {
    /// The whole document, right or wrong, with what was laid over it.
    pub const fn written(&self) -> &Value {
        &self.written
    }

    /// Whether the field at this JSON Pointer of the whole document has the form that it should, and all that is in it, and
    /// what it is in.
    pub fn is_right(&self, pointer: &str) -> bool {
        !self.wrong.iter().any(|wrong| holds(pointer, wrong) || holds(wrong, pointer))
    }

    /// Whether what the value has at this JSON Pointer was written so: nothing stands in for it, or for what it is in.
    pub fn is_written(&self, pointer: &str) -> bool {
        let original = self.salvage.original(pointer);
        !self.wrong.iter().any(|wrong| holds(wrong, &original))
    }

    /// A problem of the field at this JSON Pointer of the value, with its place.
    pub fn problem(&self, code: &'static str, pointer: &str, message: impl Into<String>) -> Diagnostic {
        self.problem_written(code, &self.salvage.original(pointer), message)
    }

    /// A problem of the field at this JSON Pointer of the whole document, with its place.
    pub fn problem_written(
        &self,
        code: &'static str,
        pointer: &str,
        message: impl Into<String>,
    ) -> Diagnostic {
        self.place.locate(FieldProblem::new(code, pointer, message))
    }

    /// These problems and those of the form of the document.
    ///
    /// # Errors
    /// If there are any that are errors: all of them together with the text, in order, ready to be shown.
    pub fn judged(&self, problems: Vec<Diagnostic>) -> Result<(), Diagnostics> {
        let all: Vec<Diagnostic> = self.found.iter().cloned().chain(problems).collect();
        let is_wrong = all.iter().any(|problem| problem.severity == Severity::Error);
        if is_wrong { Err(self.place.diagnostics(all)) } else { Ok(()) }
    }
}

/// Whether the field at the outer pointer is the one at the inner one, or holds it.
fn holds(outer: &str, inner: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Place {
    /// The document, if it could be read, and what is wrong with the text.
    fn read(&mut self, source: Source, options: &DocumentOptions<'_>) -> (Option<Value>, Vec<Diagnostic>) {
        let limits = &options.limits;
        let (bytes, bad_byte) = (source.text().len() as u64, source.bad_byte());
        let text = source.clone();
        self.texts.add(source);
        if bytes > limits.input_bytes_max {
            let message =
                format!("{} has {bytes} bytes; at most {} are read", options.whole, limits.input_bytes_max);
            let problem = Diagnostic::error("input.too-large", message);
            return (None, vec![problem.at(self.texts.place(0, 0..0, ""))]);
        }
        if let Some(byte) = bad_byte {
            let message = format!("byte {byte} of the input is no UTF-8");
            let place = self.texts.place(0, byte..byte + 1, "");
            let problem = Diagnostic::error("input.not-utf8", message).at(place);
            return (None, vec![problem.with_hint("save the file as UTF-8".to_owned())]);
        }
        let read = read::read(text.text(), limits);
        let mut found: Vec<Diagnostic> = Vec::new();
        self.hidden += read.hidden;
        if !read.problems.is_empty() {
            self.texts.mark_broken(0);
        }
        for problem in read.problems {
            let related = problem.related.and_then(|(span, label)| self.texts.place(0, span, label));
            let place = self.texts.place(0, problem.span, "");
            let diagnostic = Diagnostic::error(problem.code, problem.message).at(place);
            found.push(diagnostic.with_related(related).with_hint(problem.hint));
        }
        let is_broken = !found.is_empty();
        let mut documents = read.documents.into_iter();
        let first = documents.next();
        if let Some(second) = documents.next() {
            let at = DocumentAt { source: 0, number: second.number };
            let message = format!("{} is one document, and a second one begins here", options.whole);
            let first_key = second.value.as_object().and_then(|fields| fields.keys().next());
            let pointer = first_key.map_or_else(String::new, |key| pointer::child("", key));
            let problem = FieldProblem::new("input.many-documents", pointer, message).marked(Mark::Key);
            found.push(origin::diagnose(&self.texts, at, problem));
        }
        if is_broken {
            return (None, found);
        }
        let Some(first) = first else { return (Some(Value::Object(Map::new())), found) };
        self.at.number = first.number;
        let mut value = first.value;
        // `yes` and `on` are texts in our own formats.
        for (pointer, text) in first.old_booleans {
            if let Some(value) = value.pointer_mut(&pointer) {
                *value = Value::String(text);
            }
        }
        (Some(value), found)
    }

    fn diagnose(&self, codes: &str, problem: FieldProblem) -> Diagnostic {
        let mut diagnostic = self.locate(problem);
        if let Some(rest) = diagnostic.code.strip_prefix("plan.") {
            diagnostic.code = format!("{codes}.{rest}").into();
        }
        diagnostic
    }

    /// With its place, which is the beginning of the text where there is no better one.
    fn locate(&self, problem: FieldProblem) -> Diagnostic {
        let given = self.given.get(&problem.pointer);
        let diagnostic = origin::diagnose(&self.texts, self.at, problem);
        match (given, &diagnostic.place) {
            (Some(given), _) => {
                let message = format!("{given}: {}", diagnostic.message);
                Diagnostic { message, place: None, related: Vec::new(), ..diagnostic }
            }
            (None, None) => diagnostic.at(self.texts.place(0, 0..0, "")),
            (None, Some(_)) => diagnostic,
        }
    }

    fn diagnostics(&self, list: Vec<Diagnostic>) -> Diagnostics {
        finish(&self.texts, (list, self.hidden), self.problems_max)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Shop {
        name: String,
        #[serde(default)]
        doors_open: Option<u32>,
    }

    fn read(text: &str) -> Result<Document<Shop>, Diagnostics> {
        let options = DocumentOptions {
            whole: "the shop",
            codes: "shop",
            overlay: &|_, _| Overlay::default(),
            limits: Limits::default(),
        };
        let read = document(Source::new("shop.yaml", text), &options)?;
        read.judged(Vec::new()).map(|()| read)
    }

    fn problems(text: &str) -> String {
        read(text).map(|read| read.value).unwrap_err().to_string()
    }

    #[test]
    fn document_has_the_form_of_its_type() {
        let shop = read("name: on\ndoorsOpen: 2\n").unwrap();
        assert_eq!(shop.value, Shop { name: "on".into(), doors_open: Some(2) });
        let problem = shop.problem("shop.crowded", "/doorsOpen", "two doors");
        assert_eq!(problem.place.map(|place| (place.line, place.column)), Some((2, 12)));
    }

    #[test]
    fn every_problem_is_told_at_once_with_its_place() {
        for (text, want) in [
            (
                "nam: a\ndoorsOpen: two\n",
                "shop.yaml:1:1: unknown field `nam` in the shop; shop.yaml:1:1: the shop has no `name`; \
                 shop.yaml:2:12: `doorsOpen` must be a whole number, not the text `two`",
            ),
            ("", "shop.yaml:1:1: the shop has no `name`"),
            (
                "name: a\n---\nname: b\n",
                "shop.yaml:3:1: the shop is one document, and a second one begins here",
            ),
            ("name: [a\n", "shop.yaml:1:7: this `[` is never closed"),
        ] {
            assert_eq!(problems(text), want, "{text}");
        }
        assert_eq!(read("nam: a").unwrap_err().list[0].code, "shop.unknown-field");
    }

    #[test]
    fn what_is_right_can_be_judged_beside_what_is_wrong() {
        let options = DocumentOptions {
            whole: "the shop",
            codes: "shop",
            overlay: &|_, _| Overlay::default(),
            limits: Limits::default(),
        };
        let text = "name: a\ndoorsOpen: two\n";
        let read = document::<Shop>(Source::new("shop.yaml", text), &options).unwrap();
        assert_eq!(read.value, Shop { name: "a".into(), doors_open: None });
        assert!(read.is_right("/name") && !read.is_right("/doorsOpen") && !read.is_right(""));
        let other = read.problem("shop.short", "/name", "too short");
        assert_eq!(
            read.judged(vec![other]).unwrap_err().to_string(),
            "shop.yaml:1:7: too short; shop.yaml:2:12: `doorsOpen` must be a whole number, not the text `two`"
        );
    }

    #[test]
    fn overlay_comes_before_the_check() {
        let options = DocumentOptions {
            whole: "the shop",
            codes: "shop",
            overlay: &|schema, value| {
                assert!(schema.pointer("/properties/doorsOpen").is_some());
                value["name"] = "b".into();
                Overlay::default()
            },
            limits: Limits::default(),
        };
        let read = document::<Shop>(Source::new("shop.yaml", "name: 3"), &options).unwrap();
        assert_eq!(read.value.name, "b");
    }

    #[test]
    fn what_is_wrong_with_a_field_from_elsewhere_is_told_of_that() {
        let options = DocumentOptions {
            whole: "the shop",
            codes: "shop",
            overlay: &|_, value| {
                value["doorsOpen"] = "two".into();
                let given = BTreeMap::from([("/doorsOpen".to_owned(), "the variable `DOORS`".to_owned())]);
                Overlay { given, ..Overlay::default() }
            },
            limits: Limits::default(),
        };
        let read = document::<Shop>(Source::new("shop.yaml", "name: b\ndoorsOpen: 3"), &options).unwrap();
        let wrong = read.judged(Vec::new()).unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "the variable `DOORS`: `doorsOpen` must be a whole number, not the text `two`"
        );
    }
}
