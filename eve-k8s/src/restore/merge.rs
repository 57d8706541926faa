//! The object as it should be: before, with what others want. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Claims, Conflict, Rebirth, Sides, bare, value, words};
use crate::fields::{Entry, Path, find};
use crate::owned::{Key, is_empty};
use crate::{labels, normal};

/// The content of the object as it should be, and what stands in the way.
pub(super) fn merged(sides: Sides<'_>, claims: &Claims) -> (Value, Vec<Conflict>) {
    let mut merge = Merge { sides, claims, path: Vec::new(), conflicts: Vec::new() };
    let wanted = merge.node(Some(&bare(sides.before)), Some(&bare(sides.live)), Stray::Goes);
    (wanted.unwrap_or(Value::Null), merge.conflicts)
}

/// What becomes of what nobody owns and was not there before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stray {
    /// It came with what the run wrote.
    Goes,
    /// It came with what others wrote.
    Stays,
}

struct Merge<'a> {
    sides: Sides<'a>,
    claims: &'a Claims,
    path: Path,
    conflicts: Vec<Conflict>,
}

/// How managers share a list.
enum Sharing {
    /// By these fields of its items.
    Keys(Vec<String>),
    Members,
    /// Not at all.
    Whole,
}

impl Merge<'_> {
    /// Recursion is bounded by the depth of what a server answers, which the reader bounds.
    fn node(&mut self, before: Option<&Value>, live: Option<&Value>, stray: Stray) -> Option<Value> {
        match (before, live) {
            (None, None) => None,
            (Some(before), Some(live)) if before == live => Some(live.clone()),
            (before, live) => {
                let shape = before.or(live).unwrap_or(&Value::Null);
                let is_one = before.is_none_or(|other| same_shape(shape, other))
                    && live.is_none_or(|other| same_shape(shape, other));
                match shape {
                    Value::Object(_) if is_one && !self.is_whole() => self.map(before, live, stray),
                    Value::Array(_) if is_one => self.list(before, live, stray),
                    Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::String(_)
                    | Value::Array(_)
                    | Value::Object(_) => self.leaf(before, live, stray),
                }
            }
        }
    }

    fn map(&mut self, before: Option<&Value>, live: Option<&Value>, stray: Stray) -> Option<Value> {
        let stray = self.stray_within(before, stray);
        let empty = Map::new();
        let fields = |side: Option<&Value>| side.and_then(Value::as_object).cloned().unwrap_or_default();
        let (was, is) = (fields(before), fields(live));
        let keys: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
        let mut wanted = empty;
        for key in keys {
            self.path.push(format!("f:{key}"));
            if let Some(value) = self.node(was.get(key), is.get(key), stray) {
                wanted.insert(key.clone(), value);
            }
            self.path.pop();
        }
        self.keep(Value::Object(wanted), before, live, stray)
    }

    fn list(&mut self, before: Option<&Value>, live: Option<&Value>, stray: Stray) -> Option<Value> {
        let sharing = &self.sharing(before, live);
        if matches!(sharing, Sharing::Whole) {
            return self.leaf(before, live, stray);
        }
        let stray = self.stray_within(before, stray);
        let items = |side: Option<&Value>| side.and_then(Value::as_array).cloned().unwrap_or_default();
        let (was, is) = (keyed(items(before), sharing), keyed(items(live), sharing));
        let order = order(&was, &is);
        let mut wanted = Vec::new();
        for part in order {
            let of = |side: &[(String, Value)]| {
                side.iter().find(|(key, _)| *key == part).map(|(_, item)| item.clone())
            };
            let (was, is) = (of(&was), of(&is));
            self.path.push(part);
            if let Some(mut item) = self.node(was.as_ref(), is.as_ref(), stray) {
                restore_keys(&mut item, is.as_ref().or(was.as_ref()), sharing);
                wanted.push(item);
            }
            self.path.pop();
        }
        self.keep(Value::Array(wanted), before, live, stray)
    }

    /// What others own inside of something that was not there before brings along what the server added to it.
    fn stray_within(&self, before: Option<&Value>, stray: Stray) -> Stray {
        if before.is_none() && touched(&self.claims.others_live, &self.path) { Stray::Stays } else { stray }
    }

    /// A map or list that has nothing left in it goes, unless it was there as such.
    fn keep(
        &mut self,
        wanted: Value,
        before: Option<&Value>,
        live: Option<&Value>,
        stray: Stray,
    ) -> Option<Value> {
        if !is_empty(&wanted) {
            return Some(wanted);
        }
        match (before, live) {
            (Some(_), Some(_)) => Some(wanted),
            // Of what was not there before, others keep at most what they own as such.
            (None, Some(live)) => {
                let owned = self.claims.others_live.iter().any(|entry| entry.paths.touch(&self.path));
                let stays = owned || (is_empty(live) && stray == Stray::Stays);
                stays.then_some(wanted)
            }
            (Some(before), None) if is_empty(before) => self.leaf(Some(before), None, stray),
            (Some(_) | None, None) => None,
        }
    }

    /// What is owned as a whole, or is nothing but a value.
    fn leaf(&mut self, before: Option<&Value>, live: Option<&Value>, stray: Stray) -> Option<Value> {
        let theirs = self.owners();
        let held = touched(&self.claims.eve_live, &self.path);
        let had = touched(&self.claims.eve_before, &self.path);
        let sent = self.sent();
        let wrote = self.claims.in_force && sent.is_some();
        if !theirs.is_empty() {
            let released = before.is_none() && held;
            if (had || held || wrote) && !released {
                self.conflict(theirs);
            }
            return live.cloned();
        }
        let ours = had || held || sent.is_some();
        let reborn = self.sides.rebirth == Rebirth::Yes;
        match (before, live) {
            (Some(before), None) if ours && wrote && !held && !reborn => {
                self.conflict(Vec::new());
                Some(before.clone())
            }
            (_, Some(live)) if ours && held && self.is_of_another_run(live, sent) => {
                self.conflict(vec![labels::FIELD_MANAGER.to_owned()]);
                Some(live.clone())
            }
            _ if ours || reborn && before.is_some() => before.cloned(),
            _ if touched(&self.claims.others_before, &self.path) => live.cloned(),
            // Scaling a workload whose replicas are nobody's stays nobody's (API server, subresource `scale`).
            (Some(_), Some(live)) => Some(live.clone()),
            (None, Some(live)) if reborn || stray == Stray::Stays || self.is_assigned() => Some(live.clone()),
            (before, _) => before.cloned(),
        }
    }

    /// What eve owns and this run did not write is of another run: told by the digest, or of Secrets by their values.
    fn is_of_another_run(&self, live: &Value, sent: Option<&Value>) -> bool {
        let Some(intent) = self.sides.intent else { return false };
        let last = self.path.last().and_then(|part| part.strip_prefix("f:"));
        let tells = if normal::is_secret(intent) {
            self.path.first().is_some_and(|part| part == "f:data")
        } else {
            last == Some(labels::DESIRED)
        };
        let is_half = self.claims.eve_live.iter().any(Entry::is_half_undone);
        tells && self.claims.in_force && !is_half && sent.is_some_and(|sent| sent != live)
    }

    /// Fields that the server or a binding sets, and no entry ever names.
    fn is_assigned(&self) -> bool {
        let kind = self.sides.live.get("kind").and_then(Value::as_str);
        kind == Some("Pod")
            && self.path.len() == 2
            && self.path.ends_with(&["f:spec".into(), "f:nodeName".into()])
    }

    fn sent(&self) -> Option<&Value> {
        find(self.sides.intent?, &self.path)
    }

    /// Who else owns what is here now.
    fn owners(&self) -> Vec<String> {
        let others = self.claims.others_live.iter().filter(|entry| entry.paths.touch(&self.path));
        let managers: BTreeSet<String> = others.map(|entry| entry.manager().to_owned()).collect();
        managers.into_iter().collect()
    }

    fn conflict(&mut self, managers: Vec<String>) {
        self.conflicts.push(Conflict { field: words(&self.path), managers });
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        let claims = self.claims;
        claims
            .eve_live
            .iter()
            .chain(&claims.eve_before)
            .chain(&claims.others_live)
            .chain(&claims.others_before)
    }

    /// Whether somebody owns a map as a whole, and nobody a part of it.
    fn is_whole(&self) -> bool {
        let mut is_named = false;
        for entry in self.entries() {
            if entry.paths.beneath(&self.path).next().is_some() {
                return false;
            }
            is_named |= entry.paths.touch(&self.path);
        }
        is_named
    }

    fn sharing(&self, before: Option<&Value>, live: Option<&Value>) -> Sharing {
        let depth = self.path.len();
        let parts = self.entries().flat_map(|entry| entry.paths.beneath(&self.path));
        let part = parts.filter_map(|path| path.get(depth)).find(|part| !part.starts_with("i:"));
        let sharing = match part.and_then(|part| Key::read(part)) {
            Some(Key::Fields(fields)) => Sharing::Keys(fields.keys().cloned().collect()),
            Some(Key::Member(_)) => Sharing::Members,
            Some(Key::Index(_)) | None => return Sharing::Whole,
        };
        let sides = [before, live].into_iter().flatten().filter_map(Value::as_array);
        for items in sides {
            let parts: Option<BTreeSet<String>> = items.iter().map(|item| part_of(item, &sharing)).collect();
            if parts.is_none_or(|parts| parts.len() != items.len()) {
                return Sharing::Whole;
            }
        }
        sharing
    }
}

fn touched(entries: &[Entry], path: &[String]) -> bool {
    entries.iter().any(|entry| entry.paths.touch(path))
}

fn same_shape(one: &Value, other: &Value) -> bool {
    one.is_object() == other.is_object() && one.is_array() == other.is_array()
}

/// How `fieldsV1` names an item; `None` where a key field is missing.
fn part_of(item: &Value, sharing: &Sharing) -> Option<String> {
    match sharing {
        Sharing::Keys(names) => {
            let key: Option<Map<String, Value>> =
                names.iter().map(|name| Some((name.clone(), item.get(name)?.clone()))).collect();
            Some(format!("k:{}", Value::Object(key?)))
        }
        Sharing::Members => Some(format!("v:{item}")),
        Sharing::Whole => None,
    }
}

fn keyed(items: Vec<Value>, sharing: &Sharing) -> Vec<(String, Value)> {
    items.into_iter().filter_map(|item| Some((part_of(&item, sharing)?, item))).collect()
}

/// As it was before, with what came since at the end; as it is now, where that has the items of before in their order.
fn order(was: &[(String, Value)], is: &[(String, Value)]) -> Vec<String> {
    let of = |side: &[(String, Value)]| side.iter().map(|(part, _)| part.clone()).collect::<Vec<String>>();
    let (was, is) = (of(was), of(is));
    let kept: Vec<&String> = is.iter().filter(|part| was.contains(part)).collect();
    if kept.iter().copied().eq(was.iter()) {
        return is;
    }
    let added = is.iter().filter(|part| !was.contains(part)).cloned();
    was.iter().cloned().chain(added).collect()
}

/// An item of which others own a part stays one with its keys.
fn restore_keys(item: &mut Value, of: Option<&Value>, sharing: &Sharing) {
    let (Some(item), Some(of), Sharing::Keys(names)) = (item.as_object_mut(), of, sharing) else { return };
    for name in names {
        if let Some(value) = of.get(name) {
            item.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// Whether a value that the run may have taken from others is back.
pub(super) fn is_back(sides: Sides<'_>, wanted: &Value, path: &[String]) -> bool {
    value(wanted, path).is_some() && value(wanted, path) == value(sides.before, path)
}
