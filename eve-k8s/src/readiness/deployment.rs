//! Deployments: every replica is of the current template and available, and no old one is left.

use eve_core::failure::Failure;
use serde_json::Value;

use super::bygone::DEADLINE;
use super::{Readiness, condition, count, integer, of};

pub(super) fn judge(object: &Value) -> Readiness {
    let wanted = integer(object, "/spec/replicas").unwrap_or(1);
    let (updated, all) = (count(object, "updatedReplicas"), count(object, "replicas"));
    let paused = object.pointer("/spec/paused").and_then(Value::as_bool) == Some(true);
    if paused && updated < wanted {
        let message = format!("the Deployment is paused: {}", of(updated, wanted, "replica", "updated"));
        let failure = Failure::permanent("k8s.deployment.paused", message);
        return Readiness::Failed(failure.with_hint("set `spec.paused` to false"));
    }
    // The controller writes this condition together with the generation that it speaks of.
    if let Some(progress) = condition(object, "Progressing")
        && progress.reason == DEADLINE
    {
        let available = of(count(object, "availableReplicas"), wanted, "replica", "available");
        let message = format!("no progress within the Deployment's own deadline: {available}");
        return Readiness::fails("k8s.deployment.deadline", message);
    }
    let available = count(object, "availableReplicas");
    if updated < wanted {
        Readiness::waits("k8s.deployment.updating", of(updated, wanted, "replica", "updated"))
    } else if all > updated {
        let message = match all - updated {
            1 => "1 old replica still runs".to_owned(),
            old => format!("{old} old replicas still run"),
        };
        Readiness::waits("k8s.deployment.old-replicas", message)
    } else if available < wanted {
        Readiness::waits("k8s.deployment.unavailable", of(available, wanted, "replica", "available"))
    } else {
        Readiness::Ready
    }
}
