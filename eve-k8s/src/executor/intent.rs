//! What is sent for a component, and whether the live object is that already. Pure.

use std::fmt;

use eve_core::ports::Step;
use serde_json::Value;

use super::Target;
use super::prepare::Mark;
use crate::labels::PlanName;
use crate::owned::{self, Gap};
use crate::scaled::Replicas;
use crate::{labels, normal};

/// Whether the object was there before eve applied it for the first time: told by the mark of an earlier adoption, or by
/// eve having left no trace. Deleting the plan leaves such objects.
pub(super) fn is_adopted(live: &Value) -> bool {
    labels::annotation(live, labels::ADOPTED).is_some()
        || !(labels::has_plan(live) || owned::is_applied(live))
}

/// The object as it is sent.
pub(super) struct Intent {
    pub(super) object: Value,
    /// The digest of everything in it but the digest itself; none for Secrets.
    pub(super) desired: Option<String>,
    /// It repeats a number of replicas that an autoscaler may change at any time.
    pub(super) is_counted: bool,
}

/// Why it is not known that the live object is as it is wanted. Holds no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Another input was applied, or none: it has to be written.
    Input,
    /// Somebody else changed fields of ours.
    Fields(Gap),
    /// A Secret holds other values.
    Values(String),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input => f.write_str("the input is not the one that was applied last"),
            Self::Fields(gap) => gap.fmt(f),
            Self::Values(path) => write!(f, "`{path}` has another value"),
        }
    }
}

impl Intent {
    /// In normal form, with its namespace, eve's labels and annotations; `before` is what is there. How many replicas there
    /// are is no part of the digest where an autoscaler of the plan says it.
    pub(super) fn of(step: &Step, target: &Target<'_>, before: Option<&Mark>) -> Self {
        let mut object = normal::normalised(target.object);
        if let Some(namespace) = &target.place.namespace
            && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
        {
            metadata.insert("namespace".to_owned(), namespace.as_str().into());
        }
        if !before.is_some_and(|before| before.managed_by_other) {
            labels::claim(&mut object);
        }
        labels::stamp(&mut object, PlanName::of(step), step.name(), step.labels());
        if before.is_some_and(|before| before.adopted) {
            labels::annotate(&mut object, labels::ADOPTED, "true");
        }
        let digest = || {
            if !target.is_scaled {
                return normal::digest(&object);
            }
            let mut uncounted = object.clone();
            Replicas::Left.write(&mut uncounted);
            normal::digest(&uncounted)
        };
        let desired = (!normal::is_secret(&object)).then(digest);
        let replicas = before.and_then(|before| before.replicas);
        if let Some(replicas) = replicas {
            replicas.write(&mut object);
        }
        if let Some(desired) = &desired {
            labels::annotate(&mut object, labels::DESIRED, desired);
        }
        Self { object, desired, is_counted: matches!(replicas, Some(Replicas::Held(_))) }
    }

    /// Whether applying the intent would change nothing of the live object, as far as that can be known without asking.
    ///
    /// # Errors
    /// The first [`Doubt`].
    pub(super) fn holds(&self, live: &Value) -> Result<(), Doubt> {
        match &self.desired {
            Some(desired) if labels::annotation(live, labels::DESIRED) != Some(desired) => {
                return Err(Doubt::Input);
            }
            Some(_) => {}
            None => values(&self.object, live, String::new()).map_err(Doubt::Values)?,
        }
        owned::covers(&self.object, live).map_err(Doubt::Fields)
    }
}

/// Whether two answers of the API server are one object in one state, but for bookkeeping and status reports.
pub(super) fn is_same(live: &Value, would_be: &Value) -> bool {
    comparable(live) == comparable(would_be)
}

fn comparable(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return object };
    metadata.remove("resourceVersion");
    if let Some(entries) = metadata.get_mut("managedFields").and_then(Value::as_array_mut) {
        entries.retain(|entry| entry.get("subresource").and_then(Value::as_str) != Some("status"));
        for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
            entry.remove("time");
        }
    }
    object
}

/// Every leaf of the input has its value in the live object; else the path of the first that has not.
fn values(input: &Value, live: &Value, path: String) -> Result<(), String> {
    match (input, live) {
        (Value::Object(input), Value::Object(live)) => input.iter().try_for_each(|(key, value)| {
            let dot = if path.is_empty() { "" } else { "." };
            let path = format!("{path}{dot}{key}");
            match live.get(key) {
                Some(live) => values(value, live, path),
                None if value.as_object().is_some_and(serde_json::Map::is_empty) => Ok(()),
                None => Err(path),
            }
        }),
        (input, live) if input == live => Ok(()),
        _ => Err(path),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_without_a_trace_of_eve_is_adopted_and_stays_so() {
        let apply = json!([{ "manager": "eve", "operation": "Apply", "apiVersion": "v1", "fieldsV1": {} }]);
        for (metadata, adopted) in [
            (json!({}), true),
            (json!({ "labels": { "app": "x" } }), true),
            (json!({ "labels": { labels::PLAN: "shop" } }), false),
            (json!({ "managedFields": apply }), false),
            (json!({ "managedFields": apply, "annotations": { labels::ADOPTED: "true" } }), true),
        ] {
            assert_eq!(is_adopted(&json!({ "metadata": metadata })), adopted, "{metadata}");
        }
    }

    #[test]
    fn values_of_a_secret_are_compared() {
        let input = json!({ "type": "Opaque", "data": { "a": "eA==" }, "x": {} });
        for (live, expected) in [
            (json!({ "type": "Opaque", "data": { "a": "eA==", "b": "eQ==" }, "more": 1 }), Ok(())),
            (json!({ "type": "Opaque", "data": { "a": "eQ==" } }), Err("data.a")),
            (json!({ "type": "Opaque", "data": {} }), Err("data.a")),
            (json!({ "type": "other", "data": { "a": "eA==" } }), Err("type")),
            (json!({ "type": "Opaque" }), Err("data")),
        ] {
            assert_eq!(values(&input, &live, String::new()), expected.map_err(str::to_owned), "{live}");
        }
    }

    #[test]
    fn bookkeeping_and_status_make_no_difference() {
        let object = |version: &str, time: &str, replicas: i64, by: &str| {
            json!({
                "metadata": { "name": "web", "resourceVersion": version, "managedFields": [
                    { "manager": by, "time": time },
                    { "manager": "controller", "subresource": "status", "fieldsV1": { "f:status": { version: {} } } },
                ] },
                "spec": { "replicas": replicas }, "status": { "replicas": version },
            })
        };
        assert!(is_same(&object("1", "a", 1, "eve"), &object("2", "b", 1, "eve")));
        assert!(!is_same(&object("1", "a", 1, "eve"), &object("1", "a", 2, "eve")));
        assert!(!is_same(&object("1", "a", 1, "eve"), &object("1", "a", 1, "kubectl")));
    }
}
