//! Does our entry in an object's managed fields say exactly what the input says? Pure.
//!
//! Server-side apply writes down which fields each manager set (`metadata.managedFields[].fieldsV1`, Kubernetes
//! documentation "Server-Side Apply"). Whoever else changes the value of a field takes it out of our entry. So when the
//! input is the one that was applied (its digest is), and our entry names every leaf of it and nothing more, then no value
//! has to be compared, and no schema is needed: the entry itself tells how each list is keyed.
//!
//! | in `fieldsV1` | stands for |
//! |---|---|
//! | `f:NAME` | a field or a key of a map |
//! | `k:{…}` | the item of a list with these key fields; those that the input leaves out were defaulted |
//! | `v:VALUE` | a member of a set |
//! | `i:INDEX` | an item of a list by its place |
//! | `.` | the field or item itself, beside its parts |
//! | nothing inside | a leaf; if the input has more there, it is owned as a whole (atomic) |

use std::fmt;

use serde_json::{Map, Value};

use crate::labels::FIELD_MANAGER;

/// Fields that are in no entry: they are the object's identity, or the server's (`stripSet` of the API server).
const UNTRACKED_METADATA: [&str; 9] = [
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
];

/// Where input and entry part. Holds no value, only the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// eve never applied the object, or in another version of its kind.
    NoEntry,
    /// This field of the input is not ours, or no longer.
    Lost(String),
    /// This field is ours, and the input does not have it any more.
    Extra(String),
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEntry => write!(f, "it was not applied by eve in this version of its kind"),
            Self::Lost(path) => write!(f, "`{path}` is not owned by eve any more"),
            Self::Extra(path) => write!(f, "`{path}` is owned by eve and not in the input"),
        }
    }
}

/// Checks that eve's entry covers every leaf of the input and nothing more. `live` is the object as the server has it, or
/// only its `apiVersion`, kind and metadata.
///
/// # Errors
/// The first [`Gap`].
pub(crate) fn covers(input: &Value, live: &Value) -> Result<(), Gap> {
    let version = input.get("apiVersion").and_then(Value::as_str);
    let entries = crate::object::at(live, "/metadata/managedFields").and_then(Value::as_array);
    let entries: Vec<&Value> = entries.into_iter().flatten().collect();
    let (ours, others): (Vec<&Value>, Vec<&Value>) = entries.into_iter().partition(|entry| is_ours(entry));
    let [ours] = ours.as_slice() else { return Err(Gap::NoEntry) };
    if version.is_none() || text(ours, "apiVersion") != version {
        return Err(Gap::NoEntry);
    }
    let fields = ours.get("fieldsV1").and_then(Value::as_object).ok_or(Gap::NoEntry)?;
    // What is written under another version of the kind cannot be followed by path, unless it is only a report.
    let others = others.iter().filter(|entry| !is_report(entry)).map(|entry| {
        let same = text(entry, "apiVersion") == version;
        entry.get("fieldsV1").and_then(Value::as_object).filter(|_| same)
    });
    let is_whole = live.as_object().is_some_and(|live| {
        live.keys().any(|key| !matches!(key.as_str(), "apiVersion" | "kind" | "metadata"))
    });
    let mut walk = Walk { others: others.collect(), path: Vec::new() };
    // The object itself is never owned as a whole.
    walk.map(&tracked(input), fields, is_whole.then_some(live))
}

/// Whether eve has an entry of an apply at all.
pub(crate) fn is_applied(live: &Value) -> bool {
    let entries = crate::object::at(live, "/metadata/managedFields").and_then(Value::as_array);
    entries.into_iter().flatten().any(is_ours)
}

pub(crate) fn is_ours(entry: &Value) -> bool {
    text(entry, "manager") == Some(FIELD_MANAGER)
        && text(entry, "operation") == Some("Apply")
        && text(entry, "subresource").unwrap_or_default().is_empty()
}

/// Whether an entry names nothing but what a controller reports of the object, which no input has.
fn is_report(entry: &Value) -> bool {
    let fields = entry.get("fieldsV1").and_then(Value::as_object);
    text(entry, "subresource") == Some("status")
        && fields.is_some_and(|fields| fields.keys().all(|field| field == "f:status"))
}

fn text<'a>(entry: &'a Value, field: &str) -> Option<&'a str> {
    entry.get(field).and_then(Value::as_str)
}

/// The input without what no entry ever names.
fn tracked(input: &Value) -> Fields {
    let mut fields = input.as_object().cloned().unwrap_or_default();
    fields.remove("apiVersion");
    fields.remove("kind");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| !UNTRACKED_METADATA.contains(&key.as_str()));
        if metadata.is_empty() {
            fields.remove("metadata");
        }
    }
    fields
}

type Fields = Map<String, Value>;

/// A walk along the input and our entry.
struct Walk<'a> {
    /// The entries of all other managers; `None` for one that cannot be followed.
    others: Vec<Option<&'a Fields>>,
    /// The keys of `fieldsV1` from the root to here.
    path: Vec<String>,
}

impl Walk<'_> {
    /// Recursion is bounded by the depth of the input, which the reader bounds.
    fn node(&mut self, input: &Value, fields: &Fields, live: Option<&Value>) -> Result<(), Gap> {
        let is_leaf = fields.keys().all(|key| key == ".");
        match input {
            Value::Object(map) if !is_leaf => self.map(map, fields, live),
            Value::Array(items) if !is_leaf => self.list(items, fields, live),
            Value::Object(_) | Value::Array(_) if is_empty(input) => Ok(()),
            Value::Object(_) | Value::Array(_) => self.whole(input, live),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) if is_leaf => Ok(()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Err(self.extra(fields)),
        }
    }

    fn map(&mut self, map: &Fields, fields: &Fields, live: Option<&Value>) -> Result<(), Gap> {
        let mut met = 0;
        for (name, value) in map {
            let key = format!("f:{name}");
            match inner(fields, &key) {
                Some(inner) => {
                    met += 1;
                    let live = live.map(|live| live.get(name).unwrap_or(&Value::Null));
                    self.within(key, |walk| walk.node(value, inner, live))?;
                }
                None => self.within(key, |walk| walk.unowned(value))?,
            }
        }
        if met == parts(fields).count() {
            return Ok(());
        }
        let known = |key: &str| key.strip_prefix("f:").is_some_and(|name| map.contains_key(name));
        Err(self.extra_of(parts(fields).find(|key| !known(key))))
    }

    fn list(&mut self, items: &[Value], fields: &Fields, live: Option<&Value>) -> Result<(), Gap> {
        let mut left: Vec<(&str, Key)> = Vec::new();
        for part in parts(fields) {
            left.push((part, Key::read(part).ok_or_else(|| self.extra_of(Some(part)))?));
        }
        // Who says most about itself chooses first: an item without `protocol` fits any.
        let mut order: Vec<(usize, &Value)> = items.iter().enumerate().collect();
        order.sort_by_key(|(index, item)| {
            left.iter().filter_map(|(_, key)| key.defaulted(*index, item)).min().unwrap_or(usize::MAX)
        });
        for (index, item) in order {
            let fit = |(_, key): &(&str, Key)| key.defaulted(index, item);
            let best = left.iter().enumerate().filter_map(|(at, key)| Some((fit(key)?, at))).min();
            let Some((_, at)) = best else {
                return Err(self.within(format!("i:{index}"), Self::lost));
            };
            let (part, key) = left.swap_remove(at);
            let inner = inner(fields, part).unwrap_or(fields);
            let live = live.map(|live| key.find(live).unwrap_or(&Value::Null));
            self.within(part.to_owned(), |walk| walk.node(item, inner, live))?;
        }
        match left.first() {
            None => Ok(()),
            Some((part, _)) => Err(self.extra_of(Some(part))),
        }
    }

    /// The input has more here than the entry, which stops: owned as a whole, unless others own parts of it, or parts of
    /// it are gone.
    fn whole(&mut self, input: &Value, live: Option<&Value>) -> Result<(), Gap> {
        let others_inside = self.others.iter().any(|other| match other {
            None => true,
            Some(other) => follow(other, &self.path).is_some_and(|inside| parts(inside).next().is_some()),
        });
        if others_inside || live.is_some_and(|live| !is_there(input, live)) {
            Err(self.lost())
        } else {
            Ok(())
        }
    }

    /// The entry does not name this part of the input. An empty list that is merged item by item owns nothing; an empty
    /// map owns itself, and is lost when others fill it or remove it. What others put in is nothing that either speaks of.
    fn unowned(&mut self, input: &Value) -> Result<(), Gap> {
        let mut is_filled = false;
        for other in &self.others {
            let here = other.map(|other| follow(other, &self.path));
            match here {
                Some(None) => {}
                Some(Some(inside)) if is_merged(inside) => is_filled = true,
                // As a whole, or nobody knows.
                Some(Some(_)) | None => return Err(self.lost()),
            }
        }
        if is_empty(input) && (is_filled || input.is_array()) { Ok(()) } else { Err(self.lost()) }
    }

    fn within<T>(&mut self, key: String, work: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(key);
        let result = work(self);
        self.path.pop();
        result
    }

    fn lost(&mut self) -> Gap {
        Gap::Lost(words(&self.path))
    }

    fn extra(&mut self, fields: &Fields) -> Gap {
        self.extra_of(parts(fields).next())
    }

    fn extra_of(&mut self, part: Option<&str>) -> Gap {
        self.within(part.unwrap_or(".").to_owned(), |walk| Gap::Extra(words(&walk.path)))
    }
}

/// How an entry names one item of a list.
pub(crate) enum Key {
    Fields(Fields),
    Member(Value),
    Index(usize),
}

impl Key {
    pub(crate) fn read(part: &str) -> Option<Self> {
        match part.split_once(':')? {
            ("k", text) => serde_json::from_str(text).ok().map(Self::Fields),
            ("v", text) => serde_json::from_str(text).ok().map(Self::Member),
            ("i", text) => text.parse().ok().map(Self::Index),
            _ => None,
        }
    }

    /// How many key fields the item leaves to their defaults; `None` where it is another item.
    pub(crate) fn defaulted(&self, index: usize, item: &Value) -> Option<usize> {
        match self {
            Self::Fields(key) => {
                let map = item.as_object()?;
                let fits = key.iter().all(|(name, value)| map.get(name).is_none_or(|own| own == value));
                let absent = key.keys().filter(|name| !map.contains_key(*name)).count();
                fits.then_some(absent)
            }
            Self::Member(member) => (member == item).then_some(0),
            Self::Index(own) => (*own == index).then_some(0),
        }
    }

    /// The item of a list as the server has it, with all key fields.
    fn find<'a>(&self, live: &'a Value) -> Option<&'a Value> {
        let items = live.as_array()?;
        match self {
            Self::Fields(key) => {
                items.iter().find(|item| key.iter().all(|(name, value)| item.get(name) == Some(value)))
            }
            Self::Member(member) => items.iter().find(|item| *item == member),
            Self::Index(index) => items.get(*index),
        }
    }
}

fn inner<'a>(fields: &'a Fields, key: &str) -> Option<&'a Fields> {
    fields.get(key).and_then(Value::as_object)
}

/// The keys of what is inside, without the field itself.
fn parts(fields: &Fields) -> impl Iterator<Item = &str> {
    fields.keys().map(String::as_str).filter(|key| *key != ".")
}

/// Whether managers share a list or map item by item.
fn is_merged(fields: &Fields) -> bool {
    let mut parts = parts(fields).peekable();
    let is_item = |part: &str| ["f:", "k:", "v:"].iter().any(|kind| part.starts_with(kind));
    parts.peek().is_some() && parts.all(is_item)
}

fn follow<'a>(fields: &'a Fields, path: &[String]) -> Option<&'a Fields> {
    path.iter().try_fold(fields, |fields, key| inner(fields, key))
}

/// A list or a map with nothing in it.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Whether everything of the input has something in its place; values are not compared. What is as good as absent
/// (false, 0, empty) may be absent: servers leave such out.
fn is_there(input: &Value, live: &Value) -> bool {
    match (input, live) {
        (Value::Object(input), Value::Object(live)) => {
            input.iter().all(|(key, value)| is_there(value, live.get(key).unwrap_or(&Value::Null)))
        }
        (Value::Array(input), Value::Array(live)) => {
            input.len() == live.len() && input.iter().zip(live).all(|(input, live)| is_there(input, live))
        }
        (input, Value::Null) => match input {
            Value::Null | Value::Bool(false) => true,
            Value::Bool(true) => false,
            Value::Number(number) => number.as_f64() == Some(0.0),
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.values().all(|value| is_there(value, &Value::Null)),
        },
        (Value::Object(_) | Value::Array(_), _) => false,
        (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_), _) => true,
    }
}

/// A path for people: `spec.containers[name=main].image`.
pub(crate) fn words(path: &[String]) -> String {
    let mut words = String::new();
    for key in path {
        match key.split_once(':') {
            Some(("f", name)) if words.is_empty() => words.push_str(name),
            Some(("f", name)) => words.extend([".", name]),
            Some(("k", key)) => {
                let fields: Fields = serde_json::from_str(key).unwrap_or_default();
                let field = |(name, value): (&String, &Value)| match value.as_str() {
                    Some(text) => format!("{name}={text}"),
                    None => format!("{name}={value}"),
                };
                let fields: Vec<String> = fields.iter().map(field).collect();
                words.extend(["[", &fields.join(","), "]"]);
            }
            Some((_, rest)) => words.extend(["[", rest, "]"]),
            None => {}
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn entry(manager: &str, fields: &Value) -> Value {
        json!({ "manager": manager, "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields })
    }

    fn live(entries: &[Value]) -> Value {
        json!({ "apiVersion": "v1", "kind": "Thing", "metadata": { "name": "x", "managedFields": entries } })
    }

    fn input(rest: &Value) -> Value {
        let mut input =
            json!({ "apiVersion": "v1", "kind": "Thing", "metadata": { "name": "x", "namespace": "n" } });
        let rest = rest.as_object().unwrap().clone();
        input.as_object_mut().unwrap().extend(rest);
        input
    }

    fn check(rest: &Value, fields: &Value) -> Result<(), String> {
        covers(&input(rest), &live(&[entry("eve", fields)])).map_err(|gap| gap.to_string())
    }

    fn lost(path: &str) -> Result<(), String> {
        Err(Gap::Lost(path.to_owned()).to_string())
    }

    fn extra(path: &str) -> Result<(), String> {
        Err(Gap::Extra(path.to_owned()).to_string())
    }

    #[test]
    fn every_leaf_is_covered_and_nothing_more() {
        let ports = |ports: Value| json!({ "ports": ports });
        let tcp = r#"k:{"port":53,"protocol":"TCP"}"#;
        let udp = r#"k:{"port":53,"protocol":"UDP"}"#;
        let two = json!({ "f:ports": {
            tcp: { ".": {}, "f:port": {} }, udp: { ".": {}, "f:port": {}, "f:protocol": {} },
        } });
        for (rest, fields, expected) in [
            // Fields.
            (json!({ "a": 1, "b": { "c": "x" } }), json!({ "f:a": {}, "f:b": { "f:c": {} } }), Ok(())),
            (json!({ "a": 1, "b": 2 }), json!({ "f:a": {} }), lost("b")),
            (json!({ "b": { "c": 1, "d": 2 } }), json!({ "f:b": { "f:d": {} } }), lost("b.c")),
            (json!({ "a": 1 }), json!({ "f:a": {}, "f:b": { "f:c": {} } }), extra("b")),
            (json!({ "b": { "c": 1 } }), json!({ "f:b": { "f:c": {}, "f:d": {} } }), extra("b.d")),
            (json!({ "a": 1 }), json!({ "f:a": { "f:b": {} } }), extra("a.b")),
            (json!({ "a.b/c": 1 }), json!({ "f:a.b/c": {} }), Ok(())),
            // The field itself beside its parts.
            (json!({ "b": { "c": 1 } }), json!({ "f:b": { ".": {}, "f:c": {} } }), Ok(())),
            // Lists by key, with defaulted keys, in any order.
            (ports(json!([{ "port": 53 }, { "port": 53, "protocol": "UDP" }])), two.clone(), Ok(())),
            (ports(json!([{ "port": 53, "protocol": "UDP" }, { "port": 53 }])), two.clone(), Ok(())),
            (
                ports(json!([{ "port": 53, "protocol": "UDP" }])),
                two.clone(),
                extra("ports[port=53,protocol=TCP]"),
            ),
            (ports(json!([{ "port": 53 }, { "port": 54 }])), two, lost("ports[1]")),
            (
                ports(json!([{ "port": 53 }])),
                json!({ "f:ports": { tcp: { "f:port": {}, "f:name": {} } } }),
                extra("ports[port=53,protocol=TCP].name"),
            ),
            (
                ports(json!([{ "port": 53, "name": "dns" }])),
                json!({ "f:ports": { tcp: { "f:port": {} } } }),
                lost("ports[port=53,protocol=TCP].name"),
            ),
            // Sets.
            (json!({ "s": ["a", "b"] }), json!({ "f:s": { "v:\"a\"": {}, "v:\"b\"": {} } }), Ok(())),
            (json!({ "s": [1] }), json!({ "f:s": { "v:1": {} } }), Ok(())),
            (json!({ "s": ["a"] }), json!({ "f:s": { "v:\"a\"": {}, "v:\"b\"": {} } }), extra("s[\"b\"]")),
            (json!({ "s": ["a", "c"] }), json!({ "f:s": { "v:\"a\"": {} } }), lost("s[1]")),
            // Lists by place.
            (json!({ "l": [{ "a": 1 }, 2] }), json!({ "f:l": { "i:0": { "f:a": {} }, "i:1": {} } }), Ok(())),
            (
                json!({ "l": [{ "a": 1, "b": 1 }] }),
                json!({ "f:l": { "i:0": { "f:a": {} } } }),
                lost("l[0].b"),
            ),
            // Owned as a whole.
            (json!({ "l": [1, 2], "m": { "a": 1 } }), json!({ "f:l": {}, "f:m": {} }), Ok(())),
            // Empty lists own something or nothing, empty maps themselves.
            (json!({ "l": [], "m": {} }), json!({ "f:m": {} }), Ok(())),
            (json!({ "l": [], "m": {} }), json!({ "f:l": {}, "f:m": {} }), Ok(())),
            (json!({ "l": [], "m": {} }), json!({ "f:l": {} }), lost("m")),
            (json!({ "m": {} }), json!({ "f:m": { "f:a": {} } }), extra("m.a")),
            // What no manager ever owns.
            (
                json!({ "metadata": { "name": "x", "labels": { "a": "b" } } }),
                json!({ "f:metadata": { "f:labels": { "f:a": {} } } }),
                Ok(()),
            ),
            (json!({ "metadata": { "name": "x", "labels": { "a": "b" } } }), json!({}), lost("metadata")),
            // An unknown notation is no cover.
            (json!({ "s": ["a"] }), json!({ "f:s": { "z:a": {} } }), extra("s[a]")),
        ] {
            assert_eq!(check(&rest, &fields), expected, "{rest} {fields}");
        }
    }

    #[test]
    fn only_the_entry_of_our_apply_in_this_version_counts() {
        let rest = json!({ "a": 1 });
        let ours = entry("eve", &json!({ "f:a": {} }));
        assert_eq!(covers(&input(&rest), &live(&[entry("other", &json!({})), ours.clone()])), Ok(()));
        for (field, value) in
            [("manager", "other"), ("operation", "Update"), ("apiVersion", "v2"), ("subresource", "status")]
        {
            let mut entry = ours.clone();
            entry[field] = json!(value);
            assert_eq!(covers(&input(&rest), &live(&[entry])), Err(Gap::NoEntry), "{field}");
        }
        assert_eq!(covers(&input(&rest), &live(&[])), Err(Gap::NoEntry));
        assert_eq!(covers(&input(&rest), &json!({})), Err(Gap::NoEntry));
    }

    #[test]
    fn what_stops_early_is_ours_only_if_nobody_else_is_inside() {
        let rest = json!({ "m": { "a": 1 } });
        let ours = entry("eve", &json!({ "f:m": {} }));
        let of = |other: Value| covers(&input(&rest), &live(&[ours.clone(), other]));
        assert_eq!(of(entry("other", &json!({ "f:m": {} }))), Ok(()), "the same value, owned together");
        assert_eq!(of(entry("other", &json!({ "f:n": { "f:a": {} } }))), Ok(()));
        assert_eq!(of(entry("other", &json!({ "f:m": { "f:a": {} } }))), Err(Gap::Lost("m".into())));
        let mut foreign = entry("other", &json!({}));
        foreign["apiVersion"] = json!("v2");
        assert_eq!(of(foreign.clone()), Err(Gap::Lost("m".into())), "it may say anything");
        foreign["subresource"] = json!("status");
        foreign["fieldsV1"] = json!({ "f:status": { "f:a": {} } });
        assert_eq!(of(foreign.clone()), Ok(()), "the controller of its kind reports under another version");
        foreign["fieldsV1"] = json!({ "f:status": {}, "f:metadata": { "f:a": {} } });
        assert_eq!(of(foreign), Err(Gap::Lost("m".into())), "not only what is reported");
    }

    #[test]
    fn what_stops_early_is_ours_only_if_all_of_it_is_there() {
        let of = |rest: Value, there: Value| {
            let mut live = live(&[entry("eve", &json!({ "f:m": {} }))]);
            live["m"] = there;
            covers(&input(&rest), &live)
        };
        let rest = || json!({ "m": { "a": 1, "b": [{ "c": false }, { "d": "" }] } });
        assert_eq!(of(rest(), json!({ "a": 1, "b": [{}, {}], "defaulted": 1 })), Ok(()));
        assert_eq!(of(rest(), json!({ "b": [{}, {}] })), Err(Gap::Lost("m".into())));
        assert_eq!(of(rest(), json!({ "a": 1, "b": [{}] })), Err(Gap::Lost("m".into())));
    }

    #[test]
    fn an_empty_list_that_owns_nothing_must_be_nobodys_as_a_whole() {
        let rest = json!({ "l": [], "a": 1 });
        let ours = entry("eve", &json!({ "f:a": {} }));
        let of = |fields: Value| covers(&input(&rest), &live(&[ours.clone(), entry("other", &fields)]));
        assert_eq!(of(json!({ "f:a": {} })), Ok(()));
        assert_eq!(of(json!({ "f:l": {} })), Err(Gap::Lost("l".into())));
        // Merged item by item: the items of others are nothing that the input speaks of.
        for items in [json!({ "v:\"x\"": {} }), json!({ ".": {}, "k:{\"name\":\"x\"}": { "f:name": {} } })] {
            assert_eq!(of(json!({ "f:l": items })), Ok(()));
        }
        assert_eq!(of(json!({ "f:l": { ".": {} } })), Err(Gap::Lost("l".into())));
        assert_eq!(of(json!({ "f:l": { "i:0": {} } })), Err(Gap::Lost("l".into())));
    }

    #[test]
    fn an_empty_map_that_is_lost_counts_unless_others_filled_it() {
        // `emptyDir: {}`, say, which somebody replaced by another kind of volume.
        let rest = json!({ "m": {}, "a": 1 });
        let ours = entry("eve", &json!({ "f:a": {} }));
        let of = |fields: Value| covers(&input(&rest), &live(&[ours.clone(), entry("other", &fields)]));
        for fields in
            [json!({}), json!({ "f:n": { "f:x": {} } }), json!({ "f:m": {} }), json!({ "f:m": { ".": {} } })]
        {
            assert_eq!(of(fields.clone()), Err(Gap::Lost("m".into())), "{fields}");
        }
        assert_eq!(of(json!({ "f:m": { ".": {}, "f:x": {} } })), Ok(()));
    }

    /// A value, and what an apply of it owns: maps by field, lists by the key `name`, as sets, or as a whole.
    fn tree() -> impl Strategy<Value = (Value, Value)> {
        let leaf = any::<u8>().prop_map(|number| (json!(number), json!({})));
        leaf.prop_recursive(4, 24, 4, |inner| {
            let map = proptest::collection::btree_map("[a-e]", inner.clone(), 1..4).prop_map(|map| {
                let value: Fields =
                    map.iter().map(|(key, (value, _))| (key.clone(), value.clone())).collect();
                let fields: Fields =
                    map.into_iter().map(|(key, (_, fields))| (format!("f:{key}"), fields)).collect();
                (Value::Object(value), Value::Object(fields))
            });
            let keyed = proptest::collection::btree_map("[a-e]", inner.clone(), 1..4).prop_map(|map| {
                let value =
                    map.iter().map(|(name, (value, _))| json!({ "name": name, "x": value })).collect();
                let fields = map.into_iter().map(|(name, (_, fields))| {
                    (
                        format!("k:{}", json!({ "name": name })),
                        json!({ ".": {}, "f:name": {}, "f:x": fields }),
                    )
                });
                (Value::Array(value), Value::Object(fields.collect()))
            });
            let set = proptest::collection::btree_set("[a-e]", 1..4).prop_map(|set| {
                let fields = set.iter().map(|member| (format!("v:{}", json!(member)), json!({}))).collect();
                (json!(set), Value::Object(fields))
            });
            let whole = inner.prop_map(|(value, _)| (json!([value]), json!({})));
            prop_oneof![map, keyed, set, whole]
        })
    }

    /// All paths to what ends in `fields`.
    fn ends(fields: &Value, path: &[String], into: &mut Vec<Vec<String>>) {
        let inside: Vec<_> = fields.as_object().unwrap().iter().filter(|(key, _)| *key != ".").collect();
        if inside.is_empty() {
            into.push(path.to_vec());
        }
        for (key, inner) in inside {
            ends(inner, &[path, std::slice::from_ref(key)].concat(), into);
        }
    }

    /// Takes a path out, and all that is empty then, as the API server does.
    fn take(fields: &mut Value, path: &[String]) {
        let map = fields.as_object_mut().unwrap();
        if let [key, rest @ ..] = path {
            if rest.is_empty() {
                map.remove(key);
            } else {
                take(&mut map[key], rest);
                if map[key].as_object().unwrap().is_empty() {
                    map.remove(key);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_applied_is_covered_until_any_leaf_is_lost((value, fields) in tree(), pick in any::<prop::sample::Index>()) {
            let (rest, fields) = (json!({ "spec": value }), json!({ "f:spec": fields }));
            prop_assert_eq!(check(&rest, &fields), Ok(()));
            let mut all = Vec::new();
            ends(&fields, &[], &mut all);
            let path = &all[pick.index(all.len())];
            // The key of an item cannot change without it being another item.
            prop_assume!(path.last().unwrap() != "f:name");
            let mut others = fields.clone();
            take(&mut others, path);
            let taken = path.iter().rev().fold(json!({}), |inner, key| json!({ key: inner }));
            let live = live(&[entry("eve", &others), entry("other", &taken)]);
            prop_assert!(covers(&input(&rest), &live).is_err(), "{path:?}");
            let mut more = fields;
            more["f:more"] = json!({});
            prop_assert!(check(&rest, &more).is_err());
        }
    }
}
