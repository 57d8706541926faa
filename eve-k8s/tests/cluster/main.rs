//! The executor on a real control plane: what is applied gets ready, what is doomed is said to be, and nothing is
//! written that may not be.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so and ends"
)]
#![expect(clippy::needless_pass_by_value, reason = "literals are easier to read without a borrow")]

mod aggregated;
#[path = "../common/mod.rs"]
mod common;
mod meanwhile;
mod outages;
mod pods;
mod ready;
mod refusals;
mod responder;
mod rights;
mod webhooks;

use std::time::Duration;

use common::{Told, graph, step, write};
use eve_core::failure::Failure;
use eve_core::plan::Until;
use eve_core::ports::{Executor, Step};
use eve_core::run::{Change, Outputs};
use eve_k8s::{Grace, Graces, KubeClient, KubeConfigOptions, KubeExecutor, Trouble, connect};
use eve_testbed::{ControlPlane, STAGE};
use serde_json::{Value, json};

/// What became of a component that went through all phases.
#[derive(Debug)]
struct Done {
    change: Change,
    outputs: Outputs,
}

/// All phases, one after the other.
async fn deploy(executor: &KubeExecutor, step: &Step) -> Result<Done, Failure> {
    let (_, applied) = write(executor, step).await?;
    let (cx, told) = Told::context();
    // Only to end a test that would hang.
    let limit = Duration::from_secs(90);
    let waited = tokio::time::timeout(limit, executor.wait(step, &applied, Until::Ready, &cx)).await;
    let outputs = waited.unwrap_or_else(|_| panic!("{} did not end: {}", step.name(), told.texts()))?;
    Ok(Done { change: applied.change, outputs })
}

/// Writes, and waits until the wait tells this; it must not end before.
async fn waits_for(executor: &KubeExecutor, step: &Step, cause: &str) {
    let (_, applied) = write(executor, step).await.unwrap();
    let (cx, told) = Told::context();
    let is_told = async {
        while !told.texts().contains(cause) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let limit = tokio::time::sleep(Duration::from_mins(1));
    tokio::select! {
        ended = executor.wait(step, &applied, Until::Ready, &cx) => panic!("nothing ended the wait: {ended:?}"),
        () = is_told => {}
        () = limit => panic!("only told {}", told.texts()),
    }
}

/// Graces that end a test soon, and still begin with one.
fn short() -> Graces {
    let soon = Duration::from_millis(500);
    Graces::default()
        .with(Trouble::ImagePull, Grace::After(soon))
        .with(Trouble::BadConfig, Grace::After(soon))
        .with(Trouble::ReplicaFailure, Grace::After(Duration::from_secs(2)))
        .shown_after(Trouble::Unschedulable, soon)
}

async fn client(control_plane: &ControlPlane) -> KubeClient {
    let options = KubeConfigOptions::default().with_kubeconfig(control_plane.kubeconfig_path());
    connect(&options).await.unwrap()
}

async fn executor(control_plane: &ControlPlane) -> KubeExecutor {
    KubeExecutor::builder(client(control_plane).await).with_graces(short()).build()
}

fn meta(name: &str) -> Value {
    json!({ "name": name })
}

/// Each workload selects by its own name: controllers adopt what matches and belongs to nobody.
fn template(name: &str, stage: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": name }, "annotations": { STAGE: stage } },
        "spec": { "containers": [{ "name": "main", "image": "registry.example.com/web:1" }] },
    })
}

fn workload(api: &str, kind: &str, name: &str, spec: Value) -> Value {
    json!({ "apiVersion": api, "kind": kind, "metadata": meta(name), "spec": spec })
}

fn deployment(name: &str, stage: &str, replicas: i64) -> Value {
    let selector = json!({ "matchLabels": { "app": name } });
    let spec = json!({ "replicas": replicas, "selector": selector, "template": template(name, stage) });
    workload("apps/v1", "Deployment", name, spec)
}

fn replication_controller(name: &str, stage: &str) -> Value {
    let spec = json!({ "replicas": 2, "selector": { "app": name }, "template": template(name, stage) });
    workload("v1", "ReplicationController", name, spec)
}

fn stateful_set(name: &str, stage: &str) -> Value {
    let selector = json!({ "matchLabels": { "app": name } });
    let spec = json!({ "replicas": 2, "serviceName": name, "selector": selector, "template": template(name, stage) });
    workload("apps/v1", "StatefulSet", name, spec)
}

fn daemon_set(name: &str, stage: &str) -> Value {
    let selector = json!({ "matchLabels": { "app": name } });
    workload("apps/v1", "DaemonSet", name, json!({ "selector": selector, "template": template(name, stage) }))
}

fn job(name: &str, stage: &str) -> Value {
    let mut template = template(name, stage);
    template["spec"]["restartPolicy"] = json!("Never");
    workload("batch/v1", "Job", name, json!({ "backoffLimit": 0, "template": template }))
}

fn service(name: &str, kind: &str) -> Value {
    let spec = json!({ "type": kind, "selector": { "app": "web" }, "ports": [{ "port": 80 }] });
    workload("v1", "Service", name, spec)
}

fn claim(name: &str, class: &str) -> Value {
    let spec = json!({
        "accessModes": ["ReadWriteOnce"], "storageClassName": class,
        "resources": { "requests": { "storage": "1Gi" } },
    });
    workload("v1", "PersistentVolumeClaim", name, spec)
}

fn config_map(name: &str, value: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": meta(name), "data": { "key": value } })
}

/// Deploys one object into a fresh namespace.
async fn one(prefix: &str, object: Value) -> Result<Done, Failure> {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace(prefix).await;
    let executor = executor(control_plane).await;
    deploy(&executor, &step(&graph(namespace.name(), [object]), 0)).await
}
