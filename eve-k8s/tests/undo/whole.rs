//! Whole runs: a release that fails at its last component, and a workload that is not ready any more at the end.

use eve_core::driver::{Executors, Ports, drive};
use eve_core::ports::Clock as _;
use eve_core::run::{Outcome, Run, RunOptions, UndoStatus};
use eve_core::run_store::MemoryStore;
use eve_core::testing::TokioClock;
use eve_core::time::Timestamp;
use eve_testbed::STAGE;
use tokio::sync::mpsc;

use super::*;

/// A plan whose last component waits for all others.
fn plan(place: &Place, parts: &[Part]) -> Arc<Graph> {
    let name = |index: usize| format!("component-{index}");
    let components = parts.iter().enumerate().map(|(index, part)| {
        let component = ComponentBuilder::new(name(index), OBJECT_KIND)
            .spec(json!({ "object": part.object }))
            .action(part.action);
        let is_last = index + 1 == parts.len();
        (0..index).filter(|_| is_last).fold(component, |component, other| component.after(name(other)))
    });
    let plan = PlanBuilder::new("shop", place.namespace.name()).components(components);
    Arc::new(Graph::from_plan(&plan.on_failure(FailurePolicy::Rollback)).unwrap())
}

async fn run(place: &Place, id: &str, graph: &Arc<Graph>) -> (Outcome, Run) {
    let clock = Arc::new(TokioClock::starting_at(Timestamp::from_micros(1)));
    let store = Arc::new(MemoryStore::new());
    let ports = Ports {
        executors: Executors::new().with(OBJECT_KIND, Arc::new(place.executor().await)),
        store: Arc::clone(&store) as _,
        reporters: Vec::new(),
        clock: clock.clone(),
        secrets: eve_core::secret::Secrets::default(),
    };
    let id = RunId::new(format!("{id}-{}", place.namespace.name()));
    let mut run = Run::new(Arc::clone(graph), RunOptions::default(), id.clone(), clock.now());
    let (_stop, control) = mpsc::channel(1);
    let outcome = drive(&mut run, &ports, control).await.unwrap();
    unseen("the journal", store.records(&id));
    (outcome, run)
}

fn before() -> Vec<Part> {
    vec![
        apply(config_map("settings", json!({ "kept": "1", "lost": "x" }))),
        apply(deployment("web", 2, json!([container("web", "web:1"), container("log", "log:1")]))),
        apply(secret("password", "first")),
        apply(config_map("old", json!({ "a": "1" }))),
        apply(config_map("same", json!({ "a": "1" }))),
    ]
}

#[tokio::test]
async fn a_release_that_fails_at_its_last_component_leaves_everything_as_it_was() {
    let place = Place::new("release").await;
    let first = plan(&place, &before());
    assert_eq!(run(&place, "first", &first).await.0, Outcome::Succeeded);
    place.merge(&place.config_map("settings"), json!({ "data": { "theirs": "1" } })).await;
    let names = ["settings", "old", "same", "new", "bad"];
    let mut paths: Vec<String> = names.map(|name| place.config_map(name)).into();
    paths.push(place.path("apis/apps/v1", "deployments", "web"));
    paths.push(place.path("api/v1", "secrets", "password"));
    paths.push(place.path("api/v1", "secrets", "fresh"));
    paths.push(place.path("apis/apps/v1", "deployments", "next"));
    let was = place.state(&paths).await;

    let next = plan(
        &place,
        &[
            apply(config_map("settings", json!({ "kept": "2" }))),
            apply(deployment("web", 2, json!([container("web", "web:2")]))),
            apply(secret("password", "second")),
            delete(config_map("old", json!({}))),
            apply(config_map("same", json!({ "a": "1" }))),
            apply(config_map("new", json!({ "a": "1" }))),
            apply(secret("fresh", "third")),
            apply(deployment("next", 1, json!([container("web", "web:1")]))),
            apply(config_map("bad", json!({ "no/key": "1" }))),
        ],
    );
    let mark = place.control_plane.audit().mark().await;
    let (outcome, ended) = run(&place, "second", &next).await;
    let view = ended.view();
    let failures: Vec<_> = next.ids().filter_map(|id| view.undo_failure(id)).collect();
    assert_eq!(outcome, Outcome::RolledBack, "{failures:?}");
    assert!(
        next.ids().filter(|id| view.is_touched(*id)).all(|id| view.undo_status(id) == UndoStatus::Undone)
    );
    let entries = place.since(mark).await;
    let untouched = entries.writes().filter(|entry| entry.uri.contains("/configmaps/same"));
    assert!(untouched.is_empty(), "{untouched:?}");
    let is = place.state(&paths).await;
    for (path, was) in &was {
        assert_eq!(&is[path], was, "{path}");
    }
    let mark = place.control_plane.audit().mark().await;
    assert_eq!(run(&place, "again", &first).await.0, Outcome::Succeeded);
    let entries = place.since(mark).await;
    assert!(entries.writes().is_empty() && entries.dry_runs().is_empty(), "{entries:?}");
}

#[tokio::test]
async fn a_foreign_write_is_named_and_everything_else_is_rolled_back() {
    let place = Place::new("named").await;
    let first = plan(&place, &before());
    run(&place, "first", &first).await;
    let mut parts = before();
    parts[0] = apply(config_map("settings", json!({ "kept": "2" })));
    parts[2] = apply(secret("password", "second"));
    // Never ready, so that there is time for somebody else.
    let mut never = deployment("never", 1, json!([container("web", "web:1")]));
    never["spec"]["template"]["metadata"]["annotations"] = json!({ STAGE: "crash-loop" });
    parts.push(apply(never));
    let next = plan(&place, &parts);
    let path = place.path("apis/apps/v1", "deployments", "never");
    let somebody = async {
        while place.get(&path).await.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        place.merge(&place.config_map("settings"), json!({ "data": { "kept": "3" } })).await;
    };
    let ((outcome, ended), ()) = tokio::join!(run(&place, "second", &next), somebody);
    assert_eq!(outcome, Outcome::RollbackFailed);
    let view = ended.view();
    let failures: Vec<_> = next.ids().filter_map(|id| view.undo_failure(id)).collect();
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert!(format!("{failures:?}").contains("data.kept"), "{failures:?}");
    let settings = place.get(&place.config_map("settings")).await.unwrap();
    assert_eq!(settings["data"], json!({ "kept": "3" }));
    assert!(place.get(&path).await.is_none());
    let executor = place.executor().await;
    for index in 1..5 {
        let step =
            Step::new(RunId::new("again"), Arc::clone(&first), ComponentId::new(index), Attempt::FIRST);
        let prepared = executor.prepare(&step, &Told::context().0).await.unwrap();
        assert_eq!(prepared.change, Change::None, "{}", step.name());
    }
}

/// As a kubelet would: the readiness probe of this workload's only pod succeeds from now on, or fails; and its controller has
/// seen that.
async fn probed(place: &Place, name: &str, ready: &str) {
    let pods = format!("{}?labelSelector=app={name}", place.path("api/v1", "pods", "").trim_end_matches('/'));
    let pod = loop {
        let list = place.get(&pods).await.unwrap();
        match list["items"].as_array().unwrap().first() {
            Some(pod) if pod["status"]["phase"] == "Running" => break pod.clone(),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let mut containers = pod["status"]["containerStatuses"].clone();
    containers[0]["ready"] = json!(ready == "True");
    let conditions = ["Ready", "ContainersReady"].map(|kind| json!({ "type": kind, "status": ready }));
    let change = json!({ "status": { "conditions": conditions, "containerStatuses": containers } });
    let path = place.path("api/v1", "pods", pod["metadata"]["name"].as_str().unwrap()) + "/status";
    place.other("PATCH", &path, "application/strategic-merge-patch+json", &change).await.unwrap();
    let workload = place.path("apis/apps/v1", "deployments", name);
    let wanted = u64::from(ready == "True");
    while place.get(&workload).await.unwrap()["status"]["availableReplicas"].as_u64().unwrap_or(0) != wanted {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_workload_that_turns_unready_before_the_end_fails_the_run_with_the_reason() {
    let place = Place::new("turns").await;
    let mut parts: Vec<Part> = (0..11)
        .map(|index| apply(deployment(&format!("web-{index}"), 1, json!([container("web", "web:1")]))))
        .collect();
    // The last one comes after all others, and is ready when it is told to be.
    let mut last = deployment("last", 1, json!([container("web", "web:1")]));
    last["spec"]["template"]["metadata"]["annotations"] = json!({ STAGE: "never-ready" });
    parts.push(apply(last));
    let graph = plan(&place, &parts);
    let turns = async {
        // Once the last is there all others were ready.
        while place.get(&place.path("apis/apps/v1", "deployments", "last")).await.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        probed(&place, "web-3", "False").await;
        probed(&place, "last", "True").await;
    };
    let ((outcome, ended), ()) = tokio::join!(run(&place, "first", &graph), turns);
    let view = ended.view();
    let failed: Vec<_> = graph.ids().filter_map(|id| view.failure(id)).collect();
    assert_eq!(outcome, Outcome::RolledBack, "{failed:?}");
    assert_eq!(failed.len(), 1, "{failed:?}");
    let message = &failed[0].message;
    assert!(message.contains("container `web` of pod web-3-") && message.contains("not ready"), "{failed:?}");
    assert!(failed[0].notes.iter().any(|note| note.contains("ready before")), "{failed:?}");
}
