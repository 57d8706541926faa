//! How messages speak of values, fields and names.

use std::fmt::Write as _;

use serde_json::Value;

use super::pointer::segments;

/// The longest name of a DNS-1123 label, in bytes (RFC 1123).
const LABEL_BYTES_MAX: usize = 63;

/// What a value is, with its text if that is short.
pub(super) fn of(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(value) => format!("the boolean `{value}`"),
        Value::Number(number) => format!("the number `{number}`"),
        Value::String(text) if text.len() <= 40 => format!("the text `{}`", text.escape_debug()),
        Value::String(_) => "a text".into(),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a map".into(),
    }
}

/// A type of JSON Schema in words.
pub(super) fn of_type(name: &str) -> &'static str {
    match name {
        "boolean" => "`true` or `false`",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a text",
        "array" => "a list",
        "object" => "a map",
        _ => "something else",
    }
}

/// `a`, `b` and `c`
pub(super) fn list(names: &[&str], last: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => "none".into(),
        Some((only, [])) => only.clone(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
    }
}

/// What the field at `at` of `whole` (in words) stands in, for example component `web`.
pub(super) fn scene(whole: &str, document: &Value, at: &str) -> String {
    let (path, component) = split(document, at);
    match (path.is_empty(), component) {
        (true, None) => whole.into(),
        (true, Some(component)) => component,
        (false, None) => format!("`{path}`"),
        (false, Some(component)) => format!("`{path}` of {component}"),
    }
}

/// The field at `at` itself.
pub(super) fn field(whole: &str, document: &Value, at: &str) -> String {
    scene(whole, document, at)
}

/// The path within a component, and the component; or the path within the plan.
fn split(document: &Value, at: &str) -> (String, Option<String>) {
    let segments: Vec<String> = segments(at).collect();
    let (component, rest) = match segments.as_slice() {
        [spec, components, index, rest @ ..] if spec == "spec" && components == "components" => {
            let index: usize = index.parse().unwrap_or_default();
            let name = document.pointer(&format!("/spec/components/{index}/name")).and_then(Value::as_str);
            let shown = match name {
                Some(name) if !name.is_empty() && name.len() <= LABEL_BYTES_MAX => {
                    format!("component `{}`", name.escape_debug())
                }
                _ => format!("component {}", index + 1),
            };
            (Some(shown), rest)
        }
        rest => (None, rest),
    };
    let mut path = String::new();
    for segment in rest {
        if segment.bytes().all(|byte| byte.is_ascii_digit()) && !path.is_empty() {
            let _ = write!(path, "[{segment}]");
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&segment.escape_debug().to_string());
        }
    }
    (path, component)
}

/// Why a text is no DNS-1123 label, if it is none.
pub(super) fn bad_label(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("it is empty");
    }
    if text.len() > LABEL_BYTES_MAX {
        return Some("it is longer than 63 characters");
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some("capital letters are not allowed");
    }
    if !text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        return Some("only lower-case letters, digits and `-` are allowed");
    }
    (text.starts_with('-') || text.ends_with('-')).then_some("it must begin and end with a letter or digit")
}

/// The label that somebody may have meant.
pub(super) fn as_label(text: &str) -> Option<String> {
    if text.len() > LABEL_BYTES_MAX {
        return None;
    }
    let plain: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let label = plain.trim_matches('-');
    bad_label(label).is_none().then(|| label.to_owned())
}
