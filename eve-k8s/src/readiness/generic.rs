//! Custom resources, and the few built-in kinds whose conditions have names of their own.

use serde_json::Value;

use super::{Condition, Readiness, condition, is_true, text, unseen};

/// Conditions that say that a resource is up for as long as it lives, the most telling first.
const HEALTH: [&str; 3] = ["Ready", "Available", "Healthy"];
/// Conditions of resources that come to an end.
const ENDS: [&str; 3] = ["Succeeded", "Complete", "Completed"];

/// Any resource, by the conditions that kstatus, the API conventions and the widespread operators name.
pub(super) fn judge(object: &Value) -> Readiness {
    let status = object.get("status").and_then(Value::as_object);
    if status.is_none_or(serde_json::Map::is_empty) {
        return Readiness::NoStatus;
    }
    let is_true = |name: &str| condition(object, name).filter(|found| found.status == "True");
    if let Some(stalled) = is_true("Stalled") {
        return if stalled.is_stale(object) {
            unseen()
        } else {
            let message = format!("its controller gave up: {}", stalled.why());
            Readiness::fails("k8s.resource.stalled", message)
        };
    }
    if let Some(reconciling) = is_true("Reconciling") {
        return Readiness::waits("k8s.resource.reconciling", reconciling.why());
    }
    let health = first(object, &HEALTH);
    if let (None, Some(failed)) = (&health, is_true("Failed")) {
        return if failed.is_stale(object) {
            unseen()
        } else {
            Readiness::fails("k8s.resource.failed", format!("it failed: {}", failed.why()))
        };
    }
    let decisive = health.or_else(|| first(object, &ENDS));
    let synced = condition(object, "Synced").map(|found| ("Synced", found));
    for (name, found) in synced.into_iter().chain(decisive) {
        if found.is_stale(object) {
            return unseen();
        }
        if found.status != "True" {
            let message = format!("{name} is {}: {}", found.status, found.why());
            return Readiness::waits("k8s.resource.unready", message);
        }
    }
    Readiness::Ready
}

fn first<'a>(object: &'a Value, names: &[&'static str]) -> Option<(&'static str, Condition<'a>)> {
    names.iter().find_map(|name| Some((*name, condition(object, name)?)))
}

pub(super) fn namespace(object: &Value) -> Readiness {
    match text(object, "/status/phase") {
        "Active" => Readiness::Ready,
        _ => Readiness::waits("k8s.namespace.inactive", "the namespace is not active"),
    }
}

pub(super) fn definition(object: &Value) -> Readiness {
    if let Some(names) = condition(object, "NamesAccepted")
        && names.status == "False"
    {
        return Readiness::fails("k8s.definition.names", format!("its names are taken: {}", names.why()));
    }
    if is_true(object, "Established") {
        Readiness::Ready
    } else {
        Readiness::waits("k8s.definition.not-established", "the definition is not established")
    }
}
