//! Single pods: ready while they run, or once they succeeded.

use serde_json::Value;

use super::{Readiness, condition, is_true, text};

pub(super) fn judge(object: &Value) -> Readiness {
    let phase = text(object, "/status/phase");
    match phase {
        "Succeeded" => Readiness::Ready,
        "Failed" => {
            let reason = match (text(object, "/status/reason"), text(object, "/status/message")) {
                ("", "") => "a container ended with an error".to_owned(),
                (reason, "") => reason.to_owned(),
                ("", message) => message.to_owned(),
                (reason, message) => format!("{reason}: {message}"),
            };
            Readiness::fails("k8s.pod.failed", format!("the pod failed: {reason}"))
        }
        "Running" if is_true(object, "Ready") => Readiness::Ready,
        _ => {
            let unready = condition(object, "Ready").filter(|ready| !ready.message.is_empty());
            let message = match unready {
                Some(ready) => ready.message.to_owned(),
                None if phase.is_empty() => "the pod has not started".to_owned(),
                None => format!("the pod is {}", phase.to_lowercase()),
            };
            Readiness::waits("k8s.pod.unready", message)
        }
    }
}
