//! Checks of what an object holds: values that must be texts and are numbers or booleans by a slip of YAML.
//!
//! The server refuses these too, but with the words of its decoder and without a line.

use eve_core::expr::has_expression;
use eve_core::plan::problem::SpecProblem;
use serde_json::Value;

use super::metadata::{escaped, quote};
use super::object::{Found, words_of};
use super::twins;

/// Where kinds keep their pods.
const POD_SPECS: [(&str, &str); 9] = [
    ("Pod", "/spec"),
    ("Deployment", "/spec/template/spec"),
    ("StatefulSet", "/spec/template/spec"),
    ("DaemonSet", "/spec/template/spec"),
    ("ReplicaSet", "/spec/template/spec"),
    ("ReplicationController", "/spec/template/spec"),
    ("Job", "/spec/template/spec"),
    ("CronJob", "/spec/jobTemplate/spec/template/spec"),
    ("PodTemplate", "/template/spec"),
];

pub(super) fn check(found: &Found<'_>, problems: &mut Vec<SpecProblem>) {
    match found.kind().unwrap_or_default() {
        "ConfigMap" => {
            keys(found, &["data", "binaryData"], problems);
            data(found, "data", problems);
        }
        "Secret" => {
            keys(found, &["data", "stringData"], problems);
            data(found, "stringData", problems);
            secret_data(found, problems);
        }
        "Service" if found.api_version() == Some("v1") => twins::in_service(found, problems),
        kind => {
            if let Some((_, at)) = POD_SPECS.iter().find(|(known, _)| *known == kind) {
                containers(found, at, problems);
                twins::in_pods(found, at, problems);
            }
        }
    }
}

/// Keys of data become file names. The message does not repeat them: `password hunter2` without its colon is a key.
fn keys(found: &Found<'_>, fields: &[&str], problems: &mut Vec<SpecProblem>) {
    for field in fields {
        let data = found.object.get(*field).and_then(Value::as_object);
        for key in data.into_iter().flat_map(|data| data.keys()).filter(|key| !is_key(key)) {
            let message = format!("a key of `{field}` of {} is not allowed", found.words());
            let at = found.at(&format!("/{field}/{}", escaped(key)));
            problems.push(
                SpecProblem::new("object.bad-data-key", at, message)
                    .with_hint("only letters, digits, `-`, `_` and `.` are allowed, at most 253 of them"),
            );
        }
    }
}

fn is_key(key: &str) -> bool {
    (1..=253).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn data(found: &Found<'_>, field: &str, problems: &mut Vec<SpecProblem>) {
    for (key, value) in found.object.get(field).and_then(Value::as_object).into_iter().flatten() {
        if value.is_string() || value.is_null() || !is_key(key) {
            continue;
        }
        let message = format!(
            "`{field}.{}` of {} must be a text, not {}",
            key.escape_debug(),
            found.words(),
            words_of(value)
        );
        let at = found.at(&format!("/{field}/{}", escaped(key)));
        let hint = match value {
            Value::Array(_) | Value::Object(_) => "write it as a block of text: `|`",
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => quote(value),
        };
        problems.push(SpecProblem::new("object.data-not-text", at, message).with_hint(hint));
    }
}

fn secret_data(found: &Found<'_>, problems: &mut Vec<SpecProblem>) {
    for (key, value) in found.object.get("data").and_then(Value::as_object).into_iter().flatten() {
        let is_good = match value {
            Value::Null => true,
            // An expression has been reported.
            Value::String(text) => is_base64(text) || has_expression(text),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => false,
        };
        if !is_good && is_key(key) {
            let message = format!("`data.{}` of {} is not base64", key.escape_debug(), found.words());
            let at = found.at(&format!("/data/{}", escaped(key)));
            problems.push(
                SpecProblem::new("object.secret-not-base64", at, message)
                    .with_hint("put plain text under `stringData`; the server encodes it"),
            );
        }
    }
}

/// Standard base64 with padding, as Go's decoder takes it: line breaks are skipped.
fn is_base64(text: &str) -> bool {
    let bytes: Vec<u8> = text.bytes().filter(|byte| !b"\r\n".contains(byte)).collect();
    let padding = bytes.iter().rev().take_while(|byte| **byte == b'=').count();
    let body = bytes.get(..bytes.len() - padding).unwrap_or_default();
    bytes.len().is_multiple_of(4)
        && padding <= 2
        && body.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte))
}

fn containers(found: &Found<'_>, at: &str, problems: &mut Vec<SpecProblem>) {
    for list in ["initContainers", "containers"] {
        let list_at = format!("{at}/{list}");
        let containers = crate::object::at(found.object, &list_at).and_then(Value::as_array);
        for (index, container) in containers.into_iter().flatten().enumerate() {
            let env = container.get("env").and_then(Value::as_array);
            for (position, variable) in env.into_iter().flatten().enumerate() {
                let Some(value @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) =
                    variable.get("value")
                else {
                    continue;
                };
                let name = variable.get("name").and_then(Value::as_str).unwrap_or_default();
                let message = format!(
                    "environment variable `{}` of {} must be a text, not {}",
                    name.escape_debug(),
                    found.words(),
                    words_of(value)
                );
                let at = found.at(&format!("{list_at}/{index}/env/{position}/value"));
                problems.push(SpecProblem::new("object.env-not-text", at, message).with_hint(quote(value)));
            }
        }
    }
}
