//! An object that was deleted, as it can be made again: without what the server gives every object anew. Pure.

use serde_json::{Map, Value};

use super::bare;
use crate::readiness::{self, Readiness, text};

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

/// The object before, as it can be sent to be made again.
pub(crate) fn reborn(before: &Value) -> Value {
    let mut object = bare(before);
    match kind(before) {
        "Job" if before.pointer("/spec/manualSelector") != Some(&Value::Bool(true)) => {
            drop_keys(&mut object, "/spec", &["selector"]);
            drop_keys(&mut object, "/spec/template/metadata/labels", &JOB_LABELS);
        }
        "PersistentVolumeClaim" => {
            drop_keys(&mut object, "/spec", &["volumeName"]);
            drop_keys(&mut object, "/metadata/annotations", &CLAIM_ANNOTATIONS);
        }
        "Pod" => drop_keys(&mut object, "/spec", &["nodeName"]),
        _ => {}
    }
    // Kinds without a subresource for it keep it where everything else is.
    if let (Some(status), Some(fields)) = (before.get("status"), object.as_object_mut()) {
        fields.insert("status".to_owned(), status.clone());
    }
    object
}

/// The object before, as it can be again: to compare with one that was made again, with the owners that one has.
pub(crate) fn comparable(before: &Value, live: &Value) -> Value {
    let before = reowned(before, |owner| owner_in(live, owner).map(|found| text(found, "/uid").to_owned()));
    let mut object = reborn(&before);
    let entries = before.pointer("/metadata/managedFields");
    if let (Some(entries), Some(Value::Object(metadata))) = (entries, object.get_mut("metadata")) {
        metadata.insert("managedFields".to_owned(), entries.clone());
    }
    object
}

/// What an object that was made again has not of what it was before, for people.
pub(crate) fn lacks(before: &Value, live: &Value) -> Vec<String> {
    let mut notes = Vec::new();
    let of_kind = match kind(before) {
        "Job" => Some("the Job is remade, and runs from its beginning"),
        "Pod" => Some("the pod is remade, and starts from its beginning"),
        "PersistentVolumeClaim" => {
            Some("the claim is remade, its data is not back: what its volume held went with it")
        }
        "CustomResourceDefinition" => Some(
            "the definition is remade, its data is not back: objects of the kind that are no part of the run went with it",
        ),
        _ => None,
    };
    notes.extend(of_kind.map(str::to_owned));
    for owner in owners(before) {
        let name = format!("{} {}", text(owner, "/kind"), text(owner, "/name"));
        match owner_in(live, owner) {
            None => notes.push(format!("its owner {name} is gone, and owns it no more")),
            Some(now) if text(now, "/uid") != text(owner, "/uid") => {
                notes.push(format!("its owner {name} was made again too, and owns it"));
            }
            Some(_) => {}
        }
    }
    notes
}

/// The references of an object to those that own it.
pub(crate) fn owners(object: &Value) -> impl Iterator<Item = &Value> {
    object.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten()
}

/// The reference of an object to an owner of this kind and name.
fn owner_in<'a>(live: &'a Value, owner: &Value) -> Option<&'a Value> {
    let of = |owner: &Value| ["/apiVersion", "/kind", "/name"].map(|pointer| text(owner, pointer).to_owned());
    owners(live).find(|found| of(found) == of(owner))
}

/// An object whose owners have other uids, or none: then the reference goes, and who owned it as a field owns it no more.
pub(crate) fn reowned(before: &Value, uid_of: impl Fn(&Value) -> Option<String>) -> Value {
    let uids: Vec<(&str, Option<String>)> =
        owners(before).map(|owner| (text(owner, "/uid"), uid_of(owner))).collect();
    let mut object = before.clone();
    if uids.iter().all(|(old, new)| new.as_deref() == Some(old)) {
        return object;
    }
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return object };
    let references = metadata.remove("ownerReferences");
    let references = references.as_ref().and_then(Value::as_array).into_iter().flatten();
    let kept: Vec<Value> = references
        .zip(&uids)
        .filter_map(|(owner, (_, new))| {
            let mut owner = owner.clone();
            owner.as_object_mut()?.insert("uid".to_owned(), new.as_deref()?.into());
            Some(owner)
        })
        .collect();
    let is_owned = !kept.is_empty();
    if is_owned {
        metadata.insert("ownerReferences".to_owned(), Value::Array(kept));
    }
    if let Some(entries) = metadata.get_mut("managedFields").and_then(Value::as_array_mut) {
        entries.retain_mut(|entry| rename_owners(entry, &uids, is_owned));
    }
    object
}

/// The same in an entry of the managed fields; whether it still names a field.
fn rename_owners(entry: &mut Value, uids: &[(&str, Option<String>)], is_owned: bool) -> bool {
    let Some(fields) = entry.get_mut("fieldsV1").and_then(Value::as_object_mut) else { return true };
    let Some(metadata) = fields.get_mut("f:metadata").and_then(Value::as_object_mut) else { return true };
    let Some(Value::Object(known)) = metadata.remove("f:ownerReferences") else { return true };
    let mut named = Map::new();
    for (key, inner) in known {
        let uid = key.strip_prefix("k:").and_then(|key| serde_json::from_str::<Value>(key).ok());
        let uid = uid.as_ref().map_or("", |key| text(key, "/uid"));
        let key = match uids.iter().find(|(old, _)| *old == uid) {
            Some((_, new)) => new.as_ref().map(|new| format!("k:{}", serde_json::json!({ "uid": new }))),
            None => is_owned.then_some(key),
        };
        if let Some(key) = key {
            named.insert(key, inner);
        }
    }
    if !named.is_empty() {
        metadata.insert("f:ownerReferences".to_owned(), Value::Object(named));
    }
    if metadata.is_empty() {
        fields.remove("f:metadata");
    }
    !fields.is_empty()
}

/// Whether making the object again would do again what it did already.
pub(crate) fn is_spent(before: &Value) -> bool {
    match kind(before) {
        "Job" => !matches!(readiness::judge("batch", "Job", before), Readiness::InProgress(_)),
        "Pod" => matches!(text(before, "/status/phase"), "Succeeded" | "Failed"),
        _ => false,
    }
}

fn kind(object: &Value) -> &str {
    text(object, "/kind")
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
