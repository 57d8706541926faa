//! Volumes, claims and snapshots. Whether a claim waits for its first consumer stands in no claim: the wait finds that out.

use serde_json::Value;

use super::{Readiness, text};

/// The code of a claim that is not bound, which may be all that it will be before a pod uses it.
pub(crate) const CLAIM_PENDING: &str = "k8s.claim.pending";

pub(super) fn claim(object: &Value) -> Readiness {
    match text(object, "/status/phase") {
        "Bound" => Readiness::Ready,
        "Lost" => Readiness::fails("k8s.claim.lost", "the volume of the claim is lost"),
        _ => Readiness::waits(CLAIM_PENDING, "the claim is not bound to a volume"),
    }
}

pub(super) fn volume(object: &Value) -> Readiness {
    match text(object, "/status/phase") {
        "Available" | "Bound" => Readiness::Ready,
        "Failed" => {
            let message = format!("the volume failed: {}", text(object, "/status/message"));
            Readiness::fails("k8s.volume.failed", message)
        }
        _ => Readiness::waits("k8s.volume.pending", "the volume is not available"),
    }
}

pub(super) fn snapshot(object: &Value) -> Readiness {
    if object.pointer("/status/readyToUse").and_then(Value::as_bool) == Some(true) {
        return Readiness::Ready;
    }
    let message = match text(object, "/status/error/message") {
        "" => "the snapshot is not ready to use".to_owned(),
        error => format!("the snapshot is not ready to use: {error}"),
    };
    Readiness::waits("k8s.snapshot.pending", message)
}
