//! Undo on a real control plane: what a run changed is as it was before, to the managed fields, and the plan before finds
//! nothing to write. What others changed since is named and left alone.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so and ends"
)]
#![expect(clippy::needless_pass_by_value, reason = "literals are easier to read without a borrow")]

#[expect(dead_code, reason = "here plans are made of components with actions of their own")]
#[path = "../common/mod.rs"]
mod common;
mod foreign;
mod interrupted;
mod keeping;
mod kinds;
mod reborn;
mod rights;
mod table;
mod verify;
mod whole;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::{Told, unseen, value as value_of};
use eve_core::failure::{Failure, FailureClass};
use eve_core::ids::{Attempt, ComponentId, RunId};
use eve_core::plan::builder::{ComponentBuilder, PlanBuilder};
use eve_core::plan::graph::Graph;
use eve_core::plan::{Action, FailurePolicy, Until};
use eve_core::ports::{Executor, Step, Verify};
use eve_core::run::{Applied, Change, Prepared, UndoReport, UndoToken};
use eve_k8s::{KubeConfigOptions, KubeExecutor, OBJECT_KIND, ScopePolicy, connect};
use eve_testbed::{ControlPlane, Entries, TestNamespace};
use http::Request;
use serde_json::{Value, json};

/// A namespace of the shared control plane.
struct Place {
    control_plane: &'static ControlPlane,
    namespace: TestNamespace,
}

/// How often an undo is begun, and how long it rests.
const UNDO_ATTEMPTS_MAX: usize = 10;
const PAUSE: Duration = Duration::from_millis(500);

/// What a plan wants of one object.
#[derive(Clone)]
struct Part {
    object: Value,
    action: Action,
    force: bool,
}

/// A run of a plan that may be rolled back, and what is known of it.
struct Release {
    executor: KubeExecutor,
    run: RunId,
    graph: Arc<Graph>,
    done: BTreeMap<u32, (Option<UndoToken>, Option<Applied>)>,
}

fn apply(object: Value) -> Part {
    Part { object, action: Action::Apply, force: false }
}

fn delete(object: Value) -> Part {
    Part { object, action: Action::Delete, force: false }
}

impl Place {
    async fn new(prefix: &str) -> Self {
        let control_plane = ControlPlane::shared().await;
        Self { control_plane, namespace: control_plane.namespace(prefix).await }
    }

    async fn executor(&self) -> KubeExecutor {
        let options = KubeConfigOptions::default().with_kubeconfig(self.control_plane.kubeconfig_path());
        let policy = ScopePolicy::default().with_cluster_scoped("*".parse().unwrap());
        KubeExecutor::builder(connect(&options).await.unwrap()).with_policy(policy).build()
    }

    /// A run by an executor of its own, as in a process of its own.
    async fn release(&self, run: &str, parts: &[Part]) -> Release {
        let components = parts.iter().map(|part| {
            let kind = part.object["kind"].as_str().unwrap();
            let name = format!("{kind}-{}", part.object["metadata"]["name"].as_str().unwrap());
            let spec = json!({ "object": part.object, "forceConflicts": part.force });
            ComponentBuilder::new(name, OBJECT_KIND).spec(spec).action(part.action)
        });
        let plan = PlanBuilder::new("shop", self.namespace.name()).components(components);
        let graph = Graph::from_plan(&plan.on_failure(FailurePolicy::Rollback)).unwrap();
        let run = RunId::new(format!("{run}-{}", self.namespace.name()));
        Release { executor: self.executor().await, run, graph: Arc::new(graph), done: BTreeMap::new() }
    }

    /// A run that goes well.
    async fn deploy(&self, run: &str, parts: &[Part]) -> Release {
        let mut release = self.release(run, parts).await;
        release.apply_all().await;
        release
    }

    /// That applying these once more would write nothing.
    async fn assert_unchanged(&self, parts: &[Part]) {
        let mark = self.control_plane.audit().mark().await;
        let release = self.release("again", parts).await;
        for index in 0..release.graph.len() {
            let step = release.step(u32::try_from(index).unwrap());
            let prepared = release.executor.prepare(&step, &Told::context().0).await.unwrap();
            assert_eq!(prepared.change, Change::None, "{}", step.name());
            assert_eq!(prepared.undo, None, "{}", step.name());
        }
        let entries = self.since(mark).await;
        assert!(entries.writes().is_empty() && entries.dry_runs().is_empty(), "{entries:?}");
    }

    /// The requests of eve since then.
    async fn since(&self, mark: eve_testbed::audit::Mark) -> Entries {
        let entries = self.control_plane.audit().settle().await.since(mark);
        entries.by_user("eve").in_namespace(self.namespace.name())
    }

    fn path(&self, api: &str, plural: &str, name: &str) -> String {
        format!("/{api}/namespaces/{}/{plural}/{name}", self.namespace.name())
    }

    fn config_map(&self, name: &str) -> String {
        self.path("api/v1", "configmaps", name)
    }

    /// Somebody else's request.
    async fn other(&self, method: &str, path: &str, kind: &str, body: &Value) -> Result<Value, String> {
        let request = Request::builder().method(method).uri(path).header("content-type", kind);
        let request = request.body(body.to_string().into_bytes()).unwrap();
        let answer = self.control_plane.admin_client().await.request(request).await;
        answer.map_err(|error| error.to_string())
    }

    async fn merge(&self, path: &str, change: Value) -> Value {
        let path = format!("{path}?fieldManager=somebody");
        self.other("PATCH", &path, "application/merge-patch+json", &change).await.unwrap()
    }

    async fn get(&self, path: &str) -> Option<Value> {
        self.other("GET", path, "application/json", &Value::Null).await.ok()
    }

    /// The objects at these paths, as they are to be compared.
    async fn state(&self, paths: &[String]) -> BTreeMap<String, Option<Value>> {
        let mut state = BTreeMap::new();
        for path in paths {
            state.insert(path.clone(), self.get(path).await.map(comparable));
        }
        state
    }

    async fn snapshots(&self) -> Vec<Value> {
        let secrets = format!("/api/v1/namespaces/{}/secrets", self.namespace.name());
        let path = format!("{secrets}?labelSelector={}", eve_k8s::labels::SNAPSHOT_OF);
        let list = self.get(&path).await.unwrap();
        let snapshots = list["items"].as_array().unwrap().clone();
        for snapshot in &snapshots {
            unseen("labels and annotations of a snapshot", &snapshot["metadata"]);
        }
        snapshots
    }
}

impl Release {
    fn step(&self, index: u32) -> Step {
        Step::new(self.run.clone(), Arc::clone(&self.graph), ComponentId::new(index), Attempt::FIRST)
    }

    async fn prepare(&mut self, index: u32) -> Result<Prepared, Failure> {
        let prepared = self.executor.prepare(&self.step(index), &Told::context().0).await;
        let prepared = unseen("prepare", prepared)?;
        self.done.entry(index).or_insert_with(|| (prepared.undo.clone(), None));
        Ok(prepared)
    }

    async fn apply(&mut self, index: u32) -> Result<Change, Failure> {
        let mut prepared = self.prepare(index).await?;
        if prepared.change == Change::None {
            return Ok(Change::None);
        }
        // As the engine does: the first token holds.
        prepared.undo.clone_from(&self.done[&index].0);
        let (cx, _) = Told::context();
        let step = self.step(index);
        let applied = unseen("apply", self.executor.apply(&step, &prepared, &cx).await)?;
        let change = applied.change;
        if step.action() == Action::Delete {
            self.executor.wait(&step, &applied, Until::Ready, &cx).await?;
        }
        self.done.get_mut(&index).unwrap().1 = Some(applied);
        Ok(change)
    }

    async fn apply_all(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for index in 0..self.graph.len() {
            changes.push(self.apply(u32::try_from(index).unwrap()).await.unwrap());
        }
        changes
    }

    async fn undo(&self, index: u32) -> Result<UndoReport, Failure> {
        let (token, applied) = &self.done[&index];
        let Some(token) = token else { return Ok(UndoReport::new(Change::None)) };
        let (step, (cx, _)) = (self.step(index), Told::context());
        unseen("undo", self.executor.undo(&step, token, applied.as_ref(), &cx).await)
    }

    /// As the engine does: what may pass is tried again.
    async fn undo_patiently(&self, index: u32) -> UndoReport {
        for _ in 1..UNDO_ATTEMPTS_MAX {
            match self.undo(index).await {
                Err(failure) if failure.class == FailureClass::Transient => tokio::time::sleep(PAUSE).await,
                ended => return ended.unwrap(),
            }
        }
        self.undo(index).await.unwrap()
    }

    /// In reverse order; and it is found to be undone, by another process too.
    async fn undo_all(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for index in (0..self.graph.len()).rev() {
            changes.insert(0, self.undo_patiently(u32::try_from(index).unwrap()).await.change);
        }
        for index in 0..self.graph.len() {
            self.verify_undone(u32::try_from(index).unwrap()).await.unwrap();
        }
        changes
    }

    async fn verify_undone(&self, index: u32) -> Result<(), Failure> {
        let Some(token) = &self.done[&index].0 else { return Ok(()) };
        let (step, (cx, _)) = (self.step(index), Told::context());
        unseen("verify", self.executor.verify(&step, Verify::Undone(token), &cx).await)
    }
}

/// An object without what a rollback may leave different.
fn comparable(mut object: Value) -> Value {
    object.as_object_mut().unwrap().remove("status");
    let metadata = object["metadata"].as_object_mut().unwrap();
    for key in ["uid", "creationTimestamp", "generation", "resourceVersion"] {
        metadata.remove(key);
    }
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove("deployment.kubernetes.io/revision");
    }
    let mut entries = metadata.remove("managedFields").unwrap_or(json!([]));
    let entries = entries.as_array_mut().unwrap();
    entries.retain(|entry| entry["subresource"] != "status");
    for entry in entries.iter_mut() {
        entry.as_object_mut().unwrap().remove("time");
    }
    entries.sort_by_key(ToString::to_string);
    metadata.insert("managedFields".to_owned(), json!(entries));
    object
}

fn object(api: &str, kind: &str, name: &str, rest: Value) -> Value {
    let mut object = json!({ "apiVersion": api, "kind": kind, "metadata": { "name": name } });
    object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    object
}

fn config_map(name: &str, data: Value) -> Value {
    object("v1", "ConfigMap", name, json!({ "data": data }))
}

fn secret(name: &str, value: &str) -> Value {
    object("v1", "Secret", name, json!({ "stringData": { "password": value_of(value) } }))
}

fn container(name: &str, image: &str) -> Value {
    json!({ "name": name, "image": image, "env": [{ "name": "A", "value": image }] })
}

fn deployment(name: &str, replicas: u32, containers: Value) -> Value {
    let spec = json!({
        "replicas": replicas,
        "selector": { "matchLabels": { "app": name } },
        "template": { "metadata": { "labels": { "app": name } }, "spec": { "containers": containers } },
    });
    object("apps/v1", "Deployment", name, json!({ "spec": spec }))
}
