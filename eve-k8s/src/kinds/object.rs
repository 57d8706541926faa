//! What every Kubernetes object must look like before it is sent: pure checks, and the form that is sent.
//!
//! Only what is sure without asking a cluster. No message holds a value of a Secret.

use std::fmt::Write as _;

use eve_core::plan::graph::closest;
use eve_core::plan::problem::SpecProblem;
use serde_json::Value;

use super::{contents, dynamic, known, metadata};
use crate::normal;

/// Fields that the server sets, with the field that they stand in.
const SERVER_FIELDS: [(&str, &str); 7] = [
    ("", "status"),
    ("metadata", "managedFields"),
    ("metadata", "uid"),
    ("metadata", "resourceVersion"),
    ("metadata", "creationTimestamp"),
    ("metadata", "generation"),
    ("metadata", "selfLink"),
];

/// Where kubectl keeps a copy of what was applied last.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// An object in a spec.
#[derive(Clone, Debug)]
pub(super) struct Found<'a> {
    /// Where it stands, as a JSON Pointer into the spec.
    pub(super) pointer: String,
    pub(super) object: &'a Value,
    /// `apiVersion` and kind that it has from the typed list it stands in.
    inherited: Option<(&'a str, &'a str)>,
}

/// What an object has from the typed list it stands in.
#[derive(Clone, Debug)]
pub(super) struct Inherited {
    api_version: String,
    kind: String,
}

/// What makes two objects the same one. Compared by name first: what differs soonest is compared fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity<'a> {
    pub(super) name: &'a str,
    pub(super) kind: &'a str,
    pub(super) group: &'a str,
    pub(super) namespace: &'a str,
}

impl Identity<'_> {
    /// `Deployment web`, with the namespace if it is not the plan's.
    pub(super) fn words(&self, namespace: &str) -> String {
        let mut words = self.kind.to_owned();
        if known::api_version(self.kind).map(known::group) != Some(self.group) {
            let _ = write!(words, ".{}", self.group.escape_debug());
        }
        words.push(' ');
        if self.namespace != namespace {
            let _ = write!(words, "{}/", self.namespace.escape_debug());
        }
        let _ = write!(words, "{}", self.name.escape_debug());
        words
    }
}

impl<'a> Found<'a> {
    fn text(&self, field: &str) -> Option<&'a str> {
        let own = self.object.get(field).and_then(Value::as_str);
        let inherited = self.inherited.map(|(version, kind)| if field == "kind" { kind } else { version });
        own.or_else(|| inherited.filter(|_| self.object.get(field).is_none()))
    }

    pub(super) fn inherited(&self) -> Option<Inherited> {
        self.inherited
            .map(|(version, kind)| Inherited { api_version: version.to_owned(), kind: kind.to_owned() })
    }

    pub(super) fn api_version(&self) -> Option<&'a str> {
        self.text("apiVersion")
    }

    pub(super) fn kind(&self) -> Option<&'a str> {
        self.text("kind")
    }

    pub(super) fn name(&self) -> Option<&'a str> {
        crate::object::at(self.object, "/metadata/name").and_then(Value::as_str)
    }

    /// How messages name it: `Deployment web`, or as much of that as is known.
    pub(super) fn words(&self) -> String {
        let kind = self.kind().filter(|kind| is_short(kind)).unwrap_or("object");
        match self.name().filter(|name| is_short(name) && !name.is_empty()) {
            Some(name) => format!("{} `{}`", kind.escape_debug(), name.escape_debug()),
            None => format!("the {}", kind.escape_debug()),
        }
    }

    pub(super) fn at(&self, pointer: &str) -> String {
        format!("{}{pointer}", self.pointer)
    }
}

fn is_short(text: &str) -> bool {
    text.len() <= 253
}

/// All objects of a list, those within lists included, in order.
pub(super) fn all(objects: Option<&Value>) -> Vec<Found<'_>> {
    let mut found = Vec::new();
    for (index, object) in objects.and_then(Value::as_array).into_iter().flatten().enumerate() {
        flatten(Found { pointer: format!("/objects/{index}"), object, inherited: None }, &mut found);
    }
    found
}

/// Recursion is bounded by the depth of the value, which the reader bounds.
fn flatten<'a>(one: Found<'a>, into: &mut Vec<Found<'a>>) {
    let element = one.kind().and_then(|kind| kind.strip_suffix("List"));
    let items = one.object.get("items").and_then(Value::as_array);
    let (Some(element), Some(items), None) = (element, items, one.name()) else {
        into.push(one);
        return;
    };
    let inherited = one.api_version().filter(|_| !element.is_empty()).map(|version| (version, element));
    for (index, object) in items.iter().enumerate() {
        flatten(Found { pointer: one.at(&format!("/items/{index}")), object, inherited }, into);
    }
}

/// What an object is, if it says so. Without a namespace of its own it counts to `namespace`.
pub(super) fn identity<'a>(found: &Found<'a>, namespace: &'a str) -> Option<Identity<'a>> {
    let own = crate::object::at(found.object, "/metadata/namespace").and_then(Value::as_str);
    Some(Identity {
        kind: found.kind()?,
        group: known::group(found.api_version()?),
        namespace: own.filter(|own| !own.is_empty()).unwrap_or(namespace),
        name: found.name()?,
    })
}

/// The object as it is sent: nulls in maps and what the server sets are left out.
pub(super) fn normalised(mut object: Value, inherited: Option<&Inherited>) -> Value {
    normal::drop_nulls(&mut object);
    if let (Some(inherited), Some(fields)) = (inherited, object.as_object_mut()) {
        fields.entry("apiVersion").or_insert_with(|| inherited.api_version.as_str().into());
        fields.entry("kind").or_insert_with(|| inherited.kind.as_str().into());
    }
    for (holder, field) in SERVER_FIELDS {
        let holder = if holder.is_empty() { Some(&mut object) } else { object.get_mut(holder) };
        if let Some(fields) = holder.and_then(Value::as_object_mut) {
            fields.remove(field);
        }
    }
    let annotations = object.get_mut("metadata").and_then(|metadata| metadata.get_mut("annotations"));
    if let Some(annotations) = annotations.and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    object
}

/// Every problem of one object.
pub(super) fn check(found: &Found<'_>, problems: &mut Vec<SpecProblem>) {
    if !found.object.is_object() {
        let what = words_of(found.object);
        problems.push(
            SpecProblem::new(
                "object.not-a-map",
                &found.pointer,
                format!("a Kubernetes object is a map, not {what}"),
            )
            .with_hint("an object has `apiVersion`, `kind` and `metadata`"),
        );
        return;
    }
    if is_kustomization(found) {
        let message = "this says how `kustomize` is to make objects, and is none itself";
        problems.push(
            SpecProblem::new("object.kustomization", &found.pointer, message)
                .with_hint("give its output: `kubectl kustomize FOLDER | eve apply -f -`"),
        );
        return;
    }
    if !dynamic::check(found, problems) {
        return;
    }
    api_version(found, problems);
    kind(found, problems);
    metadata::check(found, problems);
    contents::check(found, problems);
    server_fields(found, problems);
}

/// Kustomize takes its file without `apiVersion` and `kind` too.
fn is_kustomization(found: &Found<'_>) -> bool {
    let Some(version) = found.api_version() else {
        let resources = found.object.get("resources").and_then(Value::as_array);
        return found.kind().is_none() && resources.is_some_and(|paths| paths.iter().all(Value::is_string));
    };
    known::group(version) == "kustomize.config.k8s.io"
}

/// Reports a field that is absent or no text; gives back the text otherwise.
fn text_field<'a>(
    found: &Found<'a>,
    field: &str,
    code: &'static str,
    hint: Option<String>,
    problems: &mut Vec<SpecProblem>,
) -> Option<&'a str> {
    if let Some(text) = found.text(field).filter(|text| !text.is_empty()) {
        return Some(text);
    }
    let problem = match found.object.get(field) {
        None | Some(Value::Null | Value::String(_)) => {
            SpecProblem::new(code, &found.pointer, format!("{} has no `{field}`", found.words()))
        }
        Some(other) => {
            let message = format!("`{field}` of {} must be a text, not {}", found.words(), words_of(other));
            SpecProblem::new("object.wrong-type", found.at(&format!("/{field}")), message)
        }
    };
    problems.push(SpecProblem { hint, ..problem });
    None
}

fn api_version(found: &Found<'_>, problems: &mut Vec<SpecProblem>) {
    let kind = found.kind().unwrap_or_default();
    let known = known::api_version(kind);
    let hint = known.map(|version| format!("write `apiVersion: {version}`"));
    let Some(version) = text_field(found, "apiVersion", "object.no-api-version", hint.clone(), problems)
    else {
        return;
    };
    let at = found.at("/apiVersion");
    let (group, plain_version) =
        version.split_once('/').map_or(("", version), |(group, version)| (group, version));
    let has_group = version.contains('/');
    let version_ok =
        plain_version.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            && plain_version.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if !version_ok || (has_group && metadata::bad_subdomain(group).is_some()) {
        let message = format!("`{}` is no API version", version.escape_debug());
        let hint = hint.unwrap_or_else(|| "write `v1`, or `GROUP/VERSION` such as `apps/v1`".into());
        problems.push(SpecProblem::new("object.bad-api-version", at, message).with_hint(hint));
        return;
    }
    if let Some(known) = known.filter(|known| known::is_own_group(group) && known::group(known) != group) {
        let message = format!("there is no {kind} in `{version}`");
        problems.push(
            SpecProblem::new("object.wrong-group", at, message)
                .with_hint(format!("write `apiVersion: {known}`")),
        );
    }
}

fn kind(found: &Found<'_>, problems: &mut Vec<SpecProblem>) {
    let Some(kind) = text_field(found, "kind", "object.no-kind", None, problems) else { return };
    if kind.starts_with(|c: char| c.is_ascii_uppercase())
        && kind.bytes().all(|byte| byte.is_ascii_alphanumeric())
    {
        return;
    }
    let message = format!("`{}` is no kind: kinds are written like `Deployment`", kind.escape_debug());
    let mut problem = SpecProblem::new("object.bad-kind", found.at("/kind"), message);
    // kubectl takes plurals and so do people.
    let singular = kind.strip_suffix('s').unwrap_or(kind);
    let meant = closest(kind, known::names()).or_else(|| closest(singular, known::names()));
    problem.hint = meant.map(|meant| format!("did you mean `{meant}`?"));
    problems.push(problem);
}

/// One warning for all fields of an object that are left out. Empty ones, which code generators write, are not worth it.
fn server_fields(found: &Found<'_>, problems: &mut Vec<SpecProblem>) {
    let is_told = |value: &Value| match value {
        Value::Null => false,
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    };
    let mut left_out: Vec<String> = Vec::new();
    for (holder, field) in SERVER_FIELDS {
        let fields = if holder.is_empty() { Some(found.object) } else { found.object.get(holder) };
        if fields.and_then(|fields| fields.get(field)).is_some_and(is_told) {
            let slash = if holder.is_empty() { "" } else { "/" };
            left_out.push(format!("{slash}{holder}/{field}"));
        }
    }
    let annotation =
        crate::object::at(found.object, "/metadata/annotations").and_then(|all| all.get(LAST_APPLIED));
    if annotation.is_some() {
        left_out.push(format!("/metadata/annotations/{}", LAST_APPLIED.replace('/', "~1")));
    }
    let Some(first) = left_out.first() else { return };
    let shown: Vec<String> = left_out.iter().map(|pointer| format!("`{}`", dotted(pointer))).collect();
    let message = format!("{} of {} comes from a server and is left out", shown.join(", "), found.words());
    problems.push(
        SpecProblem::new("object.server-field", found.at(first), message)
            .as_warning()
            .with_hint("remove it from the manifest"),
    );
}

fn dotted(pointer: &str) -> String {
    let dotted = pointer.trim_start_matches('/').replace('/', ".");
    dotted.replace("~1", "/")
}

/// What a value is; never the value itself, which may be a secret.
pub(super) fn words_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}
