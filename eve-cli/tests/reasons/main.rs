//! Why something is not up, from outside, on a real control plane: what `eve apply` says at its end, how soon, and what
//! `eve explain` says of the same.
//!
//! The tests share one control plane and take a namespace each.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "a test fails by a panic, and so do the functions that only tests call; literals need no borrow"
)]

mod causes;
mod explain;
mod webhook;

use std::process::Stdio;
use std::time::{Duration, Instant};

use eve_testbed::ControlPlane;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// How `eve` ended, what it wrote, and how long it took.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
    took: Duration,
}

/// Runs `eve` to its end, in an environment of its own that knows this control plane.
async fn eve(control_plane: &ControlPlane, args: &[&str], stdin: &str) -> Ended {
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_eve"))
        .args(args)
        .env_clear()
        .env("KUBECONFIG", control_plane.kubeconfig_path())
        .env("HOME", control_plane.folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    // A command that refuses its flags closes its input.
    let _ = input.write_all(stdin.as_bytes()).await;
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
        took: begun.elapsed(),
    }
}

/// An object as somebody else than eve makes it.
async fn create(control_plane: &ControlPlane, path: &str, object: &Value) {
    let request = http::Request::post(path).header("content-type", "application/json");
    let request = request.body(serde_json::to_vec(object).unwrap()).unwrap();
    let _: Value = control_plane.admin_client().await.request(request).await.unwrap();
}

/// Waits until the objects of a collection are as they are to be.
async fn until(control_plane: &ControlPlane, path: &str, are_so: impl Fn(&[Value]) -> bool) {
    let client = control_plane.admin_client().await;
    loop {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        let list: Value = client.request(request).await.unwrap();
        if are_so(list["items"].as_array().unwrap()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A workload of `apps/v1` or `batch/v1` whose pods carry these annotations.
fn workload(kind: &str, name: &str, annotations: Value, spec: Value) -> Value {
    let mut object = json!({
        "apiVersion": if kind == "Job" { "batch/v1" } else { "apps/v1" }, "kind": kind, "metadata": { "name": name },
        "spec": {
            "template": {
                "metadata": { "labels": { "app": name }, "annotations": annotations },
                "spec": { "containers": [{ "name": "main", "image": format!("registry.example.com/{name}:1") }] },
            },
        },
    });
    if kind == "Job" {
        object["spec"]["template"]["spec"]["restartPolicy"] = json!("Never");
    } else {
        object["spec"]["selector"] = json!({ "matchLabels": { "app": name } });
    }
    merge(&mut object["spec"], spec);
    object
}

/// Puts fields over those that are there, maps into maps.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// Objects as the text of one input.
fn text(objects: &[Value]) -> String {
    objects.iter().flat_map(|object| ["---\n".to_owned(), object.to_string(), "\n".to_owned()]).collect()
}

/// Compares with a snapshot; what differs from run to run is replaced.
fn assert_text(name: &str, namespace: &str, text: &str) {
    let namespace = format!(r"\b{namespace}\b");
    let filters = [
        (namespace.as_str(), "[namespace]"),
        // Names of pods: of a Deployment, of a DaemonSet or Job.
        (r"\b(web|job|daemons)-[0-9a-f]{8,10}-[a-z0-9]{5}\b", "$1-[hash]-[pod]"),
        (r"\b(web|job|daemons)-[bcdfghjklmnpqrstvwxz2456789]{5}\b", "$1-[pod]"),
        (r"\b(web|job|daemons)-[0-9a-f]{8,10}\b", "$1-[hash]"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[uid]"),
        (r"\(first (web|job|daemons)-.*?\)", "(first $1-[hash]-[pod])"),
        (r"\b\d+ pods\b", "[many] pods"),
        (r"restarted (once|\d+ times)", "restarted [some] times"),
        (r" \(\d+ times\)", ""),
        (r"\bnode-\d+\b", "[node]"),
        (r"\bat \d\d:\d\d:\d\d\b", "at [time]"),
    ];
    // Events of one second come in any order.
    let mut lines: Vec<&str> = text.lines().collect();
    for events in lines.chunk_by_mut(|one, next| is_event(one) && is_event(next)) {
        events.sort_unstable();
    }
    let text = lines.join("\n");
    insta::with_settings!({ filters => filters, omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, text);
    });
}

fn is_event(line: &str) -> bool {
    line.trim_start().starts_with("event ")
}
