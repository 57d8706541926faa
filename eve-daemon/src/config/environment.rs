//! The environment lies over the file: `EVE_DAEMON__VAULT__ADDRESS` is `vault.address`.
//!
//! Two underscores stand between fields. A field is written in capitals, with or without underscores between its words:
//! `QUEUE_URL` and `QUEUEURL` are `queueUrl`. Lists cannot be given.

use std::collections::BTreeMap;

use eve_core::plan::diagnostic::Diagnostic;
use eve_core::plan::load::Overlay;
use serde_json::{Map, Value};

use super::resolved;

/// What the names of these variables begin with.
const PREFIX: &str = "EVE_DAEMON__";

/// The variables that change a configuration, by name.
#[derive(Clone, Debug, Default)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Those of an environment that are meant for the configuration.
    pub fn of(environment: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(environment.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect())
    }

    /// Puts each into the document, where the schema has such a field.
    pub(super) fn lay_over(&self, schema: &Value, document: &mut Value) -> Overlay {
        let mut overlay = Overlay::default();
        for (name, text) in &self.0 {
            let path = name.strip_prefix(PREFIX).unwrap_or_default();
            let variable = format!("the variable `{}`", name.escape_debug());
            match lay(schema, document, path, text) {
                Ok(pointer) => drop(overlay.given.insert(pointer, variable)),
                Err(reason) => {
                    let message = format!("{variable} cannot be used: {reason}");
                    overlay.problems.push(Diagnostic::error("config.bad-variable", message));
                }
            }
        }
        overlay
    }
}

/// Puts a text at the end of a path, and says where that is as a JSON Pointer. Of what cannot be put nothing is left.
fn lay(schema: &Value, document: &mut Value, path: &str, text: &str) -> Result<String, String> {
    let (names, field) = field(schema, path)?;
    let value = value(field, text)?;
    let mut target = document;
    for name in &names {
        if target.is_null() {
            *target = Value::Object(Map::new());
        }
        let Some(object) = target.as_object_mut() else { return Err("what it stands in is no map".into()) };
        target = object.entry(*name).or_insert(Value::Null);
    }
    *target = value;
    Ok(names.iter().fold(String::new(), |pointer, name| format!("{pointer}/{name}")))
}

/// The names of the fields on a path, and the schema of the last.
fn field<'a>(schema: &'a Value, path: &str) -> Result<(Vec<&'a str>, &'a Value), String> {
    let (mut names, mut part) = (Vec::new(), schema);
    for segment in path.split("__") {
        let fields = part.get("properties").and_then(Value::as_object);
        let plain = |name: &str| name.replace('_', "").to_lowercase();
        let known = |(name, _): &(&String, &Value)| plain(name) == plain(segment);
        let found = fields.and_then(|fields| fields.iter().find(known));
        let Some((name, field)) = found else {
            return Err(format!(
                "the configuration has no field `{}`",
                segment.to_lowercase().escape_debug()
            ));
        };
        names.push(name.as_str());
        part = resolved(schema, field);
    }
    Ok((names, part))
}

/// A text as the schema wants it. What does not fit is left to the check of the whole.
fn value(schema: &Value, text: &str) -> Result<Value, String> {
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => vec!["string"],
    };
    if types.contains(&"array") || types.contains(&"object") {
        return Err("it names no single value".into());
    }
    let is_number = types.iter().any(|name| matches!(*name, "integer" | "number" | "boolean"));
    let parsed = if is_number { serde_json::from_str(text).ok() } else { None };
    Ok(parsed.unwrap_or_else(|| Value::String(text.to_owned())))
}
