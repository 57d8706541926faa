//! Daemon sets: every node that should run a pod runs an available one of the current template.

use serde_json::Value;

use super::{Readiness, count, of, text};

pub(super) fn judge(object: &Value) -> Readiness {
    let wanted = count(object, "desiredNumberScheduled");
    // With OnDelete pods are replaced when somebody deletes them: nothing to wait for.
    let waits_for_update = text(object, "/spec/updateStrategy/type") != "OnDelete";
    let updated = count(object, "updatedNumberScheduled");
    let available = count(object, "numberAvailable");
    if waits_for_update && updated < wanted {
        Readiness::waits("k8s.daemonset.updating", of(updated, wanted, "pod", "updated"))
    } else if available < wanted {
        Readiness::waits("k8s.daemonset.unavailable", of(available, wanted, "pod", "available"))
    } else {
        Readiness::Ready
    }
}
