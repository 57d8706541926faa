//! `eve apply` from outside, on a real control plane: what is written, what is said, how it exits.
//!
//! The tests share one control plane and take a namespace each. Requests of `eve` are told from all others by their
//! user, and from those of other tests by their namespace or the names of their objects.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic, and so do the functions that only tests call"
)]

mod cluster;
mod configurations;
mod delete;
mod diff;
mod drift;
mod expressions;
mod failures;
mod get;
mod journal;
mod leftover;
mod occupied;
mod owners;
mod refusals;
mod signals;
mod state;
mod success;
mod terminating;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Stdio;

use eve_testbed::{ControlPlane, Entries};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// How a program ended and what it wrote.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    /// The lines of stdout as JSON.
    fn records(&self) -> Vec<Value> {
        let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        self.out.lines().map(line).collect()
    }

    /// The last line of stdout.
    fn summary(&self) -> Value {
        let last = self.records().pop().unwrap_or_else(|| panic!("no summary; stderr:\n{}", self.err));
        assert_eq!(last["type"], "summary");
        last
    }
}

/// `eve` in an environment of its own that knows this control plane.
fn command(control_plane: &ControlPlane, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eve"));
    command
        .args(args)
        .env_clear()
        .env("KUBECONFIG", control_plane.kubeconfig_path())
        .env("HOME", control_plane.folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs `eve` to its end.
async fn eve(control_plane: &ControlPlane, args: &[&str], stdin: &str) -> Ended {
    let mut child = command(control_plane, args).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // A command that refuses its flags closes its input.
    let _ = input.write_all(stdin.as_bytes()).await;
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Attempts of `eve` to write something in this namespace.
async fn writes(control_plane: &ControlPlane, namespace: &str) -> Entries {
    control_plane.audit().settle().await.by_user("eve").in_namespace(namespace).writes()
}

/// The names of the objects that were written, each once.
fn names(entries: &Entries) -> BTreeSet<String> {
    entries.iter().map(|entry| entry.name.clone()).collect()
}

/// An object as the API server has it.
async fn get(control_plane: &ControlPlane, path: &str) -> Value {
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    control_plane.admin_client().await.request(request).await.unwrap()
}

/// A plan of Deployments, one a component: its name, what it waits for, an annotation for its pods, further fields.
fn plan(namespace: &str, components: &[(&str, &str, &str, &str)]) -> String {
    let mut text = format!(
        "apiVersion: eve.dev/v1alpha1\nkind: Plan\nmetadata: {{ name: ten, namespace: {namespace} }}\n\
         spec:\n  components:\n"
    );
    for (name, after, annotation, fields) in components {
        let _ = write!(
            text,
            r#"    - name: {name}
      dependsOn: [{after}]
      {fields}
      manifests:
        objects:
          - apiVersion: apps/v1
            kind: Deployment
            metadata: {{ name: {name} }}
            spec:
              selector: {{ matchLabels: {{ app: {name} }} }}
              template:
                metadata: {{ labels: {{ app: {name} }}, annotations: {{ {annotation} }} }}
                spec: {{ containers: [{{ name: main, image: "registry.example.com/{name}:1" }}] }}
"#
        );
    }
    text
}
