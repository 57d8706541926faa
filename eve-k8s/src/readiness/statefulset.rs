//! Stateful sets: every replica that the update strategy lets through is of the current revision, and all are ready.

use serde_json::Value;

use super::{Readiness, count, integer, of, text};

pub(super) fn judge(object: &Value) -> Readiness {
    let wanted = integer(object, "/spec/replicas").unwrap_or(1);
    let all = count(object, "replicas");
    // Servers without `availableReplicas` (before 1.25) report readiness only.
    let stated = object.pointer("/status/availableReplicas").is_some();
    let available = if stated { count(object, "availableReplicas") } else { count(object, "readyReplicas") };
    let partition = integer(object, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or_default();
    let to_update = match text(object, "/spec/updateStrategy/type") {
        // Pods are replaced when somebody deletes them: nothing to wait for.
        "OnDelete" => 0,
        _ => (wanted - partition).max(0),
    };
    let revision = |field: &str| text(object, &format!("/status/{field}")).to_owned();
    let done =
        !revision("updateRevision").is_empty() && revision("updateRevision") == revision("currentRevision");
    // Once an update is through, the controller counts the pods of the revision as current ones.
    let updated = if done { wanted } else { count(object, "updatedReplicas") };
    if all < wanted {
        Readiness::waits("k8s.statefulset.creating", of(all, wanted, "replica", "created"))
    } else if all > wanted {
        Readiness::waits("k8s.statefulset.scaling", format!("{} replicas too many still run", all - wanted))
    } else if updated < to_update {
        Readiness::waits("k8s.statefulset.updating", of(updated, to_update, "replica", "updated"))
    } else if available < wanted {
        Readiness::waits("k8s.statefulset.unavailable", of(available, wanted, "replica", "available"))
    } else {
        Readiness::Ready
    }
}
