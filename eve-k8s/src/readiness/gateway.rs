//! The Gateway API: classes, gateways and routes, by the conditions that its specification requires
//! (<https://gateway-api.sigs.k8s.io/reference/spec/>).

use serde_json::Value;

use super::{Readiness, condition_of, text, unseen};

/// The group of parents that state none.
const GROUP: &str = "gateway.networking.k8s.io";

pub(super) fn class(object: &Value) -> Readiness {
    stage(object, object.get("status"), &["Accepted"], "k8s.gateway.unready", "")
}

pub(super) fn gateway(object: &Value) -> Readiness {
    stage(object, object.get("status"), &["Accepted", "Programmed"], "k8s.gateway.unready", "")
}

/// Whether a route is attached to nothing, so that nobody will report anything about it.
pub(super) fn is_unattached(route: &Value) -> bool {
    parents(route).next().is_none()
}

/// A parent may be reported by several controllers: one that serves the route is enough.
pub(super) fn route(route: &Value) -> Readiness {
    let reports = || route.pointer("/status/parents").and_then(Value::as_array).into_iter().flatten();
    for parent in parents(route) {
        let words = format!("{} {}", text_or(parent, "/kind", "Gateway"), text(parent, "/name"));
        let mut judged = reports()
            .filter(|report| report.get("parentRef").is_some_and(|other| is_same(route, parent, other)))
            .map(|report| {
                stage(
                    route,
                    Some(report),
                    &["Accepted", "ResolvedRefs"],
                    "k8s.route.unready",
                    &format!("{words}: "),
                )
            })
            .peekable();
        let Some(first) = judged.peek().cloned() else {
            return Readiness::waits(
                "k8s.route.unattached",
                format!("no controller has attached it to {words}"),
            );
        };
        if !judged.any(|judged| judged == Readiness::Ready) {
            return first;
        }
    }
    Readiness::Ready
}

fn parents(route: &Value) -> impl Iterator<Item = &Value> {
    route.pointer("/spec/parentRefs").and_then(Value::as_array).into_iter().flatten()
}

fn text_or<'a>(value: &'a Value, pointer: &str, default: &'a str) -> &'a str {
    match text(value, pointer) {
        "" => default,
        text => text,
    }
}

fn is_same(route: &Value, one: &Value, other: &Value) -> bool {
    let own = text(route, "/metadata/namespace");
    let key = |parent| {
        (
            text_or(parent, "/group", GROUP),
            text_or(parent, "/kind", "Gateway"),
            text_or(parent, "/namespace", own),
            text(parent, "/name"),
            text(parent, "/sectionName"),
            parent.get("port"),
        )
    };
    key(one) == key(other)
}

/// Whether all these conditions of `reported` are true and speak of the current generation.
fn stage(
    object: &Value,
    reported: Option<&Value>,
    wanted: &[&str],
    code: &'static str,
    prefix: &str,
) -> Readiness {
    for name in wanted {
        let Some(found) = reported.and_then(|reported| condition_of(reported, name)) else {
            return Readiness::waits(code, format!("{prefix}no controller reports `{name}`"));
        };
        if found.is_stale(object) {
            return unseen();
        }
        if !found.is_true() {
            return Readiness::waits(code, format!("{prefix}{name} is {}: {}", found.status, found.why()));
        }
    }
    Readiness::Ready
}
