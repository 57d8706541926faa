//! Rollback from outside, on a real control plane: a release that fails leaves everything as it was, whatever happens on
//! the way, or says what is not.
//!
//! With the feature `fail-points` it is also killed at every point of its rollback (`kills.rs`).

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic, and so do the functions that only tests call"
)]
#![expect(clippy::needless_pass_by_value, reason = "literals are easier to read without a borrow")]

mod cancel;
mod command;
mod desk;
mod forgotten;
#[cfg(feature = "fail-points")]
mod kills;
mod kinds;
mod left;
mod outages;
mod verify;
mod whole;

use std::collections::BTreeMap;

use eve_core::testing::canary::Canary;
use serde_json::{Value, json};

/// What may differ between two equal states: what the server keeps for itself, and what controllers report.
fn comparable(object: &Value) -> Value {
    let mut object = object.clone();
    object.as_object_mut().unwrap().remove("status");
    let metadata = object["metadata"].as_object_mut().unwrap();
    for field in ["uid", "creationTimestamp", "generation", "resourceVersion"] {
        metadata.remove(field);
    }
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove("deployment.kubernetes.io/revision");
    }
    let entries = metadata.get_mut("managedFields").and_then(Value::as_array_mut).unwrap();
    entries.retain(|entry| entry["subresource"] != "status");
    for entry in entries.iter_mut() {
        entry.as_object_mut().unwrap().remove("time");
    }
    entries.sort_by_key(Value::to_string);
    object
}

/// Each object by its path; `null` where there is none.
type State = BTreeMap<String, Value>;

fn differences(was: &State, is: &State) -> Vec<String> {
    let differs = was.iter().filter(|(path, was)| is[*path] != **was);
    differs.map(|(path, was)| format!("{path} was\n  {was}\nand is\n  {}", is[path])).collect()
}

/// One component of one object.
fn component(name: &str, more: &str, object: &Value) -> String {
    format!("    - name: {name}\n      {more}\n      manifests: {{ objects: [{object}] }}\n")
}

fn config_map(name: &str, data: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": data })
}

/// What every value of a Secret has in it.
fn canary() -> Canary {
    Canary::plain(30)
}

fn secret(name: &str, value: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": { "value": format!("{}{value}", canary().value()) } })
}

/// A workload whose pods behave as the stage says, with a container for each name.
fn deployment(name: &str, stage: &str, containers: &[&str]) -> Value {
    let container = |name: &&str| json!({ "name": name, "image": format!("registry.example.com/{name}:1") });
    let containers: Vec<Value> = containers.iter().map(container).collect();
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "replicas": 1, "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name }, "annotations": { "testbed.eve.dev/stage": stage } },
                "spec": { "containers": containers },
            },
        },
    })
}

fn plan(namespace: &str, components: &[String]) -> String {
    format!(
        "apiVersion: eve.dev/v1alpha1\nkind: Plan\nmetadata: {{ name: shop, namespace: {namespace} }}\nspec:\n  \
         onFailure: rollback\n  components:\n{}",
        components.concat()
    )
}

/// What is there before: each of it is changed, deleted, or left alone by the release after it.
fn before(namespace: &str) -> String {
    plan(
        namespace,
        &[
            component("settings", "", &config_map("settings", json!({ "kept": "1", "lost": "x" }))),
            component("web", "", &deployment("web", "ready", &["web", "log"])),
            component("password", "", &secret("password", "first")),
            component("old", "", &config_map("old", json!({ "a": "1" }))),
            component("same", "", &config_map("same", json!({ "a": "1" }))),
        ],
    )
}

/// Three objects are created, three changed (one loses a key, one a list item, one is a Secret), one is deleted; then the
/// last component comes, which fails.
fn release(namespace: &str, last: &str) -> String {
    plan(
        namespace,
        &[
            component("settings", "", &config_map("settings", json!({ "kept": "2" }))),
            component("web", "dependsOn: [settings]", &deployment("web", "ready", &["web"])),
            component("password", "", &secret("password", "second")),
            component("old", "action: delete", &config_map("old", json!({}))),
            component("same", "", &config_map("same", json!({ "a": "1" }))),
            component("new", "", &config_map("new", json!({ "a": "1" }))),
            component("fresh", "", &secret("fresh", "third")),
            component("next", "dependsOn: [new, web]", &deployment("next", "ready", &["next"])),
            last.to_owned(),
        ],
    )
}

const ALL: &str = "dependsOn: [settings, web, password, old, same, new, fresh, next]";

/// Refused by the server.
fn refused() -> String {
    component("bad", ALL, &impossible())
}

/// Nobody but the server finds that it is wrong.
fn impossible() -> Value {
    let mut object = deployment("bad", "ready", &["bad"]);
    object["spec"]["replicas"] = json!(-1);
    object
}

/// Never ready, so that the run goes on until a test ends it.
fn never_ready() -> String {
    component("never", ALL, &deployment("never", "never-ready", &["never"]))
}

/// The same, and it fails by itself once a test has had time for what it does before.
fn never_ready_in_time() -> String {
    let more = format!("{ALL}\n      timeout: 20s");
    component("never", &more, &deployment("never", "never-ready", &["never"]))
}
