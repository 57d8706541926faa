//! Objects that come to be between `prepare` and `apply`.

use eve_core::ports::{Executor, Step};
use eve_core::run::{Change, Prepared};
use eve_k8s::{KubeExecutor, labels};
use eve_testbed::{ControlPlane, TestNamespace};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::common::{Told, graph, step, step_of};
use crate::{config_map, executor};

async fn config_maps(control_plane: &ControlPlane, namespace: &TestNamespace) -> Api<DynamicObject> {
    let kind = ApiResource::erase::<k8s_openapi::api::core::v1::ConfigMap>(&());
    Api::namespaced_with(control_plane.admin_client().await, namespace.name(), &kind)
}

async fn prepare(executor: &KubeExecutor, step: &Step) -> Prepared {
    executor.prepare(step, &Told::context().0).await.unwrap()
}

async fn apply(executor: &KubeExecutor, step: &Step, prepared: &Prepared) -> Change {
    executor.apply(step, prepared, &Told::context().0).await.unwrap().change
}

async fn adopted(config_maps: &Api<DynamicObject>) -> Value {
    let live = serde_json::to_value(config_maps.get("settings").await.unwrap()).unwrap();
    live["metadata"]["annotations"][labels::ADOPTED].clone()
}

#[tokio::test]
async fn what_somebody_makes_after_it_was_looked_for_is_adopted() {
    let control_plane = ControlPlane::shared().await;
    for (key, is_resumed) in [("ours", false), ("theirs", false), ("ours", true), ("theirs", true)] {
        let namespace = control_plane.namespace("meanwhile").await;
        let config_maps = config_maps(control_plane, &namespace).await;
        let first = executor(control_plane).await;
        let spec = json!({ "object": config_map("settings", key), "forceConflicts": true });
        let step = step_of(namespace.name(), spec);
        let prepared = prepare(&first, &step).await;
        assert_eq!(prepared.change, Change::Create);
        let mut theirs = config_map("settings", "theirs");
        theirs["data"]["more"] = json!("theirs");
        let theirs = serde_json::from_value(theirs).unwrap();
        config_maps.create(&PostParams::default(), &theirs).await.unwrap();
        let second = executor(control_plane).await;
        let last = if is_resumed { &second } else { &first };
        assert_eq!(apply(last, &step, &prepared).await, Change::Update, "{key} {is_resumed}");
        assert_eq!(adopted(&config_maps).await, json!("true"), "{key} {is_resumed}");
        let again = prepare(last, &step).await;
        assert_eq!(again.change, Change::None, "{key} {is_resumed}");
    }
}

#[tokio::test]
async fn what_eve_made_before_it_was_killed_is_not_adopted() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("resumed").await;
    let config_maps = config_maps(control_plane, &namespace).await;
    let step = step(&graph(namespace.name(), [config_map("settings", "ours")]), 0);
    let killed = executor(control_plane).await;
    let prepared = prepare(&killed, &step).await;
    assert_eq!(apply(&killed, &step, &prepared).await, Change::Create);
    // The answer never reached the journal: the next process applies again with what the first one found.
    let next = executor(control_plane).await;
    assert_eq!(apply(&next, &step, &prepared).await, Change::Unknown);
    assert_eq!(adopted(&config_maps).await, Value::Null);
    assert_eq!(prepare(&next, &step).await.change, Change::None);
}

#[tokio::test]
async fn what_another_plan_makes_after_it_was_looked_for_is_left_alone() {
    let control_plane = ControlPlane::shared().await;
    for is_resumed in [false, true] {
        let namespace = control_plane.namespace("meanwhile").await;
        let config_maps = config_maps(control_plane, &namespace).await;
        let first = executor(control_plane).await;
        let step = step_of(namespace.name(), json!({ "object": config_map("settings", "ours") }));
        let prepared = prepare(&first, &step).await;
        let mut theirs = config_map("settings", "theirs");
        theirs["metadata"]["labels"] = json!({ labels::PLAN: "other" });
        // As eve itself would: what belongs to one field manager is no conflict to it.
        let params = PatchParams::apply(labels::FIELD_MANAGER);
        let made = config_maps.patch("settings", &params, &Patch::Apply(theirs)).await.unwrap();
        let second = executor(control_plane).await;
        let last = if is_resumed { &second } else { &first };
        let failure = last.apply(&step, &prepared, &Told::context().0).await.unwrap_err();
        assert_eq!(failure.code, "k8s.object.other-plan", "{failure}");
        let owner = format!("belongs to the plan `other` of namespace `{}`", namespace.name());
        assert!(failure.message.contains(&owner), "{failure}");
        let live = config_maps.get("settings").await.unwrap();
        assert_eq!(live.metadata.resource_version, made.metadata.resource_version, "{is_resumed}");
    }
}
