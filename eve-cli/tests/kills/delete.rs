//! `eve delete`, killed at each of its writes and records, goes on to the end of one that nobody disturbed: everything of the
//! plan is gone, in the same order, nothing of others, and nothing is kept.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use eve_testbed::{ControlPlane, Entries, TestNamespace};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

/// Deletions that are killed side by side: most of each is waiting.
const BESIDE: usize = 6;
/// Far more than any command takes here: one that takes longer hangs.
const PATIENCE: Duration = Duration::from_mins(3);
/// What becomes of each object in the journal: on both sides of each of these records, and of each answer of these phases.
const EVENTS: [&str; 5] = ["started", "applied", "ready", "verifying", "finished"];
const PHASES: [&str; 2] = ["sent:apply", "replied:apply"];
/// What others have in the namespace.
const THEIRS: &str = "theirs";
/// How eve waits for a finalizer is tried elsewhere: here everything goes by itself.
const PLAN: &str = "
apiVersion: eve.dev/v1alpha1
kind: Plan
metadata: { name: doomed, namespace: NAMESPACE }
spec:
  onFailure: rollback
  components:
    - name: password
      manifests: { objects: [{ apiVersion: v1, kind: Secret, metadata: { name: password }, stringData: { a: VALUE } }] }
    - name: settings
      manifests: { objects: [{ apiVersion: v1, kind: ConfigMap, metadata: { name: settings }, data: { a: VALUE } }] }
    - name: base
      dependsOn: [password, settings]
      manifests: { objects: [DEPLOYMENT-base] }
    - name: front
      dependsOn: [base]
      manifests:
        objects:
          - { apiVersion: v1, kind: Service, metadata: { name: front }, spec: { selector: { app: front }, ports: [{ port: 80 }] } }
          - DEPLOYMENT-front
    - name: aside
      manifests: { objects: [{ apiVersion: v1, kind: ConfigMap, metadata: { name: aside }, data: { a: VALUE } }] }
";

/// A namespace in which the plan is installed, and the state of a user who deletes it.
struct Desk<'a> {
    control_plane: &'a ControlPlane,
    namespace: TestNamespace,
    folder: TempDir,
}

fn plan(namespace: &str, value: &str) -> String {
    let deployment = |name: &str| {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
            "spec": {
                "selector": { "matchLabels": { "app": name } },
                "template": {
                    "metadata": { "labels": { "app": name } },
                    "spec": { "containers": [{ "name": "main", "image": format!("registry.example.com/{name}:1") }] },
                },
            },
        })
        .to_string()
    };
    let text = PLAN.replace("NAMESPACE", namespace).replace("VALUE", &format!("\"{value}\""));
    ["base", "front"]
        .iter()
        .fold(text, |text, name| text.replace(&format!("DEPLOYMENT-{name}"), &deployment(name)))
}

impl<'a> Desk<'a> {
    /// Installs two releases, so that something is kept to undo the second.
    async fn new(control_plane: &'a ControlPlane) -> Self {
        let namespace = control_plane.namespace("doomed").await;
        let desk = Self { control_plane, namespace, folder: TempDir::new().unwrap() };
        for value in ["1", "2"] {
            std::fs::write(desk.path("plan.yaml"), plan(desk.namespace.name(), value)).unwrap();
            let installed = desk.eve("installer", &["apply", "-f", "plan.yaml"], None).await;
            assert_eq!(installed.status.code(), Some(0), "{}", said(&installed));
        }
        let theirs = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": THEIRS } });
        let path = format!("/api/v1/namespaces/{}/configmaps", desk.namespace.name());
        let request = http::Request::post(path).header("content-type", "application/json");
        let request = request.body(theirs.to_string().into_bytes()).unwrap();
        control_plane.admin_client().await.request::<Value>(request).await.unwrap();
        assert!(!desk.secrets().await.is_empty());
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// eve as a user with a state of their own, and where it is to die.
    async fn eve(&self, user: &str, args: &[&str], point: Option<&str>) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eve"));
        command
            .args(args)
            .env_clear()
            .env("KUBECONFIG", self.control_plane.kubeconfig_path())
            .env("HOME", self.folder.path())
            .env("XDG_STATE_HOME", self.path(user))
            .envs(point.map(|point| ("EVE_FAIL_POINT", point)))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        tokio::time::timeout(PATIENCE, command.output()).await.unwrap().unwrap()
    }

    async fn delete(&self, point: Option<&str>) -> Output {
        self.eve("deleter", &["delete", "-f", "plan.yaml", "--concurrency", "1", "-o", "json"], point).await
    }

    async fn list(&self, path: &str) -> Vec<Value> {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        let list: Value = self.control_plane.admin_client().await.request(request).await.unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// Snapshots, and the Secret of the plan.
    async fn secrets(&self) -> Vec<Value> {
        self.list(&format!(
            "/api/v1/namespaces/{}/secrets?labelSelector=eve.dev/snapshot-of",
            self.namespace.name()
        ))
        .await
    }

    /// The names of everything of the plan and of others.
    async fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for (group, resources) in
            [("api/v1", &["configmaps", "secrets", "services"][..]), ("apis/apps/v1", &["deployments"])]
        {
            for resource in resources {
                let path = format!("/{group}/namespaces/{}/{resource}", self.namespace.name());
                let names = self.list(&path).await;
                let names =
                    names.iter().map(|object| object["metadata"]["name"].as_str().unwrap().to_owned());
                left.extend(names.filter(|name| name != "kube-root-ca.crt"));
            }
        }
        left
    }

    /// The requests of eve that delete, in order.
    async fn deletions(&self) -> Entries {
        let entries = self.control_plane.audit().settle().await.by_user("eve");
        entries.in_namespace(self.namespace.name()).verb("delete")
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn records(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every occurrence of every point in a deletion that went like this.
fn points(records: &[Value]) -> Vec<String> {
    let count = |event: &str| records.iter().filter(|record| record["type"] == event).count();
    let mut points = Vec::new();
    for event in EVENTS {
        // Joins are ready at once, and are no points of their own: their records come with those of others.
        let number = if event == "ready" { count("applied") } else { count(event) };
        for place in ["before-append", "committed"] {
            points.extend((1..=number).map(|number| format!("{place}:{event}:{number}")));
        }
    }
    for phase in PHASES {
        points.extend((1..=count("applied")).map(|number| format!("{phase}:{number}")));
    }
    points
}

/// One kill, and what is wrong after it.
async fn play(
    control_plane: &ControlPlane,
    point: &str,
    undisturbed: &BTreeMap<String, usize>,
) -> Result<(), String> {
    let desk = Desk::new(control_plane).await;
    let ended = desk.delete(Some(point)).await;
    if ended.status.signal() != Some(9) {
        return Err(format!("is not reached: {:?}", ended.status));
    }
    let resumed = desk.eve("deleter", &["resume", "-o", "json"], None).await;
    // Killed when all was stored, there is nothing to resume.
    let was_over = said(&resumed).contains("no run on this machine was interrupted");
    if !was_over && resumed.status.code() != Some(0) {
        return Err(format!("ends with {:?}: {}", resumed.status, said(&resumed)));
    }
    let status = desk.eve("deleter", &["status", "-o", "json"], None).await;
    let outcome = records(&status).last().unwrap()["summary"]["outcome"].clone();
    if outcome != "succeeded" {
        return Err(format!("the outcome is {outcome}"));
    }
    if was_over {
        // What is kept goes after the run is over: who kills it just then leaves that to the next deletion.
        let again = desk.delete(None).await;
        if again.status.code() != Some(0) {
            return Err(format!("cannot be said once more: {}", said(&again)));
        }
    }
    let left = desk.left().await;
    if left != [THEIRS] {
        return Err(format!("is left: {left:?}"));
    }
    let written = in_order(&desk.deletions().await)?;
    let twice = written.iter().filter(|(name, count)| **count > undisturbed[*name]).count();
    if written.keys().ne(undisturbed.keys()) || twice > 1 {
        return Err(format!("is deleted {written:?}, undisturbed {undisturbed:?}"));
    }
    Ok(())
}

/// How often each object is deleted; none before what depends on it.
fn in_order(deletions: &Entries) -> Result<BTreeMap<String, usize>, String> {
    let own = |name: &str| !name.is_empty() && !name.starts_with("eve-snapshot-");
    let names: Vec<String> = deletions
        .iter()
        .map(|entry| format!("{}/{}", entry.resource, entry.name))
        .filter(|name| own(name.split('/').nth(1).unwrap_or_default()))
        .collect();
    let place = |name: &str| names.iter().position(|found| found == name);
    for (first, then) in [
        ("deployments/front", "deployments/base"),
        ("deployments/base", "configmaps/settings"),
        ("deployments/base", "secrets/password"),
    ] {
        if place(first).is_none() || place(first) > place(then) {
            return Err(format!("{then} goes before {first}: {names:?}"));
        }
    }
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_insert(0) += 1;
    }
    Ok(counts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_is_killed_at_any_write_goes_on_to_the_same_end() {
    let control_plane = ControlPlane::shared().await;
    let desk = Desk::new(control_plane).await;
    let ended = desk.delete(None).await;
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    assert_eq!(desk.left().await, [THEIRS]);
    let undisturbed = in_order(&desk.deletions().await).unwrap();
    assert_eq!((undisturbed.len(), undisturbed.values().sum::<usize>()), (6, 6), "{undisturbed:?}");
    let points = points(&records(&ended));
    let number = points.len();
    assert!(number >= 50, "{number} kills are too few");
    let played = futures::stream::iter(points).map(|point| {
        let undisturbed = &undisturbed;
        async move {
            let wrong = play(control_plane, &point, undisturbed).await.err();
            wrong.map(|wrong| format!("{point}: {wrong}"))
        }
    });
    let broken: Vec<String> =
        played.buffer_unordered(BESIDE).filter_map(|wrong| async { wrong }).collect().await;
    assert!(broken.is_empty(), "{} of {number} kills:\n{}", broken.len(), broken.join("\n"));
}
