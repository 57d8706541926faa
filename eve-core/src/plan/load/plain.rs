//! Tells plans from manifests, document by document.

use serde_json::Value;

use crate::plan::graph::closest;
use crate::plan::spec::{API_VERSION, KIND};

/// What a document is meant as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meant {
    Plan,
    Manifest,
}

/// A document is meant as a plan when its group is ours, when group and kind are nearly so, or when it has components and
/// does not say that it is something else. `kind: Plan` of another group is somebody else's custom resource.
pub(super) fn meant(document: &Value) -> Meant {
    let text = |field: &str| document.get(field).and_then(Value::as_str);
    let group_of = |version| str::split_once(version, '/').map(|(group, _)| group);
    let (group, own) = (text("apiVersion").and_then(group_of), group_of(API_VERSION));
    let has_components =
        document.pointer("/spec/components").is_some() || document.get("components").is_some();
    let is_plan = text("kind").is_some_and(|kind| kind == KIND || closest(kind, [KIND]).is_some());
    // Versions of all groups look alike: `tekton.dev/v1alpha1` is near to ours but for its group.
    let is_near = group.is_some_and(|group| closest(group, own).is_some());
    let ours = group == own || (is_plan && is_near);
    let foreign_group = group.is_some() && !ours;
    let has_no_kind = text("kind").is_none();
    let plan = ours
        || if foreign_group { is_plan && has_components } else { is_plan || (has_no_kind && has_components) };
    if plan { Meant::Plan } else { Meant::Manifest }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plans_are_told_from_manifests() {
        for (document, want) in [
            (json!({"apiVersion": "eve.dev/v1alpha1", "kind": "Plan"}), Meant::Plan),
            (json!({"apiVersion": "eve.dev/v2", "kind": "Plan"}), Meant::Plan),
            (json!({"apiVersion": "eve.dev/v1alpha", "kind": "plan"}), Meant::Plan),
            (json!({"apiVersion": "eve.dev/v1alpha1", "kind": "Stack"}), Meant::Plan),
            (json!({"apiVersion": "eve.de/v1alpha1", "kind": "Plan"}), Meant::Plan),
            (json!({"apiVersion": "eve.io/v1alpha1", "kind": "Widget"}), Meant::Manifest),
            (json!({"apiVersion": "tekton.dev/v1alpha1", "kind": "StepAction"}), Meant::Manifest),
            (json!({"apiVersion": "keda.dev/v1alpha1", "kind": "Widget"}), Meant::Manifest),
            (json!({"kind": "Plan", "spec": {}}), Meant::Plan),
            (json!({"spec": {"components": []}}), Meant::Plan),
            (
                json!({"apiVersion": "example.com/v1", "kind": "Plan", "spec": {"components": []}}),
                Meant::Plan,
            ),
            (json!({"apiVersion": "upgrade.cattle.io/v1", "kind": "Plan", "spec": {}}), Meant::Manifest),
            (json!({"apiVersion": "v1", "kind": "Pod", "spec": {}}), Meant::Manifest),
            (json!({"apiVersion": "x.io/v1", "kind": "Stack", "spec": {"components": []}}), Meant::Manifest),
            (json!("text"), Meant::Manifest),
            (json!({}), Meant::Manifest),
        ] {
            assert_eq!(meant(&document), want, "{document}");
        }
    }
}
