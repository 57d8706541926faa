//! Items of one list that the API server takes for the same one.
//!
//! `kubectl apply` warns of them and writes; server-side apply refuses them, for it tells the items of such a list apart by
//! their keys (`x-kubernetes-list-map-keys`) alone. It would do so in the middle of a run, for what is not there yet is not
//! tried before.

use eve_core::plan::problem::SpecProblem;
use serde_json::Value;

use super::object::Found;

/// A list by its field, and its keys with what they are where an item does not say.
struct List(&'static str, &'static [(&'static str, Option<&'static str>)]);

const NAME: &[(&str, Option<&str>)] = &[("name", None)];
const OF_PODS: [List; 5] = [
    List("initContainers", NAME),
    List("containers", NAME),
    List("volumes", NAME),
    List("imagePullSecrets", NAME),
    List("hostAliases", &[("ip", None)]),
];
const OF_CONTAINERS: [List; 4] = [
    List("ports", &[("containerPort", None), ("protocol", Some("TCP"))]),
    List("env", NAME),
    List("volumeMounts", &[("mountPath", None)]),
    List("volumeDevices", &[("devicePath", None)]),
];
const OF_SERVICES: [List; 1] = [List("ports", &[("port", None), ("protocol", Some("TCP"))])];

/// Of an object with a pod spec at this place.
pub(super) fn in_pods(found: &Found<'_>, at: &str, problems: &mut Vec<SpecProblem>) {
    in_lists(found, at, &OF_PODS, problems);
    for field in ["initContainers", "containers"] {
        let at = format!("{at}/{field}");
        let containers = found.object.pointer(&at).and_then(Value::as_array).map_or(0, Vec::len);
        for index in 0..containers {
            in_lists(found, &format!("{at}/{index}"), &OF_CONTAINERS, problems);
        }
    }
}

/// Of a Service.
pub(super) fn in_service(found: &Found<'_>, problems: &mut Vec<SpecProblem>) {
    in_lists(found, "/spec", &OF_SERVICES, problems);
}

fn in_lists(found: &Found<'_>, at: &str, lists: &[List], problems: &mut Vec<SpecProblem>) {
    for List(field, keys) in lists {
        let at = format!("{at}/{field}");
        let items = found.object.pointer(&at).and_then(Value::as_array);
        let mut seen: Vec<(usize, Vec<String>)> = Vec::new();
        for (index, item) in items.into_iter().flatten().enumerate() {
            // What lacks its key is refused by the server, by name.
            let key: Option<Vec<String>> =
                keys.iter().map(|(name, default)| value(item, name, *default)).collect();
            let Some(key) = key else { continue };
            if let Some((first, _)) = seen.iter().find(|(_, known)| *known == key) {
                problems.push(twin(found, (&at, field), (*first, index), &words(keys, &key)));
            } else {
                seen.push((index, key));
            }
        }
    }
}

fn value(item: &Value, name: &str, default: Option<&str>) -> Option<String> {
    match item.get(name) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        None | Some(Value::Null) => default.map(str::to_owned),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => None,
    }
}

/// `containerPort 80, protocol TCP`.
fn words(keys: &[(&str, Option<&str>)], key: &[String]) -> String {
    let words = keys.iter().zip(key).map(|((name, _), value)| format!("{name} {}", value.escape_debug()));
    words.collect::<Vec<_>>().join(", ")
}

fn twin(
    found: &Found<'_>,
    (at, field): (&str, &str),
    (first, index): (usize, usize),
    key: &str,
) -> SpecProblem {
    let message = format!("`{field}` of {} has two items with the same key: {key}", found.words());
    SpecProblem::new("object.same-key", found.at(&format!("{at}/{index}")), message)
        .with_hint("remove one of the two: server-side apply tells such items apart by the key alone")
        .with_related(found.at(&format!("{at}/{first}")), "the first one")
}
