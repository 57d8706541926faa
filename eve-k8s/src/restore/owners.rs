//! The managed fields as they should be: eve's as before, those of others as they are, with what the run took. Pure.

use serde_json::Value;

use super::merge::is_back;
use super::{Claims, Rebirth, Sides};
use crate::fields::{Entry, Paths, find};

/// The entries, in no order.
pub(super) fn wanted(sides: Sides<'_>, claims: &Claims, content: &Value) -> Vec<Value> {
    let mut entries: Vec<Value> = claims.eve_before.iter().map(|entry| entry.raw.clone()).collect();
    for live in &claims.others_live {
        let same = |before: &&Entry| before.key() == live.key() && !live.is_report();
        let before = claims.others_before.iter().find(same);
        let taken = before.map(|before| taken(sides, claims, content, before, &live.paths));
        entries.push(match (before, taken) {
            (Some(before), Some(taken)) if !taken.is_empty() => {
                let paths = live.paths.plus(&taken);
                if paths == before.paths { before.raw.clone() } else { live.with(&paths) }
            }
            _ => live.raw.clone(),
        });
    }
    let is_there = |before: &Entry| claims.others_live.iter().any(|live| live.key() == before.key());
    for before in claims.others_before.iter().filter(|before| !before.is_report() && !is_there(before)) {
        let taken = taken(sides, claims, content, before, &Paths::default());
        if taken == before.paths {
            entries.push(before.raw.clone());
        } else if !taken.is_empty() {
            entries.push(before.with(&taken));
        }
    }
    entries
}

/// What an entry lost because of the run, and what is there again.
fn taken(sides: Sides<'_>, claims: &Claims, content: &Value, before: &Entry, live: &Paths) -> Paths {
    let lost = before.paths.minus(live);
    let by_us = |path: &Vec<String>| {
        claims.eve_live.iter().any(|entry| entry.paths.touch(path))
            || (claims.in_force && sides.intent.is_some_and(|intent| find(intent, path).is_some()))
    };
    let is_reborn = sides.rebirth == Rebirth::Yes;
    lost.only(|path| (is_reborn || by_us(path)) && is_back(sides, content, path))
}

/// Whether the live entries are these, but for times and order.
pub(super) fn are_same(wanted: &[Value], live: &Value) -> bool {
    let sorted = |entries: Vec<&Value>| {
        let mut texts: Vec<String> = entries
            .into_iter()
            .map(|entry| {
                let mut entry = entry.clone();
                if let Some(fields) = entry.as_object_mut() {
                    fields.remove("time");
                }
                entry.to_string()
            })
            .collect();
        texts.sort_unstable();
        texts
    };
    let live = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    sorted(wanted.iter().collect()) == sorted(live.into_iter().flatten().collect())
}
