//! What is right of a document in which something is wrong, so that whatever else is wrong with it can be told as well. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::pointer;

/// The parts of a document that have the form that they should.
#[derive(Debug, Default)]
pub(super) struct Salvage {
    /// Of each list, by its pointer in what is kept, the positions that its items had.
    positions: BTreeMap<String, Vec<usize>>,
}

struct Salvager<'a> {
    root: &'a Value,
    wrong: &'a BTreeSet<String>,
    positions: BTreeMap<String, Vec<usize>>,
}

/// A document without what is wrong in it, at these pointers, and without what cannot be without that; `None` if nothing is
/// left. A map that is required and needs no fields is there all the same.
pub(super) fn salvage(schema: &Value, value: &Value, wrong: &BTreeSet<String>) -> Option<(Value, Salvage)> {
    let mut salvager = Salvager { root: schema, wrong, positions: BTreeMap::new() };
    let kept = salvager.keep(schema, value, "", "")?;
    Some((kept, Salvage { positions: salvager.positions }))
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
            Value::Object(fields) => self.keep_fields(schema, fields, at, to).map(Value::Object),
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
    ) -> Option<Map<String, Value>> {
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
                let absent = self.resolved(field(name)?);
                let may_be_empty = absent.get("properties").is_some() && required(absent).next().is_none();
                kept.insert(name.to_owned(), may_be_empty.then(|| Value::Object(Map::new()))?);
            }
        }
        Some(kept)
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
        self.positions.insert(to.to_owned(), positions);
        kept
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
                "door": { "required": ["name"], "properties": { "name": {}, "width": {} } },
            },
        });
        let wrong = wrong.iter().map(|pointer| (*pointer).to_owned()).collect();
        salvage(&schema, value, &wrong).map(|(kept, _)| kept)
    }

    #[test]
    fn what_is_wrong_goes_with_what_needs_it_and_nothing_else_goes() {
        let whole = json!({ "from": {}, "doors": [{ "name": "a", "width": 1 }], "open": { "name": "b" } });
        assert_eq!(kept(&whole, &[]), Some(whole.clone()));
        let without_width = json!({ "from": {}, "doors": [{ "name": "a" }], "open": { "name": "b" } });
        assert_eq!(kept(&whole, &["/doors/0/width"]), Some(without_width));
        let without_door = json!({ "from": {}, "doors": [], "open": { "name": "b" } });
        assert_eq!(kept(&whole, &["/doors/0/name"]), Some(without_door));
        let closed = json!({ "from": {}, "doors": [{ "name": "a", "width": 1 }] });
        assert_eq!(kept(&whole, &["/open/name"]), Some(closed));
        assert_eq!(kept(&json!({ "form": {} }), &["/form"]), Some(json!({ "from": {} })));
        let prices = json!({ "from": {}, "prices": { "new": { "tea": 1 }, "old": { "tea": 2 } } });
        let without_old = json!({ "from": {}, "prices": { "new": { "tea": 1 }, "old": {} } });
        assert_eq!(kept(&prices, &["/prices/old/tea"]), Some(without_old));
        let notes = json!({ "from": {}, "notes": { "any": { "thing": 1 } } });
        assert_eq!(kept(&notes, &[]), Some(notes.clone()));
        assert_eq!(kept(&json!([]), &[""]), None);
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
