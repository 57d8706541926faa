//! What the shared watches keep, and what they do where they may not watch: on a scripted server, in paused time.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so and ends"
)]

#[expect(dead_code, reason = "nothing is written here")]
mod common;
#[expect(dead_code, reason = "of the server only reading is used here")]
#[path = "common/fake.rs"]
mod fake;

use std::sync::Arc;
use std::time::Duration;

use common::{Told, graph, step};
use eve_core::failure::Failure;
use eve_core::plan::Until;
use eve_core::plan::graph::Graph;
use eve_core::ports::Executor;
use eve_core::run::{Applied, Change, Outputs};
use eve_k8s::KubeExecutor;
use fake::{Answer, COLLECTION, FakeApi, Line, deployment, deployments, list, not_found, status};
use serde_json::{Value, json};

const SETS: &str = "/apis/apps/v1/namespaces/shop/replicasets";
const STATEFUL_SETS: &str = "/apis/apps/v1/namespaces/shop/statefulsets";
const PODS: &str = "/api/v1/namespaces/shop/pods";
const EVENTS: &str = "/api/v1/namespaces/shop/events";

/// The plan with these Deployments.
fn plan(names: &[&str]) -> Arc<Graph> {
    let object =
        |name: &&str| json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name } });
    graph("shop", names.iter().map(object))
}

/// Waits for one component of a plan.
async fn wait_for(executor: &KubeExecutor, graph: &Arc<Graph>, index: u32) -> Result<Outputs, Failure> {
    let (cx, _) = Told::context();
    let (step, applied) = (step(graph, index), Applied::new(Change::Update));
    let waited = executor.wait(&step, &applied, Until::Ready, &cx);
    tokio::time::timeout(Duration::from_mins(30), waited).await.expect("the wait ends")
}

/// Waits for the Deployment `web`.
async fn wait(api: &FakeApi) -> Result<Outputs, Failure> {
    wait_for(&api.executor(), &plan(&["web"]), 0).await
}

fn forbidden() -> Answer {
    status(403, "Forbidden", "deployments.apps is forbidden: User \"eve\" cannot list it")
}

#[tokio::test(start_paused = true)]
async fn who_was_denied_a_list_asks_again_and_goes_on_once_it_is_granted() {
    let api = deployments(|verb, before, _| match (verb, before) {
        ("list", 0..3) => forbidden(),
        ("list", _) => list(10, &[deployment(10, 0)]),
        ("watch", _) => {
            Answer::Lines(vec![(1, Line::Event("MODIFIED", deployment(20, 1))), (0, Line::Silence)])
        }
        // Whoever reads by name is never told that it is ready.
        _ => Answer::Json(200, deployment(10, 0)),
    });
    wait(&api).await.unwrap();
    assert_eq!(
        api.asked(&format!("get {COLLECTION}")).len(),
        4 + api.asked(&format!("get {COLLECTION}/web")).len()
    );
}

#[tokio::test(start_paused = true)]
async fn who_was_denied_a_watch_asks_for_it_again_without_listing_anew() {
    let api = deployments(|verb, before, _| match (verb, before) {
        ("list", _) => list(10, &[deployment(10, 0)]),
        ("watch", 0..3) => forbidden(),
        ("watch", _) => {
            Answer::Lines(vec![(1, Line::Event("MODIFIED", deployment(20, 1))), (0, Line::Silence)])
        }
        _ => Answer::Json(200, deployment(10, 0)),
    });
    wait(&api).await.unwrap();
    let lists =
        api.asked(&format!("get {COLLECTION}")).len() - api.asked(&format!("get {COLLECTION}/web")).len();
    assert_eq!(lists, 1);
    assert_eq!(api.asked(&format!("watch {COLLECTION}")).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn who_stays_denied_asks_seldom() {
    let api = deployments(|verb, before, _| match (verb, before) {
        ("list", _) => forbidden(),
        // Ready after some minutes of reading by name.
        (_, before) => Answer::Json(200, deployment(10, u64::from(before > 200))),
    });
    wait(&api).await.unwrap();
    let reads = api.asked(&format!("get {COLLECTION}/web")).len();
    let lists = api.asked(&format!("get {COLLECTION}")).len() - reads;
    assert!((10..=reads / 2).contains(&lists), "{lists} lists beside {reads} readings by name");
}

fn owned(kind: &str, owner: &str, name: &str) -> Value {
    json!({ "metadata": {
        "name": name, "uid": format!("uid-of-{name}"), "resourceVersion": "1",
        "annotations": { "deployment.kubernetes.io/revision": "1" },
        "ownerReferences": [{ "kind": kind, "name": owner, "uid": format!("uid-of-{owner}") }],
    } })
}

/// A pod of this replica set that cannot pull its image.
fn broken(set: &str) -> Value {
    let waiting = json!({ "waiting": { "reason": "ErrImagePull", "message": "no such image" } });
    let mut pod = owned("ReplicaSet", set, &format!("{set}-x"));
    pod["spec"] = json!({ "containers": [{ "name": "main" }] });
    pod["status"] =
        json!({ "phase": "Pending", "containerStatuses": [{ "name": "main", "state": waiting }] });
    pod
}

/// The Deployments `web`, whose one replica set has this name, and `other`; their pods are such, and so are the events.
fn with_set(set: &'static str, pod: fn(&str) -> Value, events: Vec<Value>) -> FakeApi {
    let unavailable = |name: &str| {
        let mut object = deployment(10, 0);
        object["metadata"]["name"] = json!(name);
        object["metadata"]["uid"] = json!(format!("uid-of-{name}"));
        object["metadata"]["annotations"] = json!({ "deployment.kubernetes.io/revision": "1" });
        object
    };
    let items = ["web", "other"].map(unavailable);
    let sets = [("web", set), ("other", "other-5d4f8c7b9d"), ("theirs", "theirs-5d4f8c7b9d")];
    FakeApi::new(move |asked, _, _| match asked.split_once(' ').unwrap() {
        ("watch", _) => Answer::Lines(vec![(0, Line::Silence)]),
        ("get", COLLECTION) => list(10, &items),
        ("get", SETS) => list(10, &sets.map(|(owner, set)| owned("Deployment", owner, set))),
        ("get", PODS) => list(10, &sets.map(|(_, set)| pod(set))),
        ("get", EVENTS) => list(10, &events),
        ("get", path) if path.starts_with(PODS) => Answer::Json(200, pod(set)),
        _ => not_found(),
    })
}

/// Waits for `web` where its neighbour's pods are followed already; answers how often pods were listed.
async fn second_wait(set: &'static str) -> usize {
    let api = with_set(set, broken, Vec::new());
    let (executor, graph) = (api.executor(), plan(&["web", "other"]));
    for (index, pod) in [(1, "pod other-5d4f8c7b9d-x".to_owned()), (0, format!("pod {set}-x"))] {
        let failure = wait_for(&executor, &graph, index).await.unwrap_err();
        assert_eq!(failure.code, "k8s.pod.image-pull", "{failure}");
        assert!(failure.message.contains(&pod), "{failure}");
    }
    let asked = api.log.lock().unwrap();
    asked.iter().filter(|(asked, _)| *asked == format!("get {PODS}")).count()
}

#[tokio::test(start_paused = true)]
async fn one_list_finds_the_pods_of_every_workload_of_the_plan() {
    assert_eq!(second_wait("web-5d4f8c7b9d").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_replica_set_that_was_taken_over_has_its_pods_listed_once_more() {
    assert_eq!(second_wait("of-another-name").await, 2);
}

/// A pod of this replica set that no node takes: a cause that may pass, and is never given up for itself.
fn homeless(set: &str) -> Value {
    let mut pod = owned("ReplicaSet", set, &format!("{set}-x"));
    let condition = json!({ "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                            "message": "0/3 nodes are available" });
    pod["status"] = json!({ "phase": "Pending", "conditions": [condition] });
    pod
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_hears_nothing_new_for_too_long_says_all_that_is_known() {
    let event = json!({ "reason": "FailedScheduling", "message": "node(s) had a taint", "type": "Warning" });
    let silence = Duration::from_secs(40);
    let api = with_set("web-5d4f8c7b9d", homeless, vec![event]);
    let (cx, _) = Told::context();
    let (cx, begun) = (cx.with_no_progress_timeout(silence), tokio::time::Instant::now());
    let (executor, step) = (api.executor(), step(&plan(&["web"]), 0));
    let applied = Applied::new(Change::Update);
    let failure = executor.wait(&step, &applied, Until::Ready, &cx).await.unwrap_err();
    assert_eq!(failure.code, "k8s.wait.no-progress", "{failure}");
    assert!(failure.message.contains("nothing has changed for 40s"), "{failure}");
    assert!(failure.message.contains("0/3 nodes are available"), "{failure}");
    assert!(failure.notes.iter().any(|note| note.contains("node(s) had a taint")), "{failure:?}");
    // That no node takes the pod is told late.
    assert!((silence..silence * 2).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

/// A stateful set of three whose first pod is of the revision before and crashes; the rest are still to come.
fn held_up() -> FakeApi {
    let mut set = deployment(10, 0);
    set["metadata"]["name"] = json!("db");
    set["metadata"]["uid"] = json!("uid-of-db");
    set["spec"] = json!({ "replicas": 3 });
    set["status"] = json!({ "observedGeneration": 2, "replicas": 1, "currentRevision": "db-old", "updateRevision": "db-new" });
    let mut pod = owned("StatefulSet", "db", "db-0");
    pod["metadata"]["labels"] = json!({ "controller-revision-hash": "db-old" });
    pod["spec"] = json!({ "containers": [{ "name": "main" }] });
    let waiting = json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off" } });
    let container = json!({ "name": "main", "state": waiting, "restartCount": 7 });
    pod["status"] = json!({ "phase": "Running", "containerStatuses": [container] });
    FakeApi::new(move |asked, _, _| match asked.split_once(' ').unwrap() {
        ("watch", _) => Answer::Lines(vec![(0, Line::Silence)]),
        ("get", STATEFUL_SETS) => list(10, std::slice::from_ref(&set)),
        ("get", PODS) => list(10, std::slice::from_ref(&pod)),
        ("get", EVENTS) => list(10, &[]),
        ("get", path) if path.ends_with("/db-0") => Answer::Json(200, pod.clone()),
        ("get", path) if path.ends_with("/log") => Answer::Text(200, "no disk"),
        _ => not_found(),
    })
}

#[tokio::test(start_paused = true)]
async fn a_broken_pod_of_the_revision_before_is_told_where_it_holds_a_stateful_set_up() {
    let api = held_up();
    let object = json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "db" } });
    let (cx, told) = Told::context();
    let cx = cx.with_no_progress_timeout(Duration::from_secs(40));
    let (executor, step) = (api.executor(), step(&graph("shop", [object]), 0));
    let applied = Applied::new(Change::Update);
    let failure = executor.wait(&step, &applied, Until::Ready, &cx).await.unwrap_err();
    assert_eq!(failure.code, "k8s.wait.no-progress", "it is told, and dooms nothing: {failure}");
    for text in ["1 of 3 replicas are created", "revision before", "pod db-0"] {
        assert!(told.texts().contains(text), "{}", told.texts());
        assert!(failure.message.contains(text), "{failure}");
    }
    assert_eq!(failure.message.matches("pod db-0").count(), 1, "{failure}");
    assert_eq!(failure.log.join("\n"), "log main: no disk");
    let hint = failure.hint.unwrap_or_default();
    assert!(hint.contains("kubectl delete pod db-0 --namespace shop"), "{hint}");
}

#[tokio::test(start_paused = true)]
async fn of_the_events_of_a_namespace_only_those_about_one_object_are_asked_for_and_not_without_a_limit() {
    let api = with_set("web-5d4f8c7b9d", broken, Vec::new());
    wait(&api).await.unwrap_err();
    let asked = api.asked(&format!("get {EVENTS}"));
    assert!(!asked.is_empty(), "the evidence of a failure holds events");
    for query in asked {
        assert!(query.contains("fieldSelector=involvedObject.uid%3D"), "{query}");
        assert!(query.contains("limit="), "{query}");
    }
}
