//! An object that was deleted, as it can be made again: without what the server gives every object anew. Pure.

use serde_json::{Map, Value};

use super::bare;
use crate::readiness::{self, Readiness};

/// Whether the live object is another than the one before: made again since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rebirth {
    No,
    Yes,
}

/// Labels of a Job's pod template and selector that name the Job's uid (`batch/v1`, strategy of the API server).
const JOB_LABELS: [&str; 4] =
    ["controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"];
/// What binds a claim to a volume that may be gone (controller `persistentvolume-binder`).
const CLAIM_ANNOTATIONS: [&str; 3] = [
    "pv.kubernetes.io/bind-completed",
    "pv.kubernetes.io/bound-by-controller",
    "volume.kubernetes.io/selected-node",
];

/// The object before, as it can be sent to be made again, and what it lacks, for people.
pub(crate) fn reborn(before: &Value) -> (Value, Option<&'static str>) {
    let mut object = bare(before);
    let kind = before.get("kind").and_then(Value::as_str).unwrap_or_default();
    let note = match kind {
        "Job" => {
            if before.pointer("/spec/manualSelector") != Some(&Value::Bool(true)) {
                drop_keys(&mut object, "/spec", &["selector"]);
                drop_keys(&mut object, "/spec/template/metadata/labels", &JOB_LABELS);
            }
            None
        }
        "PersistentVolumeClaim" => {
            drop_keys(&mut object, "/spec", &["volumeName"]);
            drop_keys(&mut object, "/metadata/annotations", &CLAIM_ANNOTATIONS);
            Some("the claim was made again; what its volume held is not put back")
        }
        "Pod" => {
            drop_keys(&mut object, "/spec", &["nodeName"]);
            None
        }
        "CustomResourceDefinition" => {
            Some("objects of this kind that are no part of the run are not put back")
        }
        _ => None,
    };
    // Kinds without a subresource for it keep it where everything else is.
    if let (Some(status), Some(fields)) = (before.get("status"), object.as_object_mut()) {
        fields.insert("status".to_owned(), status.clone());
    }
    (object, note)
}

/// The object before, as it can be again: to compare with one that was made again.
pub(crate) fn comparable(before: &Value) -> Value {
    let (mut object, _) = reborn(before);
    let entries = before.pointer("/metadata/managedFields");
    if let (Some(entries), Some(Value::Object(metadata))) = (entries, object.get_mut("metadata")) {
        metadata.insert("managedFields".to_owned(), entries.clone());
    }
    object
}

/// Whether making the object again would do again what it did already.
pub(crate) fn is_spent(before: &Value) -> bool {
    let is_job = before.get("kind").and_then(Value::as_str) == Some("Job");
    is_job && !matches!(readiness::judge("batch", "Job", before), Readiness::InProgress(_))
}

fn drop_keys(object: &mut Value, pointer: &str, keys: &[&str]) {
    let Some(fields) = object.pointer_mut(pointer).and_then(Value::as_object_mut) else { return };
    fields.retain(|key, _| !keys.contains(&key.as_str()));
    if fields.is_empty() {
        remove_if_empty(object, pointer);
    }
}

fn remove_if_empty(object: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    if let Some(fields) = object.pointer_mut(parent).and_then(Value::as_object_mut)
        && fields.get(key).and_then(Value::as_object).is_some_and(Map::is_empty)
    {
        fields.remove(key);
    }
}
