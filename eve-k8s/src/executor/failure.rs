//! From an error of the API to a [`Failure`] that may be stored: code, class, advice, and no secret.
//!
//! The server quotes values of the object in its refusals, so of a refused Secret only reasons and field paths are
//! kept.

use std::borrow::Cow;

use eve_core::failure::{Failure, FailureClass};
use eve_core::few::{few, first};

use super::leaving::TERMINATING;
use crate::client::Location;
use crate::error::{ApiError, ApiStatus, StatusCause};

/// The code of a refusal to change what cannot be changed in place.
pub(super) const IMMUTABLE: &str = "k8s.apply.immutable";
/// How the API server says so; each kind has its own words.
const FIXED: [&str; 4] =
    ["is immutable", "are forbidden", "may not change once set", "cannot change roleRef"];
/// What stands before a value that is refused.
const VALUE: &str = "Invalid value: ";

/// How the API server begins when an object makes no sense to it, with status 500.
const UNREADABLE: [&str; 2] =
    ["failed to create typed patch object", "unable to convert unstructured object"];

/// A read of this object failed.
pub(super) fn of_read(place: &Location, error: ApiError) -> Failure {
    match error.status() {
        Some(status) if status.code == 403 => forbidden(place, status),
        _ => error.into(),
    }
}

/// What a refused dry run means before the turn of its component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foresight {
    /// The write would be refused too, whatever else the plan does before.
    Sure,
    /// Something else of the plan may help until then, or the dry run was the trouble: the write will tell.
    Unsure,
}

/// Reads a failure that [`of_write`] made of a dry run. Webhooks may not be up yet, or take no dry runs; quotas may
/// grow; namespaces go.
pub(super) fn foresee(failure: &Failure) -> Foresight {
    match failure.code.as_ref() {
        "k8s.apply.conflict" | IMMUTABLE | "k8s.apply.invalid" | "k8s.apply.strict" | "k8s.api.forbidden" => {
            Foresight::Sure
        }
        code if code.starts_with("k8s.apply.") || code == TERMINATING => Foresight::Unsure,
        "k8s.api.conflict" | "k8s.kind.not-served" => Foresight::Unsure,
        _ => Foresight::Sure,
    }
}

/// A write of this object failed.
pub(super) fn of_write(place: &Location, error: ApiError) -> Failure {
    let Some(status) = error.status() else { return error.into() };
    let secret = is_secret(place);
    if let Some(webhook) = quoted_after(&status.message, "admission webhook ")
        && status.message.contains("denied the request")
    {
        let said = status.message.split_once("denied the request").map_or("", |(_, said)| said);
        let said = said.trim_start_matches([':', ' ']);
        let why = if secret || said.is_empty() { String::new() } else { format!(": {said}") };
        return Failure::permanent(
            "k8s.apply.denied",
            format!("{place}: the webhook `{webhook}` denied it{why}"),
        );
    }
    if let Some((_, rest)) = status.message.split_once("ValidatingAdmissionPolicy '")
        && let Some((policy, said)) = rest.split_once('\'')
    {
        let said = said.split_once("denied request: ").map_or("", |(_, said)| said);
        let why = if secret || said.is_empty() { String::new() } else { format!(": {said}") };
        return Failure::permanent(
            "k8s.apply.denied",
            format!("{place}: the policy `{policy}` denied it{why}"),
        );
    }
    if status.message.contains("does not support dry run") {
        let message = format!("{place}: a webhook takes no dry runs");
        return Failure::permanent("k8s.apply.no-dry-run", message);
    }
    if let Some(webhook) = quoted_after(&status.message, "failed calling webhook ") {
        let message = format!("{place}: the webhook `{webhook}` cannot be reached");
        return Failure::transient("k8s.apply.webhook-unreachable", message);
    }
    match status.code {
        409 => conflict(place, status),
        403 => forbidden(place, status),
        404 => missing(place, status),
        400 | 422 => invalid(place, status),
        // Server-side apply answers 500 for what it cannot even read.
        500 if UNREADABLE.iter().any(|text| status.message.contains(text)) => invalid(place, status),
        _ if secret => refused(place, status, error.code()),
        _ => error.into(),
    }
}

fn is_secret(place: &Location) -> bool {
    place.resource.group.is_none() && *place.resource.kind == *"Secret"
}

/// The word in quotes that follows `start`.
fn quoted_after<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    rest.trim_start_matches('\\').strip_prefix('"')?.split('"').next()
}

/// A field that another manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) field: String,
    pub(super) manager: String,
}

impl Owned {
    /// Whether it is how many replicas there are.
    pub(super) fn is_count(&self) -> bool {
        self.field == ".spec.replicas"
    }
}

/// The fields that stand in the way of an apply, by an error of it; none where it is about something else.
pub(super) fn in_the_way(error: &ApiError) -> Vec<Owned> {
    error.status().filter(|status| status.code == 409).map(owned_by).unwrap_or_default()
}

fn owned_by(status: &ApiStatus) -> Vec<Owned> {
    let causes = status.details.causes.iter().filter(|cause| cause.reason == "FieldManagerConflict");
    let owned = causes.map(|cause| Owned {
        field: cause.field.clone(),
        manager: quoted_after(&cause.message, "conflict with ").unwrap_or("?").to_owned(),
    });
    owned.collect()
}

fn conflict(place: &Location, status: &ApiStatus) -> Failure {
    let owned = owned_by(status);
    if owned.is_empty() {
        // Somebody wrote at the same moment; nothing of ours was.
        return Failure::transient(
            "k8s.api.conflict",
            format!("{place} was changed by somebody else meanwhile"),
        );
    }
    let mut managers: Vec<String> = owned.iter().map(|owned| format!("`{}`", owned.manager)).collect();
    managers.sort();
    managers.dedup();
    let fields = match owned.len() {
        1 => "a field belongs".to_owned(),
        count => format!("{count} fields belong"),
    };
    let field = owned.first().map(|owned| owned.field.as_str()).unwrap_or_default();
    let message = format!("{place}: {fields} to {}, first `{field}`", few(&managers));
    let failure = Failure::permanent("k8s.apply.conflict", message)
        .with_hint("leave the fields out, or take them over: with `--force-conflicts`, or `forceConflicts: true` on the component of a plan; `eve diff` shows all conflicts");
    let note = |owned: &Owned| format!("`{}` belongs to `{}`", owned.field, owned.manager);
    failure.with_few(owned.iter().map(note))
}

fn forbidden(place: &Location, status: &ApiStatus) -> Failure {
    if status.details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating") {
        let namespace = place.namespace.as_ref().map_or("", crate::path::PathSegment::as_str);
        let message = format!("{place}: the namespace `{namespace}` is being deleted");
        return Failure::permanent(TERMINATING, message);
    }
    let who = status.message.find("User \"").and_then(|start| status.message.get(start..));
    let (code, why, hint) = match who {
        Some(who) => (
            "k8s.api.forbidden",
            who,
            Some("ask for a role that allows it, or act as somebody else (`--as`)"),
        ),
        None if status.message.contains("exceeded quota") => (
            "k8s.apply.quota",
            status.message.as_str(),
            Some("raise the quota of the namespace, or ask for less"),
        ),
        None if is_secret(place) => return refused(place, status, "k8s.api.forbidden"),
        None => ("k8s.api.forbidden", status.message.as_str(), None),
    };
    let failure = Failure::permanent(code, format!("{place}: {why}"));
    hint.into_iter().fold(failure, Failure::with_hint)
}

fn missing(place: &Location, status: &ApiStatus) -> Failure {
    if let Some(namespace) = status.missing_namespace() {
        return Failure::permanent(
            "k8s.namespace.missing",
            format!("{place}: there is no namespace `{namespace}`"),
        )
        .with_hint("make it with `--create-namespace`");
    }
    if status.is_unknown_resource() {
        let resource = &place.resource;
        let message = format!("{place}: the API server does not serve `{}` yet", resource.plural);
        return Failure::transient("k8s.kind.not-served", message);
    }
    refused(place, status, "k8s.api.not-found")
}

fn invalid(place: &Location, status: &ApiStatus) -> Failure {
    let immutable = |text: &str| FIXED.iter().any(|fixed| text.contains(fixed));
    let is_immutable = status.details.causes.iter().any(|cause| immutable(&cause.message));
    let strict = ["unknown field", "not declared in schema", "duplicate field"];
    if strict.iter().any(|text| status.message.contains(text)) {
        return refused(place, status, "k8s.apply.strict")
            .with_hint("check the spelling of the field, and the apiVersion of the object");
    }
    if is_immutable || immutable(&status.message) {
        return fixed(place, status).with_hint(
            "this field cannot change in place: delete the object first, or give it another name",
        );
    }
    let failure = refused(place, status, "k8s.apply.invalid");
    if status.message.contains("illegal base64") {
        return failure.with_hint("values under `data` are base64; plain text belongs under `stringData`");
    }
    failure
}

/// The refusal to change fields, without the values that the server quotes: they are whole pod templates.
fn fixed(place: &Location, status: &ApiStatus) -> Failure {
    let causes = &status.details.causes;
    let note = |cause: &StatusCause| format!("`{}`: {}", cause.field, reason(&cause.message));
    if causes.is_empty() || is_secret(place) {
        return refused(place, status, IMMUTABLE);
    }
    let failure = Failure::permanent(IMMUTABLE, format!("{place}: {}", first(causes.iter().map(note))));
    failure.with_few(causes.iter().skip(1).map(note))
}

/// Why a field is refused, without its value.
fn reason(message: &str) -> &str {
    let line = message.lines().next().unwrap_or_default();
    let rest = line.split_once(VALUE).map_or(line, |(_, value)| after_value(value));
    rest.strip_prefix("Forbidden: ").unwrap_or(rest)
}

/// What follows a value: a text in quotes, a number, or Go's notation of something larger, with braces.
fn after_value(text: &str) -> &str {
    let ends: &[&str] = if text.starts_with('"') { &["\": "] } else { &["}: ", "]: ", ": "] };
    ends.iter().find_map(|end| text.rsplit_once(end)).map_or("it is invalid", |(_, reason)| reason)
}

/// What the server said, without the notation of whole structures, which may quote anything of the object.
fn without_structures(text: &str) -> Cow<'_, str> {
    let Some((head, value)) = text.split_once(VALUE) else { return text.into() };
    let name = value.split([':', ' ', '"']).next().unwrap_or_default();
    if name.contains(['{', '[']) { format!("{head}{}", after_value(value)).into() } else { text.into() }
}

/// The refusal with what the server said, or without any value where the object is a Secret.
fn refused(place: &Location, status: &ApiStatus, code: &'static str) -> Failure {
    let class = if code.starts_with("k8s.apply.") { FailureClass::Permanent } else { status.class() };
    let causes = status.details.causes.iter();
    if is_secret(place) {
        let reason = if status.reason.is_empty() { "refused" } else { &status.reason };
        let failure = Failure::new(class, code, format!("{place}: {reason}"));
        let note = |cause: &StatusCause| format!("`{}`: {}", cause.field, cause.reason);
        return failure.with_few(causes.map(note));
    }
    let lines = lines(&status.message);
    if lines.len() > 1 {
        return Failure::new(class, code, format!("{place}: {}", first(&lines))).with_few(lines);
    }
    let said = without_structures(short(&status.message));
    let failure = Failure::new(class, code, format!("{place}: {said}"));
    let note = |cause: &StatusCause| format!("`{}`: {}", cause.field, without_structures(&cause.message));
    let many = status.details.causes.len() > 1;
    failure.with_few(causes.filter(|_| many).map(note))
}

/// What a server-side apply finds wrong, one entry a field, by field: the server's own order differs from call to call.
fn lines(message: &str) -> Vec<&str> {
    let lines = message.split_once("errors:\n").map_or("", |(_, lines)| lines);
    let mut lines: Vec<&str> = lines.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    lines
}

/// The message without what the place already says.
fn short(message: &str) -> &str {
    let rest = message.split_once("is invalid: ").map_or(message, |(_, rest)| rest);
    let rest = rest.split_once("strict decoding error: ").map_or(rest, |(_, rest)| rest);
    rest.rsplit_once("failed to create typed patch object ")
        .map_or(rest, |(_, rest)| rest.split_once("): ").map_or(rest, |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_quotes_no_structure() {
        let template = r#"core.PodTemplateSpec{ObjectMeta:v1.ObjectMeta{Name:""}, Env:[]core.EnvVar{core.EnvVar{Name:"TOKEN", Value:"x: y"}}}"#;
        let role = r#"rbac.RoleRef{APIGroup:"rbac.authorization.k8s.io", Kind:"Role", Name:"b"}"#;
        for (said, why, whole) in [
            (format!("{VALUE}{template}: field is immutable"), "field is immutable", "field is immutable"),
            (
                format!("{VALUE}{role}: cannot change roleRef"),
                "cannot change roleRef",
                "cannot change roleRef",
            ),
            (
                format!(r#"{VALUE}[]string{{"None"}}: may not change once set"#),
                "may not change once set",
                "may not change once set",
            ),
            (
                format!(r#"{VALUE}map[string]string{{"a":"b"}}: `selector` does not match"#),
                "`selector` does not match",
                "`selector` does not match",
            ),
            (format!(r#"{VALUE}"a: b": is no name"#), "is no name", "Invalid value: \"a: b\": is no name"),
            (
                format!("{VALUE}70000: must be between 1 and 65535"),
                "must be between 1 and 65535",
                "Invalid value: 70000: must be between 1 and 65535",
            ),
            (
                "Forbidden: spec is immutable after creation\n  core.X{Y: 1}".to_owned(),
                "spec is immutable after creation",
                "Forbidden: spec is immutable after creation\n  core.X{Y: 1}",
            ),
        ] {
            assert_eq!(reason(&said), why);
            assert_eq!(without_structures(&said), whole);
        }
    }
}
