//! Who was told what, and what went to the dead letters. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::batch::{self, Fate, Sent};
use crate::world::{RECEIVERS, Told};

/// Each request has one outcome, the right one, told to everybody under one identity and in the same words; and so has a
/// request to stop that came before its plan. What stopped something is not told of by itself.
pub(crate) fn outcomes(sent: &[Sent], told: &[Told]) -> Vec<String> {
    let mut broken = Vec::new();
    let mut by_request: BTreeMap<&str, Vec<&Told>> = BTreeMap::new();
    for told in told {
        by_request.entry(told.request()).or_default().push(told);
    }
    let plans = sent.iter().map(|sent| (sent.request.clone(), sent.fate.ending()));
    let stopped = sent.iter().filter(|sent| sent.fate == Fate::Cancelled);
    let stops = stopped.map(|sent| (batch::stop_id(&sent.request), "nothing_to_stop"));
    let stops = stops.filter(|(stop, _)| by_request.contains_key(stop.as_str()));
    let all: Vec<(String, &str)> = plans.chain(stops).collect();
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for (request, expected) in &all {
        let told = by_request.remove(request.as_str()).unwrap_or_default();
        broken.extend(of_one(request, expected, &told));
        let keys: BTreeSet<&str> = told.iter().map(|told| told.key.as_str()).collect();
        for key in keys {
            if let Some(other) = owners.insert(key, request) {
                broken.push(format!("{request} and {other} share the identity {key}"));
            }
        }
    }
    broken.extend(by_request.keys().map(|request| format!("nobody asked for {request}")));
    broken
}

fn of_one(request: &str, expected: &str, told: &[&Told]) -> Vec<String> {
    let mut broken = Vec::new();
    let name = format!("{request} ({expected})");
    let keys: BTreeSet<&str> = told.iter().map(|told| told.key.as_str()).collect();
    if keys.len() != 1 || keys.contains("") {
        broken.push(format!("{name} was told under the identities {keys:?}"));
    }
    let notices: BTreeSet<String> = told.iter().map(|told| told.notice.to_string()).collect();
    if notices.len() != 1 {
        broken.push(format!("{name} was told in different words: {notices:?}"));
    }
    for receiver in RECEIVERS {
        let of_receiver = told.iter().filter(|told| told.receiver == receiver);
        let bodies: BTreeSet<&[u8]> = of_receiver.map(|told| told.body.as_slice()).collect();
        if bodies.len() != 1 {
            broken.push(format!("{receiver} got {} different bodies for {name}", bodies.len()));
        }
    }
    if let Some(other) = told.iter().find(|told| told.notice["ending"] != expected) {
        broken.push(format!("{name} ended otherwise: {}", other.notice));
    }
    broken
}

/// The dead letters are the poison, each once, and nothing else.
pub(crate) fn dead_letters(sent: &[Sent], letters: &[Value]) -> Vec<String> {
    let mut found: Vec<&str> = letters.iter().map(|letter| letter["Body"].as_str().unwrap()).collect();
    let poison = sent.iter().filter(|sent| sent.fate == Fate::Refused);
    let mut wanted: Vec<&str> = poison.map(|sent| sent.text.as_str()).collect();
    found.sort_unstable();
    wanted.sort_unstable();
    if found == wanted { Vec::new() } else { vec![format!("dead letters: {found:?}, not {wanted:?}")] }
}
