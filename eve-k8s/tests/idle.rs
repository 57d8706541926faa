//! A run that finds nothing to do has looked when it began; any other looks again at its end. On a scripted server, in
//! paused time.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so and ends"
)]

#[expect(dead_code, reason = "one kind of object is enough here")]
mod common;
#[expect(dead_code, reason = "the server needs few answers here")]
#[path = "common/fake.rs"]
mod fake;

use std::time::Duration;

use common::{Told, graph, step};
use eve_core::plan::Until;
use eve_core::ports::{Executor, Verify};
use eve_core::run::{Applied, Change};
use eve_k8s::labels;
use fake::{Answer, COLLECTION, FakeApi, Line, deployment, deployments, list, not_found};
use serde_json::{Value, json};

/// A server with the Deployment `web` as its plan wants it, of which so many pods are available, and one more a second later.
async fn server(available: u64) -> FakeApi {
    let absent = deployments(|_, _, _| list(1, &[]));
    let (graph, (cx, _)) = (graph("shop", [web()]), Told::context());
    let desired = absent.executor().prepare(&step(&graph, 0), &cx).await.unwrap().desired.unwrap();
    let live = move |version: u64, available: u64| {
        let mut live = deployment(version, available);
        live["apiVersion"] = json!("apps/v1");
        live["kind"] = json!("Deployment");
        live["metadata"]["annotations"] = json!({ labels::DESIRED: desired });
        live["metadata"]["labels"] = json!({ labels::PLAN: "shop" });
        live
    };
    deployments(move |verb, before, query| match (verb, before) {
        ("list", _) => list(10, &[live(10, available)]),
        ("patch", _) if query.contains("dryRun=All") => Answer::Json(200, live(10, available)),
        ("watch", 0) => {
            Answer::Lines(vec![(1, Line::Event("MODIFIED", live(11, available + 1))), (0, Line::Silence)])
        }
        ("watch", _) => Answer::Lines(vec![(0, Line::Silence)]),
        _ => not_found(),
    })
}

fn web() -> Value {
    json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" }, "spec": {} })
}

/// What a run does with a Deployment that it finds unchanged; how many lists of Deployments that costs. Between its wait and
/// its end so much time passes.
async fn lists(available: u64, pause: Duration) -> usize {
    let api = server(available).await;
    let (executor, graph, (cx, _)) = (api.executor(), graph("shop", [web()]), Told::context());
    let step = step(&graph, 0);
    let prepared = executor.prepare(&step, &cx).await.unwrap();
    assert_eq!(prepared.change, Change::None);
    let mut applied = Applied::new(Change::None);
    applied.token = prepared.token;
    executor.wait(&step, &applied, Until::Ready, &cx).await.unwrap();
    tokio::time::sleep(pause).await;
    // It may not be ready in the second list: what counts here is that it was made.
    let _ = executor.verify(&step, Verify::Applied(Some(&applied), Until::Ready), &cx).await;
    api.asked(&format!("get {COLLECTION}")).len()
}

#[tokio::test(start_paused = true)]
async fn what_was_unchanged_and_ready_when_the_run_began_is_listed_once() {
    assert_eq!(lists(1, Duration::from_secs(20)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_waited_for_is_listed_again() {
    assert_eq!(lists(0, Duration::ZERO).await, 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_long_ago_is_listed_again() {
    assert_eq!(lists(1, Duration::from_secs(31)).await, 2);
}
