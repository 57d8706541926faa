//! Tables for [`Restoration`]: what goes back, what stays, what is a conflict.

use super::*;
use crate::labels::DESIRED;

fn entry(manager: &str, operation: &str, fields: &Value) -> Value {
    json!({ "manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields })
}

/// A `ConfigMap` with its managed fields, of which eve owns the digest too.
fn config(digest: &str, data: &Value, eve: &[&str], others: &[(&str, &[&str])]) -> Value {
    let fields =
        |keys: &[&str]| keys.iter().map(|key| (format!("f:{key}"), json!({}))).collect::<Map<_, _>>();
    let mut entries: Vec<Value> =
        others.iter().map(|(name, keys)| entry(name, "Update", &json!({ "f:data": fields(keys) }))).collect();
    let mut annotations = Map::new();
    if !digest.is_empty() {
        annotations.insert(DESIRED.to_owned(), digest.into());
        let own = json!({ "f:data": fields(eve), "f:metadata": { "f:annotations": { (format!("f:{DESIRED}")): {} } } });
        entries.push(entry("eve", "Apply", &own));
    }
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "x", "uid": "u", "resourceVersion": "7", "annotations": annotations, "managedFields": entries },
        "data": data,
    })
}

fn intent(digest: &str, data: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "x", "annotations": { DESIRED: digest } }, "data": data })
}

fn restore(before: &Value, intent: Option<&Value>, live: &Value) -> Restoration {
    Restoration::of(Sides { before, intent, live, rebirth: Rebirth::No })
}

/// The data after both patches, and that it is settled then.
fn restored(before: &Value, intent: &Value, live: &Value) -> Value {
    let Restoration::Patch { patch, .. } = restore(before, Some(intent), live) else {
        panic!("{:?}", restore(before, Some(intent), live))
    };
    let mut live = live.clone();
    merge_patch(&mut live, &patch);
    assert_eq!(restore(before, Some(intent), &live), Restoration::Settled);
    live
}

fn merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else { return *target = patch.clone() };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge_patch(&mut target[key], value);
        }
    }
}

#[test]
fn what_the_run_changed_goes_back_and_what_others_own_stays() {
    let before = config("1", &json!({ "a": "1", "gone": "x" }), &["a", "gone"], &[]);
    let sent = intent("2", &json!({ "a": "2", "new": "n" }));
    let plain = config("2", &json!({ "a": "2", "new": "n" }), &["a", "new"], &[]);
    assert_eq!(restored(&before, &sent, &plain), before);
    let more = config("2", &json!({ "a": "2", "new": "n", "o": "hpa" }), &["a", "new"], &[("hpa", &["o"])]);
    let after = restored(&before, &sent, &more);
    assert_eq!(after["data"], json!({ "a": "1", "gone": "x", "o": "hpa" }));
    assert_eq!(after["metadata"]["managedFields"].as_array().unwrap().len(), 2);
}

#[test]
fn what_was_taken_by_force_is_given_back() {
    let before = config("1", &json!({ "a": "1", "f": "theirs" }), &["a"], &[("hpa", &["f"])]);
    let sent = intent("2", &json!({ "a": "1", "f": "ours" }));
    let live = config("2", &json!({ "a": "1", "f": "ours" }), &["a", "f"], &[]);
    let after = restored(&before, &sent, &live);
    assert!(owners::are_same(before["metadata"]["managedFields"].as_array().unwrap(), &after));
    assert_eq!(after["data"], before["data"]);
}

#[test]
fn what_never_landed_or_was_put_back_is_settled() {
    let before = config("1", &json!({ "a": "1" }), &["a"], &[]);
    let sent = intent("2", &json!({ "a": "2", "b": "1" }));
    assert_eq!(restore(&before, Some(&sent), &before), Restoration::Settled);
    // Others may do with the fields of a run that is put back as they like.
    let later = config("1", &json!({ "a": "1", "b": "9" }), &["a"], &[("kubectl", &["b"])]);
    assert_eq!(restore(&before, Some(&sent), &later), Restoration::Settled);
    // What was adopted is nobody's of eve again.
    let strange = config("", &json!({ "a": "1" }), &[], &[("kubectl", &["a"])]);
    let adopted = config("2", &json!({ "a": "1", "b": "1" }), &["a", "b"], &[("kubectl", &["a"])]);
    assert_eq!(restored(&strange, &intent("2", &json!({ "a": "1", "b": "1" })), &adopted), strange);
}

#[test]
fn a_field_that_somebody_else_changed_since_is_a_conflict() {
    let before = config("1", &json!({ "a": "1" }), &["a"], &[]);
    let sent = intent("2", &json!({ "a": "2", "new": "n" }));
    let foreign: (&str, &[&str]) = ("kubectl", &["a"]);
    for (live, field, manager) in [
        (config("2", &json!({ "a": "3", "new": "n" }), &["new"], &[foreign]), "data.a", Some("kubectl")),
        (
            config("2", &json!({ "a": "2", "new": "m" }), &["a"], &[("kubectl", &["new"])]),
            "data.new",
            Some("kubectl"),
        ),
        (config("2", &json!({ "new": "n" }), &["new"], &[]), "data.a", None),
        (config("3", &json!({ "a": "5" }), &["a"], &[]), "metadata.annotations.eve.dev/desired", Some("eve")),
    ] {
        let managers = manager.into_iter().map(str::to_owned).collect();
        let expected = Restoration::Conflict(vec![Conflict { field: field.to_owned(), managers }]);
        assert_eq!(restore(&before, Some(&sent), &live), expected, "{live}");
    }
    // The same value is nothing to quarrel about, and neither is a field that both let go.
    let same = config("2", &json!({ "a": "1", "new": "n" }), &["new"], &[foreign]);
    assert_eq!(restored(&before, &sent, &same)["data"], json!({ "a": "1" }));
}

fn containers(images: &[(&str, &str)], owner: &str, digest: &str) -> Value {
    let items: Vec<Value> = images
        .iter()
        .map(|(name, image)| json!({ "name": name, "image": image, "defaulted": true }))
        .collect();
    let fields: Map<String, Value> = images
        .iter()
        .map(|(name, _)| {
            (format!("k:{{\"name\":\"{name}\"}}"), json!({ ".": {}, "f:name": {}, "f:image": {} }))
        })
        .collect();
    let mut object = config(digest, &json!({}), &[], &[]);
    object["spec"] = json!({ "containers": items });
    let last = object["metadata"]["managedFields"].as_array().unwrap().len() - 1;
    object["metadata"]["managedFields"][last]["manager"] = owner.into();
    object["metadata"]["managedFields"][last]["fieldsV1"]["f:spec"] = json!({ "f:containers": fields });
    object
}

#[test]
fn items_of_lists_come_and_go_by_their_keys() {
    let before = containers(&[("web", "1"), ("log", "1")], "eve", "1");
    let mut live = containers(&[("web", "2"), ("new", "2")], "eve", "2");
    let sent = json!({ "kind": "X", "spec": { "containers": [{ "name": "web", "image": "2" }, { "name": "new", "image": "2" }] } });
    assert_eq!(restored(&before, &sent, &live)["spec"], before["spec"]);
    // A sidecar that somebody injected stays, with what the server added to it, wherever it stands.
    let sidecar = containers(&[("sidecar", "s")], "mesh", "x");
    live["spec"]["containers"].as_array_mut().unwrap().insert(0, sidecar["spec"]["containers"][0].clone());
    let mut theirs = sidecar["metadata"]["managedFields"][0].clone();
    theirs["fieldsV1"].as_object_mut().unwrap().remove("f:metadata");
    theirs["fieldsV1"].as_object_mut().unwrap().remove("f:data");
    live["metadata"]["managedFields"].as_array_mut().unwrap().push(theirs);
    let after = restored(&before, &sent, &live);
    let names: Vec<&str> = after["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["web", "log", "sidecar"]);
    assert_eq!(after["spec"]["containers"][2]["defaulted"], true);
}

#[test]
fn what_nobody_owns_follows_what_the_run_wrote() {
    let with = |spec: Value, digest: &str| {
        let mut object = config(digest, &json!({}), &[], &[]);
        object["spec"] = spec;
        object
    };
    let before = with(json!({ "type": "NodePort", "nodePort": 30123, "replicas": 2 }), "1");
    let live = with(json!({ "type": "ClusterIP", "ip": "new", "replicas": 2 }), "2");
    let mut sent = intent("2", &json!({}));
    sent["spec"] = json!({ "type": "ClusterIP" });
    assert_eq!(restored(&before, &sent, &live)["spec"], before["spec"]);
    // What was there and is there, and nobody owns, somebody wrote whom the server does not write down.
    let scaled = with(json!({ "type": "ClusterIP", "replicas": 3 }), "2");
    let expected = json!({ "type": "NodePort", "nodePort": 30123, "replicas": 3 });
    assert_eq!(restored(&before, &sent, &scaled)["spec"], expected);
}

#[test]
fn a_secret_of_another_run_is_known_by_its_values() {
    let secret = |value: &str, keys: &[&str]| {
        let mut object = config("1", &json!({ "a": value }), keys, &[]);
        object["kind"] = "Secret".into();
        object
    };
    let sent = json!({ "apiVersion": "v1", "kind": "Secret", "data": { "a": "ours" } });
    let before = secret("before", &["a"]);
    assert_eq!(restored(&before, &sent, &secret("ours", &["a"])), before);
    let conflict = restore(&before, Some(&sent), &secret("another", &["a"]));
    assert!(
        matches!(&conflict, Restoration::Conflict(found) if found[0].managers == ["eve"]),
        "{conflict:?}"
    );
    assert!(!format!("{conflict:?}").contains("another"), "{conflict:?}");
}

#[test]
fn what_is_made_again_has_nothing_of_its_former_self() {
    let job = json!({
        "kind": "Job", "metadata": { "name": "j", "uid": "u", "managedFields": [1] },
        "spec": { "selector": { "matchLabels": {} }, "template": { "metadata": { "labels": { "controller-uid": "u", "app": "x" } } } },
    });
    let sent = reborn(&job);
    assert_eq!(
        sent,
        json!({ "kind": "Job", "metadata": { "name": "j" }, "spec": { "template": { "metadata": { "labels": { "app": "x" } } } } })
    );
    let claim = json!({
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": "c", "annotations": { "pv.kubernetes.io/bind-completed": "yes" } },
        "spec": { "volumeName": "pv", "accessModes": [] }, "status": { "phase": "Bound" },
    });
    let sent = reborn(&claim);
    assert_eq!(
        (sent["spec"].clone(), sent["metadata"].clone()),
        (json!({ "accessModes": [] }), json!({ "name": "c" }))
    );
    assert!(lacks(&claim, &claim)[0].contains("its data is not back"));
}
