//! An API server that has just begun refuses everybody until it knows who may do what. That passes; what a server refuses
//! that is ready does not.
//!
//! [`STARTING`] is what a fake answers, and what a real server was seen to answer while it was started again.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so and ends")]

#[expect(dead_code, reason = "nothing is waited for")]
mod common;
#[expect(dead_code, reason = "nothing is watched")]
#[path = "common/fake.rs"]
mod fake;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{graph, step, unseen, value, write};
use eve_core::failure::{Failure, FailureClass};
use eve_core::run::Change;
use eve_k8s::{KubeConfigOptions, KubeExecutor, ScopePolicy, connect, preflight};
use eve_testbed::{ControlPlane, Options, Server};
use fake::{Answer, FakeApi, discovery, list, not_found, status};
use http::Request;
use serde_json::{Value, json};
use tokio::time::Instant;

/// What `/readyz` and `/api` answer while a server refuses what will be allowed: it knows no rights at all, or those of
/// everybody.
const STARTING: [(u16, u16); 2] = [(403, 403), (500, 200)];

const SETTINGS: &str = "/api/v1/namespaces/shop/configmaps";
const REFUSED: &str = "configmaps \"settings\" is forbidden: User \"eve\" cannot patch resource \"configmaps\" in API group \"\"";

fn settings() -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings" }, "data": { "a": "b" } })
}

fn answer(code: u16) -> Answer {
    match code {
        200 => Answer::Text(200, "ok"),
        500 => Answer::Text(500, "[-]informer-sync failed: reason withheld"),
        0 => Answer::Break,
        _ => status(code, "Forbidden", "forbidden: User \"eve\" cannot get path"),
    }
}

/// A server that refuses the first writes and says this of itself from then on.
fn refusing(writes: usize, (readyz, api): (u16, u16), message: String) -> FakeApi {
    let refused = AtomicBool::new(false);
    FakeApi::bare(move |asked, before, _| match asked.split_once(' ').unwrap() {
        (_, "/readyz") => answer(readyz),
        (_, "/api") if refused.load(Ordering::SeqCst) => answer(api),
        ("patch", _) if before < writes => {
            refused.store(true, Ordering::SeqCst);
            status(403, "Forbidden", &message)
        }
        ("patch", _) => Answer::Json(201, json!({ "metadata": { "uid": "u", "resourceVersion": "1" } })),
        (_, SETTINGS) => list(1, &[]),
        (_, path) => discovery(path).unwrap_or_else(not_found),
    })
}

async fn refused(object: Value, says: (u16, u16), message: String) -> (Failure, usize) {
    let api = refusing(usize::MAX, says, message);
    let failure = write(&api.executor(), &step(&graph("shop", [object]), 0)).await.unwrap_err();
    (failure, api.asked("patch").len())
}

#[tokio::test(start_paused = true)]
async fn what_a_starting_server_refuses_may_pass_and_what_a_ready_one_refuses_may_not() {
    let away = [(0, 0), (404, 0), (403, 500)];
    for says in STARTING.into_iter().chain(away) {
        let (failure, writes) = refused(settings(), says, REFUSED.to_owned()).await;
        assert_eq!(
            (failure.code.as_ref(), failure.class, writes),
            ("k8s.api.starting", FailureClass::Transient, 1),
            "{says:?}: {failure}"
        );
        assert_eq!(failure.message, "apply ConfigMap shop/settings: the API server is still starting");
    }
    // One that tells nobody whether it is ready shows it by what it serves.
    for says in [(200, 200), (200, 403), (403, 200), (404, 200), (401, 200), (0, 200)] {
        let begun = Instant::now();
        let (failure, writes) = refused(settings(), says, REFUSED.to_owned()).await;
        assert_eq!(
            (failure.code.as_ref(), failure.class, writes),
            ("k8s.api.forbidden", FailureClass::Permanent, 2),
            "{says:?}: {failure}"
        );
        assert_eq!(begun.elapsed(), Duration::ZERO, "{says:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_just_before_the_server_was_ready_is_asked_once_more() {
    let api = refusing(1, (200, 200), REFUSED.to_owned());
    let (_, applied) = write(&api.executor(), &step(&graph("shop", [settings()]), 0)).await.unwrap();
    assert_eq!((applied.change, api.asked("patch").len()), (Change::Create, 2));
}

#[tokio::test(start_paused = true)]
async fn what_a_starting_server_says_of_a_secret_is_not_quoted() {
    let mut object = settings();
    object["kind"] = json!("Secret");
    for says in STARTING {
        let message = format!("secrets \"settings\" is forbidden: {} is weak", value("a"));
        let (failure, _) = refused(object.clone(), says, message).await;
        assert_eq!(unseen("a failure", failure).code, "k8s.api.starting");
    }
}

/// What a server that starts has answered so far.
#[derive(Default)]
struct Answered {
    /// Codes of failures.
    failures: Mutex<BTreeSet<String>>,
    /// What `/readyz` and `/api` said right before something was refused.
    refusals: Mutex<BTreeSet<(u16, u16)>>,
}

impl Answered {
    /// Asks again and again; whatever goes wrong may pass.
    async fn ask<T>(&self, ask: &impl AsyncFn() -> Result<T, Failure>) {
        loop {
            if let Err(failure) = ask().await {
                assert_eq!(failure.class, FailureClass::Transient, "{failure}");
                self.failures.lock().unwrap().insert(failure.code.into_owned());
            }
        }
    }

    /// Asks again and again as somebody who knows nothing of starts.
    async fn look(&self, client: &kube::Client, path: &str) {
        loop {
            let says = (said(client, "/readyz").await, said(client, "/api").await);
            // Where nobody was there a moment ago, nothing was said.
            if said(client, path).await == 403 && says.0 != 0 && says.1 != 0 {
                self.refusals.lock().unwrap().insert(says);
            }
        }
    }

    fn is_enough(&self) -> bool {
        !self.refusals.lock().unwrap().is_empty()
            && self.failures.lock().unwrap().contains("k8s.api.starting")
    }
}

/// The status of an answer to `eve`; 0 where nobody answers.
async fn said(client: &kube::Client, path: &str) -> u16 {
    match client.request_text(Request::get(path).body(Vec::new()).unwrap()).await {
        Ok(_) => 200,
        Err(kube::Error::Api(status)) => status.code,
        Err(_) => 0,
    }
}

/// How often the server is started again, since it refuses only for a moment.
const STARTS_MAX: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_a_server_that_is_killed_and_starts_again_is_refused_nothing() {
    let control_plane = ControlPlane::start(Options::new().without_controllers()).await.unwrap();
    let namespace = control_plane.namespace("starting").await;
    let options = KubeConfigOptions::default().with_kubeconfig(control_plane.kubeconfig_path());
    let client = connect(&options).await.unwrap();
    let plain = control_plane.eve_client().await;
    let path = format!("/api/v1/namespaces/{}/configmaps", namespace.name());
    let web = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" } });
    let step = step(&graph(namespace.name(), [settings(), web]), 0);
    let there = async || {
        let found = client.has_namespace(namespace.name()).await?;
        assert_eq!(found, Some(true), "eve may look, and it is there");
        Ok::<_, Failure>(())
    };
    let served = async || {
        let kinds = client.discover().await?;
        let missing = preflight(step.graph(), &kinds, &ScopePolicy::default());
        assert!(missing.is_empty(), "{missing:?}");
        Ok::<_, Failure>(())
    };
    let write = async || write(&KubeExecutor::builder(client.clone()).build(), &step).await;
    let answered = Answered::default();
    for _ in 0..STARTS_MAX {
        control_plane.kill(Server::KubeApiserver);
        control_plane.revive(Server::KubeApiserver).unwrap();
        tokio::select! {
            () = answered.look(&plain, &path) => {}
            () = answered.ask(&there) => {}
            () = answered.ask(&served) => {}
            () = answered.ask(&write) => {}
            ready = control_plane.api_server_ready() => ready.unwrap(),
        }
        if answered.is_enough() {
            break;
        }
    }
    let (failures, refusals) =
        (answered.failures.into_inner().unwrap(), answered.refusals.into_inner().unwrap());
    assert!(failures.contains("k8s.api.starting"), "the server was never met while it started: {failures:?}");
    let known = BTreeSet::from(STARTING);
    assert!(!refusals.is_empty() && refusals.is_subset(&known), "a real server says {refusals:?}");
    there().await.unwrap();
    write().await.unwrap();
    control_plane.stop().await;
}
