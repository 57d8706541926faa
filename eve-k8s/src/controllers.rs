//! Whose entries in the managed fields of an object are no content of anybody: the one table of those that come with
//! Kubernetes. Pure.
//!
//! Everything else that is not eve's is somebody's content, and does not go silently with an object that a run has made.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::fields::{Entry, Path, find};
use crate::owned;
use crate::restore::Conflict;

/// Field managers that act on behalf of what stands in an object, and have it all again from there.
const CONTROLLERS: [&str; 9] = [
    // Volumes of claims, tokens of accounts, revisions of workloads, what is scaled: derived from the object and its spec.
    "kube-controller-manager",
    // The node that a claim's first consumer runs on.
    "kube-scheduler",
    // What runs on a node.
    "kubelet",
    // What the server registers by itself, and conditions of definitions.
    "kube-apiserver",
    // The rules of a `ClusterRole` that is a sum of others.
    "clusterrole-aggregation-controller",
    // The same controllers in one process: k3s and MicroK8s.
    "k3s",
    "kubelite",
    // OpenShift: ranges of user ids on every namespace; pull secrets in every account.
    "cluster-policy-controller",
    "openshift-controller-manager",
];
/// Every provider names its own, as `aws-cloud-controller-manager`: addresses and routes, from the spec.
const CLOUD: &str = "cloud-controller-manager";
/// What is written through these is no content, whoever writes it.
const SUBRESOURCES: [&str; 2] = [
    // A report on the object.
    "status",
    // How many there are at the moment, by autoscalers and by people: nothing of it is left where nothing runs.
    "scale",
];
/// Fields that are no content, whoever writes them: all that begins so.
const FIELDS: [&[&str]; 2] = [
    // Kinds without the subresource report here.
    &["f:status"],
    // Whoever adds one is asked before the object goes.
    &["f:metadata", "f:finalizers"],
];
/// Annotations that are no content, by how they begin: those of the controllers above, which have another name in some
/// distributions, and of what provides volumes.
const ANNOTATIONS: [&str; 4] = [
    "f:deployment.kubernetes.io/",
    "f:pv.kubernetes.io/",
    "f:volume.kubernetes.io/",
    "f:volume.beta.kubernetes.io/",
];
/// The authority that a webhook or an API server is known by: whoever serves it writes it where it is called from.
const AUTHORITY: &str = "f:caBundle";

/// Whether it is one of the controllers that come with Kubernetes.
pub(crate) fn is_controller(manager: &str) -> bool {
    CONTROLLERS.contains(&manager) || manager.ends_with(CLOUD)
}

/// What others have put into an object: each field with its managers.
pub(crate) fn content(live: &Value) -> Vec<Conflict> {
    let entries = Entry::all(live);
    let mut found: BTreeMap<&Path, BTreeSet<&str>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| is_somebodys(entry)) {
        for path in entry.paths.iter().filter(|path| !is_excused(path) && is_filled(&entries, live, path)) {
            found.entry(path).or_default().insert(entry.manager());
        }
    }
    let conflict = |(path, managers): (&Path, BTreeSet<&str>)| Conflict {
        field: owned::words(path),
        managers: managers.into_iter().map(str::to_owned).collect(),
    };
    found.into_iter().map(conflict).collect()
}

fn is_somebodys(entry: &Entry) -> bool {
    !(entry.is_eves() || is_controller(entry.manager()) || SUBRESOURCES.contains(&entry.subresource()))
}

fn is_excused(path: &[String]) -> bool {
    let begins = |prefix: &&[&str]| {
        prefix.len() <= path.len() && prefix.iter().zip(path).all(|(one, part)| one == part)
    };
    let is_annotation = match path {
        [metadata, annotations, key, ..] if metadata == "f:metadata" && annotations == "f:annotations" => {
            ANNOTATIONS.iter().any(|prefix| key.starts_with(prefix))
        }
        _ => false,
    };
    FIELDS.iter().any(begins) || is_annotation || path.last().is_some_and(|last| last == AUTHORITY)
}

/// Whether something would be lost with this field itself. Whoever owns a map or list of which parts are owned has only
/// begun it: the parts tell.
fn is_filled(entries: &[Entry], live: &Value, path: &[String]) -> bool {
    entries.iter().all(|entry| entry.paths.beneath(path).next().is_none())
        && find(live, path).is_none_or(|value| !owned::is_empty(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(manager: &str, subresource: &str, fields: &Value) -> Value {
        json!({ "manager": manager, "operation": "Update", "subresource": subresource, "fieldsV1": fields })
    }

    #[test]
    fn content_is_what_others_own_and_kubernetes_does_not_put_there_by_itself() {
        let data = json!({ "f:data": { "f:theirs": {} } });
        let annotation =
            |key: &str| json!({ "f:metadata": { "f:annotations": { ".": {}, (format!("f:{key}")): {} } } });
        let hook =
            json!({ "f:webhooks": { "k:{\"name\":\"a\"}": { "f:clientConfig": { "f:caBundle": {} } } } });
        let live = json!({ "data": { "a": "1", "theirs": "2" }, "empty": {}, "spec": { "x": 1 } });
        for (manager, subresource, fields, expected) in [
            ("somebody", "", data.clone(), &["data.theirs"][..]),
            ("somebody", "", json!({ "f:data": { ".": {}, "f:theirs": {} } }), &["data.theirs"]),
            ("somebody", "", json!({ "f:data": { ".": {} } }), &[]),
            ("somebody", "", json!({ "f:empty": {} }), &[]),
            ("somebody", "", annotation("theirs"), &["metadata.annotations.theirs"]),
            ("somebody", "", annotation("deployment.kubernetes.io/revision"), &[]),
            ("somebody", "", annotation("pv.kubernetes.io/bind-completed"), &[]),
            ("somebody", "", json!({ "f:metadata": { "f:finalizers": { "v:\"x\"": {} } } }), &[]),
            ("somebody", "", json!({ "f:metadata": { "f:labels": { "f:l": {} } } }), &["metadata.labels.l"]),
            ("somebody", "", json!({ "f:status": { "f:phase": {} } }), &[]),
            ("somebody", "status", annotation("theirs"), &[]),
            ("somebody", "scale", json!({ "f:spec": { "f:replicas": {} } }), &[]),
            ("somebody", "", hook, &[]),
            ("kube-controller-manager", "", data.clone(), &[]),
            ("aws-cloud-controller-manager", "", data.clone(), &[]),
            ("k3s", "", data.clone(), &[]),
            ("eve", "", data.clone(), &[]),
            // What both own is theirs too.
            ("kubectl", "", json!({ "f:data": { "f:a": {} } }), &["data.a"]),
        ] {
            let ours =
                json!({ "manager": "eve", "operation": "Apply", "fieldsV1": { "f:data": { "f:a": {} } } });
            let mut live = live.clone();
            live["metadata"] = json!({ "managedFields": [ours, entry(manager, subresource, &fields)] });
            let found = content(&live);
            let fields: Vec<&str> = found.iter().map(|found| found.field.as_str()).collect();
            assert_eq!(fields, expected, "{manager} {subresource} {live}");
            assert!(found.iter().all(|found| found.managers == [manager]), "{found:?}");
        }
    }
}
