//! How many replicas a workload has where an autoscaler says so: whose number is it? Pure.
//!
//! Kubernetes' documentation leaves `replicas` out of what is applied beside a `HorizontalPodAutoscaler`, and warns that who
//! gives a field up as its only owner removes it ("Server-Side Apply", transferring ownership): the count would become 1.

use std::collections::BTreeSet;

use eve_core::plan::Action;
use eve_core::plan::graph::Graph;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::client::Location;
use crate::object::{self, at, text};
use crate::owned;
use crate::path::PathSegment;

/// The controller of autoscalers, as it stands in managed fields: `controllers` of one program, told by the subresource.
const CONTROLLERS: &str = "kube-controller-manager";
/// Where it writes.
const SCALE: &str = "scale";

/// What the autoscalers of a plan scale: group, kind, namespace and name.
#[derive(Debug, Default)]
pub(crate) struct Targets(BTreeSet<(String, String, String, String)>);

impl Targets {
    /// Of all autoscalers that the plan wants to be there.
    pub(crate) fn of(graph: &Graph) -> Self {
        let nodes = graph.ids().map(|id| graph.node(id)).filter(|node| node.action() != Action::Delete);
        let scalers = nodes
            .filter_map(|node| node.spec().get(object::OBJECT))
            .filter(|object| object.get("kind").and_then(Value::as_str) == Some("HorizontalPodAutoscaler"));
        Self(scalers.map(|scaler| target(scaler, graph.namespace())).collect())
    }

    pub(crate) fn has(&self, place: &Location) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let namespace = place.namespace.as_ref().map_or("", PathSegment::as_str);
        self.0.contains(&(
            place.resource.group().to_owned(),
            place.resource.kind.to_string(),
            namespace.to_owned(),
            place.name.as_str().to_owned(),
        ))
    }
}

fn target(scaler: &Value, namespace: &str) -> (String, String, String, String) {
    let of = |field: &str| text(scaler, &format!("/spec/scaleTargetRef/{field}"));
    let group = of("apiVersion").split_once('/').map_or("", |(group, _)| group);
    let own = Some(text(scaler, "/metadata/namespace")).filter(|own| !own.is_empty());
    (group.to_owned(), of("kind").to_owned(), own.unwrap_or(namespace).to_owned(), of("name").to_owned())
}

/// What becomes of `spec.replicas` of an object that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Replicas {
    /// Others own it: it is left out.
    Left,
    /// eve owns it, perhaps alone: it stays as many as there are.
    Held(i64),
}

impl Replicas {
    /// Of a live object that an autoscaler scales; `None` where nothing says that one does. `is_target` is what the plan
    /// says, `is_forced` that fields of others are to be taken over: then an autoscaler that only the object tells of, and
    /// that may be gone by now, does not count.
    pub(crate) fn of(live: &Value, is_target: bool, is_forced: bool) -> Option<Self> {
        let entries = at(live, "/metadata/managedFields").and_then(Value::as_array);
        let owners = || {
            let entries = entries.into_iter().flatten();
            entries.filter(|entry| at(entry, "/fieldsV1/f:spec/f:replicas").is_some())
        };
        let is_autoscaler =
            |entry: &Value| text(entry, "/manager") == CONTROLLERS && text(entry, "/subresource") == SCALE;
        if !is_target && (is_forced || !owners().any(is_autoscaler)) {
            return None;
        }
        if !owners().any(owned::is_ours) {
            return Some(Self::Left);
        }
        // Of a live object that is known by its metadata only, what was applied last is all that is known.
        at(live, "/spec/replicas").and_then(Value::as_i64).map(Self::Held)
    }

    /// Puts the number into what is sent, or takes it out, where the input has one.
    pub(crate) fn write(self, object: &mut Value) {
        let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else { return };
        match self {
            Self::Left => {
                spec.remove("replicas");
            }
            Self::Held(count) => {
                if let Some(replicas) = spec.get_mut("replicas") {
                    *replicas = count.into();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(manager: &str, operation: &str, subresource: &str) -> Value {
        json!({
            "manager": manager, "operation": operation, "subresource": subresource,
            "fieldsV1": { "f:spec": { "f:replicas": {} } },
        })
    }

    #[test]
    fn whose_the_number_is_follows_from_plan_and_managed_fields() {
        let eve = entry("eve", "Apply", "");
        let scaler = entry(CONTROLLERS, "Update", SCALE);
        let kubectl = entry("kubectl", "Update", SCALE);
        let status = entry(CONTROLLERS, "Update", "status");
        for (entries, is_target, is_forced, expected) in [
            (vec![&eve], false, false, None),
            (vec![&eve], true, false, Some(Replicas::Held(4))),
            (vec![&kubectl], true, false, Some(Replicas::Left)),
            (vec![&kubectl], false, false, None),
            (vec![&status], false, false, None),
            (vec![&scaler], false, false, Some(Replicas::Left)),
            (vec![&scaler], false, true, None),
            (vec![&scaler], true, true, Some(Replicas::Left)),
            (vec![&scaler, &eve], false, false, Some(Replicas::Held(4))),
        ] {
            let live = json!({ "metadata": { "managedFields": entries }, "spec": { "replicas": 4 } });
            assert_eq!(Replicas::of(&live, is_target, is_forced), expected, "{entries:?} {is_target}");
        }
    }

    #[test]
    fn a_number_that_the_input_does_not_have_is_not_made_up() {
        for (replicas, expected) in
            [(Replicas::Held(4), json!({ "replicas": 4 })), (Replicas::Left, json!({}))]
        {
            let mut object = json!({ "spec": { "replicas": 1 } });
            replicas.write(&mut object);
            assert_eq!(object["spec"], expected);
            let mut object = json!({ "spec": {} });
            replicas.write(&mut object);
            assert_eq!(object["spec"], json!({}));
        }
    }
}
