//! Replica sets: every replica is available.

use serde_json::Value;

use super::{Readiness, count, integer, of};

pub(super) fn judge(object: &Value) -> Readiness {
    let wanted = integer(object, "/spec/replicas").unwrap_or(1);
    let (all, available) = (count(object, "replicas"), count(object, "availableReplicas"));
    if all > wanted {
        Readiness::waits("k8s.replicaset.scaling", format!("{} replicas too many still run", all - wanted))
    } else if available < wanted {
        Readiness::waits("k8s.replicaset.unavailable", of(available, wanted, "replica", "available"))
    } else {
        Readiness::Ready
    }
}
