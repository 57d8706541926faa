//! What has to be written so that an object is as before a run: its fields, and who owns them. Pure.
//!
//! Three things are known: the object before the run's first write, what the run applied, and the object now. What the run
//! may have changed goes back; what others own stays as they want it; where both speak of one field and want different
//! things, that is a conflict, and nothing is written. Start at [`Restoration::of`].

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::fields::{Entry, Path};
use crate::{labels, normal, owned};

mod merge;
mod owners;
mod rebirth;

pub(crate) use rebirth::{Rebirth, comparable, is_spent, lacks, owners, reborn, reowned};

/// A state of the object before, what was applied since, and the object now.
#[derive(Clone, Copy)]
pub(crate) struct Sides<'a> {
    pub(crate) before: &'a Value,
    /// `None` where the run deleted it.
    pub(crate) intent: Option<&'a Value>,
    pub(crate) live: &'a Value,
    pub(crate) rebirth: Rebirth,
}

impl<'a> Sides<'a> {
    /// `reborn` is what the object before can be again; see [`comparable`].
    pub(crate) fn new(
        before: &'a Value,
        reborn: &'a Value,
        intent: Option<&'a Value>,
        live: &'a Value,
    ) -> Self {
        if is_same(before, live) {
            Self { before, intent, live, rebirth: Rebirth::No }
        } else {
            Self { before: reborn, intent, live, rebirth: Rebirth::Yes }
        }
    }
}

/// Whether both are states of one object, not of two with one name.
pub(crate) fn is_same(one: &Value, other: &Value) -> bool {
    let uid = |object: &Value| object.pointer("/metadata/uid").cloned();
    uid(one) == uid(other)
}

/// What is left to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Restoration {
    /// Nothing: it is as before.
    Settled,
    /// This merge patch (RFC 7396), for exactly the state that was looked at. What it changes belongs to an entry of an
    /// update by eve then, until a second patch, of nothing but managed fields, puts those right.
    Patch { patch: Value, fields: Vec<String> },
    /// Others changed what the run wrote.
    Conflict(Vec<Conflict>),
}

/// A field that somebody else changed since. Holds no value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Conflict {
    pub(crate) field: String,
    /// Who owns it now; empty where nobody does: it was removed.
    pub(crate) managers: Vec<String>,
}

/// The entries of the managed fields, by what they mean here.
struct Claims {
    eve_before: Vec<Entry>,
    eve_live: Vec<Entry>,
    /// Reports of controllers are among them: a few name annotations too.
    others_before: Vec<Entry>,
    others_live: Vec<Entry>,
    /// Whether what the run applied is still there, at least in part: else others may do with those fields as they like.
    in_force: bool,
}

impl Restoration {
    /// Compares the three. Linear in the objects, but for long lists within lists.
    pub(crate) fn of(sides: Sides<'_>) -> Self {
        let claims = Claims::of(sides);
        let strangers = claims.unreadable(sides.live);
        if !strangers.is_empty() {
            return Self::Conflict(strangers);
        }
        let (wanted, mut conflicts) = merge::merged(sides, &claims);
        if !conflicts.is_empty() {
            conflicts.sort();
            conflicts.dedup();
            return Self::Conflict(conflicts);
        }
        let entries = owners::wanted(sides, &claims, &wanted);
        let mut fields = Vec::new();
        let content = difference(&bare(sides.live), &wanted, &mut String::new(), &mut fields);
        if content.is_none() && owners::are_same(&entries, sides.live) {
            return Self::Settled;
        }
        let mut patch = content.unwrap_or_else(|| json!({}));
        let text = |pointer: &str| sides.live.pointer(pointer).cloned().unwrap_or(Value::Null);
        let (uid, version) = (text("/metadata/uid"), text("/metadata/resourceVersion"));
        if let Some(patch) = patch.as_object_mut() {
            let metadata = patch.entry("metadata").or_insert_with(|| json!({}));
            if let Some(metadata) = metadata.as_object_mut() {
                metadata.insert("uid".to_owned(), uid);
                metadata.insert("resourceVersion".to_owned(), version);
                metadata.insert("managedFields".to_owned(), Value::Array(entries));
            }
        }
        Self::Patch { patch, fields }
    }
}

impl Claims {
    fn of(sides: Sides<'_>) -> Self {
        let split = |object: &Value| -> (Vec<Entry>, Vec<Entry>) {
            Entry::all(object).into_iter().partition(Entry::is_eves)
        };
        let (eve_before, others_before) = split(sides.before);
        let (eve_live, others_live) = split(sides.live);
        let same_fields = eve_before.len() == eve_live.len()
            && eve_before.iter().all(|before| eve_live.iter().any(|live| live.is_same(before)));
        let desired = |object| labels::annotation(object, labels::DESIRED);
        let same_values = match sides.intent {
            Some(intent) if normal::is_secret(intent) => {
                let is_as_before = |path: &Path| value(sides.before, path) == value(sides.live, path);
                eve_live.iter().flat_map(|entry| entry.paths.iter()).all(is_as_before)
            }
            _ => desired(sides.before) == desired(sides.live),
        };
        Self { in_force: !(same_fields && same_values), eve_before, eve_live, others_before, others_live }
    }

    /// Others who wrote since under another version of the kind: their paths cannot be followed.
    fn unreadable(&self, live: &Value) -> Vec<Conflict> {
        let version = live.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
        let is_new = |entry: &&Entry| {
            !entry.is_report() && !self.others_before.iter().any(|before| before.is_same(entry))
        };
        let strangers = self.others_live.iter().filter(|entry| entry.api_version() != version).filter(is_new);
        strangers
            .map(|entry| Conflict {
                field: format!("a field of {}", entry.api_version()),
                managers: vec![entry.manager().to_owned()],
            })
            .collect()
    }
}

/// What stands at a path.
fn value<'a>(object: &'a Value, path: &[String]) -> Option<&'a Value> {
    crate::fields::find(object, path)
}

/// An object without what only the server writes.
fn bare(object: &Value) -> Value {
    const SERVERS: [&str; 8] = [
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "managedFields",
    ];
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
        if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|key, _| !SERVERS.contains(&key.as_str()));
        }
    }
    object
}

/// The merge patch from one value to another, and which fields it names; `None` where they are equal.
fn difference(from: &Value, to: &Value, path: &mut String, fields: &mut Vec<String>) -> Option<Value> {
    if from == to {
        return None;
    }
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        fields.push(path.clone());
        return Some(to.clone());
    };
    let mut changed = Map::new();
    let keys: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    for key in keys {
        let length = path.len();
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
        match (from.get(key), to.get(key)) {
            (Some(from), Some(to)) => {
                if let Some(inner) = difference(from, to, path, fields) {
                    changed.insert(key.clone(), inner);
                }
            }
            (Some(_), None) => {
                fields.push(path.clone());
                changed.insert(key.clone(), Value::Null);
            }
            (None, Some(to)) => {
                fields.push(path.clone());
                changed.insert(key.clone(), to.clone());
            }
            (None, None) => {}
        }
        path.truncate(length);
    }
    Some(Value::Object(changed))
}

/// A path for people.
fn words(path: &[String]) -> String {
    owned::words(path)
}

#[cfg(test)]
mod tests;
