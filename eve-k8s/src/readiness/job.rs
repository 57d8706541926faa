//! Jobs: ready when complete. A job that runs, or is suspended, is not.

use serde_json::Value;

use super::{Readiness, condition, count, integer, is_true};

pub(super) fn judge(object: &Value) -> Readiness {
    if is_true(object, "Complete") {
        return Readiness::Ready;
    }
    if let Some(failed) = condition(object, "Failed")
        && failed.status == "True"
    {
        return Readiness::fails("k8s.job.failed", format!("the job failed: {}", failed.why()));
    }
    if object.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true) {
        return Readiness::waits("k8s.job.suspended", "the job is suspended");
    }
    let (active, succeeded) = (count(object, "active"), count(object, "succeeded"));
    let wanted = integer(object, "/spec/completions").unwrap_or(1);
    let message = match (active, succeeded) {
        (0, 0) => "the job has not started".to_owned(),
        _ if wanted == 1 => "the job is running".to_owned(),
        _ => format!("{succeeded} of {wanted} pods have succeeded"),
    };
    Readiness::waits("k8s.job.running", message)
}
