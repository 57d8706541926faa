//! What differs between an object as it is and as it would be, field by field. Pure.
//!
//! What the API server writes for itself is left out, and so is the digest that eve keeps. No value of a Secret comes out
//! of here.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{labels, normal};

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FieldChange {
    /// For people: `spec.containers[main].image`; items of lists by what names them, else by place.
    pub path: String,
    /// `None` where the field is added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Shown>,
    /// `None` where the field is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Shown>,
}

/// A value that may be shown, or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Shown {
    /// The value.
    Value(Value),
    /// It belongs to a Secret.
    Hidden,
}

/// Of metadata, what the API server writes.
const SERVER_METADATA: [&str; 6] =
    ["managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink"];
/// Where kubectl keeps a copy of the whole object, values of Secrets among it.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// What names the items of a list; the first that all items of both sides have, each once.
const KEYS: [&[&str]; 8] = [
    &["name"],
    &["containerPort", "protocol"],
    &["port", "protocol"],
    &["mountPath"],
    &["devicePath"],
    &["topologyKey", "whenUnsatisfiable"],
    &["ip"],
    &["type"],
];

/// What turns `live` into `would_be`, in the order of paths. Empty where nothing does that people would call a change.
///
/// ```
/// use eve_k8s::diff::changes;
/// use serde_json::json;
/// let changed = changes(&json!({ "spec": { "replicas": 1 } }), &json!({ "spec": { "replicas": 2 } }));
/// assert_eq!(changed[0].path, "spec.replicas");
/// ```
pub fn changes(live: &Value, would_be: &Value) -> Vec<FieldChange> {
    let secret = normal::is_secret(live) || normal::is_secret(would_be);
    let mut walk = Walk { secret, path: String::new(), changes: Vec::new() };
    walk.values(Some(&comparable(live, secret)), Some(&comparable(would_be, secret)));
    walk.changes
}

/// What an object would be with what an input says: maps are merged, lists item by item where they are as long.
pub(crate) fn overlaid(live: &Value, input: &Value) -> Value {
    match (live, input) {
        (Value::Object(live), Value::Object(input)) => {
            let mut fields = live.clone();
            for (key, value) in input {
                let merged = live.get(key).map_or_else(|| value.clone(), |live| overlaid(live, value));
                fields.insert(key.clone(), merged);
            }
            Value::Object(fields)
        }
        (Value::Array(live), Value::Array(input)) if live.len() == input.len() => {
            Value::Array(live.iter().zip(input).map(|(live, input)| overlaid(live, input)).collect())
        }
        _ => input.clone(),
    }
}

fn comparable(object: &Value, secret: bool) -> Value {
    let mut object = object.clone();
    let Some(fields) = object.as_object_mut() else { return object };
    fields.remove("status");
    if secret {
        // So that a change of the whole map is told key by key.
        for field in ["data", "stringData"] {
            fields.entry(field).or_insert_with(|| Value::Object(Map::new()));
        }
    }
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| !SERVER_METADATA.contains(&key.as_str()));
        let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(Map::new()));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.remove(labels::DESIRED);
        }
        metadata.entry("labels").or_insert_with(|| Value::Object(Map::new()));
    }
    object
}

struct Walk {
    secret: bool,
    path: String,
    changes: Vec<FieldChange>,
}

impl Walk {
    /// Recursion is bounded by the depth of the values, which the API server bounds.
    fn values(&mut self, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (old, new) if old == new => {}
            (Some(Value::Object(old)), Some(Value::Object(new))) => self.maps(old, new),
            (Some(Value::Array(old)), Some(Value::Array(new))) => self.lists(old, new),
            (old, new) => {
                let hidden = (self.secret && is_secret_path(&self.path)) || self.path.contains(LAST_APPLIED);
                let show = |value: &Value| if hidden { Shown::Hidden } else { Shown::Value(value.clone()) };
                let path = self.path.clone();
                self.changes.push(FieldChange { path, old: old.map(show), new: new.map(show) });
            }
        }
    }

    fn maps(&mut self, old: &Map<String, Value>, new: &Map<String, Value>) {
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for key in keys {
            let dot = if self.path.is_empty() { "" } else { "." };
            // A key with dots of its own would read as several.
            let key_text = if key.contains('.') { format!("[{key}]") } else { format!("{dot}{key}") };
            self.within(&key_text, |walk| walk.values(old.get(key), new.get(key)));
        }
    }

    fn lists(&mut self, old: &[Value], new: &[Value]) {
        let keyed = KEYS.iter().find_map(|key| Some((names(old, key)?, names(new, key)?)));
        let (old_names, new_names) = keyed.unwrap_or_else(|| {
            let places = |items: &[Value]| (0..items.len()).map(|place| place.to_string()).collect();
            (places(old), places(new))
        });
        let find = |names: &[String], items: &[Value], name: &str| {
            names.iter().position(|known| known == name).and_then(|place| items.get(place).cloned())
        };
        let before = self.changes.len();
        let added = new_names.iter().filter(|name| !old_names.contains(name));
        let all: Vec<&String> = old_names.iter().chain(added).collect();
        for name in all {
            let (old, new) = (find(&old_names, old, name), find(&new_names, new, name));
            self.within(&format!("[{name}]"), |walk| walk.values(old.as_ref(), new.as_ref()));
        }
        if self.changes.len() == before {
            // The same items in another order.
            let show = |names: Vec<String>| Some(Shown::Value(names.into()));
            let path = self.path.clone();
            self.changes.push(FieldChange { path, old: show(old_names), new: show(new_names) });
        }
    }

    fn within(&mut self, part: &str, work: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push_str(part);
        work(self);
        self.path.truncate(length);
    }
}

fn is_secret_path(path: &str) -> bool {
    let first = path.split(['.', '[']).next().unwrap_or_default();
    matches!(first, "data" | "stringData")
}

/// The name of each item; `None` where an item has none, or two have the same.
fn names(items: &[Value], key: &[&str]) -> Option<Vec<String>> {
    let name = |item: &Value| {
        let parts = key.iter().map(|field| match item.get(field)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        });
        parts.collect::<Option<Vec<String>>>().map(|parts| parts.join("/"))
    };
    let names: Vec<String> = items.iter().map(name).collect::<Option<_>>()?;
    let distinct: BTreeSet<&String> = names.iter().collect();
    (distinct.len() == names.len()).then_some(names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `+ path new`, `- path old`, `path old -> new`.
    fn lines(live: &Value, would_be: &Value) -> Vec<String> {
        let show = |shown: &Shown| match shown {
            Shown::Value(value) => value.to_string(),
            Shown::Hidden => "***".to_owned(),
        };
        let told = |change: FieldChange| match (&change.old, &change.new) {
            (Some(old), Some(new)) => format!("{} {} -> {}", change.path, show(old), show(new)),
            (None, Some(new)) => format!("+ {} {}", change.path, show(new)),
            (Some(old), None) => format!("- {} {}", change.path, show(old)),
            (None, None) => unreachable!("a change has a side"),
        };
        changes(live, would_be).into_iter().map(told).collect()
    }

    #[test]
    fn fields_are_told_by_path() {
        for (live, would_be, expected) in [
            (json!({ "a": 1 }), json!({ "a": 1 }), vec![]),
            (
                json!({ "spec": { "a": 1, "b": 2 } }),
                json!({ "spec": { "a": 3, "c": { "d": 1 } } }),
                vec!["spec.a 1 -> 3", "- spec.b 2", "+ spec.c {\"d\":1}"],
            ),
            (json!({ "a": 1 }), json!({ "a": [1] }), vec!["a 1 -> [1]"]),
            (
                json!({ "metadata": {} }),
                json!({ "metadata": { "labels": { "x.dev/a": "b" } } }),
                vec!["+ metadata.labels[x.dev/a] \"b\""],
            ),
            // Items by name, in any order.
            (
                json!({ "c": [{ "name": "a", "x": 1 }, { "name": "b" }] }),
                json!({ "c": [{ "name": "b" }, { "name": "a", "x": 2 }] }),
                vec!["c[a].x 1 -> 2"],
            ),
            (
                json!({ "c": [{ "name": "a" }] }),
                json!({ "c": [{ "name": "a" }, { "name": "b" }] }),
                vec!["+ c[b] {\"name\":\"b\"}"],
            ),
            (
                json!({ "c": [{ "name": "a" }, { "name": "b" }] }),
                json!({ "c": [{ "name": "b" }, { "name": "a" }] }),
                vec!["c [\"a\",\"b\"] -> [\"b\",\"a\"]"],
            ),
            (
                json!({ "p": [{ "containerPort": 53, "protocol": "TCP" }] }),
                json!({ "p": [{ "containerPort": 53, "protocol": "TCP", "name": "dns" }] }),
                vec!["+ p[53/TCP].name \"dns\""],
            ),
            // By place where nothing names them.
            (
                json!({ "l": ["a", "b"] }),
                json!({ "l": ["a", "c", "d"] }),
                vec!["l[1] \"b\" -> \"c\"", "+ l[2] \"d\""],
            ),
            (
                json!({ "c": [{ "name": "a" }, { "name": "a" }] }),
                json!({ "c": [{ "name": "a" }] }),
                vec!["- c[1] {\"name\":\"a\"}"],
            ),
        ] {
            assert_eq!(lines(&live, &would_be), expected, "{live} {would_be}");
        }
    }

    #[test]
    fn what_servers_and_eve_keep_for_themselves_is_no_change() {
        let live = json!({ "metadata": { "resourceVersion": "1", "generation": 1, "managedFields": [] }, "status": 1 });
        let would_be = json!({
            "metadata": { "resourceVersion": "2", "generation": 2, "annotations": { labels::DESIRED: "1-x" } },
            "status": 2,
        });
        assert_eq!(lines(&live, &would_be), Vec::<String>::new());
    }

    #[test]
    fn no_value_of_a_secret_is_shown() {
        let secret = |rest: Value| {
            let mut secret = json!({ "apiVersion": "v1", "kind": "Secret" });
            secret.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            secret
        };
        let live = secret(json!({ "type": "a", "data": { "old": "aHVudGVyMg==", "x.y": "aHVudGVyMg==" } }));
        let would_be = secret(json!({ "type": "b", "data": { "x.y": "eA==", "new": "eA==" } }));
        let all = ["- data.old ***", "+ data.new ***", "data[x.y] *** -> ***", "type \"a\" -> \"b\""];
        let mut found = lines(&live, &would_be);
        found.sort_by_key(|line| all.iter().position(|expected| expected == line));
        assert_eq!(found, all);
        assert_eq!(lines(&secret(json!({})), &would_be)[..2], ["+ data.new ***", "+ data[x.y] ***"]);
        let copy = json!({ "metadata": { "annotations": { LAST_APPLIED: "hunter2" } } });
        assert_eq!(
            lines(&json!({ "metadata": {} }), &copy),
            [format!("+ metadata.annotations[{LAST_APPLIED}] ***")]
        );
    }
}
