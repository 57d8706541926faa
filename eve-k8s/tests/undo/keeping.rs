//! What is kept so that a run can be undone: where, for how long, and what it must never be taken for.

use eve_core::plan::UndoRule;
use eve_core::run::TOKEN_BYTES_MAX;
use eve_k8s::{InventoryScope, inventory};

use super::*;

async fn client(place: &Place) -> eve_k8s::KubeClient {
    let options = KubeConfigOptions::default().with_kubeconfig(place.control_plane.kubeconfig_path());
    connect(&options).await.unwrap()
}

fn settings(value: &str) -> Vec<Part> {
    vec![apply(config_map("settings", json!({ "a": value }))), apply(secret("password", value))]
}

#[tokio::test]
async fn nothing_is_kept_of_what_is_not_written_or_was_not_there() {
    let place = Place::new("nothing").await;
    let release = place.deploy("first", &settings("1")).await;
    assert!(place.snapshots().await.is_empty());
    assert!(release.done.values().all(|(token, _)| token.is_some()));
    place.deploy("second", &settings("1")).await;
    assert!(place.snapshots().await.is_empty());
    place.assert_unchanged(&settings("1")).await;
}

#[tokio::test]
async fn a_snapshot_is_no_part_of_the_plan_and_holds_the_only_copy_of_a_secret() {
    let place = Place::new("apart").await;
    place.deploy("first", &settings("first")).await;
    let release = place.deploy("second", &settings("second")).await;
    let snapshots = place.snapshots().await;
    assert_eq!(snapshots.len(), 2);
    for snapshot in &snapshots {
        assert_eq!(snapshot["metadata"]["labels"]["app.kubernetes.io/managed-by"], "eve");
        assert_eq!(snapshot["immutable"], true);
        assert!(snapshot["metadata"]["annotations"]["eve.dev/expires"].is_string());
    }
    let client = client(&place).await;
    let kinds = client.discover().await.unwrap();
    let scope = InventoryScope::Namespace(place.namespace.name());
    let found = inventory(&client, &kinds, scope, Some("shop")).await.unwrap();
    let names: Vec<&str> = found.objects.iter().map(|object| object.name.as_str()).collect();
    assert_eq!(names, ["settings", "password"], "{found:?}");
    for (token, applied) in release.done.values() {
        let text = format!("{} {applied:?}", token.as_ref().unwrap().value());
        assert!(text.len() <= 2 * TOKEN_BYTES_MAX);
        unseen("tokens", text);
    }
    // The plan that is deleted by its labels leaves them alone, and they go when they are told to.
    release.executor.forget_run(place.namespace.name(), &release.run).await.unwrap();
    assert!(place.snapshots().await.is_empty());
    let failure = release.undo(0).await.unwrap_err();
    assert_eq!(failure.code, "k8s.undo.no-snapshot", "{failure:?}");
    assert!(release.verify_undone(0).await.is_err());
}

#[tokio::test]
async fn without_its_snapshot_a_change_that_is_on_record_is_never_said_to_be_undone() {
    let place = Place::new("gone").await;
    place.deploy("first", &settings("1")).await;
    let release = place.deploy("second", &settings("2")).await;
    release.executor.forget_run(place.namespace.name(), &release.run).await.unwrap();
    // A later run, of which this one's journal knows nothing, has written another input.
    place.deploy("third", &settings("3")).await;
    for index in 0..2 {
        let failure = release.undo(index).await.unwrap_err();
        assert_eq!(failure.code, "k8s.undo.no-snapshot", "{failure:?}");
    }
}

/// Somebody puts this in the place of a snapshot.
async fn forge(place: &Place, name: &str, data: &Value) {
    let path = place.path("api/v1", "secrets", name);
    let _ = place.other("DELETE", &path, "application/json", &json!({})).await;
    let forged =
        object("v1", "Secret", name, json!({ "type": "eve.dev/snapshot", "immutable": true, "data": data }));
    let secrets = path.trim_end_matches(name).trim_end_matches('/');
    place.other("POST", secrets, "application/json", &forged).await.unwrap();
}

fn snapshot_name(release: &Release, index: u32) -> String {
    let token = release.done[&index].0.as_ref().unwrap().value();
    token["before"]["snapshot"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_snapshot_that_the_run_has_not_written_is_not_believed() {
    let place = Place::new("forged").await;
    let of = |value: &str| {
        [apply(config_map("x", json!({ "a": value }))), apply(config_map("y", json!({ "b": value })))]
    };
    place.deploy("first", &of("1")).await;
    let release = place.deploy("second", &of("2")).await;
    // A snapshot of the same run, but of another object.
    let (own, other) = (snapshot_name(&release, 0), snapshot_name(&release, 1));
    let other = place.get(&place.path("api/v1", "secrets", &other)).await.unwrap();
    forge(&place, &own, &other["data"]).await;
    let mark = place.control_plane.audit().mark().await;
    let failure = release.undo(0).await.unwrap_err();
    assert_eq!(failure.code, "k8s.undo.snapshot", "{failure:?}");
    assert!(failure.message.contains(&own), "{failure:?}");
    assert!(release.verify_undone(0).await.is_err());
    assert!(place.since(mark).await.writes().is_empty());
    assert_eq!(release.undo(1).await.unwrap().change, Change::Update);
}

#[tokio::test]
async fn what_stands_where_a_snapshot_is_to_be_kept_is_found_before_the_first_write() {
    let place = Place::new("taken").await;
    place.deploy("first", &settings("1")[..1]).await;
    let mut release = place.release("second", &settings("2")[..1]).await;
    release.prepare(0).await.unwrap();
    forge(&place, &snapshot_name(&release, 0), &json!({ "snapshot": "e30=" })).await;
    let mark = place.control_plane.audit().mark().await;
    let failure = release.apply(0).await.unwrap_err();
    assert_eq!(failure.code, "k8s.undo.snapshot", "{failure:?}");
    let writes = place.since(mark).await.writes();
    assert!(writes.iter().all(|entry| entry.code == Some(409)), "{writes:?}");
}

#[tokio::test]
async fn snapshots_of_older_runs_are_removed_when_a_new_one_is_kept() {
    let place = Place::new("older").await;
    for run in 0..5 {
        place.deploy(&format!("run-{run}"), &settings(&run.to_string())).await;
    }
    // Two earlier runs, and the last; within a second nobody can tell which of them is the older.
    let snapshots = place.snapshots().await;
    let runs: std::collections::BTreeSet<&str> = snapshots
        .iter()
        .map(|snapshot| snapshot["metadata"]["labels"]["eve.dev/run"].as_str().unwrap())
        .collect();
    assert_eq!(runs.len(), 3, "{runs:?}");
    assert!(runs.iter().any(|run| run.starts_with("run-4")), "{runs:?}");
    let executor = place.executor().await;
    executor.forget_plan(place.namespace.name(), "shop").await.unwrap();
    assert!(place.snapshots().await.is_empty());
}

#[tokio::test]
async fn where_nothing_may_be_kept_nothing_is_written() {
    let place = Place::new("forbidden").await;
    let namespace = place.namespace.name().to_owned();
    let api = "rbac.authorization.k8s.io/v1";
    let rules = json!([{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "patch", "create"] }]);
    let role = object(api, "Role", "writer", json!({ "rules": rules }));
    let binding = object(
        api,
        "RoleBinding",
        "writer",
        json!({
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "writer" },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "nobody" }],
        }),
    );
    place.deploy("rights", &[apply(role), apply(binding)]).await;
    place.deploy("first", &settings("1")[..1]).await;
    let options = KubeConfigOptions::default()
        .with_kubeconfig(place.control_plane.kubeconfig_path())
        .with_as_user("nobody".to_owned());
    let kinds = client(&place).await.discover().await.unwrap();
    let mut release = place.release("second", &settings("2")[..1]).await;
    release.executor = KubeExecutor::builder(connect(&options).await.unwrap()).with_kinds(kinds).build();
    let failure = release.prepare(0).await.unwrap_err();
    assert_eq!(failure.code, "k8s.undo.forbidden", "{failure:?}");
    assert!(failure.message.contains(&namespace), "{failure:?}");
    // What does not exist needs no snapshot.
    let fresh = [apply(config_map("fresh", json!({})))];
    let mut release = place.release("third", &fresh).await;
    release.apply_all().await;
}

#[tokio::test]
async fn an_object_outside_needs_the_namespace_of_its_plan() {
    let place = Place::new("home").await;
    let role =
        object("rbac.authorization.k8s.io/v1", "ClusterRole", place.namespace.name(), json!({ "rules": [] }));
    let path = format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{}", place.namespace.name());
    let collection = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    place.other("POST", collection, "application/json", &role).await.unwrap();
    let spec = json!({ "object": role, "forceConflicts": true });
    let plan = PlanBuilder::new("shop", "there-is-none")
        .component(ComponentBuilder::new("role", OBJECT_KIND).spec(spec))
        .on_failure(FailurePolicy::Rollback);
    let graph = Arc::new(Graph::from_plan(&plan).unwrap());
    let executor = place.executor().await;
    let step = Step::new(RunId::new("r"), graph, ComponentId::new(0), Attempt::FIRST);
    let failure = executor.prepare(&step, &Told::context().0).await.unwrap_err();
    assert_eq!(failure.code, "k8s.undo.no-home", "{failure:?}");
    place.other("DELETE", &path, "application/json", &json!({})).await.unwrap();
}

#[tokio::test]
async fn what_does_not_fit_is_refused_before_the_first_write_and_needs_no_undo() {
    let place = Place::new("size").await;
    // Digits that cannot be compressed to less than their half.
    let mut state = 7_u64;
    let mut noise = |bytes: usize| -> String {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b' ' + u8::try_from((state >> 32) % 90).unwrap())
        };
        (0..bytes).map(|_| next()).collect()
    };
    let before = [apply(config_map("big", json!({ "a": noise(700 * 1024) })))];
    let next = [apply(config_map("big", json!({ "a": noise(700 * 1024) })))];
    place.deploy("first", &before).await;
    let mark = place.control_plane.audit().mark().await;
    let mut release = place.release("second", &next).await;
    let failure = release.apply(0).await.unwrap_err();
    assert_eq!(failure.code, "k8s.undo.too-large", "{failure:?}");
    assert_eq!(release.undo_all().await, [Change::None]);
    let writes = place.since(mark).await.writes();
    assert!(writes.is_empty(), "{writes:?}");
    // A component that is never undone is only applied.
    let spec = json!({ "object": next[0].object });
    let plan = PlanBuilder::new("shop", place.namespace.name())
        .component(ComponentBuilder::new("ConfigMap-big", OBJECT_KIND).spec(spec).undo(UndoRule::Never))
        .on_failure(FailurePolicy::Rollback);
    release.graph = Arc::new(Graph::from_plan(&plan).unwrap());
    release.done.clear();
    assert_eq!(release.apply(0).await.unwrap(), Change::Update);
    assert_eq!(release.done[&0].0, None);
    assert!(place.snapshots().await.is_empty());
}
