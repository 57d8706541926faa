//! What is applied gets ready.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use eve_core::plan::Until;
use eve_core::ports::Executor;
use eve_core::run::Change;
use eve_k8s::{KubeExecutor, NO_STATUS, ScopePolicy, preflight};
use eve_testbed::ControlPlane;
use serde_json::json;

use crate::common::{Told, graph, step, write};
use crate::{
    claim, client, config_map, daemon_set, deploy, deployment, executor, job, meta, one,
    replication_controller, service, stateful_set, template, waits_for,
};

#[tokio::test]
async fn every_kind_gets_ready() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("kinds").await;
    let executor = executor(control_plane).await;
    let mut replica_set = deployment("set", "ready", 2);
    replica_set["kind"] = json!("ReplicaSet");
    let mut pod = template("pod", "ready");
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!("pod");
    let objects = [
        deployment("deployment", "ready", 3),
        stateful_set("stateful", "ready"),
        daemon_set("daemon", "ready"),
        replica_set,
        replication_controller("controller", "ready"),
        job("job", "complete"),
        pod,
        service("inside", "ClusterIP"),
        service("outside", "LoadBalancer"),
        claim("at-once", "standard"),
        claim("late", "late"),
        config_map("settings", "1"),
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": meta("secret"), "stringData": { "a": "b" } }),
    ];
    let graph = graph(namespace.name(), objects);
    for id in graph.ids() {
        let done = deploy(&executor, &step(&graph, id.get())).await.unwrap();
        assert_eq!(done.change, Change::Create, "{:?}", graph.node(id).spec());
        let is_outside = graph.node(id).spec().pointer("/object/metadata/name") == Some(&json!("outside"));
        assert_eq!(done.outputs.get("address").is_some(), is_outside);
    }
    for id in graph.ids() {
        let done = deploy(&executor, &step(&graph, id.get())).await.unwrap();
        assert_eq!(done.change, Change::None, "{:?}", graph.node(id).spec());
    }
}

#[tokio::test]
async fn progress_tells_how_many_replicas_are_available() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("progress").await;
    let executor = executor(control_plane).await;
    let step = step(&graph(namespace.name(), [deployment("web", "never-ready", 1)]), 0);
    waits_for(&executor, &step, "k8s.deployment.unavailable: 0 of 1 replica is available").await;
}

#[tokio::test]
async fn a_job_that_removes_itself_is_judged_by_its_end() {
    for (stage, code) in [("complete", None), ("job-failed", Some("k8s.job.failed"))] {
        let mut object = job("job", stage);
        object["spec"]["ttlSecondsAfterFinished"] = json!(0);
        let failure = one("ttl", object).await.err();
        assert_eq!(failure.as_ref().map(|failure| failure.code.as_ref()), code, "{stage}: {failure:?}");
    }
}

#[tokio::test]
async fn a_definition_and_its_resources_come_up_in_one_run() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("custom").await;
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": meta("widgets.shop.example.com"),
        "spec": {
            "group": "shop.example.com", "scope": "Namespaced",
            "names": { "kind": "Widget", "plural": "widgets", "singular": "widget", "listKind": "WidgetList" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object", "properties": { "spec": { "type": "object", "properties": { "size": { "type": "integer" } } } },
            } } }],
        },
    });
    let widget = json!({
        "apiVersion": "shop.example.com/v1", "kind": "Widget", "metadata": meta("small"), "spec": { "size": 1 },
    });
    let graph = graph(namespace.name(), [definition, widget]);
    let policy = ScopePolicy::default().with_cluster_scoped("CustomResourceDefinition".parse().unwrap());
    let client = client(control_plane).await;
    let kinds = client.discover().await.unwrap();
    assert_eq!(preflight(&graph, &kinds, &policy), []);
    let executor = KubeExecutor::builder(client).with_kinds(kinds).with_policy(policy).build();
    let (cx, told) = Told::context();
    let early = executor.prepare(&step(&graph, 1), &cx).await.unwrap();
    assert_eq!(early.change, Change::Unknown);
    deploy(&executor, &step(&graph, 0)).await.unwrap();
    let (_, applied) = write(&executor, &step(&graph, 1)).await.unwrap();
    assert_eq!(applied.change, Change::Create);
    let outputs = executor.wait(&step(&graph, 1), &applied, Until::Ready, &cx).await.unwrap();
    assert_eq!(told.texts(), "k8s.resource.no-status: applied, no status reported\n");
    assert_eq!(outputs.get(NO_STATUS), Some(&json!("applied, no status reported")));
}

/// Stops the clock of this runtime until the value is dropped, though servers are waited for.
fn stand_still() -> mpsc::Sender<()> {
    tokio::time::pause();
    let (until, dropped) = mpsc::channel();
    // A clock that stands does not run ahead while such a thread is busy. The limit only ends a test that would hang.
    tokio::task::spawn_blocking(move || dropped.recv_timeout(Duration::from_mins(2)));
    until
}

#[tokio::test]
async fn a_fan_out_costs_one_request_an_object_and_one_list_and_watch_a_kind() {
    const COUNT: u32 = 15;
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("fan").await;
    let executor = Arc::new(executor(control_plane).await);
    let objects = (0..COUNT).map(|index| deployment(&format!("web-{index}"), "ready", 1));
    let graph = graph(namespace.name(), objects);
    // What a slow server is asked besides, after some seconds, is not meant: not one passes.
    let still = stand_still();
    let all = graph.ids().map(|id| {
        let (executor, step) = (Arc::clone(&executor), step(&graph, id.get()));
        tokio::spawn(async move { deploy(&executor, &step).await })
    });
    for done in all.collect::<Vec<_>>() {
        done.await.unwrap().unwrap();
    }
    drop(still);
    tokio::time::resume();
    let entries = control_plane.audit().settle().await.by_user("eve").in_namespace(namespace.name());
    let counts = entries.count_by(|entry| format!("{} {}", entry.verb, entry.resource));
    let count = |key: &str| counts.get(key).copied().unwrap_or_default();
    assert_eq!(count("patch deployments"), COUNT as usize, "{counts:?}");
    for resource in ["deployments", "replicasets", "pods"] {
        for verb in ["list", "watch"] {
            assert_eq!(count(&format!("{verb} {resource}")), 1, "{counts:?}");
        }
    }
    assert_eq!(counts.len(), 7, "{counts:?}");
    assert!(entries.iter().all(|entry| entry.user_agent.starts_with("eve/")), "{entries:?}");
}
