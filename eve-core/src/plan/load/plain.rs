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

/// A document is meant as a plan when its `apiVersion` is ours or nearly so, or when it has components and does not say
/// that it is something else. `kind: Plan` of another group is somebody else's custom resource.
pub(super) fn meant(document: &Value) -> Meant {
    let text = |field: &str| document.get(field).and_then(Value::as_str);
    let ours = text("apiVersion")
        .is_some_and(|version| version.starts_with("eve.dev/") || closest(version, [API_VERSION]).is_some());
    let has_components =
        document.pointer("/spec/components").is_some() || document.get("components").is_some();
    let is_plan = text("kind").is_some_and(|kind| kind == KIND || closest(kind, [KIND]).is_some());
    let foreign_group = text("apiVersion").is_some_and(|version| version.contains('/')) && !ours;
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
