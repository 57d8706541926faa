//! Checks of `metadata`: names, labels, annotations.
//!
//! The rules of names, labels and annotations are those of the Kubernetes documentation, "Object Names and IDs" and
//! "Labels and Selectors".

use eve_core::expr::has_expression;
use eve_core::plan::UndoRule;
use eve_core::plan::problem::SpecProblem;
use serde_json::Value;

use super::known;
use super::object::{Found, words_of};
use crate::labels;

/// RFC 1123: characters of a subdomain and of a label.
const SUBDOMAIN_MAX: usize = 253;
const LABEL_MAX: usize = 63;
/// What Helm calls objects that it runs at certain moments instead of keeping them.
const HELM_HOOK: &str = "helm.sh/hook";
/// The same of Argo CD: objects that it makes at certain moments of a sync, or never.
const ARGO_HOOK: &str = "argocd.argoproj.io/hook";

pub(super) fn check(found: &Found<'_>, problems: &mut Vec<SpecProblem>) {
    let Some(metadata) = found.object.get("metadata").filter(|metadata| !metadata.is_null()) else {
        let message = format!("{} has no `metadata`", found.words());
        let problem = SpecProblem::new("object.no-metadata", &found.pointer, message);
        problems.push(problem.with_hint("add `metadata: {name: …}`"));
        return;
    };
    if !metadata.is_object() {
        let message = format!("`metadata` of {} must be a map, not {}", found.words(), words_of(metadata));
        problems.push(SpecProblem::new("object.wrong-type", found.at("/metadata"), message));
        return;
    }
    name(found, metadata, problems);
    namespace(found, metadata, problems);
    texts(found, metadata, "labels", problems);
    texts(found, metadata, "annotations", problems);
    refuse_hook(found, problems);
    warn_of_argo_hook(found, problems);
    bad_undo(found, problems);
}

/// What its annotation says of undoing it.
pub(super) fn undo_rule(found: &Found<'_>) -> UndoRule {
    match labels::annotation(found.object, labels::UNDO) {
        Some("never") => UndoRule::Never,
        _ => UndoRule::Allowed,
    }
}

fn bad_undo(found: &Found<'_>, problems: &mut Vec<SpecProblem>) {
    let Some(rule) = labels::annotation(found.object, labels::UNDO) else { return };
    if !["never", "allowed"].contains(&rule) {
        let message =
            format!("`{}: {}` of {} says nothing", labels::UNDO, rule.escape_debug(), found.words());
        let at = found.at(&format!("/metadata/annotations/{}", labels::UNDO.replace('/', "~1")));
        problems
            .push(SpecProblem::new("object.bad-undo", at, message).with_hint("write `never` or `allowed`"));
    }
}

fn name(found: &Found<'_>, metadata: &Value, problems: &mut Vec<SpecProblem>) {
    if metadata.get("generateName").is_some_and(|value| !value.is_null()) {
        let message =
            format!("{} has a `generateName`: it would be another object in every run", found.words());
        problems.push(
            SpecProblem::new("object.generate-name", found.at("/metadata/generateName"), message)
                .with_hint("give it a `name`"),
        );
        return;
    }
    let at = found.at("/metadata/name");
    let name = match metadata.get("name") {
        Some(Value::String(name)) if !name.is_empty() => name,
        None | Some(Value::Null | Value::String(_)) => {
            let message = format!("{} has no `metadata.name`", found.words());
            problems.push(SpecProblem::new("object.no-name", found.at("/metadata"), message));
            return;
        }
        Some(other) => {
            let message = format!("the name of {} must be a text, not {}", found.words(), words_of(other));
            problems.push(SpecProblem::new("object.wrong-type", at, message).with_hint(quote(other)));
            return;
        }
    };
    let group = found.api_version().map(known::group).unwrap_or_default();
    let reason = match (group, found.kind().unwrap_or_default()) {
        // What a name may be is the resource's to say; the general rule is that of path segments.
        ("rbac.authorization.k8s.io", _)
        | ("apiregistration.k8s.io", "APIService")
        | ("certificates.k8s.io", "CertificateSigningRequest")
        | ("networking.k8s.io", "IPAddress") => bad_segment(name),
        (group, _) if !known::is_own_group(group) => bad_segment(name),
        ("", "Namespace") => bad_label(name),
        ("", "Service") => bad_label(name).or_else(|| {
            name.starts_with(|c: char| c.is_ascii_digit())
                .then_some("the name of a Service begins with a letter")
        }),
        _ => bad_subdomain(name),
    };
    if let Some(reason) = reason {
        let message = format!("`{}` is no name of an object: {reason}", name.escape_debug());
        problems.push(SpecProblem::new("object.bad-name", at, message));
    }
}

fn namespace(found: &Found<'_>, metadata: &Value, problems: &mut Vec<SpecProblem>) {
    let at = found.at("/metadata/namespace");
    match metadata.get("namespace") {
        None | Some(Value::Null) => {}
        Some(Value::String(namespace)) if namespace.is_empty() => {}
        Some(Value::String(namespace)) => {
            if let Some(reason) = bad_label(namespace) {
                let message = format!("`{}` is no namespace: {reason}", namespace.escape_debug());
                problems.push(SpecProblem::new("object.bad-namespace", at, message));
            }
        }
        Some(other) => {
            let message =
                format!("the namespace of {} must be a text, not {}", found.words(), words_of(other));
            problems.push(SpecProblem::new("object.wrong-type", at, message).with_hint(quote(other)));
        }
    }
}

fn texts(found: &Found<'_>, metadata: &Value, field: &str, problems: &mut Vec<SpecProblem>) {
    let at = |key: &str| format!("{}/{}", found.at(&format!("/metadata/{field}")), escaped(key));
    let fields = match metadata.get(field) {
        None | Some(Value::Null) => return,
        Some(Value::Object(fields)) => fields,
        Some(other) => {
            let message = format!("the {field} of {} must be a map, not {}", found.words(), words_of(other));
            problems.push(SpecProblem::new(
                "object.wrong-type",
                found.at(&format!("/metadata/{field}")),
                message,
            ));
            return;
        }
    };
    let one = field.strip_suffix('s').unwrap_or(field);
    for (key, value) in fields {
        let shown = key.escape_debug();
        if let Some(reason) = bad_key(key) {
            let message = format!("`{shown}` is no key of a {one}: {reason}");
            problems.push(SpecProblem::new("object.bad-key", at(key), message));
            continue;
        }
        match value {
            Value::String(text) if has_expression(text) => {}
            Value::String(text) => {
                if let Some(reason) = bad_label_value(text).filter(|_| field == "labels") {
                    let message = format!("the value of label `{shown}` is not allowed: {reason}");
                    problems.push(
                        SpecProblem::new("object.bad-label", at(key), message)
                            .with_hint("put free text into an annotation"),
                    );
                }
            }
            Value::Null => {}
            other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                let code =
                    if field == "labels" { "object.label-not-text" } else { "object.annotation-not-text" };
                let message =
                    format!("{one} `{shown}` of {} must be a text, not {}", found.words(), words_of(other));
                problems.push(SpecProblem::new(code, at(key), message).with_hint(quote(other)));
            }
        }
    }
}

/// The moments at which Helm runs the object, where it is a hook.
pub(super) fn helm_hook<'a>(found: &Found<'a>) -> Option<&'a str> {
    let annotations = crate::object::at(found.object, "/metadata/annotations")?;
    annotations.get(HELM_HOOK).map(|hook| hook.as_str().unwrap_or_default())
}

fn refuse_hook(found: &Found<'_>, problems: &mut Vec<SpecProblem>) {
    let Some(which) = helm_hook(found) else { return };
    let message =
        format!("{} is a Helm hook (`{}`), which only Helm runs", found.words(), which.escape_debug());
    problems.push(hook_problem(found, message).with_hint(
        "leave all hooks out with `--helm-hooks=skip`, or make it a component of its own without the annotation",
    ));
}

/// Says that a hook is left out.
pub(super) fn skipped_hook(found: &Found<'_>) -> Option<SpecProblem> {
    let which = helm_hook(found)?;
    let message = format!("{} is a Helm hook (`{}`) and is left out", found.words(), which.escape_debug());
    Some(hook_problem(found, message).as_warning())
}

fn hook_problem(found: &Found<'_>, message: String) -> SpecProblem {
    SpecProblem::new("object.helm-hook", found.at("/metadata/annotations/helm.sh~1hook"), message)
}

fn warn_of_argo_hook(found: &Found<'_>, problems: &mut Vec<SpecProblem>) {
    let Some(which) = labels::annotation(found.object, ARGO_HOOK) else { return };
    let message = format!(
        "{} is a hook of Argo CD (`{}`), and is applied as any other object",
        found.words(),
        which.escape_debug()
    );
    let at = found.at(&format!("/metadata/annotations/{}", escaped(ARGO_HOOK)));
    let problem = SpecProblem::new("object.argo-hook", at, message).as_warning();
    problems.push(problem.with_hint("leave it out, or say with `eve.dev/depends-on` what it comes after"));
}

/// What to do about a value that must be a text.
pub(super) fn quote(value: &Value) -> &'static str {
    match value {
        Value::Number(_) | Value::Bool(_) => SpecProblem::QUOTE,
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => "write one line of text",
    }
}

pub(super) fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn bad_label(text: &str) -> Option<&'static str> {
    if text.len() > LABEL_MAX {
        return Some("it is longer than 63 characters");
    }
    if text.contains('.') {
        return Some("dots are not allowed here");
    }
    bad_subdomain(text)
}

pub(super) fn bad_subdomain(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("it is empty");
    }
    if text.len() > SUBDOMAIN_MAX {
        return Some("it is longer than 253 characters");
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some("capital letters are not allowed");
    }
    if text.contains('_') {
        return Some("underscores are not allowed");
    }
    if !text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte)) {
        return Some("only lower-case letters, digits, `-` and `.` are allowed");
    }
    let is_edge = |part: &str| part.is_empty() || part.starts_with('-') || part.ends_with('-');
    text.split('.').any(is_edge).then_some("it must begin and end with a letter or digit, also around dots")
}

/// What a name must be in any case: fit to stand in a path.
fn bad_segment(text: &str) -> Option<&'static str> {
    let bad = matches!(text, "." | "..") || text.contains(['/', '%']) || text.chars().any(char::is_control);
    bad.then_some("`/`, `%`, `.` and `..` are not allowed")
}

fn bad_key(key: &str) -> Option<&'static str> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if let Some(reason) = prefix.and_then(bad_subdomain) {
        return Some(reason);
    }
    if name.is_empty() {
        return Some("it is empty");
    }
    bad_label_value(name)
}

fn bad_label_value(text: &str) -> Option<&'static str> {
    if text.len() > LABEL_MAX {
        return Some("it is longer than 63 characters");
    }
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Some("only letters, digits, `-`, `_` and `.` are allowed");
    }
    let is_edge = |c: char| !c.is_ascii_alphanumeric();
    (text.starts_with(is_edge) || text.ends_with(is_edge))
        .then_some("it must begin and end with a letter or digit")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::object;
    use super::*;

    #[test]
    fn what_a_name_may_be_is_for_the_resource_to_say() {
        for (version, kind, name, is_good) in [
            ("v1", "ConfigMap", "a.b-c", true),
            ("v1", "ConfigMap", "My_Config", false),
            ("v1", "Namespace", "a.b", false),
            ("rbac.authorization.k8s.io/v1", "ClusterRole", "system:node", true),
            ("apiregistration.k8s.io/v1", "APIService", "v1.", true),
            ("networking.k8s.io/v1", "IPAddress", "2001:db8::1", true),
            ("networking.k8s.io/v1", "Ingress", "2001:db8::1", false),
            ("user.openshift.io/v1", "Group", "Cluster_Admins", true),
            ("image.openshift.io/v1", "ImageStreamTag", "app:latest", true),
            ("x.io/v1", "Service", "1.2", true),
            ("x.io/v1", "Widget", "a/b", false),
        ] {
            let objects = json!([{ "apiVersion": version, "kind": kind, "metadata": { "name": name } }]);
            let mut problems = Vec::new();
            check(&object::all(Some(&objects))[0], &mut problems);
            assert_eq!(problems.is_empty(), is_good, "{version} {kind} {name}: {problems:?}");
        }
    }
}
