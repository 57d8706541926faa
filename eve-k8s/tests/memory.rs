//! What eve holds of what is not its own: a namespace full of strangers' pods costs no more memory than an emptier one.
//!
//! Each measurement is a process of its own, whose peak the kernel counts. The API server is a scripted service that
//! makes its answers up as they are read, so that the strangers are nowhere but where eve keeps them.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so and ends")]

#[expect(dead_code, reason = "nothing is written here")]
mod common;

use std::convert::Infallible;
use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use common::{Told, graph, step};
use eve_core::plan::Until;
use eve_core::ports::Executor;
use eve_core::run::{Applied, Change};
use eve_k8s::{KubeClient, KubeExecutor};
use futures::stream::{self, BoxStream, StreamExt};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use kube::client::Body;
use serde_json::{Value, json};

/// Tells the measured process, which runs one test only, how many strangers there are of each kind.
const STRANGERS: &str = "EVE_TEST_STRANGERS";
/// How many objects a page holds: as many as eve asks for.
const PAGE: usize = 500;

type Chunks = BoxStream<'static, Result<Frame<Bytes>, Infallible>>;

/// A pod of somebody else, about as large as pods are.
fn stranger(kind: &str, index: usize) -> String {
    let variables: Vec<Value> = (0..20)
        .map(|n| json!({ "name": format!("SETTING_{n}"), "value": "a value of some length" }))
        .collect();
    let condition =
        |kind: &str| json!({ "type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" });
    let conditions = ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map(condition);
    json!({
        "apiVersion": "v1", "kind": kind,
        "metadata": {
            "name": format!("theirs-{index}-5d4f8c7b9d-x2x4z"), "namespace": "shop", "uid": format!("their-uid-{index}"),
            "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": { "app.kubernetes.io/name": "theirs", "app.kubernetes.io/part-of": "something", "pod-template-hash": "5d4f8c7b9d" },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("theirs-{index}-5d4f8c7b9d"),
                                  "uid": format!("their-set-{index}"), "controller": true, "blockOwnerDeletion": true }],
        },
        "spec": { "nodeName": "node-1", "containers": [{ "name": "main", "image": "registry.example.com/theirs:1", "env": variables }] },
        "status": {
            "phase": "Running", "podIP": "10.64.0.7", "hostIP": "10.0.0.1", "startTime": "2026-01-01T00:00:00Z",
            "conditions": conditions,
            "containerStatuses": [{ "name": "main", "ready": true, "restartCount": 0, "started": true, "image": "registry.example.com/theirs:1",
                                    "imageID": "registry.example.com/theirs@sha256:00", "state": { "running": { "startedAt": "2026-01-01T00:00:00Z" } } }],
        },
    })
    .to_string()
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web", "uid": "web-uid", "resourceVersion": "5", "generation": 2,
                      "annotations": { "deployment.kubernetes.io/revision": "1" } },
        "spec": { "replicas": 1 }, "status": { "observedGeneration": 2, "replicas": 1, "updatedReplicas": 1 },
    })
}

fn replica_set() -> Value {
    json!({ "metadata": {
        "name": "web-5d4f8c7b9d", "uid": "set-uid", "resourceVersion": "6",
        "annotations": { "deployment.kubernetes.io/revision": "1" },
        "ownerReferences": [{ "kind": "Deployment", "name": "web", "uid": "web-uid" }],
    } })
}

fn pod() -> Value {
    let waiting = json!({ "waiting": { "reason": "ErrImagePull", "message": "no such image" } });
    json!({
        "metadata": { "name": "web-5d4f8c7b9d-abcde", "uid": "pod-uid", "resourceVersion": "9",
                      "ownerReferences": [{ "kind": "ReplicaSet", "name": "web-5d4f8c7b9d", "uid": "set-uid" }] },
        "spec": { "containers": [{ "name": "main" }] },
        "status": { "phase": "Pending", "containerStatuses": [{ "name": "main", "state": waiting }] },
    })
}

/// One page of a list; `own` is on the last.
fn page(kind: &str, count: usize, query: &str, own: Option<Value>) -> String {
    let from = query.split("continue=").nth(1).map_or(0, |from| from.parse().unwrap());
    let until = count.min(from + PAGE);
    let next = if until < count { until.to_string() } else { String::new() };
    let mut items: Vec<String> = (from..until).map(|index| stranger(kind, index)).collect();
    items.extend(own.filter(|_| next.is_empty()).map(|own| own.to_string()));
    let mut text = String::new();
    write!(text, r#"{{"metadata":{{"resourceVersion":"8","continue":"{next}"}},"items":["#).unwrap();
    text + &items.join(",") + "]}"
}

fn chunk(text: String) -> Frame<Bytes> {
    Frame::data(Bytes::from(text))
}

/// The strangers that come while it is watched, then what is our own; it stays open.
fn events(kind: &'static str, range: std::ops::Range<usize>, own: Option<Value>) -> Chunks {
    let line = |object: String| chunk(format!("{{\"type\":\"ADDED\",\"object\":{object}}}\n"));
    let theirs = stream::iter(range).map(move |index| line(stranger(kind, index)));
    let own = stream::iter(own).map(move |own| line(own.to_string()));
    theirs.chain(own).map(Ok).chain(stream::pending()).boxed()
}

/// Half of the strangers are listed, half come later; the pod of our own comes last.
fn answer(request: &Request<Body>, strangers: usize) -> Chunks {
    let query = request.uri().query().unwrap_or_default();
    let is_watch = query.contains("watch=true");
    let half = strangers / 2;
    let plural = request.uri().path().rsplit('/').next().unwrap_or_default();
    let whole = |text: String| stream::iter([Ok(chunk(text))]).boxed();
    match (plural, is_watch) {
        ("pods", false) => whole(page("Pod", half, query, None)),
        ("pods", true) => events("Pod", half..strangers, Some(pod())),
        ("replicasets", false) => whole(page("ReplicaSet", half, query, Some(replica_set()))),
        ("replicasets", true) => events("ReplicaSet", half..strangers, None),
        ("deployments", false) => {
            whole(json!({ "metadata": { "resourceVersion": "5" }, "items": [deployment()] }).to_string())
        }
        ("apis", _) => {
            let resource = json!({ "resource": "deployments", "responseKind": { "kind": "Deployment" },
                                   "scope": "Namespaced", "verbs": ["get", "list", "watch", "patch"] });
            let versions = json!([{ "version": "v1", "resources": [resource] }]);
            whole(json!({ "items": [{ "metadata": { "name": "apps" }, "versions": versions }] }).to_string())
        }
        ("deployments", true) => stream::pending().boxed(),
        _ => whole(json!({ "items": [] }).to_string()),
    }
}

#[tokio::test(start_paused = true)]
async fn our_pod_is_found_among_strangers() {
    let strangers: usize = std::env::var(STRANGERS).map_or(100, |count| count.parse().unwrap());
    let service = tower::service_fn(move |request: Request<Body>| {
        let body = StreamBody::new(answer(&request, strangers));
        async move { Ok::<_, Infallible>(Response::new(body)) }
    });
    let client = KubeClient::new(kube::Client::new(service, "default"));
    let executor = KubeExecutor::builder(client).build();
    let object = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" } });
    let (cx, told) = Told::context();
    let step = step(&graph("shop", [object]), 0);
    let applied = Applied::new(Change::Update);
    let waited = executor.wait(&step, &applied, Until::Ready, &cx);
    let ended = tokio::time::timeout(Duration::from_mins(30), waited).await.expect("the wait ends");
    let failure = ended.unwrap_err();
    assert_eq!(failure.code, "k8s.pod.image-pull", "{failure}; {}", told.texts());
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM:")).unwrap());
}

/// The peak of a process that waits for one Deployment among so many pods and replica sets of others, in KiB.
fn peak(strangers: usize) -> u64 {
    let test = std::env::current_exe().unwrap();
    let ended = Command::new(test)
        .args(["--exact", "our_pod_is_found_among_strangers", "--nocapture", "--test-threads=1"])
        .env(STRANGERS, strangers.to_string())
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success(), "{out}\n{}", String::from_utf8_lossy(&ended.stderr));
    let line = out.lines().find_map(|line| line.split("VmHWM:").nth(1)).expect("the process tells its peak");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn ten_times_the_pods_of_others_cost_no_more_memory() {
    let (few, many) = (peak(1000), peak(10_000));
    eprintln!("peak with 1,000 pods and replica sets of others: {few} KiB; with 10,000: {many} KiB");
    assert!(many * 4 < few * 5, "{few} KiB with 1,000 pods of others, {many} KiB with 10,000");
}
