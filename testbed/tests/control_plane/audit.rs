//! The audit log tells who asked for what, completely and without bodies.

use std::fs;

use eve_testbed::{ControlPlane, TestNamespace};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;

use crate::follow::LIMIT;

async fn talk_as_eve(client: &Client, namespace: &TestNamespace) {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let map = |value: &str| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings" }, "data": { "key": value } });
    let apply = PatchParams::apply("eve");
    maps.patch("settings", &apply.clone().dry_run(), &Patch::Apply(map("one"))).await.unwrap();
    maps.patch("settings", &apply, &Patch::Apply(map("one"))).await.unwrap();
    maps.get("settings").await.unwrap();
    maps.get_opt("absent").await.unwrap();
    let listed = maps.list(&ListParams::default()).await.unwrap();
    let from = listed.metadata.resource_version.unwrap();
    // An open watch: it is recorded though it has not ended.
    let mut stream = maps.watch(&WatchParams::default(), &from).await.unwrap().boxed();
    maps.patch("settings", &apply, &Patch::Apply(map("two"))).await.unwrap();
    let event = tokio::time::timeout(LIMIT, stream.try_next()).await.unwrap().unwrap();
    assert!(matches!(event, Some(WatchEvent::Modified(_))), "{event:?}");
    maps.delete("settings", &DeleteParams::default()).await.unwrap();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "password" }, "stringData": { "password": "correct horse battery" } });
    secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
}

#[tokio::test]
async fn audit_log_records_reads_watches_writes_and_dry_runs_each_as_such() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("audit").await;
    let before = control_plane.audit().mark().await;
    talk_as_eve(&control_plane.eve_client().await, &namespace).await;

    let entries = control_plane.audit().settle().await;
    let eve = entries.by_user("eve").in_namespace(&namespace);
    let counts = eve.count_by(|entry| (entry.verb.clone(), entry.dry_run));
    let expected = [
        (("create", false), 1),
        (("delete", false), 1),
        (("get", false), 2),
        (("list", false), 1),
        (("patch", false), 2),
        (("patch", true), 1),
        (("watch", false), 1),
    ];
    assert_eq!(
        counts,
        expected.map(|((verb, dry_run), count)| ((verb.to_owned(), dry_run), count)).into(),
        "{eve:?}"
    );
    assert_eq!(
        (eve.reads().len(), eve.watches().len(), eve.writes().len(), eve.dry_runs().len()),
        (3, 1, 4, 1)
    );
    assert_eq!(
        (eve.refused().len(), eve.granted().len()),
        (1, 8),
        "only the absent object is refused: {eve:?}"
    );
    assert_eq!(eve.since(before).len(), eve.len());
    assert_eq!(eve.resource("secrets").len(), 1);
    let arranging = entries.by_user("admin").in_namespace(&namespace);
    assert!(!arranging.reads().is_empty(), "the testbed waits for the service account as admin");
}

#[tokio::test]
async fn audit_log_holds_no_body() {
    let control_plane = ControlPlane::shared().await;
    let namespace = control_plane.namespace("bodies").await;
    talk_as_eve(&control_plane.eve_client().await, &namespace).await;
    control_plane.audit().settle().await;
    let log = fs::read_to_string(control_plane.audit_log_path()).unwrap();
    // "correct horse battery", plain and in base64.
    assert!(!log.contains("correct horse") && !log.contains("Y29ycmVjdCBob3JzZSBiYXR0ZXJ5"));
}
