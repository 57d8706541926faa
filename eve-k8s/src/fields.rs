//! Who owns which fields: the entries of `metadata.managedFields` as sets of paths. Pure.
//!
//! A path is the keys of `fieldsV1` from the root: `f:NAME`, `k:{…}`, `v:VALUE`, `i:INDEX` (see [`crate::owned`]). An entry
//! owns a path that ends in it, and one that carries `.`. What lies under a path at which an entry ends is owned as a whole.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::labels::FIELD_MANAGER;
use crate::owned::Key;

/// The keys of `fieldsV1` from the root.
pub(crate) type Path = Vec<String>;

/// A set of paths. Prefixes sort before what they begin, so that what lies under a path is one range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Paths(BTreeSet<Path>);

impl Paths {
    /// Of a `fieldsV1`. Recursion is bounded by the depth of the value, which the reader bounds.
    pub(crate) fn of(fields: &Value) -> Self {
        let mut paths = BTreeSet::new();
        if let Some(fields) = fields.as_object() {
            collect(fields, &mut Vec::new(), &mut paths);
        }
        Self(paths)
    }

    /// As a `fieldsV1`.
    pub(crate) fn tree(&self) -> Value {
        let mut root = Map::new();
        for path in &self.0 {
            plant(&mut root, path, self.beneath(path).next().is_some());
        }
        Value::Object(root)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Path> {
        self.0.iter()
    }

    pub(crate) fn minus(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).cloned().collect())
    }

    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    pub(crate) fn only(&self, keep: impl Fn(&Path) -> bool) -> Self {
        Self(self.0.iter().filter(|path| keep(path)).cloned().collect())
    }

    /// What is owned under a path, without the path itself.
    pub(crate) fn beneath<'a>(&'a self, path: &'a [String]) -> impl Iterator<Item = &'a Path> {
        let from: Path = path.to_vec();
        self.0
            .range(from..)
            .take_while(move |found| found.starts_with(path))
            .filter(|found| found.len() > path.len())
    }

    /// Whether the path, something under it, or what it is a part of as a whole is owned.
    pub(crate) fn touch(&self, path: &[String]) -> bool {
        self.0.contains(path) || self.beneath(path).next().is_some() || self.holds(path)
    }

    /// Whether the path is part of something that is owned as a whole.
    fn holds(&self, path: &[String]) -> bool {
        (1..path.len()).any(|length| {
            path.get(..length)
                .is_some_and(|prefix| self.0.contains(prefix) && self.beneath(prefix).next().is_none())
        })
    }
}

/// Recursion is bounded by the length of the path.
fn plant(node: &mut Map<String, Value>, path: &[String], has_parts: bool) {
    match path.split_first() {
        Some((key, rest)) => {
            let inner = node.entry(key.as_str()).or_insert_with(|| json!({}));
            if let Some(inner) = inner.as_object_mut() {
                plant(inner, rest, has_parts);
            }
        }
        None if has_parts => {
            node.insert(".".to_owned(), json!({}));
        }
        None => {}
    }
}

fn collect(fields: &Map<String, Value>, path: &mut Path, paths: &mut BTreeSet<Path>) {
    let is_leaf = fields.keys().all(|key| key == ".");
    if !path.is_empty() && (is_leaf || fields.contains_key(".")) {
        paths.insert(path.clone());
    }
    for (key, inner) in fields.iter().filter(|(key, _)| *key != ".") {
        path.push(key.clone());
        if let Some(inner) = inner.as_object() {
            collect(inner, path, paths);
        }
        path.pop();
    }
}

/// One entry of the managed fields.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) raw: Value,
    pub(crate) paths: Paths,
}

impl Entry {
    /// All entries of an object.
    pub(crate) fn all(object: &Value) -> Vec<Self> {
        let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
        let entry = |raw: &Value| Self {
            raw: raw.clone(),
            paths: Paths::of(raw.get("fieldsV1").unwrap_or(&Value::Null)),
        };
        entries.into_iter().flatten().map(entry).collect()
    }

    fn text(&self, field: &str) -> &str {
        self.raw.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn manager(&self) -> &str {
        self.text("manager")
    }

    pub(crate) fn api_version(&self) -> &str {
        self.text("apiVersion")
    }

    pub(crate) fn subresource(&self) -> &str {
        self.text("subresource")
    }

    /// What tells entries of one object apart.
    pub(crate) fn key(&self) -> [&str; 4] {
        ["manager", "operation", "apiVersion", "subresource"].map(|field| self.text(field))
    }

    /// Whether eve wrote it: by an apply, or by an undo that is not through.
    pub(crate) fn is_eves(&self) -> bool {
        self.manager() == FIELD_MANAGER && self.subresource().is_empty()
    }

    /// Whether eve wrote it otherwise than by an apply.
    pub(crate) fn is_half_undone(&self) -> bool {
        self.is_eves() && self.text("operation") != "Apply"
    }

    /// Whether it is a report of a controller on the object's state.
    pub(crate) fn is_report(&self) -> bool {
        self.subresource() == "status"
    }

    /// Whether both name the same fields.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.key() == other.key() && self.paths == other.paths
    }

    /// The same entry with other fields.
    pub(crate) fn with(&self, paths: &Paths) -> Value {
        let mut raw = self.raw.clone();
        if let Some(fields) = raw.as_object_mut() {
            fields.insert("fieldsV1".to_owned(), paths.tree());
        }
        raw
    }
}

/// What stands at a path of an input, whose list items may leave key fields to their defaults.
pub(crate) fn find<'a>(input: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(input, |value, part| match (part.strip_prefix("f:"), value) {
        (Some(name), Value::Object(fields)) => fields.get(name),
        (None, Value::Array(items)) => {
            let key = Key::read(part)?;
            let fitting = items.iter().enumerate();
            let best = fitting.filter_map(|(index, item)| Some((key.defaulted(index, item)?, item)));
            best.min_by_key(|(defaulted, _)| *defaulted).map(|(_, item)| item)
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(parts: &[&str]) -> Path {
        parts.iter().map(|part| (*part).to_owned()).collect()
    }

    fn sample() -> Value {
        json!({
            "f:data": { ".": {}, "f:a": {} },
            "f:spec": { "f:args": {}, "f:ports": { "k:{\"port\":80}": { ".": {}, "f:port": {} } }, "f:set": { "v:\"x\"": {} } },
        })
    }

    #[test]
    fn a_set_of_paths_is_the_entry_it_was_read_from() {
        let paths = Paths::of(&sample());
        assert_eq!(paths.tree(), sample());
        assert_eq!(paths.iter().count(), 6, "{paths:?}");
        assert_eq!(Paths::of(&json!({})).tree(), json!({}));
    }

    #[test]
    fn what_is_owned_is_the_path_what_is_under_it_and_what_it_is_a_part_of() {
        let paths = Paths::of(&sample());
        for (parts, expected) in [
            (vec!["f:data"], true),
            (vec!["f:data", "f:a"], true),
            (vec!["f:data", "f:b"], false),
            (vec!["f:dat"], false),
            (vec!["f:spec"], true),
            (vec!["f:spec", "f:args", "i:0"], true),
            (vec!["f:spec", "f:ports", "k:{\"port\":80}", "f:name"], false),
        ] {
            assert_eq!(paths.touch(&path(&parts)), expected, "{parts:?}");
        }
    }

    #[test]
    fn a_path_finds_items_that_leave_their_keys_to_defaults() {
        let input = json!({ "ports": [{ "port": 53, "protocol": "UDP" }, { "port": 53, "name": "tcp" }], "set": ["x"] });
        let tcp = path(&["f:ports", "k:{\"port\":53,\"protocol\":\"TCP\"}", "f:name"]);
        assert_eq!(find(&input, &tcp), Some(&json!("tcp")));
        assert_eq!(find(&input, &path(&["f:set", "v:\"x\""])), Some(&json!("x")));
        assert_eq!(find(&input, &path(&["f:set", "v:\"y\""])), None);
    }
}
