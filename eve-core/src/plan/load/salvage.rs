//! What is right of a document in which something is wrong, so that whatever else is wrong with it can be told as well. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::pointer;

/// So many levels of maps are stood in for.
const STAND_INS_MAX: usize = 16;

/// The parts of a document that have the form that they should.
#[derive(Debug, Default)]
pub(super) struct Salvage {
    /// Of each list, by its pointer in what is kept, the positions that its items had.
    positions: BTreeMap<String, Vec<usize>>,
    /// Fields of the document that are required and wrong, or not there: something stands in for each.
    pub(super) stood_in: BTreeSet<String>,
}

struct Salvager<'a> {
    root: &'a Value,
    wrong: &'a BTreeSet<String>,
    found: Salvage,
}

/// A document without what is wrong in it, at these pointers; `None` if nothing is left. For a field that is required
/// something of its type stands in, so that what stands beside it can be judged.
pub(super) fn salvage(schema: &Value, value: &Value, wrong: &BTreeSet<String>) -> Option<(Value, Salvage)> {
    let mut salvager = Salvager { root: schema, wrong, found: Salvage::default() };
    let kept = salvager.keep(schema, value, "", "")?;
    Some((kept, salvager.found))
}

impl Salvage {
    /// Where the field stands in the document that is at this pointer in what was kept of it.
    pub(super) fn original(&self, kept: &str) -> String {
        let (mut original, mut parent) = (String::new(), String::new());
        for segment in pointer::segments(kept) {
            let positions = self.positions.get(&parent);
            match positions.and_then(|positions| positions.get(segment.parse::<usize>().ok()?)) {
                Some(position) => pointer::push_index(&mut original, *position),
                None => pointer::push(&mut original, &segment),
            }
            pointer::push(&mut parent, &segment);
        }
        original
    }
}

impl<'a> Salvager<'a> {
    /// As deep as the schema, at most.
    fn keep(&mut self, schema: &'a Value, value: &Value, at: &str, to: &str) -> Option<Value> {
        if self.wrong.contains(at) {
            return None;
        }
        let schema = self.resolved(schema);
        let says_nothing =
            ["properties", "additionalProperties"].iter().all(|name| schema.get(name).is_none());
        match value {
            Value::Object(_) if says_nothing => Some(value.clone()),
            Value::Object(fields) => Some(Value::Object(self.keep_fields(schema, fields, at, to))),
            Value::Array(items) => Some(Value::Array(self.keep_items(schema, items, at, to))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(value.clone()),
        }
    }

    fn keep_fields(
        &mut self,
        schema: &'a Value,
        fields: &Map<String, Value>,
        at: &str,
        to: &str,
    ) -> Map<String, Value> {
        let known = schema.get("properties").and_then(Value::as_object);
        let field = |name: &str| known.and_then(|known| known.get(name));
        let mut kept = Map::new();
        for (name, value) in fields {
            let others = || schema.get("additionalProperties").filter(|others| **others != false);
            let Some(schema) = field(name).or_else(others) else { continue };
            let value = self.keep(schema, value, &pointer::child(at, name), &pointer::child(to, name));
            kept.extend(value.map(|value| (name.clone(), value)));
        }
        for name in required(schema) {
            if !kept.contains_key(name) {
                self.found.stood_in.insert(pointer::child(at, name));
                kept.insert(
                    name.to_owned(),
                    self.stand_in(field(name).unwrap_or(&Value::Null), STAND_INS_MAX),
                );
            }
        }
        kept
    }

    fn keep_items(&mut self, schema: &'a Value, items: &[Value], at: &str, to: &str) -> Vec<Value> {
        let schema = schema.get("items").unwrap_or(&Value::Null);
        let (mut kept, mut positions) = (Vec::new(), Vec::new());
        for (position, item) in items.iter().enumerate() {
            let (mut at, mut to) = (at.to_owned(), to.to_owned());
            pointer::push_index(&mut at, position);
            pointer::push_index(&mut to, kept.len());
            if let Some(item) = self.keep(schema, item, &at, &to) {
                kept.push(item);
                positions.push(position);
            }
        }
        self.found.positions.insert(to.to_owned(), positions);
        kept
    }

    /// The least value that has the form of the schema, texts that say nothing aside.
    fn stand_in(&self, schema: &'a Value, levels: usize) -> Value {
        let schema = self.resolved(schema);
        let first = |list: &str| schema.get(list).and_then(Value::as_array).and_then(|list| list.first());
        if let Some(constant) =
            schema.get("const").or_else(|| first("enum")).or_else(|| first("oneOf")?.get("const"))
        {
            return constant.clone();
        }
        let is_map = schema.get("properties").is_some();
        match schema.get("type").and_then(Value::as_str).or(is_map.then_some("object")) {
            Some("string") => String::new().into(),
            Some("boolean") => false.into(),
            Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| 0.into()),
            Some("array") => Value::Array(Vec::new()),
            Some("object") if levels > 0 => {
                let field = |name: &str| schema.get("properties").and_then(|known| known.get(name));
                let fields = required(schema).map(|name| {
                    (name.to_owned(), self.stand_in(field(name).unwrap_or(&Value::Null), levels - 1))
                });
                Value::Object(fields.collect())
            }
            _ => Value::Null,
        }
    }

    /// The schema that a reference means; of one that may be null, the other branch.
    fn resolved(&self, schema: &'a Value) -> &'a Value {
        let branches = schema.get("anyOf").and_then(Value::as_array);
        let is_null = |branch: &&Value| branch.get("type").is_some_and(|name| name == "null");
        let branch = branches.and_then(|branches| branches.iter().find(|branch| !is_null(branch)));
        let schema = branch.unwrap_or(schema);
        let reference = schema.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#'));
        reference.and_then(|pointer| self.root.pointer(pointer)).unwrap_or(schema)
    }
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kept(value: &Value, wrong: &[&str]) -> Option<Value> {
        let schema = json!({
            "required": ["from"],
            "properties": {
                "from": { "$ref": "#/$defs/from" },
                "notes": {},
                "doors": { "type": "array", "items": { "$ref": "#/$defs/door" } },
                "prices": { "additionalProperties": { "properties": { "tea": {} } } },
                "open": { "anyOf": [{ "$ref": "#/$defs/door" }, { "type": "null" }] },
            },
            "$defs": {
                "from": { "properties": { "street": {} } },
                "door": { "required": ["name"], "properties": { "name": { "type": "string" }, "width": {} } },
            },
        });
        let wrong = wrong.iter().map(|pointer| (*pointer).to_owned()).collect();
        salvage(&schema, value, &wrong).map(|(kept, _)| kept)
    }

    #[test]
    fn what_is_wrong_goes_and_something_stands_in_for_what_is_needed() {
        let whole = json!({ "from": {}, "doors": [{ "name": "a", "width": 1 }], "open": { "name": "b" } });
        assert_eq!(kept(&whole, &[]), Some(whole.clone()));
        let without_width = json!({ "from": {}, "doors": [{ "name": "a" }], "open": { "name": "b" } });
        assert_eq!(kept(&whole, &["/doors/0/width"]), Some(without_width));
        let without_name =
            json!({ "from": {}, "doors": [{ "name": "", "width": 1 }], "open": { "name": "b" } });
        assert_eq!(kept(&whole, &["/doors/0/name"]), Some(without_name));
        let without_door = json!({ "from": {}, "doors": [], "open": { "name": "b" } });
        assert_eq!(kept(&whole, &["/doors/0"]), Some(without_door));
        let nameless = json!({ "from": {}, "doors": [{ "name": "a", "width": 1 }], "open": { "name": "" } });
        assert_eq!(kept(&whole, &["/open/name"]), Some(nameless));
        assert_eq!(kept(&json!({ "form": {} }), &["/form"]), Some(json!({ "from": {} })));
        let prices = json!({ "from": {}, "prices": { "new": { "tea": 1 }, "old": { "tea": 2 } } });
        let without_old = json!({ "from": {}, "prices": { "new": { "tea": 1 }, "old": {} } });
        assert_eq!(kept(&prices, &["/prices/old/tea"]), Some(without_old));
        let notes = json!({ "from": {}, "notes": { "any": { "thing": 1 } } });
        assert_eq!(kept(&notes, &[]), Some(notes.clone()));
        assert_eq!(kept(&json!([]), &[""]), None);
    }

    #[test]
    fn what_stands_in_has_the_form_of_the_schema() {
        let schema = json!({
            "required": ["m", "n"],
            "properties": { "m": { "$ref": "#/$defs/m" }, "n": { "type": "integer", "minimum": 3 } },
            "$defs": { "m": {
                "type": "object",
                "required": ["b", "l", "c", "d", "none", "again"],
                "properties": {
                    "b": { "type": "boolean" },
                    "l": { "type": "array" },
                    "c": { "oneOf": [{ "const": "one" }, { "const": "two" }] },
                    "d": { "enum": ["red", "blue"] },
                    "none": { "type": "null" },
                    "again": { "type": "array", "items": { "$ref": "#/$defs/m" } },
                },
            } },
        });
        let (kept, salvage) =
            salvage(&schema, &json!({ "n": "x" }), &BTreeSet::from(["/n".to_owned()])).unwrap();
        let m = json!({ "b": false, "l": [], "c": "one", "d": "red", "none": null, "again": [] });
        assert_eq!(kept, json!({ "m": m, "n": 3 }));
        assert_eq!(salvage.stood_in, BTreeSet::from(["/m".to_owned(), "/n".to_owned()]));
    }

    #[test]
    fn what_is_kept_of_a_list_knows_where_it_stood() {
        let schema =
            json!({ "properties": { "l": { "items": { "properties": { "a": { "items": {} } } } } } });
        let value = json!({ "l": [1, { "a": [1, 2, 3] }] });
        let wrong = BTreeSet::from(["/l/0".to_owned(), "/l/1/a/1".to_owned()]);
        let (kept, salvage) = salvage(&schema, &value, &wrong).unwrap();
        assert_eq!(kept, json!({ "l": [{ "a": [1, 3] }] }));
        assert_eq!(salvage.original("/l/0/a/1"), "/l/1/a/2");
        assert_eq!(salvage.original("/l/0/b"), "/l/1/b");
    }
}
