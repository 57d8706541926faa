//! What the API server refuses to write, and objects that others hold.

use std::time::Duration;

use eve_core::failure::{Failure, FailureClass};
use eve_core::plan::Until;
use eve_core::ports::Executor;
use eve_core::run::Change;
use eve_testbed::ControlPlane;
use serde_json::{Value, json};

use crate::common::{Told, graph, step, step_of, unseen, value, write};
use crate::{client, config_map, deployment, executor, meta};

#[tokio::test]
async fn a_conflict_names_the_other_manager_and_the_fields() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("conflict").await;
    let executor = executor(control_plane).await;
    let theirs = kube::Api::<kube::api::DynamicObject>::namespaced_with(
        control_plane.admin_client().await,
        namespace.name(),
        &kube::api::ApiResource::erase::<k8s_openapi::api::core::v1::ConfigMap>(&()),
    );
    let params = kube::api::PatchParams::apply("their-operator");
    let patch = kube::api::Patch::Apply(config_map("settings", "theirs"));
    theirs.patch("settings", &params, &patch).await.unwrap();

    let ours = config_map("settings", "ours");
    let failure = write(&executor, &step_of(namespace.name(), json!({ "object": ours }))).await.unwrap_err();
    assert_eq!(
        (failure.code.as_ref(), failure.class),
        ("k8s.apply.conflict", FailureClass::Permanent),
        "{failure}"
    );
    let place = namespace.name();
    assert_eq!(
        failure.message,
        format!("ConfigMap {place}/settings: a field belongs to `their-operator`, first `.data.key`")
    );
    assert!(failure.hint.unwrap().contains("forceConflicts"));

    let forced = step_of(namespace.name(), json!({ "object": ours, "forceConflicts": true }));
    assert_eq!(write(&executor, &forced).await.unwrap().1.change, Change::Update);
}

#[tokio::test]
async fn an_object_that_is_being_deleted_is_not_ready_because_it_was_written() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("leaving").await;
    let executor = executor(control_plane).await;
    let theirs = kube::Api::<kube::api::DynamicObject>::namespaced_with(
        control_plane.admin_client().await,
        namespace.name(),
        &kube::api::ApiResource::erase::<k8s_openapi::api::core::v1::ConfigMap>(&()),
    );
    let mut held = config_map("settings", "ours");
    held["metadata"]["finalizers"] = json!(["test.eve.dev/hold"]);
    theirs.create(&kube::api::PostParams::default(), &serde_json::from_value(held).unwrap()).await.unwrap();
    theirs.delete("settings", &kube::api::DeleteParams::default()).await.unwrap();

    let step = step_of(namespace.name(), json!({ "object": config_map("settings", "ours") }));
    let (_, applied) = write(&executor, &step).await.unwrap();
    let (cx, told) = Told::context();
    let released = async {
        while !told.texts().contains("test.eve.dev/hold") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let patch = kube::api::Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        theirs.patch("settings", &kube::api::PatchParams::default(), &patch).await.unwrap();
    };
    let waited = tokio::time::timeout(Duration::from_mins(1), async {
        tokio::join!(executor.wait(&step, &applied, Until::Ready, &cx), released).0
    });
    let failure = waited.await.unwrap().unwrap_err();
    assert_eq!(
        (failure.code.as_ref(), failure.class),
        ("k8s.object.gone", FailureClass::Transient),
        "{failure}"
    );
}

#[tokio::test]
async fn an_object_that_somebody_else_manages_keeps_that_label() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("adopted").await;
    let executor = executor(control_plane).await;
    let theirs = kube::Api::<k8s_openapi::api::core::v1::ConfigMap>::namespaced(
        control_plane.admin_client().await,
        namespace.name(),
    );
    let mut object = config_map("settings", "1");
    object["metadata"]["labels"] = json!({ "app.kubernetes.io/managed-by": "Helm" });
    let params = kube::api::PatchParams::apply("helm");
    theirs.patch("settings", &params, &kube::api::Patch::Apply(object)).await.unwrap();
    let step = step(&graph(namespace.name(), [config_map("settings", "1")]), 0);
    assert_eq!(write(&executor, &step).await.unwrap().1.change, Change::Update);
    let labels = theirs.get("settings").await.unwrap().metadata.labels.unwrap();
    let label = |key: &str| labels.get(key).map(String::as_str);
    assert_eq!(label("app.kubernetes.io/managed-by"), Some("Helm"));
    assert_eq!(label("eve.dev/plan"), Some("shop"));
    assert_eq!(label("eve.dev/component"), Some("component-0"));
}

/// The failure of writing this object.
async fn refused(prefix: &str, object: Value) -> Failure {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace(prefix).await;
    let executor = executor(control_plane).await;
    write(&executor, &step(&graph(namespace.name(), [object]), 0)).await.unwrap_err()
}

#[tokio::test]
async fn an_unknown_field_is_named() {
    let mut object = deployment("web", "ready", 1);
    object["spec"]["replica"] = json!(2);
    object["metadata"]["label"] = json!({});
    let failure = refused("strict", object).await;
    assert_eq!(failure.code, "k8s.apply.strict", "{failure}");
    let place = format!("Deployment {}/web", failure.message.split(['/', ' ']).nth(1).unwrap());
    assert_eq!(
        failure.message,
        format!("{place}: .metadata.label: field not declared in schema, and 1 more")
    );
    let notes =
        [".metadata.label: field not declared in schema", ".spec.replica: field not declared in schema"];
    assert_eq!(failure.notes, notes);
}

#[tokio::test]
async fn an_invalid_value_is_told_but_not_that_of_a_secret() {
    let failure = refused("invalid", deployment("web", "ready", -1)).await;
    assert_eq!(failure.code, "k8s.apply.invalid", "{failure}");
    assert!(failure.message.contains("spec.replicas"), "{failure}");

    let kubernetes_io = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": meta("pull"), "type": "kubernetes.io/dockerconfigjson",
        "stringData": { ".dockerconfigjson": value("pull") },
    });
    let failure = refused("invalid-secret", kubernetes_io).await;
    let all = format!("{:?}", unseen("a failure", &failure));
    assert_eq!(failure.code, "k8s.apply.invalid", "{all}");
    assert!(all.contains("data[.dockerconfigjson]"), "{all}");

    let not_base64 = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": meta("bad"), "data": { "password": value("!") },
    });
    let failure = refused("invalid-secret", not_base64).await;
    unseen("a failure", &failure);
    assert_eq!((failure.code.as_ref(), failure.class), ("k8s.apply.invalid", FailureClass::Permanent));
}

#[tokio::test]
async fn an_immutable_field_is_named() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("immutable").await;
    let executor = executor(control_plane).await;
    let mut changed = deployment("web", "ready", 1);
    changed["spec"]["selector"]["matchLabels"]["tier"] = json!("front");
    changed["spec"]["template"]["metadata"]["labels"]["tier"] = json!("front");
    let graph = graph(namespace.name(), [deployment("web", "ready", 1), changed]);
    write(&executor, &step(&graph, 0)).await.unwrap();
    let failure = write(&executor, &step(&graph, 1)).await.unwrap_err();
    assert_eq!(failure.code, "k8s.apply.immutable", "{failure}");
    assert!(failure.message.contains("spec.selector"), "{failure}");
}

#[tokio::test]
async fn a_missing_namespace_is_said_to_be_missing_and_can_be_made() {
    let control_plane = ControlPlane::shared().await;
    let executor = executor(control_plane).await;
    let step = step(&graph("not-there", [config_map("settings", "1")]), 0);
    let failure = write(&executor, &step).await.unwrap_err();
    assert_eq!(failure.code, "k8s.namespace.missing", "{failure}");
    assert_eq!(failure.hint.as_deref(), Some("make it with `--create-namespace`"));

    let client = client(control_plane).await;
    assert_eq!(client.ensure_namespace("not-there").await.unwrap(), eve_k8s::Ensured::Created);
    assert_eq!(client.ensure_namespace("not-there").await.unwrap(), eve_k8s::Ensured::Existed);
    write(&executor, &step).await.unwrap();
}
